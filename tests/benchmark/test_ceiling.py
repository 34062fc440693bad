"""What two DFT codes leave between them, by task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from elfzoo.benchmark.board import tables
from elfzoo.benchmark.ceiling import RECORD, ceilings
from elfzoo.benchmark.record import CHECKOUT_RESULTS
from elfzoo.benchmark.task import find_task, list_tasks
from elfzoo.errors import ElfzooError

TASKS = {name: find_task(name) for name in list_tasks()}


def row(recipe: str, structure: str, whole: float, outside: float | None, phi: float) -> dict[str, Any]:
    cores = None if outside is None else {"mae": outside}
    values = {"whole": {"mae": whole}, "outside_cores": cores, "delta_phi": phi}
    return {"recipe": recipe, "structure": structure, "comparisons": {"as labelled": values}}


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    (folder / RECORD).parent.mkdir(parents=True)
    (folder / RECORD).write_text(json.dumps({"engines": {"a": "A 1", "b": "B 2"}, "structures": rows}))
    return folder


def test_a_sentence_for_each_task_of_fields(tmp_path: Path) -> None:
    rows = [
        row("crystal-h", "cubic_000", 0.001, None, -0.002),
        row("crystal-h", "cubic_001", 0.003, None, 0.004),
        row("hydrides", "H3S", 0.02, 0.0015, 0.05),
        {"recipe": "hydrides", "structure": "MgH2", "not_compared": "no pseudopotential"},
    ]
    found = ceilings(written(tmp_path, rows), TASKS)
    assert found["crystal-h-cubic"] == (
        "Ceiling: A 1 and B 2 differ by an MAE of 0.0020 (0.0010 to 0.0030) and by 0.003 in φ, on 2 structures of this "
        "kind."
    )
    assert "0.0015 outside cores and by 0.050 in φ, on 1 structure of" in found["hydrides-zero-shot"]
    assert found["crystal-h-hexagonal"].startswith("Ceiling: not measured")
    assert not {"speed", "template-ranking", "hydrides-few-shot"} & set(found)
    record = {"model": "m", "task": "crystal-h-cubic", "data_sha256": "0", "metrics": {"mae": 0.1}, "structures": []}
    assert found["crystal-h-cubic"] in tables([record], found)


def test_no_record_is_no_ceiling_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    assert ceilings(tmp_path, TASKS) == {}
    (written(tmp_path, []) / RECORD).write_text('{"engines": []}')
    with pytest.raises(ElfzooError, match="is no record of two engines"):
        ceilings(tmp_path, TASKS)


def test_the_record_of_the_repository_is_below_every_model() -> None:
    record = json.loads((CHECKOUT_RESULTS / RECORD).read_text())
    errors = [
        r["comparisons"]["as labelled"]["whole"]["mae"] for r in record["structures"] if r["recipe"] == "crystal-h"
    ]
    found = [json.loads(path.read_text()) for path in (CHECKOUT_RESULTS / "crystal-h-cubic").glob("*.json")]
    assert errors and max(errors) < min(r["metrics"]["mae"] for r in found)
