"""The networking value of a field: the highest isovalue whose region is one network through the whole crystal.

Union-find over all (3,-1) saddles of the spline through the stored values, in descending order and with their winding
vectors, is exact in its definition (:mod:`elfzoo.analysis.join_graph`). Union-find over the points of a finer grid
(:mod:`elfzoo.analysis.percolation`) knows nothing of critical points and errs by the square of its spacing: the
difference of the two is the error estimate. Where the saddles do not tell (plateaus, degenerate points), the grid's
value counts, moved to the saddle that is next to it, if any. So it is done with metal cores left out, whose surface
cuts regions where no saddle is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pymatgen.core import Structure

from elfzoo.analysis.join_graph import JoinGraph, join_graph
from elfzoo.analysis.molecularity import molecularity
from elfzoo.analysis.percolation import Thresholds, Triple, checked_values, percolation_thresholds
from elfzoo.analysis.saddle import Saddle, find_saddle, value_at
from elfzoo.analysis.spline import FEWEST
from elfzoo.analysis.tc import TcEstimate, estimate_tc
from elfzoo.core_radii import has_cores, inside_cores, outside_cores
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.interpolate import spline_resample

if TYPE_CHECKING:
    import networkx  # type: ignore[import-untyped]

__all__ = ["Networking", "networking"]

AT_CORES = 0.05  # Å, where regions squeeze past a core: its surface is known to a grid step
BLOCKED = 1e-3  # by how much φ_H is then lower
CORE_DEPTH = 1.0  # how far below the lowest value cores are put, to be joined last


@dataclass(frozen=True, eq=False)
class Networking:
    """What :func:`networking` finds; every value is an isovalue of the field, in its unit.

    Attributes:
        phi_1d, phi_2d, phi_3d: highest isovalues at which one connected region spans one, two, three independent
            directions.
        phi_1d_all, phi_2d_all, phi_3d_all: the same for all regions together: chains along x and others along y that
            never touch span two directions together and one each.
        phi_h_1d, phi_h_2d, phi_h_3d: the same as the first three where no region may enter a metal's core; None where
            an element has no core radius, or the cores leave no way through. Where a core's surface decides, they err
            by some thousandths, for the grid shows it as steps.
        phi_star: molecularity index φ*, the highest isovalue at which one region holds two hydrogens, or one and its
            own image (see :func:`elfzoo.analysis.molecularity`); None without hydrogen.
        phi_error: estimated error of ``phi_3d`` from the grid, not a bound; the error of the DFT or the model that the
            field comes from is not in it.
        exact: whether the first six come from saddles of which none above them is missing; else from a grid.
        at_saddle: whether ``phi_3d`` is the value of a saddle; else that of a grid point.
        shape: the grid of the cross-check, points along each lattice vector.
        structure: of the field.
        graph: maxima and the saddles that join them, None where the stored grid has too few points.
    """

    phi_1d: float
    phi_2d: float
    phi_3d: float
    phi_1d_all: float
    phi_2d_all: float
    phi_3d_all: float
    phi_h_1d: float | None
    phi_h_2d: float | None
    phi_h_3d: float | None
    phi_star: float | None
    phi_error: float
    exact: bool
    at_saddle: bool
    shape: tuple[int, int, int]
    structure: Structure
    graph: JoinGraph | None

    @property
    def phi(self) -> float:
        """The networking value φ, which is :attr:`phi_3d`."""
        return self.phi_3d

    @property
    def phi_h(self) -> float | None:
        """The networking value with cores left out, :attr:`phi_h_3d`."""
        return self.phi_h_3d

    def __repr__(self) -> str:
        return f"Networking(phi={self.phi:.4f} ± {self.phi_error:.4f}, {self.structure.composition.reduced_formula})"

    def tc(self, h_dos: float | None = None, formula: str = "belli2021") -> TcEstimate:
        """Critical temperature by a published fit: :func:`elfzoo.analysis.estimate_tc` with φ, φ* and H_f of this.

        Raises:
            ElfzooError: no hydrogen, or a value out of its range.
        """
        return estimate_tc(self.phi, self.structure, h_dos, self.phi_star, formula)

    def to_networkx(self, isovalue: float | None = None) -> networkx.MultiGraph:
        """Maxima joined over saddles at or above an isovalue, unless stated that of the saddle that makes φ.

        Values of the graph are those of the tricubic spline in which its points were found; φ is that of a quintic one
        at the same saddle, and may lie 10⁻³ above or below.

        Raises:
            ElfzooError: there is no graph.
        """
        if self.graph is None:
            raise ElfzooError(f"no graph of fields with fewer than {FEWEST} points along an axis, or of a grid alone")
        if isovalue is None:
            spanning = self.graph.spanning() if self.exact else None
            isovalue = self.phi if spanning is None else float(self.graph.points.values[spanning.best[2]])
        return self.graph.to_networkx(isovalue)

    def to_dict(self) -> dict[str, Any]:
        """JSON values under the attributes' names, ``phi`` and ``phi_h`` first; without structure and graph."""
        names = [f.name for f in fields(self) if f.name not in ("structure", "graph")]
        found = {name: getattr(self, name) for name in names}
        return {"phi": self.phi, "phi_h": self.phi_h, **found, "shape": list(self.shape)}


class _Found(NamedTuple):
    """Values for one, two, three directions, of one region and of all."""

    best: Triple
    all: Triple
    exact: bool
    at_saddle: bool
    uncertainty: float


def networking(field: Field, spacing: float | None = 0.08) -> Networking:
    """Networking values of a field for one, two and three directions.

    Args:
        field: any periodic scalar field; φ is defined for ELF (Belli et al., Nat. Commun. 12, 5381, 2021).
        spacing: Å; the cross-check runs on a grid at least so fine, interpolated by tricubic spline (24 bytes per point
            are needed), and where a core's surface decides, φ_H comes from one of 0.05 Å. None takes the stored points
            alone, without a spline: then monotone maps of the field map φ exactly, and |Δφ| ≤ max |Δf| holds exactly.

    Raises:
        ElfzooError: values that are not finite, a spacing that is not positive, or no compiled kernel.
    """
    stored = checked_values(field.values)
    if spacing is None:
        return _of_points(field, stored)
    values = spline_resample(stored, field.grid.finer_shape(spacing))
    grid, graph = _from_grid(stored, values, percolation_thresholds(values)), _graph(field)
    exact = _from_graph(stored, graph)
    found = exact or grid
    error = found.uncertainty if exact is None else found.uncertainty + abs(found.best[2] - grid.best[2])
    star, bare = _star(field, stored, graph, spacing), _without_cores(field, stored, values, found)
    if spacing > AT_CORES and any(b is None or abs(b - f) > BLOCKED for b, f in zip(bare, found.best, strict=True)):
        bare = _without_cores(field, stored, spline_resample(stored, field.grid.finer_shape(AT_CORES)), found)
    return _result(field, found, bare, star, error, values.shape, graph)


def _of_points(field: Field, stored: np.ndarray) -> Networking:
    """Of the stored points alone; the saddles next to them only serve to estimate the error."""
    thresholds = percolation_thresholds(stored)
    near = _from_grid(stored, stored, thresholds)
    found = _Found(thresholds.best, thresholds.all, False, False, near.uncertainty)
    star = molecularity(field, None) if _has_hydrogen(field.structure) else None
    bare = _without_cores(field, None, stored, found)
    return _result(field, found, bare, star, near.uncertainty, stored.shape, None)


def _result(
    field: Field,
    found: _Found,
    bare: tuple[float | None, float | None, float | None],
    star: float | None,
    error: float,
    shape: tuple[int, ...],
    graph: JoinGraph | None,
) -> Networking:
    """Values beyond what the field can have are the spline's ringing, as at the edge of clipped data: its error."""
    low, high = field.bounds
    best, every = _clipped(found.best, low, high), _clipped(found.all, low, high)
    h1, h2, h3 = (None if value is None else float(np.clip(value, low, high)) for value in bare)
    star = None if star is None else float(np.clip(star, low, high))
    error, exact = error + abs(best[2] - found.best[2]), found.exact and (best, every) == (found.best, found.all)
    nx, ny, nz = shape
    return Networking(
        *best, *every, h1, h2, h3, star, error, exact, found.at_saddle, (nx, ny, nz), field.structure, graph
    )


def _clipped(values: Triple, low: float, high: float) -> Triple:
    a, b, c = np.clip(values, low, high).tolist()
    return a, b, c


# ---- saddles ----


def _graph(field: Field) -> JoinGraph | None:
    if min(field.values.shape) < FEWEST:
        return None
    atoms = np.flatnonzero(np.array(field.structure.atomic_numbers) == 1)
    return join_graph(field, field.structure.frac_coords[atoms])


def _from_graph(stored: np.ndarray, graph: JoinGraph | None) -> _Found | None:
    """None where the graph does not tell."""
    spanning = None if graph is None else graph.spanning()
    if graph is None or spanning is None:
        return None
    refined = {s: find_saddle(stored, _place(graph, s, stored)) for s in {*spanning.best, *spanning.all}}
    saddles = {s: saddle for s, saddle in refined.items() if saddle is not None}
    value = {s: float(graph.points.values[s]) for s in refined} | {s: saddle.value for s, saddle in saddles.items()}
    last = saddles.get(spanning.best[2])
    best, every = _in_order([value[s] for s in spanning.best], [value[s] for s in spanning.all])
    return _Found(best, every, True, True, 0.0 if last is None else last.uncertainty)


def _star(field: Field, stored: np.ndarray, graph: JoinGraph | None, spacing: float) -> float | None:
    """φ*, from the graph where it tells."""
    if not _has_hydrogen(field.structure):
        return None
    meeting = None if graph is None else graph.meeting()
    if graph is None or meeting is None:
        return molecularity(field, spacing)
    values = [value_at(stored, graph.nuclei[nucleus] * stored.shape) for nucleus in meeting.nuclei]
    if meeting.saddle is not None:
        saddle = find_saddle(stored, _place(graph, meeting.saddle, stored))
        values.append(float(graph.points.values[meeting.saddle]) if saddle is None else saddle.value)
    return min(values)


def _place(graph: JoinGraph, point: int, stored: np.ndarray) -> np.ndarray:
    """A critical point's position in voxels."""
    return np.asarray(graph.points.frac_coords[point] * stored.shape)


# ---- grid ----


def _from_grid(stored: np.ndarray, values: np.ndarray, thresholds: Thresholds) -> _Found:
    """Of the points of a grid, moved to saddles of the stored field where there are any next to them."""
    saddles = _saddles(stored, {*thresholds.best_points, *thresholds.all_points}, values.shape)
    value = dict(zip(thresholds.best_points + thresholds.all_points, thresholds.best + thresholds.all, strict=True))
    value |= {point: saddle.value for point, saddle in saddles.items()}
    best, every = _in_order([value[p] for p in thresholds.best_points], [value[p] for p in thresholds.all_points])
    last = saddles.get(thresholds.best_points[2])
    if last is not None:
        uncertainty = abs(last.value - thresholds.best[2]) + last.uncertainty
    else:  # how much it matters whether a point has fewer or more neighbours
        uncertainty = max(abs(percolation_thresholds(values, c).best[2] - thresholds.best[2]) for c in (6, 26))
    return _Found(best, every, False, last is not None, uncertainty)


def _saddles(stored: np.ndarray, points: set[int], shape: tuple[int, ...]) -> dict[int, Saddle]:
    """The stored field's saddles next to points of a finer grid, by flat index there."""
    ratio = np.array(stored.shape) / np.array(shape)
    found = {point: find_saddle(stored, np.array(np.unravel_index(point, shape)) * ratio) for point in points}
    return {point: saddle for point, saddle in found.items() if saddle is not None}


def _in_order(best: list[float], every: list[float]) -> tuple[Triple, Triple]:
    """Saddle values kept in the order that the definitions imply: saddles close in value may be taken in another."""
    ordered = np.minimum.accumulate(best)
    together = np.minimum.accumulate(np.maximum(every, ordered))
    (a, b, c), (d, e, f) = ordered.tolist(), together.tolist()
    return (a, b, c), (d, e, f)


# ---- cores ----


def _without_cores(
    field: Field, stored: np.ndarray | None, values: np.ndarray, found: _Found
) -> tuple[float | None, float | None, float | None]:
    """The values for one region that enters no core; saddles are looked for only where ``stored`` is given."""
    nothing = (None, None, None)
    try:
        if not has_cores(field.structure):
            return found.best
    except ElfzooError:  # an element without a core radius
        return nothing
    nx, ny, nz = values.shape
    outside = outside_cores(field.structure, Grid((nx, ny, nz), field.structure.lattice.matrix))
    if not outside.any():
        return nothing
    thresholds = percolation_thresholds(np.where(outside, values, values.min() - CORE_DEPTH))
    saddles: Mapping[int, Saddle] = {}
    if stored is not None:
        saddles = _saddles(stored, set(thresholds.best_points), values.shape)
    place = {point: saddle.position / stored.shape for point, saddle in saddles.items() if stored is not None}
    result: list[float | None] = []
    for point, value in zip(thresholds.best_points, thresholds.best, strict=True):
        kept = point in place and not inside_cores(field.structure, place[point][None])[0]
        reached = saddles[point].value if kept else value
        result.append(reached if outside.flat[point] else None)
    return result[0], result[1], result[2]


def _has_hydrogen(structure: Structure) -> bool:
    return 1 in structure.atomic_numbers
