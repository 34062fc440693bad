"""Is the grid fine enough for the field: its spacing, and what is left near the Nyquist frequency."""

from __future__ import annotations

import numpy as np

from elfzoo.check.finding import Finding, by_points
from elfzoo.field import Field
from elfzoo.interpolate import fourier_resample

__all__ = ["check_sampling"]

WIDEST_SPACING = 0.15  # angstrom; beyond it, hydrogen's ELF between grid points is off by more than 0.003
HIGH_FREQUENCY = 2 / 3  # of the Nyquist frequency
LARGEST_TAIL = 0.01  # where the tail is larger, interpolation errs by more than a third of it: 0.003


def check_sampling(field: Field) -> list[Finding]:
    """Findings ``coarse-grid`` (spacing above 0.15 Å) and ``aliasing`` (too much beyond 2/3 of Nyquist).

    The thresholds come from reference fields of hydrogen, hydrides and metals thinned out by 2 to 6: the root mean
    square of what lies beyond 2/3 of the Nyquist frequency is about three times the error of interpolation, and 0.003
    is the difference between two good DFT codes.
    """
    return _coarse_grid(field) + _aliasing(field)


def _coarse_grid(field: Field) -> list[Finding]:
    if max(field.grid.spacing) <= WIDEST_SPACING * (1 + 1e-6):
        return []
    spacing = " x ".join(f"{d:.3f}" for d in field.grid.spacing)
    finer = field.grid.from_spacing(field.grid.lattice, WIDEST_SPACING * 2 / 3).shape
    message = f"the grid points are {spacing} Å apart, more than {WIDEST_SPACING} Å"
    remedy = (
        f"Compute the ELF on a finer grid, such as {by_points(finer)} (VASP: NGX, NGY, NGZ; Quantum ESPRESSO: ecutrho)"
    )
    return [Finding("warning", "coarse-grid", message, remedy)]


def _aliasing(field: Field) -> list[Finding]:
    tails = [_tail(field.values, axis) for axis in range(3)]
    if max(tails) <= LARGEST_TAIL:
        return []
    message = (
        f"along {'abc'[int(np.argmax(tails))]}, what varies faster than 2/3 of the Nyquist frequency has a root mean "
        f"square of {max(tails):.3f} (at most {LARGEST_TAIL} on a good grid)"
    )
    remedy = "The grid is too coarse for the field, or the field is noisy or was interpolated by nearest points"
    return [Finding("warning", "aliasing", message, remedy)]


def _tail(values: np.ndarray, axis: int) -> float:
    """Root mean square of the part of the field beyond 2/3 of the Nyquist frequency of one axis."""
    shape = list(values.shape)
    shape[axis] = max(1, int(HIGH_FREQUENCY * shape[axis] - 1) // 2 * 2 + 1)  # odd: no Nyquist term is folded
    smooth = fourier_resample(values, (shape[0], shape[1], shape[2]))
    power = float(np.mean(values.astype(np.float64) ** 2) - np.mean(smooth**2))
    return float(np.sqrt(max(power, 0.0)))
