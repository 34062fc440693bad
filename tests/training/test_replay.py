"""What is learned beside the user's files: which recipes they are of, and whether they are the old ones at all."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo import Field
from elfzoo.card import read_card
from elfzoo.config import parse
from elfzoo.datasets.base import hash_file
from elfzoo.errors import ElfzooWarning, RecipeError
from elfzoo.field import Recipe
from elfzoo.hub.push import _without_folders
from elfzoo.reference.recipe import find_recipe
from elfzoo.selection.calculation import Calculation
from elfzoo.selection.choose import Selection, SelectSettings
from elfzoo.selection.readme import readme
from elfzoo.training import TrainConfig, train
from elfzoo.training.finetune import finetune
from elfzoo.training.replay import OldData
from tests.training.conftest import TOY

GPAW = Recipe("GPAW 26.7.0", "PBE", "gpaw-data")
VASP = Recipe("VASP 6.4.2", "PBE", "PBE PAW")
LDA = Recipe("VASP 6.4.2", "LDA", "LDA PAW")
QUICK = {"epochs": 1, "points": 20, "report": False, "progress": False}


def written(path: Path, number: int, recipe: Recipe | None) -> Path:
    """A field like no other, of a recipe."""
    lattice = Lattice.orthorhombic(2.2, 2.4, 2.6 + 0.1 * number)
    structure = Structure(lattice, ["H", "H"], [[0, 0, 0], [0.5, 0.4, 0.3]])
    grid = Field(np.zeros((10, 10, 10)), structure).grid
    distance = lattice.get_all_distances(grid.frac_coords(), structure.frac_coords)
    values = np.exp(-((distance / 0.8) ** 2)).max(axis=1).reshape(grid.shape)
    path.parent.mkdir(exist_ok=True)
    return Field(values, structure, recipe=recipe).write(path)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A release that learned from files of GPAW, in the folder ``old``."""
    files = [str(written(tmp_path / "old" / f"lab{i}.npz", i, GPAW)) for i in range(2)]
    part = {"dataset": "lab", "points": 20}
    data = {
        "train": [part | {"split": "train", "files": files[:1]}],
        "validate": [part | {"split": "val", "files": files[1:]}],
    }
    config = parse(TrainConfig, TOY | data | {"name": "grid_mlp.base-v1", "epochs": 1})
    return train(config, tmp_path / "runs", progress=False)


@pytest.fixture
def pulled(base: Path) -> Path:
    """The same as it comes from the Hub: with the names of the files alone."""
    (base / "config.json").write_bytes(_without_folders((base / "config.json").read_bytes()))
    assert read_card(base).training["config"]["train"][0]["files"] == ["lab0.npz"]
    return base


def replayed(report) -> list[str]:
    """Names of the data that were trained on beside the new ones."""
    return [part["dataset"] for part in read_card(report.release).training["config"]["train"][1:]]


def test_files_of_different_recipes_are_learned_from_only_if_one_says_so(base, tmp_path):
    mine = [written(tmp_path / "mine" / f"{r.functional}.npz", 3 + i, r) for i, r in enumerate((VASP, LDA))]
    written(tmp_path / "mine" / "unknown.npz", 6, None)
    with pytest.raises(RecipeError, match=r"PBE\.npz is of .*PBE PAW.*LDA\.npz of .*LDA PAW.*mixed_recipes=True"):
        finetune(base, mine, tmp_path / "t", replay=0, **QUICK)
    with pytest.raises(RecipeError, match="files of different recipes"):  # held out or not
        finetune(base, mine[:1], tmp_path / "t", held_out=mine[1:], replay=0, **QUICK)
    report = finetune(base, tmp_path / "mine", tmp_path / "t", replay=0, held_out=[], mixed_recipes=True, **QUICK)
    card = read_card(report.release)
    assert card.recipe is None
    assert {told.get("functional"): told["points"] for told in card.training["recipes"]} == {
        "PBE": 20,
        "LDA": 20,
        None: 20,
    }


def test_replaying_another_recipe_is_said_once(base, tmp_path):
    mine = [written(tmp_path / "mine.npz", 3, VASP)]
    with pytest.warns(ElfzooWarning, match=r"new fields are of .*VASP.* is of .*GPAW.*--replay 0") as caught:
        report = finetune(base, mine, tmp_path / "t", **QUICK)
    assert sum("mixture of recipes" in str(w.message) for w in caught) == 1 and replayed(report) == ["lab"]
    same = [written(tmp_path / "same.npz", 4, GPAW)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ElfzooWarning)
        finetune(base, mine, tmp_path / "t", name="a.b-v1", replay=0, **QUICK)
        assert replayed(finetune(base, same, tmp_path / "t", name="a.b-v2", **QUICK)) == ["lab"]


@pytest.mark.filterwarnings("ignore::elfzoo.errors.ElfzooWarning")
@pytest.mark.parametrize(("replay", "expected"), [(4.0, None), (0.5, VASP)])
def test_a_release_states_the_recipe_of_most_of_its_points_or_none(data, tmp_path, replay, expected, monkeypatch):
    """Of a data set, which is not the user's own."""
    values = TOY | {"name": "grid_mlp.base-v1", "epochs": 1}
    base = train(parse(TrainConfig, values), tmp_path / "runs", root=data, progress=False)
    mine = [written(tmp_path / "mine.npz", 5, VASP)]
    report = finetune(base, mine, tmp_path / "t", root=data, replay=replay, **QUICK)
    card = read_card(report.release)
    assert replayed(report) == ["fluid-h"] and card.recipe == expected
    assert card.training["recipes"] == [vars(VASP) | {"points": 20}, {"points": 20 * replay}]


def test_another_file_of_an_old_name_is_not_replayed(pulled, tmp_path, monkeypatch):
    """What lies in the current folder is not what was learned from, whatever it is called."""
    mine = [written(tmp_path / "mine" / f"lab{i}.npz", 3 + i, GPAW) for i in range(3)]
    monkeypatch.chdir(tmp_path / "mine")
    options = {**QUICK, "report": True, "held_out": mine[:1]}
    with pytest.warns(ElfzooWarning, match=r"lab is not replayed.*lab0\.npz is another file than the release"):
        report = finetune(pulled, mine[1:], tmp_path / "t", **options)
    assert replayed(report) == [] and not report.rows("old")
    assert [p["dataset"] for p in read_card(report.release).training["config"]["validate"]] == ["new"]


def test_old_files_that_are_not_here_are_not_replayed(pulled, tmp_path, monkeypatch):
    mine = [written(tmp_path / "mine" / "lab3.npz", 3, GPAW)]
    monkeypatch.chdir(tmp_path / "mine")
    with pytest.warns(ElfzooWarning, match=r"lab is not replayed, and may be forgotten: cannot read .*lab0\.npz"):
        assert replayed(finetune(pulled, mine, tmp_path / "t", **QUICK)) == []


def test_the_old_files_themselves_are_replayed_watched_and_reported(pulled, tmp_path, monkeypatch):
    mine = [written(tmp_path / "mine" / f"{i}.npz", 3 + i, GPAW) for i in range(2)]
    monkeypatch.chdir(tmp_path / "old")
    report = finetune(pulled, mine[:1], tmp_path / "t", **{**QUICK, "report": True, "held_out": mine[1:]})
    config = read_card(report.release).training["config"]
    assert replayed(report) == ["lab"] and [p["dataset"] for p in config["validate"]] == ["new", "lab"]
    assert [Path(row.file).name for row in report.rows("old")] == ["lab1.npz"]


def test_what_is_held_out_or_learned_is_known_by_its_content(base, data, tmp_path):
    """Copies of old files, the user's own or of a data set, are neither replayed when they are held out nor watched."""
    old = OldData.of(read_card(base), None)
    assert old.replayed(10, {hash_file(tmp_path / "old" / "lab0.npz")}) == []
    assert old.watched({hash_file(tmp_path / "old" / "lab1.npz")}) == []
    values = TOY | {"name": "grid_mlp.set-v1"}
    known = OldData(parse(TrainConfig, values), {}, data)
    first, second = sorted((tmp_path / "fluid-h").glob("*train*"))
    (part,) = known.replayed(10, {hash_file(first)})
    assert [sample.field.meta["file"] for sample in known.found(part)] == [f"fluid-h/{second.name}"]
    assert known.replayed(10, {hash_file(first), hash_file(second)}) == []
    assert known.watched({hash_file(path) for path in (tmp_path / "fluid-h").glob("*val*")}) == []


@pytest.mark.parametrize("same", [True, False])
def test_the_command_that_select_prints_replays_labels_of_the_same_recipe_alone(same):
    selection = Selection("grid_mlp.test-v0", SelectSettings(), (), (), ())
    calculation = Calculation("vasp", find_recipe("hydrides").label, "hydrides", same=same)
    (line,) = (line for line in readme(selection, calculation, "run").splitlines() if "elfzoo finetune -m" in line)
    assert line.endswith("--data labels" if same else "--data labels --replay 0")
