"""Targets: links and their inverses, what is learned from a field, what is handed back, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo import Field
from elfzoo.config import parse
from elfzoo.errors import ConfigError, ElfzooError, QuantityError
from elfzoo.hub import load_release, save_release
from elfzoo.models.base import PointModel
from elfzoo.models.field_model import FieldModel
from elfzoo.probe import probe_data
from elfzoo.quantity import quantity_of
from elfzoo.target import CLIP, FLOOR, Target
from elfzoo.testing import check_model, enliven
from elfzoo.transforms.sad import SuperposedDensity

LOG = {"quantity": "density", "link": "log", "scale": 0.4}
DIFFERENCE = {"quantity": "density_difference", "link": "identity", "scale": 0.1}
SMALL = {
    "grid_mlp": {"descriptor": {"smooth": True, "n_radial": 5}, "hidden": [16]},
    "symmetry_unet": {"spacing": 0.3, "network": {"widths": [4, 6], "groups": 2}},
}


def make(name, target, seed=0):
    torch.manual_seed(seed)
    return enliven(elfzoo.create_model(name, SMALL[name], target)).eval()


@pytest.fixture
def density(skewed_hydride):
    """SAD and a wave on top of it."""
    grid = elfzoo.Grid((20, 18, 22), skewed_hydride.lattice.matrix)
    values = SuperposedDensity(skewed_hydride).on_grid(grid) + 0.05 * wave(grid)
    return Field(values, skewed_hydride, "density", meta={"valence": {"H": 1.0, "Ca": 10.0}})


def wave(grid):
    return np.cos(2 * np.pi * grid.frac_coords() @ [1, 0, -1]).reshape(grid.shape)


@pytest.mark.parametrize(("values", "at_zero"), [({}, 0.5), (LOG, 0.4), (DIFFERENCE, 0.0)])
def test_outputs_are_the_inverse_of_values(values, at_zero, rng):
    target, outputs = parse(Target, values), rng.normal(scale=2.0, size=(4, 5))
    found = target.values(outputs)
    np.testing.assert_allclose(target.outputs(found), outputs, rtol=1e-9)
    np.testing.assert_allclose(target.tensor(torch.from_numpy(outputs)).numpy(), found, rtol=1e-12)
    assert target.values(np.zeros(1))[0] == at_zero


def test_values_that_no_output_gives_are_moved():
    elf, log = Target(), parse(Target, LOG)
    np.testing.assert_allclose(elf.values(elf.outputs(np.array([0.0, 1.0]))), [CLIP, 1 - CLIP])
    np.testing.assert_allclose(log.values(log.outputs(np.array([0.0, -0.1]))), FLOOR * log.scale)


def test_outputs_of_any_size_give_finite_values():
    for values in ({}, LOG, DIFFERENCE):
        target = parse(Target, values)
        assert np.isfinite(target.values(np.array([-1e4, 1e4], dtype=np.float32))).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"quantity": "density"}, "target density has the link 'log'; got 'logit'"),
        (LOG | {"link": "identity"}, "has the link 'log'; got 'identity'"),
        (LOG | {"scale": None}, r"needs a positive scale in e/Å³; got None"),
        (DIFFERENCE | {"scale": -1.0}, "positive scale"),
        ({"scale": 2.0}, "elf has neither scale nor valence"),
        ({"valence": {"H": 1}}, "elf has neither scale nor valence"),
        (LOG | {"valence": {"H": 0}}, "positive number of electrons"),
        ({"quantity": "densty"}, "densty"),
        ({"quantitty": "density"}, "unknown key 'quantitty'; did you mean 'quantity'"),
    ],
)
def test_senseless_targets_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        parse(Target, values)


def test_the_difference_is_what_sad_leaves_of_the_density(density):
    learned = parse(Target, DIFFERENCE).learned_from(density)
    assert learned.quantity == "density_difference"
    np.testing.assert_allclose(learned.values, 0.05 * wave(density.grid), atol=1e-12)
    assert parse(Target, LOG).learned_from(density) is density


def test_a_reference_of_another_quantity_is_refused(density):
    elf = density.replace(quantity="elf")
    for values in (LOG, DIFFERENCE):
        with pytest.raises(
            QuantityError, match=r"reference for a target '.*' holds the quantity 'elf'; expected 'dens"
        ):
            parse(Target, values).learned_from(elf)
    with pytest.raises(QuantityError, match="target 'elf' holds the quantity 'density'; expected 'elf'"):
        Target().learned_from(density)


@pytest.mark.parametrize("values", [LOG, DIFFERENCE])
def test_other_valence_electrons_than_those_of_sad_must_be_stated(density, values):
    small = density.replace(meta={"valence": {"H": 1, "Ca": 2}})
    with pytest.raises(QuantityError, match=r"2 valence electrons per Ca, SAD 10; state valence: \{Ca: 2\}"):
        parse(Target, values).learned_from(small)
    parse(Target, values | {"valence": {"Ca": 2}}).learned_from(small)
    with pytest.raises(QuantityError, match=r"10 valence electrons per Ca, SAD 2"):
        parse(Target, values | {"valence": {"Ca": 2}}).learned_from(density)


def test_elements_without_a_free_atom(density):
    density.structure.replace(1, "Tc")
    unknown = density.replace(meta={"valence": {"Tc": 15.0}})
    assert parse(Target, LOG).learned_from(unknown) is unknown
    with pytest.raises(ElfzooError, match="no free-atom density of Tc"):
        parse(Target, DIFFERENCE).learned_from(unknown)


@pytest.mark.parametrize("name", SMALL)
def test_elf_is_predicted_as_it_was_before_there_were_targets(name, skewed_hydride, rng):
    """Bit by bit: the sigmoid of what the evaluator gives."""
    points = rng.random((50, 3))
    model = make(name, None)
    if isinstance(model, PointModel):
        order = np.lexsort(np.floor(points @ skewed_hydride.lattice.matrix / 0.5).astype(int).T)
        logits = np.empty(50, np.float32)
        logits[order] = model.evaluator(skewed_hydride)((points @ skewed_hydride.lattice.matrix)[order])
    else:
        logits = model.evaluator(skewed_hydride)(points @ skewed_hydride.lattice.matrix)
    expected = (1.0 / (1.0 + np.exp(-np.clip(logits, -80.0, 80.0)))).astype(np.float32)
    np.testing.assert_array_equal(model.predict(skewed_hydride, points=points), expected)


@pytest.mark.parametrize("release", elfzoo.list_pretrained())
def test_releases_that_say_nothing_of_a_target_are_of_elf(release):
    model = elfzoo.load_pretrained(release)
    assert model.target == Target() and model.quantity == "elf"


@pytest.mark.parametrize("name", SMALL)
def test_log_density_and_what_it_differs_from_sad(name, skewed_hydride, rng):
    points = rng.random((40, 3))
    elf, model = make(name, None), make(name, LOG)
    value = elf.predict(skewed_hydride, points=points).astype(float)
    found = model.predict(skewed_hydride, points=points)
    assert found.min() > 0
    np.testing.assert_allclose(found, 0.4 * value / (1 - value), rtol=2e-3)  # exp(logit)
    difference = model.predict(skewed_hydride, points=points, quantity="density_difference")
    sad = SuperposedDensity(skewed_hydride).at(points)
    np.testing.assert_allclose(found - difference, sad, rtol=0, atol=1e-5 + 1e-6 * found.max())


@pytest.mark.parametrize("name", SMALL)
def test_sad_is_added_to_a_predicted_difference_on_grids_and_points(name, skewed_hydride):
    model = make(name, DIFFERENCE | {"valence": {"Ca": 8}})
    total, difference = (model.predict(skewed_hydride, (5, 6, 4), quantity=q) for q in (None, "density_difference"))
    assert (total.quantity, difference.quantity, model.quantity) == ("density", "density_difference", "density")
    sad = SuperposedDensity(skewed_hydride, {"Ca": 8}).on_grid(total.grid)
    np.testing.assert_allclose(total.values - difference.values, sad, atol=1e-5)
    loose = model.predict(skewed_hydride, points=total.grid.frac_coords())
    np.testing.assert_allclose(loose.reshape(5, 6, 4), total.values, atol=2e-5)
    assert total.values.dtype == loose.dtype == np.float32


def test_sad_is_added_after_the_space_group_has_unfolded_the_points(diamond):
    model = make("grid_mlp", DIFFERENCE)
    fields = [model.predict(diamond, (8, 8, 8), symmetry=s).values for s in (True, False)]
    np.testing.assert_allclose(*fields, atol=1e-5)


def test_quantities_that_a_model_does_not_give(skewed_hydride):
    with pytest.raises(QuantityError, match="a model of 'elf' can give elf; got 'density'"):
        make("grid_mlp", None).predict(skewed_hydride, (2, 2, 2), quantity="density")
    with pytest.raises(QuantityError, match="can give density or density_difference; got 'elf'"):
        make("grid_mlp", LOG).predict(skewed_hydride, (2, 2, 2), quantity="elf")


def test_the_target_rides_with_the_release(tmp_path):
    model = make("grid_mlp", DIFFERENCE | {"valence": {"Al": 3.0}})
    save_release(model, tmp_path / "r", "grid_mlp.tiny-v0")
    assert load_release(tmp_path / "r").target == model.target
    stored = json.loads((tmp_path / "r" / "config.json").read_text())
    assert stored["target"] == DIFFERENCE | {"valence": {"Al": 3.0}}
    del stored["target"]
    (tmp_path / "r" / "config.json").write_text(json.dumps(stored))
    assert load_release(tmp_path / "r").target == Target()


@pytest.mark.parametrize("values", [LOG, DIFFERENCE], ids=["log", "difference"])
@pytest.mark.parametrize("name", SMALL)
def test_models_of_densities_keep_the_contract(name, values):
    found = {d.invariance: d.largest for d in check_model(make(name, values))}
    assert found["supercell"] < 2e-5 and found["permutation"] < 2e-5


def test_training_and_prediction_share_the_link(skewed_hydride, rng):
    """What the loss sees of a batch is what predict hands back."""
    points = rng.random((30, 3))
    model = make("grid_mlp", LOG)
    batch = model.transform(probe_data(skewed_hydride, points @ skewed_hydride.lattice.matrix))
    with torch.no_grad():
        seen = model.target.tensor(model(batch)).numpy()
    np.testing.assert_allclose(model.predict(skewed_hydride, points=points), seen, rtol=1e-4)


def test_ranges_and_texts_of_quantities():
    elf, density = quantity_of("elf"), quantity_of("density")
    values = np.array([0.2, 1.7, 0.9])
    assert elf.bounds == elf.span(values) == (0.0, 1.0) and density.bounds is None
    assert density.span(values, np.array([0.1])) == (0.1, 1.7)
    assert elf.on_unit_interval(values) is values
    np.testing.assert_allclose(density.on_unit_interval(values), [0, 1, 0.7 / 1.5])
    assert (density.on_unit_interval(np.ones(3)) == 0).all()
    assert density.text(0.1, 1.7) == "electron density 0.100 to 1.700 e/Å³" and elf.text(0.5) == "ELF 0.500"
    assert quantity_of("waves").label == "waves" and density.label == "electron density, e/Å³"


def test_a_field_model_has_crops_of_any_target(skewed_hydride):
    from elfzoo.training.fields import seam_error

    torch.manual_seed(0)
    config = {"spacing": 0.4, "averaging": "none", "network": {"widths": [4], "norm": "channel"}}
    model = elfzoo.create_model("symmetry_unet", config, LOG).eval()
    assert isinstance(model, FieldModel)
    cell, grid = model.working_cell(Structure(Lattice.cubic(2.4), ["H"], [[0, 0, 0]]))
    assert seam_error(model, cell, grid, 2) < 1e-5


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_slopes_do_not_need_the_gradients_of_their_caller(mode, rng):
    outputs = rng.normal(size=7)
    elf = Target().values(outputs)
    with mode():
        np.testing.assert_allclose(Target().slopes(outputs), elf * (1 - elf), rtol=1e-12)
