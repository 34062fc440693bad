"""Isosurfaces of fields as triangles, each with the connected region that it encloses.

scikit-image finds the triangles; it is only imported for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from elfzoo.analysis.networking import Networking, networking
from elfzoo.analysis.percolation import checked_values, percolation_thresholds
from elfzoo.analysis.regions import Regions, regions
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.interpolate import spline_resample

__all__ = ["Isosurface", "isosurface"]

INSTALL = "scikit-image is not installed; install it with: pip install scikit-image"
FINEST, ACROSS = 0.05, 80  # angstrom between points of the drawn grid, and points along the edge of a cube as large
MARGIN = 0.002  # of the field's range: how far below the isovalue regions count as joined


@dataclass(frozen=True, eq=False)
class Isosurface:
    """The surface of the regions {f >= isovalue} within one cell, faces where the cell cuts a region included.

    Attributes:
        vertices: (vertices, 3) Å, Cartesian.
        normals: (vertices, 3) unit vectors against the gradient of the field, out of the region.
        faces: (faces, 3) vertices of each triangle, counterclockwise seen from outside of the region.
        region: (faces,) number in ``regions`` of the region that a triangle bounds.
        cut: (faces,) whether a triangle lies on a face of the cell and is no part of the isosurface.
        regions: on the drawn grid, a little below the isovalue.
        shares: (regions,) share of the cell's volume at or above the isovalue, for each of ``regions``.
        isovalue: in the field's unit.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    normals: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    region: Int[np.ndarray, " faces"]
    cut: Bool[np.ndarray, " faces"]
    regions: Regions
    shares: Float[np.ndarray, " regions"]
    isovalue: float


def isosurface(field: Field, isovalue: float | None = None, found: Networking | None = None) -> Isosurface:
    """The regions of one cell in which a field is at or above an isovalue, as triangles.

    The field is first put on a grid of about 0.05 to 0.1 Å by the tricubic spline (larger cells: a grid of about 80³
    points). At the isovalue where regions join they only touch, in a point that lies on no grid: those count as joined
    that are so 0.2 % of the field's range below, and at the networking value as many as make the network.

    Args:
        field: any periodic scalar field.
        isovalue: in the field's unit; the networking value φ where not given.
        found: networking values of the field, where they are known already.

    Raises:
        ElfzooError: no surface at the isovalue, values that are not finite, or no scikit-image; and without an isovalue
            whatever :func:`elfzoo.analysis.networking` refuses.
    """
    value = (found or networking(field)).phi if isovalue is None else float(isovalue)
    drawn = field.replace(values=spline_resample(checked_values(field.values).astype(np.float64), _drawn_shape(field)))
    # neither values between the stored points that no point has, nor the rounding of a constant field
    low = float(max(field.values.min(), drawn.values.min()))
    high = float(min(field.values.max(), drawn.values.max()))
    if not low < value < high:
        raise ElfzooError(f"no surface at isovalue {value:.6g}: the field spans {low:.6g} to {high:.6g}")
    level = value - MARGIN * (high - low)
    if isovalue is None:
        level = min(level, percolation_thresholds(drawn.values).best[2])
    return _surface(drawn, value, regions(drawn, level))


def _surface(drawn: Field, value: float, found: Regions) -> Isosurface:
    place, faces = _triangles(drawn.values - value)
    lattice, shape = drawn.structure.lattice.matrix, drawn.values.shape
    vertices = place / shape @ lattice
    if np.linalg.det(lattice) < 0:
        faces = faces[:, ::-1]
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    faces = faces[np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0]
    cut = ((place == 0)[faces].all(axis=1) | (place == shape)[faces].all(axis=1)).any(axis=1)
    region = _region_at(found.labels, place)[faces].max(axis=1)
    cones = np.linalg.det(vertices[faces]) / 6  # volumes between the triangles and the origin
    shares = np.bincount(region, cones, minlength=len(found) + 1)[1:] / drawn.structure.volume
    return Isosurface(vertices, _normals(drawn, place), faces, region, cut, found, shares, value)


def _drawn_shape(field: Field) -> tuple[int, int, int]:
    """Points along each axis for a smooth surface: as stored where that is about right."""
    lengths, stored = field.structure.lattice.abc, field.grid.shape
    spacing = max(FINEST, field.structure.volume ** (1 / 3) / ACROSS)
    fits = [0.75 * spacing <= length / n <= spacing for length, n in zip(lengths, stored, strict=True)]
    new = [int(np.ceil(length / spacing - 1e-9)) for length in lengths]
    nx, ny, nz = (n if fit else m for n, fit, m in zip(stored, fits, new, strict=True))
    return nx, ny, nz


def _triangles(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where {height >= 0} ends within the closed cell: (vertices, 3) places in grid steps, (faces, 3) vertices.

    One more layer lies around the cell, far below zero. What the surface has there is moved onto the cell's faces,
    where it covers just the cut.
    """
    try:
        from skimage.measure import marching_cubes
    except ModuleNotFoundError as error:
        raise ElfzooError(INSTALL) from error
    closed = np.pad(height, (0, 1), mode="wrap")
    boxed = np.pad(closed, 1, constant_values=-np.abs(height).max())
    vertices, faces, _, _ = marching_cubes(boxed, 0.0)
    return np.clip(vertices.astype(np.float64) - 1, 0, height.shape), faces[:, ::-1].astype(np.int64)


def _region_at(labels: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(vertices,) region of the grid point on the inner side of each vertex: the other end of its grid edge has none,
    or the same."""
    low, high = (labels[tuple((edge(place).astype(int) % labels.shape).T)] for edge in (np.floor, np.ceil))
    return np.maximum(low, high)


def _normals(field: Field, place: np.ndarray) -> np.ndarray:
    """(vertices, 3) unit vectors against the gradient at places given in grid steps."""
    slopes = []
    for axis, n in enumerate(field.values.shape):
        slope = (np.roll(field.values, 1, axis) - np.roll(field.values, -1, axis)) * n / 2
        slopes.append(ndimage.map_coordinates(slope, place.T, order=1, mode="grid-wrap"))
    normals = np.stack(slopes, axis=1) @ field.structure.lattice.inv_matrix.T
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
