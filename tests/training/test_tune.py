"""Fine-tuning: what a method may change, what it must not, and what the report says."""

from __future__ import annotations

import copy
import csv
import inspect
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo import Field
from elfzoo.cli.finetune import finetune as command
from elfzoo.config import parse
from elfzoo.datasets import FluidHydrogen
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.field import Recipe
from elfzoo.hub import save_release
from elfzoo.models.field_model import FieldModel
from elfzoo.probe import probe_data
from elfzoo.training import train
from elfzoo.training.config import DataConfig, Start, TrainConfig
from elfzoo.training.finetune import Tuning, finetune
from elfzoo.training.finetune_report import Change, Report
from elfzoo.training.parallel import ALONE
from elfzoo.training.points import PointSet, draw_points, shared_files
from elfzoo.training.task import Part, Task
from elfzoo.training.tune import last_layer, merge, prepare
from tests.training.conftest import TOY

SMALL = {
    "grid_mlp": {"hidden": [6], "descriptor": {"n_radial": 4}},
    "patch_cnn": {"widths": [2, 3, 4], "hidden": [4]},
    "probe_graph": {"states": "4x0e + 2x1o", "fields": "4x0e + 2x1o", "n_radial": 4, "l_max": 1, "hidden": [6]},
    "symmetry_unet": {"network": {"widths": [4, 8], "groups": 2}},
}
CELL = Structure(Lattice.orthorhombic(2.2, 2.4, 2.7), ["H", "Ca"], [[0, 0, 0], [0.5, 0.4, 0.3]])
POINTS = np.random.default_rng(0).random((40, 3))


def small(name: str) -> elfzoo.models.base.Model:
    torch.manual_seed(1)
    return elfzoo.create_model(name, SMALL[name])


@pytest.mark.parametrize("method", ["full", "low_rank", "head", "calibrate"])
@pytest.mark.parametrize("name", list(SMALL))
def test_a_model_that_is_ready_to_learn_predicts_what_it_did(name, method):
    model = small(name)
    before, keys = model.predict(CELL, points=POINTS), set(model.state_dict())
    prepare(model, Start("any", method, 2))
    np.testing.assert_allclose(model.predict(CELL, points=POINTS), before, atol=1e-6)
    assert any(p.requires_grad for p in model.parameters())
    merge(model)
    np.testing.assert_allclose(model.predict(CELL, points=POINTS), before, atol=1e-6)
    assert set(model.state_dict()) == keys and all(p.requires_grad for p in model.parameters())


def learn(model, rate=0.05):
    """A step with what may change."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], rate)
    data = model.transform(probe_data(CELL, POINTS @ CELL.lattice.matrix))
    for _ in range(2):  # the second step reaches the right factors too
        optimizer.zero_grad()
        (model(data) - 3).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("name", ["grid_mlp", "probe_graph"])
def test_low_rank_changes_have_that_rank(name):
    model = small(name)
    before = copy.deepcopy(model.state_dict())
    prepare(model, Start("any", "low_rank", 2))
    learn(model)
    changed = model.predict(CELL, points=POINTS)
    merge(model)
    np.testing.assert_allclose(model.predict(CELL, points=POINTS), changed, atol=1e-6)
    ranks = {}
    for key, value in model.state_dict().items():
        difference = value - before[key]
        if key.endswith("residual"):
            assert difference.abs().max() > 0
        elif difference.abs().max() > 0:
            ranks[key] = int(torch.linalg.matrix_rank(difference.flatten(1), rtol=1e-4))
    assert ranks and max(ranks.values()) <= 2 and all(key.endswith("weight") for key in ranks)


def test_calibration_is_a_straight_line_of_the_logit():
    model = small("grid_mlp")
    data = model.transform(probe_data(CELL, POINTS @ CELL.lattice.matrix))
    before = model(data).detach().numpy()
    weights = copy.deepcopy(model.state_dict())
    prepare(model, Start("any", "calibrate"))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 2
    learn(model)
    merge(model)
    after = model(data).detach().numpy()
    slope, offset = np.polyfit(before, after, 1)
    np.testing.assert_allclose(after, slope * before + offset, atol=1e-5)
    assert abs(offset) > 1e-3
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, weights[key])}
    assert changed == {"network.3.weight", "network.3.bias"}


@pytest.mark.parametrize("name", ["grid_mlp", "probe_graph", "patch_cnn"])
def test_the_head_leaves_the_features_alone(name):
    model = small(name)
    data = model.transform(probe_data(CELL, POINTS @ CELL.lattice.matrix))
    features, logits = model.encode(data).detach(), model(data).detach()
    prepare(model, Start("any", "head"))
    learn(model)
    torch.testing.assert_close(model.encode(data), features)
    assert (model(data) - logits).abs().max() > 1e-3


def test_the_last_layer_is_known_in_every_architecture():
    learning = [model for model in map(elfzoo.create_model, elfzoo.list_models()) if list(model.parameters())]
    assert len(learning) >= len(elfzoo.list_models()) - 2
    assert all(len(last_layer(model).weight) == 1 for model in learning)
    model = small("grid_mlp")
    model.another = torch.nn.Linear(3, 1)
    with pytest.raises(ElfzooError, match="has 2 layers with one output"):
        last_layer(model)


@pytest.fixture
def base(data, tmp_path):
    """A release that knows the fields of fluid-h."""
    return train(parse(TrainConfig, TOY | {"name": "grid_mlp.base-v1", "epochs": 6}), tmp_path / "runs", root=data)


@pytest.fixture
def own(tmp_path):
    """A folder of one's own fields: five structures, one of them twice, and a broken file."""
    folder = tmp_path / "own"
    (folder / "deeper").mkdir(parents=True)
    for i in range(5):
        structure = Structure(Lattice.cubic(2.4 + 0.1 * i), ["H", "Li"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        grid = Field(np.zeros((10 + 2 * i,) * 3), structure).grid
        distance = structure.lattice.get_all_distances(grid.frac_coords(), structure.frac_coords)
        values = np.exp(-((distance / [0.9, 0.4]) ** 2)).max(axis=1).reshape(grid.shape)
        Field(values, structure).write(folder / ("deeper" if i % 2 else "") / f"ELFCAR_{i}")
    Field(values, structure).write(folder / "copy.cube")
    (folder / "broken.cube").write_text("nothing")
    (folder / "notes.txt").write_text("not a field")
    return folder


@pytest.mark.filterwarnings("ignore::elfzoo.errors.ElfzooWarning")
def test_finetuning_learns_and_tells(base, own, data, tmp_path):
    report = finetune(base, own, tmp_path / "tuned", root=data, epochs=8, points=200, learning_rate=0.02, name="a.b-v1")
    assert report.method == "full" and report.start == "grid_mlp.base-v1"
    assert len(report.rows("learned")) + len(report.rows("held out")) == 6 and report.rows("held out")
    assert [file.rsplit("/")[-1] for file in report.left_out] == ["broken.cube"]
    before, after = report.means("held out")
    assert after < before
    sides = {group: {row.file for row in report.rows(group)} for group in ("learned", "held out")}
    twins = {str(own / "copy.cube"), str(own / "ELFCAR_4")}
    assert twins <= sides["learned"] or twins <= sides["held out"]
    model = elfzoo.load_pretrained(report.release)
    assert model.card.elements == ("H", "Li") and model.card.training["start"]["release"] == "grid_mlp.base-v1"
    assert model.config == elfzoo.load_pretrained(base).config
    saved = json.loads((tmp_path / "tuned" / "a.b-v1" / "report.json").read_text())
    assert len(saved["changes"]) == len(report.changes)
    assert (tmp_path / "tuned" / "a.b-v1" / "report.png").read_bytes().startswith(b"\x89PNG")
    for part in ("held out (", "what it knew before (", "HLi"):
        assert part in report.table() or part.replace("HLi", "LiH") in report.table()
    row = report.rows("held out")[0]
    field = elfzoo.read_field(row.file)
    whole = np.abs(model.predict(field.structure, grid=field.grid).values - field.values).mean()
    assert row.after == pytest.approx(whole, rel=0.05)  # of at most 4000 voxels, here of all


@pytest.mark.filterwarnings("ignore::elfzoo.errors.ElfzooWarning")
def test_the_release_to_go_on_from_is_by_the_elements(own, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("elfzoo.training.finetune.recommend", lambda e: asked.append(set(e)) or "grid_mlp.smooth-h-v3")
    report = finetune(None, own, tmp_path, root=str(tmp_path), epochs=1, points=8, replay=0, report=False)
    assert asked == [{"H", "Li"}] and report.start == "grid_mlp.smooth-h-v3"


@pytest.mark.filterwarnings("ignore::elfzoo.errors.ElfzooWarning")
def test_replay_keeps_what_was_known(base, own, data, tmp_path):
    options = {"root": data, "epochs": 10, "points": 200, "learning_rate": 0.03, "progress": False}
    without, with_it = (
        finetune(base, own, tmp_path / str(replay), replay=replay, **options).means("old")[1] for replay in (0, 2.0)
    )
    assert with_it < without


@pytest.mark.filterwarnings("ignore::elfzoo.errors.ElfzooWarning")
def test_an_interrupted_run_goes_on_to_the_same_result(base, own, data, tmp_path, monkeypatch):
    options = {"root": data, "epochs": 4, "points": 100, "method": "low_rank", "held_out": [own / "copy.cube"]}
    files = [own / "ELFCAR_0", own / "ELFCAR_2"]
    whole = finetune(base, files, tmp_path / "whole", **options)
    from elfzoo.training import loop

    save, calls = loop._Run.save, []

    def interrupted(self):
        save(self)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop._Run, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finetune(base, files, tmp_path / "parts", **options)
    again = finetune(base, files, tmp_path / "parts", **options)
    assert [change.after for change in again.changes] == [change.after for change in whole.changes]


def test_the_score_of_an_epoch_weighs_what_was_known():
    config = {"start": {"release": "any", "limits": {"fluid-h/val": 0.02, "cavity-h/val": 0.03}}}
    score = parse(TrainConfig, TOY | {"name": "a.b-v1"} | config).score
    within = {"mae new/val": 0.04, "mae fluid-h/val": 0.02, "mae cavity-h/val": 0.01}
    assert score(within) == pytest.approx(0.04)
    assert score(within | {"mae fluid-h/val": 0.023, "mae cavity-h/val": 0.031}) == pytest.approx(0.08)
    assert score(within | {"mae more/val": 0.06}) == pytest.approx(0.05)
    assert parse(TrainConfig, TOY | {"name": "a.b-v1"}).score(within) == pytest.approx(0.07 / 3)


@pytest.mark.filterwarnings("ignore::elfzoo.errors.ElfzooWarning")
def test_an_epoch_that_forgets_too_much_is_not_chosen(base, own, data, tmp_path):
    """Without replay a run forgets more the longer it goes on: what is kept is an epoch within the limit."""
    options = {"epochs": 8, "points": 200, "learning_rate": 0.08, "name": "a.b-v1", "progress": False}
    finetune(base, own, tmp_path, root=data, replay=0, **options)
    rows = list(csv.DictReader((tmp_path / "a.b-v1" / "log.csv").open()))
    new, old, scores = (
        np.array([float(row[key]) for row in rows]) for key in ("mae new/val", "mae fluid-h/val", "score")
    )
    (part,) = elfzoo.load_pretrained(base).card.training["config"]["validate"]
    sample = FluidHydrogen(root=data, split="val")[0].field
    start = np.abs(elfzoo.load_pretrained(base).predict(sample.structure, grid=sample.grid).values - sample.values)
    limits = elfzoo.load_pretrained(tmp_path / "a.b-v1" / "release").card.training["config"]["start"]["limits"]
    assert part["dataset"] == "fluid-h" and list(limits) == ["fluid-h/val"]
    assert limits["fluid-h/val"] == pytest.approx(1.1 * start.mean(), rel=0.1)  # at 500 of 1728 voxels
    np.testing.assert_allclose(scores, new + 10 * np.maximum(old - limits["fluid-h/val"], 0), rtol=1e-6)
    assert old.max() > limits["fluid-h/val"]
    chosen = elfzoo.load_pretrained(tmp_path / "a.b-v1" / "release").card.training["validation_mae"]
    assert chosen["new/val"] == pytest.approx(new[scores.argmin()], abs=1e-6)


def test_no_unit_is_dropped_out(tmp_path):
    """What is learned from does not change between two looks; the release keeps the rates of its configuration."""
    for name, config in (
        ("grid_mlp", SMALL["grid_mlp"] | {"dropout": 0.5}),
        ("symmetry_unet", {"network": {"widths": [4, 8], "groups": 2, "dropout": 0.5}}),
    ):
        model = elfzoo.create_model(name, config).train()
        assert not torch.equal(looked_at(model), looked_at(model))
        prepare(model, Start("any"))
        model.train()
        torch.testing.assert_close(looked_at(model), looked_at(model))
        merge(model)
        save_release(model, tmp_path / name, f"{name}.any-v1")
        again = elfzoo.load_pretrained(tmp_path / name).train()
        assert not torch.equal(looked_at(again), looked_at(again))


def looked_at(model):
    """Logits as in training."""
    if isinstance(model, FieldModel):
        cell, grid = model.working_cell(CELL)
        return model([cell], [grid])[0].detach()
    return model(model.transform(probe_data(CELL, POINTS @ CELL.lattice.matrix))).detach()


def test_the_report_tells_old_data_sets_apart(tmp_path):
    rows = [("fluid-h/a.npz", 0.01, 0.02), ("fluid-h/b.npz", 0.03, 0.02), ("metals/c.npz", 0.5, 0.25)]
    changes = [Change(file, "H", "old", 0.9, 0.9, before, after) for file, before, after in rows]
    changes.append(Change("/my/metals/ELFCAR", "LiH", "learned", 0.9, 0.9, 0.7, 0.6))
    report = Report(tmp_path, "any", "full", tuple(changes), {})
    assert report.old_datasets() == ["fluid-h", "metals"]
    assert report.known("fluid-h") == pytest.approx((0.02, 0.02)) and report.known("metals") == (0.5, 0.25)
    lines = {line.split()[0]: line.split()[1:] for line in report.table().splitlines()}
    assert lines["fluid-h"] == ["0.0200", "0.0200"] and lines["metals"] == ["0.5000", "0.2500"]


@pytest.mark.filterwarnings("ignore::elfzoo.errors.ElfzooWarning")
def test_what_is_learned_is_not_reported_as_known(base, data, tmp_path):
    known = FluidHydrogen(root=data, split="val")[0].field
    known.write(tmp_path / "ELFCAR")
    report = finetune(base, [tmp_path / "ELFCAR"], tmp_path / "t", root=data, epochs=1, points=50)
    assert len(report.rows("learned")) == 1 and not report.rows("old")


def test_tuning_what_was_tuned_looks_at_the_new_files(base, own, data, tmp_path):
    """The first run's files have another name than the second's, and what is held out now is not replayed."""
    files = sorted(own.rglob("ELFCAR_*"))[:4]
    options = {"root": data, "epochs": 1, "points": 20, "report": False}
    first = finetune(base, files[:2], tmp_path / "one", held_out=[files[2]], **options)
    second = finetune(first.release, files, tmp_path / "two", held_out=[files[0]], name="a.b-v2", **options)
    trained = elfzoo.load_pretrained(second.release).card.training["config"]
    assert [part["dataset"] for part in trained["validate"] if part["files"]][:1] == ["new2"]
    learned = {file for part in trained["train"] for file in part["files"]}
    assert str(files[0].resolve()) not in learned and {str(file.resolve()) for file in files[1:]} <= learned
    assert shared_files(parse(TrainConfig, trained)) == []  # the first run's held-out file is learned from now
    with pytest.raises(ElfzooError, match="all 1 usable files are held out"):
        finetune(base, files[:1], tmp_path / "three", held_out=files[:1], **options)


def test_what_cannot_be_tuned(base, own, data, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        finetune(base, own, tmp_path, epoch=3)
    with pytest.raises(ElfzooError, match="holds no field files"):
        finetune(base, tmp_path / "runs", tmp_path, root=data)
    with pytest.raises(ElfzooError, match="no folder"):
        finetune(base, tmp_path / "nowhere", tmp_path)
    with (
        pytest.warns(UserWarning, match="broken.cube is left out: error"),
        pytest.raises(ElfzooError, match="none of 1 files is usable"),
    ):
        finetune(base, [own / "broken.cube"], tmp_path)
    for wrong in ({"points": 0}, {"epochs": 0}, {"rank": 0}, {"replay": -1.0}, {"learning_rate": 0.0}):
        with pytest.raises(ConfigError, match=f"got .*{next(iter(wrong.values()))}"):
            finetune(base, own, tmp_path, **wrong)
    with pytest.raises(ElfzooError, match="has no weights to tune"):
        finetune("harris.h-v1", own, tmp_path)
    config = parse(
        TrainConfig, TOY | {"name": "x.y-v1", "architecture": "probe_graph", "start": {"release": str(base)}}
    )
    with pytest.raises(ConfigError, match="is a grid_mlp, the run's probe_graph"):
        train(config, tmp_path / "x", root=data)


def test_a_model_without_its_old_data_warns(base, own, tmp_path):
    with pytest.warns(UserWarning, match="fluid-h is not replayed, and may be forgotten"):
        report = finetune(base, [own / "ELFCAR_0"], tmp_path / "t", root=str(tmp_path / "nowhere"), epochs=1, points=50)
    assert report.method == "low_rank" and not report.rows("old") and not report.rows("held out")


def test_a_model_without_a_card_of_its_training(own, tmp_path):
    save_release(small("grid_mlp"), tmp_path / "plain", "grid_mlp.plain-v0")
    report = finetune(tmp_path / "plain", [own / "ELFCAR_0"], tmp_path / "t", epochs=1, points=50, method="head")
    assert elfzoo.load_pretrained(report.release).card.name == "grid_mlp.tuned-v1"


def test_the_command_has_the_defaults_of_the_function():
    given = inspect.signature(command).parameters
    shared = {name: value for name, value in vars(Tuning()).items() if name in given}
    assert {"replay", "points", "epochs", "rank", "method", "mixed_recipes"} <= set(shared)
    assert {name: given[name].default for name in shared} == shared


@pytest.mark.parametrize(
    ("start", "files", "expected"),
    [(None, False, None), ("any", False, None), ("any", True, "GPAW"), (None, True, None)],
)
def test_the_recipe_is_that_of_files_of_one_s_own_or_of_all_data(start, files, expected):
    recipes = [Recipe(engine, "PBE", "a set") for engine in ("GPAW", "Quantum ESPRESSO")]
    empty = np.zeros((0, 3)), np.zeros(0, np.float32)
    parts = [Part([PointSet(CELL, *empty, recipe)], "sha") for recipe in recipes]
    config = TrainConfig(
        name="grid_mlp.some-v1",
        architecture="grid_mlp",
        train=(
            DataConfig("mine", "train", files=("ELFCAR",) if files else ()),
            DataConfig("fluid-h", "train"),
        ),
        validate=(DataConfig("fluid-h", "val"),),
        start=None if start is None else Start(start),
    )
    task = SimpleNamespace()
    Task.__init__(task, small("grid_mlp"), config, parts, parts[1:], ALONE)
    assert (task.recipe.engine if task.recipe else None) == expected


@pytest.mark.parametrize("start", [None, "any"])
def test_what_a_teacher_predicted_is_of_no_recipe_of_its_own(start):
    """Files of a teacher are no calculation: the recipe is that of all that was calculated."""
    engines = ("GPAW", "Quantum ESPRESSO", "Quantum ESPRESSO")
    empty = np.zeros((0, 3)), np.zeros(0, np.float32)
    parts = [Part([PointSet(CELL, *empty, Recipe(e, "PBE", "a set"), i == 0)], "sha") for i, e in enumerate(engines)]
    config = TrainConfig(
        name="grid_mlp.some-v1",
        architecture="grid_mlp",
        train=(DataConfig("taught", "train", files=("folder",)), DataConfig("fluid-h", "train")),
        validate=(DataConfig("fluid-h", "val"),),
        start=None if start is None else Start(start),
    )
    task = SimpleNamespace()
    Task.__init__(task, small("grid_mlp"), config, parts[:2], parts[2:], ALONE)
    assert task.recipe.engine == "Quantum ESPRESSO"


def test_drawn_points_know_whether_a_model_made_their_labels(tmp_path):
    model = elfzoo.load_pretrained("grid_mlp.smooth-h-v3")
    predicted = model.predict(CELL, grid=(12, 12, 12), progress=False)
    assert predicted.is_prediction and not predicted.replace(meta={}).is_prediction
    predicted.write(tmp_path / "a.npz")
    config = DataConfig("taught", "train", points=20, files=(str(tmp_path),))
    assert [points.predicted for points in draw_points(config, 0)[0]] == [True]
