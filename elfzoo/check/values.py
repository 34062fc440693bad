"""Are the values an ELF at all: finite, within [0, 1], not constant, not scaled by the volume of the cell."""

from __future__ import annotations

import numpy as np

from elfzoo.check.finding import Finding
from elfzoo.field import Field

__all__ = ["check_values"]

ROUNDING = 1e-6  # printed digits may step over 0 or 1 by this much
OVERSHOOT = 0.02  # what an interpolated ELF may leave [0, 1] by
LOWEST_MAXIMUM = 0.15  # copper, the flattest of the usual metals, reaches 0.29
FLATTEST = 1e-6


def check_values(field: Field) -> list[Finding]:
    """Findings ``non-finite``, ``constant``, ``volume-scaled``, ``range`` and ``low-maximum``: one at most."""
    values = field.values
    broken = ~np.isfinite(values)
    if broken.any():
        return [_non_finite(values, broken)]
    low, high = float(values.min()), float(values.max())
    if high - low < FLATTEST:
        message = f"every value of the field is {high:.6g}"
        return [Finding("error", "constant", message, "Check that the calculation wrote its ELF")]
    if low < -ROUNDING or high > 1 + ROUNDING:
        return [_out_of_range(low, high, field.structure.volume)]
    if high < LOWEST_MAXIMUM:
        return [_too_small(high, field.structure.volume)]
    return []


def _non_finite(values: np.ndarray, broken: np.ndarray) -> Finding:
    place = tuple(int(i) for i in np.argwhere(broken)[0])
    message = f"{int(broken.sum())} of {values.size} values are not finite, the first at grid point {place}"
    remedy = "Compute the field again; ELF is undefined where the density is zero, unless the code guards against it"
    return Finding("error", "non-finite", message, remedy)


def _out_of_range(low: float, high: float, volume: float) -> Finding:
    if low > -ROUNDING * volume and high / volume > LOWEST_MAXIMUM and high <= volume * (1 + ROUNDING):
        message = f"the maximum is {high:.4g}, which is {high / volume:.3f} times the cell volume of {volume:.4g} Å³"
        return Finding("error", "volume-scaled", message, "The values look multiplied by the volume: divide by it")
    message = f"values run from {low:.4g} to {high:.4g}, while an ELF lies between 0 and 1"
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        return Finding("warning", "range", message, "Clip them if the field was interpolated, else compute it again")
    return Finding("error", "range", message, "Check that the file holds an ELF and not a density or a difference")


def _too_small(high: float, volume: float) -> Finding:
    message = f"the maximum is only {high:.3g}"
    if LOWEST_MAXIMUM < high * volume <= 1 + ROUNDING:
        message += f", which times the cell volume of {volume:.4g} Å³ is {high * volume:.3f}"
        remedy = f"The values look divided by the volume, as some readers do with VASP grids: multiply by {volume:.6g}"
        return Finding("error", "volume-scaled", message, remedy)
    return Finding("warning", "low-maximum", message, "Even a nearly free electron gas has 0.5: check how it was made")
