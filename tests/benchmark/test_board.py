"""Records side by side."""

from __future__ import annotations

import json

import pytest

from elfzoo.benchmark.board import absent, board, counted, tables
from elfzoo.benchmark.pairs import comparison
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
    assert len({len(line) for line in lines[1:4]}) == 1


def test_figures_of_neighbouring_columns_never_touch() -> None:
    (_, head, line, *_) = tables([record("a", [0.5], rmse=0.3029, r2=-0.0117)])
    assert line.split() == ["a", "0.5000", "0.3029", "-0.0117"] and head.split() == ["MAE", "RMSE", "R²"]


def test_a_release_without_a_record_is_named_with_the_reason() -> None:
    solid = record("b.x-v1", [0.2, 0.2], "metals")
    for row, formula in zip(solid["structures"], ("Mg4", "Ni2 Al2"), strict=True):
        row["formula"] = formula
    releases = {"a.h-v1": ("H",), "b.x-v1": ("H", "Mg"), "c.x-v1": ("H", "Mg"), "d.x-v1": ()}
    assert absent([record("a.h-v1", [0.1]), solid], releases, {"d.x-v1": ("gpaw", "gpaw_data"), "c.x-v1": ()}) == {
        "fluid-h": {"not measured yet": ["b.x-v1", "c.x-v1"], "needs gpaw; not measured yet": ["d.x-v1"]},
        "metals": {
            "knows H alone": ["a.h-v1"],
            "not measured yet": ["c.x-v1"],
            "needs gpaw; not measured yet": ["d.x-v1"],
        },
    }
    few = record("a.h-v1", [0.1], "hydrides-few-shot") | {"structures": [{"formula": "CaH", "few_shot": {}}]}
    assert absent([few], {"b.h-v1": ("H",)}) == {"hydrides-few-shot": {"not measured yet": ["b.h-v1"]}}  # it learns
    lines = tables([record("not a release", [0.1])])
    assert any(line.startswith("no record of") and "grid_mlp.smooth-h-v3" in line for line in lines)


def test_a_comparison_is_paired() -> None:
    a, b = record("a", [0.01, 0.02, 0.03]), record("b", [0.02, 0.04, 0.06])
    (line,) = comparison([a, b], "a", "b")
    assert "ratio 0.500 (0.500 to 0.500), 3 structures" in line  # what is hard for both cancels


def test_every_error_of_a_structure_is_compared() -> None:
    def whole(model: str, share: float) -> dict:
        found = record(model, [0.1 * share, 0.2 * share], "hydrides-zero-shot")
        for row, outside in zip(found["structures"], (0.05, None), strict=True):
            row["voxels"]["rmse"] = 2 * row["voxels"]["mae"]
            row["profile"] = {"outside_cores": None if outside is None else {"mae": share * outside}}
            points = {"all": {"recall": 1 - share / 10, "precision": 1.0}}
            row["topology"] = {"delta": {"phi_3d": -share * 0.01}, "points": points, "jaccard_at_phi": None}
        return found

    lines = comparison([whole("a", 1.0), whole("b", 2.0)], "a", "b")
    titles = ["MAE", "RMSE", "MAE outside cores", "φ MAE", "points not found", "points not real"]
    assert [line.split(": ")[1].rsplit(" ", maxsplit=0)[0].split(" 0.")[0] for line in lines] == titles
    assert lines[2].endswith("MAE outside cores 0.0500 against 0.1000, ratio 0.500, 1 structure")
    assert all("ratio 0.500" in line for line in lines[:5])
    assert "no ratio" in lines[5]  # neither has a point that is not real


def test_entrants_are_compared_after_eight_structures() -> None:
    def shots(model: str, share: float) -> dict:
        runs = [("tuned", 0, 9.0), ("tuned", 8, 1.0), ("tuned", 8, 3.0), ("mean", 8, 5.0)]
        rows = [
            {
                "few_shot": {
                    "kind": k,
                    "shots": n,
                    "structures": [{"mae_outside_cores": share * e}, {"mae_outside_cores": share}],
                }
            }
            for k, n, e in runs
        ]
        return record(model, [0.0], "hydrides-few-shot") | {"structures": rows}

    found = shots("a", 0.01)
    (line,) = comparison([found, shots("b", 0.02)], "a", "b")
    assert line.startswith("hydrides-few-shot: MAE outside cores, 8 shots 0.0150 against 0.0300, ratio 0.500")
    assert counted(found) == "2 structures, 4 runs" and counted(record("a", [0.1, 0.2])) == "2 structures"
    assert counted(speed_record("a", 1.0)) == ""


def template_record(model: str, strengths: list[float], **metrics: float) -> dict:
    rows = [
        {"file": f"{i}.npz", "templates": {"reference": {"strength": 0.5}, "prediction": {"strength": strength}}}
        for i, strength in enumerate(strengths)
    ]
    return record(model, [0.0], "template-ranking") | {"metrics": metrics, "structures": rows}


def speed_record(model: str, rate: float) -> dict:
    metrics = {"voxels_per_second": rate, "seconds_500h_192": 192**3 / rate, "share_timed": 1.0}
    return record(model, [0.0], "speed") | {"metrics": metrics, "structures": [{"file": "job", "speed": {}}]}


def test_records_of_other_data_are_not_ranked_together() -> None:
    first, second = record("a", [0.1]), record("b", [0.2]) | {"data_sha256": "f" * 64}
    for use in (board, tables):
        with pytest.raises(ElfzooError, match=r"a and b on fluid-h are of different .* measure the older one again"):
            use([first, second])
    del first["structures"]  # as in a record that was made elsewhere
    assert any("a" in line for line in tables([first]))


def test_every_kind_of_task_is_sorted_by_what_it_asks() -> None:
    ranked = [template_record(name, [0.5], spearman=rho) for name, rho in (("a", 0.1), ("b", 0.9), ("c", -0.5))]
    blind = template_record("blind", [0.0], strength_mae=0.5)  # a constant has no rank
    fast = [speed_record("a", 1e4), speed_record("b", 1e6)]
    found = board([*ranked, blind, *fast])
    assert [r["model"] for r in found] == ["b", "a", "c", "blind", "b", "a"]
    assert [r["task"] for r in found] == 4 * ["template-ranking"] + 2 * ["speed"]
    assert found[-2]["metrics"]["voxels_per_second"] == 1e6
    lines = tables([*ranked, blind, *fast])
    assert "Spearman ρ" in lines[1] and "MAE of strength" in lines[1] and "voxels/s" not in lines[1]
    assert lines[5].split() == ["blind", "-", "0.5000"]
    slow = next(line for line in lines if line.startswith("a ") and "," in line)
    assert slow.split() == ["a", "10,000", "707.7888", "1.0000"]


def test_strengths_of_templates_are_compared_in_pairs_and_speeds_are_not() -> None:
    a, b = template_record("a", [0.5, 0.6, 0.3]), template_record("b", [0.7, 0.5, 0.1])
    (line,) = comparison([a, b, speed_record("a", 1.0), speed_record("b", 2.0)], "a", "b")
    assert line.startswith("template-ranking: MAE of strength 0.1000 against 0.2000, ratio 0.500")
    with pytest.raises(ElfzooError, match="with the errors of each structure"):
        comparison([speed_record("a", 1.0), speed_record("b", 2.0)], "a", "b")


def test_what_cannot_be_compared_is_said() -> None:
    a, b = record("alpha", [0.1]), record("beta", [0.1], "metals")
    with pytest.raises(UnknownNameError, match="did you mean alpha"):
        comparison([a, b], "alpa", "beta")
    with pytest.raises(ElfzooError, match="no task has records of both"):
        comparison([a, b], "alpha", "beta")
    with pytest.raises(ElfzooError, match="different data"):
        comparison([a, record("beta", [0.1]) | {"data_sha256": "1"}], "alpha", "beta")
