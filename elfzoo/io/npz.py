"""NumPy ``.npz`` in the layout of the reference data: the quantity's own key, lattice, frac_coords, numbers, meta."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field
from elfzoo.io.content import field_from, pack_meta
from elfzoo.io.files import read_bytes, write_bytes
from elfzoo.io.symmetric import LAYOUT_KEYS, STRUCTURE_KEYS, archive, stored_values
from elfzoo.structure import structure_from

__all__ = ["read", "read_record", "write"]


def read(path: Path, species: Sequence[str] | None = None) -> dict[str, Field]:
    """The field of an ``.npz`` file, under ``"total"``, ``"up"`` or ``"down"``.

    Keys: ``lattice`` (3, 3) rows in Å, ``frac_coords`` (atoms, 3), ``numbers`` (atoms,), ``meta`` (JSON text,
    optional), and one array (nx, ny, nz) under the quantity's name: floats as they are, or uint16
    (:mod:`elfzoo.io.quantised`).
    Smaller layouts of that array, with further keys, are described in :mod:`elfzoo.io.symmetric`.

    Raises:
        FieldFileError: see :func:`elfzoo.io.read_fields`; pickled objects are never opened.
    """
    if species is not None:
        raise ElfzooError("species are for files without element symbols; an .npz file has atomic numbers")
    arrays = _load(path)
    missing = [key for key in STRUCTURE_KEYS if key not in arrays]
    quantities = [key for key in arrays if key not in (*STRUCTURE_KEYS, *LAYOUT_KEYS, "meta")]
    if missing or len(quantities) != 1:
        raise FieldFileError(
            f"{path} holds {', '.join(arrays) or 'nothing'}; expected {', '.join(STRUCTURE_KEYS)}, meta and one field "
            "(such as elf)"
        )
    lattice, coords, numbers = (arrays[key] for key in STRUCTURE_KEYS)
    meta = {"quantity": quantities[0], **_meta(path, arrays)}
    values = stored_values(arrays[quantities[0]], arrays)
    field = field_from(values, structure_from(lattice, numbers, coords), meta)
    return {field.spin or "total": field}


def read_record(path: Path) -> tuple[Structure, dict[str, Any]]:
    """Structure and metadata of an ``.npz`` file, without the work of its values.

    Raises:
        FieldFileError: no such file, or damaged.
    """
    arrays = _load(path)
    if missing := [key for key in STRUCTURE_KEYS if key not in arrays]:
        raise FieldFileError(f"{path} lacks {', '.join(missing)}; expected a field with its structure")
    lattice, coords, numbers = (arrays[key] for key in STRUCTURE_KEYS)
    return structure_from(lattice, numbers, coords), _meta(path, arrays)


def write(fields: Mapping[str, Field], path: Path) -> None:
    """Write one field, compressed, its values in their own floating-point type."""
    field = next(iter(fields.values()))
    write_bytes(path, [archive(field, {field.quantity: field.values}, pack_meta(field))])


def _load(path: Path) -> dict[str, np.ndarray]:
    data = read_bytes(path)
    if not data.startswith(b"PK"):
        raise FieldFileError(f"{path} is no .npz file: it begins with {data[:8]!r}; expected a zip archive of arrays")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {key: np.asarray(archive[key]) for key in archive.files}
    except Exception as error:  # zip, zlib and numpy's headers each fail in their own ways
        raise FieldFileError(f"{path} is a damaged or truncated .npz file: {error}") from error


def _meta(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    if "meta" not in arrays:
        return {}
    try:
        return dict(json.loads(str(arrays["meta"])))
    except (ValueError, TypeError) as error:
        raise FieldFileError(f"{path}: meta is no JSON object: {error}") from error
