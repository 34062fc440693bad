"""Space groups of structures (spglib) and what they do to grids."""

from __future__ import annotations

from itertools import product

import numpy as np
import spglib
from jaxtyping import Float, Int
from pymatgen.core import Structure
from scipy.spatial import cKDTree

from elfzoo.errors import StructureError
from elfzoo.grid import Grid

__all__ = [
    "grid_orbits",
    "primitive_cell",
    "space_group_operations",
    "space_group_translations",
    "standardise",
    "symmetrised",
]

SYMPREC = 1e-4  # angstrom; tighter than any relaxation, looser than six printed digits
MANY = 150  # atoms from which on spglib takes longer to find nothing than we do
SAME_ATOM = 0.05  # angstrom; between copies of an atom under the lattice's translations, a quarter of any real distance


def space_group_operations(structure: Structure, symprec: float = SYMPREC) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (ops, 3, 3) and translations (ops, 3) in fractional coordinates, x' = R x + t.

    Raises:
        StructureError: when spglib finds no symmetry at all, not even the identity.
    """
    if len(structure) > MANY and _has_identity_alone(structure, symprec):
        return np.eye(3, dtype=np.int32)[None], np.zeros((1, 3))
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


def symmetrised(
    structure: Structure, rotations: Int[np.ndarray, "ops 3 3"], translations: Float[np.ndarray, "ops 3"]
) -> tuple[Structure, float]:
    """The structure with exactly the symmetry of a space group that it has nearly, in the same orientation.

    Atoms and the metric of the lattice become means over all operations.

    Args:
        structure: any cell.
        rotations: rotation parts in fractional coordinates (spglib's, x' = R x + t), of a whole group.
        translations: translation parts, fractional, as exact as the symmetry is wanted.

    Returns:
        The structure, and the largest distance, Å, by which an atom or a lattice vector moved.
    """
    lattice, frac = structure.lattice.matrix, structure.frac_coords
    metric = np.mean([r.T @ lattice @ lattice.T @ r for r in rotations], axis=0)
    inverse = np.linalg.inv(lattice)
    squares, axes = np.linalg.eigh(inverse @ metric @ inverse.T)  # the strain, without a rotation, that gives it
    exact = lattice @ axes @ np.diag(np.sqrt(squares)) @ axes.T
    images = frac @ rotations.transpose(0, 2, 1) + translations[:, None]
    mean = frac + _steps_to_images(frac, np.array(structure.atomic_numbers), images)
    moved = max(np.linalg.norm((mean - frac) @ lattice, axis=1).max(), np.linalg.norm(exact - lattice, axis=1).max())
    return Structure(exact, structure.species, mean), float(moved)


def _steps_to_images(frac: np.ndarray, numbers: np.ndarray, images: np.ndarray) -> np.ndarray:
    """(atoms, 3) mean step from each atom to the images of all atoms, (ops, atoms, 3), that fall on it."""
    wrapped = np.column_stack([frac % 1.0 % 1.0, numbers])  # the second one turns 1 into 0
    everything = np.column_stack([images.reshape(-1, 3) % 1.0 % 1.0, np.tile(numbers, len(images))])
    _, atom = cKDTree(wrapped, boxsize=[1.0, 1.0, 1.0, 0.0]).query(everything)
    step = everything[:, :3] - frac[atom]
    step -= np.round(step)
    return np.stack([np.bincount(atom, step[:, a], len(frac)) for a in range(3)], axis=1) / len(images)


class _Atoms:
    """The atoms of a structure by kind, to ask whether an operation takes each near one of its own kind.

    Args:
        structure: any cell.
        tolerance: Å.
    """

    def __init__(self, structure: Structure, tolerance: float):
        self.numbers, self.frac = np.array(structure.atomic_numbers), structure.frac_coords % 1.0 % 1.0
        kinds, counts = np.unique(self.numbers, return_counts=True)
        self.rarest = self.frac[self.numbers == kinds[counts.argmin()]]
        self.trees = {kind: cKDTree(self.frac[self.numbers == kind], boxsize=1.0) for kind in kinds}
        self.reach = tolerance / np.linalg.svd(structure.lattice.matrix, compute_uv=False).min()
        order = np.argsort(self.numbers != kinds[counts.argmin()], kind="stable")  # the first is one of the rarest
        self.numbers, self.frac = self.numbers[order], self.frac[order]

    def coincide(self) -> bool:
        """Whether two of one kind are as near as that."""
        return any(len(tree.query_pairs(self.reach)) for tree in self.trees.values())

    def may_be_mapped(self, rotation: Int[np.ndarray, "3 3"]) -> bool:
        """Whether the rotation and some translation, together not one of the lattice, may be an operation.

        It takes an atom of the rarest kind to another of them, and most that do fail at the next atom.
        """
        images = self.frac @ rotation.T
        left = self.rarest - images[0]
        if (rotation == np.eye(3)).all():
            left = left[1:]
        for kind, image in zip(self.numbers, images, strict=True):
            if not len(left):
                return False
            distance, _ = self.trees[kind].query((image + left) % 1.0 % 1.0, distance_upper_bound=self.reach)
            left = left[np.isfinite(distance)]
        return bool(len(left))


def _has_identity_alone(structure: Structure, symprec: float) -> bool:
    """Whether that is certain without spglib, whose time grows with the square of the atoms."""
    atoms, lattice = _Atoms(structure, 2 * symprec), (structure.lattice.matrix, np.zeros((1, 3)), [1])
    if atoms.coincide() or (found := spglib.get_symmetry(lattice, symprec=2 * symprec)) is None:
        return False  # let spglib say what is wrong
    return not any(atoms.may_be_mapped(rotation) for rotation in found["rotations"])


def primitive_cell(structure: Structure, symprec: float = SYMPREC) -> Structure:
    """The primitive cell on three shortest lattice vectors: one and the same for every cell that describes a crystal.

    Orientation and origin stay, so Cartesian points keep their place. Supercells and other bases give the same cell:
    among vectors of equal length those with the largest x are taken, then the largest y, then the largest z. Vectors
    that attain the successive minima are a basis of a lattice in three dimensions.

    Args:
        structure: any cell of the crystal.
        symprec: tolerance, Å, with which spglib finds the translations.

    Raises:
        StructureError: when spglib finds no symmetry at all, not even the identity.
    """
    pure = np.zeros((1, 3))
    if _Atoms(structure, 2 * symprec).may_be_mapped(np.eye(3, dtype=int)):  # spglib takes long for many atoms
        rotations, translations = space_group_operations(structure, symprec)
        pure = translations[(rotations == np.eye(3, dtype=int)).all(axis=(1, 2))]
    near = structure.lattice.get_lll_reduced_lattice().matrix
    offsets = pure @ structure.lattice.matrix @ np.linalg.inv(near)
    shifts = np.array(list(product(range(-3, 4), repeat=3)))
    basis = _shortest_basis((offsets - np.round(offsets))[:, None] @ near + shifts @ near)
    kept = _one_of_each(structure, basis) if len(pure) > 1 else np.arange(len(structure))
    species = structure.species  # pymatgen makes this list anew whenever it is asked for
    chosen, positions = [species[i] for i in kept], structure.cart_coords[kept]
    return Structure(basis, chosen, positions, coords_are_cartesian=True, to_unit_cell=True)


def _shortest_basis(vectors: Float[np.ndarray, "translations shifts 3"]) -> Float[np.ndarray, "3 3"]:
    """The first three independent vectors, by length and then by direction; rounded apart from where values meet."""
    flat = vectors.reshape(-1, 3)
    flat = flat[np.linalg.norm(flat, axis=1) > SAME_ATOM]
    keys = np.column_stack([-flat[:, ::-1], np.linalg.norm(flat, axis=1)])
    basis: list[np.ndarray] = []
    for vector in flat[np.lexsort(np.floor(keys / SYMPREC + 0.2718).T)]:
        if np.linalg.matrix_rank([*basis, vector], tol=SAME_ATOM) > len(basis):
            basis.append(vector)
        if len(basis) == 3:
            break
    return np.array(basis)


def _one_of_each(structure: Structure, basis: np.ndarray) -> np.ndarray:
    """Indices of the first atom of each set that the translations of ``basis`` map onto each other."""
    frac, numbers = structure.cart_coords @ np.linalg.inv(basis), np.array(structure.atomic_numbers)
    delta = frac[:, None] - frac[None]
    same = np.linalg.norm((delta - np.round(delta)) @ basis, axis=-1) < SAME_ATOM
    same &= numbers[:, None] == numbers[None]
    return np.flatnonzero(same.argmax(axis=1) == np.arange(len(frac)))
