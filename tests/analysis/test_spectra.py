"""Residual spectra against single waves, brute-force sums, and what they must not depend on."""

import json
import math
from collections.abc import Iterator
from itertools import product

import jaxtyping
import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from elfzoo.analysis import plane_residual, residual_spectrum, wave_power
from elfzoo.errors import ElfzooError, QuantityError, RecipeError, StructureError, UnknownNameError
from elfzoo.field import Field, Recipe
from elfzoo.grid import Grid
from elfzoo.interpolate import fourier_on_grid, isotropic_refinement

TRICLINIC = Lattice([[4.1, 0.3, -0.2], [-1.9, 3.7, 0.4], [1.1, -1.6, 5.2]])
HEXAGONAL = Lattice.hexagonal(3.1, 5.0)


@pytest.fixture
def untyped() -> Iterator[None]:
    """Annotations unchecked, as in use outside the tests, so that our own messages are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def field(values, lattice=TRICLINIC, **kwargs) -> Field:
    return Field(values, Structure(lattice, ["H"], [[0.1, 0.2, 0.3]]), **kwargs)


def pair(residual, lattice=TRICLINIC) -> tuple[Field, Field]:
    """A reference of values from 0.2 to 0.8, and a prediction with this residual."""
    truth = np.random.default_rng(7).uniform(0.2, 0.8, residual.shape)
    return field(truth, lattice), field(truth + residual, lattice)


def wave(shape, h, phase=0.0) -> np.ndarray:
    """cos(2π h·x + phase) on a grid."""
    x = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1)
    return np.cos(2 * np.pi * x @ np.array(h) + phase)


def brute_force(values, lattice) -> tuple[np.ndarray, np.ndarray]:
    """|G| of the shortest alias, 2π included, and |F_G|², wave after wave, by sums over the points."""
    reciprocal, shape = lattice.reciprocal_lattice.matrix, np.array(values.shape)
    points = np.array(list(product(*(range(n) for n in shape)))) / shape
    k, power = [], []
    for h in product(*(range(n) for n in shape)):
        k.append(min(np.linalg.norm((h + shape * m) @ reciprocal) for m in product(range(-3, 3), repeat=3)))
        phases = 2 * np.pi * points @ np.array(h)
        flat = values.ravel()
        power.append((flat @ np.cos(phases) / flat.size) ** 2 + (flat @ np.sin(phases) / flat.size) ** 2)
    return np.array(k), np.array(power)


def in_supercell(residual, transform) -> tuple[np.ndarray, np.ndarray]:
    """The lattice of a supercell, and the same residual on the same points in it."""
    lattice = transform @ TRICLINIC.matrix
    shape = tuple(int(n) for n in np.abs(transform).max(axis=0) * residual.shape)
    x = np.array(list(product(*(range(n) for n in shape)))) / shape @ transform * residual.shape
    assert np.abs(x - np.round(x)).max() < 1e-9
    index = np.round(x).astype(int) % residual.shape
    return Lattice(lattice), residual[tuple(index.T)].reshape(shape)


@pytest.mark.parametrize("h", [(1, 0, 0), (1, -1, 2), (-2, 1, 1), (0, 0, 3)])
def test_a_single_wave_in_a_skewed_cell(h):
    residual = 0.03 + 0.1 * wave((9, 10, 12), h, 0.7)
    found = residual_spectrum(*pair(residual))
    k = np.linalg.norm(np.array(h) @ TRICLINIC.reciprocal_lattice.matrix)
    shells, place = found.shells, int(k / 0.5)
    assert found.bias == pytest.approx(0.03, abs=1e-14)
    assert found.power == pytest.approx(0.1**2 / 2, rel=1e-12)
    assert found.mean_square == pytest.approx((residual**2).mean(), rel=1e-12)
    assert shells.edges[place] <= k < shells.edges[place + 1]
    assert shells.power[place] == pytest.approx(0.005, rel=1e-12)
    assert np.delete(shells.power, place) == pytest.approx(0, abs=1e-18)
    assert shells.isotropic[place] and shells.anisotropy[place] == pytest.approx(1, abs=1e-9)
    assert shells.amplitude[place] * shells.waves[place] == pytest.approx(0.1)  # 0.05 at G and at -G
    name = next(n for n, shortest in ((">6", 6), ("3-6", 3), ("1.5-3", 1.5), ("<1.5", 0)) if 2 * np.pi / k > shortest)
    shares = {band: b.share for band, b in found.bands.items()}
    assert shares.pop(name) == pytest.approx(1)
    assert list(shares.values()) == pytest.approx([0, 0, 0], abs=1e-12)


def test_a_wave_beyond_the_box_of_indices_is_the_shortest_one_it_may_be():
    residual = wave((4, 4, 6), (2, 1, 0))  # in a hexagonal cell, of the same values as (-2, 1, 0), which is shorter
    found = wave_power(*pair(residual, HEXAGONAL))
    lengths = found.waves.k[found.power > 1e-6]
    b = 4 * np.pi / math.sqrt(3) / 3.1
    assert lengths == pytest.approx([math.sqrt(3) * b] * 2)  # not √7 b


@pytest.mark.parametrize("shape", [(4, 5, 3), (3, 4, 6)])
@pytest.mark.parametrize("lattice", [TRICLINIC, HEXAGONAL, Lattice.cubic(4)])
def test_power_equals_brute_force(rng, shape, lattice):
    residual = rng.normal(size=shape)
    reference, prediction = pair(residual, lattice)
    residual = prediction.values - reference.values
    found, spectrum = wave_power(reference, prediction), residual_spectrum(reference, prediction)
    k, power = brute_force(residual, lattice)
    assert found.waves.k == pytest.approx(k, abs=1e-12)
    assert np.abs(found.power[1:] - power[1:]).max() < 1e-14
    assert found.power[0] < 1e-30 and found.bias**2 == pytest.approx(power[0], rel=1e-12)
    assert spectrum.mean_square == pytest.approx((residual**2).mean(), rel=1e-12)
    assert spectrum.shells.power.sum() == pytest.approx(residual.var(), rel=1e-12)
    shell = np.floor(k[1:] / 0.5 + 1e-9).astype(int)
    assert spectrum.shells.waves.tolist() == np.bincount(shell).tolist()
    assert spectrum.shells.power == pytest.approx(np.bincount(shell, power[1:]), abs=1e-14)
    assert spectrum.shells.reference_power == pytest.approx(
        np.bincount(shell, brute_force(reference.values, lattice)[1][1:]), abs=1e-14
    )
    assert sum(band.share for band in spectrum.bands.values()) == pytest.approx(1)
    wavelength = 2 * np.pi / k[1:]
    inside = (wavelength > 1.5) & (wavelength <= 3 * (1 + 1e-9))
    assert spectrum.bands["1.5-3"].waves == inside.sum()
    assert spectrum.bands["1.5-3"].share == pytest.approx(power[1:][inside].sum() / residual.var())


def test_wave_vectors_of_the_nyquist_sphere_are_all_there_and_once():
    reference, prediction = pair(np.ones((8, 9, 12)) + wave((8, 9, 12), (1, 0, 0)))
    found = wave_power(reference, prediction)
    reciprocal = TRICLINIC.reciprocal_lattice.matrix
    every = np.array(list(product(range(-12, 13), repeat=3))) @ reciprocal
    inside = every[np.linalg.norm(every, axis=1) < found.waves.nyquist * (1 - 1e-9)]
    ours = found.waves.vectors[found.waves.k < found.waves.nyquist * (1 - 1e-9)]
    assert len(ours) == len(inside)
    assert sorted(map(tuple, ours.round(6).tolist())) == sorted(map(tuple, inside.round(6).tolist()))
    steps = np.array([n for n in product(range(-3, 4), repeat=3) if any(n)]) * (8, 9, 12) @ reciprocal
    assert found.waves.nyquist == pytest.approx(np.linalg.norm(steps, axis=1).min() / 2)
    shells = residual_spectrum(reference, prediction).shells
    assert shells.isotropic.tolist() == (shells.edges[1:] <= found.waves.nyquist).tolist()


def test_white_noise_is_flat_and_has_no_direction(rng):
    lattice, noise = Lattice.orthorhombic(6, 7, 8), rng.normal(scale=0.1, size=(20, 24, 27))
    found = residual_spectrum(*pair(noise, lattice), shell_width=2.0)
    shells = found.shells
    whole = shells.isotropic
    assert whole.sum() >= 4 and not whole.all()
    expected = 0.01 / noise.size
    assert (np.abs(shells.mean_power[whole] / expected - 1) < 5 * np.sqrt(2 / shells.waves[whole])).all()
    assert shells.density[whole][-1] == pytest.approx(expected * lattice.volume / (2 * np.pi) ** 3, rel=0.2)
    assert (shells.anisotropy[whole] < 3 / np.sqrt(shells.waves[whole])).all()
    assert (shells.wave_anisotropy[whole] < shells.anisotropy[whole] + 0.1).all()
    assert np.isnan(shells.anisotropy[~whole]).all()
    assert shells.ratio[whole] == pytest.approx(shells.power[whole] / shells.reference_power[whole])
    assert shells.periods is None


def test_anisotropy_by_hand():
    x, y, z = (wave((12, 12, 12), h) for h in np.eye(3, dtype=int))
    for weights, largest in (((1, 1, 1), 1 / 3), ((2, 1, 1), 2 / 4), ((1, 1, 0), 1 / 2), ((5, 0, 0), 1)):
        residual = sum(math.sqrt(w) * wave for w, wave in zip(weights, (x, y, z), strict=True))
        found = residual_spectrum(*pair(residual, Lattice.cubic(4.0)), shell_width=1.0).shells
        assert found.anisotropy[1] == pytest.approx((3 * largest - 1) / 2, abs=1e-9)
        assert found.wave_anisotropy[1] == pytest.approx(0, abs=1e-12)
        assert found.waves[1] == 6
        assert found.waves[0] == 0 and math.isnan(found.mean_power[0]) and math.isnan(found.anisotropy[0])


def test_an_elongated_cell_has_its_first_waves_along_one_direction():
    found = residual_spectrum(*pair(wave((8, 8, 24), (0, 0, 1)), Lattice.tetragonal(3.0, 9.0)), shell_width=1.0).shells
    assert found.wave_anisotropy[0] == pytest.approx(1)


@pytest.mark.parametrize(
    "transform", [np.diag([2, 1, 1]), np.diag([1, 3, 2]), np.array([[2, 0, 0], [1, 1, 0], [0, 0, 1]])]
)
def test_a_supercell_has_the_same_spectrum(rng, transform):
    residual = 0.02 + rng.normal(size=(6, 6, 7))
    lattice, repeated = in_supercell(residual, transform)
    small, large = residual_spectrum(*pair(residual)), residual_spectrum(*pair(repeated, lattice))
    assert (large.bias, large.power) == pytest.approx((small.bias, small.power))
    assert large.nyquist == pytest.approx(small.nyquist)
    for name, band in small.bands.items():
        assert large.bands[name].share == pytest.approx(band.share, abs=1e-12)
        assert large.bands[name].waves > band.waves or band.waves == 0
    count = len(
        small.shells.power
    )  # in its corners the supercell may have waves that are longer vectors, without power
    assert large.shells.power[:count] == pytest.approx(small.shells.power, abs=1e-12)
    assert large.shells.power[count:] == pytest.approx(0, abs=1e-20)
    whole = np.flatnonzero(small.shells.isotropic & (small.shells.waves > 0))
    assert large.shells.anisotropy[whole] == pytest.approx(small.shells.anisotropy[whole])


def test_another_basis_and_a_rotation_change_nothing(rng):
    residual = rng.normal(size=(6, 7, 8))
    small = residual_spectrum(*pair(residual))
    turn = Rotation.from_rotvec([0.4, -1.1, 0.8]).as_matrix()
    turned = residual_spectrum(*pair(residual, Lattice(TRICLINIC.matrix @ turn.T)))
    residual = rng.normal(size=(6, 6, 6))
    here = residual_spectrum(*pair(residual))
    basis, same = in_supercell(residual, np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]]))
    other = residual_spectrum(*pair(same, basis))
    for a, b in ((small, turned), (here, other)):
        assert b.shells.power == pytest.approx(a.shells.power, abs=1e-12)
        assert b.shells.waves.tolist() == a.shells.waves.tolist()
        assert b.shells.anisotropy == pytest.approx(a.shells.anisotropy, nan_ok=True)
        assert [v.share for v in b.bands.values()] == pytest.approx([v.share for v in a.bands.values()])


def test_waves_of_the_paper_are_counted_in_periods_of_a_cubic_cell():
    found = residual_spectrum(*pair(wave((12, 12, 12), (2, 0, 0)), Lattice.cubic(11.0)), shell_width=2 * np.pi / 11)
    assert found.shells.periods == pytest.approx(np.arange(len(found.shells.k)) + 0.5)
    assert found.shells.power[2] == pytest.approx(0.5)  # 2 periods: on the edge, which belongs to the shell above


def test_a_wave_on_the_edge_of_a_band_counts_as_the_shorter_one():
    for cell, h, name in (
        (6.0, (1, 0, 0), "3-6"),
        (6.0, (0, 2, 0), "1.5-3"),
        (6.1, (0, 0, 1), ">6"),
        (3.0, (2, 0, 0), "<1.5"),
    ):
        found = residual_spectrum(*pair(wave((8, 8, 8), h), Lattice.cubic(cell)))
        assert found.bands[name].share == pytest.approx(1)


def test_the_logit_space(rng):
    reference, prediction = pair(0.05 * rng.normal(size=(6, 7, 8)))
    reference.values[0, 0, 0], prediction.values[1, 1, 1] = 0.0, 1.0
    for clip in (1e-3, 1e-2):
        found = residual_spectrum(reference, prediction, space="logit", clip=clip)
        u, v = (np.clip(f.values, clip, 1 - clip) for f in (reference, prediction))
        expected = np.log(v / (1 - v)) - np.log(u / (1 - u))
        assert found.mean_square == pytest.approx((expected**2).mean(), rel=1e-12)
        assert (found.space, found.clip) == ("logit", clip)
    assert residual_spectrum(reference, prediction).clip is None


def test_no_residual_has_no_shares():
    reference = pair(np.zeros((4, 5, 6)))[0]
    for offset in (0.0, 0.1):
        found = residual_spectrum(reference, reference.replace(values=reference.values + offset))
        assert (found.bias, found.power) == (pytest.approx(offset, abs=1e-15), 0)
        assert all(math.isnan(band.share) for band in found.bands.values())
        assert found.to_dict()["bands"]["<1.5"]["share"] is None


def test_waves_that_the_reference_does_not_have_are_no_measure(rng):
    truth, residual = 0.5 + 0.3 * wave((8, 8, 8), (2, 0, 0)), 0.1 * rng.normal(size=(8, 8, 8))
    fields = field(truth, Lattice.cubic(4)), field(truth + residual, Lattice.cubic(4))
    shells = residual_spectrum(*fields, shell_width=1.0).shells
    place = int(np.pi)  # 2 periods of 4 Å
    assert np.flatnonzero(~np.isnan(shells.ratio)).tolist() == [place]
    assert shells.ratio[place] == pytest.approx(shells.power[place] / 0.045)


def test_the_dictionary_is_json(rng):
    found = residual_spectrum(*pair(rng.normal(size=(5, 6, 7))))
    data = found.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["domain"] == "volume" and data["shells"]["periods"] is None
    assert data["shells"]["k"][0] == 0.25 and len(data["shells"]["ratio"]) == len(found.shells.k)


def test_fields_of_other_quantities_and_a_single_point(rng):
    values = rng.random((1, 1, 6))
    one, other = field(values, quantity="density"), field(values + rng.random((1, 1, 6)), quantity="density")
    assert residual_spectrum(one, other).shells.waves.sum() == 5
    with pytest.raises(QuantityError, match="for logits, the reference holds the quantity 'density'; expected 'elf'"):
        residual_spectrum(one, other, space="logit")
    point = field(values[:, :, :1]), field(values[:, :, :1] + 0.1)
    assert residual_spectrum(*point).power == 0 and residual_spectrum(*point).shells.k.size == 0


def test_what_cannot_be_compared_is_refused(rng):
    one, other = pair(rng.normal(size=(4, 5, 6)))
    recipes = Recipe("GPAW 26.7.0", "PBE", "PAW"), Recipe("Quantum ESPRESSO 6.7", "PBE", "GTH")
    with pytest.raises(RecipeError, match="mixed_recipes=True"):
        residual_spectrum(one.replace(recipe=recipes[0]), other.replace(recipe=recipes[1]))
    mixed = residual_spectrum(one.replace(recipe=recipes[0]), other.replace(recipe=recipes[1]), mixed_recipes=True)
    assert mixed.power == residual_spectrum(one, other).power
    holes = other.values.copy()
    holes[0, 0, :2] = math.nan, math.inf
    for bad, error, message in (
        (field(other.values[:, :, :5]), ElfzooError, r"grids differ: reference \(4, 5, 6\), prediction \(4, 5, 5\)"),
        (field(other.values, HEXAGONAL), StructureError, "lattice vectors differ"),
        (other.replace(quantity="density"), QuantityError, "holds the quantity 'density'; expected 'elf'"),
        (other.replace(spin="up"), ElfzooError, "reference total, prediction up"),
        (other.replace(values=holes), ElfzooError, "prediction has 2 non-finite values"),
    ):
        with pytest.raises(error, match=message):
            residual_spectrum(one, bad)
    with pytest.raises(ElfzooError, match="reference has 2 non-finite"):
        residual_spectrum(other.replace(values=holes), one)
    for width in (0.0, -1.0, math.nan):
        with pytest.raises(ElfzooError, match="width of a shell must be a positive number of rad/Å"):
            residual_spectrum(one, other, shell_width=width)
    for clip in (0.0, 0.5, math.nan):
        with pytest.raises(ElfzooError, match=r"clip of logits lies between 0 and 0\.5"):
            residual_spectrum(one, other, space="logit", clip=clip)


def test_unknown_names_get_the_nearest_one(untyped):
    fields = pair(np.zeros((2, 2, 2)))
    with pytest.raises(UnknownNameError, match="no space of residuals is called 'logits'; did you mean logit"):
        residual_spectrum(*fields, space="logits")
    with pytest.raises(UnknownNameError, match="no axis of a plane is called 'c'; known: x, y, z"):
        plane_residual(*fields, axis="c")


def test_finer_grids_of_a_supercell_have_the_power_of_the_same_waves(rng):
    coarse = isotropic_refinement(rng.normal(size=(5, 5, 7)), TRICLINIC.matrix)
    grid = Grid((16, 15, 20), np.diag([2, 1, 1]) @ TRICLINIC.matrix)
    fine = fourier_on_grid(coarse, TRICLINIC.matrix, grid)
    small, large = residual_spectrum(*pair(coarse)), residual_spectrum(*pair(fine, Lattice(grid.lattice)))
    assert large.power == pytest.approx(small.power)
    assert [v.share for v in large.bands.values()] == pytest.approx([v.share for v in small.bands.values()])
