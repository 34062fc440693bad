"""The compiled kernels: loaded once each, and one sentence where an installation lacks them."""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache

from elfzoo.errors import ElfzooError

__all__ = ["KERNEL", "LEVELS", "MODULES", "THREAD_VARIABLES", "level_of", "load", "required"]

KERNEL = "elfzoo.transforms._kernel"  # of the models
MODULES = (KERNEL, "elfzoo.io._orbits", "elfzoo.analysis._percolation", "elfzoo.analysis._critical")
LEVELS = ("baseline", "avx2", "avx512")  # instruction sets that it is built for
# how many threads the linear algebra of a process takes, read when its libraries are loaded
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@cache
def load(module: str) -> ctypes.CDLL | None:
    """The library of a compiled module such as ``"elfzoo.transforms._kernel"``; None where it was not built."""
    spec = importlib.util.find_spec(module)
    return ctypes.CDLL(spec.origin) if spec is not None and spec.origin else None


def level_of(library: ctypes.CDLL, wanted: str | None) -> int:
    """Number of an instruction set: the wanted one, or the best that the processor has."""
    best = int(library.elfzoo_level())
    return best if wanted is None else min(LEVELS.index(wanted), best)


def required(library: ctypes.CDLL | None, user: str) -> ctypes.CDLL:
    """The library.

    Raises:
        ElfzooError: there is none; ``user``, such as ``"critical points need"``, begins the sentence.
    """
    if library is None:
        raise ElfzooError(
            f"{user} elfzoo's compiled kernel, which this installation lacks; "
            "install a C compiler (gcc or clang), then reinstall elfzoo"
        )
    return library
