"""Maxima alone are those of the full search; pairs of saddles are judged alike however many are visited at a time."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy import ndimage

from elfzoo import Field
from elfzoo.analysis import critical_points
from elfzoo.analysis import persistence as module
from elfzoo.analysis.critical_points import persistent_maxima
from elfzoo.datasets import Metals


@pytest.fixture(scope="module")
def aluminium() -> Field:
    """One minimum, from which gradient lines lead into cores."""
    data = Metals(split="test")
    return data[data.raw_file_names.index("Al_fcc_V0.8.npz")].field


@pytest.mark.parametrize("threshold", [0.0, 0.005, 0.05])
def test_maxima_alone_are_those_of_the_full_search(aluminium: Field, threshold: float) -> None:
    for field in (aluminium, noisy()):
        every, found = critical_points(field, "logit", threshold), persistent_maxima(field, "logit", threshold)
        maxima = every.select(-3)
        assert len(maxima) > 0 and found.counts["(3,-3)"] == len(found) == len(maxima)
        np.testing.assert_array_equal(found.frac_coords, every.frac_coords[maxima])
        np.testing.assert_array_equal(found.values, every.values[maxima])


def test_blocks_of_saddle_pairs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = critical_points(noisy(), persistence=0.1)
    assert whole.dropped["(3,-1) (3,+1) pairs"] > 3
    monkeypatch.setattr(module, "BLOCK", 3)
    again = critical_points(noisy(), persistence=0.1)
    assert again.dropped == whole.dropped
    np.testing.assert_array_equal(again.frac_coords, whole.frac_coords)


def noisy() -> Field:
    """Smooth noise in a cell of hydrogen, with many points close in value."""
    values = ndimage.gaussian_filter(np.random.default_rng(3).random((20, 20, 20)), 1.5, mode="wrap")
    return Field((values - values.min()) / np.ptp(values), Structure(Lattice.cubic(4.0), ["H"], [[0, 0, 0]]))
