"""Values along a line or on a plane as a table: CSV for spreadsheets, ``.npz`` for NumPy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pymatgen.core import Structure

from elfzoo.io.files import write_bytes
from elfzoo.paths import Line, Plane

__all__ = ["write_points"]


def write_points(
    path: Path,
    values: Float[np.ndarray, " points"],
    where: Line | Plane,
    structure: Structure,
    meta: Mapping[str, Any],
    quantity: str = "elf",
) -> None:
    """Write one row per point; the file appears whole or not at all.

    CSV columns: distance from the start of a line, or along and across a plane (Å); fractional coordinates;
    Cartesian positions (Å); values, under the quantity's name. An ``.npz`` file has the same as arrays: ``distance``
    (points,) or ``in_plane`` (points, 2) with the plane's ``shape``, ``frac_coords`` and ``positions`` (points, 3), the
    values (points,), the structure under ``lattice``, ``atom_frac_coords`` and ``numbers``, and ``meta`` (JSON text).

    Args:
        path: ends in ``.csv``, ``.csv.gz`` or ``.npz``.
        values: at the points of ``where``, in its order.
        where: the line or the plane.
        structure: the crystal that it runs through.
        meta: provenance, JSON values.
        quantity: what the values are, as in :mod:`elfzoo.quantity`.

    Raises:
        FieldFileError: the file cannot be written.
    """
    arrays = _coordinates(where, structure) | {quantity: np.asarray(values)}
    if path.suffix.lower() != ".npz":
        return write_bytes(path, [_csv(arrays)])
    if isinstance(where, Plane):
        arrays["shape"] = np.array(where.shape)
    arrays |= {
        "lattice": structure.lattice.matrix,
        "atom_frac_coords": structure.frac_coords,
        "numbers": np.array(structure.atomic_numbers),
        "meta": np.array(json.dumps(dict(meta))),
    }
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, [buffer.getvalue()])


COLUMNS = {
    "distance": ("distance_angstrom",),
    "in_plane": ("along_angstrom", "across_angstrom"),
    "frac_coords": ("frac_a", "frac_b", "frac_c"),
    "positions": ("x_angstrom", "y_angstrom", "z_angstrom"),
}


def _coordinates(where: Line | Plane, structure: Structure) -> dict[str, np.ndarray]:
    lattice, frac = structure.lattice.matrix, where.frac_coords()
    if isinstance(where, Line):
        first = {"distance": where.distances(lattice)}
    else:
        first = {"in_plane": where.project(frac, lattice)[:, :2]}
    return first | {"frac_coords": frac, "positions": frac @ lattice}


def _csv(arrays: Mapping[str, np.ndarray]) -> bytes:
    names = [name for key in arrays for name in COLUMNS.get(key, (key,))]
    table = np.column_stack(list(arrays.values()))
    buffer = BytesIO()
    np.savetxt(buffer, table, fmt="%.6f", delimiter=",", header=",".join(names), comments="")
    return buffer.getvalue()
