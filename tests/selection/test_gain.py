"""Information gains against explicit determinants and Bayesian regression, greedy choices against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from elfzoo.selection.gain import deviations, greedy, information_gain, variance_gain

WIDTH = 5


def random_case(seed: int, candidates: int, points: int = 4) -> tuple[np.ndarray, list[np.ndarray]]:
    """An information matrix, and rows of candidates of different sizes."""
    rng = np.random.default_rng(seed)
    start = rng.normal(size=(7, WIDTH))
    scale = rng.uniform(0.2, 3.0, candidates)
    return start.T @ start + 0.1 * np.eye(WIDTH), [s * rng.normal(size=(points, WIDTH)) for s in scale]


def grams(rows: list[np.ndarray]) -> list[np.ndarray]:
    return [part.T @ part for part in rows]


@pytest.mark.parametrize("seed", range(3))
def test_information_gain_is_that_of_correlated_observations(seed: int) -> None:
    """½ ln det(1 + G A⁻¹ Gᵀ): the entropy of the values that are to be observed with unit noise."""
    information, (rows,) = random_case(seed, 1)
    covariance = np.eye(len(rows)) + rows @ np.linalg.inv(information) @ rows.T
    expected = 0.5 * np.linalg.slogdet(covariance)[1]
    assert information_gain(information, rows.T @ rows, np.eye(WIDTH)) == pytest.approx(expected, rel=1e-10)


def test_variance_gain_is_the_fall_of_the_mean_posterior_variance() -> None:
    information, rows = random_case(3, 4)
    every = np.concatenate(rows)
    labelled = np.linalg.inv(information + rows[1].T @ rows[1])
    expected = np.mean([g @ (np.linalg.inv(information) - labelled) @ g for g in every])
    pool = every.T @ every / len(every)
    assert variance_gain(information, rows[1].T @ rows[1], pool) == pytest.approx(expected, rel=1e-10)


def test_deviations_are_those_of_the_inverse() -> None:
    information, (rows,) = random_case(4, 1)
    expected = np.sqrt(np.diag(rows @ np.linalg.inv(information) @ rows.T))
    np.testing.assert_allclose(deviations(rows, information), expected, rtol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_each_greedy_step_is_the_best_one(seed: int) -> None:
    """By determinants of all that is chosen so far, which knows nothing of updates."""
    information, rows = random_case(seed, 5)
    steps, after = greedy(information, grams(rows), 3, np.eye(WIDTH))
    taken: list[int] = []
    for step in steps:
        totals = {}
        for i in set(range(5)) - set(taken):
            chosen = sum(grams([rows[j] for j in [*taken, i]]))
            totals[i] = np.linalg.slogdet(information + chosen)[1]
        assert step.candidate == max(totals, key=totals.get)  # type: ignore[arg-type]
        taken.append(step.candidate)
    expected = information + sum(grams([rows[i] for i in taken]))
    np.testing.assert_allclose(after, expected, rtol=1e-12)
    total = 0.5 * (np.linalg.slogdet(expected)[1] - np.linalg.slogdet(information)[1])
    assert sum(step.gain for step in steps) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_greedy_set_is_within_the_bound_of_the_best_one(seed: int) -> None:
    information, rows = random_case(10 + seed, 6)
    start = np.linalg.slogdet(information)[1]

    def value(chosen: tuple[int, ...]) -> float:
        return 0.5 * (np.linalg.slogdet(information + sum(grams([rows[i] for i in chosen])))[1] - start)

    best = max(value(chosen) for chosen in combinations(range(6), 3))
    steps, _ = greedy(information, grams(rows), 3, np.eye(WIDTH))
    assert (1 - 1 / np.e) * best <= sum(step.gain for step in steps) <= best * (1 + 1e-12)


def test_of_independent_structures_the_best_set_is_found() -> None:
    """Where no structure tells anything of another one, greedy is exact, and its gains are known."""
    sizes = [0.5, 3.0, 1.0, 2.0, 0.1]
    steps, _ = greedy(
        np.eye(WIDTH), [np.diag(s**2 * row) for s, row in zip(sizes, np.eye(5), strict=True)], 3, np.eye(5)
    )
    assert [step.candidate for step in steps] == [1, 3, 2]
    np.testing.assert_allclose([step.gain for step in steps], 0.5 * np.log1p(np.square([3.0, 2.0, 1.0])), rtol=1e-12)


@pytest.mark.parametrize("gain", ["information", "variance"])
def test_a_near_copy_loses_its_value(gain: str) -> None:
    """The copy of the best structure is second by its own uncertainty, and last once that is labelled."""
    best, copy, other = 10 * np.eye(3)[:1], 9.99 * np.eye(3)[:1], 2 * np.eye(3)[1:2]
    learned = grams([best, copy, other])
    pool = sum(learned) / 3
    alone = [greedy(np.eye(3), [one], 1, pool, gain)[0][0].gain for one in learned]
    assert np.argsort(alone).tolist() == [2, 1, 0]
    steps, _ = greedy(np.eye(3), learned, 3, pool, gain)
    assert [step.candidate for step in steps] == [0, 2, 1]


def test_no_more_are_chosen_than_there_are() -> None:
    information, rows = random_case(5, 3)
    steps, _ = greedy(information, grams(rows), 7, np.eye(WIDTH))
    assert sorted(step.candidate for step in steps) == [0, 1, 2]
