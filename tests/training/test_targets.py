"""Training on densities: two small crystals whose density is known, a point model and a field model, seconds each."""

import csv
import hashlib
import json

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo import Field
from elfzoo.analysis import compare
from elfzoo.config import parse, read_yaml
from elfzoo.datasets import HydrogenDensity
from elfzoo.datasets.sampling import stratified_indices
from elfzoo.errors import ConfigError, QuantityError
from elfzoo.target import Target
from elfzoo.training import TrainConfig, train
from elfzoo.training.config import DataConfig
from elfzoo.training.fields import FieldSet, FieldTask
from elfzoo.training.losses import FieldLoss
from elfzoo.training.points import PointTask, _draw, draw_points
from elfzoo.transforms.sad import SuperposedDensity

LOG = {"quantity": "density", "link": "log", "scale": 0.4}
DIFFERENCE = {"quantity": "density_difference", "link": "identity", "scale": 0.1}
MODELS = {
    "grid_mlp": {"hidden": [12], "descriptor": {"n_radial": 5, "smooth": True}},
    "symmetry_unet": {"spacing": 0.3, "averaging": "none", "network": {"widths": [4, 6], "groups": 2}},
}


def density(i):
    """SAD with charge moved from the outside of the atoms to their inside; H2 in a box."""
    structure = Structure(Lattice.orthorhombic(2.0, 2.2, 2.3 + 0.1 * i), ["H", "H"], [[0, 0, 0], [0, 0.1 * i, 0.32]])
    grid = elfzoo.Grid.from_spacing(structure.lattice.matrix, 0.12)
    sad = SuperposedDensity(structure).on_grid(grid)
    values = sad**1.2
    return Field(values * sad.mean() / values.mean(), structure, "density", meta={"valence": {"H": 1.0}})


@pytest.fixture
def data(tmp_path, monkeypatch):
    splits = {"train": {}, "val": {}, "test": {}}
    (tmp_path / "density-h").mkdir()
    for i, split in enumerate(("train", "train", "val")):
        path = density(i).write(tmp_path / "density-h" / f"cubic_{i:03d}.npz")
        splits[split][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    recipe = {"engine": "", "functional": "", "pseudopotential": ""}
    manifest = {"density-h": {"name": "density-h", "recipe": recipe, "splits": splits}}
    monkeypatch.setattr("elfzoo.datasets.base.read_manifest", manifest.__getitem__)
    return str(tmp_path)


def config(architecture, target, **changes):
    values = {
        "name": f"{architecture}.toy-v0",
        "architecture": architecture,
        "model": MODELS[architecture],
        "target": target,
        "train": [{"dataset": "density-h", "split": "train", "points": 800, "sampling": "uniform"}],
        "validate": [{"dataset": "density-h", "split": "val", "points": 200, "sampling": "uniform"}],
        "epochs": 12,
        "batch_size": 128 if architecture == "grid_mlp" else 1,
        "learning_rate": 1e-2,
        "schedule": "cosine",
        "fields": {"terms": ["voxel", "gradient"], "turn": False},
    }
    return parse(TrainConfig, values | changes)


def scores(folder):
    with open(folder.parent / "log.csv") as handle:
        return [float(row["score"]) for row in csv.DictReader(handle)]


@pytest.mark.parametrize("target", [LOG, DIFFERENCE], ids=["log", "difference"])
@pytest.mark.parametrize("architecture", MODELS)
def test_learns_a_density_and_hands_it_back(data, tmp_path, architecture, target):
    folder = train(config(architecture, target), tmp_path / "runs", root=data)
    assert min(scores(folder)) < 0.7 * scores(folder)[0]
    model = elfzoo.load_pretrained(folder)
    assert model.target == parse(Target, target)
    reference = HydrogenDensity(root=data, split="val")[0].field
    found = compare(reference, model.predict(reference.structure, grid=reference.grid))
    assert found.quantity == "density" and found.density.reference_electrons == pytest.approx(2)
    assert found.all_voxels.mae == pytest.approx(scores(folder)[-1], rel=0.35)  # e/Å³, of 200 points
    card = json.loads((folder / "config.json").read_text())
    assert card["target"]["quantity"] == card["training"]["config"]["target"]["quantity"] == target["quantity"]


@pytest.mark.parametrize("architecture", MODELS)
def test_losses_are_huber_in_units_of_the_scale(data, architecture):
    torch.manual_seed(0)
    model = elfzoo.create_model(architecture, MODELS[architecture], LOG).eval()
    task = (PointTask if architecture == "grid_mlp" else FieldTask)(
        model, config(architecture, LOG, fields={"terms": ["voxel"], "shift": False, "turn": False}), data, None
    )
    ((batch, share),) = next(task.batches(0))
    assert share == 1
    with torch.no_grad():
        loss = float(next(iter(task.losses(batch))))
        if architecture == "grid_mlp":
            values, reference = 0.4 * model.head(batch[0]).exp(), batch[1]
        else:
            values, reference = 0.4 * model([batch[0].structure], [batch[0].grid])[0].exp(), batch[0].target
    error = (values - reference).abs() / 0.4
    expected = torch.where(error < 0.03, error**2 / 0.06, error - 0.015).mean()
    assert loss == pytest.approx(float(expected), rel=1e-4)


def test_the_reference_on_a_models_grid_is_that_of_its_target(data):
    """Both links bring the same density there, within the spline's error."""
    field = HydrogenDensity(root=data, split="train")[0].field
    sets = {}
    for name, target in (("log", LOG), ("difference", DIFFERENCE)):
        model = elfzoo.create_model("symmetry_unet", MODELS["symmetry_unet"], target)
        sets[name] = FieldSet.of(model, field)
    sad = SuperposedDensity(sets["log"].structure).on_grid(sets["log"].grid)
    np.testing.assert_allclose(sets["log"].target.numpy(), sets["difference"].target.numpy() + sad, atol=2e-3)
    assert float(sets["log"].target.min()) > 0


def test_stratified_points_are_even_over_the_range_of_learned_values(data):
    wanted = DataConfig("density-h", "train", points=400)
    for target in (LOG, DIFFERENCE):
        parsed = parse(Target, target)
        (first, _), _ = draw_points(wanted, 0, data, parsed)
        values = parsed.learned_from(HydrogenDensity(root=data, split="train")[0].field).values
        edges = np.linspace(values.min(), values.max(), 21)
        taken, available = (np.histogram(v, edges)[0] for v in (first.y, values))
        assert (taken[available <= taken.min()] > 0).all() and np.ptp(taken[available > 40]) <= 3
        assert available.max() > 5 * taken.max()  # the field itself is not even
    elf = np.random.default_rng(0).random((9, 9, 9))
    unchanged = stratified_indices(elf, 90, np.random.default_rng(1))
    field = Field(elf, density(0).structure)
    points = _draw(field, DataConfig("fluid-h", "train", points=90), np.random.default_rng(1)).points
    grid_points = field.grid.positions(unchanged)
    np.testing.assert_array_equal(np.sort(points, axis=0), np.sort(grid_points, axis=0))


def test_data_of_another_quantity_are_refused(data, tmp_path):
    with pytest.raises(QuantityError, match="target 'elf' holds the quantity 'density'"):
        train(config("grid_mlp", {}), tmp_path, root=data)
    valence = LOG | {"valence": {"H": 2.0}}
    with pytest.raises(QuantityError, match=r"1 valence electrons per H, SAD 2; state valence: \{H: 1\}"):
        train(config("symmetry_unet", valence), tmp_path, root=data)


@pytest.mark.parametrize("target", [LOG, DIFFERENCE])
def test_histograms_of_densities_are_refused_before_any_data_are_read(tmp_path, target):
    with pytest.raises(ConfigError, match=r"histogram is of values within \[0, 1\], .* leave it out of fields.terms"):
        train(config("symmetry_unet", target, fields={}), tmp_path, root="/nowhere")
    assert FieldLoss(("histogram",), beta=0.03).target == Target()


def test_a_target_is_read_from_yaml(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "name: a\narchitecture: grid_mlp\ntarget: {quantity: density, link: log, scale: 0.44}\n"
        "train: [{dataset: density-h, split: train}]\nvalidate: [{dataset: density-h, split: val}]\n"
    )
    assert read_yaml(TrainConfig, tmp_path / "c.yaml").target == Target("density", "log", 0.44)
    text = (tmp_path / "c.yaml").read_text()
    (tmp_path / "c.yaml").write_text(text.replace("link: log", "lnk: log"))
    with pytest.raises(ConfigError, match=r"unknown key 'target\.lnk'; did you mean 'link'"):
        read_yaml(TrainConfig, tmp_path / "c.yaml")
