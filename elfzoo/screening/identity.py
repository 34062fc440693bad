"""When two structures are the same one, so that it is computed once."""

from __future__ import annotations

import hashlib

import numpy as np
from pymatgen.core import Structure

__all__ = ["structure_hash"]

LENGTH = 1e-4  # angstrom, of the lattice vectors; files that print six digits agree in it
STEPS = 100_000  # per lattice vector, of the atoms; 1e-4 Å along an edge of 10 Å
OFFSET = 0.2718  # keeps multiples of 1/2, 1/3, 1/4, ... away from where rounding would tip over


def structure_hash(structure: Structure) -> str:
    """SHA-256 (hexadecimal) of a structure as a model sees it: elements, cell and places, to about 0.0001 Å.

    The same for any order of the atoms, for atoms moved by lattice vectors, and for the cell turned or mirrored as a
    whole: only lengths and angles count, for a CIF has no more. It is another one for a supercell, another choice of
    lattice vectors and another origin: the grid, and numbers of critical points, are those of a cell as it is given.
    Charges and magnetic moments are no part of it, for no model sees them.

    Two structures that agree closely can still fall on either side of a rounding: then both are computed, which costs
    time and no more. Atoms that are 0.001 Å apart or more never share a hash in cells with edges of up to 30 Å.
    """
    lattice = structure.lattice.matrix
    lengths = np.linalg.norm(lattice, axis=1)
    cosines = ((lattice @ lattice.T) / np.outer(lengths, lengths))[[1, 2, 0], [2, 0, 1]]
    cell = np.concatenate([_rounded(lengths / LENGTH), _rounded(cosines * STEPS)])
    atoms = np.column_stack([structure.atomic_numbers, _rounded(structure.frac_coords * STEPS) % STEPS])
    atoms = atoms[np.lexsort(atoms.T)].astype("<i8")
    return hashlib.sha256(b"elfzoo structure 1" + cell.tobytes() + atoms.tobytes()).hexdigest()


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.floor(values + OFFSET).astype("<i8")
