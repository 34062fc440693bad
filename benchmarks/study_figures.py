"""Pictures of studies: ``benchmarks/figures/study-STUDY.png``, and the learning curves of all families in one.

    python benchmarks/study_figures.py [STUDY ...]

Lines join means over seeds, bars are their standard deviation, dots are single seeds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from reference_figures import COLOURS, DASHES, FIGURES, MARKERS, save
from study_tables import STABLE, Record, RowRuns, row_runs, spread

from elfzoo.plot import STYLE

__all__ = ["draw", "draw_learning_curves", "learning_curves"]

RESULTS = Path(__file__).parent / "results" / "studies"
PREFIX = "learning-curve-"
CURVES = ("structures_per_pressure", "total_points")  # panels of the common picture
COLUMNS = 3
Picture = Callable[[Record, Sequence[RowRuns]], Figure]
Points = Sequence[tuple[float, Sequence[float]]]  # value, MAE of each seed


def draw(record: Record, folder: Path) -> list[Path]:
    """The pictures of one study, as far as it has something to show."""
    rows = [row for row in row_runs(record) if row.runs]
    paths = []
    with rc_context(rc=STYLE):
        for picture, shown, name in pictures_of(record, rows):
            if shown:
                paths.append(folder / name)
                save(picture(record, shown), paths[-1])
    return paths


def pictures_of(record: Record, rows: Sequence[RowRuns]) -> list[tuple[Picture, Sequence[RowRuns], str]]:
    """What is drawn of which rows, and the file's name.

    Lines over numbers, and beside them a chart of the rows that lie on no axis; a single configuration seed by seed.
    """
    name = f"study-{record['study']}"
    if len(record["rows"]) == 1:
        return [(seeds, rows, f"{name}.png")]
    if not (axes := set(numeric_axes(record))):
        return [(chart, rows, f"{name}.png")]
    others = [row for row in rows if not axes & set(row.at)]
    return [(scans, rows, f"{name}.png"), (chart, others if len(others) > 1 else [], f"{name}-variants.png")]


def numeric_axes(record: Record) -> list[str]:
    """Axes of numbers that have one row for each value: each is a panel."""
    values = {name: [row["at"][name] for row in record["rows"] if name in row["at"]] for name in record["axes"]}
    numbers = {name: v for name, v in values.items() if all(isinstance(x, int | float) for x in v)}
    return [name for name, v in numbers.items() if len(set(v)) == len(v)]


def points_of(rows: Sequence[RowRuns], axis: str, task: str) -> Points:
    """Along an axis, in ascending order."""
    return sorted((row.at[axis], row.values(task)) for row in rows if axis in row.at and row.values(task))


def scans(record: Record, rows: Sequence[RowRuns]) -> Figure:
    """A panel for each axis, a line for each task."""
    names = numeric_axes(record)
    columns = min(COLUMNS, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(2.5 * columns + 0.5, 2.1 * lines + 0.5), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes in panels.ravel()[len(names) :]:
        axes.set_axis_off()
    for name, axes in zip(names, panels.ravel(), strict=False):
        for number, task in enumerate(record["tasks"]):
            line(axes, points_of(rows, name, task), number, task)
        scale(axes, record["axes"][name], [row.at[name] for row in rows if name in row.at])
    for axes in panels[:, 0]:
        axes.set_ylabel("MAE of ELF")
    return legend(figure, panels[0, 0])


def chart(record: Record, rows: Sequence[RowRuns]) -> Figure:
    """A line for each row, a panel for each task; dots are seeds, bars their standard deviation."""
    tasks = list(record["tasks"])
    figure = Figure(figsize=(2.2 * len(tasks) + 2.0, 0.22 * len(rows) + 0.8), layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    for number, (task, axes) in enumerate(zip(tasks, panels, strict=True)):
        for height, row in enumerate(rows):
            dots(axes, row.values(task), height, number)
        axes.set(title=task, xlabel="MAE of ELF", yticks=range(len(rows)), yticklabels=[row.label for row in rows])
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="x", linewidth=0.4, color="0.85")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    return figure


def seeds(record: Record, rows: Sequence[RowRuns]) -> Figure:
    """Every seed's error over the median, with the band of 10 %."""
    figure = Figure(figsize=(4.0, 2.8), layout="constrained")
    axes = figure.add_subplot()
    for number, task in enumerate(record["tasks"]):
        values = rows[0].values(task)
        found = spread(values)
        label = f"{task}: {found.median:.4f}, {found.outside} of {found.seeds} outside"
        style = marks(number) | {"markersize": 3.5, "linestyle": ""}
        axes.plot([run["seed"] for run in rows[0].runs], np.array(values) / found.median, label=label, **style)
    axes.axhspan(1 - STABLE, 1 + STABLE, color="0.92", zorder=0)
    axes.set(xlabel="seed", ylabel="MAE over its median")
    return legend(figure, axes)


def learning_curves(records: Sequence[Record]) -> Figure | None:
    """All families in one picture: a panel for each task and kind of curve; None where there is nothing to draw."""
    families = [
        record for record in records if record["split"] == "val" and any(map(partial(curve_of, record), CURVES))
    ]
    curves = [curve for curve in CURVES if any(curve_of(record, curve) for record in families)]
    tasks = list(dict.fromkeys(task for record in families for task in record["tasks"]))
    if not families:
        return None
    figure = Figure(figsize=(3.2 * len(curves), 1.9 * len(tasks) + 0.5), layout="constrained")
    panels = figure.subplots(len(tasks), len(curves), squeeze=False, sharey="row", sharex="col")
    for (row, column), axes in np.ndenumerate(panels):
        draw_families(axes, families, tasks[row], curves[column])
        axes.set(title=tasks[row] if column == 0 else "", ylabel="MAE of ELF" if column == 0 else "", yscale="log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(ScalarFormatter())
        axes.label_outer()
    named = max(panels.ravel(), key=lambda axes: len(axes.get_legend_handles_labels()[0]))
    return legend(figure, named)


def curve_of(record: Record, curve: str) -> list[RowRuns]:
    """The rows along a learning curve that something was run of."""
    return [row for row in row_runs(record) if curve in record["axes"] and curve in row.at and row.runs]


def draw_families(axes: Axes, families: Sequence[Record], task: str, curve: str) -> None:
    """One panel: error against structures or points, a line for each family."""
    values: list[float] = []
    for number, record in enumerate(families):
        rows = curve_of(record, curve)
        if rows and task in record["tasks"]:
            line(axes, points_of(rows, curve, task), number, record["study"].removeprefix(PREFIX))
            values += [row.at[curve] for row in rows]
            scale(axes, {**record["axes"][curve], "log": True}, values)


def draw_learning_curves(results: Path, folder: Path) -> Path | None:
    """The common picture from all records that are there."""
    records = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    with rc_context(rc=STYLE):
        figure = learning_curves(records)
        if figure is None:
            return None
        save(figure, folder / "learning-curves.png")
    return folder / "learning-curves.png"


def line(axes: Axes, points: Points, number: int, label: str) -> None:
    """Means with bars over seeds, single seeds as dots."""
    if not points:
        return
    x = [value for value, _ in points]
    found = [spread(values) for _, values in points]
    bars = [0.0 if np.isnan(s.std) else s.std for s in found]
    style = marks(number) | {"linestyle": DASHES[number % len(DASHES)], "linewidth": 1.1, "capsize": 1.5}
    axes.errorbar(x, [s.mean for s in found], bars, label=label, markersize=3, **style)
    for value, values in points:
        if len(values) > 1:
            axes.plot([value] * len(values), values, ".", color=style["color"], alpha=0.4, markersize=2.5)


def marks(number: int) -> dict[str, Any]:
    """Colour and marker; both together differ for the first 30 lines."""
    turn = number // len(COLOURS)
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[(number + turn) % len(MARKERS)]}


def dots(axes: Axes, values: Sequence[float], height: int, number: int) -> None:
    """Seeds of one row with their mean and standard deviation."""
    if values:
        found = spread(values)
        bar = 0.0 if np.isnan(found.std) else found.std
        style = marks(number) | {"capsize": 2, "markersize": 4, "linestyle": ""}
        axes.errorbar([found.mean], [height], xerr=[bar], **style)
        axes.plot(values, [height] * len(values), ".", color=style["color"], alpha=0.4, markersize=3)


def scale(axes: Axes, axis: Mapping[str, Any], values: Sequence[float]) -> None:
    """Title and ticks at the scanned values, as far as they have room; logarithmic where the axis says so."""
    axes.set_xlabel(axis["title"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xscale("log" if axis["log"] else "linear")
    ticks = sorted(set(values))
    if axis["log"] and ticks:  # no two closer than a sixth of the picture
        apart = (ticks[-1] / ticks[0]) ** (1 / 6)
        kept = ticks[:1]
        for value in ticks[1:]:
            kept += [value] * (value >= apart * kept[-1])
        ticks = kept
    axes.set_xticks(ticks, [f"{v / 1000:g}k" if v >= 10_000 else f"{v:g}" for v in ticks])
    axes.minorticks_off()


def legend(figure: Figure, axes: Axes) -> Figure:
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    room = figure.get_figwidth() / (0.5 + 0.07 * max(map(len, labels), default=1))  # inches
    columns = max(1, min(len(labels), int(room)))
    figure.legend(handles, labels, frameon=False, fontsize=7, loc="outside upper center", ncols=columns)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="all that have a record by default")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.studies or sorted(path.stem for path in args.results.glob("*.json")):
        for path in draw(json.loads((args.results / f"{name}.json").read_text()), args.out):
            print(path)
    print(draw_learning_curves(args.results, args.out) or "no learning curves yet")


if __name__ == "__main__":
    main()
