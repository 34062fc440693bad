"""The low pass on plane waves, whose amplitude after it is known, in cells of any shape."""

import numpy as np
import pytest

from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.reference.smooth import CLIP, ON_GRID, density_on_grid, low_pass, on_grid

TRICLINIC = np.array([[2.9, 0.2, -0.1], [1.3, 2.4, 0.3], [-0.8, 0.7, 2.6]])
HEXAGONAL = np.array([[3.0, 0, 0], [-1.5, 1.5 * np.sqrt(3), 0], [0, 0, 2.8]])
SHAPE = (16, 15, 18)
WAVES = [(0, 0, 0), (1, 0, 0), (2, -1, 1), (-3, 2, 0), (1, 1, -4), (5, 3, 2), (-2, 4, 5), (4, 0, -6)]


def wave(shape, k, phase=0.3):
    frac = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1)
    return np.cos(2 * np.pi * frac @ np.array(k) + phase)


def length(k, lattice=TRICLINIC):
    return float(np.linalg.norm(2 * np.pi * np.linalg.inv(lattice) @ np.array(k)))  # rad/Å


@pytest.mark.parametrize("k", WAVES)
def test_a_plane_wave_is_kept_faded_or_taken_out(k):
    values, g = wave(SHAPE, k), length(k)
    np.testing.assert_allclose(low_pass(values, TRICLINIC, (g + 0.5, g + 1)), values, atol=1e-12)
    if g == 0:
        return
    np.testing.assert_allclose(low_pass(values, TRICLINIC, (g / 3, g / 2)), 0, atol=1e-12)
    for part in (0.25, 0.5, 0.9):
        window = (g - part, g - part + 1)
        expected = 0.5 + 0.5 * np.cos(np.pi * part)
        np.testing.assert_allclose(low_pass(values, TRICLINIC, window), expected * values, atol=1e-12)


def test_waves_do_not_mix():
    inside, outside = wave(SHAPE, (1, 0, 1)), wave(SHAPE, (5, 3, 2))
    window = (length((1, 0, 1)) + 0.1, length((5, 3, 2)) - 0.1)
    np.testing.assert_allclose(low_pass(2 + inside + 5 * outside, TRICLINIC, window), 2 + inside, atol=1e-12)


def turned(values):
    """The field after the sixfold axis of a hexagonal lattice: (x, y, z) -> (x - y, x, z)."""
    n = len(values)
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    return values[(i - j) % n, i]


def test_a_symmetric_field_stays_symmetric(rng):
    symmetric = sum(_orbit(rng.random((24, 24, 20))))
    np.testing.assert_allclose(turned(symmetric), symmetric, atol=1e-12)
    window = (4.0, 12.0)  # across a corner of the mesh in the plane, below all its Nyquist frequencies
    found = low_pass(symmetric, HEXAGONAL, window)
    assert np.abs(found - symmetric).max() > 0.1
    np.testing.assert_allclose(turned(found), found, atol=1e-12)
    elf = symmetric / symmetric.max()
    finer = on_grid(elf, Grid((36, 36, 30), HEXAGONAL), window)
    np.testing.assert_allclose(turned(finer), finer, atol=1e-12)


def _orbit(values):
    for _ in range(6):
        yield values
        values = turned(values)


def elf_of(shape):
    """An ELF whose logit is a few plane waves."""
    logit = 0.4 + sum(a * wave(shape, k) for a, k in ((1.5, (1, 0, 0)), (0.8, (2, -1, 1)), (0.5, (-3, 2, 0))))
    return 1 / (1 + np.exp(-logit))


@pytest.mark.parametrize("shape", [(32, 30, 27), (9, 8, 7), (16, 15, 18), (8, 31, 12)])
def test_band_limited_logits_are_exact_on_any_grid(shape):
    window = (length((-3, 2, 0)) + 0.2, length((-3, 2, 0)) + 1)
    for given in (None, window):
        found = on_grid(elf_of(SHAPE), Grid(shape, TRICLINIC), given)
        np.testing.assert_allclose(found, elf_of(shape), atol=1e-10)


def test_without_a_window_the_same_grid_gives_the_same_field(rng):
    elf = rng.random(SHAPE)
    elf[0, 0, :2] = 0, 1  # not even clipped
    assert on_grid(elf, Grid(SHAPE, TRICLINIC), None) is elf


def test_values_stay_within_zero_and_one(rng):
    elf = (rng.random(SHAPE) > 0.5).astype(float)  # as steep as it gets
    for shape, window in ((SHAPE, (3.0, 9.0)), ((24, 24, 24), None), ((10, 9, 8), (6.0, 7.0))):
        found = on_grid(elf, Grid(shape, TRICLINIC), window)
        assert found.shape == shape
        assert (found > 0).all() and (found < 1).all()
    flat = on_grid(np.ones(SHAPE), Grid((8, 8, 8), TRICLINIC), (3.0, 9.0))
    np.testing.assert_allclose(flat, 1 - CLIP, rtol=1e-9)


@pytest.mark.parametrize("window", [(5.0, 5.0), (6.0, 5.0), (0.0, 5.0), (-1.0, 5.0)])
def test_a_window_that_does_not_fall_is_refused(window):
    with pytest.raises(ElfzooError, match="falls between two"):
        low_pass(np.ones((4, 4, 4)), np.eye(3), window)


def test_a_density_keeps_its_electrons_and_what_the_window_keeps():
    """On coarser and finer grids; what is faded is faded in the density itself."""
    inside, outside = wave(SHAPE, (1, 0, 1)), wave(SHAPE, (5, 3, 2))
    window = (length((1, 0, 1)) + 0.1, length((5, 3, 2)) - 0.1)
    for shape in ((9, 10, 8), (32, 30, 20), SHAPE):
        found = density_on_grid(0.6 + 0.2 * inside + 0.3 * outside, Grid(shape, TRICLINIC), window)
        np.testing.assert_allclose(found, 0.6 + 0.2 * wave(shape, (1, 0, 1)), atol=1e-12)
        assert found.mean() == pytest.approx(0.6, abs=1e-14)
    plain = density_on_grid(0.6 + 0.2 * inside, Grid(SHAPE, TRICLINIC), None)
    np.testing.assert_allclose(plain, 0.6 + 0.2 * inside, atol=1e-13)
    assert set(ON_GRID) == {"elf", "density"}


def test_a_filtered_density_has_sixfold_symmetry_where_a_truncated_one_has_not(rng):
    symmetric = sum(_orbit(rng.random((24, 24, 20))))
    coarse = Grid((12, 12, 10), HEXAGONAL)
    filtered, truncated = (density_on_grid(symmetric, coarse, window) for window in ((8.0, 11.0), None))
    np.testing.assert_allclose(turned(filtered), filtered, atol=1e-12)
    assert np.abs(turned(truncated) - truncated).max() > 1e-3
