"""Persistence: noise goes and what it carries stays; against GUDHI, on random fields and on random graphs."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Structure

from elfzoo.analysis import critical_points, spline
from elfzoo.analysis.persistence import join_extrema
from elfzoo.field import Field
from elfzoo.interpolate import spline_resample
from tests.analysis.field_oracle import LATTICES, FourierSeries, counts, gyroid, phi, sample

needs_gudhi = pytest.mark.skipif(
    importlib.util.find_spec("gudhi") is None, reason="GUDHI is not installed: pip install gudhi"
)
needs_kernel = pytest.mark.skipif(not spline.available(), reason="the compiled kernel was not built")
TRICLINIC = LATTICES["triclinic"]


@needs_gudhi
@needs_kernel
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("seed", range(2))
def test_extrema_kept_are_those_that_gudhi_finds_persistent(seed, sign):
    """GUDHI joins cubes of a fine grid and sees no saddles: its persistences are right to about 0.005."""
    from gudhi import PeriodicCubicalComplex

    series = FourierSeries.random(np.random.default_rng(seed), 60)
    field = Field(sign * series.grid((18, 20, 16)), Structure(TRICLINIC, ["H"], [[0, 0, 0]]))
    cubes = PeriodicCubicalComplex(
        top_dimensional_cells=-spline_resample(field.values, (54, 60, 48)), periodic_dimensions=[True] * 3
    )
    cubes.compute_persistence()
    births, deaths = cubes.persistence_intervals_in_dimension(0).T
    persistences = np.append(np.sort(deaths - births)[::-1], 0)  # infinite for the highest one, which nothing cancels
    clear = 1 + np.flatnonzero(-np.diff(persistences[1:]) > 0.02)
    assert len(clear) >= 3
    for last in clear:
        threshold = (persistences[last] + persistences[last + 1]) / 2
        assert len(critical_points(field, persistence=threshold).select(-3)) == last + 1


@needs_kernel
@pytest.mark.parametrize("seed", range(3))
def test_noise_is_cancelled(seed):
    rng = np.random.default_rng(seed)
    field = sample(gyroid, (32, 32, 32), rng.random(3), TRICLINIC)
    noisy = field.replace(values=field.values + 0.003 * rng.normal(size=(32, 32, 32)))
    raw, found = critical_points(noisy, persistence=0), critical_points(noisy, persistence=0.02)
    assert counts(raw) != (8, 12, 12, 8)
    assert counts(found) == (8, 12, 12, 8)
    assert (raw.morse_sum, found.morse_sum) == (0, 0)
    assert found.values[found.select(-3)] == pytest.approx(1.5, abs=0.015)
    assert phi(found) == pytest.approx((2**0.5,) * 3, abs=0.015)
    assert sum(counts(raw)) - sum(counts(found)) == 2 * sum(n for key, n in found.dropped.items() if "pairs" in key)


@needs_kernel
def test_persistence_keeps_the_ends_of_the_saddles_right(rng):
    """φ from the points that are left moves by no more than the threshold."""
    for _ in range(4):
        series = FourierSeries.random(rng, 40)
        field = Field(series.grid((24, 24, 24)), Structure(TRICLINIC, ["H"], [[0, 0, 0]]))
        everything, kept = (critical_points(field, persistence=p) for p in (0, 0.03))
        assert len(kept) < len(everything)
        assert kept.morse_sum == 0
        assert (kept.ends[np.abs(kept.signatures) == 1] >= 0).all()
        assert phi(kept) == pytest.approx(phi(everything), abs=1e-12)


@needs_gudhi
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 12), count=st.integers(0, 30), threshold=st.floats(0, 1))
def test_the_elder_rule_on_random_graphs_equals_gudhi(seed, size, count, threshold):
    from gudhi import SimplexTree

    rng = np.random.default_rng(seed)
    heights, ends = rng.random(size), rng.integers(size, size=(count, 2))
    saddles = heights[ends].min(axis=1) - rng.random(count) / 2
    graph = SimplexTree()
    for top, height in enumerate(heights):
        graph.insert([top], -height)
    for saddle, value in enumerate(saddles):  # points of their own: two saddles may join the same maxima
        for end in ends[saddle]:
            graph.insert([size + saddle, end], -value)
    graph.compute_persistence(min_persistence=-1)
    died = [(born[0], join) for born, join in graph.persistence_pairs() if len(born) == 1 and born[0] < size and join]
    near = {top for top, join in died if graph.filtration(join) - graph.filtration([top]) < threshold}
    found = join_extrema(heights, saddles, ends, np.zeros((count, 2, 3), np.int64), threshold)
    assert set(np.flatnonzero(found.cancelled_extrema).tolist()) == near
    assert found.cancelled_saddles.sum() == len(near)
