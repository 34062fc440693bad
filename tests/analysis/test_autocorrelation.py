"""Autocorrelation of residuals against double sums and waves whose radial average is known."""

import json
import math
from itertools import product

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from elfzoo.analysis import Autocorrelation, autocorrelation, residual_spectrum, wave_power
from elfzoo.errors import ElfzooError
from elfzoo.field import Field

TRICLINIC = Lattice([[4.1, 0.3, -0.2], [-1.9, 3.7, 0.4], [1.1, -1.6, 5.2]])
SKEWED = Lattice(np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]]) @ TRICLINIC.matrix)  # the same lattice


def pair(residual, lattice=TRICLINIC) -> tuple[Field, Field]:
    truth = np.random.default_rng(7).uniform(0.2, 0.8, residual.shape)
    structure = Structure(lattice, ["H"], [[0.1, 0.2, 0.3]])
    return Field(truth, structure), Field(truth + residual, structure)


def curve(distances, values) -> Autocorrelation:
    distances, values = np.array(distances, dtype=float), np.array(values, dtype=float)
    return Autocorrelation("value", None, 1.0, distances, values, np.ones(len(values), dtype=int), 0.1, 1.0)


@pytest.mark.parametrize("lattice", [TRICLINIC, SKEWED, Lattice.hexagonal(3.0, 4.0), Lattice.cubic(3.0)])
def test_a_double_sum_over_points_and_images(rng, lattice):
    shape, width = (4, 3, 5), 0.7
    e = rng.normal(size=shape)
    found = autocorrelation(*pair(e, lattice), shell_width=width)
    e = e - e.mean()
    images = np.array(list(product(range(-4, 5), repeat=3)))
    sums: dict[int, list] = {}
    for shift in product(*(range(n) for n in shape)):
        r = min(np.linalg.norm((images + np.array(shift) / shape) @ lattice.matrix, axis=1))
        shell = 1 + math.floor(r / width + 1e-9) if any(shift) else 0
        total = 0.0
        for point in product(*(range(n) for n in shape)):
            total += e[point] * e[tuple((p + s) % n for p, s, n in zip(point, shift, shape, strict=True))]
        sums.setdefault(shell, []).append((r, total / e.size))
    half = min(np.linalg.norm(images[images.any(axis=1)] @ lattice.matrix, axis=1)) / 2
    assert found.r_max == pytest.approx(half)
    kept = sorted(shell for shell in sums if shell * width <= half + 1e-9)
    assert len(kept) >= 2
    assert found.shifts.tolist() == [len(sums[s]) for s in kept]
    assert found.distances == pytest.approx([np.mean([r for r, _ in sums[s]]) for s in kept])
    assert found.variance == pytest.approx(e.var())
    assert found.values == pytest.approx([np.mean([c for _, c in sums[s]]) / e.var() for s in kept])


def test_half_the_shortest_height_of_an_orthogonal_cell(rng):
    found = autocorrelation(*pair(rng.normal(size=(6, 8, 5)), Lattice.orthorhombic(3.0, 4.0, 2.5)))
    assert (found.r_max, found.shell_width) == (pytest.approx(1.25), 0.5)


def test_plane_waves_average_to_a_sinc():
    """Six waves along the axes of a cube, and many short steps: the mean over a sphere of cos(k·R) is sin(kR)/kR."""
    n, edge = 30, 8.0
    x = np.stack(np.meshgrid(*(np.arange(n) / n,) * 3, indexing="ij"), axis=-1)
    residual = 0.02 + 0.1 * np.cos(2 * np.pi * x @ [1, 1, 0]) + 0.1 * np.sin(2 * np.pi * x @ [1, 0, -1])
    found = autocorrelation(*pair(residual, Lattice.cubic(edge)))
    k = 2 * np.pi * math.sqrt(2) / edge
    assert found.values[1:] == pytest.approx(np.sinc(k * found.distances[1:] / np.pi), abs=0.02)
    assert found.correlation_length == pytest.approx(2.2 / k, rel=0.02)  # sin(x)/x = 1/e at x = 2.200
    assert found.integral_scale == pytest.approx(0.295 * 2 * np.pi / k, rel=0.03)
    assert found.variance == pytest.approx(residual_spectrum(*pair(residual, Lattice.cubic(edge))).power)


def test_the_power_of_waves_gives_the_same_average(rng):
    """Σ |R_G|² sin(GR)/GR over the waves of a smooth residual: another way, without any grid of shifts."""
    from elfzoo.interpolate import fourier_resample

    residual = fourier_resample(rng.normal(size=(3, 3, 5)), (24, 24, 30))
    found, waves = autocorrelation(*pair(residual)), wave_power(*pair(residual))
    expected = [waves.power @ np.sinc(waves.waves.k * r / np.pi) / waves.power.sum() for r in found.distances]
    assert found.values == pytest.approx(expected, abs=0.03)


def test_white_noise_is_uncorrelated(rng):
    noise = rng.normal(size=(20, 20, 20))
    found = autocorrelation(*pair(noise, Lattice.cubic(4.0)))
    assert found.values[0] == 1
    assert (np.abs(found.values[1:]) < 5 / np.sqrt(noise.size * found.shifts[1:] / 2) + 1 / noise.size).all()
    first = found.distances[1]
    assert found.correlation_length == pytest.approx((1 - 1 / np.e) * first, rel=0.1)
    assert found.integral_scale == pytest.approx(first / 2, rel=0.1)


@pytest.mark.parametrize("repeats", [(2, 1, 1), (1, 2, 3)])
def test_a_supercell_has_the_same_correlation(rng, repeats):
    residual = rng.normal(size=(5, 6, 7))
    small = autocorrelation(*pair(residual), shell_width=0.7)
    lattice = Lattice(np.diag(repeats) @ TRICLINIC.matrix)
    large = autocorrelation(*pair(np.tile(residual, repeats), lattice), r_max=small.r_max, shell_width=0.7)
    assert large.values == pytest.approx(small.values)
    assert large.shifts.tolist() == small.shifts.tolist()
    assert large.correlation_length == pytest.approx(small.correlation_length)


def test_a_rotation_and_another_basis_change_nothing(rng):
    residual = rng.normal(size=(6, 6, 6))
    here = autocorrelation(*pair(residual), shell_width=0.7)
    turn = Rotation.from_rotvec([0.4, -1.1, 0.8]).as_matrix()
    turned = autocorrelation(*pair(residual, Lattice(TRICLINIC.matrix @ turn.T)), shell_width=0.7)
    i, j, k = np.indices(residual.shape)
    basis = residual[(i + 2 * j - k) % 6, (j + k) % 6, k]
    other = autocorrelation(*pair(basis, SKEWED), shell_width=0.7)
    for found in (turned, other):
        assert found.r_max == pytest.approx(here.r_max)
        assert found.values == pytest.approx(here.values)
        assert found.shifts.tolist() == here.shifts.tolist()


def test_lengths_by_hand():
    assert curve([0, 1, 2], [1, 0.5, 0.0]).correlation_length == pytest.approx(1 + (0.5 - 1 / np.e) / 0.5)
    assert curve([0, 1, 2], [1, 0.5, 0.0]).integral_scale == pytest.approx(1.0)
    assert curve([0, 1, 2], [1, 0.8, 0.6]).correlation_length is None
    assert curve([0, 1, 2], [1, 0.8, 0.6]).integral_scale == pytest.approx(0.9 + 0.7)
    assert curve([0, 2, 3], [1, -1, 5]).integral_scale == pytest.approx(0.5)  # up to the zero at 1, no farther
    assert curve([0, 1, 2, 3], [1, 0.2, 0.9, 0.1]).correlation_length == pytest.approx(0.8 / 0.8 * (1 - 1 / np.e) / 0.8)


def test_no_residual_has_no_correlation():
    found = autocorrelation(*pair(np.full((4, 4, 4), 0.1)))
    assert found.variance == 0 and np.isnan(found.values).all()
    assert found.correlation_length is None and found.integral_scale is None
    assert set(found.to_dict()["values"]) == {None}


def test_the_dictionary_is_json(rng):
    found = autocorrelation(*pair(0.1 * rng.normal(size=(5, 6, 7))), space="logit", clip=0.01)
    data = found.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert (data["domain"], data["space"], data["clip"]) == ("volume", "logit", 0.01)
    assert data["correlation_length"] == found.correlation_length


def test_distances_that_make_no_sense_are_refused(rng):
    fields = pair(rng.normal(size=(4, 4, 4)))
    with pytest.raises(
        ElfzooError, match=r"r_max is 2\.5 Å; expected at most 2\.\d+ Å, half the shortest lattice vector"
    ):
        autocorrelation(*fields, r_max=2.5)
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ElfzooError, match="r_max must be a positive number of Å"):
            autocorrelation(*fields, r_max=bad)
        with pytest.raises(ElfzooError, match="width of a shell must be a positive number of Å"):
            autocorrelation(*fields, shell_width=bad)
