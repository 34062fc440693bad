"""The molecularity index φ*: the highest isovalue at which one region holds two hydrogen nuclei.

φ* is the maximin of ELF over all paths from one hydrogen nucleus to another, or to an image of itself: of the lowest
values along each path the highest. The nuclei are ends of the paths and need not be maxima, so that of an H2 molecule
with its only maximum at the bond centre φ* is ELF at the nuclei. Near 1 it shows intact molecules.

Grid points ordered by value enter from the highest on; bisection finds the first that connects two nuclei on the edges
of the Freudenthal triangulation (14 neighbours), exactly for that grid. It sits next to a (3,-1) saddle of the spline
through the stored values, whose own value is then taken, or it is a nucleus.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

from elfzoo.analysis.hydrogen_network import hydrogens
from elfzoo.analysis.percolation import checked_values
from elfzoo.analysis.regions import periodic_parts
from elfzoo.analysis.saddle import find_saddle
from elfzoo.field import Field
from elfzoo.interpolate import PeriodicSpline, spline_resample

__all__ = ["molecularity"]


def molecularity(field: Field, spacing: float | None = 0.05) -> float:
    """Molecularity index φ* of a field (di Mauro et al., arXiv:2403.07584, 2024).

    Args:
        field: any periodic scalar field with hydrogen; φ* is defined for ELF.
        spacing: Å; the search runs on a grid at least so fine, interpolated by tricubic spline (some 40 bytes per point
            are needed), and the value is that of the spline's saddle. None takes the stored points alone, each nucleus
            at the nearest one: then monotone maps of the field map φ* exactly.

    Raises:
        ElfzooError: no hydrogen, values that are not finite, or a spacing that is not positive.
    """
    nuclei = field.structure.frac_coords[hydrogens(field.structure)]
    stored = checked_values(field.values)
    if spacing is None:
        return _bottleneck(stored, _nearest(nuclei, stored.shape))[0]
    values = spline_resample(stored, field.grid.finer_shape(spacing)).astype(np.float64)
    at_nuclei = PeriodicSpline.through(stored, 5)(nuclei)
    seeds = _nearest(nuclei, values.shape)
    values[tuple(seeds.T)] = at_nuclei
    value, point, joined = _bottleneck(values, seeds)
    if (seeds == point).all(axis=1).any():
        return value
    saddle = find_saddle(stored, point * np.array(stored.shape) / np.array(values.shape))
    return value if saddle is None else min(saddle.value, float(at_nuclei[joined].min()))


def _nearest(frac_coords: np.ndarray, shape: tuple[int, ...]) -> Int[np.ndarray, "nuclei 3"]:
    return np.round(frac_coords * shape).astype(int) % shape


def _bottleneck(values: np.ndarray, seeds: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Value and indices of the grid point that first joins two of the seeds, and which seeds are then joined.

    Points of equal value enter one after the other, so that the point is the one that joins and no other.
    """
    order = np.argsort(values, axis=None, kind="stable")
    rank = np.empty(values.shape, dtype=np.int32)
    rank.ravel()[order] = np.arange(values.size, dtype=np.int32)
    low, high = 0, int(rank[tuple(seeds.T)].max()) + 1  # all points join every seed; none is left above the last seed
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _joined(rank >= middle, seeds).any() else (low, middle)
    point = np.array(np.unravel_index(order[low], values.shape))
    return float(values[tuple(point)]), point, _joined(rank >= low, seeds)


def _joined(region: Bool[np.ndarray, "nx ny nz"], seeds: Int[np.ndarray, "seeds 3"]) -> Bool[np.ndarray, " seeds"]:
    """Which seeds share their part of a periodic region with another seed or with an image of themselves."""
    parts = periodic_parts(region)
    winds = parts.owner[parts.winding.any(axis=1)]
    inside, home = region[tuple(seeds.T)], parts.part[parts.box[tuple(seeds.T)]]
    occupants = np.bincount(home[inside], minlength=len(parts.part))
    return inside & ((occupants[home] > 1) | np.isin(home, winds))
