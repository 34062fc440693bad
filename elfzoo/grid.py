"""Regular periodic grids on a cell: the one place that knows flat order, positions and symmetry of grid points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from pymatgen.core import Structure
from scipy.fft import next_fast_len

from elfzoo.errors import ElfzooError

__all__ = ["Grid"]

TILE = 4  # points along each edge of the compact tiles in which grids are visited


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular periodic grid: point (i, j, k) sits at fractional (i/nx, j/ny, k/nz), flat index in C order.

    Args:
        shape: (nx, ny, nz), each at least 1.
        lattice: (3, 3) lattice vectors as rows, Å.
    """

    shape: tuple[int, int, int]
    lattice: Float[np.ndarray, "3 3"]

    def __post_init__(self) -> None:
        shape = _three_counts(self.shape)
        lattice = np.array(self.lattice, dtype=np.float64)
        if lattice.shape != (3, 3) or not abs(np.linalg.det(lattice)) > 1e-12:
            raise ElfzooError(f"a grid needs three lattice vectors that span a volume; got {lattice.tolist()}")
        lattice.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "lattice", lattice)

    @classmethod
    def from_spacing(
        cls, lattice: Float[np.ndarray, "3 3"], spacing: float, translations: Float[np.ndarray, "ops 3"] | None = None
    ) -> Grid:
        """The coarsest FFT-friendly grid whose points are at most ``spacing`` Å apart along each lattice vector.

        Args:
            lattice: (3, 3) rows, Å.
            spacing: largest distance between neighbouring points along an edge, Å.
            translations: fractional translations of a space group; the grid is then exact under its screw axes and
                glide planes (every n·t is an integer), as far as the translations are multiples of 1/12 or 1/8.
        """
        _require_positive(spacing)
        shape = []
        for axis, length in enumerate(np.linalg.norm(lattice, axis=1)):
            step = 1 if translations is None else _common_denominator(np.asarray(translations)[:, axis]) or 1
            shape.append(step * int(next_fast_len(int(np.ceil(length / spacing / step - 1e-9)), real=True)))
        return cls((shape[0], shape[1], shape[2]), lattice)

    @classmethod
    def for_symmetry(
        cls,
        lattice: Float[np.ndarray, "3 3"],
        spacing: float,
        rotations: Int[np.ndarray, "ops 3 3"],
        translations: Float[np.ndarray, "ops 3"],
    ) -> Grid:
        """The coarsest FFT-friendly grid of at most ``spacing`` Å that the operations map onto itself.

        Axes that an operation mixes get the same number of points, a multiple of what all their translations need,
        so that diag(n) R diag(1/n) and n·t are integers.

        Args:
            lattice: (3, 3) rows, Å.
            spacing: largest distance between neighbouring points along an edge, Å.
            rotations: rotation parts in fractional coordinates (spglib's, x' = R x + t).
            translations: translation parts, fractional.

        Raises:
            ElfzooError: a spacing that is not positive, or no grid that suits a translation, because the origin is off
                the symmetry elements.
        """
        _require_positive(spacing)
        mixed = np.linalg.matrix_power(np.abs(np.asarray(rotations)).sum(axis=0) + np.eye(3, dtype=int), 3) > 0
        mixed |= mixed.T
        lengths = np.linalg.norm(lattice, axis=1)
        steps = [_common_denominator(np.asarray(translations)[:, axis]) for axis in range(3)]
        if not all(steps):
            raise ElfzooError(
                "no grid is mapped onto itself by this space group: its origin lies off the symmetry elements; "
                "expected a standardised structure"
            )
        shape = []
        for axis in range(3):
            partners = np.flatnonzero(mixed[axis])
            step = int(np.lcm.reduce([steps[partner] for partner in partners]))
            points = int(np.ceil(max(lengths[partner] for partner in partners) / spacing / step - 1e-9))
            shape.append(step * int(next_fast_len(points, real=True)))
        return cls((shape[0], shape[1], shape[2]), lattice)

    @classmethod
    def wanted(cls, structure: Structure, grid: Grid | Sequence[int] | None, spacing: float) -> Grid:
        """What is meant by ``grid``: a grid on the structure's cell, numbers of points, or None for the spacing (Å).

        Raises:
            ElfzooError: a grid of another cell, no three positive whole numbers, or no positive spacing.
        """
        if grid is None:
            return cls.from_spacing(structure.lattice.matrix, spacing)
        if not isinstance(grid, Grid):
            return cls(grid, structure.lattice.matrix)  # type: ignore[arg-type]
        grid.require_cell_of(structure)
        return grid

    def require_cell_of(self, structure: Structure) -> None:
        """Raise :class:`ElfzooError` unless this is a grid on the structure's cell, within 1e-4 Å."""
        if not np.allclose(self.lattice, structure.lattice.matrix, rtol=0, atol=1e-4):
            raise ElfzooError(
                f"the grid's lattice {np.round(self.lattice, 4).tolist()} is not the structure's "
                f"{np.round(structure.lattice.matrix, 4).tolist()}"
            )

    @property
    def size(self) -> int:
        """Number of points."""
        return int(np.prod(self.shape))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring points along each lattice vector, Å."""
        a, b, c = np.linalg.norm(self.lattice, axis=1) / self.shape
        return float(a), float(b), float(c)

    def frac_coords(self, indices: Int[np.ndarray, " points"] | None = None) -> Float[np.ndarray, "points 3"]:
        """Fractional coordinates of the points with these flat indices (all of them by default)."""
        flat = np.arange(self.size) if indices is None else indices
        return np.stack(np.unravel_index(flat, self.shape), axis=-1) / np.array(self.shape, dtype=np.float64)

    def positions(self, indices: Int[np.ndarray, " points"] | None = None) -> Float[np.ndarray, "points 3"]:
        """Cartesian positions, Å, of the points with these flat indices (all of them by default)."""
        flat = np.arange(self.size) if indices is None else indices
        i, j, k = np.unravel_index(flat, self.shape)
        # tables along the axes: half the time of a product with the lattice, and no BLAS threads inside of threads
        a, b, c = (np.outer(np.arange(n) / n, row) for n, row in zip(self.shape, self.lattice, strict=True))
        positions = a[i]
        positions += b[j]
        positions += c[k]
        return positions

    def blocks(self, max_points: int) -> Iterator[Int[np.ndarray, " points"]]:
        """Yield every flat index once, in blocks of about ``max_points`` made of compact 4×4×4 tiles.

        Each block is a box. Neighbouring points see the same atoms, so whoever visits them together searches once for
        all of them.
        """
        nx, ny, nz = self.shape
        slab = max(TILE, max_points // (ny * nz) // TILE * TILE)
        row = ny if slab > TILE else max(TILE, max_points // (TILE * nz) // TILE * TILE)
        section = min(slab, nx) * min(row, ny)
        depth = nz if section * nz <= max_points else max(TILE, max_points // section // TILE * TILE)
        for corner in product(range(0, nx, slab), range(0, ny, row), range(0, nz, depth)):
            ends = (min(a + n, end) for a, n, end in zip(corner, (slab, row, depth), self.shape, strict=True))
            box = tuple(np.arange(a, end) for a, end in zip(corner, ends, strict=True))
            yield _tile_order(box, self.shape)

    def finer_shape(self, spacing: float) -> tuple[int, int, int]:
        """Points along each axis that are at most ``spacing`` Å apart, and no fewer than there are.

        Raises:
            ElfzooError: a spacing that is not positive.
        """
        _require_positive(spacing)
        a, b, c = (max(n, math.ceil(n * d / spacing - 1e-9)) for n, d in zip(self.shape, self.spacing, strict=True))
        return a, b, c

    def is_mapped_by(self, rotation: Int[np.ndarray, "3 3"], translation: Float[np.ndarray, " 3"]) -> bool:
        """Whether x' = R x + t maps every grid point onto a grid point: diag(n) R diag(1/n) and n·t are integers."""
        shape = np.array(self.shape)
        matrix, shift = rotation * shape[:, None] / shape[None, :], translation * shape
        return bool(np.abs(matrix - np.round(matrix)).max() < 1e-6 and np.abs(shift - np.round(shift)).max() < 1e-3)

    def operations(
        self, rotations: Int[np.ndarray, "ops 3 3"], translations: Float[np.ndarray, "ops 3"]
    ) -> tuple[Int[np.ndarray, "ops 3 3"], Int[np.ndarray, "ops 3"]]:
        """The operations on integer grid coordinates: p' = M p + s modulo the shape.

        Args:
            rotations: rotation parts in fractional coordinates (spglib's, x' = R x + t), integers.
            translations: translation parts, fractional.

        Raises:
            ElfzooError: when an operation does not map the grid onto itself.
        """
        rotations, translations, shape = np.asarray(rotations), np.asarray(translations), np.array(self.shape)
        for rotation, translation in zip(rotations, translations, strict=True):
            if not self.is_mapped_by(rotation, translation):
                raise ElfzooError(
                    f"the grid {self.shape} is not mapped onto itself by {rotation.tolist()}, {translation}"
                )
        matrices = np.round(rotations * shape[:, None] / shape[None, :]).astype(np.int64)
        return matrices, np.round(translations * shape).astype(np.int64) % shape

    def orbits(
        self, rotations: Int[np.ndarray, "ops 3 3"], translations: Float[np.ndarray, "ops 3"]
    ) -> tuple[Int[np.ndarray, " representatives"], Int[np.ndarray, " points"]]:
        """Which points a space group maps onto each other.

        Args:
            rotations: rotation parts in fractional coordinates (spglib's, x' = R x + t), integers.
            translations: translation parts, fractional.

        Returns:
            ``(representatives, inverse)``: flat indices of one point per orbit, and for every point the place of
            its orbit's representative, so that ``values_of_representatives[inverse]`` unfolds a field.

        Raises:
            ElfzooError: when an operation does not map the grid onto itself.
        """
        points = np.stack(np.unravel_index(np.arange(self.size), self.shape), axis=-1)
        smallest = np.arange(self.size)
        for matrix, shift in zip(*self.operations(rotations, translations), strict=True):
            image = (points @ matrix.T + shift) % self.shape
            np.minimum(smallest, np.ravel_multi_index(tuple(image.T), self.shape), out=smallest)
        representatives, inverse = np.unique(smallest, return_inverse=True)
        return representatives, inverse.reshape(-1)


def _require_positive(spacing: Any) -> None:
    try:
        positive = math.isfinite(spacing) and spacing > 0
    except TypeError:  # no number
        positive = False
    if not positive:
        raise ElfzooError(f"the grid spacing must be a positive number of Å; got {spacing!r}")


def _three_counts(shape: Any) -> tuple[int, int, int]:
    try:
        given = tuple(shape)
        counts = tuple(int(n) for n in given)
    except (TypeError, ValueError, OverflowError):  # no sequence, no numbers, or infinite ones
        given, counts = (), ()
    if len(counts) != 3 or min(counts) < 1 or counts != given:
        raise ElfzooError(f"a grid needs three positive whole numbers of points; got {shape!r}")
    return counts[0], counts[1], counts[2]


def _tile_order(box: tuple[np.ndarray, ...], shape: tuple[int, int, int]) -> np.ndarray:
    """Flat indices of a box of grid points, tile after tile: any few that follow each other lie close together."""
    flat: np.ndarray = np.asarray(np.ravel_multi_index(tuple(np.meshgrid(*box, indexing="ij")), shape))
    full = [len(axis) // TILE * TILE for axis in box]
    core = flat[: full[0], : full[1], : full[2]]
    tiles = core.reshape(full[0] // TILE, TILE, full[1] // TILE, TILE, full[2] // TILE, TILE)
    tiles = tiles.transpose(0, 2, 4, 1, 3, 5).reshape(-1, TILE**3)
    parts = [tiles[_z_order(tuple(n // TILE for n in full))].ravel()]
    parts += [
        flat[full[0] :].ravel(),
        flat[: full[0], full[1] :].ravel(),
        flat[: full[0], : full[1], full[2] :].ravel(),
    ]
    return np.concatenate(parts)


def _z_order(shape: tuple[int, ...]) -> np.ndarray:
    """Flat indices of a box in Morton's order: by the bits of all three coordinates, the highest first."""
    places = np.indices(shape).reshape(len(shape), -1)
    bits = range(max(shape, default=0).bit_length())
    code = sum(((place >> bit) & 1) << (3 * bit + 2 - axis) for axis, place in enumerate(places) for bit in bits)
    order: np.ndarray = np.argsort(np.broadcast_to(code, places.shape[1:]), kind="stable")
    return order


def _common_denominator(translations: np.ndarray) -> int:
    """Smallest n up to 24 for which every n·t is an integer; 0 where there is none."""
    for n in (1, 2, 3, 4, 6, 8, 12, 24):
        if np.abs(n * translations - np.round(n * translations)).max(initial=0.0) < 1e-3:
            return n
    return 0
