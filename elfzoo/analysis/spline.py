"""The periodic tricubic spline of a field with the compiled searches on it; positions are in steps of its grid.

``native/critical.c`` finds every critical point of the spline, ``native/flow.c`` follows gradient lines from saddles to
extrema. Works on raw arrays; :mod:`elfzoo.analysis.critical_points` gives the points their meaning.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from elfzoo import native

__all__ = [
    "CORE",
    "FEWEST",
    "IN_CORE",
    "LOST",
    "ON_PLATEAU",
    "PLATEAU",
    "CriticalCells",
    "Spline",
    "available",
    "flat_cells",
]

CORE, PLATEAU, UNDECIDED = 1, 2, 4  # bits of the status of a cell
LOST, IN_CORE, ON_PLATEAU = -1, -2, -3  # gradient lines that reach no extremum
MOST_POINTS = 2**31 - 1
FEWEST = 4  # grid points along an axis, the support of a cubic spline


def _library() -> ctypes.CDLL | None:
    return native.load("elfzoo.analysis._critical")


def available() -> bool:
    """Whether the compiled kernel was built with the package."""
    return _library() is not None


def _require_library() -> ctypes.CDLL:
    return native.required(_library(), "critical points need")


def flat_cells(values: Float[np.ndarray, "nx ny nz"], flat: float) -> Bool[np.ndarray, "nx ny nz"]:
    """Whether the 4×4×4 values around the cell above each grid point differ by no more than ``flat``."""
    values, status = np.ascontiguousarray(values, np.float64), np.zeros(values.shape, np.uint8)
    shape, search = (ctypes.c_int64 * 3)(*values.shape), _require_library().elfzoo_flat_cells
    search.restype = ctypes.c_int64
    search(_address(values), shape, ctypes.c_double(flat), _address(status))
    return status == PLATEAU


class CriticalCells(NamedTuple):
    """What :meth:`Spline.critical_points` finds; a point on the face of a cell may come once for each side."""

    positions: Float[np.ndarray, "points 3"]
    undecided: int  # cells with a critical point so degenerate that it was not resolved


@dataclass(frozen=True, eq=False)
class Spline:
    """A periodic tricubic B-spline, C order, double precision."""

    coefficients: Float[np.ndarray, "nx ny nz"]

    def critical_points(self, status: UInt8[np.ndarray, "nx ny nz"]) -> CriticalCells:
        """Every critical point of the spline, but for cells that are left out.

        Args:
            status: of the cell above each grid point; cells with CORE or PLATEAU are left out, UNDECIDED is added.

        Raises:
            MemoryError: no memory for the points.
        """
        position, tally = ctypes.POINTER(ctypes.c_double)(), (ctypes.c_int64 * 2)()
        library = _require_library()
        failed = library.elfzoo_critical_points(
            _address(self.coefficients),
            self._shape,
            _address(status),
            ctypes.byref(position),
            tally,
        )
        if failed:
            raise MemoryError(f"no memory for the critical points of a field of shape {self.coefficients.shape}")
        found = np.ctypeslib.as_array(position, (tally[0], 3)).copy() if tally[0] else np.empty((0, 3))
        library.elfzoo_free(position)
        return CriticalCells(found, int(tally[1]))

    def taylor(
        self, points: Float[np.ndarray, "points 3"]
    ) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "points 3"], Float[np.ndarray, "points 3 3"]]:
        """Values, gradients and Hessians per grid step at positions in grid steps, in any cell."""
        points, out = np.ascontiguousarray(points, np.float64), np.empty((len(points), 10))
        _require_library().elfzoo_spline(
            _address(self.coefficients), self._shape, _address(points), ctypes.c_int64(len(points)), _address(out)
        )
        return out[:, 0], out[:, 1:4], out[:, [[4, 7, 8], [7, 5, 9], [8, 9, 6]]]

    def gradient_lines(
        self,
        start: Float[np.ndarray, "lines 3"],
        step: Float[np.ndarray, " lines"],
        extrema: Float[np.ndarray, "extrema 3"],
        metric: Float[np.ndarray, "3 3"],
        status: UInt8[np.ndarray, "nx ny nz"],
        sign: float = 1.0,
    ) -> tuple[Int[np.ndarray, " lines"], Float[np.ndarray, "lines 3"]]:
        """Where gradient lines end: the number of the extremum, or LOST, IN_CORE or ON_PLATEAU; and at what position.

        Args:
            start: positions in grid steps.
            step: length of the first step of each line, in grid steps.
            extrema: maxima (minima for ``sign=-1``) with positions in grid steps from 0 to below the grid's shape.
            metric: turns derivatives per grid step into the direction of steepest ascent in grid steps.
            status: lines end where they enter a cell with CORE or PLATEAU.
            sign: -1 follows the field downhill.
        """
        keys = np.ravel_multi_index(tuple(np.floor(extrema).astype(np.int64).T), self.coefficients.shape)
        order = np.argsort(keys, kind="stable")
        keys, tops = np.ascontiguousarray(keys[order], np.int64), np.ascontiguousarray(extrema[order], np.float64)
        ends, lines = np.empty(len(start), np.int64), np.array(start, np.float64, order="C")
        _require_library().elfzoo_gradient_lines(
            _address(self.coefficients),
            self._shape,
            ctypes.c_double(sign),
            _address(np.ascontiguousarray(metric, np.float64)),
            _address(status),
            _address(tops),
            _address(keys),
            ctypes.c_int64(len(tops)),
            _address(lines),
            _address(np.ascontiguousarray(step, np.float64)),
            ctypes.c_int64(len(lines)),
            _address(ends),
        )
        reached = ends >= 0
        ends[reached] = order[ends[reached]]
        return ends, lines

    @property
    def _shape(self) -> ctypes.Array[ctypes.c_int64]:
        return (ctypes.c_int64 * 3)(*self.coefficients.shape)


def _address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
