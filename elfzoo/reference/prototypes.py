"""Crystals from a space group and its occupied sites, and what is done to them: scaled, strained, rattled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from functools import cache

import numpy as np
import spglib
from pymatgen.core import Composition, Lattice, Structure

from elfzoo.config import config_class
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.structure import check_structure
from elfzoo.symmetry import standardise

__all__ = [
    "Crystal",
    "build",
    "rattled",
    "same_composition",
    "scaled",
    "seed_of",
    "strained",
]

SYMPREC = 1e-3  # angstrom; what a relaxation at fixed symmetry keeps, and far below any distortion made here
TRIGONAL_OR_HEXAGONAL = range(143, 195)
HALL_NUMBERS = range(1, 531)


@config_class
class Crystal:
    """A crystal as papers tabulate it: space group, lattice constants, occupied sites.

    Args:
        formula: per formula unit, metals first.
        prototype: the structure type's usual name or Strukturbericht symbol.
        space_group: short Hermann-Mauguin symbol as spglib writes it (``P6_3/mmc``), in spglib's standard setting:
            hexagonal axes, unique axis b, and the first origin where there are two.
        a: lattice constant of the conventional cell, Å.
        sites: one string per occupied site, element and fractional coordinates: ``"H 1/4 0 1/2"``.
        source: author, journal, year.
        b: Å; a by default.
        c: Å; a by default.
        beta: degrees.
    """

    formula: str
    prototype: str
    space_group: str
    a: float
    sites: tuple[str, ...]
    source: str
    b: float | None = None
    c: float | None = None
    beta: float = 90.0

    def structure(self) -> Structure:
        """The standard primitive cell.

        Raises:
            UnknownNameError: no such space group.
            ElfzooError: a site that is not an element and three numbers, or sites that do not make the formula.
            StructureError: sites on top of each other.
        """
        number, rotations, translations = _space_group(self.space_group)
        species: list[str] = []
        coords: list[np.ndarray] = []
        for element, site in map(_site, self.sites):
            orbit = _orbit(site, rotations, translations)
            species += [element] * len(orbit)
            coords += list(orbit)
        gamma = 120.0 if number in TRIGONAL_OR_HEXAGONAL else 90.0
        lattice = Lattice.from_parameters(self.a, self.b or self.a, self.c or self.a, 90.0, self.beta, gamma)
        cell = Structure(lattice, species, coords)
        if not same_composition(cell.formula, self.formula):
            raise ElfzooError(f"the sites of {self.formula} make {cell.composition.reduced_formula}; correct them")
        return standardise(check_structure(cell, name=self.formula))

    @property
    def label(self) -> str:
        """The space group's symbol, fit for a file's name."""
        return self.space_group.replace("/", "")


def scaled(structure: Structure, volume_ratio: float) -> Structure:
    """The same fractional coordinates in a cell of ``volume_ratio`` times the volume, equally shaped."""
    return _with_lattice(structure, structure.lattice.matrix * volume_ratio ** (1 / 3))


def strained(structure: Structure, strain: float) -> Structure:
    """Longer along x by the factor 1 + ``strain``, shorter along z by the same factor: the volume is kept.

    In the standard setting this leaves a cubic, hexagonal or tetragonal crystal orthorhombic.
    """
    return _with_lattice(structure, structure.lattice.matrix * [1 + strain, 1, 1 / (1 + strain)])


def rattled(structure: Structure, amplitude: float, seed: int) -> Structure:
    """Normally distributed displacements of every atom, their mean zero and their root mean square ``amplitude``.

    Args:
        structure: at least two atoms.
        amplitude: root mean square of the atoms' displacements, Å.
        seed: of the random numbers.
    """
    moves = np.random.default_rng(seed).normal(size=(len(structure), 3))
    moves -= moves.mean(axis=0)
    moves *= amplitude / np.sqrt((moves**2).sum(axis=1).mean())
    return Structure(structure.lattice, structure.species, structure.cart_coords + moves, coords_are_cartesian=True)


def seed_of(name: str) -> int:
    """A seed that belongs to a name, the same on every machine: the first four bytes of its SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def same_composition(formula: str, other: str) -> bool:
    """Whether two formulas are one composition: H3S and SH3, KB2H8 and K(BH4)2. Nonsense is like nothing."""
    try:
        return Composition(formula).reduced_composition == Composition(other).reduced_composition
    except ValueError:
        return False


def build(crystal: Crystal, parents: Mapping[str, Structure]) -> Structure:
    """What a candidate without parents is made by."""
    return crystal.structure()


def _with_lattice(structure: Structure, matrix: np.ndarray) -> Structure:
    return Structure(matrix, structure.species, structure.frac_coords)


@cache
def _space_group(symbol: str) -> tuple[int, np.ndarray, np.ndarray]:
    """Number, rotations (ops, 3, 3) and translations (ops, 3) of a space group in its standard setting."""
    types = {hall: spglib.get_spacegroup_type(hall) for hall in HALL_NUMBERS}
    for hall, found in types.items():  # the standard setting of each group is the first
        if found.international_short == symbol:
            operations = spglib.get_symmetry_from_database(hall)
            return found.number, operations["rotations"], operations["translations"]
    raise UnknownNameError("space group", symbol, {found.international_short for found in types.values()})


def _orbit(site: np.ndarray, rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """The different images (sites, 3) of a site, fractional, in [0, 1)."""
    images = (rotations @ site + translations) % 1.0
    _, first = np.unique(np.round(images, 6) % 1.0, axis=0, return_index=True)
    return images[np.sort(first)]


def _site(text: str) -> tuple[str, np.ndarray]:
    element, *coords = text.split()
    try:
        numbers = [float(Fraction(number)) for number in coords]
    except (ValueError, ZeroDivisionError):
        numbers = []
    if len(numbers) != 3:
        raise ElfzooError(f"cannot read the site {text!r}; expected an element and three numbers, as in 'H 1/4 0 1/2'")
    return element, np.array(numbers)
