"""Tables and pictures of studies, on planted numbers."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import study_figures
import study_tables


def test_spread_over_seeds():
    found = study_tables.spread([1.0, 1.05, 0.95, 1.2, 0.8])
    assert (found.seeds, found.low, found.median, found.high) == (5, 0.8, 1.0, 1.2)
    assert found.mean == pytest.approx(1.0)
    assert found.std == pytest.approx(np.std([1.0, 1.05, 0.95, 1.2, 0.8], ddof=1))
    assert found.outside == 2
    assert study_tables.mean_std([0.02]) == "0.0200"
    assert study_tables.mean_std([0.01, 0.03]) == "0.0200 ± 0.0141"


def run_entry(config, seed, mae, **more):
    """A run with planted errors on two structures."""
    metrics = {"mae": float(np.mean(mae)), "rmse": 0.1, "r2": 0.9, "mae_outside_cores": None}
    errors = {name: [None, None] for name in metrics} | {"mae": list(mae)}
    facts = {"parameters": 10, "train_seconds": 1.0, "points_per_second": {"fluid-h": 100}, "code_sha256": "c"}
    return {"key": f"{config}{seed}", "config_sha256": config, "seed": seed} | facts | more | {
        "metrics": {"fluid-h": metrics}, "errors": {"fluid-h": errors},
    }  # fmt: skip


def record_of(runs, rows=("a", "b"), **more):
    """A record whose rows have the axis of structures."""
    places = [{"label": r, "at": {"structures_per_pressure": i + 1}, "config_sha256": r} for i, r in enumerate(rows)]
    head = {"study": "toy", "architecture": "grid_mlp", "reference": rows[0], "split": "val", "voxels": 2000}
    axes = {"structures_per_pressure": {"title": "snapshots", "log": True}}
    head |= {"tasks": {"fluid-h": {"title": "fluid"}}, "axes": axes, "combine": "one_at_a_time"}
    return head | {"rows": places, "runs": runs} | more


def test_tables_of_planted_numbers():
    runs = [run_entry("a", 0, (0.1, 0.3)), run_entry("a", 1, (0.3, 0.5)), run_entry("b", 0, (0.1, 0.2))]
    failed = {"key": "b1", "config_sha256": "b", "seed": 1, "failed": "ElfzooError: the loss became nan"}
    record = record_of([*runs, failed | {"code_sha256": "c"}])
    rows = study_tables.row_runs(record)
    assert [len(row.runs) for row in rows] == [2, 1]
    found = study_tables.ratio(rows[1], rows[0], "fluid-h")
    assert found.estimate == pytest.approx(0.5)
    assert (found.low, found.high) == pytest.approx((0.5, 0.5))
    text = study_tables.markdown([record])
    assert "| a | 2 | 0.3000 ± 0.1414 |" in text
    assert "| b | 0.500 (0.500 to 0.500) |" in text
    assert "- b: ElfzooError: the loss became nan" in text
    assert "Over 2 000 uniformly drawn voxels of each structure" in text
    assert "**val** split" in text
    full = study_tables.markdown([record], full=True)
    assert "| b | 1 | 0.1500 | 0.1000 | 0.9000 | 0.2000 | 10 | 1 | 100 |" in full
    assert "more than one state" in study_tables.markdown(
        [record_of([*runs, run_entry("b", 2, (1, 1), code_sha256="d")])]
    )


def test_two_studies_side_by_side():
    left = record_of([run_entry("a", 0, (0.1, 0.3))])
    right = record_of([run_entry("a", 0, (0.2, 0.4)), run_entry("b", 0, (0.3, 0.5))], split="test")
    lines = study_tables.markdown([left, right]).splitlines()
    assert lines[2] == "| a | 1 | 0.2000 | 0.9000 | 0.3000 | 0.9000 |"
    assert lines[3] == "| b | 1 |  |  | 0.4000 | 0.9000 |"
    assert "**test** split" in lines[-1]


def test_a_seed_study_shows_its_spread():
    runs = [run_entry("a", seed, (0.1 + 0.01 * seed, 0.3)) for seed in range(10)]
    text = study_tables.markdown([record_of(runs, rows=("a",))])
    assert "| fluid-h, MAE | 10 | 0.22250 | 0.015138 | 0.20000 | 0.22250 | 0.24500 | 2 |" in text
    assert study_tables.markdown([record_of([], rows=("a",))]) == "Not measured yet.\n"


def test_pictures(tmp_path):
    runs = [run_entry(row, seed, (0.1 + 0.1 * seed, 0.3)) for row in "ab" for seed in range(3)]
    kinds = {"scans": record_of(runs), "seeds": record_of(runs[:3], rows=("a",)), "chart": record_of(runs, axes={})}
    for kind, record in kinds.items():
        rows = study_tables.row_runs(record)
        assert study_figures.pictures_of(record, rows)[0][0].__name__ == kind
        (path,) = study_figures.draw(record | {"study": kind}, tmp_path)
        assert path.stat().st_size > 1000
    beside = record_of([*runs, run_entry("c", 0, (0.1, 0.2)), run_entry("d", 0, (0.1, 0.3))], rows="abcd")
    for row in beside["rows"][2:]:
        row["at"] = {}
    alone = beside | {"runs": beside["runs"][-1:], "study": "alone"}
    assert len(study_figures.draw(alone, tmp_path)) == 1  # nothing was run on the axis yet
    assert study_figures.learning_curves([alone]) is None
    assert [p.name for p in study_figures.draw(beside, tmp_path)] == ["study-toy.png", "study-toy-variants.png"]
    assert study_figures.draw(record_of([]), tmp_path) == []
    families = [record_of(runs, study=f"learning-curve-{name}") for name in ("one", "two")]
    figure = study_figures.learning_curves(families)
    drawn = figure.axes[0].get_legend_handles_labels()[1]
    assert drawn == ["one", "two"]
    assert study_figures.learning_curves([record_of(runs, axes={})]) is None
