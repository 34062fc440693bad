"""How well predictions rank: rank correlations with intervals, the share of the best that are among the best.

Correlations are written for counts, how often each candidate was drawn, so that all resamples of the bootstrap are one
product of matrices. With a count of 1 for each they are SciPy's ``spearmanr`` and ``kendalltau``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from elfzoo.benchmark.matching import matching_metrics
from elfzoo.benchmark.resampling import counts_of

__all__ = ["kendall", "spearman", "template_metrics", "top_overlap"]

TOPS = (5, 10)
Part = Mapping[str, Any]
Counts = Int[np.ndarray, "draws candidates"]
Values = Float[np.ndarray, " candidates"]
Statistic = Callable[[Any], np.ndarray]


def template_metrics(parts: Sequence[Part]) -> dict[str, float]:
    """Metrics of the task of templates (:mod:`elfzoo.benchmark.templates`) from the parts of its structures.

    Intervals are over chemical systems: structures of one system are drawn together, or not at all.
    """
    (truth, guess), (truth_mean, guess_mean) = (
        [np.array([p[side][name] for p in parts], float) for side in ("reference", "prediction")]
        for name in ("strength", "mean_strength")
    )
    counts = counts_of([p["system"] for p in parts])
    error = guess - truth
    return {
        **_with_interval("spearman", partial(spearman, truth, guess), counts),
        **_with_interval("kendall", partial(kendall, truth, guess), counts),
        **_with_interval("spearman_by_mean", partial(spearman, truth_mean, guess_mean), counts),
        **{f"top_{k}": top_overlap(truth, guess, k) for k in TOPS if 2 * k <= len(parts)},
        **_with_interval("strength_mae", lambda drawn: drawn @ np.abs(error) / drawn.sum(axis=1), counts),
        "strength_bias": error.mean(),
        "strength_spread": truth.std(),
        **_sites(parts),
    }


def spearman(a: Values, b: Values, counts: Counts) -> Float[np.ndarray, " draws"]:
    """Spearman's ρ of each resample: the correlation of ranks, mean ranks for ties; nan where either has one value."""
    x, y = (counts @ ((v[:, None] < v) + 0.5 * (v[:, None] == v)) for v in (a, b))  # ranks, but for a constant
    weights = counts / counts.sum(axis=1, keepdims=True)
    x, y = (v - (weights * v).sum(axis=1, keepdims=True) for v in (x, y))
    with np.errstate(invalid="ignore"):
        return (weights * x * y).sum(axis=1) / np.sqrt((weights * x**2).sum(axis=1) * (weights * y**2).sum(axis=1))


def kendall(a: Values, b: Values, counts: Counts) -> Float[np.ndarray, " draws"]:
    """Kendall's τ_b of each resample; nan where either has one value."""
    x, y = (np.sign(v[:, None] - v) for v in (a, b))
    agreeing, of_x, of_y = (((counts @ pairs) * counts).sum(axis=1) for pairs in (x * y, x**2, y**2))
    with np.errstate(invalid="ignore"):
        return agreeing / np.sqrt(of_x * of_y)


def top_overlap(truth: Values, guess: Values, k: int) -> float:
    """The share of the k highest that are also predicted to be: what is expected where ties are broken at random."""
    ours, theirs = (
        np.clip((k - (v > v[:, None]).sum(axis=1)) / (v == v[:, None]).sum(axis=1), 0, 1) for v in (truth, guess)
    )
    return float(ours @ theirs) / k


def _with_interval(name: str, statistic: Statistic, counts: Counts) -> dict[str, float]:
    """A statistic with its 95 % interval, of the resamples that define it; nothing where it is not defined, and no
    interval where all resamples are one: a single system says nothing of others.
    """
    estimate, draws = float(statistic(np.ones((1, counts.shape[1]), int))[0]), statistic(counts)
    if np.isnan(estimate):
        return {}
    if (counts == counts[0]).all():
        return {name: estimate}
    low, high = np.nanquantile(draws, (0.025, 0.975))
    return {name: estimate, f"{name}_low": float(low), f"{name}_high": float(high)}


def _sites(parts: Sequence[Part]) -> dict[str, float]:
    """Sites pooled over structures, and templates of which the prediction has none."""
    ours, theirs = ([len(p[side]["sites"]) for p in parts] for side in ("reference", "prediction"))
    return {
        **matching_metrics("site", parts, sum(ours), sum(theirs)),
        "templates": len(parts),
        "templates_lost": sum(1 for a, b in zip(ours, theirs, strict=True) if a and not b),
    }
