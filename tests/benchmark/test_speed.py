"""Tasks of speed: the job, what is timed of it, and the record."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pymatgen.core import Structure

from elfzoo import Field, create_model
from elfzoo.benchmark import Benchmark, SpeedTask, find_task, read_record, run
from elfzoo.benchmark import speed as module
from elfzoo.benchmark.entrant import Entrant
from elfzoo.benchmark.record import KEYS
from elfzoo.benchmark.speed import SHARES, sample, time_job
from elfzoo.benchmark.summary import summary
from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid

TINY = SpeedTask(title="tiny", protocol="none", atoms=20, edge=6.0, points=16, repeat=1)
HUNGRY = '''
import numpy as np


def hungry():
    """Takes 256 MiB more than it hands back."""
    def predict(structure, grid):
        extra = np.ones(2**25)
        return np.full(grid.shape, extra[0] / 2)
    return predict
'''


class Counting:
    """An entrant that remembers the shapes of the grids that it was asked for."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int, int]] = []

    def __call__(self, file: str, structure: Structure, grid: Grid) -> Field:
        self.shapes.append(grid.shape)
        return Field(np.zeros(grid.shape), structure)


@pytest.fixture
def task(tmp_path: Path) -> str:
    path = tmp_path / "fast.yaml"
    path.write_text(yaml.safe_dump(dataclasses.asdict(TINY) | {"kind": "speed", "train": []}))
    return str(path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """An entrant of which time is counted: 2 s for itself and a millisecond for each point, half of it of the CPU."""
    entrant = Counting()

    def seconds(call: module.Call, task: SpeedTask, within: float | None = None) -> np.ndarray:
        call()
        return np.array([1.0, 0.5]) * (2 + 1e-3 * np.prod(entrant.shapes[-1]))

    monkeypatch.setattr(module, "clock", seconds)
    return entrant


def test_the_job_is_a_dense_fluid_and_always_the_same() -> None:
    task = find_task("speed")
    assert isinstance(task, SpeedTask)
    structure = task.structure()
    assert (len(structure), structure.formula, structure.volume) == (500, "H500", pytest.approx(11**3))
    assert task.grid(structure).shape == (192, 192, 192)
    distances = structure.distance_matrix + 10 * np.eye(500)
    assert distances.min() > 0.6 and distances.min(axis=1).mean() < 1.4  # Å
    np.testing.assert_array_equal(structure.frac_coords, task.structure().frac_coords)
    two = task.structure(cells=2)
    assert len(two) == 1000 and two.volume == pytest.approx(2 * 11**3)
    assert task.grid(structure, 0.5).spacing == pytest.approx(task.grid(two).spacing)  # one density of points
    other = dataclasses.replace(task, points=96)
    assert other.data_sha256 != task.data_sha256 == find_task("speed").data_sha256


def test_a_fast_entrant_is_timed_whole(clock: Counting) -> None:
    task = dataclasses.replace(TINY, points=32)
    structure = task.structure()
    found = time_job(Entrant("any", clock), structure, task.grid(structure), task)
    assert found.points == found.points_timed == 32**3
    assert (found.seconds, found.cpu_seconds) == pytest.approx((2 + 32.768, 1 + 16.384))
    assert clock.shapes == [(4, 4, 4), (4, 4, 4), (8, 8, 8), (32, 32, 32)]


def test_a_slow_entrant_is_extrapolated_from_parts_of_the_grid(clock: Counting) -> None:
    task = dataclasses.replace(TINY, points=64)
    structure = task.structure()
    found = time_job(Entrant("any", clock), structure, task.grid(structure), task)
    assert (64, 64, 64) not in clock.shapes and found.points_timed == 16**3
    assert (found.seconds, found.cpu_seconds) == pytest.approx((2 + 262.144, 1 + 131.072))  # the set-up counts once


def test_a_very_slow_entrant_is_asked_for_little(clock: Counting) -> None:
    task = dataclasses.replace(TINY, points=64, whole_within=2.0)
    structure = task.structure()
    found = time_job(Entrant("any", clock), structure, task.grid(structure), task)
    assert clock.shapes == [(8, 8, 8), (8, 8, 8)] and found.points_timed == 512
    assert found.seconds == pytest.approx(512 * 2.512)


def test_a_slow_entrant_is_asked_for_no_more_than_can_be_waited_for(clock: Counting) -> None:
    task = dataclasses.replace(TINY, points=64, whole_within=10.0)
    structure = task.structure()
    found = time_job(Entrant("any", clock), structure, task.grid(structure), task)
    assert clock.shapes == [(8, 8, 8), (8, 8, 8), (13, 13, 13)] and found.points_timed == 13**3
    assert found.seconds == pytest.approx(2 + 262.144)  # whose set-up counts once, too


def test_a_sample_of_a_point_model_is_made_of_the_blocks_it_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = create_model("grid_mlp", {"hidden": [8], "descriptor": {"n_radial": 4}})
    structure, visited = TINY.structure(), []
    evaluator = model.evaluator

    def recording(structure: Structure) -> object:
        evaluate = evaluator(structure)
        return lambda points: visited.append(points) or evaluate(points)

    monkeypatch.setattr(model, "evaluator", recording)
    monkeypatch.setattr(type(model), "block_size", 512)
    grid = Grid((64, 64, 64), structure.lattice.matrix)
    predict, points = sample(Entrant("any", Counting(), model=model), structure, grid, SHARES[1])
    predict()
    blocks = [grid.positions(block) for block in grid.blocks(512)]
    assert points == sum(map(len, visited)) == pytest.approx(grid.size / 64, rel=0.05)
    for found, expected in zip(visited, blocks[::64], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_set_up_of_a_point_model_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A diagonalisation takes as long for few points as for many."""
    model, structure, spent = (
        create_model("grid_mlp", {"hidden": [8], "descriptor": {"n_radial": 4}}),
        TINY.structure(),
        [0.0],
    )

    made: list[str] = []

    def slow_evaluator(structure: Structure) -> object:
        made.append(structure.formula)
        spent[0] += 50.0

        def evaluate(points: np.ndarray) -> np.ndarray:
            spent[0] += 1e-3 * len(points)
            return np.zeros(len(points), dtype=np.float32)

        return evaluate

    def seconds(call: module.Call, task: SpeedTask, within: float | None = None) -> np.ndarray:
        before = spent[0]
        call()
        return np.full(2, spent[0] - before)

    monkeypatch.setattr(model, "evaluator", slow_evaluator)
    monkeypatch.setattr(type(model), "block_size", 512)
    monkeypatch.setattr(module, "clock", seconds)
    task = dataclasses.replace(TINY, points=64)
    entrant = Entrant("any", lambda _, cell, grid: model.predict(cell, grid, progress=False), model=model)
    found = time_job(entrant, structure, task.grid(structure), task)
    assert found.seconds == pytest.approx(50 + 262.144)  # not 50 for every sample of the grid
    assert found.points_timed == pytest.approx(64**3 / 64, rel=0.05)
    assert len(made) == 2  # to warm up, a tiny one; the other is both timed and used


def test_a_long_set_up_is_timed_once() -> None:
    task, calls = dataclasses.replace(TINY, repeat=3), list[int]()
    module.clock(lambda: calls.append(0), task)
    module.clock(lambda: calls.append(1), task, 1e-12)
    assert calls == [0, 0, 0, 1]


def test_the_record_is_of_the_common_form(task: str, entrants: Path, tmp_path: Path) -> None:
    path = run(Benchmark(f"{entrants}:waves", task, tmp_path / "work"), tmp_path / "results", workers=2, progress=False)
    found = read_record(path)
    assert path == tmp_path / "results" / "fast" / "waves.json" and set(KEYS) <= set(found)
    assert found["data_sha256"] == TINY.data_sha256["test"] and found["cost"]["workers"] == 1
    metrics = found["metrics"]
    assert metrics["seconds_20h_16"] * metrics["voxels_per_second"] == pytest.approx(16**3, rel=1e-4)
    dense = metrics["dense_baseline_voxels_per_second"]
    assert metrics["ratio_to_dense_baseline"] == pytest.approx(metrics["voxels_per_second"] / dense, rel=1e-4)
    assert dense > 0 and metrics["share_timed"] == 1 and metrics["doubled_cell_ratio"] > 0
    assert metrics == summary(found["structures"])  # nothing in it is typed
    assert not (tmp_path / "work").exists()  # a time is never taken from an earlier run


def test_the_spline_of_a_point_model_states_its_error(tmp_path: Path) -> None:
    """Against what the public prediction says at all points; what is too slow for it, or has no points, has none."""
    torch.manual_seed(0)
    model = create_model("grid_mlp", {"hidden": [8], "descriptor": {"n_radial": 4}})
    entrant, structure = Entrant("any", model, model=model), TINY.structure()
    found = module._splined(entrant, TINY, seconds=1.0)
    whole, grid = model.predict(structure, grid=(16, 16, 16)).values, TINY.grid(structure)
    error = np.abs(model.predict(structure, grid=grid, coarse=2 * 6.0 / 16).values - whole)
    assert found["spline_mae"] == pytest.approx(error.mean(), rel=0.05)  # of points drawn with replacement
    assert found["spline_largest"] == pytest.approx(error.max(), rel=1e-3) and found["spline_largest"] > 1e-5
    assert found["seconds_spline"] > 0
    assert module._splined(entrant, TINY, seconds=8 * TINY.whole_within + 1) == {}
    assert module._splined(Entrant("any", Counting()), TINY, seconds=1.0) == {}
    row = {"speed": {"atoms": 20, "points_along_edge": 16, "points": 16**3, "points_timed": 16**3} | found}
    times = ("seconds", "cpu_seconds", "seconds_half_grid", "seconds_two_cells", "dense_points_per_second")
    row["speed"] |= dict.fromkeys((*times, "peak_rss_gib"), 1.0)
    metrics = summary([row])
    assert metrics["seconds_20h_16_spline"] == pytest.approx(found["seconds_spline"], rel=1e-4)
    for name in ("spline_mae", "spline_largest"):
        assert metrics[name] == pytest.approx(found[name], rel=1e-4)


def test_memory_is_what_a_prediction_adds_to_a_fresh_process(task: str, tmp_path: Path) -> None:
    (tmp_path / "hungry.py").write_text(HUNGRY)
    found = read_record(run(Benchmark(f"{tmp_path}/hungry.py:hungry", task, tmp_path), tmp_path, progress=False))
    assert found["metrics"]["peak_rss_gib"] == pytest.approx(0.25, abs=0.02)


def test_what_has_no_speed_is_refused(task: str, entrants: Path, tmp_path: Path) -> None:
    files = Benchmark("outside", task, tmp_path / "work", predictions=tmp_path)
    with pytest.raises(ElfzooError, match="outside is known by its prediction files alone, whose making"):
        run(files, tmp_path / "results", progress=False)
    with pytest.raises(ElfzooError, match="has no val data; it has test"):
        run(Benchmark(f"{entrants}:waves", task, tmp_path / "work", split="val"), tmp_path / "results", progress=False)
    assert not (tmp_path / "results").exists()
