"""Nested results as JSON."""

import json
import math

import numpy as np
import pytest

from elfzoo.io.json_values import json_values


def test_numbers_arrays_and_nesting():
    values = {
        "array": np.array([[1.5, np.nan], [np.inf, -2.0]], dtype=np.float32),
        "whole": np.arange(2),
        "scalars": (np.float64(0.1), np.int64(2), np.bool_(True), np.array(3.0)),
        "plain": [{"a": (1, True, None, "x")}, math.nan, -math.inf, 10**20],
    }
    found = json_values(values)
    assert found == {
        "array": [[1.5, None], [None, -2.0]],
        "whole": [0, 1],
        "scalars": [0.1, 2, True, 3.0],
        "plain": [{"a": [1, True, None, "x"]}, None, None, 10**20],
    }
    assert [type(value) for value in found["scalars"]] == [float, int, bool, float]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("digits", [1, 3, 6])
def test_floats_alone_are_rounded_to_significant_digits(digits):
    numbers = [1 / 3, -2e-9 / 3, 98765.4321, 0.0]
    found = json_values({"a": np.array(numbers), "b": tuple(numbers), "c": 123456789}, digits)
    assert found == {key: [float(f"{number:.{digits - 1}e}") for number in numbers] for key in "ab"} | {"c": 123456789}
    assert json_values(numbers) == numbers
