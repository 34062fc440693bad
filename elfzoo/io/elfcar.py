"""VASP ELFCAR: a POSCAR, a blank line, the grid, then values with x fastest; for ISPIN = 2 the grid and values again.

The first block of a spin-polarised ELFCAR is the ELF of the up channel, the second that of the down channel: neither
is a total or a difference (https://vasp.at/wiki/ELFCAR). Values are the ELF itself. ``ase.calculators.vasp``'s
``VaspChargeDensity`` takes them for a charge density and divides by the cell's volume: multiply by
``atoms.get_volume()`` to get the ELF back. pymatgen's ``Elfcar`` calls the channels ``spin_up`` and ``spin_down``
(``total`` and ``diff`` in older releases).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pymatgen.core import Element, Structure

from elfzoo.errors import FieldFileError
from elfzoo.field import Field
from elfzoo.io.content import atomic_numbers, field_from, read_title, title
from elfzoo.io.files import write_bytes
from elfzoo.io.text import Head, number_lines
from elfzoo.poscar import poscar_structure
from elfzoo.structure import structure_from

__all__ = ["read", "write"]

PER_LINE = 5  # as in a CHGCAR
WRAPPED = 20  # symbols, and counts, after which VASP begins a new line


def read(path: Path, species: Sequence[str] | None = None) -> dict[str, Field]:
    """The channels of an ELFCAR: ``{"total": ...}`` or ``{"up": ..., "down": ...}``.

    Args:
        path: the file, plain or gzipped.
        species: element symbols in the order of the counts, for VASP 4 files that do not name them.

    Raises:
        FieldFileError: see :func:`elfzoo.io.read_fields`.
    """
    head = Head(path)
    comment, structure = _read_poscar(head, species)
    expected = "a grid of three positive numbers of points"
    line = head.next_filled(expected)
    shape = head.integers(line, 3, expected)
    if len(line.split()) != 3 or min(shape) < 1:
        raise head.error(f"expected {expected}; got {line[:60]!r}")
    meta = read_title(comment)
    blocks = _split(head, shape)
    if len(blocks) == 1:
        field = field_from(blocks[0], structure, meta)
        return {field.spin or "total": field}
    channels = zip(("up", "down"), blocks, strict=True)
    return {spin: field_from(values, structure, {**meta, "spin": spin}) for spin, values in channels}


def write(fields: Mapping[str, Field], path: Path) -> None:
    """Write one field, or the channels ``up`` and ``down``, five values a line (``%.8E``).

    Atoms keep their order: species that alternate are written as repeated groups ("H La H" with counts).
    A single channel of two is named in the comment line; other programs will take it for a total.
    """
    write_bytes(path, _lines(fields))


def _lines(fields: Mapping[str, Field]) -> Iterator[bytes]:
    field = next(iter(fields.values()))
    comment = title(field if len(fields) == 1 else field.replace(spin=None))
    yield _poscar(field.structure, comment).encode("ascii")
    order = [fields[spin] for spin in ("up", "down")] if len(fields) == 2 else [field]
    for channel in order:
        yield b"%5d%5d%5d\n" % channel.values.shape
        yield from number_lines(channel.values.ravel(order="F"), PER_LINE)


def _poscar(structure: Structure, comment: str) -> str:
    symbols = [Element.from_Z(z).symbol for z in structure.atomic_numbers]
    groups = [(symbol, len(list(group))) for symbol, group in groupby(symbols)]
    lines = [comment, "   1.00000000000000"]
    lines += ["".join(f" {x:21.16f}" for x in row) for row in structure.lattice.matrix]
    lines += ["".join(f" {symbol:>4}" for symbol, _ in groups), "".join(f" {count:4d}" for _, count in groups)]
    lines += ["Direct", *("".join(f" {x:19.16f}" for x in row) for row in structure.frac_coords)]
    return "\n".join(lines) + "\n\n"


def _read_poscar(head: Head, species: Sequence[str] | None) -> tuple[str, Structure]:
    """Comment line and structure; ends at the last atom."""
    comment = head.next("a comment line, then a POSCAR")
    lines = [head.next(what) for what in ("a scale factor", *["a lattice vector"] * 3)]
    symbols, counts = _species_lines(head, species)
    mode = head.next("Direct or Cartesian")
    lines += [" ".join(symbols), " ".join(map(str, counts)), mode]
    if mode[:1] in ("S", "s"):
        lines.append(head.next("Direct or Cartesian"))
    lines += [head.next(f"the coordinates of {sum(counts)} atoms") for _ in range(sum(counts))]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = poscar_structure("\n".join(["elfcar", *lines]))
    except Exception as error:  # pymatgen lets through whatever its parser stumbles on
        reason = f"{type(error).__name__}: {error}"
        raise FieldFileError(f"{head.path}, lines 2 to {head.line}: this is no POSCAR ({reason})") from error
    return comment, structure_from(structure.lattice.matrix, structure.atomic_numbers, structure.frac_coords)


def _species_lines(head: Head, species: Sequence[str] | None) -> tuple[list[str], list[int]]:
    line = head.next("element symbols")
    vasp_4 = re.fullmatch(r"[\d\s]+", line) is not None
    if species is not None and not vasp_4:
        raise head.error(f"the header names its elements, {line}; leave out species={list(species)}")
    if vasp_4:
        if species is None:
            raise head.error(
                "a VASP 4 header without element symbols; put a line with the symbols before it, or give "
                "species=['H', 'La'] and the like"
            )
        symbols = list(species)
    else:
        symbols = _symbols(line)
    atomic_numbers(head, symbols)
    if not vasp_4:
        line = head.next("the number of atoms of each species")
        while len(symbols) % WRAPPED == 0 and line[:1].isalpha():
            atomic_numbers(head, more := _symbols(line))
            symbols += more
            line = head.next("the number of atoms of each species")
    counts = head.integers(line, len(line.split()), f"{len(symbols)} numbers of atoms")
    while len(counts) < len(symbols) and len(counts) % WRAPPED == 0:
        line = head.next("the number of atoms of each species")
        counts += head.integers(line, len(line.split()), f"{len(symbols)} numbers of atoms")
    if len(counts) != len(symbols) or not counts or min(counts) < 1:
        raise head.error(f"expected a positive number of atoms for each of {' '.join(symbols)}; got {line[:60]!r}")
    return symbols, counts


def _symbols(line: str) -> list[str]:
    """Element symbols of a line that may have the names of pseudopotentials."""
    return [re.split(r"[_/.\d]", word)[0] for word in line.split()]  # H, La_sv, Si/1a2b3c4d


def _split(head: Head, shape: Sequence[int]) -> list[Float[np.ndarray, "nx ny nz"]]:
    """One block of values, or two with the grid repeated between them."""
    size = math.prod(shape)
    numbers = _values(head)
    if len(numbers) not in (size, 2 * size + 3):
        raise FieldFileError(
            f"{head.path}: {len(numbers)} numbers after the grid {list(shape)} in line {head.line}; expected {size}, "
            f"or {2 * size + 3} for two spin channels (a truncated file?)"
        )
    if len(numbers) == size:
        return [_on_grid(numbers, shape)]
    if numbers[size : size + 3].tolist() != list(shape):
        raise FieldFileError(
            f"{head.path}: after {size} values expected the grid {list(shape)} of the second spin channel; got "
            f"{numbers[size : size + 3].tolist()}"
        )
    return [_on_grid(numbers[:size], shape), _on_grid(numbers[size + 3 :], shape)]


def _values(head: Head) -> Float[np.ndarray, " values"]:
    """All numbers that follow."""
    try:
        return head.values()
    except FieldFileError as error:
        if "augmentation" in str(error):
            raise FieldFileError(f"{error}: augmentation charges are those of a CHGCAR, which is not read") from error
        raise


def _on_grid(values: Float[np.ndarray, " values"], shape: Sequence[int]) -> Float[np.ndarray, "nx ny nz"]:
    return np.ascontiguousarray(values.reshape(shape, order="F"))
