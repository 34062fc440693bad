"""The table of few shots, from its records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elfzoo.benchmark import board, find_task, read_records

__all__ = ["few_shot"]

RESULTS = Path(__file__).parent / "results"


def few_shot(name: str | None) -> str:
    """What a few structures of a new kind bring, by model and number of them; of one release, or of all."""
    task, lines = find_task("hydrides-few-shot"), []
    for record in board(read_records(RESULTS, ["hydrides-few-shot"])):
        if name in (None, record["model"]):
            lines += few_shot_rows(record["model"], record["metrics"], task.shots, task.remembered)
    if not lines:
        return "*No record yet: `elfzoo benchmark -m NAME -t hydrides-few-shot` makes one.*\n"
    head = "shown | MAE outside cores | known elements | others | trained on these alone | their mean | "
    head += "lower than alone (95 % interval) | lower than the mean (95 % interval) | MAE of φ | "
    head += " | ".join(f"{data} forgotten" for data in task.remembered)
    return "\n".join([f"| model | {head} |", "|---" * (10 + len(task.remembered)) + "|", *lines]) + "\n"


def few_shot_rows(model: str, m: dict[str, float], shots: Sequence[int], remembered: Sequence[str]) -> list[str]:
    """A row for each number of shots, none first; empty where something was not measured."""

    def cell(name: str, form: str = "{:.4f}") -> str:
        return form.format(m[name]) if name in m else ""

    def lower(name: str) -> str:
        return f"{m[name]:.4f} ({m[f'{name}_low']:.4f} to {m[f'{name}_high']:.4f})" if name in m else ""

    rows = []
    for n in (0, *shots):
        errors = [cell(f"mae_outside_cores_{kind}{n}") for kind in ("", "known_", "unknown_", "scratch_", "mean_")]
        rest = [lower(f"below_{kind}_{n}") for kind in ("scratch", "mean")] + [cell(f"phi_mae_{n}", "{:.3f}")]
        rest += [cell(f"forgetting_{name}_{n}", "{:+.1%}") for name in remembered]
        rows.append(f"| {'' if n else f'`{model}`'} | {n} | {' | '.join(errors + rest)} |")
    return rows
