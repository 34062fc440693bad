"""Tasks of few shots: what is shown, what is measured, and that a run goes on where it stopped."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.benchmark import Benchmark, FewShotTask, few_shot, few_shot_kept, find_task, read_record, run
from elfzoo.benchmark.few_shot_metrics import few_shot_metrics
from elfzoo.benchmark.few_shot_task import shots_of
from elfzoo.config import parse, to_dict
from elfzoo.datasets import Hydrides
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.field import Field
from elfzoo.hub import save_release
from elfzoo.models.harris_pw import HarrisPWDelta
from elfzoo.testing import enliven
from elfzoo.transforms.harris import HarrisInputs, inputs

TUNING = {"points": 40, "epochs": 1, "replay": 0.0}
SMALL = {
    "shots": [1, 2],
    "seeds": [0],
    "points": 30,
    "searched": "CaH6_Im-3m_eq",
    "tuning": TUNING,
    "scratch_epochs": 1,
}
MEAN = """
import numpy as np


class Mean:
    name = "mean-of-shots"

    def __init__(self, fields):
        self.value = np.mean([field.values.mean() for field in fields]) if fields else 0.5

    def predict(self, structure, grid):
        return np.full(grid.shape, self.value)


def make(training=()):
    return Mean([field for _, field in training])
"""


@pytest.fixture
def task(tmp_path: Path) -> str:
    values = yaml.safe_load(Path(elfzoo.__file__).parent.joinpath("benchmark/tasks/hydrides-few-shot.yaml").read_text())
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(values | SMALL))
    return str(tmp_path / "few.yaml")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = elfzoo.create_model("grid_mlp", {"hidden": [4], "descriptor": {"n_radial": 3, "l_max": 1}})
    config = {
        "name": "x.y-v1",
        "architecture": "grid_mlp",
        "model": to_dict(model.config),
        "batch_size": 64,
        "epochs": 1,
    }
    part = {"dataset": "fluid-h", "split": "train", "points": 20, "structures": 1}
    config |= {"train": [part], "validate": [part | {"split": "val"}]}
    save_release(model, tmp_path / "release", "grid_mlp.few-v0", elements=("H",), training={"config": config})
    return tmp_path / "release"


def test_shots_are_of_as_many_compositions_as_there_are_and_nested() -> None:
    data = Hydrides(split="train")
    groups = len({file.split("_")[0] for file in data.raw_file_names})
    for seed in (0, 1):
        few, more = (shots_of(data, count, seed).raw_file_names for count in (8, groups + 4))
        assert len({file.split("_")[0] for file in few}) == 8 and more[:8] == few
        assert len({file.split("_")[0] for file in more[:groups]}) == groups
    assert shots_of(data, 8, 0).raw_file_names != shots_of(data, 8, 1).raw_file_names
    assert len(shots_of(data, 10_000, 0)) == len(data)


def test_the_task_that_ships() -> None:
    task = find_task("hydrides-few-shot")
    assert isinstance(task, FewShotTask) and task.shots == (1, 2, 4, 8, 16) and len(task.seeds) >= 3
    assert task.on_request and task.data_sha256 == find_task("hydrides-zero-shot").data_sha256


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stranger_learns_from_what_its_factory_is_given(task: str, tmp_path: Path, workers: int) -> None:
    (tmp_path / "mean.py").write_text(MEAN)
    benchmark = Benchmark(f"{tmp_path / 'mean.py'}:make", task, tmp_path / "work")
    record = read_record(run(benchmark, tmp_path / "results", workers, progress=False))
    assert record["cost"]["workers"] == workers
    m = record["metrics"]
    assert m["mae_outside_cores_1"] == pytest.approx(m["mae_outside_cores_mean_1"], abs=1e-5)
    assert m["mae_2"] == pytest.approx(m["mae_mean_2"], abs=1e-5) and "mae_scratch_1" not in m
    shown = shots_of(Hydrides(split="train"), 2, 0)
    mean = np.mean([sample.field.values.mean() for sample in shown])
    errors = [np.abs(sample.field.values - mean).mean() for sample in Hydrides(split="test")]
    assert m["mae_2"] == pytest.approx(np.mean(errors), rel=0.1)  # 30 voxels of each
    assert {"phi_mae_1", "forgetting_fluid-h_1", "forgetting_metals_1", "mae_outside_cores_unknown_1"} <= set(m)


STRANGE = """
import numpy as np

import elfzoo


def make(data):
    assert len(data) > 0
    return lambda structure, grid: np.full(grid.shape, 1.4)


def density(data):
    return lambda structure, grid: elfzoo.Field(np.full(grid.shape, 0.4), structure, quantity="density")
"""


def test_a_stranger_is_measured_as_in_every_other_task(task: str, tmp_path: Path) -> None:
    """Values are clipped to those that ELF has, other quantities refused; whoever must be given data gets some."""
    (tmp_path / "strange.py").write_text(STRANGE)
    made, density = (
        Benchmark(f"{tmp_path}/strange.py:{name}", task, tmp_path / "work") for name in ("make", "density")
    )
    m = read_record(run(made, tmp_path / "results", progress=False))["metrics"]
    truth = np.mean([1 - sample.field.values.mean() for sample in Hydrides(split="test")])
    assert m["mae_1"] == pytest.approx(truth, rel=0.1) and "mae_0" not in m
    with pytest.raises(ElfzooError, match="density"):
        run(density, tmp_path / "results", progress=False)


def test_behind_a_diagonalisation_a_kept_one_predicts_the_same(tmp_path: Path, monkeypatch) -> None:
    torch.manual_seed(0)
    coarse = {"basis": {"shells": [{"l": 0, "zeta": 1.0}], "r_cut": 2.0}, "k_mesh": {"spacing": 1.5}, "spacing": 0.2}
    model = enliven(elfzoo.create_model("harris_delta", {"harris": coarse}))
    cell = Structure(Lattice.hexagonal(2.2, 2.8), ["H", "H"], [[0.1, 0.2, 0.1], [0.7, 0.5, 0.6]])
    field = Field(np.zeros((6, 6, 8)), cell)
    flat, want = np.array([7, 100, 3]), model.predict(cell, field.grid, progress=False).values
    monkeypatch.setenv("ELFZOO_HARRIS_CACHE", str(tmp_path))
    for _ in range(2):  # computed, and kept
        predict = few_shot._of_model(model)
        np.testing.assert_allclose(predict(field, None), want, atol=1e-5)
        np.testing.assert_allclose(predict(field, flat), want.ravel()[flat], atol=1e-5)
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_the_runs_find_all_diagonalisations_made(task: str, tmp_path: Path, monkeypatch) -> None:
    """Of what is asked for, shown, remembered and replayed; a structure that cannot be had does not stop the others."""
    asked: list[tuple[str, str]] = []
    first = next(iter(Hydrides(split="val"))).structure

    def solve(self, structure: Structure, keep: bool) -> HarrisInputs:
        asked.append((phase[-1], key := inputs._key(structure, [])))
        assert keep
        if phase[-1] == "before" and key == inputs._key(first, []):
            raise ElfzooError("no")
        return HarrisInputs(np.ones((3, 6, 6, 6)), structure.lattice.matrix)

    def before(*args) -> None:
        phase.append("before")
        few_shot_kept.diagonalise(*args)
        phase.append("runs")

    phase: list[str] = []
    monkeypatch.setattr(HarrisPWDelta, "requires", ())
    monkeypatch.setattr(HarrisPWDelta, "solve", solve)
    monkeypatch.setattr(few_shot, "diagonalise", before)
    torch.manual_seed(0)
    model = elfzoo.create_model(
        "harris_pw_delta", {"hidden": [4], "descriptor": {"n_radial": 3, "l_max": 1, "channels": 3}}
    )
    parts = [{"dataset": "prototypes", "split": "train", "points": 20, "structures": 3}]
    config = {"name": "x.y-v1", "architecture": "harris_pw_delta", "model": to_dict(model.config), "train": parts}
    config |= {"validate": [{"dataset": "metals", "split": "val", "points": 20, "structures": 2}], "epochs": 1}
    save_release(
        model,
        tmp_path / "release",
        "harris_pw_delta.few-v0",
        elements=("H",),
        training={"config": config | {"batch_size": 64}},
    )
    values = yaml.safe_load(Path(task).read_text())
    values |= {"tuning": TUNING | {"replay": 1.0}, "searched": "none"}
    Path(task).write_text(yaml.safe_dump(values))
    benchmark = Benchmark(str(tmp_path / "release"), task, tmp_path / "work", split="val")
    record = read_record(run(benchmark, tmp_path / "results", progress=False))
    made = [key for when, key in asked if when == "before"]
    assert len(made) == len(set(made)) == 22 + 2 + 6 + 6 + 3
    assert {key for when, key in asked if when == "runs"} <= set(made)
    _require_costs(benchmark, record, len(made))


def _require_costs(benchmark: Benchmark, record: dict, diagonalisations: int) -> None:
    """What is made first counts, once, and beside what the runs take."""
    first = few_shot_kept.spent_on_diagonalisations(benchmark)
    assert len(first) == diagonalisations and all(row["seconds"] >= 0 for row in first)
    cost, runs = record["cost"], sum(row["seconds"] for row in record["structures"])
    assert 0 < cost["diagonalising_seconds"] == pytest.approx(sum(row["seconds"] for row in first), rel=1e-5)
    assert cost["seconds"] == pytest.approx(runs + cost["diagonalising_seconds"], rel=1e-5)
    asked = Hydrides(split="val")
    few_shot_kept._diagonalise(benchmark, asked.raw_dir / asked.raw_file_names[0])
    assert few_shot_kept.spent_on_diagonalisations(benchmark) == first


def test_a_release_is_tuned_and_trained_anew_and_goes_on(task: str, release: Path, tmp_path: Path, monkeypatch) -> None:
    benchmark = Benchmark(str(release), task, tmp_path / "work", split="val")
    measured, calls = few_shot._run, []

    def interrupted(*args):
        calls.append(args[3:])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measured(*args)

    monkeypatch.setattr(few_shot, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(benchmark, tmp_path / "results", progress=False)
    record = read_record(run(benchmark, tmp_path / "results", progress=False))
    assert len(calls) == 8 and len(set(calls)) == 7  # 0 shots, then two of each of three kinds; one of them began twice
    assert len(record["structures"]) == 7
    m = record["metrics"]
    assert {"rmse_0", "r2_1", "r2_correlated_scratch_1"} <= set(m)
    assert {"mae_0", "mae_outside_cores_1", "mae_outside_cores_scratch_2", "mae_mean_1", "forgetting_fluid-h_2"} <= set(
        m
    )
    assert "forgetting_metals_2" not in m  # this release knows hydrogen alone
    for row in record["structures"]:
        assert len(row["prediction_sha256"]) == 64
        assert row["few_shot"]["shots"] == len(row["few_shot"]["shown"]) and len(row["few_shot"]["structures"]) == 22


def test_of_some_structures_the_whole_field_is_searched() -> None:
    task = FewShotTask(title="", dataset="hydrides", data_sha256={}, protocol="", points=500, searched="a")
    cell = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
    x = 2 * np.pi * np.arange(16) / 16
    values = 0.5 + 0.1 * (np.cos(x)[:, None, None] + np.cos(x)[:, None] + np.cos(x))
    field, digests = Field(values, cell, meta={"file": "a.npz"}), [hashlib.sha256(), hashlib.sha256()]

    def right(field: Field, flat: np.ndarray | None) -> np.ndarray:
        return field.values if flat is None else field.values.ravel()[flat]

    row = few_shot._measured(right, field, task, {"H"}, digests[0])
    assert row["mae"] == 0 and row["r2"] == 1 and row["phi_error"] == 0 and row["phi"] == pytest.approx(0.6, abs=1e-3)
    assert row["points"]["matched"] == row["points"]["reference"] == row["points"]["prediction"] == 8
    other = few_shot._measured(
        lambda f, flat: right(f, flat) * 0.9, field, replace(task, searched="b"), set(), digests[1]
    )
    assert "phi" not in other and other["known"] is False and other["mae"] == pytest.approx(0.05, abs=0.01)
    assert digests[0].hexdigest() != digests[1].hexdigest()


def test_metrics_by_hand() -> None:
    def part(kind: str, shots: int, errors: tuple[float, float], remembered: float | None) -> dict:
        rows = [{"mae": e, "mae_outside_cores": 2 * e, "known": i == 0} for i, e in enumerate(errors)]
        rows[0]["phi_error"] = -0.25
        return {"kind": kind, "shots": shots, "structures": rows, "remembered": {"fluid-h": remembered, "metals": None}}

    found = few_shot_metrics(
        [
            part("tuned", 0, (1, 3), 0.1),
            part("tuned", 8, (1, 2), 0.2),
            part("tuned", 8, (2, 3), 0.3),
            part("mean", 8, (5, 7), 1),
        ]
    )
    assert found["mae_0"] == 2 and found["mae_8"] == 2 and found["mae_outside_cores_8"] == 4
    assert found["mae_outside_cores_known_8"] == 3 and found["mae_outside_cores_unknown_8"] == 5
    assert found["forgetting_fluid-h_8"] == pytest.approx(1.5)
    assert [name for name in found if name.startswith("forgetting")] == ["forgetting_fluid-h_8"]
    assert found["mae_mean_8"] == 6 and found["phi_mae_8"] == 0.25
    # outside of cores 10 and 14 by the mean, 3 and 5 by the tuned ones, averaged over seeds: lower by 7 and by 9
    assert [found[f"below_mean_8{end}"] for end in ("", "_low", "_high")] == [8, 7, 9]
    assert not any(name.startswith("below_scratch") for name in found)
    rows = [{"mae_outside_cores": 0.1, "known": True, "r2": r} for r in (-1.0, 0.5)]
    for row, phi, error, links in zip(rows, (0.4, 0.6), (0.1, -0.1), (0.5, None), strict=True):
        points = {"reference": 4, "prediction": 8, "matched": 2, "mean_displacement": 0.05}
        row |= {"phi": phi, "phi_error": error, "points": points, "links": links}
    searched = few_shot_metrics([{"kind": "tuned", "shots": 8, "structures": rows, "remembered": {}}])
    assert searched["r2_8"] == -0.25 and searched["phi_r2_8"] == pytest.approx(0) and searched["phi_mae_8"] == 0.1
    assert (searched["cp_recall_8"], searched["cp_precision_8"], searched["cp_displacement_8"]) == (0.5, 0.25, 0.05)
    assert searched["network_jaccard_8"] == 0.5
    refused = few_shot_metrics([part("tuned", 0, (1, 3), None), part("tuned", 8, (1, 2), None)])
    assert refused["mae_8"] == 1.5 and not any(name.startswith("forgetting") for name in refused)


def test_what_cannot_enter(task: str, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    given = Benchmark("mine", task, tmp_path / "work", predictions=tmp_path / "files")
    with pytest.raises(ElfzooError, match="which learn nothing from what they are shown"):
        run(given, tmp_path / "results")
    values = yaml.safe_load(Path(task).read_text())
    del values["kind"]
    with pytest.raises(ConfigError, match="at least one of each; got shots"):
        parse(FewShotTask, values | {"shots": []})
    values["data_sha256"]["test"] = "0" * 64
    Path(task).write_text(yaml.safe_dump(values | {"kind": "few_shot"}))
    with pytest.raises(ElfzooError, match="use the data of this version"):
        run(Benchmark("grid_mlp.smooth-h-v3", task, tmp_path / "work"), tmp_path / "results")
