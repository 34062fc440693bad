"""What every format stores beside the values: the structure, and quantity, spin and recipe as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from pymatgen.core import Element, Structure

from elfzoo.errors import ElfzooError
from elfzoo.field import Field, Recipe
from elfzoo.io.text import Head
from elfzoo.quantity import quantity_of

__all__ = ["atomic_numbers", "field_from", "names_another", "pack_meta", "read_title", "title"]

ELF = re.compile(r"\belf|locali[sz]ation", re.IGNORECASE)
ANOTHER = re.compile(
    r"(charge|electron\w*|total|valence|spin|pseudo) *densit\w+|\b(electrostatic|hartree|local|exchange\S*) *potential|"
    r"wave *function|orbital|magneti[sz]ation|\b(laplacian|density|rho)$",
    re.IGNORECASE,
)
SIGNATURE = "elfzoo "  # a comment line that begins so continues with JSON


def atomic_numbers(head: Head, symbols: Sequence[str]) -> list[int]:
    """Atomic numbers of the element symbols in the line of ``head`` that was read last.

    Raises:
        FieldFileError: a symbol that is no element.
    """
    for symbol in symbols:
        if not Element.is_valid_symbol(symbol):
            raise head.error(f"{symbol[:20]!r} is no element symbol; expected H, La and the like")
    return [Element(symbol).Z for symbol in symbols]


def field_from(values: np.ndarray, structure: Structure, meta: Mapping[str, Any]) -> Field:
    """A Field whose quantity, spin and recipe are those that ``meta`` states.

    Raises:
        ElfzooError: the values are no real numbers on a three-dimensional grid.
    """
    if not np.issubdtype(values.dtype, np.floating) or values.ndim != 3 or not values.size:
        raise ElfzooError(f"values of type {values.dtype} and shape {values.shape}; expected floats (nx, ny, nz)")
    if values.dtype not in (np.float16, np.float32, np.float64):  # another byte order, or wider than anyone needs
        values = values.astype(np.float64)
    spin = meta.get("spin")
    return Field(
        values=values,
        structure=structure,
        quantity=str(meta.get("quantity", "elf")),
        recipe=Recipe.from_meta(meta),
        spin=spin if spin in ("up", "down") else None,
        meta=meta,
    )


def pack_meta(field: Field) -> dict[str, Any]:
    """The field's metadata with its quantity, spin ("none" for a total) and recipe; :func:`field_from` reads it.

    ``engine`` may say more than the recipe's. Where it does not lead back to the recipe, that stands there as it is.

    Raises:
        ElfzooError: the metadata hold something that JSON cannot.
    """
    packed = {**field.meta, "quantity": field.quantity, "spin": field.spin or "none"}
    if isinstance(packed.get("recipe"), Mapping):
        del packed["recipe"]  # of the file that the field came from
    if field.recipe is not None and Recipe.from_meta(packed) != field.recipe:
        engine = str(packed.get("engine", ""))
        packed |= asdict(field.recipe) | ({"engine": engine} if engine.startswith(field.recipe.engine) else {})
        if Recipe.from_meta(packed) != field.recipe:
            packed["recipe"] = asdict(field.recipe)
    try:
        json.dumps(packed)
    except (TypeError, ValueError) as error:
        raise ElfzooError(f"the field's meta cannot be written as JSON: {error}") from error
    return packed


def title(field: Field) -> str:
    """One comment line with quantity, its unit, spin and recipe, so that a text file keeps them too."""
    keys = ("quantity", "unit", "spin", "engine", "functional", "pseudopotential", "recipe", "predicted_by")
    packed, unit = pack_meta(field), quantity_of(field.quantity).unit
    if unit:  # other programs take a cube's densities for e/bohr³: whoever looks here knows better
        packed["unit"] = unit.replace("Å³", "A^3")
    return SIGNATURE + json.dumps({key: packed[key] for key in keys if key in packed})


def names_another(comment: str) -> str | None:
    """The words of a title by another program that name another quantity than ELF, if it has such and none of ELF."""
    if ELF.search(comment):
        return None
    found = next(filter(None, (ANOTHER.search(line.strip()) for line in comment.split("|"))), None)
    return found.group().strip() if found else None


def read_title(*lines: str) -> dict[str, Any]:
    """Metadata from the comment lines of a text file: our own title, or else the lines as ``comment``."""
    for line in lines:
        if line.startswith(SIGNATURE + "{"):
            try:
                return dict(json.loads(line.removeprefix(SIGNATURE)))
            except ValueError:  # somebody's editor cut the line; the values are what matters
                break
    return {"comment": " | ".join(line for line in lines if line)}
