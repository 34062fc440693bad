"""Which hydrogens ELF connects at an isovalue: a graph of atom pairs, its components and how far they reach.

Two hydrogens are linked when ELF stays at or above the isovalue along the straight segment between their nuclei. That
needs no basins, which do not tell the two atoms of H2 apart where ELF has its maximum at the bond centre. A segment
that runs through a third nucleus counts like any other: it adds a link between atoms that are connected anyway.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pymatgen.core import Structure

from elfzoo.analysis.periodic_graph import periodic_components, winding_rank
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.interpolate import PeriodicSpline
from elfzoo.periodic import probe_edges
from elfzoo.structure import require_same_structure

if TYPE_CHECKING:
    import networkx  # type: ignore[import-untyped]

__all__ = [
    "Component",
    "HydrogenNetwork",
    "HydrogenPairs",
    "hydrogen_network",
    "hydrogen_pairs",
    "jaccard",
    "jaccard_curve",
]

SAMPLE = 0.04  # angstrom between the first samples on a segment; ELF bends over ten times that
ZOOM, ROUNDS = 9, 4  # points on what is left of a segment, and how often it shrinks to two of their intervals
BLOCK = 2**18  # points evaluated at a time


@dataclass(frozen=True)
class Component:
    """Hydrogens that links join, an atom with none included.

    Attributes:
        atoms: their indices in the structure.
        links: number of links per cell.
        dimensionality: 0, a molecule or an atom; 1, a chain; 2, a sheet; 3, a net through the whole crystal.
    """

    atoms: tuple[int, ...]
    links: int
    dimensionality: int


@dataclass(frozen=True, eq=False)
class HydrogenPairs:
    """Every pair of hydrogens up to some distance, each once, and how well ELF connects it.

    A pair is atom ``first`` of the cell and the image of atom ``second`` that lies ``image`` lattice vectors away from
    its own fractional coordinates in the structure. ``first <= second``, and an atom pairs with its own images.

    Attributes:
        structure: of the field; indices of atoms refer to it.
        max_distance: Å.
        first, second: (pairs,) atom indices.
        image: (pairs, 3).
        distance: (pairs,) between the nuclei, Å.
        strength: (pairs,) smallest ELF on the straight segment from nucleus to nucleus, ends included.
    """

    structure: Structure
    max_distance: float
    first: Int[np.ndarray, " pairs"]
    second: Int[np.ndarray, " pairs"]
    image: Int[np.ndarray, "pairs 3"]
    distance: Float[np.ndarray, " pairs"]
    strength: Float[np.ndarray, " pairs"]

    def network(self, isovalue: float) -> HydrogenNetwork:
        """The graph of the pairs whose strength is at least ``isovalue``."""
        if not np.isfinite(isovalue):
            raise ElfzooError(f"the isovalue must be a finite number; got {isovalue}")
        return HydrogenNetwork(self._where(self.strength >= isovalue), isovalue)

    def _where(self, kept: Bool[np.ndarray, " pairs"]) -> HydrogenPairs:
        columns = (self.first, self.second, self.image, self.distance, self.strength)
        return HydrogenPairs(self.structure, self.max_distance, *(column[kept] for column in columns))


@dataclass(frozen=True, eq=False)
class HydrogenNetwork:
    """The hydrogens of a structure and the pairs of them that ELF links at an isovalue.

    Attributes:
        links: the linked pairs.
        isovalue: of ELF.
    """

    links: HydrogenPairs
    isovalue: float

    @property
    def structure(self) -> Structure:
        """The structure that indices of atoms refer to."""
        return self.links.structure

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """Connected parts of the network in the crystal, ordered by their first atom; every hydrogen is in one."""
        atoms = hydrogens(self.structure)
        first, second = (np.searchsorted(atoms, end) for end in (self.links.first, self.links.second))
        part, winding = periodic_components(len(atoms), first, second, self.links.image)
        return tuple(
            Component(
                tuple(atoms[part == p].tolist()), int((part[first] == p).sum()), winding_rank(winding[part[first] == p])
            )
            for p in range(part.max() + 1)
        )

    @property
    def dimensionality(self) -> int:
        """The largest dimensionality of a component."""
        return max(component.dimensionality for component in self.components)

    @property
    def molecular_fraction(self) -> float:
        """Share of the hydrogens that are linked in twos and to no other: H2 molecules at this isovalue."""
        paired = sum(2 for c in self.components if len(c.atoms) == 2 and c.dimensionality == 0)
        return paired / sum(len(c.atoms) for c in self.components)

    def to_networkx(self) -> networkx.MultiGraph:
        """The graph with atom indices as nodes, and of each link ``image``, ``distance`` (Å) and ``strength``.

        ``image`` leads from the smaller atom index to the larger one.
        """
        import networkx  # at hand wherever pymatgen is, and slow to import

        graph = networkx.MultiGraph(isovalue=self.isovalue)
        graph.add_nodes_from(hydrogens(self.structure).tolist())
        links = self.links
        columns = (links.first, links.second, links.image, links.distance, links.strength)
        for i, j, image, distance, strength in zip(*(column.tolist() for column in columns), strict=True):
            graph.add_edge(i, j, image=tuple(image), distance=distance, strength=strength)
        return graph

    def to_dict(self) -> dict[str, Any]:
        """JSON values: isovalue, links, components, dimensionality and molecular fraction."""
        names = ("first", "second", "image", "distance", "strength")
        return {
            "isovalue": self.isovalue,
            "max_distance": self.links.max_distance,
            "dimensionality": self.dimensionality,
            "molecular_fraction": self.molecular_fraction,
            "components": [{**asdict(c), "atoms": list(c.atoms)} for c in self.components],
            "links": {name: getattr(self.links, name).tolist() for name in names},
        }


def hydrogens(structure: Structure) -> Int[np.ndarray, " hydrogens"]:
    """Indices of the hydrogen atoms.

    Raises:
        ElfzooError: there are none.
    """
    atoms = np.flatnonzero(np.array(structure.atomic_numbers) == 1)
    if len(atoms) == 0:
        raise ElfzooError(f"{structure.composition.reduced_formula} has no hydrogen to connect")
    return atoms


def hydrogen_pairs(field: Field, max_distance: float = 2.0) -> HydrogenPairs:
    """Every pair of hydrogens up to ``max_distance`` (Å), images included, and the smallest ELF between them.

    ELF is taken from the quintic spline through the stored values.

    Raises:
        ElfzooError: no hydrogen, values that are not finite, or a distance that is not positive.
    """
    if not (np.isfinite(max_distance) and max_distance > 0):
        raise ElfzooError(f"the largest distance of a pair must be a positive number of Å; got {max_distance}")
    first, second, image = _neighbours(field.structure, hydrogens(field.structure), max_distance)
    frac = field.structure.frac_coords
    vector = frac[second] + image - frac[first]
    distance = np.linalg.norm(vector @ field.structure.lattice.matrix, axis=1)
    strength = _smallest(PeriodicSpline.through(field.values, 5), frac[first], vector, max_distance)
    return HydrogenPairs(field.structure, max_distance, first, second, image, distance, strength)


def hydrogen_network(field: Field, isovalue: float, max_distance: float = 2.0) -> HydrogenNetwork:
    """The hydrogens that ELF links at an isovalue: :func:`hydrogen_pairs` at one value, with the same errors."""
    return hydrogen_pairs(field, max_distance).network(isovalue)


def jaccard(a: HydrogenNetwork, b: HydrogenNetwork) -> float:
    """Links that two networks of one structure share over links that either has; 1 where neither has any.

    The atoms may come in any order and in any cell. A link is the same when it joins the same two atoms, image
    included; networks made with different ``max_distance`` are refused, since one would lack what the other was shown.

    Raises:
        StructureError: the lattices or the atoms differ by more than 0.001 Å.
        ElfzooError: different largest distances.
    """
    known, other = _keys(a.links), _keys(_in_terms_of(a.links, b.links))
    return len(known & other) / len(known | other) if known | other else 1.0


def jaccard_curve(
    a: HydrogenPairs, b: HydrogenPairs, isovalues: Float[np.ndarray, " isovalues"]
) -> Float[np.ndarray, " isovalues"]:
    """:func:`jaccard` of the networks of two fields at each isovalue."""
    b = _in_terms_of(a, b)
    return np.array([jaccard(a.network(float(t)), b.network(float(t))) for t in isovalues])


def _neighbours(
    structure: Structure, atoms: np.ndarray, max_distance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and second atom and image of every pair, each once, in order."""
    positions, lattice = structure.cart_coords[atoms], structure.lattice.matrix
    second, first, shift = probe_edges(positions, positions, lattice, max_distance)
    image = np.round(shift @ np.linalg.inv(lattice)).astype(int)
    once = (first < second) | ((first == second) & (_sign(image) > 0))
    rows = np.column_stack([atoms[first], atoms[second], image])[once]
    rows = rows[np.lexsort(rows.T[::-1])]
    return rows[:, 0], rows[:, 1], rows[:, 2:]


def _sign(image: np.ndarray) -> np.ndarray:
    """(pairs,): sign of the first number of each image that is not zero; its opposite has the other."""
    return np.sign(np.sign(image) @ [4, 2, 1])


def _smallest(spline: PeriodicSpline, start: np.ndarray, vector: np.ndarray, max_distance: float) -> np.ndarray:
    """(pairs,): smallest value between each start and start + vector: the best of even samples, then ever finer."""
    pairs = np.arange(len(start))
    points = max(ZOOM, int(np.ceil(max_distance / SAMPLE)) + 1)
    low, high = np.zeros(len(start)), np.ones(len(start))
    smallest = np.full(len(start), np.inf)
    for _ in range(1 + ROUNDS):
        t = np.linspace(low, high, points, axis=1)
        values = _on_segments(spline, start, vector, t)
        best = values.argmin(axis=1)
        smallest = np.minimum(smallest, values[pairs, best])
        low, high = t[pairs, np.maximum(best - 1, 0)], t[pairs, np.minimum(best + 1, points - 1)]
        points = ZOOM
    return smallest


def _on_segments(spline: PeriodicSpline, start: np.ndarray, vector: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(pairs, samples): values at start + t·vector, a bounded number of pairs at a time."""
    values, step = np.empty(t.shape), max(1, BLOCK // t.shape[1])
    for block in (slice(begin, begin + step) for begin in range(0, len(t), step)):
        points = start[block, None] + t[block, :, None] * vector[block, None]
        values[block] = spline(points.reshape(-1, 3)).reshape(points.shape[:2])
    return values


def _in_terms_of(a: HydrogenPairs, b: HydrogenPairs) -> HydrogenPairs:
    """``b`` with the atoms and cells of ``a``'s structure."""
    if a.max_distance != b.max_distance:
        raise ElfzooError(
            f"one network pairs hydrogens up to {a.max_distance} Å, the other up to {b.max_distance} Å; "
            "make both with the same max_distance"
        )
    require_same_structure(a.structure, b.structure)
    ours, theirs = hydrogens(a.structure), hydrogens(b.structure)
    here, there = a.structure.frac_coords, b.structure.frac_coords
    distances = a.structure.lattice.get_all_distances(there[theirs], here[ours])
    name = np.zeros(len(there), dtype=int)
    name[theirs] = ours[distances.argmin(axis=1)]
    cell = np.round(there - here[name]).astype(int)  # where b has its atom, in a's cells
    first, second = name[b.first], name[b.second]
    image = b.image + cell[b.second] - cell[b.first]
    turned = (first > second) | ((first == second) & (_sign(image) < 0))
    image = np.where(turned[:, None], -image, image)
    ends = np.where(turned, second, first), np.where(turned, first, second)
    return HydrogenPairs(a.structure, b.max_distance, *ends, image, b.distance, b.strength)


def _keys(pairs: HydrogenPairs) -> set[tuple[int, ...]]:
    return set(map(tuple, np.column_stack([pairs.first, pairs.second, pairs.image]).tolist()))
