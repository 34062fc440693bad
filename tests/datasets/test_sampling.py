"""Voxels drawn without replacement, in the numbers that each ELF bin should give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import chisquare

from elfzoo.datasets import CrystalHydrogen, stratified_indices, uniform_indices
from elfzoo.errors import ElfzooError

FIELDS = hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9), elements=st.floats(0, 1))
SEEDS = st.integers(0, 2**32 - 1)


def dealt(available, count):
    """Deal one voxel to each bin in turn until enough are dealt: how many each bin gives, lots apart."""
    taken = np.zeros_like(available)
    while True:
        open_bins = np.flatnonzero(taken < available)
        if len(open_bins) == 0 or taken.sum() + len(open_bins) > count:
            return taken, min(count, available.sum()) - taken.sum()
        taken[open_bins] += 1


@pytest.mark.parametrize("draw", [stratified_indices, uniform_indices])
@given(values=FIELDS, count=st.integers(0, 900), seed=SEEDS)
def test_indices_are_distinct_ascending_and_as_many_as_asked(draw, values, count, seed):
    indices = draw(values, count, np.random.default_rng(seed))
    assert indices.shape == (min(count, values.size),)
    assert (np.diff(indices) > 0).all()
    assert ((indices >= 0) & (indices < values.size)).all()
    np.testing.assert_array_equal(indices, draw(values, count, np.random.default_rng(seed)))


@given(values=FIELDS, count=st.integers(0, 900), bins=st.integers(1, 30), seed=SEEDS)
def test_bins_give_what_dealing_one_by_one_would(values, count, bins, seed):
    indices = stratified_indices(values, count, np.random.default_rng(seed), bins)
    edges = np.floor(values.ravel() * bins).clip(max=bins - 1).astype(int)
    available, taken = (np.bincount(e, minlength=bins) for e in (edges, edges[indices]))
    rounds, by_lot = dealt(available, count)
    extra = taken - rounds
    assert set(extra.tolist()) <= {0, 1}
    assert extra.sum() == by_lot
    assert (taken <= available).all()


def test_a_rare_bin_gives_all_and_the_others_share_the_rest():
    values = np.concatenate([np.full(3, 0.02), np.full(500, 0.5), np.full(500, 0.97)])
    taken = values[stratified_indices(values, 203, np.random.default_rng(1))]
    assert [np.sum(taken == v) for v in (0.02, 0.5, 0.97)] == [3, 100, 100]


def test_the_ends_belong_to_the_end_bins():
    values = np.array([0.0, 1.0, -1e-4, 1 + 1e-4] * 10)
    taken = values[stratified_indices(values, 20, np.random.default_rng(1), bins=2)]
    assert np.sum(taken <= 0) == np.sum(taken >= 1) == 10


def test_more_bins_than_a_byte_counts():
    values = np.repeat(np.arange(600) / 600 + 1e-4, 5)
    taken = values[stratified_indices(values, 1200, np.random.default_rng(1), bins=600)]
    assert set(np.unique(taken, return_counts=True)[1].tolist()) == {2}


@pytest.mark.parametrize("draw", [stratified_indices, uniform_indices])
def test_within_a_bin_every_voxel_has_the_same_chance(draw):
    values, rng = np.repeat([0.1, 0.6], [30, 30]), np.random.default_rng(5)
    hits = sum(np.bincount(draw(values, 20, rng), minlength=60) for _ in range(600))
    assert hits.sum() == 12_000
    assert chisquare(hits).pvalue > 0.01


def test_lots_fall_on_every_bin():
    """With one voxel for two bins each has it half the time: no bin is favoured."""
    values, rng = np.array([0.1, 0.6]), np.random.default_rng(5)
    first = sum(int(stratified_indices(values, 1, rng)[0] == 0) for _ in range(400))
    assert 160 < first < 240


def test_a_real_field_is_drawn_flat_in_elf():
    field = CrystalHydrogen(split="test")[0].field
    available = np.histogram(field.values, np.linspace(0, 1, 21))[0]
    indices = stratified_indices(field.values, 2000, np.random.default_rng(0))
    taken = np.histogram(field.values.ravel()[indices], np.linspace(0, 1, 21))[0]
    rich = available > taken
    assert rich.sum() > 10
    assert np.ptp(taken[rich]) <= 1
    assert np.ptp(available[rich]) > 100  # the field itself is not flat


def test_what_cannot_be_drawn_is_refused(rng):
    for draw in (stratified_indices, uniform_indices):
        with pytest.raises(ElfzooError, match="must not be negative; got -1"):
            draw(np.zeros(4), -1, rng)
    with pytest.raises(ElfzooError, match="not all finite"):
        stratified_indices(np.array([0.1, np.nan]), 1, rng)
    with pytest.raises(ElfzooError, match="at least one bin; got 0"):
        stratified_indices(np.zeros(4), 1, rng, bins=0)
