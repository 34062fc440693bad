"""XCrySDen XSF: a crystal in Å and one three-dimensional data grid with x fastest.

XSF's general grids hold both ends of the period: n + 1 points along an axis, the last equal to the first
(http://www.xcrysden.org/doc/XSF.html). They are written so, and the repeated points are dropped on reading.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pymatgen.core import Element, Structure

from elfzoo.errors import ElfzooError, ElfzooWarning, FieldFileError
from elfzoo.field import Field
from elfzoo.io.content import atomic_numbers, field_from, read_title, title
from elfzoo.io.files import write_bytes
from elfzoo.io.text import Head, number_lines
from elfzoo.structure import structure_from

__all__ = ["read", "write"]

PER_LINE = 6
SAME_CELL = 1e-4  # angstrom; programs write six decimals
SAME_VALUE = 1e-4  # a repeated point; programs that interpolate repeat it within their rounding
_GRID = re.compile(r"(BEGIN_)?DATAGRID_3D")
_ANOTHER_GRID = re.compile(rb"^\s*(BEGIN_)?DATAGRID_3D", re.MULTILINE)


def read(path: Path, species: Sequence[str] | None = None) -> dict[str, Field]:
    """The field of an XSF file, under ``"total"`` or, where our own comment says so, ``"up"`` or ``"down"``.

    Raises:
        FieldFileError: see :func:`elfzoo.io.read_fields`; also molecules, animations, several grids, and grids that do
            not span the cell or do not repeat their first points at the end.
    """
    if species is not None:
        raise ElfzooError("species are for files without element symbols; an XSF file has them")
    head = Head(path)
    comments: list[str] = []
    lattice, numbers, positions = _read_crystal(head, comments)
    shape, origin = _read_grid(head, lattice)
    values = head.grid_values(shape, order="F", end=b"END_DATAGRID")
    if _ANOTHER_GRID.search(head.rest()):
        raise FieldFileError(f"{path}: more than one data grid; expected a file with one field")
    values = _drop_repeated_ends(values, path)
    meta = read_title(*comments)
    if origin.any():
        meta["origin"] = origin.tolist()
    field = field_from(values, structure_from(lattice, numbers, positions - origin, cartesian=True), meta)
    return {field.spin or "total": field}


def write(fields: Mapping[str, Field], path: Path) -> None:
    """Write one field: lattice and positions in Å, values in nine significant digits (``%.8E``)."""
    write_bytes(path, _lines(next(iter(fields.values()))))


def _lines(field: Field) -> Iterator[bytes]:
    values = np.pad(field.values, ((0, 1), (0, 1), (0, 1)), mode="wrap")
    lattice = [_row(vector) for vector in field.structure.lattice.matrix]
    lines = [f"# {title(field)}", "CRYSTAL", "PRIMVEC", *lattice, "PRIMCOORD", f"{len(field.structure)} 1"]
    lines += _atom_lines(field.structure)
    name = re.sub(r"[^\x21-\x7e]", "_", field.quantity)  # a word of ASCII, as other programs expect
    lines += ["BEGIN_BLOCK_DATAGRID_3D", name, f"BEGIN_DATAGRID_3D_{name}"]
    lines += [" ".join(map(str, values.shape)), _row(np.zeros(3)), *lattice]
    yield ("\n".join(lines) + "\n").encode("ascii")
    yield from number_lines(values.ravel(order="F"), PER_LINE)
    yield b"END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n"


def _atom_lines(structure: Structure) -> list[str]:
    symbols = [Element.from_Z(z).symbol for z in structure.atomic_numbers]
    return [f"{s:<3}" + _row(x) for s, x in zip(symbols, structure.cart_coords, strict=True)]


def _row(vector: Float[np.ndarray, " 3"]) -> str:
    return "".join(f" {x:19.14f}" for x in vector)


def _read_crystal(
    head: Head, comments: list[str]
) -> tuple[Float[np.ndarray, "3 3"], list[int], Float[np.ndarray, "atoms 3"]]:
    """Lattice, atomic numbers and positions; ends at the line that opens the data grid."""
    lattice: Float[np.ndarray, "3 3"] | None = None
    numbers: list[int] = []
    positions: list[list[float]] = []
    while not _GRID.match(word := _keyword(head, comments)):
        if word == "PRIMVEC":
            lattice = _read_vectors(head, "a lattice vector")
        elif word == "CONVVEC":
            _read_vectors(head, "a lattice vector")
        elif word == "PRIMCOORD":
            numbers, positions = _read_atoms(head)
        elif word == "CONVCOORD":  # the same atoms in another cell
            _read_atoms(head)
        elif word == "DIM-GROUP":
            _require_crystal(head)
        elif word in ("BEGIN_BLOCK_DATAGRID_3D", "BEGIN_BLOCK_DATAGRID3D"):
            comments.append(head.next("the name of a block of data grids"))
        elif word != "CRYSTAL":
            raise head.error(f"expected CRYSTAL, PRIMVEC, PRIMCOORD and one three-dimensional data grid; got {word!r}")
    if lattice is None or not numbers:
        raise head.error("a data grid before PRIMVEC and PRIMCOORD; expected the structure first")
    return lattice, numbers, np.array(positions)


def _keyword(head: Head, comments: list[str]) -> str:
    """The next line that is neither blank nor a comment; comments are collected."""
    while (line := head.next_filled("a data grid (BEGIN_DATAGRID_3D)")).startswith("#"):
        comments.append(line.lstrip("# "))
    return line.upper()


def _read_vectors(head: Head, expected: str) -> Float[np.ndarray, "3 3"]:
    return np.array([head.numbers(head.next(expected), 3, f"{expected} of three numbers") for _ in range(3)])


def _require_crystal(head: Head) -> None:
    """The older word for what CRYSTAL says: 3 periodic dimensions, and a number of the group."""
    expected = "the number of periodic dimensions and of a group"
    if head.integers(head.next(expected), 2, expected)[0] != 3:
        raise head.error("DIM-GROUP is not of a crystal; expected 3 periodic dimensions")


def _read_atoms(head: Head) -> tuple[list[int], list[list[float]]]:
    expected = "the number of atoms"
    count = head.integers(head.next(expected), 1, expected)[0]
    numbers, positions = [], []
    for _ in range(count):
        line = head.next(f"{count} atoms")
        symbol, rest = (*line.split(None, 1), "", "")[:2]
        letters = re.match("[A-Za-z]+", symbol)  # Fe1 and Fe2 are two kinds of iron, and codes may write FE
        element = letters.group().capitalize() if letters else symbol
        numbers += [int(symbol)] if symbol.isdigit() else atomic_numbers(head, [element])
        positions.append(head.numbers(rest, 3, "an element and a position"))
    return numbers, positions


def _read_grid(head: Head, lattice: Float[np.ndarray, "3 3"]) -> tuple[list[int], Float[np.ndarray, " 3"]]:
    """Numbers of points, ends included, and origin of a grid that spans the cell."""
    expected = "three numbers of points, each at least 2"
    shape = head.integers(head.next(expected), 3, expected)
    if min(shape) < 2:
        raise head.error(f"expected {expected}; got {shape}")
    origin = np.array(head.numbers(head.next("the origin of the grid"), 3, "the origin of the grid"))
    span = _read_vectors(head, "a spanning vector of the grid")
    if np.abs(span - lattice).max() > SAME_CELL:
        raise head.error(f"the grid spans {span.tolist()}; expected the cell {lattice.tolist()} (Å)")
    return shape, origin


def _drop_repeated_ends(values: Float[np.ndarray, "nx1 ny1 nz1"], path: Path) -> Float[np.ndarray, "nx ny nz"]:
    if all(np.ptp(np.take(values, 0, axis)) <= SAME_VALUE for axis in range(3)):
        warnings.warn(
            f"{path}: the values at the border of the grid are all alike, so that they do not tell whether it holds "
            "both ends of the period, as a general XSF grid does; the last points are dropped as if they did",
            ElfzooWarning,
            stacklevel=5,
        )
    for axis, name in enumerate("xyz"):
        gap = np.abs(np.take(values, 0, axis) - np.take(values, -1, axis)).max()
        if gap > SAME_VALUE:
            raise FieldFileError(
                f"{path}: along {name} the last points of the grid differ from the first by {gap:.3g}; expected a "
                "general XSF grid, which holds both ends of the period"
            )
    return np.ascontiguousarray(values[:-1, :-1, :-1])
