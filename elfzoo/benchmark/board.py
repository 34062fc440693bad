"""Records side by side: the leaderboard as JSON values and as text, and two entrants compared in pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from elfzoo.analysis import paired_bootstrap
from elfzoo.errors import ElfzooError, UnknownNameError

__all__ = ["HEADLINES", "board", "comparison", "tables"]

Record = Mapping[str, Any]

# metric -> column of the short tables
HEADLINES = {
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "mae_outside_cores": "MAE outside cores",
    "phi_mae": "φ MAE",
    "phi_spread": "spread of φ",
    "phi_r2": "φ R²",
    "cp_recall": "points found",
    "cp_precision": "points real",
    "network_jaccard": "links shared",
}
KEPT = (
    *("model", "task", "split", "metrics", "groups", "cost", "entrant", "unknown_elements"),
    *("data_sha256", "weights_sha256", "date", "elfzoo", "torch", "hardware"),
)


def board(records: Iterable[Record]) -> list[dict[str, Any]]:
    """All records without their structures, best MAE first within each task."""
    kept = [{key: record[key] for key in KEPT if key in record} for record in records]
    order = list(dict.fromkeys(record["task"] for record in kept))
    return sorted(kept, key=lambda record: (order.index(record["task"]), record["metrics"].get("mae", float("inf"))))


def tables(records: Iterable[Record]) -> list[str]:
    """A table of text for each task."""
    lines: list[str] = []
    found = board(records)
    for task in dict.fromkeys(record["task"] for record in found):
        rows = [record for record in found if record["task"] == task]
        columns = {name: title for name, title in HEADLINES.items() if any(name in r["metrics"] for r in rows)}
        width = max(len(row["model"]) for row in rows) + 2
        lines += ["", task, " " * width + "".join(f"{title:>{len(title) + 3}}" for title in columns.values())]
        lines += [row["model"].ljust(width) + _cells(row["metrics"], columns) + _note(row) for row in rows]
    return lines[1:]


def comparison(records: Iterable[Record], first: str, second: str) -> list[str]:
    """Ratio of the MAE of two entrants with its 95 % interval, a line for each task that both have a record of.

    Raises:
        UnknownNameError: an entrant without records.
        ElfzooError: no task has both, or their records are of different data.
    """
    found = list(records)
    for name in (first, second):
        if name not in (known := {record["model"] for record in found}):
            raise UnknownNameError("entrant with records", name, known)
    lines = []
    for task in dict.fromkeys(record["task"] for record in found):
        both = [r for name in (first, second) for r in found if (r["task"], r["model"]) == (task, name)]
        if len(both) == 2:
            lines.append(_pair(task, both))
    if not lines:
        raise ElfzooError(f"no task has records of both {first} and {second}")
    return lines


def _pair(task: str, both: Sequence[Record]) -> str:
    if both[0]["data_sha256"] != both[1]["data_sha256"]:
        raise ElfzooError(f"the records of {both[0]['model']} and {both[1]['model']} on {task} are of different data")
    maes = [[row["voxels"]["mae"] for row in record["structures"]] for record in both]
    ratio = paired_bootstrap(maes[0], maes[1]).ratio
    means = f"MAE {both[0]['metrics']['mae']:.4f} against {both[1]['metrics']['mae']:.4f}"
    return (
        f"{task}: {means}, ratio {ratio.estimate:.3f} ({ratio.low:.3f} to {ratio.high:.3f}), {len(maes[0])} structures"
    )


def _note(row: Record) -> str:
    """Elements that the entrant never saw."""
    unknown = row.get("unknown_elements")
    return f"   never saw {', '.join(unknown)}" if unknown else ""


def _cells(metrics: Mapping[str, float], columns: Mapping[str, str]) -> str:
    texts = [f"{metrics[name]:.4f}" if name in metrics else "-" for name in columns]
    return "".join(f"{text:>{len(title) + 3}}" for text, title in zip(texts, columns.values(), strict=True))
