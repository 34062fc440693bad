"""What a field holds: the name in its files, a title and a unit for people, and the values that it may take.

This is the one place that tells quantities apart; everything else asks here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

__all__ = ["QUANTITIES", "Quantity", "quantity_of"]


@dataclass(frozen=True)
class Quantity:
    """A scalar quantity of a crystal.

    Args:
        name: as in :attr:`elfzoo.field.Field.quantity`, and the key in ``.npz`` files.
        title: for people.
        unit: empty where there is none.
        lowest, highest: what the quantity cannot leave; None where there is no bound.
        counts_electrons: whether its integral is their number.
    """

    name: str
    title: str
    unit: str = ""
    lowest: float | None = None
    highest: float | None = None
    counts_electrons: bool = False

    @property
    def label(self) -> str:
        """Title and unit, for axes and tables."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Both ends of its range, if it has two."""
        if self.lowest is None or self.highest is None:
            return None
        return self.lowest, self.highest

    def span(self, *fields: Float[np.ndarray, ...]) -> tuple[float, float]:
        """The range that pictures and histograms show: the quantity's own, else that of all these values."""
        if self.bounds is not None:
            return self.bounds
        return min(float(values.min()) for values in fields), max(float(values.max()) for values in fields)

    def on_unit_interval(self, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Values for strata on [0, 1]: as they are where that is the range, else from smallest to largest."""
        if self.bounds == (0.0, 1.0):
            return values
        low, high = self.span(values)
        return (values - low) / max(high - low, np.finfo(np.float64).tiny)

    def text(self, *values: float) -> str:
        """``"ELF 0.012 to 0.988"``, or a value alone."""
        return f"{self.title} {' to '.join(f'{value:.3f}' for value in values)} {self.unit}".rstrip()


QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        q.name: q
        for q in (
            Quantity("elf", "ELF", "", 0.0, 1.0),
            Quantity("elf_deviation", "standard deviation of ELF", "", 0.0),
            Quantity("density", "electron density", "e/Å³", 0.0, counts_electrons=True),
            Quantity("density_difference", "density difference", "e/Å³"),
        )
    }
)


def quantity_of(name: str) -> Quantity:
    """The quantity of this name; of a name that nobody knows, one without unit and bounds."""
    return QUANTITIES.get(name, Quantity(name, name))
