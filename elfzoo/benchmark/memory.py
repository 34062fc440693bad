"""The largest memory of a process."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

__all__ = ["in_gib", "peak_rss_gib", "reset_peak"]

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # Linux


def peak_rss_gib() -> float:
    """Largest resident memory of this process so far, or since :func:`reset_peak`, GiB."""
    if STATUS.is_file():  # getrusage of a new process begins with the peak of the one that started it
        return int(STATUS.read_text().split("VmHWM:")[1].split()[0]) / 2**20
    return in_gib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def in_gib(maxrss: float) -> float:
    """The ``ru_maxrss`` of ``getrusage``, which has bytes on macOS, else KiB."""
    return maxrss / 2 ** (30 if sys.platform == "darwin" else 20)


def reset_peak() -> None:
    """Let the peak start again from what is used now; outside of Linux nothing can, and the earlier peak stays."""
    if CLEAR.is_file():
        CLEAR.write_text("5")
