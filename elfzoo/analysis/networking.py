"""The networking value of a field: the highest isovalue whose region is one network through the whole crystal.

Two steps. Voxel union-find on a grid of at most ``spacing`` Å (:mod:`elfzoo.analysis.percolation`) finds the point
where the last missing direction closes; that point sits within a voxel or two of a (3,-1) saddle, so its value errs by
the square of the spacing. Newton's method on the spline through the stored values then takes the saddle's own value.
The difference of the two, plus that of cubic and quintic splines, is the error estimate: saddles so close to each other
in value may have been taken in the wrong order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from elfzoo.analysis.percolation import Thresholds, checked_values, percolation_thresholds
from elfzoo.analysis.saddle import Saddle, find_saddle
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.interpolate import spline_resample

__all__ = ["Networking", "finer_shape", "networking"]

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Networking:
    """What :func:`networking` finds; every value is an isovalue of the field, in its unit.

    Attributes:
        phi_1d, phi_2d, phi_3d: highest isovalues at which one connected region spans one, two, three independent
            directions.
        phi_1d_all, phi_2d_all, phi_3d_all: the same for all regions together: chains along x and others along y that
            never touch span two directions together and one each.
        phi_error: estimated error of ``phi_3d`` from the grid, not a bound; the error of the DFT or the model that the
            field comes from is not in it.
        at_saddle: whether ``phi_3d`` is the value of a saddle of the spline; else that of a grid point, because no
            saddle was found next to it (plateaus, noise) or none was sought.
        shape: the grid of the union-find, points along each lattice vector.
    """

    phi_1d: float
    phi_2d: float
    phi_3d: float
    phi_1d_all: float
    phi_2d_all: float
    phi_3d_all: float
    phi_error: float
    at_saddle: bool
    shape: tuple[int, int, int]

    @property
    def phi(self) -> float:
        """The networking value φ, which is :attr:`phi_3d`."""
        return self.phi_3d

    def to_dict(self) -> dict[str, Any]:
        """JSON values under the attributes' names, ``phi`` first."""
        return {"phi": self.phi, **asdict(self), "shape": list(self.shape)}


def networking(field: Field, spacing: float | None = 0.05) -> Networking:
    """Networking values of a field for one, two and three directions.

    Args:
        field: any periodic scalar field; φ is defined for ELF (Belli et al., Nat. Commun. 12, 5381, 2021).
        spacing: Å; the union-find runs on a grid at least so fine, interpolated by tricubic spline (24 bytes per point
            are needed), and the values are those of the spline's saddles. None takes the stored points alone: then
            monotone maps of the field map φ exactly, and |Δφ| ≤ max |Δf| holds exactly.

    Raises:
        ElfzooError: values that are not finite, a spacing that is not positive, or no compiled kernel.
    """
    stored = checked_values(field.values)
    values = stored if spacing is None else spline_resample(stored, finer_shape(field.grid, spacing))
    thresholds = percolation_thresholds(values)
    saddles = _saddles(stored, thresholds, values.shape)
    error = _error(thresholds, saddles, values)
    nx, ny, nz = values.shape
    return _result(thresholds, {} if spacing is None else saddles, error, (nx, ny, nz))


def finer_shape(grid: Grid, spacing: float) -> Shape:
    """Points along each axis that are at most ``spacing`` Å apart, and no fewer than there are."""
    if not (math.isfinite(spacing) and spacing > 0):
        raise ElfzooError(f"the grid spacing must be a positive number of Å, or None; got {spacing}")
    a, b, c = (max(n, math.ceil(n * d / spacing - 1e-9)) for n, d in zip(grid.shape, grid.spacing, strict=True))
    return a, b, c


def _result(thresholds: Thresholds, saddles: Mapping[int, Saddle], error: float, shape: Shape) -> Networking:
    """Saddle values in place of the grid's where there are any, kept in the order that the definitions imply."""
    value = dict(zip(thresholds.best_points + thresholds.all_points, thresholds.best + thresholds.all, strict=True))
    value |= {point: saddle.value for point, saddle in saddles.items()}
    best = np.minimum.accumulate([value[point] for point in thresholds.best_points])
    every = np.minimum.accumulate(np.maximum([value[point] for point in thresholds.all_points], best))
    (a, b, c), (d, e, f) = best.tolist(), every.tolist()
    return Networking(a, b, c, d, e, f, error, thresholds.best_points[2] in saddles, shape)


def _error(thresholds: Thresholds, saddles: Mapping[int, Saddle], values: np.ndarray) -> float:
    """How far φ moves from grid point to saddle; without a saddle, when a point has fewer or more neighbours."""
    saddle = saddles.get(thresholds.best_points[2])
    if saddle is not None:
        return abs(saddle.value - thresholds.best[2]) + saddle.uncertainty
    return max(abs(percolation_thresholds(values, c).best[2] - thresholds.best[2]) for c in (6, 26))


def _saddles(values: np.ndarray, thresholds: Thresholds, shape: tuple[int, ...]) -> dict[int, Saddle]:
    """The stored field's saddles next to the critical points of a finer grid, by flat index there."""
    points = {*thresholds.best_points, *thresholds.all_points}
    ratio = np.array(values.shape) / np.array(shape)
    found = {point: find_saddle(values, np.array(np.unravel_index(point, shape)) * ratio) for point in points}
    return {point: saddle for point, saddle in found.items() if saddle is not None}
