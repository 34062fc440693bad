"""The ceiling of a board: by how much two DFT codes differ on structures of its kind. Below it no gain is real.

The record is that of ``benchmarks/two_engines.py``, in the folder of the records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elfzoo.benchmark.task import AnyTask, Task
from elfzoo.errors import ElfzooError

__all__ = ["RECORD", "ceilings"]

RECORD = Path("reference") / "two-engines.json"
AS_LABELLED = "as labelled"  # each code with the low-pass of its own recipe


def ceilings(results: Path, tasks: Mapping[str, AnyTask]) -> dict[str, str]:
    """By task, a sentence; of tasks none of whose structures two codes have labelled, that this is so.

    Args:
        results: folder of the records.
        tasks: by name; those that are not of fields have no ceiling.

    Raises:
        ElfzooError: a damaged record.
    """
    path = results / RECORD
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        engines = " and ".join(found["engines"].values())
        rows = [row for row in found["structures"] if "comparisons" in row]
        own = {name: _rows(task, rows) for name, task in tasks.items() if isinstance(task, Task) and _of_fields(task)}
        return {name: _sentence(engines, of_task) for name, of_task in own.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ElfzooError(f"{path} is no record of two engines: {error!r}") from None


def _of_fields(task: Task) -> bool:
    """Whether errors of ELF are measured; templates are ranked."""
    return "voxels" in task.parts


def _rows(task: Task, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of structures of the task's kind, whatever their split: no code was trained on any."""
    return [row for row in rows if row["recipe"] == task.dataset and row["structure"].startswith(task.starts_with)]


def _sentence(engines: str, rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return f"Ceiling: not measured; no structure of this kind has been labelled by both {engines}."
    compared = [row["comparisons"][AS_LABELLED] for row in rows]
    cores = [values["outside_cores"] for values in compared if values["outside_cores"]]
    errors = [values["mae"] for values in cores or [values["whole"] for values in compared]]
    phi = float(np.mean([abs(values["delta_phi"]) for values in compared]))
    count = f"{len(rows)} structure{'' if len(rows) == 1 else 's'}"
    between = f" ({min(errors):.4f} to {max(errors):.4f})" if len(errors) > 1 else ""
    return (
        f"Ceiling: {engines} differ by an MAE of {np.mean(errors):.4f}{' outside cores' if cores else ''}{between} "
        f"and by {phi:.3f} in φ, on {count} of this kind."
    )
