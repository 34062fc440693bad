"""Connected regions {f >= isovalue} of a field in the periodic crystal: which, how large, how far they reach.

Grid points are joined on the edges of the Freudenthal triangulation (14 neighbours), across the faces of the cell too.
A region that meets its own image reaches through the crystal; the lattice vectors between those images, its winding
vectors, span 1, 2 or 3 directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from elfzoo.analysis.percolation import checked_values
from elfzoo.analysis.periodic_graph import face_edges, periodic_components, winding_rank
from elfzoo.errors import ElfzooError
from elfzoo.field import Field

__all__ = ["Regions", "regions"]


@dataclass(frozen=True, eq=False)
class Regions:
    """Connected regions of a crystal in which a field is at least ``isovalue``.

    Attributes:
        labels: (nx, ny, nz) region of each grid point, 0 below the isovalue. Numbers start from 1, the largest first;
            regions of equal volume come in the order of their first grid points.
        volumes: (regions,) Å³ per cell, as grid points times their volume; ``volumes[0]`` is that of number 1.
        dimensionality: (regions,) 0, enclosed; 1, a column; 2, a layer; 3, a network through the whole crystal.
        isovalue: in the field's unit.
    """

    labels: Int[np.ndarray, "nx ny nz"]
    volumes: Float[np.ndarray, " regions"]
    dimensionality: Int[np.ndarray, " regions"]
    isovalue: float

    def __len__(self) -> int:
        return len(self.volumes)

    def __repr__(self) -> str:
        highest = int(self.dimensionality.max(initial=0))
        return f"Regions({len(self)} at {self.isovalue:.4g}, the widest spans {highest} directions)"


class PeriodicParts(NamedTuple):
    """What :func:`periodic_parts` finds.

    Attributes:
        box: (nx + 1, ny + 1, nz + 1) parts of the open box, with the first planes repeated behind the last; 0 outside.
        part: (parts of the open box + 1,) the part of the crystal that each belongs to; 0 for what is outside.
        owner, winding: (meetings,) and (meetings, 3): a part of the crystal that meets itself across a face of the
            cell, and the lattice vector that leads back to where the path to that meeting began, often zero.
    """

    box: Int[np.ndarray, "mx my mz"]
    part: Int[np.ndarray, " boxparts"]
    owner: Int[np.ndarray, " meetings"]
    winding: Int[np.ndarray, "meetings 3"]


def regions(field: Field, isovalue: float) -> Regions:
    """Connected regions of the crystal where a field is at or above an isovalue, on its stored grid.

    Which points are one region depends on the grid: a neck thinner than its spacing may be missed, and within about
    the square of the spacing from a saddle's value two regions may count as one.

    Args:
        field: any periodic scalar field.
        isovalue: in the field's unit. No region is left above the largest value, one of everything below the smallest.

    Raises:
        ElfzooError: values or an isovalue that are not finite.
    """
    if not np.isfinite(isovalue):
        raise ElfzooError(f"the isovalue must be a finite number; got {isovalue}")
    values = checked_values(field.values)
    parts = periodic_parts(values >= isovalue)
    labels = parts.part[parts.box[:-1, :-1, :-1]]
    points = np.bincount(labels.ravel(), minlength=int(parts.part.max()) + 1)
    dimensionality = np.zeros_like(points)
    for p in np.unique(parts.owner[parts.winding.any(axis=1)]):
        dimensionality[p] = winding_rank(parts.winding[parts.owner == p])
    order = 1 + np.argsort(-points[1:], kind="stable")
    number = np.zeros(len(points), dtype=np.int32)
    number[order] = np.arange(1, len(points))
    volumes = points[order] * (field.structure.volume / values.size)
    return Regions(number[labels], volumes, dimensionality[order], float(isovalue))


def periodic_parts(region: Bool[np.ndarray, "nx ny nz"]) -> PeriodicParts:
    """Connected parts of a set of grid points in the periodic crystal.

    Neighbours differ by steps of 0 and 1 along every axis. With the first plane of each axis repeated behind the last,
    all of them are neighbours in an open box too, and its parts are joined where they meet on those planes.
    """
    box, count = ndimage.label(np.pad(region, (0, 1), mode="wrap"), _NEIGHBOURS)
    first, second, image = face_edges(box)  # its first and last planes are the same points of the crystal
    part, winding = periodic_components(count + 1, first, second, image)
    return PeriodicParts(box, part, part[first], winding)


def _freudenthal() -> np.ndarray:
    steps = np.indices((3, 3, 3)) - 1
    return np.logical_or(steps.min(axis=0) >= 0, steps.max(axis=0) <= 0)


_NEIGHBOURS = _freudenthal()
