"""Frames of a trajectory: one at a time, in order, with rows that a table takes."""

import json

import numpy as np
import pytest
from pymatgen.core import Structure

from elfzoo.analysis import networking, percolation, track
from elfzoo.analysis.trajectory import ROW
from elfzoo.field import Field

pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")


def gaussians(separation: float, species: str = "H") -> Field:
    """Two bumps around two atoms of a cubic cell of 3 Å, ``separation`` Å apart."""
    axis = np.arange(24) / 24 * 3.0
    values = np.zeros((24, 24, 24))
    places = np.array([[1.5 - separation / 2, 1.5, 1.5], [1.5 + separation / 2, 1.5, 1.5]])
    for place in places:
        gap = [np.abs(axis - x) for x in place]
        squares = [np.minimum(g, 3.0 - g) ** 2 for g in gap]
        values += np.exp(-(squares[0][:, None, None] + squares[1][None, :, None] + squares[2]) / 0.18)
    return Field(
        0.9 * values / values.max(), Structure(3 * np.eye(3), [species] * 2, places, coords_are_cartesian=True)
    )


def test_a_molecule_falls_apart():
    together, apart = track([gaussians(0.5), gaussians(1.5)], isovalue=0.5)
    assert (together.number, together.molecular_fraction) == (0, 1.0)
    assert (apart.number, apart.molecular_fraction) == (1, 0.0)
    assert together.networking.phi_star > apart.networking.phi_star


def test_each_frame_is_taken_when_it_is_wanted():
    taken = []

    def frames():
        for number in range(3):
            taken.append(number)
            yield gaussians(0.6)

    frame = next(track(frames()))
    assert taken == [0]
    assert frame.networking.phi == networking(gaussians(0.6)).phi


def test_rows_are_flat_json():
    row = next(track([gaussians(0.6)], h_dos=0.5)).row()
    assert json.loads(json.dumps(row)) == row and tuple(row) == ROW
    assert not any(isinstance(value, dict | list) for value in row.values())
    assert row["tc_is_upper_bound"] is False and row["h_fraction"] == 1.0


def test_without_hydrogen_the_columns_are_empty():
    row = next(track([gaussians(0.6, "Li")])).row()
    assert (row["molecular_fraction"], row["tc_K"], row["phi_star"], row["h_fraction"]) == (None, None, None, 0.0)
