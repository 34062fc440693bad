"""The retrospective test of choices: its step of the last layer against least squares, its ranks by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import selection

import elfzoo
import elfzoo.examples
from elfzoo.uncertainty import LastLayer


@pytest.fixture(scope="module")
def source() -> LastLayer:
    return LastLayer(elfzoo.load_pretrained("grid_mlp.smooth-h-v3"))


def test_the_step_is_the_regularised_least_squares_solution(source: LastLayer) -> None:
    """Rows of labels and of the posterior below each other, solved without any normal equations."""
    rng, post = np.random.default_rng(0), source.posterior
    inputs, logits = rng.normal(size=(300, len(post.eigenvalues))), rng.normal(size=300)
    elf = 1 / (1 + np.exp(-logits))
    y = np.clip(elf + rng.normal(scale=0.05, size=300), 0, 1)
    weight = np.sqrt(10_000 / selection.POINTS)  # of its 36 structures it learned 10 000 points each
    rows = weight * inputs * (elf * (1 - elf))[:, None]
    prior = np.sqrt(post.eigenvalues + post.s**2)[:, None] * post.eigenvectors.T
    stacked, values = np.concatenate([rows, prior]), np.concatenate([weight * (y - elf), np.zeros(len(prior))])
    expected = np.linalg.lstsq(stacked, values, rcond=None)[0]
    np.testing.assert_allclose(selection.step(source, [(inputs, logits, y)]), expected, rtol=1e-4, atol=1e-6)


def test_errors_without_a_change_are_those_of_the_model(source: LastLayer) -> None:
    field = elfzoo.examples.load_example()
    part = selection.points_of(source, field, 0)
    guess = source.model.predict(field.structure, grid=field.grid, progress=False).values
    error = selection.mean_error([part], np.zeros(len(source.posterior.eigenvalues)))
    assert error == pytest.approx(float(np.abs(guess - field.values).mean()), rel=0.1)  # 2000 of its points


def test_ranks_count_the_lots_that_are_worse() -> None:
    assert selection.ranks({"a": 2.5, "b": 0.0}, [1.0, 2.0, 3.0, 4.0]) == {"a": 0.5, "b": 1.0}
    assert selection.spread([1.0, 3.0]) == {"lot": 2.0, "lot_std": 1.0, "lot_min": 1.0, "lot_max": 3.0}
