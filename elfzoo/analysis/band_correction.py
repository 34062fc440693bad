"""The band-limited correction of logits of Wang et al. (2026, eqs. 6 to 9), fitted to the reference that it corrects.

    u_loc = logit(y_loc)                                                        (6)
    u_lr  = Σ_{|G| ≤ k_max} a_G cos(G·r) + b_G sin(G·r), the constant included    (7)
    u_tot = u_loc + u_lr                                                        (8)
    y     = 1 / (1 + exp(-u_tot))                                               (9)

The coefficients are those of the least-squares fit of u_lr to logit(y_ref) - u_loc (their Fig. S3: "the residual in
logit space is projected onto a truncated low-k Fourier basis"). On a full periodic grid the waves are orthogonal, and
the fit is a mask on the Fourier transform. Eq. 7 has |k| < k_cut in periods per cell edge and leaves out the waves on
the sphere itself; here they are in, and k_max is Cartesian, in rad/Å.

The fit is told the answer. It shows on which waves the residual lies, and is no error that any model could reach: with
enough coefficients it reproduces the reference whatever the prediction. A prediction of 0.5 everywhere, of logit 0,
shows how well the waves alone do: it is low-passed truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int
from scipy import fft, special

from elfzoo.analysis.comparable import comparable_values
from elfzoo.analysis.correction_result import BandCorrection, ElfProfile, PlaneCorrection, RelativeSize
from elfzoo.analysis.metrics import ELF_BINS, elf_bins, field_metrics
from elfzoo.analysis.residual import ROUNDING, Axis, Waves, logits, plane_of, require_positive
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.interpolate import CLIP

__all__ = ["band_limited_correction", "corrected_field", "correction_curve", "plane_correction"]


class _Fit(NamedTuple):
    coefficients: int
    correction: np.ndarray
    corrected: np.ndarray


@dataclass(frozen=True, eq=False)
class _Bins:
    """Points by the ELF of the reference. What is said of a bin without points is nan.

    Args:
        counts: points of each bin.
        bin: of every point.
        order: the points, bin by bin.
    """

    counts: Int[np.ndarray, " bins"]
    bin: Int[np.ndarray, " points"]
    order: Int[np.ndarray, " points"]

    @classmethod
    def of(cls, reference: np.ndarray) -> _Bins:
        """The bins of a reference's values."""
        bins = elf_bins(reference)
        return cls(np.bincount(bins, minlength=ELF_BINS), bins, np.argsort(bins, kind="stable"))

    def means(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.bincount(self.bin, values, ELF_BINS) / self.counts

    def medians(self, values: np.ndarray) -> np.ndarray:
        groups = np.split(values[self.order], np.cumsum(self.counts)[:-1])
        return np.array([np.median(group) if group.size else math.nan for group in groups])


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is the same for every k_max.

    Args:
        reference, prediction: ELF.
        clip: of their logits.
        local: u_loc.
        spectrum: Fourier transform of logit(y_ref) - u_loc.
        mean_square: of the same.
        waves: of the grid, or of the plane.
    """

    reference: Float[np.ndarray, "nx ny nz"]
    prediction: Float[np.ndarray, "nx ny nz"]
    clip: float
    local: Float[np.ndarray, "nx ny nz"]
    spectrum: Complex[np.ndarray, "nx ny nz"]
    mean_square: float
    waves: Waves

    @classmethod
    def of(cls, reference: np.ndarray, prediction: np.ndarray, waves: Waves, clip: float) -> _Problem:
        """The problem of values on a grid of (nx, ny, nz) points; of a plane, (nu, nv, 1)."""
        local = logits(prediction, clip)
        residual = logits(reference, clip) - local
        mean_square = float((residual**2).mean())
        return cls(reference, prediction, clip, local, fft.fftn(residual), mean_square, waves)

    def fit(self, k_max: float) -> _Fit:
        """Eqs. 7 to 9. Waves G and -G stand and fall together, so that the number of waves is that of coefficients."""
        require_positive("k_max", k_max, "rad/Å")
        kept = self.waves.k.reshape(self.local.shape) <= k_max * (1 + ROUNDING)
        correction = fft.ifftn(np.where(kept, self.spectrum, 0)).real
        return _Fit(int(kept.sum()), correction, special.expit(self.local + correction))

    def figures(self, k_max: float, fit: _Fit) -> dict[str, Any]:
        """The attributes of a correction."""
        captured = float((fit.correction**2).mean())
        periods = self.waves.periods(k_max)
        return {
            "k_max": float(k_max),
            "periods": None if periods is None else float(periods),
            "coefficients": fit.coefficients,
            "clip": self.clip,
            **self._unfitted,
            "after": field_metrics(self.reference, fit.corrected),
            "logit_captured": captured / self.mean_square if self.mean_square else math.nan,
            "logit_size": _relative_size(fit.correction, self.local + fit.correction),
            "elf_size": _relative_size(fit.corrected - self.prediction, fit.corrected),
            "by_elf": self._profile(fit),
        }

    @cached_property
    def _unfitted(self) -> dict[str, Any]:
        """The attributes that no fit changes."""
        return {
            "reference_clipped": self._clipped(self.reference),
            "prediction_clipped": self._clipped(self.prediction),
            "before": field_metrics(self.reference, self.prediction),
        }

    @cached_property
    def _bins(self) -> _Bins:
        return _Bins.of(self.reference)

    def _clipped(self, values: np.ndarray) -> float:
        return float(((values < self.clip) | (values > 1 - self.clip)).mean())

    def _profile(self, fit: _Fit) -> ElfProfile:
        change = np.abs(fit.correction).ravel()
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = change / np.abs(self.local + fit.correction).ravel()
        moved = np.abs(fit.corrected - self.prediction).ravel()
        return ElfProfile(
            points=self._bins.counts,
            logit=self._bins.means(change),
            elf=self._bins.means(moved),
            ratio=self._bins.medians(ratio),
        )


def band_limited_correction(
    reference: Field, prediction: Field, k_max: float, clip: float = CLIP, mixed_recipes: bool = False
) -> BandCorrection:
    """The correction of a predicted ELF by all waves up to ``k_max``, fitted to the reference (eqs. 6 to 9).

    Args:
        reference: ELF that counts as right.
        prediction: ELF of the same structure on the same grid.
        k_max: rad/Å; where it is beyond the Nyquist sphere, waves that the grid cannot tell apart are fitted as one.
        clip: ELF is moved into [clip, 1 - clip] before its logit is taken. Logits near 0 and 1 are large, so the fit
            depends on it: vary it.
        mixed_recipes: take fields of different engines, functionals or pseudopotentials all the same.

    Raises:
        StructureError, RecipeError, QuantityError: fields that cannot be compared, or hold another quantity than ELF.
        ElfzooError: other grids or spin channels, values that are not finite, a k_max or clip out of range.
    """
    return correction_curve(reference, prediction, (k_max,), clip, mixed_recipes)[0]


def correction_curve(
    reference: Field, prediction: Field, k_maxes: Sequence[float], clip: float = CLIP, mixed_recipes: bool = False
) -> tuple[BandCorrection, ...]:
    """:func:`band_limited_correction` for each ``k_max``, in their order, with one Fourier transform of the residual.

    Raises:
        ElfzooError: no ``k_max``; otherwise as there.
    """
    if len(k_maxes) == 0:
        raise ElfzooError("a curve of corrections needs at least one k_max; got none")
    problem = _problem(reference, prediction, clip, mixed_recipes)
    return tuple(BandCorrection(**problem.figures(k_max, problem.fit(k_max))) for k_max in k_maxes)


def corrected_field(
    reference: Field, prediction: Field, k_max: float, clip: float = CLIP, mixed_recipes: bool = False
) -> Field:
    """The prediction after its correction, y of eq. 9, to see whether its critical points and network move.

    Arguments and errors as for :func:`band_limited_correction`.
    """
    return prediction.replace(values=_problem(reference, prediction, clip, mixed_recipes).fit(k_max).corrected)


def plane_correction(
    reference: Field,
    prediction: Field,
    k_max: float,
    axis: Axis = "z",
    index: int = 0,
    clip: float = CLIP,
    mixed_recipes: bool = False,
) -> PlaneCorrection:
    """The correction of one plane of grid points by waves in that plane, as the paper's Figs. 2E to I and S3 have it.

    Args:
        k_max: rad/Å. The paper's k_max = 20 on a square of 11 Å is 11.4 rad/Å.
        axis, index: the plane, as in :func:`elfzoo.analysis.plane_residual`.
        reference, prediction, clip, mixed_recipes: as for :func:`band_limited_correction`.

    Raises:
        ElfzooError: no such plane; otherwise as :func:`band_limited_correction`.
    """
    fields = _elf_values(reference, prediction, mixed_recipes)
    grid, cut = plane_of(reference.grid, axis, index)
    truth, guess = (values[cut].reshape(grid.shape) for values in fields)
    problem = _Problem.of(truth, guess, Waves.of(grid, dims=2), clip)
    fit = problem.fit(k_max)
    return PlaneCorrection(
        **problem.figures(k_max, fit),
        axis=axis,
        index=index,
        correction=fit.correction[:, :, 0],
        corrected=fit.corrected[:, :, 0],
    )


def _problem(reference: Field, prediction: Field, clip: float, mixed_recipes: bool) -> _Problem:
    truth, guess = _elf_values(reference, prediction, mixed_recipes)
    return _Problem.of(truth, guess, Waves.of(reference.grid), clip)


def _elf_values(reference: Field, prediction: Field, mixed_recipes: bool) -> tuple[np.ndarray, np.ndarray]:
    reference.require_quantity("elf", "for a correction of logits, the reference")
    return comparable_values(reference, prediction, mixed_recipes)


def _relative_size(part: np.ndarray, whole: np.ndarray) -> RelativeSize:
    norms = [(float(np.abs(x).mean()), float(np.sqrt((x**2).mean()))) for x in (part, whole)]
    l1, l2 = (of_part / of_whole if of_whole else math.nan for of_part, of_whole in zip(*norms, strict=True))
    return RelativeSize(l1, l2)
