"""Numbers of a study's record: means and spreads over seeds, intervals against the reference row, Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from card_tables import NOT_MEASURED, table

from elfzoo.analysis import Interval, paired_bootstrap

__all__ = ["RowRuns", "Spread", "markdown", "mean_std", "one_line", "ratio", "row_runs", "spread"]

Record = Mapping[str, Any]
STABLE = 0.10  # of the median; a seed further off counts as an outlier
TITLES = {"mae": "MAE", "rmse": "RMSE", "r2": "R²", "mae_outside_cores": "MAE outside cores"}


@dataclass(frozen=True)
class RowRuns:
    """A row of a study with what was run of it.

    Args:
        label: of the row.
        at: values on the axes.
        runs: that ended well, by seed.
        failed: reasons of those that did not, each once.
    """

    label: str
    at: Mapping[str, Any]
    runs: Sequence[Record]
    failed: Sequence[str]

    def values(self, task: str, metric: str = "mae") -> list[float]:
        """Mean over the structures of a task, one number per seed where it is defined."""
        return [v for run in self.runs if (v := run["metrics"][task][metric]) is not None]

    def per_structure(self, task: str) -> np.ndarray:
        """(seeds, structures) MAE."""
        return np.array([run["errors"][task]["mae"] for run in self.runs])


@dataclass(frozen=True)
class Spread:
    """How a number varies between seeds; ``outside``: seeds further than 10 % from the median."""

    seeds: int
    mean: float
    std: float
    low: float
    median: float
    high: float
    outside: int


def row_runs(record: Record) -> list[RowRuns]:
    """The rows that something was run of, in the order of the study."""
    found = []
    for row in record["rows"]:
        own = [run for run in record["runs"] if run["config_sha256"] == row["config_sha256"]]
        ended = sorted((run for run in own if "failed" not in run), key=lambda run: run["seed"])
        if own:
            reasons = dict.fromkeys(run["failed"] for run in own if "failed" in run)
            found.append(RowRuns(row["label"], row["at"], ended, tuple(reasons)))
    return found


def reference_row(record: Record) -> RowRuns | None:
    """The row that the others are compared with, where it was run."""
    rows = [row for row in row_runs(record) if row.label == record["reference"] and row.runs]
    return rows[0] if rows else None


def spread(values: Sequence[float]) -> Spread:
    """Statistics over seeds; the standard deviation is that of a sample, nan for a single seed."""
    x = np.asarray(values, dtype=float)
    median = float(np.median(x))
    std = float(x.std(ddof=1)) if x.size > 1 else float("nan")
    outside = int((np.abs(x - median) > STABLE * abs(median)).sum())
    return Spread(x.size, float(x.mean()), std, float(x.min()), median, float(x.max()), outside)


def ratio(row: RowRuns, reference: RowRuns, task: str) -> Interval:
    """MAE of a row over the reference's: each structure's mean over seeds, structures resampled in pairs."""
    ours, theirs = (r.per_structure(task).mean(axis=0) for r in (row, reference))
    return paired_bootstrap(ours, theirs).ratio


def mean_std(values: Sequence[float], digits: int = 4) -> str:
    """Mean ± standard deviation over seeds."""
    if not values:
        return "-"
    found = spread(values)
    text = f"{found.mean:.{digits}f}"
    return text if found.seeds == 1 else f"{text} ± {found.std:.{digits}f}"


def markdown(records: Sequence[Record], full: bool = False) -> str:
    """What one study found, or several with the same rows side by side.

    Args:
        records: of the studies.
        full: also RMSE, size and speed.
    """
    if not any(row_runs(record) for record in records):
        return f"{NOT_MEASURED}\n"
    blocks = [main_table(records, full)]
    blocks += [spread_table(record) for record in records if len(record["rows"]) == 1]
    if any(len(record["rows"]) > 1 for record in records):
        blocks.append(ratio_table(records))
    notes = [f"- {row.label}: {reason}" for record in records for row in row_runs(record) for reason in row.failed]
    if len({run["code_sha256"] for record in records for run in record["runs"]}) > 1:
        notes.append("- The runs are of more than one state of elfzoo's code.")
    return (
        "\n\n".join(
            "\n".join(block) for block in (*blocks, notes, [" ".join(dict.fromkeys(map(conditions, records)))]) if block
        )
        + "\n"
    )


def main_table(records: Sequence[Record], full: bool) -> list[str]:
    """A line for each configuration: seeds and errors on each task of each study."""
    metrics = tuple(TITLES) if full else ("mae", "r2", "mae_outside_cores")
    columns = [_columns(record, metrics) + (_worst(record) + _costs() if full else []) for record in records]
    lines = []
    for label, rows in joined(records):
        seeds = "/".join(dict.fromkeys(str(len(row.runs)) for row in rows if row is not None))
        cells = [cell(row) if row else "" for row, part in zip(rows, columns, strict=True) for _, cell in part]
        lines.append([label, seeds, *cells])
    return table(["", "seeds", *(title for part in columns for title, _ in part)], lines)


def joined(records: Sequence[Record]) -> list[tuple[str, list[RowRuns | None]]]:
    """For each label the row of every study, None where it has none."""
    parts = [{row.label: row for row in row_runs(record)} for record in records]
    labels = dict.fromkeys(label for part in parts for label in part)
    return [(label, [part.get(label) for part in parts]) for label in labels]


def ratio_table(records: Sequence[Record]) -> list[str]:
    """MAE over that of the reference row, with 95 % intervals over structures."""
    references = [reference_row(record) for record in records]
    tasks = [(number, task) for number, record in enumerate(records) for task in record["tasks"]]
    lines = []
    for label, rows in joined(records):
        pairs = [(rows[number], references[number], task) for number, task in tasks]
        cells = [_interval(row, reference, task) for row, reference, task in pairs]
        if any(cells):
            lines.append([label, *cells])
    names = " and ".join(dict.fromkeys(record["reference"] for record in records))
    head = [f"MAE over that of {names}", *(task for _, task in tasks)]
    return table(head, lines) if lines else []


def spread_table(record: Record) -> list[str]:
    """How the figures of one configuration vary between seeds, as in the paper's stability test (supplement S4)."""
    row = row_runs(record)[0]
    if len(row.runs) < 2:
        return []
    lines = []
    for task in record["tasks"]:
        for metric in ("mae", "rmse", "r2"):
            found = spread(row.values(task, metric))
            numbers = (found.mean, found.std, found.low, found.median, found.high)
            digits = (5, 6, 5, 5, 5)
            texts = [f"{x:.{n}f}" for x, n in zip(numbers, digits, strict=True)]
            lines.append([f"{task}, {TITLES[metric]}", str(found.seeds), *texts, str(found.outside)])
        errors = row.per_structure(task)
        seeds, structures = errors.std(axis=0, ddof=1).mean(), errors.mean(axis=0).std(ddof=1)
        lines.append([f"{task}, MAE of one structure: seeds / structures", "", "", f"{seeds:.6f} / {structures:.6f}"])
        lines[-1] += [""] * 4
    head = ["between seeds", "seeds", "mean", "standard deviation", "lowest", "median", "highest"]
    return table([*head, f"more than {STABLE:.0%} from the median".replace("%", " %")], lines)


def conditions(record: Record) -> str:
    """What the errors are over, in a sentence."""
    voxels = record["voxels"]
    where = "all voxels" if voxels is None else f"{voxels:,} uniformly drawn voxels".replace(",", " ")
    return f"Over {where} of each structure, then over the structures of the **{record['split']}** split."


def one_line(run: Record) -> str:
    """A run for the terminal."""
    if "failed" in run:
        return f"failed: {run['failed']}"
    errors = ", ".join(f"{task} {found['mae']:.4f}" for task, found in run["metrics"].items())
    return f"MAE {errors}; {run['parameters']:,} weights, trained in {run['train_seconds']:.0f} s"


def _columns(record: Record, metrics: Sequence[str]) -> list[tuple[str, Callable[[RowRuns], str]]]:
    """Title and cell of each task and metric that anything was measured of."""
    found: list[tuple[str, Callable[[RowRuns], str]]] = []
    for task in record["tasks"]:
        for metric in metrics:
            if any(row.values(task, metric) for row in row_runs(record)):
                found.append((f"{task}, {TITLES[metric]}", _cell(task, metric)))
    if any("seen" in run for run in record["runs"]):
        found.append(("structures trained on, MAE", lambda row: mean_std([run["seen"]["mae"] for run in row.runs])))
    return found


def _cell(task: str, metric: str) -> Callable[[RowRuns], str]:
    return lambda row: mean_std(row.values(task, metric))


def _worst(record: Record) -> list[tuple[str, Callable[[RowRuns], str]]]:
    """MAE of the structure that is predicted worst, mean over seeds."""

    def cell(task: str) -> Callable[[RowRuns], str]:
        return lambda row: f"{row.per_structure(task).mean(axis=0).max():.4f}" if row.runs else "-"

    return [(f"{task}, highest MAE", cell(task)) for task in record["tasks"]]


def _costs() -> list[tuple[str, Callable[[RowRuns], str]]]:
    """Size, training time and speed of prediction (of all tasks together), means over seeds."""

    def mean(row: RowRuns, value: Callable[[Record], float]) -> str:
        return f"{np.mean([value(run) for run in row.runs]):,.0f}".replace(",", " ") if row.runs else "-"

    return [
        ("weights", lambda row: mean(row, lambda run: run["parameters"])),
        ("training, s", lambda row: mean(row, lambda run: run["train_seconds"])),
        ("points/s", lambda row: mean(row, lambda run: np.mean(list(run["points_per_second"].values())))),
    ]


def _interval(row: RowRuns | None, reference: RowRuns | None, task: str) -> str:
    if row is None or reference is None or not row.runs or row.runs == reference.runs:
        return ""
    found = ratio(row, reference, task)
    return f"{found.estimate:.3f} ({found.low:.3f} to {found.high:.3f})"
