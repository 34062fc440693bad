"""Gaussian cube: two titles, origin, voxel vectors, atoms, then values with z fastest; lengths in bohr.

Format: https://gaussian.com/cubegen and https://paulbourke.net/dataformats/cube (negative numbers of voxels: Å).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from elfzoo.errors import ElfzooWarning, FieldFileError
from elfzoo.field import Field
from elfzoo.io.content import atomic_numbers, field_from, read_title, title
from elfzoo.io.files import write_bytes
from elfzoo.io.text import Head, number_lines
from elfzoo.structure import structure_from

__all__ = ["read", "write"]

BOHR = 0.529177210903  # angstrom, CODATA 2018
PER_LINE = 6
SAME_VALUE = 1e-6  # of an ELF; programs write five digits or more, and repeat a point exactly
BOTH_ENDS = "castep2cube"  # in the titles of a program that writes both ends of the period
ANOTHER_ORDER = re.compile(r"OUTER LOOP: *[YZ].*INNER LOOP: *[XYZ]", re.IGNORECASE)
PWSCF = "cubefile created from pwscf"


def read(path: Path, species: Sequence[str] | None = None) -> dict[str, Field]:
    """The field of a cube file, under ``"total"`` or, where our own title says so, ``"up"`` or ``"down"``.

    Atoms are shifted by minus the origin, so that ``values[0, 0, 0]`` sits at the origin of the cell; the origin is
    kept in ``meta["origin"]`` (Å). The cell is number of voxels times voxel vector; CASTEP's castep2cube writes both
    ends of the period, of which the second is dropped. A file of another program that seems to do so gets a warning.

    Args:
        path: the file, plain or gzipped.
        species: element symbols by species index, where the file has indices in place of atomic numbers.

    Raises:
        FieldFileError: see :func:`elfzoo.io.read_fields`; also a file with several values per point, with other loops
            than z innermost, and a Quantum ESPRESSO file whose atomic numbers may be species indices while no
            ``species`` are given.
    """
    head = Head(path)
    titles = (head.next("a title"), head.next("a second title"))
    if other := ANOTHER_ORDER.search(" ".join(titles)):
        raise head.error(f"its title says {other.group()!r}; expected values with x outermost and z innermost")
    count, origin = _read_counts(head)
    shape, voxels, unit = _read_voxels(head)
    numbers, charges, positions = _read_atoms(head, abs(count))
    if count < 0:
        _skip_dataset_ids(head)
    numbers = _elements(head, numbers, charges, titles, species)
    values = head.grid_values(shape, order="C")
    if BOTH_ENDS in " ".join(titles).lower():
        values, shape = np.ascontiguousarray(values[:-1, :-1, :-1]), [n - 1 for n in shape]
    elif _repeats_its_ends(values):
        warnings.warn(
            f"{path}: along all three axes the last points have the values of the first, as if the file held both ends "
            "of the period; they are taken as they are, so that the cell may be too large",
            ElfzooWarning,
            stacklevel=4,
        )
    meta = read_title(*titles)
    if origin.any():
        meta["origin"] = (origin * unit).tolist()
    lattice = voxels * np.array(shape)[:, None] * unit
    structure = structure_from(lattice, numbers, (positions - origin) * unit, cartesian=True)
    field = field_from(values, structure, meta)
    return {field.spin or "total": field}


def write(fields: Mapping[str, Field], path: Path) -> None:
    """Write one field: lengths in bohr, origin 0, six values a line (``%.8E``), a new line for each row along z."""
    write_bytes(path, _lines(next(iter(fields.values()))))


def _lines(field: Field) -> Iterator[bytes]:
    structure, shape = field.structure, field.values.shape
    lines = [title(field), "OUTER LOOP: X, MIDDLE LOOP: Y, INNER LOOP: Z"]
    lines.append(f"{len(structure):5d}" + _row(np.zeros(3)))
    voxels = structure.lattice.matrix / np.array(shape)[:, None] / BOHR
    lines += [f"{n:5d}" + _row(vector) for n, vector in zip(shape, voxels, strict=True)]
    for number, position in zip(structure.atomic_numbers, structure.cart_coords / BOHR, strict=True):
        lines.append(f"{number:5d}{number:12.6f}" + _row(position))
    yield ("\n".join(lines) + "\n").encode("ascii")
    yield from number_lines(field.values.ravel(), PER_LINE, row_length=shape[2])


def _row(vector: Float[np.ndarray, " 3"]) -> str:
    return "".join(f" {x:17.12f}" for x in vector)


def _repeats_its_ends(values: Float[np.ndarray, "nx ny nz"]) -> bool:
    """Whether the last plane along each axis has the values of the first, and these are not all alike."""
    if min(values.shape) < 3:
        return False
    ends = [(np.take(values, 0, axis), np.take(values, -1, axis)) for axis in range(3)]
    return all(np.allclose(first, last, rtol=0, atol=SAME_VALUE) for first, last in ends) and any(
        np.ptp(first) > SAME_VALUE for first, _ in ends
    )


def _read_counts(head: Head) -> tuple[int, Float[np.ndarray, " 3"]]:
    expected = "the number of atoms and the origin"
    words = head.next(expected).split()
    count = head.integers(" ".join(words[:1]), 1, expected)[0]
    origin = np.array(head.numbers(" ".join(words[1:]), 3, expected))
    if len(words) > 4 and words[4] != "1":
        raise head.error(f"{words[4]} values per point; expected a file with one field")
    if count == 0:
        raise head.error("no atoms; expected at least one")
    return count, origin


def _read_voxels(head: Head) -> tuple[list[int], Float[np.ndarray, "3 3"], float]:
    """Numbers of voxels, voxel vectors as rows, and the length unit in Å."""
    counts, vectors = [], []
    for axis in "xyz":
        expected = f"the number of voxels and the voxel vector along {axis}"
        line = head.next(expected)
        counts += head.integers(line, 1, expected)
        vectors.append(head.numbers(line, 4, expected)[1:])
    if 0 in counts or len({n > 0 for n in counts}) > 1:
        raise head.error(f"numbers of voxels {counts}; expected all positive (bohr) or all negative (Å)")
    return [abs(n) for n in counts], np.array(vectors), BOHR if counts[0] > 0 else 1.0


def _read_atoms(head: Head, count: int) -> tuple[list[int], list[float], Float[np.ndarray, "atoms 3"]]:
    numbers, charges, positions = [], [], []
    expected = "an atomic number, a charge and a position"
    for _ in range(count):
        line = head.next(f"{expected} for each of {count} atoms")
        numbers += head.integers(line, 1, expected)
        charge, *position = head.numbers(line, 5, expected)[1:]
        charges.append(charge)
        positions.append(position)
    return numbers, charges, np.array(positions)


def _skip_dataset_ids(head: Head) -> None:
    """A negative number of atoms announces the identifiers of the fields in the file, over one or more lines."""
    expected = "the number of fields and their identifiers"
    words = head.next(expected).split()
    count = head.integers(" ".join(words[:1]), 1, expected)[0]
    if count != 1:
        raise head.error(f"{count} fields in one file; expected one")
    if len(words) == 1:
        head.next(expected)


def _elements(
    head: Head, numbers: list[int], charges: list[float], titles: Sequence[str], species: Sequence[str] | None
) -> list[int]:
    """Atomic numbers, where some files have species indices 1, 2, ... with the valence charge beside them."""
    kinds = sorted(set(numbers))
    if species is not None:
        if not set(kinds) <= set(range(1, len(species) + 1)):
            raise FieldFileError(
                f"{head.path}: numbers {kinds} in the atom lines are no indices of species={list(species)}; where they "
                "are atomic numbers, leave species out"
            )
        elements = atomic_numbers(head, species)
        return [elements[number - 1] for number in numbers]
    indices = kinds == list(range(1, len(kinds) + 1))
    hydrogen = len(kinds) == 1 and set(charges) == {1.0}
    if PWSCF in titles[0].lower() and indices and not hydrogen:
        raise FieldFileError(
            f"{head.path}: a Quantum ESPRESSO cube with the numbers {kinds} where atomic numbers belong; these may be "
            "species indices. Give the elements in the order of ATOMIC_SPECIES, such as species=['La', 'H']"
        )
    if not 1 <= kinds[0] <= kinds[-1] <= 118:
        raise head.error(f"atomic numbers {kinds} in the lines before; expected 1 to 118, or give species=['H', ...]")
    return numbers
