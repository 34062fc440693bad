"""Errors of a predicted field: numbers per field, per set of structures, and how sure they are.

The primary figures weigh every voxel of a structure alike and are then averaged over structures. The secondary ones
weigh every ELF bin alike (ELF-stratified), as the training sets of Wang et al. (2026) are drawn. Nothing here mixes
the two: a :class:`Metrics` is one or the other, by the weights it was made with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.stats import wasserstein_distance

from elfzoo.errors import ElfzooError

__all__ = [
    "Interval",
    "Metrics",
    "PairedIntervals",
    "Summary",
    "bootstrap_interval",
    "elf_bins",
    "field_metrics",
    "histogram_distance",
    "paired_bootstrap",
    "stratified_weights",
    "summarise",
]

ELF_BINS = 20  # strata on [0, 1]


@dataclass(frozen=True)
class Metrics:
    """Errors of one field (prediction - reference), in the field's own unit; ELF has none.

    Attributes:
        points: number of points with a weight.
        mae: mean |error|.
        rmse: root mean square error.
        r2: 1 - Σ error² / Σ (reference - its mean)², about the identity line; nan for a constant reference, which
            has no variance to explain.
        r2_correlated: squared Pearson correlation, blind to scale and offset; nan when either field is constant.
        max_error: largest |error|.
        bias: mean error.
    """

    points: int
    mae: float
    rmse: float
    r2: float
    r2_correlated: float
    max_error: float
    bias: float


@dataclass(frozen=True)
class Summary:
    """Metrics of several structures, each structure weighing the same.

    ``mae, rmse, r2, r2_correlated, bias`` are means over structures (of R², over those where it is defined; the
    others are counted in ``r2_undefined``); ``max_error`` and ``highest_mae`` are the largest, ``lowest_r2`` the
    lowest of any structure.
    """

    structures: int
    mae: float
    rmse: float
    r2: float
    r2_correlated: float
    bias: float
    max_error: float
    highest_mae: float
    lowest_r2: float
    r2_undefined: int


@dataclass(frozen=True)
class Interval:
    """An estimate with its bootstrap percentile interval at confidence ``level``."""

    estimate: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class PairedIntervals:
    """Two models on the same structures: the difference a - b and the ratio a / b of a statistic of their errors."""

    difference: Interval
    ratio: Interval


def field_metrics(
    reference: Float[np.ndarray, "*shape"],
    prediction: Float[np.ndarray, "*shape"],
    weights: Float[np.ndarray, "*shape"] | None = None,
) -> Metrics:
    """Errors of ``prediction`` against ``reference``, in float64.

    Args:
        reference: values, any shape.
        prediction: values, the same shape.
        weights: not negative, the same shape, any sum; None weighs every point alike. Points of weight zero do not
            take part, not even in ``max_error``.

    Raises:
        ElfzooError: empty, non-finite or differently shaped arrays; negative weights or none above zero.
    """
    truth, guess, weight = _checked(reference, prediction, weights)
    error = guess - truth
    truth_off, guess_off = truth - weight @ truth, guess - weight @ guess
    truth_var, guess_var = float(weight @ truth_off**2), float(weight @ guess_off**2)
    squared = float(weight @ error**2)
    if truth_var == 0 or truth.min() == truth.max():  # rounding leaves a constant with a variance of 1e-33
        r2 = r2_correlated = math.nan
    else:
        r2 = 1 - squared / truth_var
        flat = guess_var == 0 or guess.min() == guess.max()
        r2_correlated = math.nan if flat else _squared_correlation(weight, truth_off, guess_off, truth_var, guess_var)
    absolute = np.abs(error)
    return Metrics(
        points=error.size,
        mae=float(weight @ absolute),
        rmse=math.sqrt(squared),
        r2=r2,
        r2_correlated=r2_correlated,
        max_error=float(absolute.max()),
        bias=float(weight @ error),
    )


def elf_bins(values: Float[np.ndarray, "*shape"], bins: int = ELF_BINS) -> Int[np.ndarray, " points"]:
    """The ELF bin, 0 … bins - 1 of equal width on [0, 1], of every point in flat C order.

    The bins are half-open, the last one closed; values outside [0, 1] belong to the nearest end.

    Raises:
        ElfzooError: non-finite values, or fewer than one bin.
    """
    flat = np.asarray(values).ravel()
    if bins < 1:
        raise ElfzooError(f"ELF strata need at least one bin; got {bins}")
    if not np.isfinite(flat).all():
        raise ElfzooError("ELF values to be stratified are not all finite")
    return np.minimum(np.clip(flat, 0, 1) * bins, bins - 1).astype(np.int64)


def stratified_weights(reference: Float[np.ndarray, "*shape"], bins: int = ELF_BINS) -> Float[np.ndarray, "*shape"]:
    """Weights, of sum 1, under which every non-empty ELF bin of the reference counts the same.

    Args:
        reference: ELF values, any shape.
        bins: number of equal bins on [0, 1].
    """
    values = np.asarray(reference)
    index = elf_bins(values, bins)
    counts = np.bincount(index, minlength=bins)
    return (1.0 / (counts[index] * np.count_nonzero(counts))).reshape(values.shape)


def histogram_distance(reference: Float[np.ndarray, "*shape"], prediction: Float[np.ndarray, "*other"]) -> float:
    """1-Wasserstein distance between the two distributions of values, wherever in space they sit.

    In the unit of the values: the mean distance that values have to move to turn one distribution into the other.
    The arrays may differ in shape.
    """
    first, second = _finite("reference", reference), _finite("prediction", prediction)
    if first.size == second.size:  # the sorted values pair up: five times faster on a large grid
        return float(np.abs(np.sort(first) - np.sort(second)).mean())
    return float(wasserstein_distance(first, second))


def summarise(metrics: Sequence[Metrics]) -> Summary:
    """Average over structures, each weighing the same whatever its number of points."""
    if not metrics:
        raise ElfzooError("there are no metrics to summarise; expected those of at least one structure")
    table = {name: np.array([getattr(m, name) for m in metrics]) for name in Metrics.__dataclass_fields__}
    known = table["r2"][~np.isnan(table["r2"])]
    return Summary(
        structures=len(metrics),
        mae=float(table["mae"].mean()),
        rmse=float(table["rmse"].mean()),
        r2=_mean_where_defined(table["r2"]),
        r2_correlated=_mean_where_defined(table["r2_correlated"]),
        bias=float(table["bias"].mean()),
        max_error=float(table["max_error"].max()),
        highest_mae=float(table["mae"].max()),
        lowest_r2=float(known.min()) if known.size else math.nan,
        r2_undefined=len(metrics) - known.size,
    )


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[..., Any] = np.mean,
    level: float = 0.95,
    seed: int = 0,
    n: int = 10_000,
) -> Interval:
    """Percentile bootstrap interval of a statistic over structures.

    It says how much the figure would move with other structures of the same kind. With fewer than some ten
    structures it is too narrow, and snapshots of one trajectory are not independent.

    Args:
        values: (structures,) one number per structure.
        statistic: a function with an ``axis`` argument, such as ``np.mean`` or ``np.median``.
        level: confidence, between 0 and 1.
        seed: of the resampling; the same seed gives the same interval.
        n: number of resamples.
    """
    sample = _sample(values)
    draws = statistic(sample[_resamples(sample.size, seed, n)], axis=1)
    return _interval(statistic(sample, axis=0), draws, level)


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    statistic: Callable[..., Any] = np.mean,
    level: float = 0.95,
    seed: int = 0,
    n: int = 10_000,
) -> PairedIntervals:
    """Intervals of the difference a - b and the ratio a / b between two models on the same structures.

    Structures are resampled in pairs, so that what is hard for both models cancels. For errors, a difference below
    zero and a ratio below one mean that ``a`` is the better model. The ratio is nan or infinite where the statistic
    of ``b`` vanishes.

    Args:
        a: (structures,) one number per structure, first model.
        b: (structures,) the second model, the same structures in the same order.
        statistic, level, seed, n: as in :func:`bootstrap_interval`.
    """
    first, second = _sample(a), _sample(b)
    if first.size != second.size:
        raise ElfzooError(f"paired models need the same structures; got {first.size} and {second.size} values")
    picks = _resamples(first.size, seed, n)
    drawn_a, drawn_b = statistic(first[picks], axis=1), statistic(second[picks], axis=1)
    whole_a, whole_b = statistic(first, axis=0), statistic(second, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = _interval(np.divide(whole_a, whole_b), np.divide(drawn_a, drawn_b), level)
    return PairedIntervals(_interval(whole_a - whole_b, drawn_a - drawn_b, level), ratio)


def _checked(reference: Any, prediction: Any, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat float64 arrays of the points that have a weight, the weights normalised to sum 1."""
    if np.shape(reference) != np.shape(prediction):
        raise ElfzooError(f"reference has shape {np.shape(reference)}, prediction {np.shape(prediction)}")
    truth, guess = _finite("reference", reference), _finite("prediction", prediction)
    if weights is None:
        return truth, guess, np.full(truth.size, 1 / truth.size)
    if np.shape(weights) != np.shape(reference):
        raise ElfzooError(f"weights have shape {np.shape(weights)}; expected {np.shape(reference)}")
    weight = _finite("weights", weights)
    keep = weight > 0
    if weight.min() < 0 or not keep.any():
        raise ElfzooError("weights must not be negative, and at least one must be above zero")
    return truth[keep], guess[keep], weight[keep] / weight.sum()


def _finite(name: str, values: Any) -> np.ndarray:
    flat = np.asarray(values, dtype=np.float64).ravel()
    if flat.size == 0 or not np.isfinite(flat).all():
        bad = int(np.count_nonzero(~np.isfinite(flat)))
        raise ElfzooError(f"{name} has {f'{bad} non-finite values' if flat.size else 'no values'}")
    return flat


def _squared_correlation(
    weight: np.ndarray, truth_off: np.ndarray, guess_off: np.ndarray, truth_var: float, guess_var: float
) -> float:
    covariance = float(weight @ (truth_off * guess_off))
    return min(1.0, (covariance / math.sqrt(truth_var) / math.sqrt(guess_var)) ** 2)  # rounding passes 1 by an ulp


def _mean_where_defined(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _sample(values: ArrayLike) -> np.ndarray:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ElfzooError(
            f"the bootstrap needs one finite number per structure; got an array of shape {sample.shape} "
            f"with {int(np.count_nonzero(~np.isfinite(sample)))} non-finite values"
        )
    return sample


def _resamples(size: int, seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, size, size=(n, size))


def _interval(estimate: Any, draws: np.ndarray, level: float) -> Interval:
    if not 0 < level < 1:
        raise ElfzooError(f"the confidence level must lie between 0 and 1; got {level}")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(low), float(high), level)
