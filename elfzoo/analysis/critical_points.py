"""Critical points of a field: maxima (3,-3), saddles (3,-1) and (3,+1), minima (3,+3), and how they hang together.

Found on the periodic tricubic spline through the values (or through logit(ELF), which a monotone map takes to the same
points). In each grid cell it is a polynomial, whose Bernstein coefficients bound it: cells, and parts of them, are left
out only where the gradient cannot vanish, so no point is missed but degenerate ones, and the alternating sum of the
counts is zero on a torus (Morse). From each saddle the two gradient lines along the direction that tells it from a
maximum or a minimum are followed to where they end. Nuclei are never made maxima.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from pymatgen.core import Structure
from scipy import special
from scipy.spatial import cKDTree

from elfzoo.analysis.critical_result import SIGNATURES, CriticalPoints
from elfzoo.analysis.persistence import Joined, join_extrema, saddle_pairs
from elfzoo.analysis.plateaus import Plateaus, plateau_cells, plateaus
from elfzoo.analysis.spline import CORE, FEWEST, IN_CORE, LOST, MOST_POINTS, ON_PLATEAU, PLATEAU, Spline
from elfzoo.core_radii import inside_cores, outside_cores
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.field import Field
from elfzoo.interpolate import CLIP, PeriodicSpline

__all__ = ["FIRST_STEP", "Search", "critical_points", "find_points", "follow", "persistent_maxima", "with_ends"]

FLAT = 2e-5  # within which the 4×4×4 data around a flat cell stay
SAME = 1e-5  # grid steps between a point found on both sides of a face
FIRST_STEP = 0.02  # grid steps to where gradient lines begin; from a saddle no more than a fifth of that to a neighbour
REACH = 12  # grid steps between saddles that cancel each other


def critical_points(
    field: Field,
    space: str = "value",
    persistence: float = 0.001,
    exclude_cores: bool = True,
    core_scale: float = 1.0,
    flat: float = FLAT,
) -> CriticalPoints:
    """Critical points of a field.

    Args:
        field: any periodic scalar field, at least 4 grid points along each axis.
        space: ``"value"``, or ``"logit"`` to spline logit(ELF), smoother and never outside (0, 1); values within 0.001
            of 0 or 1 are moved there first, and become plateaus where they are neighbours.
        persistence: pairs of critical points closer in value than this are cancelled as noise; 0 keeps every point.
            Two good DFT codes differ by 0.003. See :mod:`elfzoo.analysis.persistence`.
        exclude_cores: leave out what lies within ``core_scale`` core radii of metal nuclei
            (:mod:`elfzoo.core_radii`), where ELF shows the pseudopotential.
        core_scale: factor on the core radii.
        flat: where the 4×4×4 data around a cell differ by no more, the cell is part of a plateau, and so is what is
            connected to it and differs by less than about a third of ``persistence``. Plateaus are not searched; one
            that is an extremum is one point.

    Raises:
        ElfzooError: values that are not finite, too few grid points, a negative threshold, an element without a core
            radius, or no compiled kernel.
    """
    for name, number in (("persistence", persistence), ("core_scale", core_scale)):
        _check_threshold(name, number)
    search = Search.of(field, space, core_scale if exclude_cores else 0.0, flat, persistence / 3)
    points, regions = find_points(search)
    points = _simplified(search, with_ends(search, points, regions), persistence)
    order = np.lexsort((-points.values, points.signatures))
    return _taken(points, order)


def persistent_maxima(field: Field, space: str = "value", persistence: float = 0.001) -> CriticalPoints:
    """The maxima of :func:`critical_points` outside of metal cores, the highest first, for a part of its work.

    Raises:
        ElfzooError: as :func:`critical_points`.
    """
    _check_threshold("persistence", persistence)
    search = Search.of(field, space, 1.0, tolerance=persistence / 3)
    points, regions = find_points(search)
    points = with_ends(search, points, regions, saddles=(-1,))
    _, maxima, joined = _joined(points, -1, persistence)
    kept = maxima[~joined.cancelled_extrema]
    return _taken(points, kept[np.argsort(-points.values[kept], kind="stable")])


@dataclass(frozen=True, eq=False)
class Search:
    """The spline of a field, and what is not searched."""

    spline: Spline
    data: np.ndarray  # as given, after clipping
    structure: Structure
    status: np.ndarray
    logit: bool
    bounds: tuple[float, float]  # that no value exceeds but for the spline's ringing
    core_scale: float  # 0: nothing is a core
    tolerance: float  # of a plateau

    @classmethod
    def of(
        cls, field: Field, space: str = "value", core_scale: float = 0.0, flat: float = FLAT, tolerance: float = 0.0
    ) -> Search:
        """Checked input of :func:`critical_points`; plateaus vary by ``tolerance``, never by less than ``flat``."""
        _check_search(field, space, flat)
        tolerance = max(flat, tolerance)
        data = np.ascontiguousarray(field.values, np.float64)
        if space == "logit":
            data = np.clip(data, CLIP, 1 - CLIP)
        spline = Spline(PeriodicSpline.through(special.logit(data) if space == "logit" else data).coefficients)
        status = np.zeros(data.shape, np.uint8)
        if core_scale > 0:
            status[_core_cells(field, core_scale)] = CORE
        status[plateau_cells(data, flat, tolerance) & (status == 0)] = PLATEAU
        return cls(spline, data, field.structure, status, space == "logit", field.bounds, core_scale, tolerance)

    @property
    def plateau(self) -> np.ndarray:
        return self.status & PLATEAU > 0

    @property
    def lattice(self) -> np.ndarray:
        return self.structure.lattice.matrix

    @property
    def shape(self) -> np.ndarray:
        return np.array(self.data.shape)

    @property
    def to_cart(self) -> np.ndarray:
        """(3, 3): a gradient per grid step as a column, multiplied by this, is a Cartesian one per Å."""
        return np.linalg.inv(self.lattice) * self.shape

    def values(self, positions: np.ndarray) -> np.ndarray:
        values = self.spline.taylor(positions)[0]
        return np.clip(special.expit(values) if self.logit else values, *self.bounds)


def _check_search(field: Field, space: str, flat: float) -> None:
    if space not in ("value", "logit"):
        raise UnknownNameError("interpolation space", space, ("value", "logit"))
    if space == "logit":
        field.require_quantity("elf", "for logits, the field")
    if min(field.values.shape) < FEWEST or field.values.size > MOST_POINTS:
        raise ElfzooError(
            f"critical points need {FEWEST} or more grid points along each axis, and at most {MOST_POINTS} in all; "
            f"got shape {field.values.shape}"
        )
    _check_threshold("flat", flat)


def _check_threshold(name: str, number: float) -> None:
    if not (np.isfinite(number) and number >= 0):
        raise ElfzooError(f"{name} must be zero or more; got {number}")


def _core_cells(field: Field, scale: float) -> np.ndarray:
    """Cells with all eight corners inside of cores."""
    inside = ~outside_cores(field.structure, field.grid, scale)
    for axis in range(3):
        inside &= np.roll(inside, -1, axis)
    return inside


# ---- points ----


def find_points(search: Search) -> tuple[CriticalPoints, Plateaus | None]:
    """Every critical point, without ends, and the plateaus, if there are any."""
    points, regions = _points(search), None
    if search.plateau.any():
        regions = plateaus(search.data, search.plateau, search.tolerance)
        points = _with_plateaus(search, points, regions)
    return replace(points, values=np.clip(points.values, *search.bounds)), regions


def _points(search: Search) -> CriticalPoints:
    cells = search.spline.critical_points(search.status)
    positions = cells.positions % search.shape
    positions[positions >= search.shape] = 0.0  # what rounding made of a tiny negative number
    points = _described(search, positions)
    points = _taken(points, _distinct(search, points))
    outside = ~inside_cores(search.structure, points.frac_coords, search.core_scale)
    dropped = {
        "core cells": int((search.status & CORE > 0).sum()),
        "core points": int((~outside).sum()),
        "plateau cells": int(search.plateau.sum()),
        "undecided cells": cells.undecided,
    }
    return replace(_taken(points, np.flatnonzero(outside)), dropped=dropped)


def _described(search: Search, positions: np.ndarray) -> CriticalPoints:
    """Values and derivatives at positions in grid steps, without ends."""
    values, gradients, hessians = search.spline.taylor(positions)
    scale = np.ones(len(values))
    if search.logit:
        values = special.expit(values)
        scale = values * (1 - values)
    to_cart = search.to_cart
    curvatures = np.linalg.eigvalsh(to_cart @ hessians @ to_cart.T) * scale[:, None]
    return CriticalPoints(
        lattice=search.lattice,
        frac_coords=positions / search.shape,
        values=np.array(values),
        gradient_norms=np.linalg.norm(gradients @ to_cart.T, axis=1) * scale,
        eigenvalues=curvatures,
        signatures=2 * (curvatures > 0).sum(axis=1) - 3,
        ends=np.full((len(values), 2), LOST),
        end_shifts=np.zeros((len(values), 2, 3), np.int64),
        on_plateau=np.zeros(len(values), bool),
    )


def _tree(search: Search, points: CriticalPoints) -> tuple[cKDTree, np.ndarray]:
    """Neighbour search in grid steps, periodic."""
    places = points.frac_coords * search.shape
    places[places >= search.shape] = 0.0
    return cKDTree(places, boxsize=search.shape), places


def _distinct(search: Search, points: CriticalPoints) -> np.ndarray:
    """Indices of the points without those found again from the other side of a face."""
    again = np.zeros(len(points), bool)
    if len(points):
        pairs = _tree(search, points)[0].query_pairs(SAME, output_type="ndarray")
        same = points.signatures[pairs[:, 0]] == points.signatures[pairs[:, 1]]
        again[pairs[same].max(axis=1)] = True
    return np.flatnonzero(~again)


def _taken(points: CriticalPoints, order: np.ndarray) -> CriticalPoints:
    """The points with these indices in this order; ends that are no longer there become LOST."""
    new = np.full(len(points) + 1, LOST)
    new[order] = np.arange(len(order))
    ends = np.where(points.ends >= 0, new[points.ends], points.ends)[order]
    return CriticalPoints(
        points.lattice,
        points.frac_coords[order],
        points.values[order],
        points.gradient_norms[order],
        points.eigenvalues[order],
        points.signatures[order],
        ends,
        points.end_shifts[order],
        points.on_plateau[order],
        points.dropped,
    )


# ---- ends ----


def with_ends(
    search: Search, points: CriticalPoints, regions: Plateaus | None, saddles: tuple[int, ...] = (-1, 1)
) -> CriticalPoints:
    """The points with the ends of the saddles of some signatures."""
    ends, shifts = points.ends.copy(), points.end_shifts.copy()
    for saddle in saddles:
        chosen = points.select(saddle)
        if len(chosen):
            start, step = _starts(search, points, chosen, -saddle)
            found = follow(search, points, start, step, -saddle, regions)
            ends[chosen], shifts[chosen] = found[0].reshape(-1, 2), found[1].reshape(-1, 2, 3)
    lost = int((ends[np.isin(points.signatures, saddles)] == LOST).sum())
    return replace(points, ends=ends, end_shifts=shifts, dropped={**points.dropped, "lost lines": lost})


def _with_plateaus(search: Search, points: CriticalPoints, regions: Plateaus) -> CriticalPoints:
    """The points that do not belong to plateaus, and behind them those that stand for plateaus."""
    held = regions.hold(points.frac_coords * search.shape, points.values, 3 * search.tolerance)
    points = _taken(points, np.flatnonzero(~held))
    dropped = {**points.dropped, "plateau points": int(held.sum())}
    extra = _described(search, regions.positions)
    return CriticalPoints(
        points.lattice,
        np.concatenate([points.frac_coords, extra.frac_coords]),
        np.concatenate([points.values, regions.levels[regions.numbers]]),
        np.concatenate([points.gradient_norms, extra.gradient_norms]),
        np.concatenate([points.eigenvalues, extra.eigenvalues]),
        np.concatenate([points.signatures, -3 * regions.signs]),
        np.concatenate([points.ends, extra.ends]),
        np.concatenate([points.end_shifts, extra.end_shifts]),
        np.concatenate([points.on_plateau, np.ones(len(extra), bool)]),
        dropped,
    )


def follow(
    search: Search, points: CriticalPoints, start: np.ndarray, step: np.ndarray, sign: int, regions: Plateaus | None
) -> tuple[np.ndarray, np.ndarray]:
    """Where gradient lines end, uphill (sign 1) or downhill (-1): indices of extrema, and their lattice translations.

    Args:
        search: what was searched.
        points: the critical points found.
        start: (lines, 3) in grid steps.
        step: (lines,) length of the first step of each.
        sign: direction.
        regions: the plateaus found.
    """
    tops = points.select(-3 * sign)
    to_cart, places = search.to_cart, points.frac_coords[tops] * search.shape
    found, at = search.spline.gradient_lines(start, step, places, to_cart.T @ to_cart, search.status, float(sign))
    shifts = np.zeros((len(found), 3), np.int64)
    reached, lost = found >= 0, found == LOST
    in_core = inside_cores(search.structure, at[lost] / search.shape, search.core_scale)
    found[lost] = np.where(in_core, IN_CORE, LOST)
    shifts[reached] = np.round((at[reached] - places[found[reached]]) / search.shape)
    found[reached] = tops[found[reached]]
    flat = found == ON_PLATEAU
    if regions is not None and flat.any():
        which, shifts[flat] = regions.at(at[flat])
        first = len(points) - len(regions.signs)
        fits = (which >= 0) & (regions.signs[which] == sign) if len(regions.signs) else which >= 0
        found[flat] = np.where(fits, first + which, ON_PLATEAU)
    return found, shifts


def _starts(search: Search, points: CriticalPoints, saddles: np.ndarray, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """Two points beside each saddle, and how far from it they are; grid steps."""
    tree, places = _tree(search, points)
    to_cart = search.to_cart
    hessians = to_cart @ search.spline.taylor(places[saddles])[2] @ to_cart.T
    away = np.linalg.eigh(sign * hessians)[1][:, :, 2] @ to_cart  # the direction that rises (falls) most
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    neighbour = tree.query(places[saddles], k=[2])[0][:, 0]
    step = np.minimum(FIRST_STEP, neighbour / 5)
    both = places[saddles, None] + step[:, None, None] * np.stack([away, -away], axis=1)
    return both.reshape(-1, 3), np.repeat(step, 2)


# ---- persistence ----


def _simplified(search: Search, points: CriticalPoints, threshold: float) -> CriticalPoints:
    """Cancel pairs of extremum and saddle, then of saddles, closer in value than the threshold."""
    keep, ends, shifts = np.ones(len(points), bool), points.ends.copy(), points.end_shifts.copy()
    closing, pairs = {}, {}
    for saddle in (-1, 1):
        s, e, joined = _joined(points, saddle, threshold)
        keep[e[joined.cancelled_extrema]] = keep[s[joined.cancelled_saddles]] = False
        ends[s] = np.where(joined.ends >= 0, e[joined.ends.clip(0)] if len(e) else LOST, joined.ends)
        shifts[s], closing[saddle] = joined.shifts, s[joined.closing]
        pairs[f"{SIGNATURES[3 * saddle]} {SIGNATURES[saddle]} pairs"] = int(joined.cancelled_saddles.sum())
    upper, lower = _adjacent(search, points, closing, threshold)
    keep[upper] = keep[lower] = False
    pairs["(3,-1) (3,+1) pairs"] = len(upper)
    dropped = {**points.dropped, **pairs}
    return _taken(replace(points, ends=ends, end_shifts=shifts, dropped=dropped), np.flatnonzero(keep))


def _joined(points: CriticalPoints, saddle: int, threshold: float) -> tuple[np.ndarray, np.ndarray, Joined]:
    """The saddles of a signature, the extrema that they join, and which of both cancel."""
    s, e = points.select(saddle), points.select(3 * saddle)
    number = np.full(len(points), LOST)
    number[e] = np.arange(len(e))
    local = np.where(points.ends[s] >= 0, number[points.ends[s]], points.ends[s])
    heights, passes = -saddle * points.values[e], -saddle * points.values[s]  # minima are maxima upside down
    return s, e, join_extrema(heights, passes, local, points.end_shifts[s], threshold)


def _adjacent(
    search: Search, points: CriticalPoints, closing: Mapping[int, np.ndarray], threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """(3,-1) and (3,+1) saddles that cancel each other."""
    to_steps = np.linalg.inv(search.lattice) * search.shape
    reach = REACH * float(np.linalg.norm(search.lattice / search.shape[:, None], axis=1).max())
    sides = [(points.positions[closing[side]], points.values[closing[side]]) for side in (-1, 1)]
    first, second = saddle_pairs(
        sides[0], sides[1], search.lattice, threshold, reach, lambda cart: search.values(cart @ to_steps)
    )
    return closing[-1][first], closing[1][second]
