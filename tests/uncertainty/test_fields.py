"""Fields with deviations: the same field, exact limits, invariances, φ with its error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Structure

import elfzoo
from elfzoo.analysis import percolation
from elfzoo.card import Card
from elfzoo.errors import ElfzooError, QuantityError
from elfzoo.models import PointModel
from elfzoo.target import Target
from elfzoo.uncertainty import Ensemble, LastLayer, member_fields, networking_with_error, predict
from elfzoo.uncertainty.fields import deviation_of_values
from tests.uncertainty.conftest import cell, make

needs_kernel = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")
pytestmark = pytest.mark.filterwarnings("ignore:.*is outside of the training data")


def test_the_field_is_that_of_the_model_and_its_deviation_that_of_the_posterior(model: PointModel) -> None:
    field, deviation = predict(model, cell(0), (6, 7, 8))
    np.testing.assert_allclose(field.values, model.predict(cell(0), (6, 7, 8)).values, atol=1e-6)
    assert deviation.quantity == "elf_deviation" and deviation.values.shape == (6, 7, 8)
    source = LastLayer(model)
    at = source.evaluator(cell(0), 0, 0)(field.grid.positions())
    linear = field.values.ravel() * (1 - field.values.ravel()) * source.alpha * at.distance
    np.testing.assert_allclose(deviation.values.ravel(), linear, rtol=0.05, atol=1e-4)


def test_deviations_go_through_the_link() -> None:
    logits, sigma = np.linspace(-6, 6, 13), np.full(13, 0.01)
    small = deviation_of_values(Target(), logits, sigma)
    elf = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(small, elf * (1 - elf) * sigma, rtol=1e-3)
    large = deviation_of_values(Target(), logits, np.full(13, 50.0))
    assert large.max() <= 1.0 and large.min() > 0.3  # nothing is known: not more than the whole range
    identity = Target("density_difference", "identity", scale=0.2)
    np.testing.assert_allclose(deviation_of_values(identity, logits, sigma), 0.2 * sigma)
    middle = deviation_of_values(Target(), np.zeros(1), np.ones(1))
    sample = 1 / (1 + np.exp(-np.random.default_rng(0).normal(size=400_000)))
    np.testing.assert_allclose(middle, np.sqrt(np.mean((sample - 0.5) ** 2)), rtol=5e-3)


def test_without_alpha_there_is_no_deviation(model: PointModel) -> None:
    assert model.posterior is not None
    certain = LastLayer(model, model.posterior.replace(alpha=0.0))
    found = member_fields(certain, cell(0), (5, 5, 5), members=3)
    assert not found.deviation.values.any()
    for member in found.members:
        np.testing.assert_array_equal(member.values, found.field.values)


@needs_kernel
def test_without_alpha_phi_has_no_error(model: PointModel) -> None:
    assert model.posterior is not None
    certain = networking_with_error(LastLayer(model, model.posterior.replace(alpha=0.0)), cell(0), (8, 8, 8), members=3)
    assert certain.sigma == 0.0 and set(certain.members) == {certain.phi}
    assert certain.error == certain.networking.phi_error


@needs_kernel
def test_phi_of_a_member_moves_no_more_than_its_field(model: PointModel) -> None:
    """|Δφ| ≤ max |ΔELF| is a theorem; here on the grid itself, which phi_spacing does not refine."""
    drawn = member_fields(model, cell(0), (9, 10, 11), members=6, seed=3)
    found = networking_with_error(model, cell(0), (9, 10, 11), phi_spacing=5.0, members=6, seed=3)
    assert found.phi == pytest.approx(elfzoo.analysis.networking(drawn.field, 5.0).phi)
    moved = [abs(phi - found.phi) for phi in found.members]
    most = [np.abs(member.values - drawn.field.values).max() for member in drawn.members]
    assert all(a <= b + 1e-6 for a, b in zip(moved, most, strict=True)) and max(moved) > 0
    assert found.sigma == pytest.approx(np.sqrt(np.mean(np.square(moved)))) and not found.calibrated
    assert model.posterior is not None
    twice = LastLayer(model, model.posterior.replace(phi_scale=2.0))
    again = networking_with_error(twice, cell(0), (9, 10, 11), phi_spacing=5.0, members=6, seed=3)
    assert again.sigma == pytest.approx(2 * found.sigma) and again.calibrated


def test_members_are_spread_as_the_deviation_says(model: PointModel) -> None:
    drawn = member_fields(model, cell(0), (4, 4, 4), members=400)
    spread = np.std([member.values for member in drawn.members], axis=0)
    np.testing.assert_allclose(spread, drawn.deviation.values, rtol=0.2, atol=1e-3)


def test_supercells_and_other_orders_of_atoms_are_as_certain(model: PointModel) -> None:
    field, deviation = predict(model, cell(0), (4, 6, 5))
    double = cell(0).make_supercell([2, 1, 1], in_place=False)
    again, same = predict(model, double, (8, 6, 5))
    np.testing.assert_allclose(same.values, np.tile(deviation.values, (2, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(again.values, np.tile(field.values, (2, 1, 1)), atol=1e-5)
    turned = Structure.from_sites(list(cell(0))[::-1])
    np.testing.assert_allclose(predict(model, turned, (4, 6, 5))[1].values, deviation.values, atol=1e-5)


def test_members_of_a_seed_are_the_same_in_every_structure(model: PointModel) -> None:
    """One change of the weights is one model: a supercell's member repeats the cell's."""
    one = member_fields(model, cell(0), (4, 6, 5), members=2, seed=5).members[1]
    two = member_fields(model, cell(0).make_supercell([1, 2, 1], in_place=False), (4, 12, 5), members=2, seed=5)
    np.testing.assert_allclose(two.members[1].values, np.tile(one.values, (1, 2, 1)), atol=1e-5)


def test_ensembles_answer_alike() -> None:
    one, two = make(0), make(1)
    found = member_fields(Ensemble([one, two]), cell(0), (4, 4, 4))
    assert len(found.members) == 2
    for model, member in zip((one, two), found.members, strict=True):
        np.testing.assert_allclose(member.values, model.predict(cell(0), (4, 4, 4)).values, atol=1e-6)
    assert not predict(Ensemble([one, one]), cell(0), (4, 4, 4))[1].values.any()


def test_a_mean_says_whose_it_is(model: PointModel) -> None:
    one, two = make(0), make(1)
    for number, member in enumerate((one, two)):
        recipe = {"engine": "any", "functional": "PBE", "pseudopotential": "same"}
        member.card = Card(f"grid_mlp.m{number}-v0", "grid_mlp", {}, f"{number}" * 64, elements=("H",), **recipe)
    field, deviation = predict(Ensemble([one, two]), cell(0), (4, 4, 4))
    for found in (field, deviation):
        assert found.meta["predicted_by"] == "mean of grid_mlp.m0-v0, grid_mlp.m1-v0"
        assert found.meta["members_sha256"] == ["0" * 64, "1" * 64] and "weights_sha256" not in found.meta
    assert field.recipe == one.card.recipe
    two.card = replace(two.card, pseudopotential="other")
    assert predict(Ensemble([one, two]), cell(0), (4, 4, 4))[0].recipe is None


@needs_kernel
def test_the_error_of_phi_of_an_ensemble() -> None:
    """That of two members is their difference over √2, as the standard deviation at a point is; then the factor."""
    both = [make(0), make(1)]
    plain, scaled = (
        networking_with_error(Ensemble(both, phi_scale=scale), cell(0), (8, 9, 10), phi_spacing=0.3, members=2)
        for scale in (None, 0.5)
    )
    changes = np.array(plain.members) - plain.phi
    assert plain.sigma == pytest.approx(np.sqrt((changes**2).sum())) and not plain.calibrated
    assert scaled.sigma == pytest.approx(0.5 * plain.sigma) and scaled.calibrated


def test_some_members_of_an_ensemble_lie_around_the_mean_of_all() -> None:
    """Their squares are those of all, but for the share; blocks are such as the largest features allow."""
    models = [make(seed) for seed in range(4)]
    ensemble = Ensemble(models)
    assert [ensemble.freedom(k) for k in (2, 4)] == [1.5, 3.0]
    assert ensemble.block_size == min(model.block_size for model in models)
    assert ensemble.workers == min(model.workers for model in models)


def test_densities_have_deviations_in_their_unit() -> None:
    from elfzoo.testing import enliven
    from elfzoo.uncertainty.fit import Posterior

    target = {"quantity": "density_difference", "link": "identity", "scale": 0.1}
    made = enliven(elfzoo.create_model("grid_mlp", {"hidden": [6]}, target), ("H",))
    made.posterior = Posterior("x", np.ones(7), np.eye(7), alpha=0.5, s=0.0)
    field, deviation = predict(made, cell(0), (4, 4, 4))
    np.testing.assert_allclose(field.values, made.predict(cell(0), (4, 4, 4)).values, rtol=1e-5)
    outputs = LastLayer(made).evaluator(cell(0), 0, 0)(field.grid.positions())
    np.testing.assert_allclose(deviation.values.ravel(), 0.1 * 0.5 * outputs.distance, rtol=1e-4)
    assert deviation.quantity == "density_deviation"
    with pytest.raises(QuantityError, match="networking value of ELF"):
        networking_with_error(made, cell(0))


def test_one_member_is_no_spread(model: PointModel) -> None:
    with pytest.raises(ElfzooError, match="two members or more"):
        networking_with_error(model, cell(0), members=1)


def test_deviations_can_be_written_and_read(model: PointModel, tmp_path) -> None:
    _, deviation = predict(model, cell(0), (5, 5, 5))
    for name in ("ELFCAR", "d.cube", "d.npz", "d.h5", "d.xsf"):
        again = elfzoo.read_field(deviation.write(tmp_path / name))
        assert again.quantity == "elf_deviation"
        np.testing.assert_allclose(again.values, deviation.values, atol=1e-5)
