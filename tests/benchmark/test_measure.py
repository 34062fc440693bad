"""Measurements with a known answer."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo import Field
from elfzoo.benchmark.measure import fine_shape, json_values, measure, pair
from elfzoo.benchmark.task import Task, select
from elfzoo.core_radii import core_radius
from elfzoo.errors import ElfzooError, QuantityError, RecipeError
from elfzoo.field import Recipe
from elfzoo.interpolate import resample

VOXELS = Task(title="", dataset="crystal-h", data_sha256={}, protocol="", parts=("voxels",))


@pytest.fixture
def crystal(single_task: Task) -> Field:
    return select(single_task)[0].field


def test_a_perfect_prediction_has_no_error_at_all(crystal: Field, single_task: Task) -> None:
    exact = resample(crystal, fine_shape(crystal, single_task), "fourier", "logit")
    for guess in (crystal, exact):
        found = measure(pair(crystal, guess, single_task), single_task)
        assert found["voxels"]["mae"] < 1e-3 and found["voxels"]["r2"] > 0.9999  # logits are clipped at 0.001
        assert found["topology"]["points"]["all"]["recall"] == found["topology"]["points"]["all"]["precision"] == 1
        assert abs(found["topology"]["delta"]["phi_3d"]) < 1e-6 and found["topology"]["jaccard_at_phi"] == 1


def test_an_offset_is_found_as_what_it_is(rng: np.random.Generator) -> None:
    structure = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
    truth = Field(rng.uniform(0.1, 0.8, (8, 8, 8)), structure)
    found = measure(pair(truth, truth.replace(values=truth.values + 0.05), VOXELS), VOXELS)["voxels"]
    for name in ("mae", "rmse", "bias", "max_error", "mae_stratified", "histogram_distance"):
        assert found[name] == pytest.approx(0.05, abs=1e-6)
    assert found["r2_correlated"] == pytest.approx(1)
    assert found["r2"] == pytest.approx(1 - 0.05**2 / truth.values.var(), abs=1e-6)


def test_cores_are_left_out_where_there_are_any() -> None:
    structure = Structure(Lattice.cubic(5.0), ["Ca"], [[0.5, 0.5, 0.5]])
    truth = Field(np.full((20, 20, 20), 0.3), structure)
    points = truth.grid.frac_coords(np.arange(8000))
    inside = np.linalg.norm((points - 0.5) * 5.0, axis=1) <= core_radius(20)
    wrong = truth.replace(values=np.where(inside, 0.9, 0.31).reshape(20, 20, 20))
    task = dataclasses.replace(VOXELS, parts=("voxels", "profile"))
    found = measure(pair(truth, wrong, task), task)
    assert found["profile"]["outside_cores"]["mae"] == pytest.approx(0.01, abs=1e-6)
    assert found["profile"]["outside_cores"]["r2"] is None  # a constant has no variance to explain
    assert found["voxels"]["mae"] == pytest.approx(0.01 + 0.59 * inside.mean(), abs=1e-6)


def test_a_wave_is_found_in_its_band(rng: np.random.Generator) -> None:
    structure = Structure(Lattice.cubic(4.0), ["H"], [[0, 0, 0]])
    truth = Field(rng.uniform(0.2, 0.8, (20, 20, 20)), structure)
    wave = 0.02 * np.sqrt(2) * np.cos(2 * np.pi * np.arange(20) / 20)[:, None, None]  # of 4 Å
    task = dataclasses.replace(VOXELS, parts=("spectrum",))
    found = measure(pair(truth, truth.replace(values=truth.values + wave), task), task)["spectrum"]
    assert found["power"] == pytest.approx(4e-4) and found["bands"]["3-6"]["share"] == pytest.approx(1)
    assert np.nansum(np.array(found["density"], float) > 1e-12) == 1


def test_the_coarse_points_of_a_fine_prediction_are_measured(crystal: Field, single_task: Task) -> None:
    shape = fine_shape(crystal, single_task)
    values = np.random.default_rng(1).uniform(0, 1, shape).astype(np.float32)
    both = pair(crystal, crystal.replace(values=values), single_task)
    np.testing.assert_array_equal(both.prediction.values, values[::2, ::2, ::2])
    np.testing.assert_array_equal(both.fine[1].values, values)


def test_what_cannot_be_compared_is_refused(crystal: Field, single_task: Task) -> None:
    nx, ny, nz = crystal.grid.shape
    for shape in ((nx + 1, ny, nz), (2 * nx, ny, nz), (nx // 2, ny // 2, nz // 2)):
        with pytest.raises(ElfzooError, match="the prediction is on"):
            pair(crystal, crystal.replace(values=np.zeros(shape)), single_task)
    with pytest.raises(RecipeError):
        pair(crystal, crystal.replace(recipe=Recipe("VASP 6", "PBE", "PAW")), single_task)
    with pytest.raises(QuantityError):
        pair(crystal, crystal.replace(quantity="density"), single_task)


def test_a_metal_without_hydrogen_has_topology_without_links() -> None:
    from elfzoo.benchmark.task import find_task

    task = dataclasses.replace(find_task("metals"), parts=("voxels", "topology"))
    field = select(task)[0].field
    found = measure(pair(field, field, task), task)["topology"]
    assert found["jaccard_at_phi"] is None and found["delta"]["phi_star"] is None
    assert found["delta"]["phi_3d"] == pytest.approx(0, abs=1e-6)


def test_values_become_json() -> None:
    found = json_values({"a": np.float32(1 / 3), "b": (np.nan, np.int64(2)), "c": None, "d": "x", "e": True})
    assert json.loads(json.dumps(found)) == {"a": 0.333333, "b": [None, 2], "c": None, "d": "x", "e": True}
