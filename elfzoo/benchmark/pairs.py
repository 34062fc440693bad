"""Two entrants compared on the same structures: ratios of their errors with paired bootstrap intervals.

Compounds, trajectories or crystals are drawn as a whole, and for both entrants alike, so that what is hard for both
cancels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from elfzoo.benchmark.board import require_same_data
from elfzoo.benchmark.few_shot_metrics import compounds, errors_by_structure
from elfzoo.benchmark.resampling import clusters_of, interval_of_ratio
from elfzoo.errors import ElfzooError, UnknownNameError

__all__ = ["comparison"]

Record = Mapping[str, Any]
Row = Mapping[str, Any]
SHOTS = 8  # of which entrants are compared that were shown some structures
FEW_SHOT = f"MAE outside cores, {SHOTS} shots"


def comparison(records: Iterable[Record], first: str, second: str) -> list[str]:
    """Ratios of the errors of two entrants with 95 % intervals, a line for each error that both have on a task.

    Of few shots it is the error after eight structures, mean over seeds. Tasks without an error of each structure, such
    as speed, are left out.

    Raises:
        UnknownNameError: an entrant without records.
        ElfzooError: no task is left, or their records are of different data.
    """
    found = list(records)
    for name in (first, second):
        if name not in (known := {record["model"] for record in found}):
            raise UnknownNameError("entrant with records", name, known)
    lines: list[str] = []
    for task in dict.fromkeys(record["task"] for record in found):
        both = [r for name in (first, second) for r in found if (r["task"], r["model"]) == (task, name)]
        if len(both) == 2:
            require_same_data(both)
            errors = [_errors(record) for record in both]
            lines += [f"{task}: {line}" for line in _lines(errors[0], errors[1], _clusters(both[0]))]
    if not lines:
        raise ElfzooError(f"no task has records of both {first} and {second} with the errors of each structure")
    return lines


def _lines(
    first: Mapping[str, Sequence[Any]], second: Mapping[str, Sequence[Any]], clusters: Sequence[str]
) -> Iterator[str]:
    """Of the structures for which both have an error."""
    for title in first:
        triples = zip(first[title], second.get(title, [None] * len(clusters)), clusters, strict=True)
        pairs = [triple for triple in triples if None not in triple]
        if not pairs:
            continue
        a, b = (np.array([pair[side] for pair in pairs], float) for side in (0, 1))
        interval = "no ratio"
        if b.any():
            low, high = interval_of_ratio(a, b, [cluster for _, _, cluster in pairs])
            ends = "" if np.isnan(low) else f" ({low:.3f} to {high:.3f})"
            interval = f"ratio {a.mean() / b.mean():.3f}{ends}"
        count = f"{len(pairs)} structure{'s' * (len(pairs) > 1)}"
        yield f"{title} {a.mean():.4f} against {b.mean():.4f}, {interval}, {count}"


def _errors(record: Record) -> dict[str, list[float | None]]:
    """By what they are of, the errors of each structure; None where it has none."""
    rows = record.get("structures", ())
    if runs := _runs(rows):
        return _after_shots(runs)
    found = {title: [error(row) for row in rows] for title, error in PAIRED.items()}
    if found["MAE outside cores"] == found["MAE"]:  # without metal cores everything is outside of them
        del found["MAE outside cores"]
    return {title: errors for title, errors in found.items() if any(error is not None for error in errors)}


def _clusters(record: Record) -> list[str]:
    """What is drawn as a whole, of each structure."""
    rows = record.get("structures", ())
    return compounds(_runs(rows)) if _runs(rows) else clusters_of(rows)


def _runs(rows: Sequence[Row]) -> list[Row]:
    """Of few shots; none of other tasks."""
    return [row["few_shot"] for row in rows if "few_shot" in row]


def _after_shots(runs: Sequence[Row]) -> dict[str, list[float | None]]:
    if not any((run["kind"], run["shots"]) == ("tuned", SHOTS) for run in runs):
        return {}
    return {FEW_SHOT: [float(error) for error in errors_by_structure(runs, "tuned", SHOTS)]}


def _value(row: Any, *keys: str) -> float | None:
    """What lies under nested keys; None where one is missing."""
    for key in keys:
        row = row.get(key) if isinstance(row, Mapping) else None
    return row


def _lost(share: float | None) -> float | None:
    return None if share is None else 1 - share


def _strength(row: Row) -> float | None:
    ours, theirs = (_value(row, "templates", side, "strength") for side in ("reference", "prediction"))
    return None if ours is None or theirs is None else abs(theirs - ours)


def _phi(row: Row) -> float | None:
    delta = _value(row, "topology", "delta", "phi_3d")
    return None if delta is None else abs(delta)


PAIRED: Mapping[str, Callable[[Row], float | None]] = {
    "MAE": lambda row: _value(row, "voxels", "mae"),
    "RMSE": lambda row: _value(row, "voxels", "rmse"),
    "MAE outside cores": lambda row: _value(row, "profile", "outside_cores", "mae"),
    "φ MAE": _phi,
    "points not found": lambda row: _lost(_value(row, "topology", "points", "all", "recall")),
    "points not real": lambda row: _lost(_value(row, "topology", "points", "all", "precision")),
    "links not shared": lambda row: _lost(_value(row, "topology", "jaccard_at_phi")),
    "MAE of strength": _strength,
}
