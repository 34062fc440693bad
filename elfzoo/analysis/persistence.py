"""Persistence: which critical points of a periodic field are noise, cancelled in pairs that keep the Morse sum.

Extrema and the saddles that join their regions are paired by the elder rule (union-find over saddles, the lower of two
maxima ends); pairs closer in value than the threshold cancel, and the ends of the other saddles move on to the extremum
that took over. Saddles that join nothing close rings; (3,-1) and (3,+1) ones are cancelled against each other where
they are closer in value than the threshold and the field stays between their values on the straight line that connects
them. That second rule is a shortcut for the gradient line between them, and a saddle whose ring winds around the
crystal in a new direction is never touched by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from elfzoo.periodic import periodic_images

__all__ = ["Forest", "Joined", "join_extrema", "saddle_pairs"]

SAMPLES = np.linspace(0, 1, 18)[1:-1, None]  # along the straight line between two saddles
BLOCK = 2**12  # pairs that are visited at a time: of the millions in fields with creases, most are used up soon
SLACK = 0.3  # part of the threshold by which the field may leave the saddles' values there


@dataclass(frozen=True, eq=False)
class Joined:
    """What :func:`join_extrema` finds.

    Attributes:
        cancelled_extrema: extrema that end at a saddle closer than the threshold.
        cancelled_saddles: those saddles.
        closing: saddles that join a region to itself without a new winding direction.
        ends: extrema that the lines of each saddle lead to after cancellation.
        shifts: cells of those extrema.
    """

    cancelled_extrema: Bool[np.ndarray, " extrema"]
    cancelled_saddles: Bool[np.ndarray, " saddles"]
    closing: Bool[np.ndarray, " saddles"]
    ends: Int[np.ndarray, "saddles 2"]
    shifts: Int[np.ndarray, "saddles 2 3"]


class Forest:
    """Union-find of extrema over all cells: regions that grow together, and the ways they wind around the crystal.

    Args:
        heights: of each extremum; the higher root of two regions stays the root.
    """

    def __init__(self, heights: Float[np.ndarray, " extrema"]):
        self.heights = heights
        self.parent = list(range(len(heights)))
        self.cell = [np.zeros(3, dtype=np.int64)] * len(heights)
        self.windings: dict[int, np.ndarray] = {}

    def find(self, node: int) -> tuple[int, np.ndarray]:
        """The root of an extremum's region, and its cell where the extremum is in cell 0."""
        path = []
        while self.parent[node] != node:
            path.append(node)
            node = self.parent[node]
        for step in reversed(path[:-1]):  # the last one hangs on the root already
            self.cell[step] = self.cell[step] + self.cell[self.parent[step]]
            self.parent[step] = node
        return node, self.cell[path[0]] if path else np.zeros(3, dtype=np.int64)

    def join(self, ends: Int[np.ndarray, " 2"], shifts: Int[np.ndarray, "2 3"]) -> tuple[int, int, np.ndarray]:
        """Make one region of those of two extrema in the cells ``shifts``.

        Returns:
            ``(root, other, step)``: the root of the region; the other region's root so far, ``root`` itself where both
            ends are in one region; and the cell of ``other`` as seen from ``root``, then a winding vector.
        """
        (a, p), (b, q) = (self.find(int(end)) for end in ends)
        step = shifts[1] + q - shifts[0] - p
        if self.heights[a] < self.heights[b]:
            a, b, step = b, a, -step
        if a != b:
            self.parent[b], self.cell[b] = a, -step
            for winding in self.windings.pop(b, ()):
                self.wind(a, winding)
        return a, b, step

    def wind(self, root: int, step: np.ndarray) -> bool:
        """Whether a winding vector is independent of those that the region has; it is added then."""
        have = self.windings.get(root, np.empty((0, 3), dtype=np.int64))
        both = np.vstack([have, step])
        if not step.any() or np.linalg.matrix_rank(both) == len(have):
            return False
        self.windings[root] = both
        return True


def join_extrema(
    heights: Float[np.ndarray, " extrema"],
    saddles: Float[np.ndarray, " saddles"],
    ends: Int[np.ndarray, "saddles 2"],
    shifts: Int[np.ndarray, "saddles 2 3"],
    threshold: float,
) -> Joined:
    """Join maxima over saddles in descending order (minima: with all values negated).

    Args:
        heights: values of the maxima.
        saddles: values of the saddles.
        ends: the maxima that each saddle's gradient lines reach; saddles with a negative number join nothing.
        shifts: the cells that they lie in.
        threshold: pairs closer in value are cancelled.
    """
    everything, near = Forest(heights), Forest(heights)
    gone, used = np.zeros(len(heights), bool), np.zeros(len(saddles), bool)
    closing = np.zeros(len(saddles), bool)
    for s in np.argsort(-saddles, kind="stable").tolist():
        if ends[s].min() < 0:
            continue
        root, other, step = everything.join(ends[s], shifts[s])
        if root == other:
            closing[s] = not everything.wind(root, step)
        elif heights[other] - saddles[s] < threshold:
            gone[near.join(ends[s], shifts[s])[1]] = used[s] = True
    return Joined(gone, used, closing, *_moved(near, ends, shifts))


def _moved(near: Forest, ends: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends of saddles after cancellation."""
    ends, shifts = ends.copy(), shifts.copy()
    for s, side in zip(*np.nonzero(ends >= 0), strict=True):
        ends[s, side], cell = near.find(int(ends[s, side]))
        shifts[s, side] += cell
    return ends, shifts


def saddle_pairs(
    upper: tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]],
    lower: tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]],
    lattice: Float[np.ndarray, "3 3"],
    threshold: float,
    reach: float,
    values_at: Callable[[np.ndarray], np.ndarray],
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """(3,-1) and (3,+1) saddles that cancel each other, the closest in value first; each is used once.

    Args:
        upper: Cartesian positions (Å) and values of the (3,-1) saddles that close rings.
        lower: the same for the (3,+1) saddles.
        lattice: (3, 3) rows, Å.
        threshold: largest difference in value.
        reach: largest distance, Å.
        values_at: values of the field at Cartesian positions.
    """
    nothing = np.empty(0, np.int64)
    if threshold <= 0 or not len(upper[1]) or not len(lower[1]):
        return nothing, nothing
    images = periodic_images(upper[0], lattice, reach)
    inside = lower[0] - np.floor(lower[0] @ np.linalg.inv(lattice)) @ lattice
    near = cKDTree(inside).sparse_distance_matrix(cKDTree(images.positions), reach, output_type="coo_matrix")
    low, image = near.row, near.col
    gap = upper[1][images.atom[image]] - lower[1][low]
    close = np.flatnonzero((gap >= 0) & (gap < threshold))
    close = close[np.argsort(gap[close], kind="stable")]
    low, image, gap = low[close], image[close], gap[close]
    slack, pairs = SLACK * threshold, []
    used = np.zeros(len(upper[1]), bool), np.zeros(len(lower[1]), bool)
    for start in range(0, len(low), BLOCK):
        part = slice(start, start + BLOCK)
        # noise has millions of pairs, most of saddles that are used already: no need to look at the line between
        free = start + np.flatnonzero(~(used[0][images.atom[image[part]]] | used[1][low[part]]))
        begin, end = inside[low[free]], images.positions[image[free]]
        line = begin[:, None] + SAMPLES * (end - begin)[:, None]
        along = values_at(line.reshape(-1, 3)).reshape(len(begin), len(SAMPLES))
        bottom, top = lower[1][low[free]] - slack, lower[1][low[free]] + gap[free] + slack
        monotone = free[(along >= bottom[:, None]).all(axis=1) & (along <= top[:, None]).all(axis=1)]
        for first, second in zip(images.atom[image[monotone]].tolist(), low[monotone].tolist(), strict=True):
            if not (used[0][first] or used[1][second]):
                pairs.append((first, second))
                used[0][first] = used[1][second] = True
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
