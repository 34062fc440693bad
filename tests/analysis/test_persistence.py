"""Persistence against GUDHI: extrema of random fields, and the elder rule on random graphs."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from elfzoo.analysis import critical_points, spline
from elfzoo.analysis.persistence import join_extrema
from elfzoo.field import Field
from elfzoo.interpolate import spline_resample
from tests.analysis.field_oracle import FourierSeries

needs_gudhi = pytest.mark.skipif(
    importlib.util.find_spec("gudhi") is None, reason="GUDHI is not installed: pip install gudhi"
)
needs_kernel = pytest.mark.skipif(not spline.available(), reason="the compiled kernel was not built")
TRICLINIC = Lattice.from_parameters(1.6, 1.9, 1.5, 78, 97, 109)


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
