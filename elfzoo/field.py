"""A Field: values on a Grid, with the Structure they belong to, the quantity and the recipe that made them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pymatgen.core import Structure

from elfzoo.errors import ElfzooError, QuantityError, RecipeError
from elfzoo.grid import Grid
from elfzoo.quantity import quantity_of
from elfzoo.structure import as_structure

__all__ = ["Field", "Recipe", "read_field"]

Spin = Literal["up", "down"]


@dataclass(frozen=True)
class Recipe:
    """What made a field. Fields of different recipes differ by more than models do and are never mixed silently."""

    engine: str
    functional: str
    pseudopotential: str

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Recipe | None:
        """The recipe in a data file's metadata, or None where the file does not say.

        It stands there as it is under ``recipe``, or the beginning of ``engine`` tells it.
        """
        stated = meta.get("recipe")
        if isinstance(stated, Mapping) and set(stated) == {"engine", "functional", "pseudopotential"}:
            return cls(*(str(stated[name]) for name in ("engine", "functional", "pseudopotential")))
        engine = re.match(r"(Quantum ESPRESSO|GPAW|VASP) [\d.]+|[\w .-]+", str(meta.get("engine") or ""))
        if engine is None:
            return None
        return cls(engine.group().strip(), str(meta.get("functional", "")), str(meta.get("pseudopotential", "")))


@dataclass(frozen=True, eq=False)
class Field:
    """Values of a scalar quantity on a regular periodic grid.

    Args:
        values: (nx, ny, nz); ``values[i, j, k]`` belongs to fractional (i/nx, j/ny, k/nz). ELF has no unit, densities
            are in e/Å³.
        structure: the crystal or MD frame; anything that :func:`elfzoo.structure.as_structure` takes.
        quantity: what the values are, see :mod:`elfzoo.quantity`; ``"elf"`` unless stated.
        recipe: engine, functional and pseudopotential, or None where unknown.
        spin: ``"up"`` or ``"down"`` for one channel of a spin-polarised calculation; None for a total.
        meta: provenance, JSON values.
    """

    values: Float[np.ndarray, "nx ny nz"]
    structure: Structure
    quantity: str = "elf"
    recipe: Recipe | None = None
    spin: Spin | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.ndim != 3:
            raise ElfzooError(f"a field needs values on a three-dimensional grid; got an array of shape {values.shape}")
        if not np.issubdtype(values.dtype, np.floating):
            values = values.astype(np.float64)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "structure", as_structure(self.structure))

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.values.shape))
        return f"Field({self.quantity}, {shape} points, {self.structure.composition.reduced_formula}, {self.recipe})"

    @property
    def is_prediction(self) -> bool:
        """Whether a model made it, as far as its provenance says."""
        return "predicted_by" in self.meta

    @property
    def grid(self) -> Grid:
        """The grid that the values live on."""
        return Grid((self.values.shape[0], self.values.shape[1], self.values.shape[2]), self.structure.lattice.matrix)

    @property
    def integral(self) -> float:
        """Over the cell, in the unit of the values times Å³: of a density, the number of electrons."""
        return float(self.values.mean(dtype=np.float64) * self.structure.volume)

    @property
    def bounds(self) -> tuple[float, float]:
        """What no value of the quantity can be below and above, 0 and 1 for ELF, on the sides where the stored values
        keep to it; else infinite. What interpolation gives beyond is its own error.
        """
        low, high = quantity_of(self.quantity).bounds or (-np.inf, np.inf)
        return low if self.values.min() >= low else -np.inf, high if self.values.max() <= high else np.inf

    def replace(self, **changes: Any) -> Field:
        """A copy with some attributes changed."""
        return replace(self, **changes)

    def write(self, path: str | Path, format: str | None = None) -> Path:
        """Write a VASP ELFCAR, Gaussian ``.cube``, XCrySDen ``.xsf``, ``.npz`` or ``.h5`` (by name, ``.gz`` too).

        The file appears whole or not at all. See :func:`elfzoo.io.write_field`.
        """
        from elfzoo.io import write_field

        return write_field(self, path, format=format)

    def require_quantity(self, name: str, what: str = "the field") -> None:
        """Raise :class:`QuantityError` when ``what`` holds anything else than the quantity of this name."""
        if self.quantity != name:
            raise QuantityError(f"{what} holds the quantity {self.quantity!r}; expected {name!r}")

    def require_same_recipe(self, other: Field) -> None:
        """Raise :class:`RecipeError` when both recipes are known and differ."""
        if self.recipe is not None and other.recipe is not None and self.recipe != other.recipe:
            raise RecipeError(
                f"fields of different recipes: {self.recipe} and {other.recipe}; what differs between them may be "
                "the engine rather than the model. Say so explicitly (mixed_recipes=True) to compare all the same"
            )


def read_field(
    path: str | Path,
    spin: Spin | None = None,
    format: str | None = None,
    species: Sequence[str] | None = None,
    check: bool = True,
) -> Field:
    """Read a field file: ELFCAR, cube, XSF, ``.npz`` or HDF5, plain or ``.gz``. See :func:`elfzoo.io.read_field`."""
    from elfzoo.io import read_field as read

    return read(path, spin=spin, format=format, species=species, check=check)
