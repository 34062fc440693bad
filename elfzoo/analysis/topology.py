"""What a predicted field says, against what its reference says: critical points, networking values, hydrogen links.

Voxel errors do not tell whether a prediction has the right bonds and the right network. Critical points are matched one
to one by signature and place, so that recall counts the reference's points that were found and precision the predicted
ones that are real.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from elfzoo.analysis import percolation, spline
from elfzoo.analysis.comparable import require_comparable
from elfzoo.analysis.critical_points import critical_points
from elfzoo.analysis.critical_result import SIGNATURES, CriticalPoints
from elfzoo.analysis.hydrogen_network import HydrogenPairs, hydrogen_pairs, jaccard, jaccard_curve
from elfzoo.analysis.networking import Networking, networking
from elfzoo.core_radii import has_radii
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.io.json_values import json_values
from elfzoo.periodic import probe_edges

__all__ = ["FieldTopology", "MatchedPoints", "TopologyComparison", "can_search", "compare_topology", "match_points"]

ISOVALUES = tuple(round(0.05 * step, 2) for step in range(2, 20))
PERSISTENCE = 0.005  # of ELF; two good DFT codes differ by 0.003
BELOW = 0.002  # φ, so that the last link, whose strength may equal φ, is in the network whatever the rounding
PHIS = ("phi_1d", "phi_2d", "phi_3d", "phi_h_3d", "phi_star")


@dataclass(frozen=True)
class MatchedPoints:
    """How well critical points of a prediction agree with those of the reference.

    Attributes:
        reference, prediction: numbers of points.
        matched: pairs.
        precision: share of the predicted points that are matched; nan without any.
        recall: share of the reference's points that are matched; nan without any.
        mean_displacement, largest_displacement: of the pairs, Å; nan without any.
        value_mae: mean absolute difference of the field's value in the pairs; nan without any.
    """

    reference: int
    prediction: int
    matched: int
    precision: float
    recall: float
    mean_displacement: float
    largest_displacement: float
    value_mae: float


@dataclass(frozen=True)
class TopologyComparison:
    """What :func:`compare_topology` finds.

    Attributes:
        reference, prediction: networking values of both (``Networking.to_dict``).
        delta: prediction minus reference of φ_1d, φ_2d, φ_3d, φ_H and φ*; None where either has none.
        points: by signature, and ``"all"``: matched critical points.
        morse_sums: of reference and prediction.
        max_distance: Å, the farthest that two points may be from each other and still be matched.
        persistence: below which pairs of critical points were cancelled in both.
        jaccard_at_phi: overlap of the hydrogen networks, each just below its own field's φ, where it first spans the
            crystal; None without hydrogen.
        isovalues, jaccard: overlap of both at the same isovalues.
    """

    reference: dict[str, Any]
    prediction: dict[str, Any]
    delta: dict[str, float | None]
    points: dict[str, MatchedPoints]
    morse_sums: tuple[int, int]
    max_distance: float
    persistence: float
    jaccard_at_phi: float | None
    isovalues: tuple[float, ...]
    jaccard: tuple[float, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """JSON values under the attributes' names; an undefined number (nan) is None."""
        return json_values(asdict(self))

    def table(self) -> list[str]:
        """The comparison as lines of text."""
        lines = [f"{'':<16}{'reference':>12}{'prediction':>12}{'difference':>12}"]
        for name in PHIS:
            same = name == "phi_h_3d" and all(v["phi_h"] == v["phi"] for v in (self.reference, self.prediction))
            if self.delta[name] is not None and not same:
                values = (self.reference[name], self.prediction[name], self.delta[name])
                lines.append(f"{name:<16}{values[0]:>12.4f}{values[1]:>12.4f}{values[2]:>+12.4f}")
        lines.append(f"{'critical points':<16}{'ref.':>7}{'pred.':>7}{'recall':>9}{'precision':>11}{'moved, Å':>11}")
        lines += [_row(name, row) for name, row in self.points.items()]
        lines.append(
            f"points up to {self.max_distance} Å apart are matched; pairs closer in value than {self.persistence} are "
            f"left out; Morse sums {self.morse_sums[0]} and {self.morse_sums[1]}"
        )
        if self.jaccard_at_phi is not None and self.jaccard is not None:
            mean = float(np.mean(self.jaccard))
            span = f"{self.isovalues[0]} to {self.isovalues[-1]}"
            lines.append(
                f"hydrogen links shared (Jaccard): {self.jaccard_at_phi:.3f} at each one's φ, "
                f"{mean:.3f} on average from {span}"
            )
        return lines


@dataclass(frozen=True, eq=False)
class FieldTopology:
    """What :func:`compare_topology` looks for in one field, each part found when it is first asked for and then kept.

    For a reference that is compared with several predictions: its own part, half of the work, is done once.

    Args:
        field: any periodic scalar field.
        persistence: pairs of critical points closer in value are cancelled.
    """

    field: Field
    persistence: float = PERSISTENCE

    @cached_property
    def networking(self) -> Networking:
        """Its networking values."""
        return networking(self.field)

    @cached_property
    def points(self) -> CriticalPoints:
        """Its critical points outside of metal cores."""
        return critical_points(self.field, persistence=self.persistence)

    @cached_property
    def pairs(self) -> HydrogenPairs | None:
        """Its pairs of hydrogens, and how well ELF connects each; None without hydrogen."""
        return hydrogen_pairs(self.field) if 1 in self.field.structure.atomic_numbers else None


def compare_topology(
    reference: Field | FieldTopology,
    prediction: Field | FieldTopology,
    max_distance: float = 0.2,
    persistence: float = PERSISTENCE,
    isovalues: tuple[float, ...] = ISOVALUES,
    mixed_recipes: bool = False,
) -> TopologyComparison:
    """Compare what two fields of one structure say; their grids may differ.

    Args:
        reference: the field that counts as right, or a :class:`FieldTopology` of it that serves several comparisons.
        prediction: a field of the same structure (atoms in any order), or its topology.
        max_distance: Å between critical points that may be matched.
        persistence: pairs of critical points closer in value are cancelled first, in both fields.
        isovalues: at which hydrogen networks are compared.
        mixed_recipes: take fields of different engines, functionals or pseudopotentials all the same; φ differs by
            some 0.01 then, whatever the model.

    Raises:
        QuantityError: the fields hold different quantities.
        RecipeError: both recipes are known and differ, and ``mixed_recipes`` is False.
        StructureError: the lattices or the atoms differ by more than 0.001 Å.
        ElfzooError: fields that the searches refuse, a distance that is not positive, or a topology of another
            persistence, or other spin channels.
    """
    ours, theirs = (_topology(given, persistence) for given in (reference, prediction))
    require_comparable(ours.field, theirs.field, mixed_recipes)
    both, points = (ours.networking, theirs.networking), (ours.points, theirs.points)
    at_phi, curve = _links(ours, theirs, isovalues)
    return TopologyComparison(
        reference=both[0].to_dict(),
        prediction=both[1].to_dict(),
        delta={name: _difference(*both, name) for name in PHIS},
        points=match_points(points[0], points[1], max_distance),
        morse_sums=(points[0].morse_sum, points[1].morse_sum),
        max_distance=max_distance,
        persistence=persistence,
        jaccard_at_phi=at_phi,
        isovalues=isovalues,
        jaccard=curve,
    )


def _topology(given: Field | FieldTopology, persistence: float) -> FieldTopology:
    if isinstance(given, Field):
        return FieldTopology(given, persistence)
    if given.persistence != persistence:
        raise ElfzooError(
            f"the comparison cancels pairs closer than {persistence}, a topology given to it those closer than "
            f"{given.persistence}: make both with the same persistence"
        )
    return given


def can_search(*fields: Field) -> bool:
    """Whether :func:`compare_topology` can work: its kernels were built, the fields are ELF on grids large enough, and
    of elements whose cores are known.
    """
    kernels = percolation.available() and spline.available()
    return kernels and all(
        f.quantity == "elf" and min(f.grid.shape) >= spline.FEWEST and has_radii(f.structure) for f in fields
    )


def match_points(
    reference: CriticalPoints, prediction: CriticalPoints, max_distance: float = 0.2
) -> dict[str, MatchedPoints]:
    """Critical points matched one to one within each signature: as many as possible, with the least displacement.

    Args:
        reference: points of the field that counts as right.
        prediction: points of the other one, in the same cell.
        max_distance: Å.

    Raises:
        ElfzooError: a distance that is not positive.
    """
    if not (np.isfinite(max_distance) and max_distance > 0):
        raise ElfzooError(f"the largest distance of a match must be a positive number of Å; got {max_distance}")
    found, distances, gaps = {}, [], []
    for signature, name in SIGNATURES.items():
        ours, theirs = reference.select(signature), prediction.select(signature)
        first, second, distance = _assigned(reference, prediction, ours, theirs, max_distance)
        distances.append(distance)
        gaps.append(np.abs(reference.values[ours[first]] - prediction.values[theirs[second]]))
        found[name] = _matched(len(ours), len(theirs), distance, gaps[-1])
    every = _matched(len(reference), len(prediction), np.concatenate(distances), np.concatenate(gaps))
    return {**found, "all": every}


def _matched(reference: int, prediction: int, distance: np.ndarray, gap: np.ndarray) -> MatchedPoints:
    n = len(distance)
    return MatchedPoints(
        reference,
        prediction,
        n,
        n / prediction if prediction else math.nan,
        n / reference if reference else math.nan,
        float(distance.mean()) if n else math.nan,
        float(distance.max()) if n else math.nan,
        float(gap.mean()) if n else math.nan,
    )


def _assigned(
    reference: CriticalPoints, prediction: CriticalPoints, ours: np.ndarray, theirs: np.ndarray, max_distance: float
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """First, second, distance of the pairs: of most pairs those of the least total distance."""
    places = reference.positions[ours], prediction.positions[theirs]
    if not len(ours) or not len(theirs):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    second, first, shift = probe_edges(places[0], places[1], reference.lattice, max_distance)
    distance = np.linalg.norm(places[1][second] + shift - places[0][first], axis=1)
    size = len(ours) + len(theirs)
    group = connected_components(csr_array((np.ones(len(first)), (first, len(ours) + second)), (size, size)), False)[1]
    chosen = [_best(first[e], second[e], distance[e]) for e in _by_group(group[first])]
    pairs = np.concatenate(chosen) if chosen else np.empty((0, 3))
    return pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64), pairs[:, 2]


def _best(first: np.ndarray, second: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """(pairs, 3) of one connected group of candidates."""
    rows, row = np.unique(first, return_inverse=True)
    columns, column = np.unique(second, return_inverse=True)
    never = 1 + distance.sum()  # worse than any number of candidates
    cost = np.full((len(rows), len(columns)), never)
    np.minimum.at(cost, (row, column), distance)  # of the images of one pair, the nearest
    r, c = linear_sum_assignment(cost)
    kept = cost[r, c] < never
    return np.column_stack([rows[r], columns[c], cost[r, c]])[kept]


def _by_group(group: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []


def _links(
    reference: FieldTopology, prediction: FieldTopology, isovalues: tuple[float, ...]
) -> tuple[float | None, tuple[float, ...] | None]:
    """Jaccard overlap of the networks at φ, and at the isovalues."""
    ours, theirs = reference.pairs, prediction.pairs
    if ours is None or theirs is None or not len(ours.distance):
        return None, None  # no hydrogens near enough: agreement about nothing is no merit
    phis = reference.networking.phi, prediction.networking.phi
    at_phi = jaccard(ours.network(phis[0] - BELOW), theirs.network(phis[1] - BELOW))
    return at_phi, tuple(jaccard_curve(ours, theirs, np.array(isovalues)).tolist())


def _difference(reference: Networking, prediction: Networking, name: str) -> float | None:
    ours, theirs = getattr(reference, name), getattr(prediction, name)
    return None if ours is None or theirs is None else theirs - ours


def _row(name: str, row: MatchedPoints) -> str:
    return (
        f"  {name:<14}{row.reference:>7}{row.prediction:>7}{row.recall:>9.3f}{row.precision:>11.3f}"
        f"{row.mean_displacement:>11.3f}"
    )
