"""What the training points determine, and what the validation points calibrate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import elfzoo
from elfzoo.errors import ElfzooError
from elfzoo.posterior import Posterior
from elfzoo.target import Target
from elfzoo.uncertainty import LastLayer, fit, spread_scale
from elfzoo.uncertainty.fit import REGULARISERS, Checked, calibrated, rigidity
from tests.uncertainty.conftest import cell, fitted, make, points

IDENTITY = Target("density_difference", "identity", scale=1.0)


def test_rigidity_is_the_curvature_of_the_squares() -> None:
    """Against automatic differentiation of ELF by the weights of the last layer, point by point."""
    model = make()
    part = points(model, 0, 0.0, count=25)
    assert model.last_layer is not None
    features = torch.from_numpy(model.features(part.structure, part.points))
    total = np.zeros((7, 7))
    for row in features:
        model.zero_grad()
        torch.sigmoid(model.head(row[None])).sum().backward()
        assert model.last_layer.weight.grad is not None and model.last_layer.bias.grad is not None
        slope = torch.cat([model.last_layer.weight.grad[0], model.last_layer.bias.grad]).double().numpy()
        total += np.outer(slope, slope)
    values, vectors, count = rigidity(model, [part])
    assert count == 25
    np.testing.assert_allclose((vectors * values) @ vectors.T, total, rtol=1e-4, atol=1e-6 * values[-1])


def test_the_scale_of_a_linear_target_is_the_one_of_least_squares(rng: np.random.Generator) -> None:
    """Its likelihood is highest where the mean of (error / deviation)² is 1."""
    logits, spread = rng.normal(size=500), rng.uniform(0.1, 1.0, 500)
    y = logits + rng.standard_t(4, 500) * spread
    expected = np.sqrt(np.mean(((logits - y) / spread) ** 2))
    assert spread_scale(logits, spread, y, IDENTITY) == pytest.approx(expected, rel=1e-3)


def test_the_scale_of_elf_is_found_through_the_sigmoid(rng: np.random.Generator) -> None:
    logits, spread = rng.normal(scale=2.0, size=20_000), rng.uniform(0.01, 0.1, 20_000)
    y = 1 / (1 + np.exp(-logits - 3.0 * spread * rng.normal(size=20_000)))
    assert spread_scale(logits, spread, y) == pytest.approx(3.0, rel=0.02)


def test_alpha_and_s_are_the_likeliest_of_the_grid(rng: np.random.Generator) -> None:
    """Against the likelihood itself, for a linear target."""
    rows = rng.normal(size=(60, 4)) * [10, 3, 1, 0.05]
    values, vectors = np.linalg.eigh(rows.T @ rows)
    inputs = rng.normal(size=(300, 4)) * [10, 3, 1, 0.05]
    logits = rng.normal(size=300)
    y = logits + rng.normal(size=300)
    owner = np.repeat([0, 1], 150)
    found = calibrated(Posterior("x", values, vectors, 1.0, 0.0), Checked(inputs, logits, y, owner), IDENTITY)

    def score(s: float) -> tuple[float, float]:
        covariance = np.linalg.inv(rows.T @ rows + s**2 * np.eye(4))
        variance = np.einsum("pi,ij,pj->p", inputs, covariance, inputs)
        alpha2 = np.mean((y - logits) ** 2 / variance)
        return float(np.mean(np.log(alpha2 * variance)) + 1), float(np.sqrt(alpha2))

    scores = {float(s): score(s) for s in np.sqrt(REGULARISERS * values[-1])}
    best = min(scores, key=lambda s: scores[s][0])
    assert found.s == pytest.approx(best) and found.alpha == pytest.approx(scores[best][1], rel=1e-3)
    beyond = np.linalg.norm(inputs @ found.factor, axis=1) > found.quantiles["0.99"]
    assert found.unfamiliar == max(beyond[:150].mean(), beyond[150:].mean())
    assert found.quantiles["0.5"] < found.quantiles["0.9"] < found.quantiles["0.99"] < found.quantiles["1"]


def test_each_group_has_the_alpha_of_its_own_errors(rng: np.random.Generator) -> None:
    """Against the closed form of a linear target; one group alone, or none told, has none of its own."""
    inputs, logits = rng.normal(size=(400, 3)), rng.normal(size=400)
    owner = np.repeat([0, 1, 2, 3], 100)
    y = logits + rng.normal(size=400) * np.repeat([1.0, 5.0, 1.0, 5.0], 100)
    groups = ("hydrogen", "others", "hydrogen", "others")
    start = Posterior("x", np.ones(3), np.eye(3), 1.0, 0.0)
    found = calibrated(start, Checked(inputs, logits, y, owner, groups), IDENTITY)
    distance = np.linalg.norm(inputs @ found.factor, axis=1)
    for group, own in (("hydrogen", owner % 2 == 0), ("others", owner % 2 == 1)):
        expected = np.sqrt(np.mean(((y - logits)[own] / distance[own]) ** 2))
        assert found.groups[group]["alpha"] == pytest.approx(expected, rel=1e-3)
    assert found.of(["H"]).alpha == found.groups["hydrogen"]["alpha"] < found.alpha < found.of(["Al", "Cu"]).alpha
    assert found.of(["H", "La"]).alpha == found.alpha  # no hydride was among them
    for told in ((), ("hydrogen",) * 4):
        assert calibrated(start, Checked(inputs, logits, y, owner, told), IDENTITY).groups == {}


def test_a_prediction_takes_the_alpha_of_its_group() -> None:
    model = make()
    posterior = fitted(model)[0].replace(
        groups={"hydrogen": {"alpha": 0.7}, "others": {"alpha": 9.0, "phi_scale": 3.0}}
    )
    wide, narrow = (
        elfzoo.uncertainty.predict(LastLayer(model, part), cell(0), grid=(4, 4, 4))[1].values
        for part in (posterior.replace(alpha=0.7, groups={}), posterior)
    )
    np.testing.assert_array_equal(narrow, wide)
    source = LastLayer(model, posterior.replace(phi_scale=2.0))
    assert source.for_structure(cell(0)).phi_scale == 2.0
    lithium = cell(0).replace_species({"H": "Li"})
    assert (source.for_structure(lithium).alpha, source.for_structure(lithium).phi_scale) == (9.0, 3.0)


def test_it_covers_errors_of_the_size_it_was_shown() -> None:
    """Errors of the same distribution as in validation, at points of other cells."""
    model = make()
    posterior, _ = fitted(model, noise=0.05)
    from elfzoo.uncertainty.fields import deviation_of_values
    from elfzoo.uncertainty.fit import checked_points

    fresh = checked_points(model, [points(model, seed, 0.05) for seed in range(20, 26)])
    predicted = deviation_of_values(model.target, fresh.logits, posterior.deviation(fresh.inputs))
    error = model.target.values(fresh.logits) - fresh.y
    assert np.sqrt(np.mean(error**2)) == pytest.approx(np.sqrt(np.mean(predicted**2)), rel=0.3)
    assert (np.abs(error) < 2 * predicted).mean() > 0.85


def test_only_trained_releases_have_a_posterior() -> None:
    with pytest.raises(ElfzooError, match="whose card tells how it was trained"):
        fit(make())
    with pytest.raises(ElfzooError, match=r"harris.h-v1 does not end in a linear layer"):
        fit(elfzoo.load_pretrained("harris.h-v1"))
