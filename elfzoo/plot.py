"""Figures of fields for papers: slices in true proportions, and a prediction beside its reference.

Importing this module imports matplotlib; no window, no global state, and no display are needed.
"""

from __future__ import annotations

import itertools
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pymatgen.core import Structure

from elfzoo.analysis.compare import Comparison, compare
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.interpolate import PeriodicSpline, fourier_resample
from elfzoo.io.files import write_bytes
from elfzoo.paths import Plane
from elfzoo.quantity import quantity_of

__all__ = ["default_plane", "plot_comparison", "plot_slice"]

ELF_MAP, RESIDUAL_MAP = "viridis", "RdBu_r"
SUFFIXES = (".png", ".pdf", ".svg")
PIXELS = 300  # points of a picture along the longer edge
IN_PLANE, NEAR_PLANE = 0.1, 0.25  # angstrom; atoms nearer are marked full, open
PARITY_BINS, RESIDUAL_BINS = 120, 61
DPI = 300
DIFFERENCE = "predicted \N{MINUS SIGN} reference"
PANELS = (
    "(a) reference {title}",
    "(b) predicted {title}",
    f"(c) {DIFFERENCE}",
    "(d) parity, % of voxels",
    "(e) values, % of voxels",
    "(f) residuals, % of voxels",
)
STYLE: Any = {
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.titlesize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.hashsalt": "elfzoo",
}


def plot_slice(field: Field, path: str | Path, plane: Plane | None = None) -> Path:
    """Draw one slice of a field, with the atoms near it.

    Args:
        field: what to draw; the colours span 0 to 1 for ELF, else the values of the slice.
        path: ends in ``.png``, ``.pdf`` or ``.svg``; appears whole or not at all.
        plane: where to cut (its number of points does not matter); :func:`default_plane` where not given.

    Raises:
        ElfzooError: on another suffix, or values that are not finite.
        FieldFileError: when the file cannot be written.
    """
    path, plane = figure_path(path), plane or default_plane(field.structure)
    values = _on_plane(field, plane)
    quantity = quantity_of(field.quantity)
    with rc_context(rc=STYLE):
        figure = Figure(figsize=(3.4, 1.0 + 2.2 * _height_to_width(plane, field.structure)), layout="constrained")
        axes = figure.add_subplot()
        mesh = _draw_slice(axes, values, plane, field.structure, ELF_MAP, quantity.span(values))
        _colour_bar(axes, mesh)
        axes.set_title(quantity.label, loc="left")
        _name_figure(figure, field.structure, plane)
        return save_figure(figure, path)


def plot_comparison(
    reference: Field,
    prediction: Field,
    path: str | Path,
    plane: Plane | None = None,
    mixed_recipes: bool = False,
    resample: bool = False,
) -> Path:
    """Draw a prediction beside its reference: slices of both and of the residual, parity, and value distributions.

    Errors, parity and histograms are over all voxels, not those of the slice. Residuals are prediction - reference,
    their colours symmetric about zero.

    Args:
        reference: the field that counts as right, an ELF or another quantity.
        prediction: a field of the same quantity and structure.
        path: ends in ``.png``, ``.pdf`` or ``.svg``; appears whole or not at all.
        plane: where to cut (its number of points does not matter); :func:`default_plane` where not given.
        mixed_recipes: compare fields of different recipes all the same.
        resample: Fourier-interpolate the prediction to the reference's grid if the grids differ.

    Raises:
        ElfzooError: on another suffix, or fields that :func:`elfzoo.analysis.compare` refuses.
        FieldFileError: when the file cannot be written.
    """
    path, plane = figure_path(path), plane or default_plane(reference.structure)
    if resample:
        prediction = prediction.replace(values=fourier_resample(prediction.values, reference.grid.shape))
    comparison = compare(reference, prediction, mixed_recipes=mixed_recipes)
    with rc_context(rc=STYLE):
        heights = (0.5 + 1.8 * _height_to_width(plane, reference.structure), 2.2)
        figure = Figure(figsize=(7.1, sum(heights) + 0.3), layout="constrained")
        axes = figure.subplots(2, 3, height_ratios=heights)
        _draw_slices(axes[0], reference, prediction, plane)
        _draw_parity(axes[1, 0], reference.values, prediction.values, comparison)
        _draw_distributions(axes[1, 1], comparison)
        _draw_residuals(axes[1, 2], prediction.values - reference.values.astype(np.float64), comparison)
        for title, panel in zip(PANELS, axes.ravel(), strict=True):
            panel.set_title(title.format(title=quantity_of(reference.quantity).title), loc="left")
        _name_figure(figure, reference.structure, plane)
        return save_figure(figure, path)


def default_plane(structure: Structure) -> Plane:
    """The axis slice that passes through the most atoms (within 0.1 Å), z before y before x on a draw."""
    best: tuple[int, str, float] = (0, "z", 0.0)
    for axis in "zyx":
        number = "xyz".index(axis)
        height = 1 / np.linalg.norm(structure.lattice.inv_matrix[:, number])
        fractions = structure.frac_coords[:, number] % 1.0
        apart = (fractions[:, None] - fractions + 0.5) % 1.0 - 0.5
        counts = (np.abs(apart) * height < IN_PLANE).sum(axis=0)
        if counts.max() > best[0]:
            best = (int(counts.max()), axis, float(fractions[counts.argmax()]))
    return Plane.axis(best[1], best[2], structure)


def _draw_slices(row: np.ndarray, reference: Field, prediction: Field, plane: Plane) -> None:
    truth, guess = _on_plane(reference, plane), _on_plane(prediction, plane)
    largest, limits = max(float(np.abs(guess - truth).max()), 1e-6), quantity_of(reference.quantity).span(truth, guess)
    panels = (
        (truth, ELF_MAP, limits),
        (guess, ELF_MAP, limits),
        (guess - truth, RESIDUAL_MAP, (-largest, largest)),
    )
    meshes = [
        _draw_slice(axes, values, plane, reference.structure, colours, limits)
        for axes, (values, colours, limits) in zip(row, panels, strict=True)
    ]
    _colour_bar(row[1], meshes[1])
    _colour_bar(row[2], meshes[2])
    for axes in row[1:]:
        axes.set_ylabel("")


def _draw_slice(
    axes: Axes, values: np.ndarray, plane: Plane, structure: Structure, colours: str, limits: tuple[float, float]
) -> QuadMesh:
    """Values (nu, nv) of a plane as a parallelogram in Å, with its outline and the atoms near it."""
    edges = plane_edges(plane, structure)
    u, v = (np.linspace(0, 1, n) for n in values.shape)
    points = u[:, None, None] * edges[0] + v[:, None] * edges[1]
    mesh = axes.pcolormesh(*np.moveaxis(points, 2, 0), values, cmap=colours, shading="gouraud", rasterized=True)
    mesh.set_clim(*limits)
    outline = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) @ edges
    axes.plot(*outline.T, color="black", linewidth=0.6, clip_on=False)
    _draw_atoms(axes, plane, structure)
    (left, low), (right, high) = outline.min(axis=0), outline.max(axis=0)
    axes.set(aspect="equal", xlim=(left, right), ylim=(low, high), xlabel="Å", ylabel="Å")
    axes.spines[:].set_visible(False)
    return mesh


def _colour_bar(axes: Axes, mesh: QuadMesh) -> None:
    """A colour bar as high as the panel that it stands beside."""
    Colorbar(axes.inset_axes((1.05, 0.0, 0.05, 1.0)), mesh)


def _draw_atoms(axes: Axes, plane: Plane, structure: Structure) -> None:
    """Marks on the atoms near the plane, one shape per element: full within 0.1 Å, open beyond."""
    coords, symbols = atoms_on(plane, structure)
    in_plane = np.abs(coords[:, 2]) < IN_PLANE
    for kind, marker in _markers(structure).items():
        for near, face in ((True, "white"), (False, "none")):
            x, y, _ = coords[(symbols == kind) & (in_plane == near)].T
            axes.scatter(x, y, 14, marker=marker, c=face, edgecolors="black", linewidths=0.7, zorder=3, clip_on=False)


def _markers(structure: Structure) -> dict[str, str]:
    return dict(zip(sorted({site.specie.symbol for site in structure}), itertools.cycle("os^Dvp"), strict=False))


def atoms_on(plane: Plane, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
    """(marks, 3) positions in the plane's frame, Å, of atoms and images near the plane, and their symbols."""
    corners = np.array(plane.origin) + np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) @ [plane.edge_u, plane.edge_v]
    low, high = np.floor(corners.min(axis=0)) - 1, np.ceil(corners.max(axis=0)) + 1
    images = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True))), axis=-1)
    frac = (structure.frac_coords[:, None] % 1.0 + images.reshape(-1, 3)).reshape(-1, 3)
    symbols = np.repeat([site.specie.symbol for site in structure], images.size // 3)
    coords = plane.project(frac, structure.lattice.matrix)
    along = coords[:, :2] @ np.linalg.inv(plane_edges(plane, structure))
    inside = (np.abs(along - 0.5) < 0.5 + 1e-6).all(axis=1) & (np.abs(coords[:, 2]) < NEAR_PLANE)
    return coords[inside], symbols[inside]


def _draw_parity(axes: Axes, truth: np.ndarray, guess: np.ndarray, comparison: Comparison) -> None:
    quantity = quantity_of(comparison.quantity)
    low, high = quantity.span(truth, guess)
    limits = (min(low, float(guess.min())), max(high, float(guess.max())))
    _colour_bar(axes, draw_shares(axes, truth, guess, limits))
    errors = comparison.all_voxels
    text = f"all voxels\nMAE {errors.mae:.4f}\nRMSE {errors.rmse:.4f}\n$R^2$ {errors.r2:.4f}"
    axes.text(0.96, 0.04, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=7)
    axes.set(
        box_aspect=1,
        xlim=limits,
        ylim=limits,
        xlabel=f"reference {quantity.label}",
        ylabel=f"predicted {quantity.label}",
    )


def draw_shares(axes: Axes, truth: np.ndarray, guess: np.ndarray, limits: tuple[float, float]) -> QuadMesh:
    """Percent of the voxels by reference and predicted value between the limits, and the identity line."""
    counts, x, y = np.histogram2d(truth.ravel(), guess.ravel(), bins=PARITY_BINS, range=(limits, limits))
    shares = np.ma.masked_equal(100 * counts / truth.size, 0)
    mesh = axes.pcolormesh(x, y, shares.T, norm=LogNorm(), cmap=ELF_MAP, rasterized=True)
    axes.plot(limits, limits, color="black", linewidth=0.6)
    return mesh


def _draw_distributions(axes: Axes, comparison: Comparison) -> None:
    histograms = comparison.histograms
    percent = 100 / sum(histograms.reference)
    axes.stairs(np.array(histograms.reference) * percent, histograms.edges, fill=True, color="0.8", label="reference")
    axes.stairs(np.array(histograms.prediction) * percent, histograms.edges, color="tab:blue", label="prediction")
    edges, top = histograms.edges, 1.35 * axes.get_ylim()[1]
    axes.set(box_aspect=1, xlim=(edges[0], edges[-1]), ylim=(0, top), xlabel=quantity_of(comparison.quantity).label)
    axes.legend(frameon=False, loc="upper center", fontsize=7)


def _draw_residuals(axes: Axes, residual: np.ndarray, comparison: Comparison) -> None:
    errors = comparison.all_voxels
    largest = max(errors.max_error, 1e-6)
    counts, edges = np.histogram(residual, bins=RESIDUAL_BINS, range=(-largest, largest))
    axes.stairs(100 * counts / residual.size, edges, fill=True, color="tab:blue")
    axes.axvline(0, color="black", linewidth=0.6)
    axes.text(0.04, 0.96, f"mean\n{errors.bias:+.1e}", transform=axes.transAxes, va="top", fontsize=7)
    text = f"largest\n{errors.max_error:.4f}"
    axes.text(0.96, 0.96, text, transform=axes.transAxes, ha="right", va="top", fontsize=7)
    axes.set(box_aspect=1, yscale="log", xlim=(-largest, largest), xlabel=DIFFERENCE)
    axes.set_ylim(top=20 * axes.get_ylim()[1])  # room for the text


def _name_figure(figure: Figure, structure: Structure, plane: Plane) -> None:
    """Formula and plane above the figure; beside them the marks of the elements where there are several."""
    formula, where = structure.composition.to_latex_string().replace("$_{1}$", ""), _describe(plane)
    figure.suptitle(f"{formula}, {where}" if len(where) < 20 else f"{formula}\n{where}", fontsize=9)
    markers = _markers(structure)
    if len(markers) > 1:
        marks = [
            Line2D([], [], linestyle="", marker=marker, markersize=4, mfc="white", mec="black", mew=0.7, label=kind)
            for kind, marker in markers.items()
        ]
        figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False, handletextpad=0.0)


def plane_edges(plane: Plane, structure: Structure) -> np.ndarray:
    """(2, 2) edges of a plane as rows, in its own frame, Å."""
    lattice = structure.lattice.matrix
    return np.array([plane.edge_u, plane.edge_v]) @ lattice @ plane.axes(lattice)[:2].T


def _height_to_width(plane: Plane, structure: Structure) -> float:
    """Of the box around a plane, between 0.4 and 1.6 so that a figure stays on its page."""
    width, height = np.ptp(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ plane_edges(plane, structure), axis=0)
    return float(np.clip(height / width, 0.4, 1.6))


def _on_plane(field: Field, plane: Plane) -> np.ndarray:
    """Spline-interpolated values (nu, nv) on a plane, all four of its borders included."""
    lengths = np.linalg.norm(plane_edges(plane, field.structure), axis=1)
    u, v = (np.linspace(0, 1, max(2, round(PIXELS * length / lengths.max()))) for length in lengths)
    in_plane = u[:, None, None] * np.array(plane.edge_u) + v[:, None] * np.array(plane.edge_v)
    points = np.array(plane.origin) + in_plane.reshape(-1, 3)
    return PeriodicSpline.through(field.values)(points).reshape(len(u), len(v))


def _describe(plane: Plane) -> str:
    edges = np.array([plane.edge_u, plane.edge_v])
    for number, axis in enumerate("xyz"):
        if np.array_equal(edges, np.delete(np.eye(3), number, axis=0)) and not np.delete(plane.origin, number).any():
            return f"{axis} = {plane.origin[number]:.4g}"
    origin, u, v = (",".join(f"{c:.3g}" for c in vector) for vector in (plane.origin, plane.edge_u, plane.edge_v))
    return f"plane through ({origin}) along ({u}) and ({v})"


def figure_path(path: str | Path) -> Path:
    """The path, if a figure can be written there by its suffix."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ElfzooError(f"a figure's name ends in {', '.join(SUFFIXES)}; got {path}")
    return path


def save_figure(figure: Figure, path: Path) -> Path:
    """Write the figure whole or not at all, without a date, so that the same fields give the same file."""
    suffix = path.suffix.lower().removeprefix(".")
    undated = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[suffix]
    content = BytesIO()
    figure.savefig(content, format=suffix, dpi=DPI, metadata=undated)
    write_bytes(path, [content.getvalue()])
    return path
