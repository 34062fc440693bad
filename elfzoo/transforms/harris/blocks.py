"""Small boxes of grid points with the atoms that reach them, and the pairs of atoms that meet in any of them.

Everything that is done on the grid is done box by box with dense products over the atoms of a box, so that the work is
linear in the volume. What is shared between boxes is kept by pair: atom i, atom j, and the lattice translation from the
cell of the one to that of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Float, Int
from pymatgen.core import Structure

from elfzoo.grid import Grid
from elfzoo.periodic import Images, periodic_images, wrap
from elfzoo.threads import map_in_threads
from elfzoo.transforms.harris.orbitals import BOHR

__all__ = ["Block", "Pairs", "blocks", "find_pairs", "visit"]

EDGE = 6  # points along each edge of a box
MARKED = 2**29  # possible pairs, of each of which a byte may say whether it is one


@dataclass(frozen=True, eq=False)
class Block:
    """A box of grid points and the images of atoms within the cutoff of any of them.

    Args:
        points: (points,) flat indices.
        positions: (points, 3) Å.
        atom: (images,) which atom each one is an image of.
        shift: (images, 3) lattice vectors from that atom to the image.
        centres: (images, 3) Å.
    """

    points: Int[np.ndarray, " points"]
    positions: Float[np.ndarray, "points 3"]
    atom: Int[np.ndarray, " images"]
    shift: Int[np.ndarray, "images 3"]
    centres: Float[np.ndarray, "images 3"]

    def vectors(self) -> Float[np.ndarray, "images points 3"]:
        """From atoms to points, bohr, in single precision."""
        return ((self.positions[None] - self.centres[:, None]) / BOHR).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Atoms i and j + R that meet.

    Args:
        i, j: (pairs,) atoms.
        translation: (pairs, 3) R, lattice vectors.
        keys: (pairs,) ascending, one number for each.
        reach: largest component of a translation.
        n_atoms: of the cell.
    """

    i: Int[np.ndarray, " pairs"]
    j: Int[np.ndarray, " pairs"]
    translation: Int[np.ndarray, "pairs 3"]
    keys: Int[np.ndarray, " pairs"]
    reach: int
    n_atoms: int

    def of(self, block: Block) -> Int[np.ndarray, "images images"]:
        """The pair that each two images of a block are."""
        return np.searchsorted(self.keys, _keys(block, self.n_atoms, self.reach))

    def turned(self) -> Int[np.ndarray, " pairs"]:
        """Of each pair (i, j, R) the pair (j, i, -R)."""
        return np.searchsorted(self.keys, _encoded(self.j, self.i, -self.translation, self.n_atoms, self.reach))


def blocks(structure: Structure, grid: Grid, r_cut: float) -> list[Block]:
    """All boxes of a grid; those without an atom near are left out.

    Args:
        structure: on the grid's cell.
        grid: any.
        r_cut: Å.
    """
    images = periodic_images(wrap(structure.cart_coords, grid.lattice), grid.lattice, r_cut)
    corners, found = product(*(range(0, n, EDGE) for n in grid.shape)), []
    for corner in corners:
        axes = [np.arange(c, min(c + EDGE, n)) for c, n in zip(corner, grid.shape, strict=True)]
        flat = np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), grid.shape).ravel()
        block = _block(flat, grid.positions(flat), images, r_cut)
        if len(block.atom):
            found.append(block)
    return found


def visit(boxes: Sequence[Block], work: Callable[[Block], None]) -> None:
    """Do something with every box, in as many threads as torch uses; each box's own products then take one."""
    for _ in map_in_threads(work, boxes, torch.get_num_threads()):
        pass


def find_pairs(boxes: Sequence[Block], n_atoms: int) -> Pairs:
    """The pairs of all boxes of a cell."""
    reach = 2 * max((int(np.abs(b.shift).max()) for b in boxes), default=0)
    width = 2 * reach + 1
    if n_atoms**2 * width**3 <= MARKED:
        marks = np.zeros(n_atoms**2 * width**3, dtype=bool)
        for b in boxes:
            marks[_keys(b, n_atoms, reach)] = True
        keys = np.flatnonzero(marks)
    else:
        keys = np.unique(np.concatenate([np.unique(_keys(b, n_atoms, reach)) for b in boxes]))
    atoms, codes = np.divmod(keys, width**3)
    i, j = np.divmod(atoms, n_atoms)
    translation = np.stack(np.unravel_index(codes, (width,) * 3), axis=-1) - reach
    return Pairs(i, j, translation, keys, reach, n_atoms)


def _block(flat: np.ndarray, positions: np.ndarray, images: Images, r_cut: float) -> Block:
    centre = positions.mean(axis=0)
    radius = np.sqrt(((positions - centre) ** 2).sum(axis=1).max())
    near = np.flatnonzero(((images.positions - centre) ** 2).sum(axis=1) < (r_cut + radius) ** 2)
    there, here = torch.from_numpy(images.positions[near] - centre), torch.from_numpy(positions - centre)
    chosen = near[torch.cdist(there, here).amin(1).numpy() < r_cut] if len(near) else near
    chosen = chosen[np.argsort(images.atom[chosen], kind="stable")]  # sums by pair then go through memory in order
    return Block(flat, positions, images.atom[chosen], images.shift[chosen], images.positions[chosen])


def _keys(block: Block, n_atoms: int, reach: int) -> np.ndarray:
    translation = block.shift[None, :, :] - block.shift[:, None, :]
    return _encoded(block.atom[:, None], block.atom[None, :], translation, n_atoms, reach)


def _encoded(i: np.ndarray, j: np.ndarray, translation: np.ndarray, n_atoms: int, reach: int) -> np.ndarray:
    """One number for atoms i and j + R."""
    width = 2 * reach + 1
    x, y, z = np.moveaxis(translation + reach, -1, 0)
    return (((i.astype(np.int64) * n_atoms + j) * width + x) * width + y) * width + z
