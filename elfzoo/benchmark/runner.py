"""Run an entrant on a task and write the record. What kinds of tasks differ in is how their rows are made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pymatgen.core import Composition

from elfzoo.benchmark.entrant import Entrant
from elfzoo.benchmark.few_shot import few_shot_rows
from elfzoo.benchmark.few_shot_kept import spent_on_diagonalisations
from elfzoo.benchmark.few_shot_task import FewShotTask
from elfzoo.benchmark.fields import field_rows
from elfzoo.benchmark.measure import json_values
from elfzoo.benchmark.plan import Benchmark
from elfzoo.benchmark.record import environment, read_record, record_path, write_json
from elfzoo.benchmark.speed import speed_rows
from elfzoo.benchmark.speed_task import SpeedTask
from elfzoo.benchmark.summary import curves, grouped, summary, without_curves
from elfzoo.benchmark.task import Task, require_split
from elfzoo.errors import ElfzooError

__all__ = ["run"]

Rows = list[dict[str, Any]]

ROWS: Mapping[type, Callable[[Benchmark, Any, int, bool | None], Rows]] = {
    Task: field_rows,
    FewShotTask: few_shot_rows,
    SpeedTask: speed_rows,
}


def run(benchmark: Benchmark, results: Path, workers: int = 1, progress: bool | None = None) -> Path:
    """Measure what is not measured yet, write the record and return its path.

    Args:
        benchmark: what to measure.
        results: folder of the records.
        workers: structures, or trainings, at a time; the cores are shared among them. What a factory makes is made
            once and predicts in this process, the others measure.
        progress: show a bar; by default in a terminal.

    Raises:
        ElfzooError: data, entrant or a prediction that cannot be had, or the record is of another entrant of this
            name; what was measured before stays.
    """
    task = benchmark.definition
    path = record_path(results, benchmark.name, benchmark.entrant.name, benchmark.split)
    _require_own_record(path, benchmark.entrant)
    rows = ROWS[type(task)](benchmark, task, workers, progress)
    found = _head(benchmark, rows) | {
        "metrics": summary(rows),
        "groups": grouped(rows),
        "cost": _cost(benchmark, rows, min(workers, len(rows))),
        "curves": curves(rows),
        "protocol": task.protocol,
        "structures": [without_curves(row) for row in rows],
    }
    write_json(path, found)
    return path


def _require_own_record(path: Path, entrant: Entrant) -> None:
    """Refuse to replace the record of something else that has the same name."""
    if not path.is_file():
        return
    before = read_record(path)["entrant"]
    if before.get("source") == entrant.facts.get("source"):
        return
    old, new = (facts.get("source_sha256") for facts in (before, entrant.facts))
    if old is None or old != new:
        sources = [facts.get("source", "a release") for facts in (before, entrant.facts)]
        raise ElfzooError(
            f"{path} is of another {entrant.name}, {sources[0]}, and would be replaced by that of {sources[1]}: give "
            "one of them another name, or remove the record"
        )


def _head(benchmark: Benchmark, rows: Rows) -> dict[str, Any]:
    """What was computed, with what, on what."""
    facts = dict(benchmark.entrant.facts)
    asked = {element.symbol for row in rows for element in Composition(row["formula"]).elements}
    return {
        "model": benchmark.entrant.name,
        "task": benchmark.name,
        "split": benchmark.split,
        "data_sha256": require_split(benchmark.definition, benchmark.split),
        "weights_sha256": facts.pop("weights_sha256", None),
        "entrant": facts,
        "unknown_elements": sorted(asked - set(facts["elements"])) if facts.get("elements") else [],
        **environment(),
    }


def _cost(benchmark: Benchmark, rows: Rows, workers: int) -> dict[str, float]:
    """Seconds summed over structures, and the largest memory of a process, measuring and engines included.

    The speed is of whoever only predicts, here and now, and with no other process on the cores.
    """
    made_first = spent_on_diagonalisations(benchmark)
    spent: Rows = [*rows, *made_first]
    total = {name: sum(row.get(name, 0.0) for row in spent) for name in ("seconds", "measuring_seconds", "cpu_seconds")}
    if made_first:
        total["diagonalising_seconds"] = sum(row["seconds"] for row in made_first)
    voxels = sum(math.prod(row["predicted_grid"]) for row in rows)
    predicts = not isinstance(benchmark.definition, FewShotTask) and benchmark.predictions is None
    speed = {"voxels_per_second": voxels / max(total["seconds"], 1e-9)} if predicts and workers == 1 else {}
    return json_values(total | speed | {"peak_rss_gib": max(row["peak_rss_gib"] for row in spent), "workers": workers})
