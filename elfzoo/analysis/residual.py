"""The residual of a prediction and the waves of its grid: what spectra, autocorrelations and corrections are made from.

The residual is prediction - reference, of the values themselves or of logit(ELF). Wave vectors G are Cartesian, in
rad/Å, 2π included. On a grid, waves that differ by whole periods between neighbouring points are one and the same; it
is given as the shortest of them, so that nothing depends on the choice of the lattice vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float
from pymatgen.core import Lattice
from scipy import fft, special

from elfzoo.analysis.comparable import Values, comparable_values
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.interpolate import shortest_waves

__all__ = [
    "Axis",
    "Space",
    "Waves",
    "fluctuation",
    "fourier_power",
    "logits",
    "plane_of",
    "require_positive",
    "shortest_vector",
    "values_in",
]

Space = Literal["value", "logit"]
Axis = Literal["x", "y", "z"]
ROUNDING = 1e-9  # relative; what lies on the edge of a shell belongs to the upper side, whatever the rounding
THIN = 1e-3  # angstrom; a plane is a layer so thin that its waves have no component across it
SAME_EDGE = 1e-4  # relative, of the metric of a cell that is called cubic


@dataclass(frozen=True, eq=False)
class Waves:
    """The waves that a grid tells apart: as many as it has points, in the C order of its spectrum, the constant first.

    Attributes:
        vectors: G, rad/Å; of a plane, in its own frame.
        nyquist: rad/Å, radius of the Nyquist sphere: every shorter wave vector is there. Those beyond lie in the
            corners of the zone, in some directions only, and are no whole shells.
        measure: volume of reciprocal space per wave, (2π)³/V in (rad/Å)³; of a plane of area A, (2π)²/A.
        edge: Å, of a cubic cell or a square plane, else None.
    """

    vectors: Float[np.ndarray, "waves dims"]
    nyquist: float
    measure: float
    edge: float | None

    @classmethod
    def of(cls, grid: Grid, dims: int = 3) -> Waves:
        """The waves of a grid; with two ``dims``, of the plane that :func:`plane_of` makes a grid of."""
        reciprocal = 2 * np.pi * np.linalg.inv(grid.lattice).T
        edges = grid.lattice[:dims, :dims]
        return cls(
            vectors=(shortest_waves(grid) @ reciprocal)[:, :dims],
            nyquist=shortest_vector(reciprocal * np.array(grid.shape)[:, None]) / 2,
            measure=float((2 * np.pi) ** dims / abs(np.linalg.det(edges))),
            edge=_common_edge(edges),
        )

    @cached_property
    def k(self) -> Float[np.ndarray, " waves"]:
        """|G|, rad/Å."""
        return np.linalg.norm(self.vectors, axis=1)

    def periods(self, k: Any) -> Any:
        """Periods along the edge of a cubic cell or a square plane, which Wang et al. (2026) call k; else None."""
        return None if self.edge is None else k * self.edge / (2 * np.pi)


def values_in(
    space: Space, reference: Field, prediction: Field, clip: float, mixed_recipes: bool = False
) -> tuple[Values, Values]:
    """Values of both as ``comparable_values`` gives them (``"value"``), or their :func:`logits` (``"logit"``).

    Raises:
        QuantityError: logits of another quantity than ELF.
        ElfzooError: an unknown space, or a clip out of range; otherwise as ``comparable_values``.
    """
    _require_known("space of residuals", space, get_args(Space))
    truth, guess = comparable_values(reference, prediction, mixed_recipes)
    if space == "value":
        return truth, guess
    reference.require_quantity("elf", "for logits, the reference")
    return logits(truth, clip), logits(guess, clip)


def logits(values: Float[np.ndarray, "*shape"], clip: float) -> Float[np.ndarray, "*shape"]:
    """logit(ELF) = ln ELF / (1 - ELF), of values that are moved into [clip, 1 - clip] first (Wang et al. 2026, eq. 6).

    Raises:
        ElfzooError: a clip that is not between 0 and 0.5.
    """
    if not 0 < clip < 0.5:
        raise ElfzooError(f"the clip of logits lies between 0 and 0.5; got {clip}")
    return special.logit(np.clip(values, clip, 1 - clip))


def fluctuation(values: Values, scale: float) -> tuple[float, Values]:
    """The mean, and the values without it; what rounding at values of size ``scale`` leaves of a constant is zero."""
    mean = float(values.mean())
    rest = values - mean
    return mean, rest if np.abs(rest).max() > 1e-13 * scale else np.zeros_like(rest)


def fourier_power(values: Values) -> Float[np.ndarray, " waves"]:
    """|F_G|² of the coefficients F_G = mean of f(r) exp(-i G·r), in C order; they add up to the mean of f² (Parseval).

    A real wave of amplitude a has the power a²/2, a half of it at G and a half at -G.
    """
    return np.abs(fft.fftn(values, norm="forward").ravel()) ** 2


def plane_of(grid: Grid, axis: Axis, index: int) -> tuple[Grid, tuple[slice, slice, slice]]:
    """The lattice plane of grid points that number ``index`` along an axis gives, as a grid of (nu, nv, 1) points.

    Its lattice is in the plane's own frame: the first edge along x, the second in the xy plane, and a thin third one.
    The slices cut the plane out of an array on ``grid``; the axis stays, with one point.

    Raises:
        ElfzooError: no such axis, or no such point on it.
    """
    _require_known("axis of a plane", axis, get_args(Axis))
    number = "xyz".index(axis)
    if not 0 <= index < grid.shape[number]:
        raise ElfzooError(f"a plane across {axis} has a number from 0 to {grid.shape[number] - 1}; got {index}")
    edges = np.delete(grid.lattice, number, axis=0)
    lattice = np.diag([0.0, 0.0, THIN])
    lattice[:2, :2] = np.linalg.cholesky(edges @ edges.T)
    nu, nv = (n for other, n in enumerate(grid.shape) if other != number)
    cuts = [slice(None)] * 3
    cuts[number] = slice(index, index + 1)
    return Grid((nu, nv, 1), lattice), (cuts[0], cuts[1], cuts[2])


def shortest_vector(lattice: Float[np.ndarray, "3 3"]) -> float:
    """Length of the shortest vector of a lattice that is not zero; rows are lattice vectors."""
    reduced = Lattice(lattice).get_lll_reduced_lattice().matrix
    vectors = np.array([n for n in product(range(-2, 3), repeat=3) if any(n)]) @ reduced
    return float(np.linalg.norm(vectors, axis=1).min())


def require_positive(name: str, value: float, unit: str) -> None:
    """Raise :class:`ElfzooError` unless the value is a positive number."""
    if not (math.isfinite(value) and value > 0):
        raise ElfzooError(f"{name} must be a positive number of {unit}; got {value}")


def _require_known(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise UnknownNameError(kind, name, known)


def _common_edge(edges: np.ndarray) -> float | None:
    metric = edges @ edges.T
    square = metric[0, 0]
    cubic = np.allclose(metric, square * np.eye(len(edges)), rtol=0, atol=SAME_EDGE * square)
    return math.sqrt(square) if cubic else None
