"""What the pictures of residuals share: groups of a record, lines, panels of errors, axes in both units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reference_figures import COLOURS
from residual_measure import EDGE, USUAL

from elfzoo.analysis import PlaneResidual, plane_residual
from elfzoo.benchmark import Benchmark
from elfzoo.field import Field

SHARPEST = 16.0  # rad/Å, to which spectra are shown; references end at 18
K_MAX = "k$_{max}$ (rad/Å); above: per 11 Å"
TEXT: dict[str, Any] = {"fontsize": 7, "va": "top"}

Row = Mapping[str, Any]
Curves = Iterable[tuple[Any, Any]]


@dataclass(frozen=True, eq=False)
class Shown:
    """The plane z = 0 of one structure, with its group and size as title."""

    title: str
    reference: Field
    prediction: Field

    @property
    def residual(self) -> PlaneResidual:
        return plane_residual(self.reference, self.prediction)

    def of_no_model(self) -> Shown:
        return Shown(
            "no model", self.reference, self.prediction.replace(values=np.full(self.reference.grid.shape, 0.5))
        )


def groups_of(record: Row) -> dict[str, Row]:
    """The groups of a record, or all structures where it has none."""
    found = {row["group"]: row for row in record["groups"]}
    return {name: row for name, row in found.items() if name != "all"} or found


def label(group: str, benchmark: Benchmark) -> str:
    """With its unit, which the name of the entry ends in."""
    return group if group == "all" else f"{group} {(benchmark.definition.group_by or '').split('_')[-1]}"


def fits(row: Row, domain: str, name: str = "model") -> Row:
    """Of the model or of none, with the usual clip."""
    return row[domain]["correction"][name][USUAL]


def lines(axes: Axes, curves: Curves, names: Sequence[str] = (), **style: Any) -> None:
    """A line for each group, in its colour; what is not defined is left out."""
    for number, (x, y) in enumerate(curves):
        text = names[number] if names else None
        axes.plot(x, np.array(y, float), **{"color": colour(number), "linewidth": 1.2, "label": text, **style})


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def shown_part(found: Row, name: str) -> tuple[Any, Any]:
    """A curve against k as far as it is shown."""
    end = int(np.searchsorted(found["k"], SHARPEST))
    return found["k"][:end], found[name][:end]


def error_panel(axes: Axes, groups: Mapping[str, Row], k: Sequence[float], domain: str, title: str) -> None:
    """MAE that fits leave, against k_max: lines of the model, dashes of no model."""
    lines(axes, [(k, fits(row, domain)["mae"]) for row in groups.values()])
    lines(axes, [(k, fits(row, domain, "none")["mae"]) for row in groups.values()], linestyle="--")
    axes.set(title=title, yscale="log", xlabel=K_MAX, xlim=(0, k[-1]))
    axes.text(0.97, 0.97, "— model\n- - no model at all", transform=axes.transAxes, ha="right", **TEXT)
    periods_above(axes)


def periods_above(axes: Axes) -> None:
    """A second axis that counts periods per 11 Å, as the paper does."""
    ratio = EDGE / (2 * math.pi)
    axes.secondary_xaxis("top", functions=(lambda k: k * ratio, lambda periods: periods / ratio))


def with_legend(figure: Figure, axes: Axes, title: str) -> Figure:
    """One legend of the groups for all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside lower center", ncols=len(labels))
    figure.suptitle(title, fontsize=9)
    return figure
