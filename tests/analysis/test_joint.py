"""Joint histograms against numpy's."""

import numpy as np
import pytest

from elfzoo.analysis.joint import joint_histogram
from elfzoo.errors import ElfzooError


@pytest.mark.parametrize("bins", [1, 7, 20])
def test_counts_are_those_of_numpy(rng, bins):
    reference = rng.uniform(0, 1, (9, 10, 11))
    prediction = np.clip(reference + rng.normal(0, 0.1, reference.shape), 0, 1)
    edges = np.linspace(0, 1, bins + 1)
    expected, *_ = np.histogram2d(reference.ravel(), prediction.ravel(), (edges, edges))
    np.testing.assert_array_equal(joint_histogram(reference, prediction, bins), expected)


def test_ends_are_closed_and_take_what_lies_beyond():
    reference, prediction = np.array([0.0, 1.0, 0.5, 0.5]), np.array([1.0, 1.0, -0.2, 1.3])
    np.testing.assert_array_equal(joint_histogram(reference, prediction, 2), [[0, 1], [1, 2]])


def test_structures_add_up(rng):
    first, second = rng.uniform(0, 1, (2, 60)), rng.uniform(0, 1, (2, 40))
    together = np.concatenate([first, second], axis=1)
    np.testing.assert_array_equal(joint_histogram(*first) + joint_histogram(*second), joint_histogram(*together))


def test_points_must_pair_up():
    with pytest.raises(ElfzooError, match=r"the reference has the shape \(4,\), the prediction \(5,\)"):
        joint_histogram(np.zeros(4), np.zeros(5))
    with pytest.raises(ElfzooError, match="not all finite"):
        joint_histogram(np.zeros(2), np.array([0.0, np.nan]))
