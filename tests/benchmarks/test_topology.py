"""The benchmark of what predictions say, on comparisons with known answers."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy import cos
from pymatgen.core import Lattice, Structure

from elfzoo.analysis import compare_topology, percolation
from elfzoo.field import Field

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import topology

pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")


def cosines(a: float, b: float, c: float) -> Field:
    u, v, w = np.meshgrid(*[2 * np.pi * np.arange(16) / 16] * 3, indexing="ij")
    values = 0.5 + (a * cos(u) + b * cos(v) + c * cos(w)) / 4.2
    return Field(values, Structure(Lattice.orthorhombic(1.6, 1.9, 1.5), ["H"], [[0, 0, 0]]))


def test_summary_of_two_structures_is_that_of_their_amplitudes():
    pairs = [((1.0, 0.7, 0.4), (1.0, 0.7, 0.6)), ((1.0, 0.7, 0.5), (1.0, 0.7, 0.4))]
    rows = [topology.row("f", compare_topology(cosines(*a), cosines(*b)).to_dict()) for a, b in pairs]
    found = topology.summary(rows)
    assert found["phi_3d_mae"] == pytest.approx(0.15 / 4.2, abs=1e-5)  # +0.2 and -0.1 of -a+b+c
    assert found["phi_3d_bias"] == pytest.approx(0.05 / 4.2, abs=1e-5)
    assert found["phi_3d_spread"] == pytest.approx(0.05 / 4.2, abs=1e-5)  # 0.1 and 0.2
    assert (found["all recall"], found["all precision"], found["all displacement_A"]) == (1.0, 1.0, 0.0)
    json.dumps(rows, allow_nan=False)


def test_points_are_pooled_not_averaged():
    rows = [topology.row("f", compare_topology(cosines(1, 0.7, 0.4), cosines(1, 0.7, 0.4)).to_dict()) for _ in "ab"]
    rows[0]["points"]["all"] |= {"reference": 32, "matched": 8}
    assert topology.summary(rows)["all recall"] == pytest.approx(16 / 40)
