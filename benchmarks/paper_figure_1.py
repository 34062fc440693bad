"""Fig. 1 of Wang et al. (2026), panel by panel, for one of our models."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import paper_numbers as paper
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from paper_fluid import FLUID, peer_of
from paper_predictions import Predicted, Predictor
from paper_report import TRAINING, Sources, missing
from reference_figures import BINS, COLOURS

from elfzoo.plot import draw_shares

__all__ = ["PAPER_LINE", "UNIT", "figure_1", "panel", "parity"]

UNIT = (0.0, 1.0)
PAPER_LINE: Any = {"linestyle": "--", "linewidth": 0.9}
TEXT: Any = {"fontsize": 7}

Row = Mapping[str, Any]


def first_of_each_group(record: Row) -> list[Row]:
    """A snapshot at each pressure, as the paper has."""
    found: dict[Any, Row] = {}
    for row in record["structures"]:
        found.setdefault(row["group"], row)
    return sorted(found.values(), key=lambda row: (row["group"] is None, row["group"]))


def figure_1(sources: Sources, predictor: Predictor) -> Figure:
    """Panels A to D of the paper's Fig. 1."""
    figure = Figure(figsize=(6.6, 5.4), layout="constrained")
    panels, record, history = figure.subplots(2, 2), sources.records[FLUID], sources.found.get(TRAINING)
    shown, why_not = predictor.attempt(record, first_of_each_group(record))
    if shown:
        distributions(panels[0, 0], shown)
        fluid_parity(panels[1, 1], record, shown)
    if history:
        training_curves(panels[0, 1], history)
    errors_by_elf(panels[1, 0], record)
    panel(panels[0, 0], f"A  distribution of ELF, {len(shown)} snapshots", why_not)
    panel(panels[0, 1], "B  training", "" if history else missing(sources, TRAINING))
    panel(panels[1, 0], "C  error by ELF")
    panel(panels[1, 1], f"D  parity, {len(shown)} snapshots", why_not)
    figure.suptitle(f"{sources.name}, as the paper's Fig. 1 (- - paper)", fontsize=9)
    return figure


def panel(axes: Axes, title: str, why_not: str = "") -> None:
    """The frame of a panel that is drawn, or the sentence that says why it is not."""
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if why_not:
        axes.set_axis_off()
        text = textwrap.fill(why_not, 38, break_on_hyphens=False)
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", **TEXT)


def distributions(axes: Axes, shown: Sequence[Predicted]) -> None:
    """Probability densities: lines of the reference, dots of the prediction, one colour for each pressure."""
    edges = np.linspace(*UNIT, BINS + 1)
    for colour, found in zip(COLOURS, shown, strict=False):
        for values, style in ((found.reference.values, "-"), (found.prediction.values, ":")):
            density = np.histogram(values, edges, density=True)[0]
            label = f"{found.row['group']} GPa" if style == "-" else None
            axes.stairs(density, edges, color=colour, linestyle=style, linewidth=1.2, label=label)
    axes.axvline(paper.MEAN, color="0.4", **PAPER_LINE, label=f"mean {paper.MEAN} (paper)")
    axes.legend(frameon=False, title="— reference  ··· predicted", fontsize=7, title_fontsize=7)
    axes.set(xlabel="ELF", ylabel="probability density", xlim=UNIT, ylim=(0, None))


def training_curves(axes: Axes, history: Mapping[str, Sequence[float]]) -> None:
    """Loss and errors on the validation sets after each epoch."""
    names = {"loss": "training loss"} | {key: f"MAE {key[4:]}" for key in history if key.startswith("mae ")}
    for colour, (key, name) in zip(COLOURS, names.items(), strict=False):
        axes.plot(history["epoch"], history[key], color=colour, linewidth=1.2, label=name)
    mae = paper.FLUID["mae"]
    axes.axhline(mae, color="0.4", **PAPER_LINE, label=f"MAE {mae:.4f}, 80 epochs (paper)")
    axes.legend(frameon=False, fontsize=7, loc="upper right")
    axes.set(xlabel="epoch", yscale="log", xlim=(0, None))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())


def errors_by_elf(axes: Axes, record: Row) -> None:
    """Mean error in each bin, with bars of the mean |error|."""
    lower, mae, bias = (np.array(record["curves"]["by_elf"][key], float) for key in ("lower", "mae", "bias"))
    style = {"color": COLOURS[0], "markersize": 3, "capsize": 2, "linewidth": 1.0}
    axes.errorbar(lower + (lower[1] - lower[0]) / 2, bias, mae, fmt="o", **style, label="mean error ± mean |error|")
    axes.axhline(0, color="black", linewidth=0.6)
    peer, top = peer_of(record), 1.8 * np.nanmax(np.abs(bias) + mae)  # room for the legend
    for sign in (-1, 1) if "mae" in peer else ():
        text = f"± MAE {peer['mae']:.4f} (paper)" if sign > 0 else None
        axes.axhline(sign * peer["mae"], color="0.4", **PAPER_LINE, label=text)
    axes.set(xlabel="ELF of the reference", ylabel="predicted − reference", xlim=UNIT, ylim=(-top, top))
    axes.legend(frameon=False, fontsize=7, loc="upper center")


def fluid_parity(axes: Axes, record: Row, shown: Sequence[Predicted]) -> None:
    """Voxels of the shown snapshots; in words the errors of all, beside the paper's."""
    truth, guess = (
        np.concatenate([getattr(found, key).values.ravel() for found in shown]) for key in ("reference", "prediction")
    )
    axes.figure.colorbar(parity(axes, truth, guess), ax=axes, label="% of voxels", shrink=0.8)
    metrics, peer = record["metrics"], peer_of(record)
    lines = [f"all {len(record['structures'])} snapshots (paper)"]
    for key, name, digits in (("mae", "MAE", ".4f"), ("rmse", "RMSE", ".4f"), ("r2", "R²", "g")):
        theirs = f" ({peer[key]:{digits}})" if key in peer else ""
        lines.append(f"{name} {metrics[f'{key}_pooled']:.4f}{theirs}")
    axes.text(0.03, 0.97, "\n".join(lines), transform=axes.transAxes, va="top", **TEXT)


def parity(axes: Axes, truth: np.ndarray, guess: np.ndarray) -> QuadMesh:
    """Percent of the voxels by both values."""
    axes.set(box_aspect=1, xlabel="reference ELF", ylabel="predicted ELF", xlim=UNIT, ylim=UNIT)
    return draw_shares(axes, truth, guess, UNIT)
