"""Residuals on lattice planes against single waves, brute-force sums, and the waves of the whole cell."""

import json
import math
from itertools import product

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.analysis import PlaneResidual, ResidualSpectrum, Rings, plane_residual, wave_power
from elfzoo.errors import ElfzooError, QuantityError
from elfzoo.field import Field

TRICLINIC = Lattice([[4.1, 0.3, -0.2], [-1.9, 3.7, 0.4], [1.1, -1.6, 5.2]])


def pair(residual, lattice=TRICLINIC) -> tuple[Field, Field]:
    truth = np.random.default_rng(7).uniform(0.2, 0.8, residual.shape)
    structure = Structure(lattice, ["H"], [[0.1, 0.2, 0.3]])
    return Field(truth, structure), Field(truth + residual, structure)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
@pytest.mark.parametrize("index", [0, 3])
def test_a_plane_equals_brute_force(rng, axis, index):
    residual = 0.01 + 0.1 * rng.normal(size=(4, 5, 6))
    found = plane_residual(*pair(residual), axis, index)
    number = "xyz".index(axis)
    cut = residual.take(index, axis=number)
    assert found.residual == pytest.approx(cut)
    assert found.bias == pytest.approx(cut.mean())
    assert found.power == pytest.approx(cut.var(), rel=1e-12)
    u, v = np.delete(TRICLINIC.matrix, number, axis=0)
    assert found.edges @ found.edges.T == pytest.approx(np.array([[u @ u, u @ v], [u @ v, v @ v]]))
    assert found.edges[0, 1] == 0
    points = np.array(list(product(*(range(n) for n in cut.shape)))) / cut.shape
    for (i, h), (j, k) in product(*(list(enumerate(waves)) for waves in found.waves)):
        f = (cut.ravel() * np.exp(-2j * np.pi * points @ [h, k])).mean() if h or k else 0
        assert found.amplitude[i, j] == pytest.approx(abs(f), abs=1e-14)
    assert (found.amplitude**2).sum() == pytest.approx(found.power, rel=1e-12)
    assert found.rings.power.sum() == pytest.approx(found.power, rel=1e-12)
    assert sum(band.share for band in found.bands.values()) == pytest.approx(1)
    area = np.linalg.norm(np.cross(u, v))
    assert found.rings.measure == pytest.approx((2 * np.pi) ** 2 / area)


def test_a_wave_in_the_plane_is_in_its_ring():
    x = np.stack(np.meshgrid(*(np.arange(n) / n for n in (12, 10, 4)), indexing="ij"), axis=-1)
    found = plane_residual(*pair(0.1 * np.cos(2 * np.pi * x @ [2, -1, 0])), index=2)
    k = np.linalg.norm([2, -1] @ found.reciprocal)
    metric = TRICLINIC.matrix[:2] @ TRICLINIC.matrix[:2].T
    assert k == pytest.approx(2 * np.pi * math.sqrt([2, -1] @ np.linalg.inv(metric) @ [2, -1]))
    ring = int(k / 0.5)
    assert found.rings.power[ring] == pytest.approx(found.power) == pytest.approx(0.005)
    assert found.rings.anisotropy[ring] == pytest.approx(1)
    places = np.argwhere(found.amplitude > 1e-9)
    assert {(int(found.waves[0][a]), int(found.waves[1][b])) for a, b in places} == {(2, -1), (-2, 1)}


def test_rings_count_the_waves_of_the_plane(rng):
    residual = rng.normal(size=(16, 16, 2))
    rings = plane_residual(*pair(residual, Lattice.tetragonal(11.0, 3.0)), ring_width=2 * np.pi / 11).rings
    n = np.array(list(product(range(-8, 8), repeat=2)))
    inside = np.linalg.norm(n, axis=1)
    whole = rings.isotropic
    assert whole.sum() == 8
    assert rings.waves[whole].tolist() == [int(((inside >= s) & (inside < s + 1)).sum()) - (s == 0) for s in range(8)]
    assert rings.periods == pytest.approx(np.arange(len(rings.waves)) + 0.5)
    assert rings.wave_anisotropy[1:8] == pytest.approx(0, abs=1e-12)  # a square has no direction
    assert np.nanmax(rings.anisotropy[2:8]) < 0.7


def test_planes_add_up_the_waves_of_the_cell_across_them(rng):
    """Short waves that stand steeply on a plane show in it as long ones: exactly so on average over the planes."""
    residual = rng.normal(size=(4, 5, 6))
    reference, prediction = pair(residual)
    volume = wave_power(reference, prediction).power.reshape(4, 5, 6).sum(axis=2)
    planes = [plane_residual(reference, prediction, "z", i) for i in range(6)]
    mean = np.fft.ifftshift(np.mean([plane.amplitude**2 for plane in planes], axis=0))
    mean[0, 0] += np.var([plane.bias for plane in planes])
    assert mean == pytest.approx(volume)
    layers = np.arange(8)  # one period of 8 Å along x, and 2 Å along z: 1.94 Å in space
    steep = 0.1 * np.cos(2 * np.pi * (layers[:, None, None] + 4 * layers) / 8 + np.zeros((8, 8, 8)))
    cubic = pair(steep, Lattice.cubic(8.0))
    assert wave_power(*cubic).waves.k[wave_power(*cubic).power > 1e-9] == pytest.approx(np.pi / 4 * math.sqrt(17))
    assert plane_residual(*cubic).bands[">6"].share == pytest.approx(1)
    assert plane_residual(*cubic, "y").bands["1.5-3"].share == pytest.approx(1)


def test_types_and_dictionaries_tell_planes_from_cells(rng):
    found = plane_residual(*pair(rng.normal(size=(4, 5, 6))), space="logit")
    assert isinstance(found, PlaneResidual) and isinstance(found.rings, Rings)
    assert not isinstance(found, ResidualSpectrum)
    data = found.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert (data["domain"], data["shape"], data["clip"]) == ("plane", [4, 5], 1e-3)
    assert not {"residual", "amplitude", "shells"} & set(data)


def test_planes_that_do_not_exist_are_refused(rng):
    reference, prediction = pair(rng.normal(size=(4, 5, 6)))
    for index in (-1, 5):
        with pytest.raises(ElfzooError, match=f"plane across y has a number from 0 to 4; got {index}"):
            plane_residual(reference, prediction, "y", index)
    with pytest.raises(QuantityError, match="for logits"):
        density = (f.replace(quantity="density") for f in (reference, prediction))
        plane_residual(*density, space="logit")
