"""Periodic interpolation against exact series, scipy's own resampling and splines, and real fields."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import get_args

import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy import ndimage, signal
from scipy.interpolate import CubicSpline

from elfzoo import interpolate, native
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.interpolate import (
    Order,
    PeriodicSpline,
    evaluate,
    fourier_interpolate,
    fourier_on_grid,
    fourier_resample,
    isotropic_refinement,
    resample,
    shortest_waves,
    spline_interpolate,
)
from elfzoo.io import read_field

CRYSTAL = Path(__file__).parents[1] / "benchmarks" / "data" / "crystal-h" / "hexagonal_018.npz"

shapes = st.tuples(*[st.integers(1, 7)] * 3)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture
def untyped() -> Iterator[None]:
    """Annotations unchecked, as in use outside the tests, so that our own messages are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def grid_points(shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1).reshape(-1, 3)


def series(points: np.ndarray, highest: int = 2, seed: int = 0) -> np.ndarray:
    """A real trigonometric polynomial with frequencies up to ``highest`` along each axis, at any points."""
    rng = np.random.default_rng(seed)
    k = np.array(np.meshgrid(*[np.arange(-highest, highest + 1)] * 3)).reshape(3, -1)
    amplitude = rng.normal(size=k.shape[1]) + 1j * rng.normal(size=k.shape[1])
    return np.real(np.exp(2j * np.pi * points @ k) @ amplitude)


@given(shape=shapes, seed=seeds, order=st.sampled_from([2, 3, 4, 5]))
def test_grid_points_are_reproduced(shape, seed, order):
    values = np.random.default_rng(seed).random(shape)
    points = grid_points(shape)
    np.testing.assert_allclose(spline_interpolate(values, points, order), values.ravel(), atol=1e-12)
    np.testing.assert_allclose(fourier_interpolate(values, points), values.ravel(), atol=1e-12)


@given(seed=seeds, shift=st.tuples(*[st.integers(-3, 3)] * 3))
def test_points_in_other_cells_have_the_same_values(seed, shift):
    rng = np.random.default_rng(seed)
    values, points = rng.random((5, 4, 6)), rng.random((9, 3))
    for function in (spline_interpolate, fourier_interpolate):
        np.testing.assert_allclose(function(values, points + np.array(shift)), function(values, points), atol=1e-11)


@pytest.mark.parametrize("shape", [(5, 5, 5), (6, 7, 8), (12, 5, 9)])
def test_fourier_is_exact_below_nyquist(shape, rng):
    values, points = series(grid_points(shape)).reshape(shape), rng.uniform(-2, 2, (40, 3))
    np.testing.assert_allclose(fourier_interpolate(values, points), series(points), atol=1e-11)
    for other in [(5, 5, 5), (6, 10, 7), (15, 5, 8)]:
        np.testing.assert_allclose(fourier_resample(values, other).ravel(), series(grid_points(other)), atol=1e-11)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_nyquist_frequency_is_a_cosine(axis, rng):
    shape = (6, 4, 8)
    n = shape[axis]
    values = np.cos(np.pi * n * grid_points(shape)[:, axis]).reshape(shape)
    points = rng.random((30, 3))
    np.testing.assert_allclose(fourier_interpolate(values, points), np.cos(np.pi * n * points[:, axis]), atol=1e-12)
    finer = tuple(2 * m for m in shape)
    expected = np.cos(np.pi * n * grid_points(finer)[:, axis])
    np.testing.assert_allclose(fourier_resample(values, finer).ravel(), expected, atol=1e-12)
    sine = np.sin(np.pi * n * (grid_points(finer)[:, axis])).reshape(finer)  # invisible on the coarse grid
    np.testing.assert_allclose(fourier_resample(sine, shape), 0, atol=1e-12)


@given(shape=shapes, other=shapes, seed=seeds)
def test_resampling_agrees_with_scipy(shape, other, seed):
    values = np.random.default_rng(seed).random(shape)
    expected = values
    for axis, n in enumerate(other):
        expected = signal.resample(expected, n, axis=axis)
    np.testing.assert_allclose(fourier_resample(values, other), expected, atol=1e-12)
    assert fourier_resample(values, other).mean() == pytest.approx(values.mean(), abs=1e-12)


@given(shape=shapes, extra=shapes, seed=seeds)
def test_finer_grid_agrees_with_points_and_leads_back(shape, extra, seed):
    values = np.random.default_rng(seed).random(shape)
    finer = tuple(n + m for n, m in zip(shape, extra, strict=True))
    up = fourier_resample(values, finer)
    np.testing.assert_allclose(up.ravel(), fourier_interpolate(values, grid_points(finer)), atol=1e-11)
    np.testing.assert_allclose(fourier_resample(up, shape), values, atol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cubic_spline_is_the_periodic_cubic_spline(axis, rng):
    shape = (9, 10, 11)
    knots, points = rng.random(shape[axis]), rng.random((50, 3))
    values = np.moveaxis(np.broadcast_to(knots, np.roll(shape, -1 - axis)), 2, axis)
    oracle = CubicSpline(np.linspace(0, 1, len(knots) + 1), np.append(knots, knots[0]), bc_type="periodic")
    assert values.shape[axis] == len(knots)
    np.testing.assert_allclose(spline_interpolate(values, points), oracle(points[:, axis]), atol=1e-12)


@pytest.mark.parametrize(("order", "power"), [(3, 4), (5, 6)])
def test_spline_converges_with_its_order(order, power, rng):
    points = rng.random((200, 3))
    errors = []
    for n in (16, 32):
        values = series(grid_points((n, n, n))).reshape(n, n, n)
        errors.append(np.abs(spline_interpolate(values, points, order) - series(points)).max())
    assert errors[0] / errors[1] == pytest.approx(2**power, rel=0.35)


def test_one_spline_for_several_sets_of_points(rng):
    values, points = rng.random((5, 6, 7)), rng.random((8, 3))
    spline = PeriodicSpline.through(values, 5)
    assert spline.order == 5
    np.testing.assert_array_equal(spline(points), spline_interpolate(values, points, 5))
    np.testing.assert_array_equal(spline(points[:3]), spline(points)[:3])


@pytest.mark.parametrize("level", native.LEVELS)
@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (5, 6, 7), (12, 9, 16)])
def test_the_compiled_spline_is_that_of_scipy(shape, order, level, rng):
    library = native.load(native.KERNEL)
    if library is None:
        pytest.skip("the kernel was not compiled: no C compiler")
    spline = PeriodicSpline.through(rng.normal(size=shape), order)
    indices = rng.random((200, 3)) * shape
    indices[:3] = np.outer((0, 0.5, 1), shape)  # the last: what the remainder of a tiny negative number by 1 is
    expected = ndimage.map_coordinates(spline.coefficients, indices.T, order=order, mode="grid-wrap", prefilter=False)
    np.testing.assert_allclose(spline._compiled(library, indices, level), expected, atol=1e-12)
    # in another layout, and none
    np.testing.assert_array_equal(
        spline._compiled(library, np.asfortranarray(indices), level), spline._compiled(library, indices, level)
    )
    assert spline._compiled(library, indices[:0], level).shape == (0,)


def test_without_the_compiled_kernel_splines_are_the_same(rng, monkeypatch):
    spline, points = PeriodicSpline.through(rng.random((5, 6, 7))), rng.normal(size=(40, 3))
    compiled = spline(points)
    monkeypatch.setattr(native, "load", lambda name: None)
    np.testing.assert_allclose(spline(points), compiled, atol=1e-12)


def test_blocks_of_points_change_nothing(rng, monkeypatch):
    field = Field(rng.random((6, 5, 4)), Structure(Lattice.cubic(3), ["H"], [[0, 0, 0]]))
    points = rng.random((70, 3))
    whole = fourier_interpolate(field.values, points), resample(field, (9, 8, 7), "spline").values
    monkeypatch.setattr(interpolate, "BLOCK", 100)
    np.testing.assert_allclose(fourier_interpolate(field.values, points), whole[0], atol=1e-14)
    np.testing.assert_array_equal(resample(field, (9, 8, 7), "spline").values, whole[1])


def test_float32_values_are_interpolated_in_double_precision(rng):
    values, points = rng.random((5, 5, 5)).astype(np.float32), rng.random((9, 3))
    for function in (spline_interpolate, fourier_interpolate):
        assert function(values, points).dtype == np.float64
        np.testing.assert_array_equal(function(values, points), function(values.astype(np.float64), points))


@pytest.mark.parametrize("method", ["spline", "fourier"])
def test_logit_space_does_not_overshoot(method, rng):
    values = np.zeros((12, 12, 12))
    values[:6] = 1.0
    field = Field(values, Structure(Lattice.cubic(3), ["H"], [[0, 0, 0]]))
    points = rng.random((500, 3))
    plain, logit = (evaluate(field, points, method, space) for space in ("value", "logit"))
    assert plain.max() > 1.05 and plain.min() < -0.05
    assert logit.max() < 1 and logit.min() > 0
    middle = field.replace(values=0.1 + 0.8 * rng.random((4, 5, 6)))
    np.testing.assert_allclose(resample(middle, (4, 5, 6), method, "logit").values, middle.values, atol=1e-12)


@pytest.mark.parametrize(("method", "worst"), [("spline", 6e-3), ("fourier", 2e-3)])
def test_real_field_from_every_other_point(method, worst):
    """The ELF of a hydrogen crystal at 0.2 Å gives that at 0.1 Å back: the reference's logits end at 18 rad/Å."""
    field = read_field(CRYSTAL)
    coarse = field.replace(values=field.values[::2, ::2, ::2])
    fine = resample(coarse, field.grid.shape, method, "logit")
    assert fine.structure == field.structure and fine.recipe == field.recipe
    assert np.abs(fine.values - field.values).max() < worst
    odd = field.grid.frac_coords(np.arange(0, field.grid.size, 97))
    np.testing.assert_allclose(evaluate(coarse, odd, method, "logit"), fine.values.ravel()[::97], atol=1e-12)


def test_spline_resampling_is_evaluation_on_the_new_grid(rng):
    field = Field(rng.random((5, 6, 7)), Structure(Lattice.hexagonal(3, 4), ["H"], [[0, 0, 0]]))
    grid = Grid((4, 9, 5), field.structure.lattice.matrix)
    expected = evaluate(field, grid.frac_coords()).reshape(grid.shape)
    np.testing.assert_allclose(resample(field, (4, 9, 5), "spline").values, expected, atol=1e-13)


def test_bad_input_is_named(untyped):
    values, points = np.zeros((3, 3, 3)), np.zeros((2, 3))
    broken = values.copy()
    broken[0, 1, 2] = np.nan
    cases = [
        (lambda: spline_interpolate(values[0], points), r"shape \(3, 3\)"),
        (lambda: fourier_interpolate(broken, points), r"grid point \[0, 1, 2\] holds nan"),
        (lambda: fourier_resample(broken, (4, 4, 4)), "finite values"),
        (lambda: spline_interpolate(values, points[:, :2]), r"shape \(2, 2\)"),
        (lambda: fourier_interpolate(values, points + np.inf), "NaN or infinity"),
        (lambda: spline_interpolate(values, points, 7), "order from 2 to 5; got 7"),
        (lambda: fourier_resample(values, (4, 0, 4)), "three positive whole numbers"),
    ]
    for call, message in cases:
        with pytest.raises(ElfzooError, match=message):
            call()


def test_unknown_methods_get_the_nearest_name(untyped):
    field = Field(np.zeros((3, 3, 3)), Structure(Lattice.cubic(3), ["H"], [[0, 0, 0]]))
    with pytest.raises(UnknownNameError, match="did you mean spline"):
        evaluate(field, np.zeros((1, 3)), "splines")
    with pytest.raises(UnknownNameError, match="did you mean fourier"):
        resample(field, (4, 4, 4), "furier")
    with pytest.raises(UnknownNameError, match="did you mean logit"):
        evaluate(field, np.zeros((1, 3)), space="logits")


@pytest.mark.parametrize("multiple", [np.eye(3, dtype=int), [[2, 0, 0], [1, 1, 0], [0, -1, 3]]])
@pytest.mark.parametrize("shape", [(9, 7, 8), (3, 5, 4)])
def test_fourier_on_a_whole_grid_is_fourier_at_its_points(rng, multiple, shape):
    """Even axes with Nyquist terms, supercells and skewed bases, and grids coarser than the field's own."""
    lattice, values = np.array([[2.0, 0, 0], [0.7, 1.9, 0], [0.1, -0.4, 2.2]]), rng.normal(size=(4, 5, 6))
    grid = Grid(shape, multiple @ lattice)
    expected = fourier_interpolate(values, grid.positions() @ np.linalg.inv(lattice))
    np.testing.assert_allclose(fourier_on_grid(values, lattice, grid).ravel(), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 6, 4), (5, 5, 3)])
def test_isotropic_refinement_keeps_the_values_and_gives_them_the_symmetry_of_a_hexagonal_lattice(rng, shape):
    """Values with the six-fold axis on the grid keep it between the points, where the box of indices loses it."""
    lattice = Lattice.hexagonal(2.0, 1.7).matrix
    turn = np.array([[1, -1, 0], [1, 0, 0], [0, 0, 1]])  # on fractional coordinates
    values = rng.normal(size=shape)
    points = np.stack(np.unravel_index(np.arange(values.size), shape), axis=1)
    powers = [np.linalg.matrix_power(turn, n) for n in range(6)]
    values = np.mean([values[tuple((points @ p.T % shape).T)].reshape(shape) for p in powers], axis=0)
    refined = isotropic_refinement(values, lattice)
    np.testing.assert_allclose(fourier_interpolate(refined, points / shape).reshape(shape), values, atol=1e-12)
    between = rng.random((30, 3))
    found, box = ([fourier_interpolate(v, between @ p.T) for p in powers] for v in (refined, values))
    assert np.ptp(found, axis=0).max() < 1e-10
    assert np.ptp(box, axis=0).max() > 1e-2


def test_isotropic_refinement_has_nothing_to_do_with_orthogonal_axes(rng):
    values = rng.normal(size=(4, 5, 6))
    np.testing.assert_array_equal(isotropic_refinement(values, np.diag([1.0, 2.0, 3.0])), values)


@pytest.mark.parametrize("change", [np.eye(3), [[1, 0, 0], [3, 1, 0], [-2, 2, 1]]])
def test_shortest_waves_against_a_search_through_all(change):
    lattice = np.array(change) @ Lattice.hexagonal(2.0, 1.7).matrix
    grid, reciprocal = Grid((4, 4, 4), lattice), np.linalg.inv(lattice).T
    every = np.array(list(product(range(-16, 17), repeat=3)))
    flat = np.ravel_multi_index(tuple(every.T % 4), (4, 4, 4))
    shortest = np.full(64, np.inf)
    np.minimum.at(shortest, flat, np.linalg.norm(every @ reciprocal, axis=1))
    found = shortest_waves(grid)
    np.testing.assert_array_equal(np.ravel_multi_index(tuple(found.T % 4), (4, 4, 4)), np.arange(64))
    np.testing.assert_allclose(np.linalg.norm(found @ reciprocal, axis=1), shortest, atol=1e-12)


def test_fourier_on_a_grid_of_another_lattice(rng):
    with pytest.raises(ElfzooError, match="is no supercell"):
        fourier_on_grid(rng.normal(size=(4, 4, 4)), np.eye(3), Grid((4, 4, 4), 1.5 * np.eye(3)))
