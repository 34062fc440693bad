"""Band-limited corrections against least squares, explicit enumeration of waves, and residuals that are known."""

import json
import math
from itertools import product

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.special import expit, logit
from scipy.stats import binned_statistic

from elfzoo.analysis import (
    BandCorrection,
    PlaneCorrection,
    band_limited_correction,
    corrected_field,
    correction_curve,
    field_metrics,
    plane_correction,
    plane_residual,
    residual_spectrum,
)
from elfzoo.errors import ElfzooError, QuantityError, RecipeError, StructureError
from elfzoo.field import Field, Recipe

TRICLINIC = Lattice([[4.1, 0.3, -0.2], [-1.9, 3.7, 0.4], [1.1, -1.6, 5.2]])
SHAPE = (6, 7, 8)
FIGURES = ("mae", "rmse", "r2", "max_error")


def field(values, lattice=TRICLINIC, **kwargs) -> Field:
    return Field(values, Structure(lattice, ["H"], [[0.1, 0.2, 0.3]]), **kwargs)


def points(shape) -> np.ndarray:
    return np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1).reshape(-1, len(shape))


def pair(shift, lattice=TRICLINIC) -> tuple[Field, Field]:
    """A prediction with ELF from 0.1 to 0.9, and the reference whose logit is larger by ``shift``."""
    local = np.random.default_rng(3).uniform(-2, 2, shift.shape)
    return field(expit(local + shift), lattice), field(expit(local), lattice)


def wave(shape, h, phase=0.3) -> np.ndarray:
    return np.cos(2 * np.pi * points(shape) @ np.array(h) + phase).reshape(shape)


def length(h, lattice=TRICLINIC) -> float:
    return float(np.linalg.norm(np.array(h) @ lattice.reciprocal_lattice.matrix))


def least_squares(target, reciprocal, k_max) -> tuple[int, np.ndarray]:
    """Eq. 7 as it stands: cosines and sines of every G in the sphere, fitted by SVD; their rank and their sum."""
    x = points(target.shape)
    h = np.array(list(product(range(-6, 7), repeat=target.ndim)))
    h = h[np.linalg.norm(h @ reciprocal, axis=1) <= k_max * (1 + 1e-9)]
    phases = 2 * np.pi * x @ h.T
    design = np.concatenate([np.cos(phases), np.sin(phases)], axis=1)
    coefficients, _, rank, _ = np.linalg.lstsq(design, target.ravel(), rcond=1e-9)
    return int(rank), (design @ coefficients).reshape(target.shape)


@pytest.mark.parametrize("k_max", [0.5, 2.0, 3.1, 4.9])
@pytest.mark.parametrize("shape", [(4, 5, 6), (3, 4, 4)])
def test_the_mask_is_the_least_squares_fit_of_the_paper(rng, k_max, shape):
    """Also where the sphere leaves the zone, and cosines and sines are no longer independent on the grid."""
    shift = rng.normal(scale=0.3, size=shape)
    reference, prediction = pair(shift)
    rank, correction = least_squares(shift, TRICLINIC.reciprocal_lattice.matrix, k_max)
    found = band_limited_correction(reference, prediction, k_max)
    assert found.coefficients == rank
    assert found.logit_captured == pytest.approx((correction**2).sum() / (shift**2).sum())
    assert found.logit_captured == pytest.approx(1 - ((shift - correction) ** 2).sum() / (shift**2).sum())
    corrected = expit(logit(prediction.values) + correction)
    assert corrected_field(reference, prediction, k_max).values == pytest.approx(corrected)
    assert found.after.rmse == pytest.approx(np.sqrt(((corrected - reference.values) ** 2).mean()))


@pytest.mark.parametrize("k_max", [1.0, 2.5, 4.0])
def test_coefficients_are_the_waves_of_the_sphere(k_max):
    found = band_limited_correction(*pair(np.zeros((16, 15, 18))), k_max)
    h = np.array(list(product(range(-8, 9), repeat=3)))
    assert found.coefficients == (np.linalg.norm(h @ TRICLINIC.reciprocal_lattice.matrix, axis=1) <= k_max).sum()
    assert found.coefficients % 2 == 1  # pairs G and -G, and the constant
    assert found.shortest_wavelength == pytest.approx(2 * np.pi / k_max)
    assert found.periods is None


def test_all_waves_reproduce_the_reference_whatever_the_prediction(rng):
    reference = field(rng.uniform(0.01, 0.99, SHAPE))
    for prediction in (field(rng.uniform(0.01, 0.99, SHAPE)), field(np.full(SHAPE, 0.5))):
        found = band_limited_correction(reference, prediction, 100.0)
        assert found.coefficients == found.after.points == math.prod(SHAPE)
        assert found.after.max_error < 1e-12
        assert (found.logit_captured, found.elf_captured) == (pytest.approx(1), pytest.approx(1))
        assert found.delta_mae == pytest.approx(-found.before.mae)
        assert found.delta_rmse == pytest.approx(-found.before.rmse)
        assert corrected_field(reference, prediction, 100.0).values == pytest.approx(reference.values, abs=1e-12)


@pytest.mark.parametrize("h", [(1, 0, 0), (1, -1, 2), (0, 2, 1)])
def test_a_wave_is_captured_at_its_own_k_and_not_below(h):
    reference, prediction = pair(0.4 * wave((9, 9, 10), h))
    k = length(h)
    below, at = correction_curve(reference, prediction, (k * (1 - 1e-6), k))
    assert below.logit_captured == pytest.approx(0, abs=1e-20)
    assert below.delta_mae == pytest.approx(0, abs=1e-12)
    assert at.logit_captured == pytest.approx(1, abs=1e-12)
    assert at.after.max_error < 1e-12
    assert at.coefficients - below.coefficients >= 2


def test_a_constant_is_the_first_coefficient():
    found = band_limited_correction(*pair(np.full(SHAPE, 0.3)), 1e-3)
    assert (found.coefficients, found.logit_captured) == (1, pytest.approx(1))
    assert found.after.max_error < 1e-12


def test_a_curve_is_its_points_and_captures_ever_more(rng):
    fields = pair(rng.normal(scale=0.5, size=SHAPE))
    k_maxes = (3.0, 1.0, 2.0, 5.0)
    curve = correction_curve(*fields, k_maxes)
    assert [found.k_max for found in curve] == list(k_maxes)
    for found, k_max in zip(curve, k_maxes, strict=True):
        assert found.to_dict() == band_limited_correction(*fields, k_max).to_dict()
    captured = [curve[i].logit_captured for i in (1, 2, 0, 3)]
    assert captured == sorted(captured) and captured[0] < captured[-1]


def test_the_share_of_logits_is_that_of_the_spectrum(rng):
    """Parseval: what a sphere captures is the constant and the shells of the residual's spectrum inside of it."""
    reference, prediction = pair(0.1 + rng.normal(scale=0.5, size=SHAPE))
    spectrum = residual_spectrum(reference, prediction, space="logit")
    for shell in (3, 6, 9):
        found = band_limited_correction(reference, prediction, spectrum.shells.edges[shell] - 1e-6)
        inside = spectrum.bias**2 + spectrum.shells.power[:shell].sum()
        assert found.logit_captured == pytest.approx(inside / spectrum.mean_square)
        assert found.coefficients == 1 + spectrum.shells.waves[:shell].sum()


def test_figures_and_sizes_by_hand(rng):
    shift = rng.normal(scale=0.2, size=SHAPE)
    reference, prediction = pair(shift)
    found = band_limited_correction(reference, prediction, 2.0)
    _, correction = least_squares(shift, TRICLINIC.reciprocal_lattice.matrix, 2.0)
    total = logit(prediction.values) + correction
    corrected = expit(total)
    assert found.before == field_metrics(reference.values, prediction.values)
    for name in FIGURES:
        expected = getattr(field_metrics(reference.values, corrected), name)
        assert getattr(found.after, name) == pytest.approx(expected)
    assert found.delta_mae == pytest.approx(found.after.mae - found.before.mae)
    assert found.elf_captured == pytest.approx(
        1 - ((corrected - reference.values) ** 2).sum() / ((prediction.values - reference.values) ** 2).sum()
    )
    moved = corrected - prediction.values
    for size, part, whole in ((found.logit_size, correction, total), (found.elf_size, moved, corrected)):
        assert size.l1 == pytest.approx(np.abs(part).sum() / np.abs(whole).sum())
        assert size.l2 == pytest.approx(np.linalg.norm(part) / np.linalg.norm(whole))
    edges, flat = np.linspace(0, 1, 21), reference.values.ravel()
    profile = found.by_elf
    assert profile.points.tolist() == np.histogram(flat, edges)[0].tolist()
    for ours, values, statistic in (
        (profile.logit, np.abs(correction), "mean"),
        (profile.elf, np.abs(moved), "mean"),
        (profile.ratio, np.abs(correction / total), "median"),
    ):
        expected = binned_statistic(flat, values.ravel(), statistic, edges).statistic
        assert ours == pytest.approx(expected, nan_ok=True)
    assert math.isnan(profile.logit[0]) and profile.points[0] == 0


def test_the_paper_s_ratio_peaks_at_one_half_for_a_correction_that_is_the_same_everywhere():
    shape = (20, 20, 20)
    local = np.random.default_rng(0).uniform(-3, 3, shape)
    found = band_limited_correction(field(expit(local + 0.2)), field(expit(local)), 0.1).by_elf
    inner = slice(2, 18)
    assert found.logit[inner] == pytest.approx(0.2)
    assert int(np.nanargmax(found.ratio)) in (9, 10)
    assert found.ratio[9] > 4 * found.ratio[4]


def test_the_clip_is_stated_and_matters():
    reference, prediction = pair(0.3 * wave(SHAPE, (1, 0, 0)))
    reference.values[0, 0, :3], prediction.values[0, 0, 5] = (0.0, 1.0, 1.0), 1.0
    curve = {clip: band_limited_correction(reference, prediction, 100.0, clip) for clip in (1e-2, 1e-3, 1e-5)}
    for clip, found in curve.items():
        assert found.clip == clip
        assert found.reference_clipped == 3 / 336 and found.prediction_clipped == 1 / 336
        assert found.after.max_error == pytest.approx(clip)
        assert found.after.mae == pytest.approx(3 * clip / 336)
        assert found.before == field_metrics(reference.values, prediction.values)
    low = [band_limited_correction(reference, prediction, 2.0, clip).logit_captured for clip in curve]
    assert low[0] > low[1] > low[2]  # the smaller the clip, the more of the norm four points have


def test_the_paper_s_coefficients_on_its_plane():
    """Eq. 7 with k_cut = 20 periods on a square of 11 Å: 1245 coefficients, down to a wavelength of 0.55 Å."""
    square, shape = Lattice.tetragonal(11.0, 1.0), (64, 64, 1)
    fields = pair(np.zeros(shape), square)
    k_max = 2 * np.pi * 20 / 11
    strict = plane_correction(*fields, k_max * (1 - 1e-6))
    assert strict.coefficients == 1245
    assert plane_correction(*fields, k_max).coefficients == 1245 + 12  # waves of exactly 20 periods
    assert strict.periods == pytest.approx(20, rel=1e-5)
    assert strict.shortest_wavelength == pytest.approx(0.55, rel=1e-5)
    assert k_max == pytest.approx(11.4, abs=0.05)


@pytest.mark.parametrize(("axis", "index"), [("x", 2), ("y", 0), ("z", 4)])
def test_a_plane_is_fitted_by_waves_in_it(rng, axis, index):
    shift = rng.normal(scale=0.4, size=(5, 6, 7))
    reference, prediction = pair(shift)
    number = "xyz".index(axis)
    target, local = (values.take(index, axis=number) for values in (shift, logit(prediction.values)))
    reciprocal = plane_residual(reference, prediction, axis, index).reciprocal
    for k_max in (1.0, 2.5):
        found = plane_correction(reference, prediction, k_max, axis, index)
        rank, correction = least_squares(target, reciprocal, k_max)
        assert found.coefficients == rank
        assert found.correction == pytest.approx(correction)
        assert found.corrected == pytest.approx(expit(local + correction))
        assert found.after.points == target.size
        assert found.logit_captured == pytest.approx((correction**2).sum() / (target**2).sum())
    assert (found.axis, found.index) == (axis, index)


def test_a_plane_needs_fewer_coefficients_than_the_cell_it_is_cut_from(rng):
    fields = pair(rng.normal(scale=0.4, size=(12, 12, 12)), Lattice.cubic(6.0))
    plane, cell = plane_correction(*fields, 4.0), band_limited_correction(*fields, 4.0)
    assert plane.periods == cell.periods == pytest.approx(4.0 * 6.0 / 2 / np.pi)
    assert plane.coefficients < cell.coefficients / 3
    assert isinstance(plane, PlaneCorrection) and not isinstance(plane, BandCorrection)
    assert isinstance(cell, BandCorrection) and not isinstance(cell, PlaneCorrection)


def test_dictionaries_are_json_and_tell_planes_from_cells(rng):
    fields = pair(rng.normal(scale=0.2, size=(5, 6, 7)))
    plane, cell = plane_correction(*fields, 2.0).to_dict(), band_limited_correction(*fields, 2.0).to_dict()
    for data in (plane, cell):
        assert json.loads(json.dumps(data, allow_nan=False)) == data
        assert data["periods"] is None and data["by_elf"]["logit"][0] is None
        assert data["delta_mae"] == data["after"]["mae"] - data["before"]["mae"]
    assert (plane["domain"], cell["domain"]) == ("plane", "volume")
    assert not {"correction", "corrected"} & set(plane)


def test_a_perfect_prediction_has_nothing_to_capture():
    reference = pair(np.zeros(SHAPE))[0]
    found = band_limited_correction(reference, reference, 2.0)
    assert math.isnan(found.logit_captured) and math.isnan(found.elf_captured)
    assert found.logit_size.l2 == 0 and found.delta_mae == pytest.approx(0, abs=1e-15)
    assert found.to_dict()["logit_captured"] is None


def test_single_precision_is_fitted_in_double(rng):
    reference, prediction = pair(rng.normal(scale=0.5, size=SHAPE))
    single = [f.replace(values=f.values.astype(np.float32)) for f in (reference, prediction)]
    found = band_limited_correction(*single, 100.0)
    assert found.after.max_error < 1e-12


def test_the_corrected_field_is_the_prediction_s(rng):
    reference, prediction = pair(rng.normal(scale=0.5, size=SHAPE))
    found = corrected_field(reference, prediction.replace(meta={"model": "m"}), 2.0)
    assert (found.quantity, found.meta, found.structure) == ("elf", {"model": "m"}, prediction.structure)


def test_what_cannot_be_corrected_is_refused(rng):
    one, other = pair(rng.normal(size=(4, 5, 6)))
    recipes = Recipe("GPAW 26.7.0", "PBE", "PAW"), Recipe("Quantum ESPRESSO 6.7", "PBE", "GTH")
    holes = other.values.copy()
    holes[0, 0, 0] = math.nan
    for bad, error, message in (
        (field(other.values[:, :, :5]), ElfzooError, "grids differ"),
        (field(other.values, Lattice.cubic(4)), StructureError, "lattice vectors differ"),
        (other.replace(quantity="density"), QuantityError, "prediction holds the quantity 'density'; expected 'elf'"),
        (other.replace(values=holes), ElfzooError, "prediction has 1 non-finite values"),
    ):
        for correct in (band_limited_correction, plane_correction, corrected_field):
            with pytest.raises(error, match=message):
                correct(one, bad, 2.0)
    densities = (f.replace(quantity="density") for f in (one, other))
    with pytest.raises(QuantityError, match="for a correction of logits, the reference holds the quantity 'density'"):
        band_limited_correction(*densities, 2.0)
    mixed = one.replace(recipe=recipes[0]), other.replace(recipe=recipes[1])
    with pytest.raises(RecipeError):
        correction_curve(*mixed, (2.0,))
    assert correction_curve(*mixed, (2.0,), mixed_recipes=True)[0].coefficients > 1


def test_numbers_out_of_range_are_refused(rng):
    fields = pair(rng.normal(size=(4, 5, 6)))
    for k_max in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ElfzooError, match="k_max must be a positive number of rad/Å; got"):
            band_limited_correction(*fields, k_max)
    for clip in (0.0, 0.5):
        with pytest.raises(ElfzooError, match="clip of logits"):
            band_limited_correction(*fields, 2.0, clip)
    with pytest.raises(ElfzooError, match="at least one k_max"):
        correction_curve(*fields, ())
    with pytest.raises(ElfzooError, match="from 0 to 5; got 6"):
        plane_correction(*fields, 2.0, index=6)
