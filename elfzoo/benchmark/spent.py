"""What a piece of work takes: of this process, and of the programs that it runs, such as an engine."""

from __future__ import annotations

import os
import resource

from elfzoo.benchmark.memory import in_gib, peak_rss_gib, reset_peak

__all__ = ["Meter"]


class Meter:
    """Counts from its making on.

    Only programs that have ended count. Of their memory the operating system remembers the largest ever, so that of an
    earlier program of this process stands in for a smaller one.
    """

    def __init__(self) -> None:
        reset_peak()  # what was needed before, in the same process, is not this one's
        self._own, self._programs = _cpu_seconds()

    def read(self) -> dict[str, float]:
        """``cpu_seconds``, and ``peak_rss_gib``, the largest memory of one process."""
        own, programs = _cpu_seconds()
        peaks = [peak_rss_gib()]
        if programs > self._programs:
            peaks.append(in_gib(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
        return {"cpu_seconds": own - self._own + programs - self._programs, "peak_rss_gib": max(peaks)}


def _cpu_seconds() -> tuple[float, float]:
    times = os.times()
    return times.user + times.system, times.children_user + times.children_system
