"""The networking value of a field: the highest isovalue whose region is one network through the whole crystal.

Two steps. Voxel union-find on a grid of at most ``spacing`` Å (:mod:`elfzoo.analysis.percolation`) finds the point
where the last missing direction closes; that point sits within a voxel or two of a (3,-1) saddle, so its value errs by
the square of the spacing. Newton's method on the spline through the stored values then takes the saddle's own value.
The difference of the two, plus that of cubic and quintic splines, is the error estimate: saddles so close to each other
in value may have been taken in the wrong order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from elfzoo.analysis.percolation import Thresholds, checked_values, percolation_thresholds
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.interpolate import PeriodicSpline

__all__ = ["Networking", "networking"]

Shape = tuple[int, int, int]
HALF = 16  # voxels on each side of a saddle that its spline sees; what lies farther counts less than 1e-5
REACH = 2.0  # voxels along an axis that a saddle may lie from the point that the union-find stopped at
STEPS, LONGEST_STEP, CONVERGED = 40, 0.3, 1e-6  # of Newton's method, in voxels
FLAT = 1e-6  # a curvature below this part of the largest one counts as none
STEP = 0.1  # voxels between the points that derivatives are taken from
STENCIL = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.float64)


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
    values = stored if spacing is None else _refined(stored, _finer_shape(field.grid, spacing))
    thresholds = percolation_thresholds(values)
    saddles = _saddles(stored, thresholds, values.shape)
    error = _error(thresholds, saddles, values)
    nx, ny, nz = values.shape
    return _result(thresholds, {} if spacing is None else saddles, error, (nx, ny, nz))


def _finer_shape(grid: Grid, spacing: float) -> Shape:
    """Points along each axis that are at most ``spacing`` Å apart, and no fewer than there are."""
    if not (math.isfinite(spacing) and spacing > 0):
        raise ElfzooError(f"the grid spacing must be a positive number of Å, or None; got {spacing}")
    a, b, c = (max(n, math.ceil(n * d / spacing - 1e-9)) for n, d in zip(grid.shape, grid.spacing, strict=True))
    return a, b, c


def _result(thresholds: Thresholds, saddles: Mapping[int, _Saddle], error: float, shape: Shape) -> Networking:
    """Saddle values in place of the grid's where there are any, kept in the order that the definitions imply."""
    value = dict(zip(thresholds.best_points + thresholds.all_points, thresholds.best + thresholds.all, strict=True))
    value |= {point: saddle.value for point, saddle in saddles.items()}
    best = np.minimum.accumulate([value[point] for point in thresholds.best_points])
    every = np.minimum.accumulate(np.maximum([value[point] for point in thresholds.all_points], best))
    (a, b, c), (d, e, f) = best.tolist(), every.tolist()
    return Networking(a, b, c, d, e, f, error, thresholds.best_points[2] in saddles, shape)


def _error(thresholds: Thresholds, saddles: Mapping[int, _Saddle], values: np.ndarray) -> float:
    """How far φ moves from grid point to saddle; without a saddle, when a point has fewer or more neighbours."""
    saddle = saddles.get(thresholds.best_points[2])
    if saddle is not None:
        return abs(saddle.value - thresholds.best[2]) + saddle.uncertainty
    return max(abs(percolation_thresholds(values, c).best[2] - thresholds.best[2]) for c in (6, 26))


def _refined(values: np.ndarray, shape: Shape) -> np.ndarray:
    """The tricubic spline on a finer grid, axis by axis."""
    for axis, m in enumerate(shape):
        if m != values.shape[axis]:
            matrix = _spline_matrix(values.shape[axis], m)
            values = np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
    return np.ascontiguousarray(values)


def _spline_matrix(n: int, m: int) -> np.ndarray:
    """(m, n): the periodic cubic spline through n values along an axis, at m points."""
    spline = PeriodicSpline.through(np.eye(1, n).reshape(n, 1, 1))
    distance = np.arange(m)[:, None] / m - np.arange(n) / n
    return spline(np.stack([distance.ravel(), *np.zeros((2, m * n))], axis=1)).reshape(m, n)


class _Saddle(NamedTuple):
    value: float
    uncertainty: float  # what a spline of another order makes of it


def _saddles(values: np.ndarray, thresholds: Thresholds, shape: tuple[int, ...]) -> dict[int, _Saddle]:
    """The stored field's saddles next to the critical points of a finer grid, by flat index there."""
    points = {*thresholds.best_points, *thresholds.all_points}
    ratio = np.array(values.shape) / np.array(shape)
    found = {point: _saddle(values, np.array(np.unravel_index(point, shape)) * ratio) for point in points}
    return {point: saddle for point, saddle in found.items() if saddle is not None}


def _saddle(values: np.ndarray, start: np.ndarray) -> _Saddle | None:
    """The (3,-1) saddle of the quintic spline nearest to a position in voxels; None where there is none in reach.

    Newton's method starts there, and one voxel to all sides where that ends at a critical point of another kind.
    """
    corner = np.round(start).astype(int) - HALF
    places = [(first + np.arange(2 * HALF)) % n for first, n in zip(corner, values.shape, strict=True)]
    near, start = values[np.ix_(*places)], start - corner
    quintic = PeriodicSpline.through(near, 5)
    found = [end for end in [_newton(quintic, start)] if end is not None]
    if not found:
        ends = [_newton(quintic, start + offset) for offset in STENCIL]
        found = [end for end in ends if end is not None and np.abs(end[1] - start).max() <= REACH]
    if not found:
        return None
    value, position = min(found, key=lambda end: float(np.linalg.norm(end[1] - start)))
    cubic = PeriodicSpline.through(near, 3)(position[None] / (2 * HALF))
    return _Saddle(value, abs(value - float(cubic[0])))


def _newton(spline: PeriodicSpline, start: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Value and position of the saddle that Newton's method reaches; None where it reaches none."""
    position = start
    for _ in range(STEPS):
        value, gradient, hessian = _taylor(spline, (position + STEP * STENCIL) / (2 * HALF))
        step = -np.linalg.lstsq(hessian, gradient, rcond=FLAT)[0]  # stays put along flat directions
        length = float(np.linalg.norm(step))
        position = position + step * min(1.0, LONGEST_STEP / max(length, CONVERGED))
        if np.abs(position - start).max() > REACH:
            return None
        if length < CONVERGED:
            return (value, position) if _joins(hessian) else None
    return None


def _taylor(spline: PeriodicSpline, points: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Value, gradient and Hessian, per voxel, in the middle of a stencil: the least-squares parabola through it."""
    c = _PARABOLA @ spline(points)
    return float(c[0]), c[1:4], np.array([[c[4], c[7], c[8]], [c[7], c[5], c[9]], [c[8], c[9], c[6]]])


def _joins(hessian: np.ndarray) -> bool:
    """Whether regions can join at this critical point: at most one direction rises, at most two fall."""
    curvature = np.linalg.eigvalsh(hessian)
    flat = FLAT * np.abs(curvature).max()
    return bool((curvature > flat).sum() <= 1 and (curvature < -flat).sum() <= 2)


def _parabola(stencil: np.ndarray) -> np.ndarray:
    """(10, points): coefficients 1, x, y, z, x²/2, y²/2, z²/2, xy, xz, yz from values on the stencil."""
    x, y, z = stencil.T
    terms = [np.ones(len(stencil)), x, y, z, x * x / 2, y * y / 2, z * z / 2, x * y, x * z, y * z]
    return np.linalg.pinv(np.stack(terms, axis=1))


_PARABOLA = _parabola(STEP * STENCIL)
