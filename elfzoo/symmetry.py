"""Space groups of structures (spglib) and what they do to grids."""

from __future__ import annotations

import numpy as np
import spglib
from pymatgen.core import Structure

from elfzoo.errors import StructureError
from elfzoo.grid import Grid

__all__ = ["grid_orbits", "space_group_operations", "space_group_translations", "standardise"]

SYMPREC = 1e-4  # angstrom; tighter than any relaxation, looser than six printed digits


def space_group_operations(structure: Structure, symprec: float = SYMPREC) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (ops, 3, 3) and translations (ops, 3) in fractional coordinates, x' = R x + t.

    Raises:
        StructureError: when spglib finds no symmetry at all, not even the identity.
    """
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    found = spglib.get_symmetry(cell, symprec=symprec)
    if found is None:
        raise StructureError(f"spglib finds no symmetry for {structure.formula}; are atoms on top of each other?")
    return found["rotations"], found["translations"]


def standardise(structure: Structure, symprec: float = 1e-3) -> Structure:
    """The primitive standard cell with exact symmetry, its origin on the symmetry elements.

    Args:
        structure: the structure.
        symprec: tolerance, Å, with which spglib finds the space group.
    """
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=False, symprec=symprec)
    if found is None:
        raise StructureError(f"spglib finds no symmetry for {structure.formula}; are atoms on top of each other?")
    lattice, coords, numbers = found
    return Structure(lattice, numbers, coords)


def space_group_translations(structure: Structure) -> np.ndarray:
    """Translations (ops, 3) of the space group, fractional."""
    return space_group_operations(structure)[1]


def grid_orbits(structure: Structure, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """:meth:`Grid.orbits` under the structure's space group."""
    return grid.orbits(*space_group_operations(structure))
