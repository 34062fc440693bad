"""How the superlevel sets {f >= t} of a field hang together, exactly for the spline: maxima joined over (3,-1) saddles.

As the isovalue falls, a region is born at each maximum, and at each (3,-1) saddle the regions of the two maxima that
its ascending gradient lines lead to become one, or one region closes on itself or its image in another cell (Morse
theory). Going through the saddles in descending order, union-find with lattice translations gives the value at which a
region first spans one, two or three independent directions, and the value at which it first holds two nuclei.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from elfzoo.analysis.critical_points import FIRST_STEP, Search, find_points, follow, with_ends
from elfzoo.analysis.critical_result import CriticalPoints
from elfzoo.analysis.persistence import Forest
from elfzoo.analysis.spline import UNDECIDED
from elfzoo.field import Field

if TYPE_CHECKING:
    import networkx  # type: ignore[import-untyped]

__all__ = ["JoinGraph", "Spanning", "join_graph"]

ALL = -1  # the key of the winding vectors of all regions together
SUPPORT = np.indices((4, 4, 4)).reshape(3, -1).T - 1  # of the spline in the cell above a grid point


class Spanning(NamedTuple):
    """Indices of the (3,-1) saddles that complete one, two, three directions: in one region, and in all together."""

    best: tuple[int, int, int]
    all: tuple[int, int, int]


class Meeting(NamedTuple):
    """What first puts two nuclei, or one and its own image, into one region as the isovalue falls.

    Attributes:
        saddle: index of the (3,-1) saddle; None where a nucleus is lower than what joins it to the other.
        nuclei: those in the region then, as positions in :attr:`JoinGraph.nuclei`.
    """

    saddle: int | None
    nuclei: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class JoinGraph:
    """Maxima, (3,-1) saddles and nuclei of a field, nothing cancelled or left out.

    Attributes:
        points: the critical points; only the (3,-1) saddles have ends.
        nuclei: (nuclei, 3) fractional coordinates.
        values: (nuclei,) of the field there.
        tops: the maximum that the gradient line from each nucleus leads up to, negative where it is lost.
        sure_above: lost lines and degenerate points lie at or below this value, so that what the graph says above it is
            exact; -inf where there are none.
    """

    points: CriticalPoints
    nuclei: Float[np.ndarray, "nuclei 3"]
    values: Float[np.ndarray, " nuclei"]
    tops: Int[np.ndarray, " nuclei"]
    sure_above: float

    def spanning(self) -> Spanning | None:
        """The saddles at which regions begin to span the crystal.

        None where they never do, as in a constant field, or only where the graph is not sure.
        """
        regions, best, every = _Regions(self.points.values), list[int](), list[int]()
        for saddle in self._descending():
            root = regions.join(self.points.ends[saddle], self.points.end_shifts[saddle])
            best += [saddle] * (regions.rank(root) - len(best))
            every += [saddle] * (regions.rank(ALL) - len(every))
            if len(best) == 3:
                return Spanning((best[0], best[1], best[2]), (every[0], every[1], every[2]))
        return None

    def meeting(self) -> Meeting | None:
        """Where two nuclei first meet; None without nuclei, or where they only do where the graph is not sure."""
        regions, waiting = _Regions(self.points.values), self._rising_nuclei()
        for saddle in self._descending():
            while waiting and self.values[waiting[-1]] >= self.points.values[saddle]:
                met = regions.put(nucleus := waiting.pop(), int(self.tops[nucleus]))
                if met:
                    return Meeting(None, met)
            root = regions.join(self.points.ends[saddle], self.points.end_shifts[saddle])
            if met := regions.met(root):
                return Meeting(saddle, met)
        for nucleus in reversed(waiting):  # below every saddle
            if met := regions.put(nucleus, int(self.tops[nucleus])):
                return Meeting(None, met)
        return None

    def to_networkx(self, isovalue: float = -np.inf) -> networkx.MultiGraph:
        """Maxima as nodes, saddles as edges, from ``isovalue`` upwards.

        Nodes are indices in :attr:`points` with ``value`` and ``frac_coords``; edges have ``saddle``, its index,
        ``value``, and ``image``, the lattice translation from the smaller node to the larger one.
        """
        import networkx

        graph, points = networkx.MultiGraph(isovalue=isovalue), self.points
        for top in points.select(-3).tolist():
            if points.values[top] >= isovalue:
                graph.add_node(top, value=float(points.values[top]), frac_coords=tuple(points.frac_coords[top]))
        for saddle in self._joining(-np.inf):
            (a, b), (p, q) = points.ends[saddle].tolist(), points.end_shifts[saddle]
            if points.values[saddle] >= isovalue:
                image = q - p if a <= b else p - q
                graph.add_edge(a, b, saddle=saddle, value=float(points.values[saddle]), image=tuple(image.tolist()))
        return graph

    def _rising_nuclei(self) -> list[int]:
        order = np.argsort(self.values, kind="stable")
        return order[self.values[order] > self.sure_above].tolist()

    def _descending(self) -> list[int]:
        """Saddles whose lines both end at maxima, where the graph is sure."""
        return self._joining(self.sure_above)

    def _joining(self, above: float) -> list[int]:
        saddles = self.points.select(-1)
        joins = (self.points.ends[saddles] >= 0).all(axis=1) & (self.points.values[saddles] > above)
        saddles = saddles[joins]
        return saddles[np.argsort(-self.points.values[saddles], kind="stable")].tolist()


def join_graph(field: Field, nuclei: Float[np.ndarray, "nuclei 3"]) -> JoinGraph:
    """The join graph of a field.

    Args:
        field: any periodic scalar field, at least 4 grid points along each axis.
        nuclei: fractional coordinates of the nuclei to follow uphill.

    Raises:
        ElfzooError: values that are not finite, too few grid points, or no compiled kernel.
    """
    search = Search.of(field)
    points, regions = find_points(search)
    points = with_ends(search, points, regions, saddles=(-1,))
    steps = nuclei * search.shape
    tops, _ = follow(search, points, steps, np.full(len(steps), FIRST_STEP), 1, regions)
    values = search.values(steps)
    return JoinGraph(points, nuclei, values, tops, _sure_above(search, points, values[tops < 0]))


def _sure_above(search: Search, points: CriticalPoints, lost_nuclei: np.ndarray) -> float:
    """The highest value that a lost line or an undecided cell may have; a spline stays below its coefficients."""
    saddles = points.select(-1)
    lost = points.values[saddles[(points.ends[saddles] < 0).any(axis=1)]]
    cells = np.argwhere(search.status & UNDECIDED > 0)
    support = [search.spline.coefficients[tuple(((cells + offset) % search.shape).T)] for offset in SUPPORT]
    return float(np.max(np.concatenate([lost, lost_nuclei, *support]), initial=-np.inf))


class _Regions:
    """Regions of maxima that grow together, their winding vectors, and the nuclei in them."""

    def __init__(self, heights: np.ndarray):
        self.forest = Forest(heights)
        self.nuclei: dict[int, tuple[int, ...]] = {}

    def join(self, ends: np.ndarray, shifts: np.ndarray) -> int:
        """Join the regions of two maxima in the cells ``shifts``; the root of the region that comes of it."""
        root, other, step = self.forest.join(ends, shifts)
        if root == other:
            self.forest.wind(root, step)
            self.forest.wind(ALL, step)
        else:
            self.nuclei[root] = self.nuclei.get(root, ()) + self.nuclei.pop(other, ())
        return root

    def rank(self, root: int) -> int:
        """Independent directions in which a region spans the crystal."""
        return len(self.forest.windings.get(root, ()))

    def put(self, nucleus: int, top: int) -> tuple[int, ...]:
        """Put a nucleus into the region of a maximum; what :meth:`met` then says."""
        root = self.forest.find(top)[0]
        self.nuclei[root] = (*self.nuclei.get(root, ()), nucleus)
        return self.met(root)

    def met(self, root: int) -> tuple[int, ...]:
        """The nuclei of a region, if two of them or images of one are in it."""
        inside = self.nuclei.get(root, ())
        return inside if len(inside) > 1 or self.rank(root) else ()
