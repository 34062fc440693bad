"""How far the residual of a prediction is correlated with itself in real space.

C(R) = ⟨e(r) e(r + R)⟩ / ⟨e(r)²⟩, the mean over all grid points r of the cell, e the residual without its mean; by the
Wiener-Khinchin theorem it is the Fourier transform of the residual's power. Wang et al. (2026) read
"correlation lengths of a few angstroms" off a picture; here they are measured.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import fft, integrate

from elfzoo.analysis.residual import (
    ROUNDING,
    Space,
    fluctuation,
    fourier_power,
    require_positive,
    shortest_vector,
    values_in,
)
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.interpolate import CLIP, shortest_waves
from elfzoo.io.json_values import json_values

__all__ = ["Autocorrelation", "autocorrelation"]


@dataclass(frozen=True, eq=False)
class Autocorrelation:
    """Radial average of the autocorrelation of a residual, at no distance and in shells [0, w), [w, 2w), … of it.

    Attributes:
        space: ``"value"``, or ``"logit"``.
        clip: of logits; None for values.
        variance: mean square residual - bias².
        distances: mean of the distances in each shell that holds any shift, Å; the first is 0.
        values: mean of C over those shifts; the first is 1. All are nan where the variance is zero.
        shifts: number of shifts by grid steps.
        shell_width: w, Å.
        r_max: Å; shells beyond are left out.
    """

    space: Space
    clip: float | None
    variance: float
    distances: Float[np.ndarray, " shells"]
    values: Float[np.ndarray, " shells"]
    shifts: Int[np.ndarray, " shells"]
    shell_width: float
    r_max: float

    @property
    def correlation_length(self) -> float | None:
        """Å, where C first falls below 1/e, linear between shells; None if it does not up to ``r_max``."""
        return self._first_below(1 / np.e)

    @property
    def integral_scale(self) -> float | None:
        """∫ C dr in Å by trapezia, from 0 to where C first falls below zero, else to the last shell; None if C is nan.

        0.295 λ for waves of one length λ in all directions; a lower bound where C stays positive.
        """
        if np.isnan(self.values).any():
            return None
        zero = self._first_below(0.0)
        end = float(self.distances[-1]) if zero is None else zero
        inside = self.distances < end
        distances = np.append(self.distances[inside], end)
        return float(integrate.trapezoid(np.interp(distances, self.distances, self.values), distances))

    def to_dict(self) -> dict[str, Any]:
        """JSON values under the attributes' names; an undefined number is None. ``domain`` is ``"volume"``."""
        lengths = {"correlation_length": self.correlation_length, "integral_scale": self.integral_scale}
        return json_values({"domain": "volume", **asdict(self), **lengths})

    def _first_below(self, level: float) -> float | None:
        below = np.flatnonzero(self.values < level)
        if not below.size:
            return None
        i = below[0]  # not 0, where C is 1
        (r0, r1), (c0, c1) = self.distances[i - 1 : i + 1], self.values[i - 1 : i + 1]
        return float(r0 + (r1 - r0) * (c0 - level) / (c0 - c1))


def autocorrelation(
    reference: Field,
    prediction: Field,
    space: Space = "value",
    clip: float = CLIP,
    r_max: float | None = None,
    shell_width: float | None = None,
    mixed_recipes: bool = False,
) -> Autocorrelation:
    """Autocorrelation of the residual of a prediction against distance, minimum images taken in any cell.

    Args:
        reference: the field that counts as right; in the space of values, of any quantity.
        prediction: a field of the same quantity, structure and grid.
        space: ``"value"``, or ``"logit"`` for the residual of logit(ELF).
        clip: ELF is moved into [clip, 1 - clip] before its logit is taken.
        r_max: Å; half the shortest lattice vector unless stated, and no more: up to there every direction has its
            shift, and none is nearer to the next period. Half the shortest height of an orthogonal cell; in a skewed
            one that would be less, and depend on the choice of the lattice vectors.
        shell_width: Å; the largest distance of neighbouring points along an edge unless stated.
        mixed_recipes: take fields of different engines, functionals or pseudopotentials all the same.

    Raises:
        StructureError, RecipeError, QuantityError: fields that cannot be compared; logits of another quantity than ELF.
        ElfzooError: other grids or spin channels, values that are not finite, a clip, distance or width out of range.
    """
    truth, guess = values_in(space, reference, prediction, clip, mixed_recipes)
    grid, residual = reference.grid, fluctuation(guess - truth, float(np.abs(truth).max()))[1]
    width, reach = max(grid.spacing) if shell_width is None else shell_width, _checked_reach(grid.lattice, r_max)
    require_positive("the width of a shell", width, "Å")
    power = fourier_power(residual).reshape(grid.shape)
    distances, values = _shift_lengths(grid), fft.ifftn(power, norm="forward").real.ravel()
    shell = 1 + np.floor(distances / width + ROUNDING).astype(int)
    shell[0] = 0  # no shift
    kept = shell * width <= reach * (1 + ROUNDING)
    number, length, total = (np.bincount(shell[kept], w) for w in (None, distances[kept], values[kept]))
    filled, variance = number > 0, float(values[0])
    return Autocorrelation(
        space=space,
        clip=clip if space == "logit" else None,
        variance=variance,
        distances=length[filled] / number[filled],
        values=total[filled] / number[filled] / variance if variance > 0 else np.full(filled.sum(), np.nan),
        shifts=number[filled],
        shell_width=width,
        r_max=reach,
    )


def _shift_lengths(grid: Grid) -> np.ndarray:
    """For every shift by grid steps, in C order, the distance to its nearest image, Å."""
    steps = grid.lattice / np.array(grid.shape)[:, None]
    dual = Grid(grid.shape, np.linalg.inv(steps).T)  # the grid whose waves are the shifts of this one
    return np.linalg.norm(shortest_waves(dual) @ steps, axis=1)


def _checked_reach(lattice: np.ndarray, r_max: float | None) -> float:
    largest = shortest_vector(lattice) / 2
    if r_max is None:
        return largest
    require_positive("r_max", r_max, "Å")
    if r_max > largest * (1 + ROUNDING):
        raise ElfzooError(
            f"r_max is {r_max} Å; expected at most {largest:.4f} Å, half the shortest lattice vector: farther, the "
            "residual meets its own periodic images. Take a larger cell"
        )
    return r_max
