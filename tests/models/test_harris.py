"""One diagonalisation as a model: what the correction starts from, elements, what training keeps."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.config import parse
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.examples import load_example
from elfzoo.testing import enliven
from elfzoo.training import TrainConfig, train
from elfzoo.transforms import fused

CELL = Structure(Lattice.hexagonal(2.2, 2.8), ["H", "H"], [[0.1, 0.2, 0.1], [0.7, 0.5, 0.6]])
COARSE = {
    "harris": {"basis": {"shells": [{"l": 0, "zeta": 1.0}], "r_cut": 2.0}, "k_mesh": {"spacing": 1.5}, "spacing": 0.2}
}


def test_a_silent_correction_changes_nothing():
    plain, corrected = elfzoo.create_model("harris", COARSE), elfzoo.create_model("harris_delta", COARSE)
    with torch.no_grad():
        for parameter in corrected.network[-1].parameters():
            parameter.zero_()
    values = [m.predict(CELL, grid=(6, 6, 8), progress=False).values for m in (plain, corrected)]
    np.testing.assert_allclose(*values, atol=1e-5)  # each diagonalises by itself, in single precision on the grid


def test_a_fresh_correction_is_small():
    torch.manual_seed(0)
    plain, corrected = elfzoo.create_model("harris", COARSE), elfzoo.create_model("harris_delta", COARSE)
    points = np.random.default_rng(0).random((400, 3))
    corrected.fit_statistics(torch.from_numpy(corrected.features(CELL, points @ CELL.lattice.matrix)))
    a, b = (m.predict(CELL, points=points, progress=False) for m in (plain, corrected))
    assert 0 < np.abs(a - b).max() < 0.1


def test_features_without_the_kernel(monkeypatch):
    """The readable power spectrum gives what the compiled one does."""
    torch.manual_seed(0)
    model = enliven(elfzoo.create_model("harris_delta", {**COARSE, "descriptor": {"smooth": True, "l_max": 2}}))
    points = np.random.default_rng(1).random((50, 3))
    fast = model.predict(CELL, points=points, progress=False)
    monkeypatch.setattr(fused, "supports", lambda config: False)
    np.testing.assert_allclose(model.predict(CELL, points=points, progress=False), fast, atol=2e-5)


@pytest.mark.parametrize("name", ["harris", "harris_delta"])
def test_other_elements_are_refused(name):
    with pytest.raises(ElfzooError, match="of H alone; got Li"):
        elfzoo.create_model(name, COARSE).predict(CELL.copy().replace_species({"H": "Li"}), grid=(4, 4, 4))


def test_nothing_to_learn_is_said(tmp_path):
    data = [{"dataset": "fluid-h", "split": "val", "points": 10}]
    config = parse(TrainConfig, {"name": "harris.x-v0", "architecture": "harris", "train": data, "validate": data})
    with pytest.raises(ConfigError, match="harris has nothing to learn"):
        train(config, tmp_path)


@pytest.mark.parametrize("wrong", [{"hidden": [0]}, {"clamp": -1.0}, {"dropout": 1.0}, {"descriptor": {"channels": 2}}])
def test_configuration_refused(wrong):
    with pytest.raises(ConfigError):
        elfzoo.create_model("harris_delta", wrong)


def test_the_correction_helps_on_a_crystal_that_it_never_saw():
    reference = load_example()
    errors = {}
    for name in ("harris.h-v1", "harris_delta.h-v1"):
        guess = elfzoo.load_pretrained(name).predict(reference.structure, grid=reference.grid, progress=False)
        errors[name] = np.abs(guess.values - reference.values).mean()
    assert errors["harris_delta.h-v1"] < 0.004 < errors["harris.h-v1"] + 0.002


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["harris", "harris_delta"])
def test_predicts_where_gradients_are_off(name, mode):
    torch.manual_seed(0)
    model = elfzoo.create_model(name, COARSE)
    with mode():
        found = model.predict(CELL, grid=(4, 4, 6), progress=False).values
    np.testing.assert_allclose(found, model.predict(CELL, grid=(4, 4, 6), progress=False).values, atol=1e-5)


def test_an_untrained_model_has_a_reader_too(rng):
    model, points = elfzoo.create_model("harris", COARSE), rng.random((30, 3)) @ CELL.lattice.matrix
    features = model.reader(CELL)(points)
    assert features.dtype == torch.float32
    np.testing.assert_allclose(model.head(features), model.evaluator(CELL)(points), atol=1e-4)
    np.testing.assert_allclose(features, model.features(CELL, points), atol=1e-4)
