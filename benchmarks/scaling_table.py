"""What ``benchmarks/scaling.py`` found: exponents, tables in Markdown, and the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

FIGURE = Path(__file__).parent / "figures" / "scaling.png"
ABSENT = "*No record yet: `python benchmarks/scaling.py` makes it.*"
Row = Mapping[str, Any]
Rows = Sequence[Row]


def exponent(rows: Rows, against: str) -> float | None:
    """Slope of log seconds against the logarithm of a size, by least squares; None of fewer than three sizes."""
    sizes, seconds = (np.array([row[key] for row in rows], float) for key in (against, "seconds"))
    if len(set(sizes)) < 3:
        return None
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def series(record: Row, name: str) -> dict[str, list[Row]]:
    """Entries of each model in ``"atoms"`` (one density, one spacing) or ``"points"`` (one cell), smallest first."""
    wanted = [tuple(size) for size in record["series"][name]]
    found: dict[str, list[Row]] = {}
    for row in sorted(record["entries"], key=lambda row: (row["model"], row["atoms"], row["points"])):
        if (row["atoms"], row["points"]) in wanted:
            found.setdefault(row["model"], []).append(row)
    return found


def table(record: Row | None) -> list[str]:
    """Everything in Markdown; a sentence where nothing was measured."""
    if not record:
        return [ABSENT]
    lines = _hardware(record)
    if record["entries"]:
        lines += ["", *_atoms(record), "", *_points(record), "", *_reasons(record)]
        lines += ["", f"~: extrapolated from a part of the grid. Picture: `benchmarks/figures/{FIGURE.name}`."]
    return lines + _frames(record)


def _hardware(record: Row) -> list[str]:
    versions = record["versions"]
    return [
        f"Measured on {versions['hardware']}; elfzoo {versions['elfzoo']}, torch {versions['torch']}, {record['date']}."
    ]


def _atoms(record: Row) -> list[str]:
    """Seconds by atoms, the exponent of their growth, memory of the smallest and the largest cell."""
    sizes = record["series"]["atoms"]
    heads = "".join(f" {atoms} H, {points}³ |" for atoms, points in sizes)
    lines = [f"| seconds |{heads} exponent | GiB added |", "|---" + "|--:" * (len(sizes) + 2) + "|"]
    for model, rows in series(record, "atoms").items():
        done = [row for row in rows if "seconds" in row]
        cells = _cells(rows, sizes, lambda row: f"{row['seconds']:.3g}")
        lines.append(f"| `{model}` | {cells} | {_number(exponent(done, 'atoms'))} | {_memory(done)} |")
    return lines


def _points(record: Row) -> list[str]:
    """Points per second by the grid's size."""
    sizes = record["series"]["points"]
    heads = "".join(f" {points}³ |" for _, points in sizes)
    lines = [f"| points per second, {sizes[0][0]} H |{heads} GiB added |", "|---" + "|--:" * (len(sizes) + 1) + "|"]
    for model, rows in series(record, "points").items():
        cells = _cells(rows, sizes, lambda row: f"{row['voxels_per_second']:,.0f}")
        lines.append(f"| `{model}` | {cells} | {_memory([row for row in rows if 'seconds' in row])} |")
    return lines


def _cells(rows: Rows, sizes: Sequence[Sequence[int]], text: Callable[[Row], str]) -> str:
    by_size = {(row["atoms"], row["points"]): row for row in rows}
    return " | ".join(_cell(by_size.get((atoms, points)), text) for atoms, points in sizes)


def _cell(row: Row | None, text: Callable[[Row], str]) -> str:
    if row is None:
        return ""
    if "seconds" not in row:
        return "-"
    return ("~ " if row["share_timed"] < 1 else "") + text(row)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _memory(rows: Rows) -> str:
    """Of the smallest job and of the largest."""
    found = [f"{row['added_gib']:.2f}" for row in rows]
    return "" if not found else found[0] if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _reasons(record: Row) -> list[str]:
    """Why there is no figure."""
    rows = [row for row in record["entries"] if "reason" in row]
    if not rows:
        return ["No model refused a size."]
    lines = ["| no figure | atoms | points | why |", "|---|--:|--:|---|"]
    return lines + [
        f"| `{row['model']}` | {row['atoms']} | {row['points']}³ | {row['reason'].replace('|', '/')} |" for row in rows
    ]


def _frames(record: Row) -> list[str]:
    """Single frames, streamed to a file."""
    lines = []
    for row in record["frames"]:
        where = f"One frame of {row['atoms']} atoms on {row['points']}³ points by `{row['model']}`"
        if "reason" in row:
            lines += ["", f"{where}: no result.", "", "| why |", "|---|", f"| {row['reason']} |"]
            continue
        lines += [
            "",
            f"{where}, streamed to a file:",
            f"{row['seconds']:.1f} s, peak resident memory of the whole process {row['peak_rss_gib']:.2f} GiB, file "
            f"{row['file_mib']:.0f} MiB.",
        ]
    return lines


def draw(record: Row, path: Path = FIGURE) -> Path:
    """Seconds against atoms, points per second against points, memory against points; hollow: extrapolated."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
    panels = (
        ("atoms", "atoms", "seconds", "atoms at one density"),
        ("points", "points", "voxels_per_second", "points along each edge"),
        ("atoms", "atoms", "added_gib", "atoms at one density"),
    )
    titles = ("seconds", "points per second", "GiB that a prediction adds")
    for axis, (name, x, y, label), title in zip(axes, panels, titles, strict=True):
        _panel(axis, series(record, name), x, y)
        axis.set(xscale="log", yscale="log", xlabel=label, title=title)
    _slope(axes[0], series(record, "atoms"))
    axes[0].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _panel(axis: Any, models: Mapping[str, Rows], x: str, y: str) -> None:
    for number, (model, rows) in enumerate(models.items()):
        done = [row for row in rows if "seconds" in row and row[y] > 0]
        colour = f"C{number}"
        axis.plot([row[x] for row in done], [row[y] for row in done], "-", color=colour, lw=1, label=model)
        for row in done:
            whole = row["share_timed"] == 1
            axis.plot(row[x], row[y], "o", ms=5, color=colour, mfc=colour if whole else "white")


def _slope(axis: Any, models: Mapping[str, Rows]) -> None:
    """A line of exponent 1 through the fastest model's smallest cell."""
    first = [rows[0] for rows in models.values() if "seconds" in rows[0]]
    if not first:
        return
    start, end = (
        min(first, key=lambda row: row["seconds"]),
        max(row["atoms"] for rows in models.values() for row in rows),
    )
    line = np.array([start["atoms"], end], float)
    axis.plot(line, start["seconds"] * line / line[0], "--", color="0.6", lw=1, label="exponent 1")
