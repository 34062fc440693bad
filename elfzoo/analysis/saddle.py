"""The saddle of a field next to a point where regions join: its own value, not that of the nearest grid point."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from elfzoo.interpolate import PeriodicSpline

__all__ = ["Saddle", "find_saddle", "value_at"]

HALF = 16  # voxels on each side of a saddle that its spline sees; what lies farther counts less than 1e-5
REACH = 2.0  # voxels along an axis that a saddle may lie from the point that the union-find stopped at
STEPS, LONGEST_STEP, CONVERGED = 40, 0.3, 1e-6  # of Newton's method, in voxels
FLAT = 1e-6  # a curvature below this part of the largest one counts as none
STEP = 0.1  # voxels between the points that derivatives are taken from
STENCIL = np.array(list(itertools.product((-1, 0, 1), repeat=3)), dtype=np.float64)


class Saddle(NamedTuple):
    """Value of a saddle of the quintic spline, what the cubic spline differs from it there, and its place in voxels."""

    value: float
    uncertainty: float
    position: np.ndarray


def find_saddle(values: np.ndarray, start: np.ndarray) -> Saddle | None:
    """The (3,-1) saddle of the quintic spline nearest to a position in voxels; None where there is none in reach.

    Newton's method starts there, and one voxel to all sides where that ends at a critical point of another kind.
    """
    near, corner = _window(values, start)
    quintic, start = PeriodicSpline.through(near, 5), start - corner
    found = [end for end in [_newton(quintic, start)] if end is not None]
    if not found:
        ends = [_newton(quintic, start + offset) for offset in STENCIL]
        found = [end for end in ends if end is not None and np.abs(end[1] - start).max() <= REACH]
    if not found:
        return None
    value, position = min(found, key=lambda end: float(np.linalg.norm(end[1] - start)))
    cubic = PeriodicSpline.through(near, 3)(position[None] / (2 * HALF))
    return Saddle(value, abs(value - float(cubic[0])), position + corner)


def value_at(values: np.ndarray, position: np.ndarray) -> float:
    """The quintic spline's value at a position in voxels."""
    near, corner = _window(values, position)
    return float(PeriodicSpline.through(near, 5)((position - corner)[None] / (2 * HALF))[0])


def _window(values: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values around a position, and the voxel that they begin with."""
    corner = np.round(position).astype(int) - HALF
    places = [(first + np.arange(2 * HALF)) % n for first, n in zip(corner, values.shape, strict=True)]
    return values[np.ix_(*places)], corner


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
