"""Plateaus of gridded data: regions of flat cells, and which of them stand for a maximum or a minimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from elfzoo.analysis.periodic_graph import component_cells, face_edges
from elfzoo.analysis.spline import flat_cells

__all__ = ["Plateaus", "plateau_cells", "plateaus"]

AROUND = 5  # cells along an edge of the neighbourhood in which nothing is higher than a maximum


@dataclass(frozen=True, eq=False)
class Plateaus:
    """Connected regions of flat cells that are higher, or lower, than everything next to them.

    Attributes:
        positions: the middle of one cell of each, in grid steps.
        signs: 1 for maxima, -1 for minima.
        numbers: of the piece that ``positions`` lies in.
        pieces: number of the connected piece within the unit cell that each grid cell belongs to, 0 for none.
        roots: by piece, number of the piece that stands for its region.
        shifts: by piece, the cell of that piece where this one is in cell 0.
        around: number of the region that each grid cell belongs to or is next to, 0 for none.
        levels: by piece that stands for a region, the mean of its values.
    """

    positions: Float[np.ndarray, "plateaus 3"]
    signs: Int[np.ndarray, " plateaus"]
    numbers: Int[np.ndarray, " plateaus"]
    pieces: Int[np.ndarray, "nx ny nz"]
    roots: Int[np.ndarray, " pieces"]
    shifts: Int[np.ndarray, "pieces 3"]
    around: Int[np.ndarray, "nx ny nz"]
    levels: Float[np.ndarray, " pieces"]

    def hold(
        self, positions: Float[np.ndarray, "points 3"], values: Float[np.ndarray, " points"], tolerance: float
    ) -> Bool[np.ndarray, " points"]:
        """Whether points (in grid steps) lie on or next to a plateau with a value like the plateau's.

        At a sharp edge, as that of clipped data, a spline overshoots and rings. No datum around a maximum is higher
        than it, so that what a point is higher tells by how much the spline is wrong all around.
        """
        region = self.around[tuple((np.floor(positions).astype(np.int64) % self.around.shape).T)]
        sign = np.zeros(len(self.levels), dtype=np.int64)
        sign[self.numbers] = self.signs
        difference = values - self.levels[region]
        overshoot = np.zeros(len(self.levels))
        np.maximum.at(overshoot, region, sign[region] * difference)
        return (region > 0) & (np.abs(difference) <= np.maximum(tolerance, overshoot)[region])

    def at(self, positions: Float[np.ndarray, "points 3"]) -> tuple[np.ndarray, np.ndarray]:
        """The plateau that each position in grid steps lies on, -1 for none of them, and the cell that it is in."""
        shape = np.array(self.pieces.shape)
        cells = np.floor(positions).astype(np.int64)
        piece = self.pieces[tuple((cells % shape).T)]
        number = {root: plateau for plateau, root in enumerate(self.numbers.tolist())}
        which = np.array([number.get(root, -1) for root in self.roots[piece].tolist()], dtype=np.int64)
        return which, cells // shape + self.shifts[piece]


def plateau_cells(values: Float[np.ndarray, "nx ny nz"], flat: float, tolerance: float) -> Bool[np.ndarray, "nx ny nz"]:
    """Cells in connected regions that are flat somewhere and stay within ``tolerance`` of the value there.

    Args:
        values: the data.
        flat: the 4×4×4 data around a flat cell differ by no more.
        tolerance: of the region, never less than ``flat``. Around a plateau splines ring, by less with each grid step.
    """
    seeds = flat_cells(values, flat)
    if not seeds.any() or tolerance <= flat:
        return seeds
    low, high = (  # at the eight corners of each cell
        of(values, size=2, mode="wrap", origin=-1) for of in (ndimage.minimum_filter, ndimage.maximum_filter)
    )
    grown = seeds.copy()
    for level in np.unique(np.round(values[seeds] / tolerance)) * tolerance:
        near = (low >= level - 1.5 * tolerance) & (high <= level + 1.5 * tolerance)
        pieces, count = ndimage.label(near)
        root = _across_faces(pieces, count)[0]
        seeded = np.unique(root[pieces[seeds & near]])
        grown |= np.isin(root[pieces], seeded[seeded > 0])
    return grown


def plateaus(values: Float[np.ndarray, "nx ny nz"], flat: Bool[np.ndarray, "nx ny nz"], tolerance: float) -> Plateaus:
    """The plateaus that stand for an extremum.

    Args:
        values: the data.
        flat: cells of plateaus, as from :func:`plateau_cells`.
        tolerance: how much higher the points next to a maximum may be.
    """
    pieces, count = ndimage.label(flat)
    root, shifts = _across_faces(pieces, count)
    regions = root[pieces]
    numbers, around = np.unique(root[1:]), ndimage.maximum_filter(regions, size=AROUND, mode="wrap")
    levels = np.zeros(count + 1)
    levels[numbers] = ndimage.mean(values, regions, numbers)
    lowest, highest = _extremes(values, around, count)
    signs = (highest <= levels + tolerance).astype(np.int64)[numbers] - (lowest >= levels - tolerance)[numbers]
    kept = numbers[signs != 0]
    middles = np.array([_middle(pieces == number) for number in kept]).reshape(-1, 3)
    return Plateaus(middles, signs[signs != 0], kept, pieces, root, shifts, around, levels)


def _across_faces(pieces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For every piece the piece that stands for its region, and that one's cell where this one is in cell 0."""
    component, cell = component_cells(count + 1, *face_edges(pieces))
    return np.unique(component, return_index=True)[1][component], -cell


def _extremes(values: np.ndarray, regions: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of every region."""
    lowest, highest = np.full(count + 1, np.inf), np.full(count + 1, -np.inf)
    inside = regions > 0
    np.minimum.at(lowest, regions[inside], values[inside])
    np.maximum.at(highest, regions[inside], values[inside])
    return lowest, highest


def _middle(cells: np.ndarray) -> np.ndarray:
    """The middle of the cell that lies closest to the middle of them all."""
    places = np.argwhere(cells)
    return places[np.argmin(((places - places.mean(axis=0)) ** 2).sum(axis=1))] + 0.5
