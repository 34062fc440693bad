"""Periodic fields known exactly as short Fourier series, and their critical points and φ by brute force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy import cos, sin
from pymatgen.core import Lattice, Structure
from scipy.spatial import cKDTree

from elfzoo.analysis import CriticalPoints
from elfzoo.field import Field

LATTICES = {
    "orthorhombic": Lattice.orthorhombic(1.6, 1.9, 1.3),
    "hexagonal": Lattice.hexagonal(1.7, 1.4),
    "triclinic": Lattice.from_parameters(1.6, 1.9, 1.5, 78, 97, 109),
}
Function = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class FourierSeries:
    """The sum of amplitude · cos(2π wave·x + phase) at fractional coordinates x."""

    waves: np.ndarray  # (waves, 3) integers
    amplitudes: np.ndarray
    phases: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator, count: int, highest: int = 2) -> FourierSeries:
        """``count`` waves of at most ``highest`` periods along each axis, with a range of about one."""
        waves = rng.integers(-highest, highest + 1, (count, 3))
        amplitudes = rng.normal(size=count) / np.sqrt(count) / 3
        return cls(waves, amplitudes, rng.uniform(0, 2 * np.pi, count))

    def grid(self, shape: tuple[int, int, int]) -> np.ndarray:
        axes = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
        return self.taylor(np.stack(axes, axis=-1).reshape(-1, 3))[0].reshape(shape)

    def taylor(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values, gradients and Hessians with respect to fractional coordinates."""
        angle = 2 * np.pi * points @ self.waves.T + self.phases
        k = 2 * np.pi * self.waves
        cosine, sine = self.amplitudes * np.cos(angle), self.amplitudes * np.sin(angle)
        return cosine.sum(axis=1), -sine @ k, -np.einsum("pw,wi,wj->pij", cosine, k, k, optimize=True)


def dense_search(series: FourierSeries, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Newton's method in double precision from every start: fractional positions, values, rising - falling directions.

    Starts that do not converge within 60 steps are left out; points closer than 1e-7 are one.
    """
    points, going = starts.copy(), np.arange(len(starts))
    for _ in range(60):
        _, gradient, hessian = series.taylor(points[going])
        step = -np.linalg.solve(hessian, gradient[..., None])[..., 0]
        length = np.linalg.norm(step, axis=1)
        points[going] += step * np.minimum(1, 0.04 / np.maximum(length, 1e-300))[:, None]
        going = going[length > 1e-13]
    _, gradient, _ = series.taylor(points)
    points = points[np.linalg.norm(gradient, axis=1) < 1e-10] % 1.0
    points[points >= 1] = 0.0
    again = np.zeros(len(points), bool)
    again[cKDTree(points, boxsize=1.0).query_pairs(1e-7, output_type="ndarray").max(axis=1)] = True
    points = points[~again]
    values, _, hessian = series.taylor(points)
    return points, values, 2 * (np.linalg.eigvalsh(hessian) > 0).sum(axis=1) - 3


def sample(function: Function, shape: tuple[int, ...], shift: np.ndarray, lattice: Lattice) -> Field:
    """The function of 2π × (fractional coordinates + shift) on a grid."""
    u, v, w = np.meshgrid(
        *(2 * np.pi * (np.arange(n) / n + s) for n, s in zip(shape, shift, strict=True)), indexing="ij"
    )
    return Field(function(u, v, w), Structure(lattice, ["H"], [[0, 0, 0]]))


def counts(points: CriticalPoints) -> tuple[int, ...]:
    return tuple(points.counts.values())


def gyroid(u: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    return sin(u) * cos(v) + sin(v) * cos(w) + sin(w) * cos(u)


def phi(points: CriticalPoints) -> tuple[float, ...]:
    """Values at which the best component winds in 1, 2, 3 directions, from saddles and their ends alone."""
    group = {int(i): (int(i), np.zeros(3, int)) for i in points.select(-3)}
    windings: dict[int, list[np.ndarray]] = {i: [] for i in group}
    levels: list[float] = []
    for s in points.select(-1):
        (a, p), (b, q) = (group[int(end)] for end in points.ends[s])
        step = points.end_shifts[s, 1] - q - points.end_shifts[s, 0] + p
        if a != b:
            windings[a] += windings.pop(b)
            group |= {i: (a, cell + step) for i, (root, cell) in group.items() if root == b}
        else:
            windings[a].append(step)
        rank = np.linalg.matrix_rank(np.array([*windings[a], np.zeros(3)]))
        levels += [float(points.values[s])] * (rank - len(levels))
    return tuple(levels)
