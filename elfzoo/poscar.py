"""POSCARs as VASP takes them, where pymatgen reads something else: volumes, three factors, remarks, missing symbols."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Sequence

import numpy as np
from pymatgen.core import Structure

from elfzoo.errors import StructureError

__all__ = ["poscar_structure"]

NAMELESS = "Elements in POSCAR cannot be determined"  # pymatgen's warning, before it makes some up


def poscar_structure(text: str, species: Sequence[str] | None = None) -> Structure:
    """The structure of the text of a POSCAR.

    A negative second line is the volume of the cell. pymatgen multiplies Cartesian coordinates by it as it is, so that
    the factor that it stands for is put in its place. Three factors, of x, y and z, it does not read: they are put into
    the numbers.

    Args:
        text: of the file.
        species: elements in the order of the counts, where the text (VASP 4) does not name them.

    Raises:
        StructureError: the text names no elements, or others than ``species``, or as many are not given.
    """
    from pymatgen.io.vasp import Poscar

    lines = text.splitlines()
    with contextlib.suppress(ValueError, IndexError):  # what is no number, pymatgen says itself
        factors = _leading_numbers(lines[1])
        if len(factors) in (1, 3):
            lines[1] = " ".join(map(repr, factors))  # without a remark behind them
        if len(factors) == 1 and factors[0] < 0:
            volume = abs(np.linalg.det([[float(x) for x in line.split()[:3]] for line in lines[2:5]]))
            lines[1] = repr(float((-factors[0] / volume) ** (1 / 3)))
        elif len(factors) == 3:
            lines = _with_factors(lines, factors)
    _refuse_lost_symbols(lines)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = Poscar.from_str("\n".join(lines) + "\n")
        except IndexError as error:
            raise StructureError("no POSCAR, or one that ends before the coordinates of all atoms") from error
    if not any(str(one.message).startswith(NAMELESS) for one in said):
        if species is not None:
            raise StructureError(f"it names its elements, {' '.join(found.site_symbols)}; leave out species=[...]")
        return found.structure
    return Structure(found.structure.lattice, _elements(species, found.natoms), found.structure.frac_coords)


def _leading_numbers(line: str) -> list[float]:
    """The numbers that a line begins with."""
    found = []
    for word in line.split():
        try:
            found.append(float(word))
        except ValueError:
            break
    return found


def _refuse_lost_symbols(lines: list[str]) -> None:
    """More or fewer symbols than counts, of which pymatgen would take the first."""
    if len(lines) < 7 or not lines[6].split() or lines[5].split()[:1] == [] or lines[5].split()[0].isdigit():
        return
    symbols, counts = re.split("[#!]", lines[5])[0].split(), _leading_numbers(lines[6])
    if counts and len(symbols) != len(counts):
        raise StructureError(f"{len(symbols)} symbols ({' '.join(symbols)}), but {len(counts)} counts of atoms")


def _elements(species: Sequence[str] | None, counts: Sequence[int]) -> list[str]:
    """The element of each atom of a POSCAR that names none."""
    if species is None or len(species) != len(counts):
        given = "" if species is None else f"; species={list(species)} are {len(species)}"
        raise StructureError(
            f"the text names no elements for its {len(counts)} kinds of atoms{given}; give one for each with "
            "species=[...], or write a line of symbols above the counts"
        )
    return [name for name, count in zip(species, counts, strict=True) for _ in range(count)]


def _with_factors(lines: list[str], factors: list[float]) -> list[str]:
    """A POSCAR's lines with the scale factors of x, y and z in the lattice, and in Cartesian coordinates."""
    counts = 5 if lines[5].split()[0].isdigit() else 6
    mode = counts + 1 + lines[counts + 1].strip().lower().startswith("s")  # selective dynamics
    scaled = [2, 3, 4]
    if lines[mode].strip()[:1].lower() in ("c", "k"):
        scaled += range(mode + 1, mode + 1 + sum(int(n) for n in lines[counts].split()))
    found = [lines[0], "1.0", *lines[2:]]
    for i in scaled:
        parts = lines[i].split()
        found[i] = " ".join([*(repr(float(x) * f) for x, f in zip(parts[:3], factors, strict=True)), *parts[3:]])
    return found
