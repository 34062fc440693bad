"""What the last layer sees, over the registry; ensembles; who is refused."""

from __future__ import annotations

import copy
from unittest.mock import patch

import numpy as np
import pytest
import torch

import elfzoo
from elfzoo.errors import ElfzooError
from elfzoo.models import PointModel
from elfzoo.registry import find_architecture
from elfzoo.testing import enliven
from elfzoo.uncertainty import Ensemble, LastLayer
from elfzoo.uncertainty.source import head_and_inputs, last_layer_of
from tests.uncertainty.conftest import cell, make

HAVE = {"grid_mlp", "patch_cnn", "probe_graph", "harris_delta"}
CHEAP = {
    "harris_delta": {"harris": {"basis": {"shells": [{"l": 0, "zeta": 1.0}], "r_cut": 2.0}, "spacing": 0.3}},
    "harris_pw_delta": {"plane_waves": {"cutoff": 150.0, "k_spacing": 4.0, "steps": 1}},
}
VARIANTS = [(name, CHEAP.get(name, {})) for name in elfzoo.list_models()]
VARIANTS += [("patch_cnn", {"average": True, "widths": [2, 3], "patch": {"n_voxels": 4}})]


@pytest.mark.parametrize(("name", "config"), VARIANTS)
def test_logits_move_with_the_last_layer_as_its_inputs_say(name: str, config: dict, rng: np.random.Generator) -> None:
    if missing := find_architecture(name).missing_packages():
        pytest.skip(f"no {', '.join(missing)}")
    torch.manual_seed(0)
    model = elfzoo.create_model(name, config).eval()
    if not isinstance(model, PointModel) or model.last_layer is None:
        assert name not in HAVE
        with pytest.raises(ElfzooError, match=f"{type(model).__name__} does not end in a linear layer"):
            LastLayer(model)
        return
    places = rng.random((12, 3)) @ cell(0).lattice.matrix
    features = model.reader(cell(0))(places)
    logits, inputs = head_and_inputs(model, features)
    np.testing.assert_allclose(logits, model.evaluator(cell(0))(places), atol=1e-4)
    assert inputs.shape == (12, model.last_layer.in_features + 1) and (inputs[:, -1] == 1).all()
    change = rng.normal(size=inputs.shape[1])
    with torch.no_grad():
        model.last_layer.weight += torch.from_numpy(change[:-1]).float()
        model.last_layer.bias += float(change[-1])
        moved = model.head(features).numpy()
    np.testing.assert_allclose(moved - logits, inputs @ change, rtol=2e-3, atol=2e-4)


def test_points_in_parts_and_orientations_keep_their_order(rng: np.random.Generator) -> None:
    """patch_cnn cuts large blocks, and averages over the orientations of each part."""
    torch.manual_seed(0)
    made = elfzoo.create_model("patch_cnn", {"average": True, "widths": [2, 3], "patch": {"n_voxels": 4}}).eval()
    model, _ = last_layer_of(made)
    features = model.reader(cell(0))(rng.random((9, 3)) @ cell(0).lattice.matrix)
    whole = head_and_inputs(model, features)[1]
    with patch.object(type(made), "_points_at_once", lambda self, device: 4):
        cut = head_and_inputs(model, features)[1]
    np.testing.assert_allclose(cut, whole, atol=1e-6)


def test_readers_answer_as_encoders_do(rng: np.random.Generator) -> None:
    model = make()
    places = rng.random((20, 3)) @ cell(1).lattice.matrix
    np.testing.assert_allclose(model.reader(cell(1))(places), PointModel.reader(model, cell(1))(places), atol=2e-4)


def test_a_model_without_a_posterior_is_refused_by_name() -> None:
    with pytest.raises(ElfzooError, match="GridMLP comes without an uncertainty"):
        LastLayer(make())


def test_a_posterior_of_another_width_is_refused(model: PointModel) -> None:
    torch.manual_seed(0)
    other = elfzoo.create_model("grid_mlp", {"hidden": [3]})
    with pytest.raises(ElfzooError, match=r"has 7 dimensions.*needs 4"):
        LastLayer(other, model.posterior)


# ---- ensembles ----


def test_identical_members_have_no_spread() -> None:
    model = make()
    found = Ensemble([model, copy.deepcopy(model), model]).evaluator(cell(0), 3, 0)(cell(0).cart_coords + 0.3)
    assert not found.distance.any()
    assert (found.members == found.logits).all()


def test_mean_and_spread_of_two() -> None:
    one, two = make(0), make(1)
    places = cell(0).cart_coords + 0.3
    a, b = (m.evaluator(cell(0))(places).astype(float) for m in (one, two))
    found = Ensemble([one, two], scale=3.0).evaluator(cell(0), 9, 0)(places)
    np.testing.assert_allclose(found.logits, (a + b) / 2)
    np.testing.assert_allclose(found.distance, np.abs(a - b) / np.sqrt(2))
    np.testing.assert_allclose(found.members, [(a + b) / 2 + 1.5 * (a - b), (a + b) / 2 - 1.5 * (a - b)])


def test_ensembles_that_are_none() -> None:
    torch.manual_seed(0)
    density = {"quantity": "density", "link": "log", "scale": 0.1}
    with pytest.raises(ElfzooError, match="two models or more"):
        Ensemble([make()])
    with pytest.raises(ElfzooError, match="one target"):
        Ensemble([make(), enliven(elfzoo.create_model("grid_mlp", None, density))])
