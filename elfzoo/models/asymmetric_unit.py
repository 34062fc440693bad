"""Which points of a grid a prediction has to compute: one of each orbit of the space group, or those of a coarser grid.

Symmetry is used only where that changes nothing: the structure is made exactly symmetric first, and where an atom or a
lattice vector would move by more than :data:`LARGEST_MOVE`, or no operation maps the grid onto itself, a warning says
so and all points are computed.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from pymatgen.core import Structure

from elfzoo.errors import ElfzooError, ElfzooWarning
from elfzoo.grid import Grid
from elfzoo.io.symmetric import orbits
from elfzoo.symmetry import space_group_operations, symmetrised

__all__ = ["AsymmetricUnit", "asymmetric_unit", "coarser_grid", "symmetric_grid"]

NEAR = 1e-3  # angstrom; a structure that has a symmetry to this is said to have it, though not exactly
LARGEST_MOVE = 1e-5  # angstrom; ELF changes by some 1e-5
STEPS = 24  # a grid suits translations that are multiples of 1/24 of a lattice vector


@dataclass(frozen=True, eq=False)
class AsymmetricUnit:
    """One point of each orbit of a grid under the space group.

    Args:
        structure: with exact symmetry.
        shape: of the grid.
        representatives: flat index of one point of each orbit.
        inverse: for every point of the grid, the place of its orbit's representative.
    """

    structure: Structure
    shape: tuple[int, int, int]
    representatives: Int[np.ndarray, " representatives"]
    inverse: Int[np.ndarray, " points"]

    def unfold(self, values: Float[np.ndarray, " representatives"]) -> Float[np.ndarray, "nx ny nz"]:
        """The whole grid from the values at the representatives."""
        return values[self.inverse].reshape(self.shape)


def asymmetric_unit(structure: Structure, grid: Grid) -> AsymmetricUnit | None:
    """That of a grid on the structure's cell; None where nothing is gained, or, with a warning, nothing may be.

    Operations that do not map the grid onto itself are left out; the others are a group as well. Of a structure that
    has a part of its symmetry exactly and the whole only nearly, the part is used.
    """
    reason = ""
    for tolerance in (NEAR, LARGEST_MOVE):
        rotations, translations = space_group_operations(structure, tolerance)
        fitting = _fitting(rotations, translations, np.array(grid.shape), grid.spacing)
        if len(rotations) > 1 >= len(fitting[0]):
            reason = reason or f"none of the {len(rotations)} operations maps the grid {grid.shape} onto itself"
        if len(fitting[0]) < 2:
            continue
        exact, moved = symmetrised(structure, *fitting)
        if moved > LARGEST_MOVE:
            reason = reason or f"the structure has it only to {moved:.0e} Å, more than the {LARGEST_MOVE:.0e} Å allowed"
            continue
        try:
            return AsymmetricUnit(exact, grid.shape, *orbits(grid.shape, *fitting))
        except ElfzooError as error:  # what a symmetry finder returns within a tolerance need not be a group
            reason = reason or str(error)
    if reason:
        warnings.warn(f"symmetry is not used: {reason}; all points are computed", ElfzooWarning, stacklevel=5)
    return None


def symmetric_grid(structure: Structure, spacing: float) -> Grid:
    """The coarsest grid of at most ``spacing`` Å that suits the space group, as far as any grid does."""
    lattice, steps = structure.lattice.matrix, np.full(3, STEPS)
    rotations, translations = space_group_operations(structure, NEAR)
    same = Grid((STEPS, STEPS, STEPS), lattice).spacing
    return Grid.for_symmetry(lattice, spacing, *_fitting(rotations, translations, steps, same))


def _fitting(
    rotations: np.ndarray, translations: np.ndarray, shape: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The operations that map a grid of this shape onto itself, their translations rounded to its points."""
    turned, moved = rotations * shape[:, None] / shape[None, :], translations * shape
    fits = np.abs(turned - np.round(turned)).max(axis=(1, 2)) < 1e-6
    fits &= (np.abs(moved - np.round(moved)) * spacing).max(axis=1) < 2 * NEAR
    return rotations[fits], (np.round(moved) % shape / shape)[fits]


def coarser_grid(structure: Structure, grid: Grid, spacing: float, symmetry: bool) -> Grid:
    """A grid of at most ``spacing`` Å on the same cell, nowhere finer than ``grid``; with symmetry, one that suits it.

    Raises:
        ElfzooError: a spacing that is not positive.
    """
    lattice = structure.lattice.matrix
    coarse = symmetric_grid(structure, spacing) if symmetry else Grid.from_spacing(lattice, spacing)
    a, b, c = (min(pair) for pair in zip(coarse.shape, grid.shape, strict=True))
    return Grid((a, b, c), grid.lattice)
