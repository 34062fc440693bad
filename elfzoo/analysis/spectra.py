"""Residual spectra: how the error of a prediction is spread over wavelengths and directions, in the whole cell.

By Parseval the Fourier power |R_G|² of the residual adds up to its mean square; the constant wave is the squared bias,
and kept apart. Power per wave vector is averaged over shells of |G|. Wang et al. (2026, Fig. 2C and D) do this on one
plane, see :func:`elfzoo.analysis.plane_residual`, and count periods per cell edge. Here |G| is Cartesian, so that cells
of any size and shape, supercells and rotated crystals give the same answer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from elfzoo.analysis.comparable import Values
from elfzoo.analysis.residual import (
    ROUNDING,
    Space,
    Waves,
    fluctuation,
    fourier_power,
    require_positive,
    values_in,
)
from elfzoo.field import Field
from elfzoo.interpolate import CLIP
from elfzoo.io.json_values import json_values

__all__ = ["Band", "ResidualSpectrum", "Shells", "WavePower", "residual_spectrum", "wave_power"]

WAVELENGTHS = {">6": 6.0, "3-6": 3.0, "1.5-3": 1.5, "<1.5": 0.0}  # angstrom: the shortest of each band
SHELL_WIDTH = 0.5  # rad/angstrom
NOTHING = 1e-24  # of the power; double precision leaves some 1e-32


@dataclass(frozen=True)
class Band:
    """The waves of a range of wavelengths.

    Attributes:
        waves: number of wave vectors, G and -G both; a small cell has no long ones.
        share: of the power of the residual, the constant left out; nan where there is no residual.
        reference_share: of the power of the reference.
    """

    waves: int
    share: float
    reference_share: float


@dataclass(frozen=True, eq=False)
class Shells:
    """Averages over shells of |G|. Shell i holds ``edges[i]`` ≤ |G| < ``edges[i + 1]``; nan where it holds no wave.

    Attributes:
        edges: rad/Å, equally spaced from 0.
        isotropic: whether the shell lies within the Nyquist sphere, so that all directions are in it. Of the others
            only the corners are, and an average over them is one over those directions.
        waves: number of wave vectors, G and -G both, without the constant.
        power: Σ |R_G|² of the residual; over all shells, its mean square without the squared bias.
        reference_power: the same of the reference.
        amplitude: mean of |R_G|, which the paper's Fig. 2D shows of a plane.
        anisotropy: (dλ - 1)/(d - 1) in d = 3 dimensions, with λ the largest eigenvalue of the mean of ĝ ĝᵀ weighted by
            |R_G|², ĝ = G/|G|. 0 where power has no preferred direction (λ = 1/d), 1 where it has only one; of random
            power on n waves about 1/√n. Only for isotropic shells.
        wave_anisotropy: the same of equal weights: what the few waves of a small or elongated cell give by themselves.
        measure: volume of reciprocal space per wave, (2π)³/V in (rad/Å)³.
        periods: :attr:`k` in periods along the edge of a cubic cell, which is the k of Wang et al. (2026); None for
            other cells.
    """

    edges: Float[np.ndarray, " edges"]
    isotropic: Bool[np.ndarray, " shells"]
    waves: Int[np.ndarray, " shells"]
    power: Float[np.ndarray, " shells"]
    reference_power: Float[np.ndarray, " shells"]
    amplitude: Float[np.ndarray, " shells"]
    anisotropy: Float[np.ndarray, " shells"]
    wave_anisotropy: Float[np.ndarray, " shells"]
    measure: float
    periods: Float[np.ndarray, " shells"] | None

    @property
    def k(self) -> Float[np.ndarray, " shells"]:
        """Middle of each shell, rad/Å."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def mean_power(self) -> Float[np.ndarray, " shells"]:
        """Radial average: power per wave. It falls as one over the volume of the cell; :attr:`density` does not."""
        return _divide(self.power, self.waves)

    @property
    def density(self) -> Float[np.ndarray, " shells"]:
        """Radial average of power per volume of reciprocal space, in the squared unit of the values times Å³."""
        return self.mean_power / self.measure

    @property
    def reference_density(self) -> Float[np.ndarray, " shells"]:
        """The same of the reference."""
        return _divide(self.reference_power, self.waves) / self.measure

    @property
    def ratio(self) -> Float[np.ndarray, " shells"]:
        """Power of the residual in units of the reference's; 1 is the error of predicting nothing there.

        nan where the reference has no more than rounding leaves, as on waves that its symmetry forbids.
        """
        known = self.reference_power > NOTHING * self.reference_power.sum()
        return _divide(self.power, np.where(known, self.reference_power, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """JSON values under the attributes' names; an undefined number is None."""
        derived = {name: getattr(self, name) for name in ("k", "mean_power", "density", "reference_density", "ratio")}
        return json_values({**asdict(self), **derived})


@dataclass(frozen=True, eq=False)
class WavePower:
    """The residual wave by wave, in the C order of the grid's spectrum: what :class:`ResidualSpectrum` sums up.

    Attributes:
        space, clip, shape, bias: as there.
        waves: their vectors, rad/Å.
        power: |R_G|² of the residual without its mean; the paper's Fourier amplitude is its square root.
        reference_power: the same of the reference.
    """

    space: Space
    clip: float | None
    shape: tuple[int, int, int]
    bias: float
    waves: Waves
    power: Float[np.ndarray, " waves"]
    reference_power: Float[np.ndarray, " waves"]


@dataclass(frozen=True, eq=False)
class ResidualSpectrum:
    """What :func:`residual_spectrum` finds; of the whole cell, and not to be compared with that of a plane.

    Attributes:
        space: ``"value"``, or ``"logit"``.
        clip: of logits; None for values.
        shape: the grid.
        bias: mean residual; its square is the power of the constant wave.
        power: of all other waves: mean square residual - bias².
        nyquist: rad/Å, radius of the Nyquist sphere. Beyond, the grid has waves in some directions only.
        bands: by wavelength in Å, ``">6"``, ``"3-6"``, ``"1.5-3"`` and ``"<1.5"``; a wave on the edge counts as the
            shorter one.
        shells: by |G|.
    """

    space: Space
    clip: float | None
    shape: tuple[int, int, int]
    bias: float
    power: float
    nyquist: float
    bands: dict[str, Band]
    shells: Shells

    @property
    def mean_square(self) -> float:
        """Mean square residual."""
        return self.power + self.bias**2

    def to_dict(self) -> dict[str, Any]:
        """JSON values under the attributes' names; an undefined number is None. ``domain`` is ``"volume"``."""
        values = asdict(self) | {"shells": self.shells.to_dict(), "mean_square": self.mean_square}
        return json_values({"domain": "volume", **values})


def residual_spectrum(
    reference: Field,
    prediction: Field,
    space: Space = "value",
    clip: float = CLIP,
    shell_width: float = SHELL_WIDTH,
    mixed_recipes: bool = False,
) -> ResidualSpectrum:
    """Fourier power of the residual of a prediction, by wavelength, in shells of |G|, and by direction.

    Args:
        reference: the field that counts as right; in the space of values, of any quantity.
        prediction: a field of the same quantity, structure and grid.
        space: ``"value"``, or ``"logit"`` for the residual of logit(ELF).
        clip: ELF is moved into [clip, 1 - clip] before its logit is taken; the residual of logits depends on it.
        shell_width: rad/Å. The waves of a cell of edge a lie 2π/a apart: narrower shells stay empty.
        mixed_recipes: take fields of different engines, functionals or pseudopotentials all the same.

    Raises:
        StructureError, RecipeError, QuantityError: fields that cannot be compared; logits of another quantity than ELF.
        ElfzooError: other grids or spin channels, values that are not finite, a clip or a width out of range.
    """
    found = wave_power(reference, prediction, space, clip, mixed_recipes)
    powers = (found.waves, found.power, found.reference_power)
    return ResidualSpectrum(
        space=found.space,
        clip=found.clip,
        shape=found.shape,
        bias=found.bias,
        power=float(found.power.sum()),
        nyquist=found.waves.nyquist,
        bands=wavelength_bands(*powers),
        shells=Shells(**radial_averages(*powers, shell_width)),
    )


def wave_power(
    reference: Field, prediction: Field, space: Space = "value", clip: float = CLIP, mixed_recipes: bool = False
) -> WavePower:
    """Fourier power of the residual of a prediction, wave by wave; arguments and errors as of the spectrum."""
    truth, guess = values_in(space, reference, prediction, clip, mixed_recipes)
    bias, power, reference_power = fluctuation_powers(truth, guess)
    return WavePower(
        space=space,
        clip=clip if space == "logit" else None,
        shape=reference.grid.shape,
        bias=bias,
        waves=Waves.of(reference.grid),
        power=power,
        reference_power=reference_power,
    )


def fluctuation_powers(
    truth: Values, guess: Values
) -> tuple[float, Float[np.ndarray, " waves"], Float[np.ndarray, " waves"]]:
    """The mean residual, and the Fourier power of residual and reference without their means, in C order."""
    scale = float(np.abs(truth).max())
    bias, residual = fluctuation(guess - truth, scale)
    return bias, fourier_power(residual), fourier_power(fluctuation(truth, scale)[1])


def wavelength_bands(
    waves: Waves, power: Float[np.ndarray, " waves"], reference_power: Float[np.ndarray, " waves"]
) -> dict[str, Band]:
    """Shares of the power by wavelength; powers are in the order of the waves, and the constant is left out."""
    limits = [2 * np.pi / shortest for shortest in WAVELENGTHS.values() if shortest]
    band = np.digitize(waves.k[1:] * (1 + ROUNDING), limits)
    count, *sums = (np.bincount(band, w, len(WAVELENGTHS)) for w in (None, power[1:], reference_power[1:]))
    shares, reference_shares = (_divide(total, total.sum()) for total in sums)
    rows = zip(WAVELENGTHS, count, shares, reference_shares, strict=True)
    return {name: Band(int(n), float(share), float(reference)) for name, n, share, reference in rows}


def radial_averages(
    waves: Waves, power: Float[np.ndarray, " waves"], reference_power: Float[np.ndarray, " waves"], width: float
) -> dict[str, Any]:
    """The attributes of :class:`Shells`, in as many dimensions as the waves have.

    Raises:
        ElfzooError: a width that is not positive.
    """
    require_positive("the width of a shell", width, "rad/Å")
    shell = np.floor(waves.k[1:] / width + ROUNDING).astype(int)
    number = np.bincount(shell)
    edges = width * np.arange(len(number) + 1)
    isotropic = edges[1:] <= waves.nyquist * (1 + ROUNDING)
    directions = waves.vectors[1:] / waves.k[1:, None]
    sums = (np.bincount(shell, w[1:]).astype(np.float64) for w in (power, reference_power, np.sqrt(power)))
    total, reference_total, amplitude = sums
    return {
        "edges": edges,
        "isotropic": isotropic,
        "waves": number,
        "power": total,
        "reference_power": reference_total,
        "amplitude": _divide(amplitude, number),
        "anisotropy": _anisotropy(directions, power[1:], shell, isotropic),
        "wave_anisotropy": _anisotropy(directions, np.ones(len(shell)), shell, isotropic),
        "measure": waves.measure,
        "periods": waves.periods((edges[1:] + edges[:-1]) / 2),
    }


def _anisotropy(directions: np.ndarray, weights: np.ndarray, shell: np.ndarray, isotropic: np.ndarray) -> np.ndarray:
    """As :class:`Shells` states it, for each shell; nan for those that are not isotropic or have no weight."""
    found, dims = np.full(len(isotropic), np.nan), directions.shape[1]
    inner = isotropic[shell]
    shell, weights, directions = shell[inner], weights[inner], directions[inner]
    tensors = np.empty((len(isotropic), dims, dims))
    for i in range(dims):
        for j in range(dims):
            tensors[:, i, j] = np.bincount(shell, weights * directions[:, i] * directions[:, j], len(isotropic))
    total = np.trace(tensors, axis1=1, axis2=2)
    known = total > 0
    largest = np.linalg.eigvalsh(tensors[known])[:, -1] / total[known]
    found[known] = (dims * largest - 1) / (dims - 1)
    return found


def _divide(numerator: np.ndarray, denominator: Any) -> np.ndarray:
    """The quotient; nan where the denominator is zero."""
    denominator = np.broadcast_to(denominator, numerator.shape)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)
