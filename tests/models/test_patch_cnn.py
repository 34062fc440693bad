"""The patch CNN beyond the contract, which ``test_contract.py`` and the variants below check."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Structure
from torch_geometric.data import Batch

import elfzoo
from elfzoo.config import parse, read_yaml
from elfzoo.errors import ConfigError
from elfzoo.models import PatchCNN, PatchCNNConfig
from elfzoo.models import patch_cnn as module
from elfzoo.probe import probe_data
from elfzoo.testing import EXACT, TRANSFORMATIONS, check_model, enliven
from elfzoo.training import TrainConfig
from elfzoo.training.points import PointSet, plan_batches, stream_batches
from tests.transforms.test_density_patch import LargestArray, reference

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
VARIANTS = {
    "two channels": {"patch": {"channels": 2}},
    "public code": {"readout": "mean", "smooth": False},
    "batch norm, clamp, dropout": {"batch_norm": True, "clamp": 2.0, "dropout": 0.3, "augment": True},
}


def create(patch=None, **changes):
    """A small model with something to say."""
    torch.manual_seed(0)
    patch = {"n_voxels": 4, "r_cut": 0.8} | (patch or {})
    return enliven(
        elfzoo.create_model("patch_cnn", {"patch": patch, "widths": [4, 6, 8], "hidden": [8]} | changes)
    ).eval()


@pytest.fixture(scope="module")
def model():
    return create()


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_keep_the_contract(variant):
    check_model(create(**VARIANTS[variant]))


def test_the_papers_network():
    """12^3 voxels in ±1 Å; with its public code's read-out 73 889 weights, 180 385 with all voxels."""
    model = elfzoo.create_model("patch_cnn", {"readout": "mean"})
    learned = sum(p.numel() for part in (model.convolutions, model.network) for p in part.parameters())
    assert learned == (27 * 16 + 16) + (27 * 16 * 32 + 32) + (27 * 32 * 64 + 64) + (64 * 64 + 64) + (64 + 1)
    assert (model.config.patch.r_cut, model.config.patch.n_voxels) == (1.0, 12)


def test_features_are_the_density_of_all_images(skewed_hydride, rng):
    """From structure to patch, species through the embedding, in a cell far smaller than the patch's reach."""
    model = create(patch={"n_voxels": 4, "channels": 2, "r_cut": 1.5}).double()
    points = rng.random((3, 3)) @ skewed_hydride.lattice.matrix
    weights = model.embedding(torch.tensor(skewed_hydride.atomic_numbers)).detach().numpy()
    data = model.transform(probe_data(skewed_hydride, points, dtype=torch.float64))
    expected = reference(points, skewed_hydride.cart_coords, skewed_hydride.lattice.matrix, weights, model.config.patch)
    np.testing.assert_allclose(model.encode(data).detach(), expected, atol=1e-6 * np.abs(weights).max())


def test_hydrogen_needs_no_training_of_the_encoder(model):
    assert model.encoder_is_constant(["H"])
    assert not model.encoder_is_constant(["H", "Ca"])
    data = model.transform(probe_data(Structure(np.eye(3) * 2.0, ["H"], [[0.1, 0.2, 0.3]]), np.eye(3)))
    elsewhere = create()
    with torch.no_grad():
        for parameter in elsewhere.embedding.parameters():
            parameter.add_(1.0)
    torch.testing.assert_close(model.encode(data), elsewhere.encode(data))


def test_standardised_density(rng):
    model = create(patch={"n_voxels": 4, "channels": 2})
    features = torch.tensor(rng.normal(size=(300, 128)), dtype=torch.float32)
    features[:, 64:] = 5.0 + 3.0 * features[:, 64:]
    model.fit_statistics(features)
    np.testing.assert_allclose(model.standardise.mean, [0.0, 5.0], atol=0.1)
    np.testing.assert_allclose(model.standardise.std, [1.0, 3.0], atol=0.1)


def test_a_grid_is_streamed_in_bounded_memory(model, monkeypatch):
    """A small limit gives the same field, and no array grows with the grid: 64 inputs a point, never all at once."""
    structure = Structure(np.eye(3) * 4.0, ["H"], [[0.1, 0.2, 0.3]])
    whole = model.predict(structure, grid=(8, 8, 8)).values
    monkeypatch.setattr("elfzoo.transforms.density_patch.LARGEST_ARRAY", 8_192)
    monkeypatch.setattr(module, "LARGEST_ARRAY", 8_192)
    for grid in ((8, 8, 8), (16, 8, 8)):
        with LargestArray() as seen:
            field = model.predict(structure, grid=grid)
        assert 4_000 < seen.elements <= 8_192
    np.testing.assert_allclose(field.values[::2], whole, atol=1e-6)


def test_structures_in_one_batch(model, skewed_hydride, rng):
    structures = (skewed_hydride, Structure(np.eye(3) * 1.7, ["H"], [[0.1, 0.2, 0.3]]))
    parts = [model.transform(probe_data(s, rng.random((5, 3)) * 3.0)) for s in structures]
    together = model.encode(Batch.from_data_list(parts))
    torch.testing.assert_close(together, torch.cat([model.encode(part) for part in parts]))


def test_several_elements_are_trained_from_fresh_patches(skewed_hydride, rng):
    model = create(augment=True, batch_norm=True, dropout=0.1).train()
    points = PointSet(skewed_hydride, rng.random((40, 3)) * 3.0, rng.random(40).astype(np.float32), None)
    for batch, y in stream_batches(model, plan_batches([points, points], 20, torch.Generator(), None)):
        loss = (torch.sigmoid(model(batch)) - y).square().mean()
        loss.backward()
    assert all(bool((p.grad != 0).any()) and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_learns_where_the_atom_is(rng):
    """One atom in a large cell: the field is a function of the distance, and the patches are stored in float16."""
    structure = Structure(np.eye(3) * 3.0, ["H"], [[0.5, 0.5, 0.5]])
    points = rng.random((200, 3)) * 3.0
    target = torch.tensor(np.exp(-((points - 1.5) ** 2).sum(axis=1)), dtype=torch.float32)
    model = elfzoo.create_model("patch_cnn", {"patch": {"n_voxels": 4}, "widths": [6, 8], "hidden": [16]})
    features = torch.from_numpy(model.features(structure, points)).half().float()
    model.fit_statistics(features)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        loss = (torch.sigmoid(model.head(features)) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.02 * float(target.var())


def test_augmentation_turns_patches_in_training_alone(rng):
    model = create(augment=True)
    patch = torch.tensor(rng.random((1, 64)), dtype=torch.float32)
    many = patch.expand(400, -1)
    assert float(model.head(many).detach().std()) < 1e-6
    turned = model.train().head(many).detach()
    each = model.eval().head(patch[0][model.orientations]).detach()
    distance = (turned[:, None] - each).abs()
    assert float(distance.min(dim=1).values.max()) < 1e-5
    assert len(distance.argmin(dim=1).unique()) > 40  # of 48, 400 draws


@pytest.mark.parametrize("average", [False, True])
def test_mean_over_orientations(average, skewed_hydride, rng):
    """The mean of 48 logits does not change when the crystal is mirrored in a plane of the cube; a single one does."""
    model = create(average=average)
    mirrored, points, _ = TRANSFORMATIONS["reflection"](skewed_hydride, rng.random((20, 3)))
    before, after = (model.predict(s, points=points) for s in (skewed_hydride, mirrored))
    assert (np.abs(after - before).max() < EXACT) == average


def test_smooth_fields_have_continuous_slopes():
    """Along a line the slope of the smooth variant changes by no more than curvature times step; ReLU has kinks."""
    structure = Structure(np.eye(3) * 2.2, ["H", "H"], [[0, 0, 0], [0.3, 0.2, 0.1]])
    line = np.linspace(0, 1, 4001)[:, None] * np.array([[1.0, 0.4, 0.2]])
    kinks = []
    for smooth in (True, False):
        model = create(smooth=smooth).double()
        logits = model.evaluator(structure)(line @ structure.lattice.matrix)
        slopes = np.diff(logits) / np.ptp(np.diff(logits))
        kinks.append(np.abs(np.diff(slopes)).max())
    assert kinks[0] < 0.2 * kinks[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patch": {"n_voxels": 10}}, "cannot halve a cube of 10 voxels"),
        ({"kernel": 4}, "odd kernel"),
        ({"widths": []}, "at least one block"),
        ({"dropout": 1.0}, "dropout lies in"),
        ({"readout": "max"}, "readout"),
        ({"patch": {"r_cutt": 1.0}}, "did you mean 'r_cut'"),
    ],
)
def test_bad_configurations(values, message):
    with pytest.raises(ConfigError, match=message):
        parse(PatchCNNConfig, values)


def test_the_benchmark_configuration_is_valid():
    config = read_yaml(TrainConfig, BENCHMARKS / "configs" / "patch-cnn-h-v1.yaml")
    assert isinstance(elfzoo.create_model(config.architecture, config.model), PatchCNN)
