"""Rank statistics against SciPy and against all ways to break ties."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from elfzoo.benchmark.ranking import kendall, spearman, template_metrics, top_overlap
from elfzoo.benchmark.resampling import counts_of

SYSTEMS = ["Al", "Al", "Al-Ni", "Ca", "Ca", "Ca", "W", "Zn", "Pt", "Ti", "Ti", "Li", "Li-Mg", "Cu"]


def strengths(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Of a reference, and a prediction that goes with it by and large; some of each are tied."""
    truth = np.round(rng.random(len(SYSTEMS)), 1)
    return truth, np.round(truth + rng.normal(0, 0.2, len(truth)), 1)


def part(system: str, truth: list[float], guess: list[float], matched: int = 0, moved: float | None = None) -> dict:
    sides = {
        name: {
            "strength": max(values, default=0.0),
            "mean_strength": float(np.mean(values)) if values else 0.0,
            "sites": [{"value": value, "frac_coords": [0, 0, 0]} for value in values],
        }
        for name, values in (("reference", truth), ("prediction", guess))
    }
    return {"system": system, **sides, "matched": matched, "mean_displacement": moved}


def test_correlations_of_every_resample_are_those_of_scipy(rng: np.random.Generator) -> None:
    truth, guess = strengths(rng)
    counts = np.concatenate([np.ones((1, len(truth)), int), counts_of(SYSTEMS)[:20]])
    rho, tau = spearman(truth, guess, counts), kendall(truth, guess, counts)
    for drawn, r, t in zip(counts, rho, tau, strict=True):
        a, b = np.repeat(truth, drawn), np.repeat(guess, drawn)
        assert r == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
        assert t == pytest.approx(stats.kendalltau(a, b).statistic, abs=1e-12)


def test_a_constant_has_no_rank() -> None:
    once = np.ones((1, 4), int)
    for statistic in (spearman, kendall):
        assert np.isnan(statistic(np.arange(4.0), np.zeros(4), once)).all()


def test_whole_systems_are_drawn() -> None:
    counts, which = counts_of(SYSTEMS), np.unique(SYSTEMS, return_inverse=True)[1]
    one_of_each = np.stack([counts[:, which == i] for i in range(which.max() + 1) if (which == i).sum() == 1])
    for i in range(which.max() + 1):
        assert (counts[:, which == i] == counts[:, which == i][:, :1]).all()
    drawn = sum(counts[:, np.flatnonzero(which == i)[0]] for i in range(which.max() + 1))
    assert (drawn == len(set(SYSTEMS))).all()
    assert one_of_each.mean() == pytest.approx(1, abs=0.02) and (counts == counts_of(SYSTEMS)).all()


def test_the_best_are_counted_over_all_ways_to_break_ties() -> None:
    truth, guess = np.array([0.9, 0.5, 0.5, 0.5, 0.1]), np.array([0.2, 0.7, 0.2, 0.2, 0.9])

    def tops(values: np.ndarray, k: int) -> list[set[int]]:
        orders = (order for order in permutations(range(5)) if all(np.diff(values[list(order)]) <= 0))
        return [set(order[:k]) for order in orders]

    for k in (1, 2, 3, 4):
        pairs = [len(a & b) / k for a in tops(truth, k) for b in tops(guess, k)]
        assert top_overlap(truth, guess, k) == pytest.approx(np.mean(pairs))


def test_metrics_of_a_ranking() -> None:
    values = np.linspace(0.2, 0.9, len(SYSTEMS))
    exact = [part(s, [v, v / 2], [v, v / 2], 2, 0.1) for s, v in zip(SYSTEMS, values, strict=True)]
    found = template_metrics(exact)
    for name in ("spearman", "kendall", "spearman_by_mean", "top_5"):
        assert found[name] == pytest.approx(1)
    assert found["spearman_low"] == pytest.approx(1) == found["spearman_high"] and found["strength_mae"] == 0
    assert "top_10" not in found  # more than half of fourteen candidates
    assert (found["site_recall"], found["site_precision"], found["templates_lost"]) == (1, 1, 0)
    assert found["site_displacement"] == pytest.approx(0.1)
    turned = template_metrics([part(s, [v], [1 - v]) for s, v in zip(SYSTEMS, values, strict=True)])
    assert turned["spearman"] == turned["kendall"] == pytest.approx(-1) and np.isnan(turned["site_displacement"])
    assert turned["strength_bias"] == pytest.approx(np.mean(1 - 2 * values))
    assert turned["strength_spread"] == pytest.approx(values.std())


def test_one_system_alone_has_no_interval() -> None:
    found = template_metrics([part("Cu", [v], [v]) for v in (0.2, 0.5, 0.7)])
    assert found["spearman"] == pytest.approx(1) and not [name for name in found if name.endswith(("_low", "_high"))]


def test_a_template_without_a_site_ranks_last_and_counts_as_an_error() -> None:
    parts = [part("Al", [0.5], []), part("Ca", [0.7], [0.6], 1, 0.0), part("W", [], [0.4]), part("Zn", [], [])]
    found = template_metrics(parts)
    assert found["strength_mae"] == pytest.approx((0.5 + 0.1 + 0.4 + 0) / 4) and found["templates_lost"] == 1
    assert found["spearman"] == pytest.approx(stats.spearmanr([0.5, 0.7, 0, 0], [0, 0.6, 0.4, 0]).statistic)
    assert (found["site_recall"], found["site_precision"]) == (0.5, 0.5)
    blind = template_metrics([part(s, [v], []) for s, v in zip(SYSTEMS, range(len(SYSTEMS)), strict=True)])
    assert "spearman" not in blind and np.isnan(blind["site_precision"])
    assert blind["top_5"] == pytest.approx(5 / len(SYSTEMS))  # what chance gives
