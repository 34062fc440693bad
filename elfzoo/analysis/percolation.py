"""Where the superlevel sets {f >= t} of a periodic scalar field begin to span the crystal in 1, 2, 3 directions.

Works on raw arrays; :mod:`elfzoo.analysis.networking` gives the numbers their physical meaning. The kernel in
``native/percolation.c`` visits grid points in descending order of value and joins them by union-find with offsets: an
edge that closes inside a component but in another cell is a winding vector, and the rank of a component's winding
vectors is the number of independent directions in which it spans. Ranks are exact (integers).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from elfzoo import native
from elfzoo.errors import ElfzooError

__all__ = ["Connectivity", "Thresholds", "available", "percolation_thresholds"]

Connectivity = Literal[6, 14, 26]
Triple = tuple[float, float, float]
MOST_POINTS = 2**31 - 1  # node numbers of the kernel


@dataclass(frozen=True)
class Thresholds:
    """Highest values at which superlevel sets span one, two and three independent directions.

    Attributes:
        best: by a single connected component, the best one each time.
        all: by all components together, whose winding vectors are pooled; never below ``best``.
        best_points: flat index of the grid point that completes each of ``best``; it holds that value.
        all_points: the same for ``all``.
    """

    best: Triple
    all: Triple
    best_points: tuple[int, int, int]
    all_points: tuple[int, int, int]


def _library() -> ctypes.CDLL | None:
    return native.load("elfzoo.analysis._percolation")


def available() -> bool:
    """Whether the compiled kernel was built with the package."""
    return _library() is not None


def percolation_thresholds(values: Float[np.ndarray, "nx ny nz"], connectivity: Connectivity = 14) -> Thresholds:
    """Thresholds of a field on a periodic grid, exact for the grid's graph and in the array's own precision.

    Args:
        values: (nx, ny, nz), single or double precision, any axis from 1 point on.
        connectivity: 6, faces only; 14, the edges of the Freudenthal triangulation (faces and the diagonals (1, 1, 0),
            (1, 0, 1), (0, 1, 1), (1, 1, 1)), for which the superlevel sets are those of the piecewise-linear
            interpolant; 26, all diagonals, which jump over saddles.

    Raises:
        ElfzooError: values that are not three-dimensional or not finite, another connectivity, or no compiled kernel.
        MemoryError: fewer than about 30 bytes per point are free.
    """
    values = checked_values(values)
    if connectivity not in get_args(Connectivity):
        raise ElfzooError(f"grid points have 6, 14 or 26 neighbours; got connectivity={connectivity}")
    points = np.zeros(6, np.int64)
    failed = _require_library().elfzoo_percolation(
        ctypes.c_void_p(values.ctypes.data),
        int(values.dtype == np.float64),
        (ctypes.c_int64 * 3)(*values.shape),
        int(connectivity),
        ctypes.c_void_p(points.ctypes.data),
    )
    if failed == 1:
        raise MemoryError(f"no memory for the percolation of a field of shape {values.shape}")
    if failed:
        raise ElfzooError(f"a path winds more than a million times around a cell of shape {values.shape}")
    a, b, c, d, e, f = (int(point) for point in points)
    p, q, r, s, t, u = values.ravel()[points].tolist()
    return Thresholds((p, q, r), (s, t, u), (a, b, c), (d, e, f))


def _require_library() -> ctypes.CDLL:
    return native.required(_library(), "the networking value needs")


def checked_values(values: np.ndarray) -> np.ndarray:
    """The values in the kernel's layout, single or double precision in C order; refuses what it cannot rank."""
    values = np.asarray(values)
    if values.ndim != 3 or not 0 < values.size <= MOST_POINTS:
        raise ElfzooError(
            f"percolation needs 1 to {MOST_POINTS} values on a three-dimensional grid; got shape {values.shape}"
        )
    values = np.ascontiguousarray(values, np.float32 if values.dtype in (np.float16, np.float32) else np.float64)
    if not np.isfinite(values).all():
        place = np.unravel_index(int(np.argmin(np.isfinite(values))), values.shape)
        raise ElfzooError(
            f"percolation needs finite values; grid point {[int(i) for i in place]} holds {values[place]}"
        )
    return values
