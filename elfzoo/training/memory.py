"""Memory of a training process, which asks for the same large blocks in every step."""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_freed_memory"]

# glibc's malloc.h: parameter, value
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
SETTINGS = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26))


def keep_freed_memory() -> None:
    """Let the allocator keep what is freed, for the rest of the process; without effect outside of glibc.

    By default every tensor above 32 MB is a fresh mapping whose pages the kernel clears one by one at first touch. That
    took a sixth of a step of probe_graph, in which some tensors of 40 MB come and go.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in SETTINGS:
            mallopt(parameter, value)
