"""Whether the difference of two fields means something: which pairs are compared at all."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.structure import require_same_structure

__all__ = ["Values", "comparable_values", "require_comparable", "require_same_grid"]

Values = Float[np.ndarray, "nx ny nz"]


def require_comparable(reference: Field, prediction: Field, mixed_recipes: bool = False) -> None:
    """Raise unless two fields, on whatever grids, are of the same quantity, spin channel, structure and recipe.

    Args:
        reference: the field that counts as right.
        prediction: the other one; its atoms may be in any order.
        mixed_recipes: take fields of different engines, functionals or pseudopotentials all the same.

    Raises:
        QuantityError: the fields hold different quantities.
        ElfzooError: other spin channels.
        StructureError: the lattices or the atoms differ by more than 0.001 Å.
        RecipeError: both recipes are known and differ, and ``mixed_recipes`` is False.
    """
    prediction.require_quantity(reference.quantity, "the prediction")
    if reference.spin != prediction.spin:
        spins = [field.spin or "total" for field in (reference, prediction)]
        raise ElfzooError(f"the spin channels differ: reference {spins[0]}, prediction {spins[1]}")
    require_same_structure(reference.structure, prediction.structure)
    if not mixed_recipes:
        reference.require_same_recipe(prediction)


def require_same_grid(
    reference: Field, prediction: Field, remedy: str = "bring one field to it first (elfzoo.interpolate.resample)"
) -> None:
    """Raise :class:`ElfzooError` unless two fields of one cell have the same number of points along each edge.

    Args:
        reference, prediction: the fields.
        remedy: what to do beside predicting on the reference's grid.
    """
    if reference.grid.shape != prediction.grid.shape:
        raise ElfzooError(
            f"the grids differ: reference {reference.grid.shape}, prediction {prediction.grid.shape}; predict on the "
            f"reference's grid, or {remedy}"
        )


def comparable_values(reference: Field, prediction: Field, mixed_recipes: bool = False) -> tuple[Values, Values]:
    """Values of both fields in float64, once it is certain that their difference means something.

    Raises:
        QuantityError, StructureError, RecipeError: as :func:`require_comparable`.
        ElfzooError: other spin channels, other grids, or values that are not finite.
    """
    require_comparable(reference, prediction, mixed_recipes)
    require_same_grid(reference, prediction)
    return _finite("reference", reference.values), _finite("prediction", prediction.values)


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise ElfzooError(f"the {name} has {bad} non-finite values; expected none")
    return values.astype(np.float64)
