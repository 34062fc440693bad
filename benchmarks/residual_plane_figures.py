"""Pictures of planes: Fig. 2 of Wang et al. (2026), panel by panel, and their Fig. S3."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import paper_numbers as paper
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from residual_measure import EDGE, NAMED, PAPER
from residual_panels import (
    K_MAX,
    SHARPEST,
    TEXT,
    Row,
    Shown,
    colour,
    error_panel,
    fits,
    groups_of,
    label,
    lines,
    periods_above,
    shown_part,
    with_legend,
)
from scipy import special

from elfzoo.analysis import PlaneResidual, plane_correction
from elfzoo.analysis.metrics import ELF_BINS
from elfzoo.benchmark import Benchmark
from elfzoo.plot import ELF_MAP, RESIDUAL_MAP

RESIDUAL, DECADES, RATIO = 0.2, 3, (0.1, 25)  # colours of Fig. 2B, C (ours), H and I
MAPS = (5, 10, 15, 20)  # periods per 11 Å


def plane_figure(record: Row, benchmark: Benchmark, shown: Sequence[Shown]) -> Figure:
    """Panels A to I of the paper's Fig. 2, of planes alone."""
    groups, k = groups_of(record), record["settings"]["k_max"]
    names = [label(name, benchmark) for name in groups]
    figure = Figure(figsize=(8.0, 7.6), layout="constrained")
    panels = figure.subplots(3, 3)
    slices(panels[0], shown[0])
    ring_panel(panels[1, 0], groups, names, record["answers"][0])
    error_panel(panels[1, 1], groups, k, "plane", "E  MAE that the fit leaves (★ paper)")
    paper_errors(panels[1, 1], groups)
    size_panel(panels[1, 2], groups, k)
    profile_panel(panels[2, 0], groups)
    for axes, letter, plane in zip(panels[2, 1:], "HI", shown, strict=False):
        ratio_map(axes, plane, letter)
    for axes in panels[2, 1 + len(shown) :]:
        axes.set_axis_off()
    for axes in (*panels[1], panels[2, 0]):
        axes.spines[["top", "right"]].set_visible(False)
    return with_legend(figure, panels[1, 0], f"{record['model']} on {record['task']}: planes, as in the paper's Fig. 2")


def slices(row: Sequence[Axes], shown: Shown) -> None:
    """ELF, the residual, and its Fourier amplitude."""
    residual = shown.residual
    cells(row[0], shown.reference.values[:, :, 0], residual.edges, ELF_MAP, Normalize(0, 1), bar=True)
    row[0].set_title(f"A  ELF, {shown.title}")
    cells(row[1], residual.residual, residual.edges, RESIDUAL_MAP, Normalize(-RESIDUAL, RESIDUAL), bar=True)
    row[1].set_title(f"B  residual, MAE {np.abs(residual.residual).mean():.4f}")
    amplitude_map(row[2], residual)


def cells(axes: Axes, values: np.ndarray, edges: np.ndarray, colours: str, norm: Any, bar: bool = False) -> QuadMesh:
    """Values on a plane, each point in the middle of its cell, in true proportions."""
    u, v = ((np.arange(n + 1) - 0.5) / n for n in values.shape)
    corners = u[:, None, None] * edges[0] + v[:, None] * edges[1]
    mesh = axes.pcolormesh(*np.moveaxis(corners, 2, 0), values, cmap=colours, norm=norm, rasterized=True)
    axes.set(aspect="equal", xlabel="Å", ylabel="Å")
    if bar:
        axes.figure.colorbar(mesh, ax=axes, shrink=0.8)
    return mesh


def amplitude_map(axes: Axes, residual: PlaneResidual) -> None:
    u, v = residual.waves
    k = u[:, None, None] * residual.reciprocal[0] + v[:, None] * residual.reciprocal[1]
    top = residual.amplitude.max()
    norm = LogNorm(top / 10**DECADES, top, clip=True)
    style = {"cmap": "magma", "norm": norm, "shading": "nearest", "rasterized": True}
    mesh = axes.pcolormesh(*np.moveaxis(k, 2, 0), residual.amplitude, **style)
    axes.figure.colorbar(mesh, ax=axes, shrink=0.8)
    ends = (-SHARPEST, SHARPEST)
    axes.set(title="C  Fourier amplitude of B", aspect="equal", xlim=ends, ylim=ends, xlabel="rad/Å", ylabel="rad/Å")


def ring_panel(axes: Axes, groups: Mapping[str, Row], names: Sequence[str], answer: Row) -> None:
    """Mean amplitude on rings; in words, how much longer-waved planes look than the cells that they are cut from."""
    lines(axes, [shown_part(row["plane"], "amplitude") for row in groups.values()], names)
    shares = [answer[name]["3"]["power"] for name in ("plane_above", "above")]
    planes, volume = ("-" if share is None else f"{100 * share:.2g} %" for share in shares)
    text = f"power above 3 Å:\nplanes {planes}\nvolume {volume}"
    axes.text(0.97, 0.97, text, transform=axes.transAxes, ha="right", **TEXT)
    axes.set(title="D  mean amplitude on rings", xlabel="|k| (rad/Å)", yscale="log", xlim=(0, SHARPEST))


def paper_errors(axes: Axes, groups: Mapping[str, Row]) -> None:
    """The paper's MAE before a fit, and where it states it, after."""
    for number, group in enumerate(groups):
        star(axes, group, paper.PLANE_MAE, number, place=0.0)
        star(axes, group, paper.PLANE_MAE_AFTER, number)


def size_panel(axes: Axes, groups: Mapping[str, Row], k: Sequence[float]) -> None:
    """Size of the correction relative to ELF, and of the first group relative to the logit."""
    found = [fits(row, "plane") for row in groups.values()]
    lines(axes, [(k, row["elf_size_l2"]) for row in found])
    lines(axes, [(k, row["logit_size_l2"]) for row in found[:1]], linestyle=":")
    for number, group in enumerate(groups):
        star(axes, group, paper.PLANE_SIZE, number)
        star(axes, group, paper.PLANE_LOGIT_SIZE, number, "s")
    axes.set(title="F  size of the correction (★ ■ paper)", xlabel=K_MAX, xlim=(0, k[-1]), ylim=(0, None))
    axes.text(0.97, 0.25, "— ★ in ELF\n··· ■ in logit\nL2 norms", transform=axes.transAxes, ha="right", **TEXT)
    periods_above(axes)


def star(
    axes: Axes, group: str, values: Mapping[str, float], number: int, marker: str = "*", place: float | None = None
) -> None:
    """A number of the paper where it has one for this group, at the paper's k_max or another place."""
    if group in values:
        x = 2 * math.pi * paper.PLANE_K[group] / EDGE if place is None else place
        style = {"markersize": 8, "markeredgecolor": "black", "markeredgewidth": 0.5, "zorder": 3, "clip_on": False}
        axes.plot(x, values[group], marker, color=colour(number), **style)


def profile_panel(axes: Axes, groups: Mapping[str, Row]) -> None:
    """Where on ELF the correction is: relative to the logit, whose zero is at 0.5, and by itself."""
    middle = (np.arange(ELF_BINS) + 0.5) / ELF_BINS
    for name, dash in (("ratio", "-"), ("logit", "--")):
        lines(axes, [(middle, fits(row, "plane")["by_elf"][name]) for row in groups.values()], linestyle=dash)
    axes.set(title="G  correction by ELF, k$_{max}$ = 20", xlabel="ELF of the reference", yscale="log", xlim=(0, 1))
    axes.set_ylim(top=8 * axes.get_ylim()[1])  # room for the text
    axes.text(0.03, 0.97, "— median |u$_r$/u$_{tot}$|\n- - mean |u$_r$|", transform=axes.transAxes, **TEXT)


def ratio_map(axes: Axes, shown: Shown, letter: str) -> None:
    """|u_r/u_tot|: u_tot is zero where ELF is 0.5, whatever the correction."""
    fit = plane_correction(shown.reference, shown.prediction, NAMED[PAPER])
    with np.errstate(divide="ignore"):
        ratio = np.abs(fit.correction / special.logit(fit.corrected))
    cells(axes, ratio, shown.residual.edges, "inferno", LogNorm(*RATIO, clip=True), bar=True)
    axes.set_title(f"{letter}  |u$_r$/u$_{{tot}}$|, {shown.title.split(',')[0]}")


def maps_figure(record: Row, benchmark: Benchmark, shown: Sequence[Shown]) -> Figure:
    """The paper's Fig. S3, what fits leave of the residual; below it of no model at all."""
    figure = Figure(figsize=(8.6, 3.9), layout="compressed")
    panels, norm = figure.subplots(2, 1 + len(MAPS), sharex=True, sharey=True), Normalize(-RESIDUAL, RESIDUAL)
    for row, plane, start in zip(panels, (shown[0], shown[0].of_no_model()), ("model", "no model"), strict=True):
        residual = plane.residual
        left = {start: residual.residual}
        for periods in MAPS:
            corrected = plane_correction(plane.reference, plane.prediction, 2 * math.pi * periods / EDGE).corrected
            left[f"k$_{{max}}$ {periods} per 11 Å"] = corrected - plane.reference.values[:, :, 0]
        for axes, (text, values) in zip(row, left.items(), strict=True):
            mesh = cells(axes, values, residual.edges, RESIDUAL_MAP, norm)
            axes.set_title(f"{text}\nMAE {np.abs(values).mean():.4f}")
            axes.label_outer()
    figure.colorbar(mesh, ax=panels, shrink=0.7, label="fitted − reference ELF")
    figure.suptitle(f"{record['model']}, plane z = 0, {shown[0].title}, as the paper's Fig. S3", fontsize=9)
    return figure
