"""The scripts of the diagonalisation on cells small enough for a test."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import harris_physics
import harris_seeds
import harris_speed

from elfzoo.config import parse, to_dict
from elfzoo.reference.recipe import find_recipe
from elfzoo.training import TrainConfig
from elfzoo.transforms.harris import HarrisConfig


def test_random_cells_keep_their_distance():
    cell = harris_speed.random_cell(20)
    distances = cell.distance_matrix[np.triu_indices(20, 1)]
    assert distances.min() > harris_speed.NEAREST
    assert cell.volume == pytest.approx(20 * harris_speed.VOLUME)


def test_speed_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(harris_speed, "COARSE", 0.5)
    harris_speed.main(["--atoms", "2", "--points", "8", "--out", str(tmp_path / "speed.json")])
    found = json.loads((tmp_path / "speed.json").read_text())
    (row,) = found["rows"]
    assert row["atoms"] == 2 and row["ratio"] == pytest.approx(row["harris_delta"] / row["grid_mlp"])
    assert "scf" not in row
    labelled = row | {"atoms": 64, "scf_processor": 4321.0, "scf_ratio": 98.7}
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in harris_speed.table({"rows": [row, labelled]})]
    assert len({len(line) for line in lines}) == 1
    assert (lines[2][0], lines[2][4:6], lines[3][0], lines[3][4:6]) == ("2", ["", ""], "64", ["4,321", "99"])
    assert row["folded"] > 0 and row["dense"] > 0 and row["elf_change"] == 0  # two atoms have too few orbitals to fold
    changed = harris_speed.table({"rows": [row | {"elf_change": 6.4e-6}]})
    assert lines[2][-1] == "0e+00" and changed[2].endswith("6e-06 |")
    assert "DFT" not in changed[0] and changed[0].count("|") == changed[1].count("|") == changed[2].count("|") == 8


def test_rows_of_other_sizes_stay_where_the_same_measured_them(tmp_path):
    path, facts = tmp_path / "speed.json", {"points": 8, "coarse": 0.5, "threads": 2}
    record = {"environment": {"date": "2026-12-02", "hardware": "here"}, **facts, "rows": []}
    assert harris_speed.kept_rows(path, record) == []
    for there, rows in (("here", [{"atoms": 64}]), ("there", [])):
        environment = {"date": "2026-12-01", "hardware": there}
        path.write_text(json.dumps({**record, "environment": environment, "rows": [{"atoms": 64}]}))
        assert harris_speed.kept_rows(path, record) == rows
    path.write_text(json.dumps({**record, "rows": [{"atoms": 64}]}))
    assert harris_speed.kept_rows(path, {**record, "points": 9}) == []


@pytest.mark.skipif(shutil.which("pw.x") is None, reason="Quantum ESPRESSO is not installed")
def test_a_label_is_timed_beside_it(monkeypatch):
    recipe = find_recipe("crystal-h")
    quick = replace(recipe, label=replace(recipe.label, k_spacing=3.0, cutoff=400.0))
    monkeypatch.setattr(harris_speed, "find_recipe", {"crystal-h": quick}.__getitem__)
    label = harris_speed.labelled(harris_speed.random_cell(4))
    row = harris_speed.with_label({"atoms": 4, "harris_delta_processor": 2.0}, label)
    assert (
        harris_speed.with_label({"atoms": 4, "harris_delta_processor": 4.0}, row)["scf_ratio"] == row["scf_ratio"] / 2
    )
    assert harris_speed.with_label({"atoms": 4}, {}) == {"atoms": 4}
    assert row["engine"].startswith("Quantum ESPRESSO") and row["engine"].endswith("steps")
    assert row["scf_processor"] > 0 and row["scf_ratio"] == pytest.approx(row["scf_processor"] / 2)


def test_seeds_differ_in_seed_and_data_alone():
    runs = list(harris_seeds.configurations([0, 3]))
    assert [run.seed for run in runs] == [0, 3, 0, 3]
    assert [len(run.train) for run in runs] == [1, 1, 2, 2]
    assert {part.split for run in runs for part in (*run.train, *run.validate)} == {"train", "val"}


def test_the_record_of_seeds_is_of_these_configurations():
    """What the README states was measured with the settings that stand in the repository."""

    known = list(harris_seeds.configurations([0, 1, 2]))
    found = json.loads(harris_seeds.RECORD.read_text())["runs"]
    assert found and all(parse(TrainConfig, run["config"]) in known for run in found)
    assert len(harris_seeds.table(found)) == 2 + len(found)


def test_physics_is_measured_and_kept(tmp_path, monkeypatch):
    coarse = {"basis": {"shells": [{"l": 0, "zeta": 1.0}], "r_cut": 2.0}, "k_mesh": {"spacing": 2.0}, "spacing": 0.3}
    monkeypatch.setattr(harris_physics, "VARIANTS", {"coarse": coarse})
    out = ["--crystals", "1", "--snapshots", "0", "--out", str(tmp_path / "physics.json")]
    harris_physics.main(out)
    first = json.loads((tmp_path / "physics.json").read_text())["variants"]
    assert 0.02 < first["coarse"]["crystals"][0] < 0.5 and first["coarse"]["fluid"] == []
    monkeypatch.setattr(harris_physics, "error", None)  # not asked again
    harris_physics.main(out)
    assert json.loads((tmp_path / "physics.json").read_text())["variants"] == first


def test_every_variant_of_the_physics_is_another():
    configs = [parse(HarrisConfig, changes) for changes in harris_physics.VARIANTS.values()]
    assert configs[0] == HarrisConfig() and len(set(configs)) == len(configs)
    found = json.loads(harris_physics.RECORD.read_text())["variants"]
    assert all(found[name]["config"] == to_dict(parse(HarrisConfig, harris_physics.VARIANTS[name])) for name in found)
