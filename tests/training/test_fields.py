"""Training of a field model on the two small crystals of conftest.py."""

import csv
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.special import expit

import elfzoo
from elfzoo import Field
from elfzoo.config import parse
from elfzoo.datasets import FluidHydrogen
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.training import FieldTraining, TrainConfig, train
from elfzoo.training import loop as loop_module
from elfzoo.training.config import DataConfig
from elfzoo.training.fields import FieldSet, FieldTask, augment, field_errors
from elfzoo.training.points import draw_points
from elfzoo.transforms.free_atoms import superposed_density

MODEL = {"spacing": 0.4, "averaging": "none", "network": {"widths": [4, 6], "norm": "channel", "dropout": 0.1}}
FLAT = {
    "model": MODEL | {"network": {"widths": [4], "norm": "channel", "dropout": 0.1}},
    "fields": {"terms": ["voxel"], "crop": 4},
}  # one level: a short halo


def config(**changes):
    values = {
        "name": "symmetry_unet.toy-v0",
        "architecture": "symmetry_unet",
        "model": MODEL,
        "train": [{"dataset": "fluid-h", "split": "train"}],
        "validate": [{"dataset": "fluid-h", "split": "val", "points": 100, "sampling": "uniform"}],
        "epochs": 4,
        "batch_size": 1,
        "learning_rate": 1e-2,
        "schedule": "cosine",
        "fields": {"bins": 8},
    }
    return parse(TrainConfig, values | changes)


def rows(folder):
    with open(folder.parent / "log.csv") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return elfzoo.create_model("symmetry_unet", MODEL).eval()


@pytest.fixture
def sample(data):
    return FluidHydrogen(root=data, split="train")[0]


def test_the_reference_is_brought_to_the_models_grid(model, sample):
    """logit(ELF) of plane waves on a fine grid; the model's cell is another one, with its own points."""
    structure = sample.structure.make_supercell([[1, 0, 0], [1, 2, 0], [0, 0, 1]], in_place=False)

    def known(points):
        waves = 2 * np.pi * np.array([[1, 0, 0], [0, 1, -1]]) @ np.linalg.inv(sample.structure.lattice.matrix).T
        return expit(np.cos(points @ waves.T).sum(axis=1))

    blank = Field(np.zeros((24, 48, 24)), structure)
    field = blank.replace(values=known(blank.grid.positions()).reshape(24, 48, 24))
    found = FieldSet.of(model, field)
    assert found.structure.volume == pytest.approx(structure.volume / 2)
    np.testing.assert_allclose(found.target.ravel(), known(found.grid.positions()), atol=2e-4)

    several = FieldSet.of(model, field, grids=4)
    assert len(several.others) == 3 and torch.equal(several.target, found.target)
    for other in several.others:  # the same crystal, on other vectors and finer
        assert other.structure.volume == pytest.approx(found.structure.volume)
        assert not np.allclose(other.grid.lattice, found.grid.lattice, atol=0.1)
        assert max(other.grid.spacing) <= max(found.grid.spacing) and not any(
            n % model.stride for n in other.grid.shape
        )
        np.testing.assert_allclose(other.target.ravel(), known(other.grid.positions()), atol=2e-4)


def test_augmentation_moves_structure_and_target_alike_and_exactly(model, sample):
    """A target that is a function of the free atoms' density stays that function of it."""
    before = FieldSet.of(model, sample.field)
    density = superposed_density(before.structure, before.grid)
    before = FieldSet(before.structure, before.grid, torch.from_numpy(density), None)
    after = augment(before, FieldTraining(), np.random.default_rng(0))
    np.testing.assert_allclose(superposed_density(after.structure, after.grid), after.target, atol=1e-10)
    assert not np.allclose(after.target, before.target, atol=1e-2)
    assert not np.allclose(after.grid.lattice, before.grid.lattice, atol=0.1)
    np.testing.assert_allclose(*(s.grid.lattice @ s.grid.lattice.T for s in (after, before)), atol=1e-12)
    assert augment(before, FieldTraining(shift=False, turn=False), np.random.default_rng(0)).target is before.target


def test_every_epoch_draws_one_of_the_grids(data):
    values = config(fields={"bins": 8, "grids": 3})
    task = FieldTask(elfzoo.create_model("symmetry_unet", MODEL), values, data, None)
    once = FieldTask(elfzoo.create_model("symmetry_unet", MODEL), config(), data, None)
    assert task.steps_per_epoch == once.steps_per_epoch and task.size() == once.size()
    shapes = {item.grid.shape for epoch in range(12) for plan in task.plans(epoch) for item in plan}
    known = {s.grid.shape for sample in task.samples for s in (sample, *sample.others)}
    assert shapes == known and len(known) > len({s.grid.shape for s in once.samples})


def test_errors_are_those_of_predict(model, data):
    sets, _ = draw_points(config().validate[0], 0, data)
    frac = sets[0].points @ np.linalg.inv(sets[0].structure.lattice.matrix)
    expected = np.abs(model.predict(sets[0].structure, points=frac) - sets[0].y).mean()
    assert field_errors(model, sets)[0] == pytest.approx(float(expected), abs=1e-6)


def test_learns_and_writes_a_release_without_the_losss_own_weights(data, tmp_path):
    model = MODEL | {"network": {"widths": [4, 6], "groups": 2}}
    folder = train(config(epochs=16, model=model, fields={"bins": 8, "turn": False}), tmp_path, root=data)
    log = rows(folder)
    assert float(log[-1]["score"]) < 0.6 * float(log[0]["score"])
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert not [key for key in file.keys() if "eta" in key]  # noqa: SIM118 (not a dict)
    with safe_open(folder.parent / "checkpoint.safetensors", framework="pt") as file:
        assert bool((file.get_tensor("criterion/eta") != 0).all())
    card = json.loads((folder / "config.json").read_text())
    assert card["elements"] == ["H"]
    assert card["training"]["voxels"] == sum(FieldSet.of(elfzoo.load_pretrained(folder), s.field).grid.size
                                             for s in FluidHydrogen(root=data, split="train"))  # fmt: skip


@pytest.mark.parametrize("changes", [{}, FLAT])
def test_resuming_gives_the_same_weights_as_never_stopping(data, tmp_path, changes, monkeypatch):
    whole = train(config(**changes), tmp_path / "whole", root=data)
    one_epoch = loop_module._Run.one_epoch

    def interrupted(self):
        if self.epoch == 2:
            raise KeyboardInterrupt
        one_epoch(self)

    monkeypatch.setattr(loop_module._Run, "one_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(config(**changes), tmp_path / "parts", root=data)
    monkeypatch.setattr(loop_module._Run, "one_epoch", one_epoch)
    parts = train(config(**changes), tmp_path / "parts", root=data)
    a, b = (elfzoo.load_pretrained(f).state_dict() for f in (whole, parts))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert rows(whole)[-1]["loss"] == rows(parts)[-1]["loss"]


def test_a_batch_of_cells_has_the_mean_of_their_gradients(data):
    task = FieldTask(elfzoo.create_model("symmetry_unet", MODEL).eval(), config(batch_size=2), data, None)
    (batch,) = list(task.plans(0))
    assert task.steps_per_epoch == 1
    gradients = []
    for cells in (batch, batch[:1], batch[1:]):
        task.model.zero_grad()
        for loss in task.losses(cells):
            loss.backward()
        gradients.append(task.model.network.project.weight.grad.clone())
    torch.testing.assert_close(gradients[0], (gradients[1] + gradients[2]) / 2)


def test_crops_fill_the_cell_and_their_loss_is_that_of_the_whole(data):
    """All crops together, values only: the mean over the cell."""
    task = FieldTask(
        elfzoo.create_model("symmetry_unet", MODEL).eval(),
        config(fields={"terms": ["voxel"], "crop": 4, "shift": False, "turn": False}),
        data,
        None,
    )
    crops = [item for plan in task.plans(0) for item in plan]
    assert len(crops) == task.steps_per_epoch == sum(round(s.grid.size / 64) for s in task.samples)
    crop = crops[0]
    part = float(next(task.losses([crop])))
    with torch.no_grad():
        elf = task.model([crop.sample.structure], [crop.sample.grid])[0].sigmoid()
    index = np.ix_(*((np.arange(4) + s) % n for s, n in zip(crop.start, crop.sample.grid.shape, strict=True)))
    difference = np.abs(elf.numpy()[index] - crop.sample.target.numpy()[index])
    expected = np.where(difference < 0.03, difference**2 / 0.06, difference - 0.015).mean()
    assert part == pytest.approx(expected, rel=1e-4)


def test_seam_error_goes_to_the_card(data, tmp_path):
    folder = train(config(epochs=1, **FLAT), tmp_path, root=data)
    assert json.loads((folder / "config.json").read_text())["training"]["seam_error"] < 1e-5


def test_crops_of_a_model_that_needs_whole_cells(data, tmp_path):
    changes = {"model": MODEL | {"averaging": "output"}, "fields": {"crop": 4}}
    with pytest.raises(ElfzooError, match="crops need"):
        train(config(**changes), tmp_path, root=data)


@pytest.mark.parametrize("wrong", [{"terms": []}, {"terms": ["voxel", "voxel"]}, {"crop": 0}, {"bins": 1}])
def test_senseless_field_training_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"at least one term|two bins"):
        parse(FieldTraining, wrong)


def test_empty_split(data):
    empty = DataConfig("fluid-h", "train", structures=0)
    model = elfzoo.create_model("symmetry_unet", MODEL)
    with pytest.raises(ElfzooError, match="at least one structure"):
        FieldTask(model, parse(TrainConfig, vars(config()) | {"train": (empty,)}), data, None)
