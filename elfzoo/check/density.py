"""Is an electron density one: finite, not negative, and with the electrons that it should hold."""

from __future__ import annotations

import numpy as np

from elfzoo.check.finding import Finding
from elfzoo.field import Field

__all__ = ["check_density"]

NEGATIVE = 1e-3  # e/Å³; ringing beside compact shells
COUNT = 1e-3  # relative


def check_density(field: Field) -> list[Finding]:
    """Findings ``non-finite``, ``negative`` and ``electrons`` of a density in e/Å³.

    The number of electrons is that of the field's metadata (``valence_electrons``, as reference densities have it);
    where they say nothing, it is told and not judged.
    """
    broken = ~np.isfinite(field.values)
    if broken.any():
        message = f"{int(broken.sum())} of {broken.size} values are not finite"
        return [Finding("error", "non-finite", message, "Compute the field again")]
    return _negative(float(field.values.min())) + _electrons(field.integral, field.meta.get("valence_electrons"))


def _negative(lowest: float) -> list[Finding]:
    if lowest >= -NEGATIVE:
        return []
    message = f"the density falls to {lowest:.4g} e/Å³"
    remedy = "Check that it is a density and no difference; beside compact shells a coarse grid rings"
    return [Finding("warning", "negative", message, remedy)]


def _electrons(count: float, expected: float | None) -> list[Finding]:
    if expected is None:
        message = f"the density holds {count:.4f} electrons per cell if its unit is e/Å³"
        return [Finding("info", "electrons", message, "Compare that with the valence electrons of the calculation")]
    if abs(count - expected) <= COUNT * expected:
        return []
    message = f"the density holds {count:.4f} electrons per cell; expected {expected:g}"
    return [Finding("error", "electrons", message, "Check its unit, e/Å³, and that nothing of it was cut off")]
