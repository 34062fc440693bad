"""Pictures of isosurfaces, coloured by the connected region that they enclose: for papers, and to turn in a browser.

Importing this module imports matplotlib. The triangles come from scikit-image, ``.html`` pictures need plotly; both are
only imported when used.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from jaxtyping import Float, Int
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like, to_hex, to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from pymatgen.core import Element, Structure

from elfzoo.analysis.networking import Networking
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.io.files import write_bytes
from elfzoo.plot import DPI, STYLE, SUFFIXES, save_figure
from elfzoo.render import Canvas, view_of
from elfzoo.surface import Isosurface, isosurface

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as Html

__all__ = ["Isosurface", "isosurface", "plot_isosurface", "require_suffix"]

# Okabe and Ito's colours, which the colour-blind tell apart, but sky blue: blue is that pale where it is cut
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#F0E442")
MOST_NAMED = 4  # regions with a colour of their own where there are more than colours
PALER = 0.45  # share of white in the colour of a cut
KINDS = ("enclosed region", "1D column", "2D layer", "3D network")
ATOM, ON_FACE = 0.2, 1e-3  # radius of an atom over the root of its covalent radius, angstrom; fraction of a cell edge
SHINE, FADE = 0.5, 1.2  # how much of an atom is seen just behind a surface, and the depth at which 1/e of that is, Å
MARGIN = 0.03  # around the picture, Å
SAMPLES = 2  # pixels drawn for each one in the file, along each axis
WIDTH, HEAD, LINE = 3.4, 0.25, 0.155  # inches: width of the figure, height of its title and of a line of the legend
LARGEST = np.array([3.1, 3.3])  # inches, of the cell's picture
EDGE = 0.0035  # inches, half the thickness of a cell edge


def require_suffix(path: Path) -> None:
    """Refuse the name of a picture that cannot be drawn.

    Raises:
        ElfzooError: it is of no known kind.
    """
    if path.suffix.lower() not in (*SUFFIXES, ".html"):
        raise ElfzooError(f"the name of an isosurface picture ends in {', '.join(SUFFIXES)} or .html; got {path}")


def plot_isosurface(
    field: Field,
    path: str | Path,
    isovalue: float | None = None,
    background: str = "white",
    found: Networking | None = None,
) -> Path:
    """Draw the isosurface of one cell, each connected region in a colour of its own, with atoms and cell edges.

    Cuts through regions, where the faces of the cell meet them, are paler. Atoms close behind a surface shine through.
    The legend tells how far each region reaches and its share of the volume, those that reach farthest first. Of more
    than six regions those that span the crystal keep colours of their own, at most four; the others take the remaining
    colours in turn and are named together. Regions are those of :func:`isosurface`.

    Args:
        field: any periodic scalar field.
        path: ends in ``.png``, ``.pdf``, ``.svg``, or ``.html`` for a picture to turn (plotly is inside of the file:
            5 MB and more, but no network is needed); appears whole or not at all.
        isovalue: in the field's unit; the networking value φ where not given.
        background: any colour that matplotlib knows; ``"none"`` for none.
        found: networking values of the field, where they are known already.

    Raises:
        ElfzooError: on another suffix or colour, what :func:`isosurface` refuses, or no plotly for ``.html``.
        FieldFileError: when the file cannot be written.
    """
    path = Path(path)
    require_suffix(path)
    if not is_color_like(background):
        raise ElfzooError(f"the background must be a colour that matplotlib knows; got {background!r}")
    surface = isosurface(field, isovalue, found)
    named = f"{field.quantity.upper()} = {surface.isovalue:.3f}" + (", the networking value φ" * (isovalue is None))
    if path.suffix.lower() == ".html":
        return _write_html(surface, field.structure, named, background, path)
    with rc_context(rc=STYLE):
        return save_figure(_figure(surface, field.structure, named, background), path)


# ---- what is said and shown ----


def _ranked(surface: Isosurface) -> Int[np.ndarray, " seen"]:
    """Numbers of the regions that have a surface: those that reach farthest first, then the largest."""
    seen = np.unique(surface.region[surface.region > 0])
    return seen[np.lexsort([-surface.shares[seen - 1], -surface.regions.dimensionality[seen - 1]])]


def _entries(surface: Isosurface) -> list[tuple[list[int], tuple[str, ...], str]]:
    """Numbers of regions, their colours, taken in turn, and what the legend says of them.

    With more regions than colours those that span the crystal are still told apart, the others only from neighbours.
    """
    ranked, reach = _ranked(surface).tolist(), surface.regions.dimensionality
    spanning = sum(reach[number - 1] > 0 for number in ranked)
    own = len(ranked) if len(ranked) <= len(PALETTE) else min(spanning, MOST_NAMED)
    entries = [
        ([number], PALETTE[i : i + 1], f"{KINDS[reach[number - 1]]}, {_percent(surface, [number])}")
        for i, number in enumerate(ranked[:own])
    ]
    if further := ranked[own:]:
        kind = f"{len(further)} enclosed regions" if own == spanning else f"and {len(further)} more"
        entries.append((further, PALETTE[own:], f"{kind}, {_percent(surface, further)}"))
    numbers, colours, text = entries[0]
    return [(numbers, colours, f"{text} of the volume"), *entries[1:]]


def _percent(surface: Isosurface, numbers: list[int]) -> str:
    percent = 100 * sum(surface.shares[number - 1] for number in numbers)
    if percent < 0.1:
        return f"{percent:.1g} %"
    return f"{percent:.0f} %" if 10 <= percent < 99 else f"{percent:.1f} %"


def _atoms(structure: Structure) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(marks, 3) positions, Å, in the closed cell, where atoms on its faces appear on all of them; radii; symbols."""
    frac = structure.frac_coords % 1.0
    frac[frac > 1 - ON_FACE] -= 1
    images = frac[:, None] + list(product((0, 1), repeat=3))
    atom, image = np.nonzero((images < 1 + ON_FACE).all(axis=2))
    radii = ATOM * np.sqrt(covalent_radii[list(structure.atomic_numbers)])
    symbols = [structure[int(number)].specie.symbol for number in atom]
    return images[atom, image] @ structure.lattice.matrix, radii[atom], symbols


def _edges(lattice: np.ndarray) -> Float[np.ndarray, "12 2 3"]:
    """Ends of the twelve edges of the cell, Å, those along a first."""
    ends = [
        np.insert(np.tile(other, (2, 1)), axis, [0, 1], axis=1)
        for axis in range(3)
        for other in product((0, 1), repeat=2)
    ]
    return np.array(ends) @ lattice


def _ink(background: str) -> str:
    red, green, blue, opacity = to_rgba(background)
    return "white" if opacity > 0.5 and 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else "black"


# ---- pictures for papers ----


def _figure(surface: Isosurface, structure: Structure, named: str, background: str) -> Figure:
    view, entries = view_of(structure.lattice.matrix), _entries(surface)
    edges = _edges(structure.lattice.matrix) @ view.T
    low, high = _outline(edges, structure, view)
    scale = DPI * float((LARGEST / (high - low)).min())  # pixels of the file per angstrom
    width, height = np.ceil((high - low) * scale).astype(int).tolist()
    below = round(DPI * (LINE * (len(entries) + (len(set(structure.atomic_numbers)) > 1)) + 0.2))
    page = np.array([DPI * WIDTH, height + below + DPI * HEAD]).round().astype(int)  # whole pixels keep lines sharp
    figure = Figure(figsize=(page[0] / DPI, page[1] / DPI), facecolor=background)
    corner = np.array([(page[0] - width) // 2, below])
    axes = figure.add_axes((*(corner / page), *([width, height] / page)))
    picture = _picture(surface, structure, background, low, scale * SAMPLES, (height * SAMPLES, width * SAMPLES))
    right, bottom = low + np.array([width, height]) / scale
    axes.imshow(picture, extent=(low[0], right, bottom, low[1]), aspect="auto")
    axes.set_axis_off()
    _name_edges(axes, edges, _ink(background))
    formula = structure.composition.to_latex_string().replace("$_{1}$", "")
    figure.text(
        0.5, 1 - 0.05 / figure.get_figheight(), f"{formula}, {named}", ha="center", va="top", color=_ink(background)
    )
    _legends(figure, entries, structure, _ink(background))
    return figure


def _outline(edges: np.ndarray, structure: Structure, view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest coordinates, to the right and downwards, of the cell and its atoms in the view, Å."""
    positions, radii, _ = _atoms(structure)
    balls = (positions @ view.T)[:, :2]
    corners = np.concatenate([edges[..., :2].reshape(-1, 2), balls - radii[:, None], balls + radii[:, None]])
    return corners.min(axis=0) - MARGIN, corners.max(axis=0) + MARGIN


def _legends(
    figure: Figure, entries: list[tuple[list[int], tuple[str, ...], str]], structure: Structure, ink: str
) -> None:
    """Regions below the picture, and below them the elements where there are several."""
    style: Any = {"frameon": False, "loc": "lower center", "labelcolor": ink, "fontsize": 7, "borderpad": 0.2}
    style |= {"handletextpad": 0.6, "handlelength": 1.6, "columnspacing": 1.0, "labelspacing": 0.4}
    symbols = sorted({site.specie.symbol for site in structure})
    marks = [
        Line2D([], [], linestyle="", marker="o", markersize=6, mfc=_element_colour(s), mec=ink, mew=0.4, label=s)
        for s in symbols
    ]
    if len(marks) > 1:
        figure.legend(handles=marks, ncols=len(marks), bbox_to_anchor=(0.5, 0.0), **style)
    bottom = LINE * (len(marks) > 1) / figure.get_figheight()
    squares: list[Any] = [tuple(Patch(facecolor=colour) for colour in colours) for _, colours, _ in entries]
    texts, many = [text for *_, text in entries], {tuple: HandlerTuple(None, pad=0.0)}
    figure.legend(squares, texts, handler_map=many, bbox_to_anchor=(0.5, bottom), **style)


def _name_edges(axes: Axes, edges: np.ndarray, ink: str) -> None:
    """a, b, c beside the lowest edge of each direction, for c the leftmost, on the side away from the cell."""
    middle = edges[..., :2].mean(axis=1)
    centre = middle.mean(axis=0)
    for number, name in enumerate("abc"):
        along = slice(4 * number, 4 * number + 4)
        outmost = 4 * number + int((middle[along] @ ([0, 1] if name != "c" else [-1, 0])).argmax())
        direction = edges[outmost, 1, :2] - edges[outmost, 0, :2]
        aside = np.array([-direction[1], direction[0]]) / np.linalg.norm(direction)
        aside *= np.sign(aside @ (middle[outmost] - centre))
        axes.annotate(
            name,
            middle[outmost],
            9 * aside * [1, -1],
            textcoords="offset points",
            ha="center",
            va="center",
            color=ink,
            fontstyle="italic",
            annotation_clip=False,
        )


def _picture(
    surface: Isosurface, structure: Structure, background: str, low: np.ndarray, scale: float, shape: tuple[int, int]
) -> Float[np.ndarray, "height width 4"]:
    """Red, green, blue and opacity of the cell.

    Args:
        background: its colour; the picture is opaque where that is.
        low: (2,) upper left corner of the picture in the view, Å.
        scale: pixels per Å.
        shape: height and width, pixels.
    """
    view = view_of(structure.lattice.matrix)

    def seen(points: np.ndarray) -> np.ndarray:
        return (points @ view.T - [*low, 0.0]) * scale

    solid, marks = Canvas.blank(*shape), Canvas.blank(*shape)
    *paper, opaque = to_rgba(background)
    solid.rgb[:] = paper if opaque else 1.0
    solid.add_triangles(seen(surface.vertices)[surface.faces], _normals(surface, view), _face_colours(surface))
    for start, end in seen(_edges(structure.lattice.matrix)):  # a row of balls, each half hidden in the next
        radius = EDGE * DPI * SAMPLES
        balls = np.linspace(start, end, int(np.linalg.norm(end - start) / radius * 2))
        solid.add_spheres(balls, np.full(len(balls), radius), np.full((len(balls), 3), to_rgb(_ink(background))))
    positions, radii, symbols = _atoms(structure)
    marks.add_spheres(seen(positions), radii * scale, np.array([_element_colour(symbol) for symbol in symbols]))
    there = np.isfinite(marks.depth)
    gap = (solid.depth[there] - marks.depth[there]) / scale  # minus infinity where there is only the atom
    strength = np.where(gap <= 0, 1.0, SHINE * np.exp(-np.maximum(gap, 0) / FADE))[:, None]
    solid.rgb[there] += strength * (marks.rgb[there] - solid.rgb[there])
    return np.dstack([solid.rgb, np.maximum(np.isfinite(solid.depth) | there, opaque)])


def _face_colours(surface: Isosurface) -> Float[np.ndarray, "faces 3"]:
    colours = np.zeros((len(surface.regions) + 1, 3))
    for numbers, palette, _ in _entries(surface):
        colours[numbers] = [to_rgb(palette[i % len(palette)]) for i in range(len(numbers))]
    colours = colours[surface.region]
    colours[surface.cut] = PALER + (1 - PALER) * colours[surface.cut]
    return colours


def _normals(surface: Isosurface, view: np.ndarray) -> Float[np.ndarray, "faces 3 3"]:
    """Normals in the view at the corners of each triangle."""
    normals = surface.normals[surface.faces]
    a, b, c = np.moveaxis(surface.vertices[surface.faces[surface.cut]], 1, 0)
    across = np.cross(b - a, c - a)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    normals[surface.cut] = (across + view[2])[:, None]  # half turned to the viewer, so that no side of the cell is dark
    return normals @ view.T


def _hex(colour: Any) -> str:
    red, green, blue = (float(x) for x in colour)
    return to_hex((red, green, blue))


def _element_colour(symbol: str) -> np.ndarray:
    return np.asarray(jmol_colors[Element(symbol).Z])


# ---- pictures to turn ----


def _write_html(surface: Isosurface, structure: Structure, named: str, background: str, path: Path) -> Path:
    try:
        from plotly import graph_objects as go
    except ModuleNotFoundError as error:
        raise ElfzooError("plotly is not installed; install it with: pip install plotly") from error
    ink = _ink(background)
    figure = go.Figure()
    for numbers, palette, text in _entries(surface):
        for i, colour in enumerate(palette[: len(numbers)]):
            of_colour = np.isin(surface.region, numbers[i :: len(palette)])
            for cut, tint in ((False, colour), (True, _hex(PALER + (1 - PALER) * np.array(to_rgb(colour))))):
                mesh = _mesh(surface, of_colour & (surface.cut == cut))
                group = dict(name=text, legendgroup=text, showlegend=i == 0 and not cut)
                figure.add_trace(go.Mesh3d(**mesh, **group, color=tint, flatshading=cut, hoverinfo="skip"))
    _add_atoms_and_edges(figure, structure, ink)
    formula = structure.composition.to_html_string().replace("<sub>1</sub>", "")
    toward, up = view_of(structure.lattice.matrix)[2], structure.lattice.matrix[2] / structure.lattice.c
    eye, upright = (dict(zip("xyz", vector, strict=True)) for vector in (1.6 * toward, up))
    camera = dict(eye=eye, up=upright, projection=dict(type="orthographic"))
    scene = dict(aspectmode="data", camera=camera, **{f"{axis}axis": dict(visible=False) for axis in "xyz"})
    paper = "rgba(0,0,0,0)" if to_rgba(background)[3] == 0 else to_hex(background)
    figure.update_layout(title=f"{formula}, {named}", scene=scene, paper_bgcolor=paper, font_color=ink)
    page = figure.to_html(include_plotlyjs=True, full_html=True, div_id="isosurface")
    write_bytes(path, [page.encode("utf-8")])
    return path


def _mesh(surface: Isosurface, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """The chosen triangles with the vertices that they use, as plotly takes them."""
    used, corners = np.unique(surface.faces[chosen], return_inverse=True)
    columns = [*surface.vertices[used].astype(np.float32).T, *corners.reshape(-1, 3).astype(np.int32).T]
    return dict(zip("xyzijk", columns, strict=True))


def _add_atoms_and_edges(figure: Html, structure: Structure, ink: str) -> None:
    from plotly import graph_objects as go

    gap = np.full((12, 1, 3), np.nan)  # between the edges, so that they are one line
    x, y, z = np.concatenate([_edges(structure.lattice.matrix), gap], axis=1).reshape(-1, 3).T
    line = dict(color=ink, width=3)
    figure.add_trace(go.Scatter3d(x=x, y=y, z=z, mode="lines", line=line, showlegend=False, hoverinfo="skip"))
    positions, radii, symbols = _atoms(structure)
    for symbol in sorted(set(symbols)):
        chosen = np.array(symbols) == symbol
        x, y, z = positions[chosen].T
        marker = dict(size=60 * radii[chosen][0], color=_hex(_element_colour(symbol)), line=dict(color=ink, width=1))
        figure.add_trace(go.Scatter3d(x=x, y=y, z=z, mode="markers", marker=marker, name=symbol, hoverinfo="name"))
