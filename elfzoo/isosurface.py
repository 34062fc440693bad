"""Isosurfaces of fields, coloured by the connected region that they enclose: as triangles, and as pictures for papers.

Importing this module imports matplotlib. scikit-image finds the triangles and is only imported for that; ``.html``
pictures need plotly.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pymatgen.core import Structure
from scipy import ndimage

from elfzoo.analysis.networking import networking
from elfzoo.analysis.percolation import checked_values, percolation_thresholds
from elfzoo.analysis.regions import Regions, regions
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.interpolate import spline_resample
from elfzoo.io.files import write_bytes
from elfzoo.plot import STYLE, SUFFIXES, save_figure
from elfzoo.render import Canvas, view_of

__all__ = ["Isosurface", "isosurface", "plot_isosurface"]

INSTALL = "scikit-image is not installed; install it with: pip install scikit-image"
FINEST, ACROSS = 0.05, 80  # angstrom between points of the drawn grid, and points along the edge of a cube as large
MARGIN = 0.002  # of the field's range: how far below the isovalue regions count as joined
# Okabe and Ito's colours, which the colour-blind tell apart; grey for all further regions
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
FURTHER = "#A0A0A0"
KINDS = ("enclosed region", "1D column", "2D layer", "3D network")


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


def isosurface(field: Field, isovalue: float | None = None) -> Isosurface:
    """The regions of one cell in which a field is at or above an isovalue, as triangles.

    The field is first put on a grid of about 0.05 to 0.1 Å by the tricubic spline (larger cells: a grid of about 80³
    points). At the isovalue where regions join they only touch, in a point that lies on no grid: those count as joined
    that are so 0.2 % of the field's range below, and at the networking value as many as make the network.

    Args:
        field: any periodic scalar field.
        isovalue: in the field's unit; the networking value φ where not given.

    Raises:
        ElfzooError: no surface at the isovalue, values that are not finite, or no scikit-image; and without an isovalue
            whatever :func:`elfzoo.analysis.networking` refuses.
    """
    value = networking(field).phi if isovalue is None else float(isovalue)
    stored = checked_values(field.values).astype(np.float64)
    drawn = field.replace(values=spline_resample(stored, _drawn_shape(field)))
    low, high = float(drawn.values.min()), float(drawn.values.max())
    if not low < value < high:
        raise ElfzooError(f"no surface at isovalue {value:.6g}: the field spans {low:.6g} to {high:.6g}")
    level = value - MARGIN * (high - low)
    if isovalue is None:
        level = min(level, percolation_thresholds(drawn.values).best[2])
    found = regions(drawn, level)
    place, faces = _triangles(drawn.values - value)
    lattice, shape = field.structure.lattice.matrix, drawn.values.shape
    vertices = place / shape @ lattice
    if np.linalg.det(lattice) < 0:
        faces = faces[:, ::-1]
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    faces = faces[np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0]
    on_face = ((place == 0)[faces].all(axis=1) | (place == shape)[faces].all(axis=1)).any(axis=1)
    region = _region_at(found.labels, place)[faces].max(axis=1)
    cones = np.linalg.det(vertices[faces]) / 6  # volumes between the triangles and the origin
    shares = np.bincount(region, cones, minlength=len(found) + 1)[1:] / field.structure.volume
    return Isosurface(vertices, _normals(drawn, place), faces, region, on_face, found, shares, value)


def _drawn_shape(field: Field) -> tuple[int, int, int]:
    """Points along each axis for a smooth surface: as stored where that is about right."""
    lengths, stored = field.structure.lattice.abc, field.grid.shape
    spacing = max(FINEST, field.structure.volume ** (1 / 3) / ACROSS)
    fits = [0.75 * spacing <= length / n <= spacing for length, n in zip(lengths, stored, strict=True)]
    new = [int(np.ceil(length / spacing)) for length in lengths]
    nx, ny, nz = (n if fit else m for n, fit, m in zip(stored, fits, new, strict=True))
    return nx, ny, nz


def _triangles(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where {height >= 0} ends within the closed cell: (vertices, 3) places in grid steps, (faces, 3) vertices.

    One more layer lies around the cell, far below zero. What the surface has there is moved onto the cell's faces,
    where it covers just the cut.
    """
    try:
        from skimage.measure import marching_cubes  # type: ignore[import-not-found, unused-ignore]
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


def plot_isosurface(field: Field, path: str | Path, isovalue: float | None = None, background: str = "white") -> Path:
    """Draw the isosurface of one cell, each connected region in a colour of its own, with atoms and cell edges.

    Cuts through regions, where the faces of the cell meet them, are paler. Atoms close behind a surface shine through.
    The six regions that reach farthest, then the largest, have colours of their own and are named with their share
    of the volume; all others are grey. Regions are those of :func:`isosurface`.

    Args:
        field: any periodic scalar field.
        path: ends in ``.png``, ``.pdf``, ``.svg``, or ``.html`` for a picture to turn (by plotly, which is inside of
            the file: some 5 MB that work without a network); appears whole or not at all.
        isovalue: in the field's unit; the networking value φ where not given.
        background: any colour that matplotlib knows; ``"none"`` for none.

    Raises:
        ElfzooError: on another suffix or colour, what :func:`isosurface` refuses, or no plotly for ``.html``.
        FieldFileError: when the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (*SUFFIXES, ".html"):
        raise ElfzooError(f"the name of an isosurface picture ends in {', '.join(SUFFIXES)} or .html; got {path}")
    if not is_color_like(background):
        raise ElfzooError(f"the background is a colour that matplotlib knows; got {background!r}")
    surface = isosurface(field, isovalue)
    title = _title(field, surface.isovalue, isovalue is None)
    if path.suffix.lower() == ".html":
        return _write_html(surface, field.structure, title, background, path)
    with rc_context(rc=STYLE):
        figure = _figure(surface, field.structure, title, background)
        return save_figure(figure, path)


def _title(field: Field, value: float, networking_value: bool) -> str:
    formula = field.structure.composition.to_latex_string().replace("$_{1}$", "")
    name = field.quantity.upper()
    return f"{formula}, {name} = {value:.3g}" + (" (networking value φ)" if networking_value else "")


def _ranked(surface: Isosurface) -> np.ndarray:
    """Numbers of the regions with a surface: those that reach farthest first, then the largest."""
    seen = np.unique(surface.region)
    seen = seen[seen > 0]
    return seen[np.lexsort([-surface.shares[seen - 1], -surface.regions.dimensionality[seen - 1]])]


def _colours(surface: Isosurface) -> np.ndarray:
    """(regions + 1, 3) red, green, blue by number of the region."""
    colours = np.tile(to_rgb(FURTHER), (len(surface.regions) + 1, 1))
    for number, colour in zip(_ranked(surface), PALETTE, strict=False):
        colours[number] = to_rgb(colour)
    return colours


def _entries(surface: Isosurface) -> list[tuple[str, str]]:
    """Colour and text of each line of the legend."""
    ranked = _ranked(surface)
    shares = surface.shares[ranked - 1]
    kinds = surface.regions.dimensionality[ranked - 1]
    lines = [
        (colour, f"{KINDS[kind]}, {_percent(share)} of the volume")
        for colour, kind, share in zip(PALETTE, kinds, shares, strict=False)
    ]
    if len(ranked) > len(PALETTE):
        more, rest = len(ranked) - len(PALETTE), shares[len(PALETTE) :].sum()
        lines.append((FURTHER, f"and {more} more, {_percent(rest)} together"))
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.3g} %"


# ---- pictures ----


def _figure(surface: Isosurface, structure: Structure, title: str, background: str) -> Figure:
    lattice = structure.lattice.matrix
    view = view_of(lattice)
    corners = np.array(list(product((0, 1), repeat=3))) @ lattice @ view.T
    low, high = corners[:, :2].min(axis=0) - PAD, corners[:, :2].max(axis=0) + PAD
    width, height = high - low
    inches = min(3.1 / width, 3.4 / height)
    figure = Figure(figsize=(3.4, inches * height + 0.9), layout="constrained", facecolor=background)
    axes = figure.add_subplot()
    scale = inches * PIXELS
    picture = _picture(surface, structure, view * scale, low * scale, np.ceil((high - low) * scale).astype(int))
    axes.imshow(picture, extent=(low[0], high[0], high[1], low[1]))
    axes.set_axis_off()
    axes.set_title(title)
    return figure


def _picture(surface, structure, view, low, size):
    origin = np.array([*low, 0.0])
    width, height = size
    solid, marks = Canvas.blank(height, width), Canvas.blank(height, width)
    colours = _colours(surface)[surface.region]
    colours[surface.cut] = PALE + (1 - PALE) * colours[surface.cut]
    corners = (surface.vertices @ view.T - origin)[surface.faces]
    unit = view / np.linalg.norm(view[0])
    normals = (surface.normals @ unit.T)[surface.faces]
    flat = np.cross(corners[:, 2] - corners[:, 0], corners[:, 1] - corners[:, 0])
    normals[surface.cut] = flat[surface.cut, None]
    solid.add_triangles(corners, normals, colours)
    centres, radii, tints = _atoms(structure)
    marks.add_spheres(centres @ view.T - origin, radii * np.linalg.norm(view[0]), tints)
    edges = _edges(structure.lattice.matrix, np.linalg.norm(view[0]))
    marks.add_spheres(edges @ view.T - origin, np.full(len(edges), EDGE * PIXELS / 144), np.full((len(edges), 3), 0.15))
    behind = (solid.depth - marks.depth) / np.linalg.norm(view[0])
    seen = np.where(behind < 0, 1.0, SHINE * np.exp(-np.maximum(behind, 0) / FADE))
    seen[np.isinf(marks.depth)] = 0
    rgb = seen[..., None] * marks.lit() + (1 - seen[..., None]) * solid.lit()
    there = np.isfinite(np.maximum(solid.depth, marks.depth))
    return np.dstack([rgb, there])


def _atoms(structure):
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors

    z = np.array(structure.atomic_numbers)
    frac = structure.frac_coords % 1.0
    frac[frac > 1 - 1e-3] -= 1
    images = (frac[:, None] + np.array(list(product((0, 1), repeat=3)))).reshape(-1, 3)
    z = np.repeat(z, 8)
    inside = (images < 1 + 1e-3).all(axis=1)
    z = z[inside]
    return images[inside] @ structure.lattice.matrix, 0.35 * covalent_radii[z], jmol_colors[z]


def _edges(lattice, scale):
    rows = []
    for axis in range(3):
        n = int(np.linalg.norm(lattice[axis]) * scale)
        for other in product((0, 1), repeat=2):
            frac = np.insert(np.tile(np.array(other, float), (n, 1)), axis, np.linspace(0, 1, n), axis=1)
            rows.append(frac @ lattice)
    return np.concatenate(rows)


PAD, PIXELS, EDGE, SHINE, FADE, PALE = 0.3, 600, 0.7, 0.5, 0.8, 0.5
