"""Errors against closed forms, brute force and scipy; what they must not depend on."""

import math
from dataclasses import asdict

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elfzoo.analysis import (
    Metrics,
    bootstrap_interval,
    elf_bins,
    field_metrics,
    histogram_distance,
    paired_bootstrap,
    stratified_weights,
    summarise,
)
from elfzoo.analysis.metrics import _checked
from elfzoo.errors import ElfzooError

ELF = st.floats(0, 1, width=16)  # multiples of 2^-24: no denormal variances
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=6)


@st.composite
def pairs(draw):
    """Two fields of one shape, neither of them constant."""
    shape = draw(SHAPES)
    truth, guess = (draw(hnp.arrays(np.float64, shape, elements=ELF)) for _ in range(2))
    assume(np.ptp(truth) > 1e-3 and np.ptp(guess) > 1e-3)
    return truth, guess


def brute_force(truth, guess, weights):
    """The same figures, one point after another."""
    total = sum(weights)
    mean, mean_guess = (sum(w * v for w, v in zip(weights, x, strict=True)) / total for x in (truth, guess))
    sums = dict.fromkeys(("mae", "square", "bias", "var", "var_guess", "cov"), 0.0)
    for w, t, g in zip(weights, truth, guess, strict=True):
        sums["mae"] += w * abs(g - t) / total
        sums["square"] += w * (g - t) ** 2 / total
        sums["bias"] += w * (g - t) / total
        sums["var"] += w * (t - mean) ** 2 / total
        sums["var_guess"] += w * (g - mean_guess) ** 2 / total
        sums["cov"] += w * (t - mean) * (g - mean_guess) / total
    return {
        "mae": sums["mae"],
        "rmse": math.sqrt(sums["square"]),
        "r2": 1 - sums["square"] / sums["var"],
        "r2_correlated": sums["cov"] ** 2 / sums["var"] / sums["var_guess"],
        "max_error": max(abs(g - t) for w, t, g in zip(weights, truth, guess, strict=True) if w),
        "bias": sums["bias"],
    }


def figures(metrics: Metrics) -> dict[str, float]:
    return {key: value for key, value in asdict(metrics).items() if key != "points"}


def metrics(**changes) -> Metrics:
    values = {"points": 8, "mae": 0.1, "rmse": 0.2, "r2": 0.9, "r2_correlated": 0.95, "max_error": 0.5, "bias": 0.0}
    return Metrics(**{**values, **changes})


def test_a_constant_shift_in_closed_form():
    truth = np.array([0.0, 0.25, 0.5, 0.75])
    found = field_metrics(truth, truth + 0.125)
    assert figures(found) == pytest.approx(
        {
            "mae": 0.125,
            "rmse": 0.125,
            "r2": 1 - 0.125**2 / 0.078125,
            "r2_correlated": 1,
            "max_error": 0.125,
            "bias": 0.125,
        }
    )
    assert found.points == 4


def test_the_mean_of_the_reference_has_no_r2_and_its_negative_less():
    truth = np.linspace(0, 1, 11)
    assert field_metrics(truth, np.full(11, 0.5)).r2 == pytest.approx(0, abs=1e-14)
    assert field_metrics(truth, 1 - truth).r2 == pytest.approx(-3)
    assert field_metrics(truth, 1 - truth).r2_correlated == pytest.approx(1)


def test_the_sign_of_the_bias_is_that_of_the_prediction_above_the_reference():
    assert field_metrics(np.array([0.2, 0.4]), np.array([0.1, 0.4])).bias == pytest.approx(-0.05)


@given(pair=pairs(), data=st.data())
def test_every_figure_equals_brute_force(pair, data):
    truth, guess = pair
    weights = data.draw(hnp.arrays(np.float64, truth.shape, elements=st.integers(0, 3).map(float)))
    keep = weights > 0
    assume(keep.any() and np.ptp(truth[keep]) > 1e-3 and np.ptp(guess[keep]) > 1e-3)
    for w, given_weights in ((np.ones_like(truth), None), (weights, weights)):
        expected = brute_force(truth.ravel(), guess.ravel(), w.ravel())
        assert figures(field_metrics(truth, guess, given_weights)) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    repeated = [np.repeat(x.ravel(), weights.ravel().astype(int)) for x in pair]
    weighted = field_metrics(truth, guess, weights)
    assert figures(weighted) == pytest.approx(figures(field_metrics(*repeated)), rel=1e-6, abs=1e-9)
    assert weighted.points == keep.sum()


@given(pair=pairs())
def test_correlation_is_pearsons(pair):
    pearson = scipy.stats.pearsonr(pair[0].ravel(), pair[1].ravel()).statistic
    assert field_metrics(*pair).r2_correlated == pytest.approx(pearson**2, abs=1e-9)


@given(pair=pairs())
def test_figures_are_ordered(pair):
    found = field_metrics(*pair)
    assert abs(found.bias) <= found.mae + 1e-12
    assert found.mae <= found.rmse + 1e-12
    assert found.rmse <= found.max_error + 1e-12
    assert found.r2 <= found.r2_correlated + 1e-9  # no line fits better than the best one
    assert 0 <= found.r2_correlated <= 1


@given(pair=pairs(), seed=st.integers(0, 999))
def test_the_order_of_the_voxels_does_not_matter(pair, seed):
    order = np.random.default_rng(seed).permutation(pair[0].size)
    weights = stratified_weights(pair[0])
    shuffled = [x.ravel()[order] for x in (*pair, weights)]
    assert figures(field_metrics(*shuffled)) == pytest.approx(
        figures(field_metrics(*pair, weights)), rel=1e-6, abs=1e-9
    )
    assert histogram_distance(shuffled[0], pair[1]) == pytest.approx(histogram_distance(*pair), abs=1e-12)


@given(pair=pairs(), scale=st.floats(0.1, 10), offset=st.floats(-2, 2), weight=st.floats(0.01, 100))
def test_under_a_change_of_unit_errors_scale_and_r2_stays(pair, scale, offset, weight):
    truth, guess = pair
    before, after = (
        field_metrics(*pair),
        field_metrics(*(scale * x + offset for x in pair), np.full(truth.shape, weight)),
    )
    for name in ("mae", "rmse", "max_error", "bias"):
        assert getattr(after, name) == pytest.approx(scale * getattr(before, name), rel=1e-6, abs=1e-9)
    assert (after.r2, after.r2_correlated) == pytest.approx((before.r2, before.r2_correlated), rel=1e-5, abs=1e-7)
    blind = field_metrics(truth, -scale * guess + offset)
    assert blind.r2_correlated == pytest.approx(before.r2_correlated, rel=1e-5, abs=1e-7)
    assert histogram_distance(*(scale * x + offset for x in pair)) == pytest.approx(scale * histogram_distance(*pair))


def test_float32_is_summed_in_float64():
    truth = np.full(2_000_000, 0.1, dtype=np.float32)
    found = field_metrics(truth, truth + np.float32(0.5))
    assert found.mae == pytest.approx(float(np.float64(np.float32(0.6)) - np.float64(np.float32(0.1))), rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3])
def test_r2_of_a_constant_is_not_a_number(value):
    constant, other = np.full(7, value), np.linspace(0, 1, 7)
    assert math.isnan(field_metrics(constant, other).r2)
    assert math.isnan(field_metrics(constant, constant).r2)
    assert math.isnan(field_metrics(constant, other).r2_correlated)
    assert math.isnan(field_metrics(other, constant).r2_correlated)
    assert math.isfinite(field_metrics(other, constant).r2)
    weights = np.array([0, 0, 0, 0, 0, 0, 1.0])
    assert math.isnan(field_metrics(other, constant, weights).r2)  # constant where it counts


def test_arrays_that_cannot_be_compared_are_refused():
    good = np.array([0.1, 0.2, 0.3])
    for bad, message in (
        ((good, np.array([0.1, np.nan, np.inf])), "prediction has 2 non-finite values"),
        ((np.array([np.nan, 0, 0]), good), "reference has 1 non-finite values"),
        ((good[:0], good[:0]), "reference has no values"),
        ((good, good, np.array([1, -1, 1.0])), "must not be negative"),
        ((good, good, np.zeros(3)), "at least one must be above zero"),
        ((good, good, np.array([np.nan, 1, 1])), "weights has 1 non-finite"),
    ):
        with pytest.raises(ElfzooError, match=message):
            field_metrics(*bad)
    # shapes are refused by the annotations as long as types are checked, and always by the function itself
    with pytest.raises(ElfzooError, match=r"reference has shape \(3,\), prediction \(2,\)"):
        _checked(good, good[:2], None)
    with pytest.raises(ElfzooError, match=r"weights have shape \(2,\); expected \(3,\)"):
        _checked(good, good, good[:2])


def test_bins_are_half_open_and_keep_what_lies_outside():
    values = np.array([[-0.1, 0.0, 0.0499], [0.05, 0.999, 1.0], [1.1, 0.5, 0.25]])
    assert elf_bins(values, 20).tolist() == [0, 0, 0, 1, 19, 19, 19, 10, 5]
    assert elf_bins(values, 1).tolist() == [0] * 9
    with pytest.raises(ElfzooError, match="at least one bin"):
        elf_bins(values, 0)
    with pytest.raises(ElfzooError, match="not all finite"):
        elf_bins(np.array([np.nan]))


@given(pair=pairs(), bins=st.integers(1, 30))
def test_stratified_figures_are_means_over_bins(pair, bins):
    truth, guess = pair
    weights = stratified_weights(truth, bins)
    index = np.floor(truth * bins).clip(max=bins - 1)
    strata = [index == b for b in range(bins) if (index == b).any()]
    assert weights.shape == truth.shape
    assert [weights[s].sum() for s in strata] == pytest.approx([1 / len(strata)] * len(strata))
    found = field_metrics(truth, guess, weights)
    assert found.mae == pytest.approx(np.mean([np.abs(guess - truth)[s].mean() for s in strata]))
    assert found.rmse == pytest.approx(math.sqrt(np.mean([((guess - truth) ** 2)[s].mean() for s in strata])))


def test_stratified_is_plain_where_the_field_is_flat_in_elf():
    truth = np.tile((np.arange(20) + 0.5) / 20, 5)
    guess = truth**2
    assert figures(field_metrics(truth, guess, stratified_weights(truth))) == pytest.approx(
        figures(field_metrics(truth, guess))
    )


def test_histogram_distance_in_closed_form():
    values = np.random.default_rng(0).random((4, 5, 6))
    assert histogram_distance(values, values[::-1, :, ::-1]) == 0  # where in space does not matter
    assert histogram_distance(values, values + 0.25) == pytest.approx(0.25)
    assert histogram_distance(values, np.tile(values, (1, 2, 1))) == pytest.approx(0, abs=1e-12)
    assert histogram_distance(np.array([0.0, 1.0]), np.array([0.5])) == pytest.approx(0.5)
    other = np.random.default_rng(1).random((4, 5, 6)) ** 2
    for wanted in (values, values[:2]):  # as many values, or fewer
        expected = scipy.stats.wasserstein_distance(wanted.ravel(), other.ravel())
        assert histogram_distance(wanted, other) == pytest.approx(expected)


def test_summary_averages_over_structures_not_points():
    first, second = metrics(points=1_000_000, mae=0.01, max_error=0.2), metrics(points=1, mae=0.03, r2=0.5, bias=0.1)
    found = summarise([first, second])
    assert (found.structures, found.mae, found.r2, found.bias) == (2, pytest.approx(0.02), pytest.approx(0.7), 0.05)
    assert (found.max_error, found.highest_mae, found.lowest_r2, found.r2_undefined) == (0.5, 0.03, 0.5, 0)


def test_summary_counts_the_structures_without_r2():
    constant = metrics(r2=math.nan, r2_correlated=math.nan, mae=0.3)
    found = summarise([metrics(), constant])
    assert (found.r2, found.lowest_r2, found.r2_undefined, found.mae) == (0.9, 0.9, 1, pytest.approx(0.2))
    assert math.isnan(summarise([constant]).r2)
    assert math.isnan(summarise([constant]).lowest_r2)
    with pytest.raises(ElfzooError, match="at least one structure"):
        summarise([])


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_interval_agrees_with_scipy(statistic):
    values = np.random.default_rng(3).gamma(2.0, size=25)
    found = bootstrap_interval(values, statistic, level=0.9)
    other = scipy.stats.bootstrap(
        (values,),
        statistic,
        confidence_level=0.9,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(9),
    ).confidence_interval
    assert found.estimate == statistic(values)
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.05)


def test_the_seed_makes_the_interval():
    values = np.random.default_rng(3).random(25)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1).low != bootstrap_interval(values, seed=2).low


def test_interval_of_a_large_sample_is_the_normal_one():
    values = np.random.default_rng(4).random(900)
    error = values.std() / math.sqrt(900)
    found = bootstrap_interval(values, n=4000)
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.15 * error
    )


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    intervals = [bootstrap_interval(rng.normal(size=40), level=0.8, n=400, seed=i) for i in range(300)]
    covered = np.mean([i.low <= 0 <= i.high for i in intervals])
    assert 0.72 < covered < 0.88


def test_interval_of_equal_values_has_no_width():
    assert asdict(bootstrap_interval([0.25] * 5)) == {"estimate": 0.25, "low": 0.25, "high": 0.25, "level": 0.95}


def test_pairs_cancel_what_is_hard_for_both():
    hard = np.random.default_rng(6).gamma(1.0, size=18)
    shifted = paired_bootstrap(hard + 0.01, hard)
    assert (shifted.difference.low, shifted.difference.high) == pytest.approx((0.01, 0.01))
    scaled = paired_bootstrap(0.8 * hard, hard)
    assert (scaled.ratio.estimate, scaled.ratio.low, scaled.ratio.high) == pytest.approx((0.8, 0.8, 0.8))
    single = bootstrap_interval(hard)
    assert single.high - single.low > 0.3  # each alone is uncertain


def test_swapped_models_swap_the_signs():
    a, b = np.random.default_rng(7).random((2, 12)) + 0.5
    forth, back = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert forth.difference.estimate == pytest.approx(a.mean() - b.mean())
    assert forth.ratio.estimate == pytest.approx(a.mean() / b.mean())
    assert (forth.difference.low, forth.difference.high) == pytest.approx((-back.difference.high, -back.difference.low))
    assert forth.ratio.low == pytest.approx(1 / back.ratio.high, rel=1e-3)


def test_a_ratio_to_nothing_is_infinite_and_silent(recwarn):
    found = paired_bootstrap([0.1, 0.2], [0.0, 0.0])
    assert found.ratio.estimate == math.inf
    assert found.difference.estimate == pytest.approx(0.15)
    assert not recwarn.list


def test_what_cannot_be_resampled_is_refused():
    for bad, message in (([], r"shape \(0,\)"), ([0.1, math.nan], "1 non-finite"), ([[0.1, 0.2]], r"shape \(1, 2\)")):
        with pytest.raises(ElfzooError, match=message):
            bootstrap_interval(bad)
    with pytest.raises(ElfzooError, match="same structures; got 2 and 3"):
        paired_bootstrap([1, 2], [1, 2, 3])
    with pytest.raises(ElfzooError, match=r"between 0 and 1; got 95"):
        bootstrap_interval([0.1, 0.2], level=95)
