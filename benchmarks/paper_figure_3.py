"""Fig. 3 of Wang et al. (2026), panel by panel, for one of our models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import paper_numbers as paper
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from paper_crystals import SYSTEMS, Chosen, chosen, known, networking_values
from paper_figure_1 import PAPER_LINE, UNIT, panel, parity
from paper_predictions import Predicted, Predictor
from paper_report import Sources, missing
from reference_figures import COLOURS, draw_slice

from elfzoo.field import Field
from elfzoo.paths import Plane
from elfzoo.plot import RESIDUAL_MAP

__all__ = ["figure_3", "figure_3_examples"]

RESIDUAL = 0.25  # ELF; the isovalue of Fig. 3F
PERFECT = 1e-5  # 1 − R² that is drawn for less
STAR: Any = {"marker": "*", "s": 60, "edgecolors": "black", "linewidths": 0.6, "zorder": 4}
RING: Any = {"s": 14, "facecolors": "none", "linewidths": 0.9}

Row = Mapping[str, Any]


def figure_3(sources: Sources) -> Figure:
    """Panels A to C of the paper's Fig. 3."""
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    panels, records = figure.subplots(1, 3), sources.records
    for axes, letter, (task, system) in zip(panels, "AB", SYSTEMS.items(), strict=False):
        if task in records:
            accuracy_by_phi(axes, records[task], system)
        panel(axes, f"{letter}  {system}", "" if task in records else missing(sources, task))
    phi_parity(panels[2], records)
    panel(panels[2], "C  networking value")
    drawn = next((axes for axes in panels[:2] if axes.get_legend_handles_labels()[0]), panels[0])
    for axes, side in ((drawn, "left"), (panels[2], "right")):
        columns = 2 if axes is drawn else 1
        legend = axes.get_legend_handles_labels()
        figure.legend(*legend, frameon=False, loc=f"outside lower {side}", ncols=columns, fontsize=7)
    figure.suptitle(f"{sources.name}, as the paper's Figs. 3A to C", fontsize=9)
    return figure


def accuracy_by_phi(axes: Axes, record: Row, system: str) -> None:
    """R² of each crystal on a scale of log(1 − R²); the mean about the identity, the paper's, and its examples."""
    rows, names = known(record), {"r2_correlated": "R² correlated", "r2": "R² identity"}
    phi = [networking_values(row)[0] for row in rows]
    for (key, name), colour in zip(names.items(), COLOURS[1::-1], strict=True):
        unexplained = [max(1 - row["voxels"][key], PERFECT) for row in rows]
        axes.scatter(phi, unexplained, edgecolors=colour, label=name, **RING)
        stars = [(e.phi, 1 - getattr(e, key)) for e in paper.EXAMPLES if e.system == system]
        axes.scatter(*zip(*stars, strict=True), color=colour, **STAR, label=f"{name} (paper's examples)")
    ours, theirs = record["metrics"].get("r2"), paper.MEAN_R2[system]
    axes.axhline(1 - theirs, color=COLOURS[0], **PAPER_LINE, label="mean R² identity (paper)")
    if ours is not None:
        axes.axhline(1 - ours, color=COLOURS[0], linewidth=0.9, label="mean R² identity")
    axes.set(xlabel="networking value φ (DFT)", ylabel="R² of ELF", xlim=UNIT, yscale="log")
    axes.invert_yaxis()
    axes.yaxis.set_major_formatter(lambda y, _: f"{1 - y:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def phi_parity(axes: Axes, records: Mapping[str, Row]) -> None:
    """Predicted against DFT networking values, with errors beside the paper's."""
    axes.plot(UNIT, UNIT, color="black", linewidth=0.6)
    for colour, (task, system) in zip(COLOURS[1::-1], SYSTEMS.items(), strict=True):
        rows, metrics = (records[task][key] if task in records else () for key in ("structures", "metrics"))
        pairs = [pair for row in rows if (pair := networking_values(row))]
        label = phi_label(system, dict(metrics))
        axes.scatter(*np.reshape(pairs, (-1, 2)).T, edgecolors=colour, label=label, **RING)
        stars = [(e.phi, e.predicted_phi) for e in paper.EXAMPLES if e.system == system]
        axes.scatter(*zip(*stars, strict=True), color=colour, **STAR)
    axes.set(box_aspect=1, xlabel="φ (DFT)", ylabel="φ (predicted)", xlim=UNIT, ylim=UNIT)


def phi_label(system: str, metrics: Mapping[str, float]) -> str:
    """Errors of the networking value; those of the paper in parentheses, R² of its text and of its Table S1."""
    theirs, parts = paper.CRYSTAL_PHI[system], []
    if "phi_mae" in metrics:
        parts.append(f"MAE {metrics['phi_mae']:.3f} (paper {theirs['phi_mae']:.3f})")
    if "phi_r2" in metrics:
        parts.append(f"R² {metrics['phi_r2']:.3f} ({paper.PHI_R2[system]:g}, {theirs['phi_r2']:g})")
    return f"{system}: {', '.join(parts) or 'not measured'}"


def figure_3_examples(sources: Sources, predictor: Predictor) -> Figure:
    """Panels D to F of the paper's Fig. 3: for each crystal ELF, its residual where it is largest, and parity."""
    examples = chosen(sources.records)
    figure = Figure(figsize=(7.6, 2.4 * max(1, len(examples)) + 0.3), layout="constrained")
    figure.suptitle(f"{sources.name}, as the paper's Figs. 3D to F: R² (identity/correlated), φ (ML/DFT)", fontsize=9)
    if not examples:
        panel(figure.subplots(), "", "No crystal of the records has both R² and networking values.")
    rows = figure.subfigures(max(1, len(examples)), 1, squeeze=False)[:, 0]
    for letter, found, row in zip("DEF", examples, rows, strict=False):
        shown, why_not = predictor.attempt(sources.records[found.task], [found.row])
        row.suptitle(example_title(letter, found, shown), x=0.01, ha="left", fontsize=8)
        for predicted in shown:
            example_row(row.subplots(1, 3), predicted)
        if why_not:
            panel(row.subplots(), "", why_not)
    return figure


def example_title(letter: str, found: Chosen, shown: Sequence[Predicted]) -> str:
    """In the manner of the paper's annotations; with the space group where the structure is at hand."""
    example = found.example
    groups = [predicted.reference.structure.get_space_group_info()[0] for predicted in shown]
    r2 = f"{example.r2:.2f}/{example.r2_correlated:.2f}"
    phi = f"{example.predicted_phi:.2f}/{example.phi:.2f}"
    return f"{letter}  {', '.join([example.name, *groups, example.why])}: R² {r2}, φ {phi}"


def example_row(row: Sequence[Axes], shown: Predicted) -> None:
    """ELF and its residual on the plane where the residual is largest, and parity."""
    plane, bar = worst_plane(shown.residual), {"shrink": 0.7, "aspect": 15}
    mesh = draw_slice(row[0], shown.reference, plane)
    row[0].figure.colorbar(mesh, ax=row[0], label="ELF (DFT)", **bar)
    mesh = draw_slice(row[1], shown.residual, plane, RESIDUAL_MAP, (-RESIDUAL, RESIDUAL))
    row[1].figure.colorbar(mesh, ax=row[1], label="predicted − DFT", extend="both", **bar)
    mesh = parity(row[2], shown.reference.values, shown.prediction.values)
    row[2].figure.colorbar(mesh, ax=row[2], label="% of voxels", **bar)


def worst_plane(residual: Field) -> Plane:
    """The plane of grid points across a lattice vector with the largest mean squared residual."""
    squares = residual.values**2
    profiles = [squares.mean(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    axis = int(np.argmax([profile.max() for profile in profiles]))
    return Plane.axis("xyz"[axis], int(profiles[axis].argmax()) / len(profiles[axis]), residual.structure)
