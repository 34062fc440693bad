"""Values of reference fields as uint16, and back.

A value of an ELF is its stored integer divided by 65535. A density is that times ``scale``, the smallest power of two
that no value exceeds. Its precision is therefore absolute: ``scale``/131070, which is 1.6e-5 of the largest value at
worst (for hydrogen, whose density peaks at 2 to 4 e/Å³, 1.5e-5 to 3.1e-5 e/Å³). A power of two multiplies exactly, so
what is read and written again stays the same.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped, UInt16

from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.quantity import quantity_of

__all__ = ["RINGING", "ROUNDING", "quantised", "restored", "scale_of", "storable"]

LARGEST = 65535
ROUNDING = 1e-6  # printed digits may step over 0 or 1 by this much
RINGING = 1e-3  # e/Å³ that a density may fall below zero beside a compact shell; stored as zero


def storable(field: Field) -> Float[np.ndarray, "nx ny nz"]:
    """The field's values as float64, without what rounding and ringing add.

    Raises:
        ElfzooError: values outside [0, 1] by more than 1e-6; of a density, below -0.001 e/Å³ or nowhere positive.
    """
    quantity, values = quantity_of(field.quantity), field.values.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if quantity.counts_electrons:
        if not (low >= -RINGING and 0 < high < np.inf):  # NaN fails both
            raise ElfzooError(
                f"values from {low:.6g} to {high:.6g}; a stored {quantity.title} is finite, somewhere positive and "
                f"nowhere below -{RINGING} {quantity.unit}"
            )
        return values.clip(0.0)
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise ElfzooError(
            f"values from {low:.6g} to {high:.6g}; a stored reference field lies within [0, 1] (tolerance {ROUNDING})"
        )
    return values.clip(0.0, 1.0)


def scale_of(name: str, values: Float[np.ndarray, "*points"]) -> float | None:
    """The scale to store values of the quantity of this name by; None for ELF."""
    return float(2.0 ** np.ceil(np.log2(values.max()))) if quantity_of(name).counts_electrons else None


def quantised(values: Float[np.ndarray, "*points"], scale: float | None) -> UInt16[np.ndarray, "*points"]:
    """Values in [0, scale] as integers; without a scale in [0, 1]."""
    return np.rint(values * (LARGEST if scale is None else LARGEST / scale)).astype(np.uint16)


def restored(
    integers: UInt16[np.ndarray, "*points"], scale: Shaped[np.ndarray, "*any"] | None
) -> Float[np.ndarray, "*points"]:
    """The values, as float32.

    Raises:
        ElfzooError: a scale that is no positive number.
    """
    values = integers / np.float32(LARGEST)
    if scale is None:
        return values
    if scale.shape != () or scale.dtype.kind != "f" or not 0 < float(scale) < np.inf:
        raise ElfzooError(f"a scale {scale.tolist()} of type {scale.dtype}; expected one positive number")
    return values * np.float32(scale)
