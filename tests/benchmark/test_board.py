"""Records side by side."""

from __future__ import annotations

import json

import pytest

from elfzoo.benchmark.board import board, comparison, tables
from elfzoo.errors import ElfzooError, UnknownNameError


def record(model: str, maes: list[float], task: str = "fluid-h", **metrics: float) -> dict:
    mean = sum(maes) / len(maes)
    rows = [{"file": f"{i}.npz", "voxels": {"mae": mae}} for i, mae in enumerate(maes)]
    return {
        "model": model,
        "task": task,
        "split": "test",
        "data_sha256": "0" * 64,
        "metrics": {"mae": mean, **metrics},
        "structures": rows,
    }


def test_the_board_is_sorted_by_error_within_each_task_and_holds_no_structures() -> None:
    records = [record("a", [0.3]), record("b", [0.1]), record("a", [0.2], "metals"), record("c", [0.2])]
    found = board(records)
    assert [(r["task"], r["model"]) for r in found] == [
        *(("fluid-h", name) for name in ("b", "c", "a")),
        ("metals", "a"),
    ]
    assert all("structures" not in r for r in found)
    assert json.loads(json.dumps(found)) == found


def test_tables_leave_no_figure_out_and_mark_what_is_missing() -> None:
    lines = tables([record("long-name", [0.02], phi_mae=0.0123), record("b", [0.01])])
    assert lines[0] == "fluid-h" and "φ MAE" in lines[1] and "R²" not in lines[1]
    assert lines[2].split() == ["b", "0.0100", "-"] and lines[3].split() == ["long-name", "0.0200", "0.0123"]
    assert len({len(line) for line in lines[1:]}) == 1


def test_a_comparison_is_paired() -> None:
    a, b = record("a", [0.01, 0.02, 0.03]), record("b", [0.02, 0.04, 0.06])
    (line,) = comparison([a, b], "a", "b")
    assert "ratio 0.500 (0.500 to 0.500), 3 structures" in line  # what is hard for both cancels


def test_what_cannot_be_compared_is_said() -> None:
    a, b = record("alpha", [0.1]), record("beta", [0.1], "metals")
    with pytest.raises(UnknownNameError, match="did you mean alpha"):
        comparison([a, b], "alpa", "beta")
    with pytest.raises(ElfzooError, match="no task has records of both"):
        comparison([a, b], "alpha", "beta")
    with pytest.raises(ElfzooError, match="different data"):
        comparison([a, record("beta", [0.1]) | {"data_sha256": "1"}], "alpha", "beta")
