"""The table at the top of README: what each release errs in each task, and how long it takes, a line each."""

from __future__ import annotations

from pathlib import Path

import elfzoo
from elfzoo.benchmark import read_records
from elfzoo.benchmark.board import Record, is_hybrid

RESULTS = Path(__file__).parent / "results"
HYDROGEN = ("fluid-h", "crystal-h-cubic", "crystal-h-hexagonal")
SOLIDS = ("hydrides-zero-shot", "metals")


def summary(_: str | None) -> str:
    """Releases by their error in cubic crystals or, without one, in hydrides; those that diagonalise last."""
    tasks = [*HYDROGEN, *SOLIDS, "speed"]
    found: dict[str, dict[str, Record]] = {name: {} for name in elfzoo.list_pretrained()}
    for record in read_records(RESULTS, tasks):
        found.get(record["model"], {})[record["task"]] = record
    lines = [
        "| release | fluid | cubic | hexagonal | MAE of φ in these | hydrides | metals | MAE of φ in these | seconds |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, records in sorted(((n, r) for n, r in found.items() if r), key=_place):
        mark = " (‡)" * any(map(is_hybrid, records.values()))
        lines.append(f"| `{name}`{mark} | {' | '.join(_cells(records))} |")
    return "\n".join(lines) + "\n"


def _place(item: tuple[str, dict[str, Record]]) -> tuple[bool, bool, float]:
    _, records = item
    measured = [records[task] for task in ("crystal-h-cubic", "hydrides-zero-shot") if task in records]
    error = measured[0]["metrics"]["mae_outside_cores"] if measured else float("inf")
    return any(map(is_hybrid, records.values())), "crystal-h-cubic" not in records, error


def _cells(records: dict[str, Record]) -> list[str]:
    """Of one release; empty where it was not measured."""
    taken = records["speed"]["metrics"]["seconds_500h_192"] if "speed" in records else None
    seconds = "" if taken is None else f"{taken:,.0f}" if taken >= 100 else f"{taken:.3g}"
    cells = []
    for tasks in (HYDROGEN, SOLIDS):
        cells += [_number(records, task, "mae_outside_cores", 4) for task in tasks]
        cells.append(", ".join(filter(None, (_number(records, task, "phi_mae", 3) for task in tasks))))
    return [*cells, seconds]


def _number(records: dict[str, Record], task: str, metric: str, digits: int) -> str:
    value = records[task]["metrics"].get(metric) if task in records else None
    return "" if value is None else f"{value:.{digits}f}"
