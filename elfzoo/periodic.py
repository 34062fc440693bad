"""Every periodic image of every atom that a point can see: exact in any cell, however small or skewed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

__all__ = ["CellList", "Images", "periodic_images", "probe_edges", "wrap"]

FEW_BINS, BINS_OF_IMAGE = 2**15, 64  # so many bins, and so many more for each image, are always allowed


@dataclass(frozen=True, eq=False)
class Images:
    """Periodic images of atoms around one unit cell.

    Args:
        positions: (images, 3) Cartesian, Å.
        atom: (images,) which atom of the structure each one is an image of.
        shift: (images, 3) lattice translation added to that atom's own position, in lattice vectors.
    """

    positions: Float[np.ndarray, "images 3"]
    atom: Int[np.ndarray, " images"]
    shift: Int[np.ndarray, "images 3"]


def wrap(points: Float[np.ndarray, "points 3"], lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "points 3"]:
    """The same points, moved by lattice vectors into the cell with fractional coordinates in [0, 1)."""
    frac = points @ np.linalg.inv(lattice)
    return points - np.floor(frac) @ lattice


def periodic_images(positions: Float[np.ndarray, "atoms 3"], lattice: Float[np.ndarray, "3 3"], r_cut: float) -> Images:
    """All images of the atoms within ``r_cut`` of any point of the cell with fractional coordinates in [0, 1).

    The planes of the cell are 1/|b_i| apart (b_i a reciprocal vector without 2π), so an atom matters only if its
    fractional coordinate lies within r_cut·|b_i| of [0, 1] along every axis.

    Args:
        positions: (atoms, 3) Cartesian, Å, inside or outside of the cell.
        lattice: (3, 3) rows, Å.
        r_cut: Å.
    """
    inverse = np.linalg.inv(lattice)
    margin = r_cut * np.linalg.norm(inverse, axis=0) + 1e-9
    frac = positions @ inverse
    home = np.floor(frac).astype(int)
    frac = frac - home
    reach = np.ceil(margin).astype(int)
    shifts = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    everything = frac[:, None, :] + shifts[None, :, :]
    near = ((everything >= -margin) & (everything <= 1 + margin)).all(axis=-1)
    atom, which = np.nonzero(near)
    return Images(everything[near] @ lattice, atom, shifts[which] - home[atom])


def probe_edges(
    points: Float[np.ndarray, "points 3"],
    positions: Float[np.ndarray, "atoms 3"],
    lattice: Float[np.ndarray, "3 3"],
    r_cut: float,
) -> tuple[Int[np.ndarray, " edges"], Int[np.ndarray, " edges"], Float[np.ndarray, "edges 3"]]:
    """Pairs of an atom and a probe point within ``r_cut`` (Å), all images counted.

    Returns:
        ``(atom, probe, shift)``: indices, and the Cartesian translation (Å) such that the vector from probe to atom
        is ``positions[atom] + shift - points[probe]``.
    """
    wrapped = wrap(points, lattice)
    images = periodic_images(positions, lattice, r_cut)
    if len(points) == 0 or len(images.atom) == 0:
        return np.zeros(0, int), np.zeros(0, int), np.zeros((0, 3))
    pairs = cKDTree(images.positions).sparse_distance_matrix(cKDTree(wrapped), r_cut, output_type="ndarray")
    image, probe = pairs["i"], pairs["j"]
    order = np.argsort(probe, kind="stable")
    image, probe = image[order], probe[order]
    shift = images.positions[image] - wrapped[probe] - (positions[images.atom[image]] - points[probe])
    return images.atom[image], probe, shift


@dataclass(frozen=True, eq=False)
class CellList:
    """Images sorted into cubic bins, so that a block of points finds its neighbours in constant time.

    Args:
        positions: (images, 3) Å, ordered by bin, z fastest.
        atom: (images,) atom indices in the same order.
        start: (bins + 1,) where each bin begins.
        origin: (3,) Å, corner of the first bin.
        width: edge of a bin, Å.
        shape: number of bins along x, y, z.
    """

    positions: Float[np.ndarray, "images 3"]
    atom: Int[np.ndarray, " images"]
    start: Int[np.ndarray, " starts"]
    origin: Float[np.ndarray, " 3"]
    width: float
    shape: tuple[int, int, int]

    @classmethod
    def build(cls, images: Images, width: float = 1.5) -> CellList:
        """Sort ``images`` into bins of ``width`` Å, or wider ones where a vast box would have many more than images."""
        positions = images.positions
        origin = positions.min(axis=0) if len(positions) else np.zeros(3)
        extent = np.ptp(positions, axis=0) if len(positions) else np.zeros(3)
        while np.prod(extent / width + 1) > FEW_BINS + BINS_OF_IMAGE * len(positions):
            width *= 2
        bins = ((positions - origin) / width).astype(int)
        nx, ny, nz = (int(n) for n in (bins.max(axis=0) + 1 if len(bins) else (1, 1, 1)))
        shape = (nx, ny, nz)
        flat = np.ravel_multi_index(tuple(bins.T), shape)
        order = np.argsort(flat, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=int(np.prod(shape))))])
        atom = images.atom[order].astype(np.int32)
        return cls(np.ascontiguousarray(positions[order]), atom, start.astype(np.int32), origin, width, shape)
