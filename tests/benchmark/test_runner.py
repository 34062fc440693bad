"""Runs on real crystals: records, resuming, files in the place of models, several processes."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo import list_pretrained, read_field
from elfzoo.benchmark import Benchmark, find_task, read_record, run, select
from elfzoo.benchmark import record as record_module
from elfzoo.benchmark.fields import measure_structure
from elfzoo.benchmark.pool import _threads_of_children
from elfzoo.benchmark.record import prediction_path, run_folder
from elfzoo.benchmark.task import Task
from elfzoo.errors import ElfzooError
from elfzoo.field import Recipe
from elfzoo.models.grid_mlp import GridMLP
from elfzoo.native import THREAD_VARIABLES


def record(benchmark: Benchmark, out: Path, workers: int = 1) -> dict:
    return read_record(run(benchmark, out, workers, progress=False))


@pytest.fixture
def waves(entrants: Path, tiny: Path, tmp_path: Path) -> Benchmark:
    return Benchmark(f"{entrants}:waves", str(tiny), tmp_path / "work")


def test_a_record_says_what_was_computed_on_what(waves: Benchmark, tmp_path: Path) -> None:
    found, data = record(waves, tmp_path / "results"), select(waves.definition)
    assert (found["model"], found["task"], found["split"]) == ("waves", "tiny", "test")
    assert found["data_sha256"] == data.data_hash and len(found["entrant"]["source_sha256"]) == 64
    assert [row["file"] for row in found["structures"]] == [f"crystal-h/{file}" for file in data.raw_file_names]
    assert {"date", "elfzoo", "torch", "numpy", "hardware"} <= set(found)
    assert found["cost"]["seconds"] > 0 and found["cost"]["peak_rss_gib"] > 0.01
    mean = sum(row["voxels"]["mae"] for row in found["structures"]) / len(data)
    assert found["metrics"]["mae"] == pytest.approx(mean, abs=1e-6)


def test_prediction_files_alone_give_the_same_metrics(entrants: Path, single: Path, tmp_path: Path) -> None:
    first = record(Benchmark(f"{entrants}:waves", str(single), tmp_path / "work"), tmp_path / "results")
    files = tmp_path / "work" / "waves" / "single" / "predictions"
    again = record(Benchmark("outside", str(single), tmp_path / "work", predictions=files), tmp_path / "results")
    assert again["model"] == "outside" and again["metrics"] == first["metrics"]
    hashes = [[row["prediction_sha256"] for row in found["structures"]] for found in (first, again)]
    assert hashes[0] == hashes[1]
    field = read_field(next(iter(sorted(files.glob("*.npz")))))
    assert list(field.grid.shape) == first["structures"][0]["predicted_grid"]


def test_a_stopped_run_goes_on(waves: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []

    def once(benchmark: Benchmark, task: Task, index: int) -> None:
        if len(measured) == 2 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt
        measured.append(index)
        measure_structure(benchmark, task, index)

    monkeypatch.setattr("elfzoo.benchmark.fields.measure_structure", once)
    with pytest.raises(KeyboardInterrupt):
        run(waves, tmp_path / "results", progress=False)
    assert not (tmp_path / "results").exists()
    found = record(waves, tmp_path / "results")
    assert sorted(measured) == list(range(len(found["structures"])))  # each once


def test_rows_of_a_changed_entrant_are_not_mixed_in(waves: Benchmark, entrants: Path, tmp_path: Path) -> None:
    first = record(waves, tmp_path / "results")
    entrants.write_text(entrants.read_text().replace("0.1 *", "0.15 *"))
    second = record(Benchmark(waves.spec, waves.task, waves.folder), tmp_path / "results")
    assert all(a["voxels"] != b["voxels"] for a, b in zip(first["structures"], second["structures"], strict=True))


def test_two_processes_find_the_same(tiny: Path, tmp_path: Path) -> None:
    one, two = (Benchmark("grid_mlp.wang2026-h-v2", str(tiny), tmp_path / name) for name in ("one", "two"))
    alone, together = record(one, tmp_path / "alone"), record(two, tmp_path / "together", workers=2)
    assert together["metrics"] == alone["metrics"] and together["cost"]["workers"] == 2
    assert alone["cost"]["voxels_per_second"] > 0 and "voxels_per_second" not in together["cost"]


RANDOM = """
import numpy as np

def make():
    value = np.random.default_rng().random()
    return lambda structure, grid: np.full(grid.shape, value)
"""


def test_what_a_factory_makes_is_made_once(tiny: Path, tmp_path: Path) -> None:
    """It predicts in this process, and two others measure."""
    (tmp_path / "random.py").write_text(RANDOM)
    benchmark = Benchmark(f"{tmp_path / 'random.py'}:make", str(tiny), tmp_path / "work")
    found = record(benchmark, tmp_path / "results", workers=2)
    assert found["cost"]["workers"] == 2
    again = Benchmark("mine", str(tiny), tmp_path / "again", predictions=benchmark.place / "predictions")
    assert record(again, tmp_path / "results")["metrics"] == found["metrics"]
    files = [prediction_path(benchmark.place, name) for name in benchmark.names]
    assert len({float(np.median(elfzoo.read_field(file).values)) for file in files}) == 1


def test_rows_of_other_code_or_a_damaged_run_are_not_mixed_in(
    waves: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(waves, tmp_path / "results")
    path = waves.place / "run.json"
    marks = [waves.row_path(name) for name in waves.names]
    for change in (lambda: path.write_text("{"), lambda: monkeypatch.setattr(record_module, "_code", lambda: "new")):
        before = [mark.stat().st_mtime_ns for mark in marks]
        record(waves, tmp_path / "results")
        assert [mark.stat().st_mtime_ns for mark in marks] == before  # the same: nothing is measured
        change()
        record(waves, tmp_path / "results")
        assert all(mark.stat().st_mtime_ns > old for mark, old in zip(marks, before, strict=True))


FINGERPRINT = """
from pathlib import Path
import numpy as np

class Made:
    name = "read"

    def __init__(self):
        self.value = float(Path(__file__).with_name("w.txt").read_text())
        self.fingerprint = self.value

    def predict(self, structure, grid):
        return np.full(grid.shape, self.value)

make = Made
"""


def test_a_fingerprint_tells_what_a_factory_read(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "read.py").write_text(FINGERPRINT)
    found = []
    for value in ("0.25", "0.75", "0.75"):
        (tmp_path / "w.txt").write_text(value)
        benchmark = Benchmark(f"{tmp_path / 'read.py'}:make", str(tiny), tmp_path / "work")
        found.append(record(benchmark, tmp_path / "results")["metrics"])
    assert found[0] != found[1] == found[2]


STOPPED = """
from pathlib import Path

import numpy as np


class Random:
    name = "random"

    def __init__(self, value):
        self.value, self.calls = value, 0
        {slot}

    def predict(self, structure, grid):
        self.calls += 1
        if self.calls == 2 and not Path({flag!r}).exists():
            Path({flag!r}).touch()
            raise RuntimeError("killed")
        return np.full(grid.shape, self.value)


def make():
    return Random(np.random.default_rng().random())
"""


@pytest.mark.parametrize("slot", ["pass", "self.lock = __import__('threading').Lock()"])
def test_a_stopped_run_never_goes_on_with_another_thing_that_the_factory_makes(
    tiny: Path, tmp_path: Path, slot: str
) -> None:
    """Whether what it makes can be pickled, and so be told from another, or not."""
    path = tmp_path / "random.py"
    path.write_text(STOPPED.format(slot=slot, flag=str(tmp_path / "stopped")))
    benchmark = [Benchmark(f"{path}:make", str(tiny), tmp_path / "work") for _ in range(2)]
    with pytest.raises(ElfzooError, match="killed"):
        record(benchmark[0], tmp_path / "results")
    assert len(list((benchmark[0].place / "rows").glob("*.json"))) == 1
    record(benchmark[1], tmp_path / "results")
    kept = [prediction_path(benchmark[1].place, name) for name in benchmark[1].names]
    values = {round(float(read_field(path).values.mean()), 4) for path in kept}
    assert len(kept) > 1 and len(values) == 1


def test_what_was_learned_from_is_part_of_a_run(entrants: Path, tiny: Path, tmp_path: Path) -> None:
    benchmark = Benchmark(f"{entrants}:mean", str(tiny), tmp_path / "work")
    found = record(benchmark, tmp_path / "results")["entrant"]
    data = elfzoo.datasets.CrystalHydrogen(split="train")
    assert found["trained_on"] == ["crystal-h/train"]
    assert found["training_sha256"] == {"crystal-h/train": data.data_hash}


def test_the_record_of_another_entrant_of_the_same_name_is_not_replaced(
    waves: Benchmark, entrants: Path, tiny: Path, tmp_path: Path
) -> None:
    record(waves, tmp_path / "results")
    other = tmp_path / "other" / "entrants.py"
    other.parent.mkdir()
    other.write_text(entrants.read_text().replace("0.1", "0.2"))
    with pytest.raises(ElfzooError, match=r"waves.json is of another waves.*another name"):
        record(Benchmark(f"{other}:waves", str(tiny), tmp_path / "work"), tmp_path / "results")
    moved = tmp_path / "other" / "same.py"
    moved.write_text(entrants.read_text())
    record(Benchmark(f"{moved}:waves", str(tiny), tmp_path / "work"), tmp_path / "results")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spin": "up"}, "of the spin channel up; the task's references: both together"),
        ({"quantity": "density"}, "density"),
        ({"structure": Structure(Lattice.cubic(9), ["Au"], [[0, 0, 0]])}, "lattice"),
        ({"recipe": Recipe("VASP 6.4", "LDA", "PAW")}, "states the recipe Recipe.engine=.VASP 6.4"),
    ],
)
def test_a_prediction_of_something_else_is_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, message: str
) -> None:
    """A stranger's Field is looked at before it is put into the reference's cell."""
    benchmark = Benchmark(f"{tmp_path}/strange.py:make", str(tiny), tmp_path / "work")
    (tmp_path / "strange.py").write_text(STRANGE)
    strange = benchmark.entrant.model or benchmark.entrant
    predict = strange.predict
    monkeypatch.setitem(
        benchmark.__dict__,
        "entrant",
        dataclasses.replace(strange, predict=lambda *given: predict(*given).replace(**changes)),
    )
    with pytest.raises(ElfzooError, match=message):
        record(benchmark, tmp_path / "results")


STRANGE = """
import numpy as np

import elfzoo


def make():
    return lambda structure, grid: elfzoo.Field(np.full(grid.shape, 0.5), structure)
"""


def test_two_runs_write_the_same_metrics(waves: Benchmark, tmp_path: Path) -> None:
    first = record(waves, tmp_path / "one")
    second = record(Benchmark(waves.spec, waves.task, tmp_path / "again"), tmp_path / "two")
    for key in ("metrics", "groups", "curves", "data_sha256", "entrant"):
        assert first[key] == second[key]
    hashes = [[row["prediction_sha256"] for row in found["structures"]] for found in (first, second)]
    assert hashes[0] == hashes[1]


def test_files_in_the_runs_own_folder_are_refused_and_stay(waves: Benchmark, tmp_path: Path) -> None:
    record(waves, tmp_path / "results")
    files = prediction_path(run_folder(tmp_path / "work", "tiny", "waves"), "any").parent
    before = {path: path.read_bytes() for path in files.iterdir()}
    linked = tmp_path / "linked"
    linked.symlink_to(files)
    assert len(before) == len(waves.names)
    for given in (files, linked, files.parent):
        own = Benchmark("waves", waves.task, tmp_path / "work", predictions=given)
        with pytest.raises(ElfzooError, match="lie in the folder of this very run"):
            run(own, tmp_path / "others", progress=False)
    assert {path: path.read_bytes() for path in files.iterdir()} == before
    other = record(Benchmark("again", waves.task, tmp_path / "work", predictions=files), tmp_path / "results")
    assert len(other["structures"]) == len(before)  # under another name they are measured


def test_a_run_of_the_val_split_has_a_folder_of_its_own(tmp_path: Path) -> None:
    assert run_folder(tmp_path, "metals", "a") == tmp_path / "a" / "metals"
    assert run_folder(tmp_path, "metals", "a", "val") == tmp_path / "a" / "metals-val"
    assert prediction_path(tmp_path, "Al_fcc_V0.8") == tmp_path / "predictions" / "Al_fcc_V0.8.npz"


def test_predictions_can_be_discarded(entrants: Path, tiny: Path, tmp_path: Path) -> None:
    benchmark = Benchmark(f"{entrants}:half", str(tiny), tmp_path, keep_predictions=False)
    run(benchmark, tmp_path / "results", progress=False)
    assert not list(tmp_path.rglob("predictions/*"))


def test_a_broken_prediction_is_named(entrants: Path, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ElfzooError, match=r"strangers\.broken on cubic_02\d: values from nan"):
        run(Benchmark(f"{entrants}:broken", str(tiny), tmp_path), tmp_path / "results", progress=False)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(ElfzooError, match="elfzoo benchmark makes it"):
        read_record(path)
    for text, message in (("{", "is no record"), ("[]", "lacks model"), (json.dumps({"model": 1}), "lacks task")):
        path.write_text(text)
        with pytest.raises(ElfzooError, match=message):
            read_record(path)


def test_a_copy_of_a_record_is_named(waves: Benchmark, tmp_path: Path) -> None:
    path = run(waves, tmp_path / "results", progress=False)
    path.with_name("waves (copy).json").write_bytes(path.read_bytes())
    with pytest.raises(ElfzooError, match=r"waves \(copy\).json is the record of waves on tiny"):
        list(record_module.read_records(tmp_path / "results", ["tiny"]))


def test_every_structure_has_a_row_of_its_own() -> None:
    for task in ("fluid-h", "hydrides-zero-shot", "metals"):  # their names have dots in them
        benchmark = Benchmark(list_pretrained()[0], task, Path("work"))
        rows = {benchmark.row_path(name) for name in benchmark.names}
        assert len(rows) == len(benchmark.data) and benchmark.names[0] + ".npz" == benchmark.data.raw_file_names[0]


def test_a_task_file_gives_its_name(tiny: Path) -> None:
    assert Benchmark("x", str(tiny), Path("w")).name == "tiny" and find_task(str(tiny)).title == "tiny"


def test_costly_models_are_asked_for_the_grid_of_the_reference(
    single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = Benchmark("grid_mlp.wang2026-h-v2", str(single), tmp_path / "work")
    reference = benchmark.data[0].field
    assert benchmark.grid(reference).shape == tuple(2 * n for n in reference.grid.shape)
    monkeypatch.setattr(GridMLP, "costly", True)
    assert benchmark.grid(reference).shape == reference.grid.shape
    found = record(benchmark, tmp_path / "results")
    assert found["structures"][0]["predicted_grid"] == list(reference.grid.shape)
    assert found["structures"][0]["topology"]["delta"]["phi_3d"] is not None


def test_processes_share_the_cores_in_their_linear_algebra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(KeyboardInterrupt), _threads_of_children(2):
        assert [os.environ[name] for name in THREAD_VARIABLES] == ["2", "2", "2"]
        raise KeyboardInterrupt
    assert [os.environ.get(name) for name in THREAD_VARIABLES] == [None, None, None]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # the user's word holds for all of them
    with _threads_of_children(2):
        assert [os.environ.get(name) for name in THREAD_VARIABLES] == ["3", None, None]
