from itertools import product

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.config import parse
from elfzoo.errors import ConfigError
from elfzoo.grid import Grid
from elfzoo.symmetry import space_group_operations
from elfzoo.transforms.free_atoms import valence_electrons
from elfzoo.transforms.sad_channels import SadConfig, gradient_norm, sad_channels


def test_channels_hold_the_stated_electrons_and_blocks_add_up(skewed_hydride):
    skewed_hydride.replace(2, "Al")
    grid = Grid.from_spacing(skewed_hydride.lattice.matrix, 0.3)
    config = SadConfig(blocks=True, scale=None)
    total, *blocks, _ = sad_channels(skewed_hydride, grid, config)
    assert config.n_channels == 6
    electrons = [b.mean() * skewed_hydride.volume for b in (total, *blocks)]
    h, ca, al = valence_electrons(np.array([1, 20, 13]))
    np.testing.assert_allclose(electrons, [h + ca + al, h + ca, al, 0, 0], atol=1e-10)
    np.testing.assert_allclose(sum(blocks), total, atol=1e-12)


@pytest.mark.parametrize("change", [np.eye(3), [[1, 0, 0], [3, 1, 0], [-2, 2, 1]]])
def test_gradient_of_every_wave_that_the_grid_holds(change, rng):
    """In a cubic cell and in a very skewed one of the same lattice, whose waves are stored far from their indices."""
    lattice = np.array(change) @ (2.0 * np.eye(3))
    grid = Grid((8, 8, 8), lattice)
    every = 2 * np.pi * np.array(list(product(range(-10, 11), repeat=3))) @ np.linalg.inv(lattice).T
    lengths, aliases = np.linalg.norm(every, axis=1), np.linalg.norm(8 * every, axis=1)
    k = every[(lengths > 0) & (lengths < 0.999 * np.min(aliases[aliases > 0]) / 2)]
    phases, amplitudes = grid.positions() @ k.T, rng.normal(size=len(k))
    expected = np.linalg.norm((np.sin(phases) * amplitudes) @ k, axis=1)
    found = gradient_norm((np.cos(phases) @ amplitudes).reshape(grid.shape), grid)
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-9)


def test_channels_have_the_symmetry_of_the_crystal():
    structure = Structure.from_spacegroup("P6_522", Lattice.hexagonal(2.4, 5.0), ["Li"], [[0.21, 0.34, 0.07]])
    operations = space_group_operations(structure)
    grid = Grid.for_symmetry(structure.lattice.matrix, 0.4, *operations)
    representatives, inverse = grid.orbits(*operations)
    for channel in sad_channels(structure, grid, SadConfig(blocks=True)):
        np.testing.assert_allclose(channel.ravel()[representatives][inverse], channel.ravel(), atol=1e-9)


def test_scale_is_logarithmic_for_large_densities(skewed_hydride):
    grid = Grid.from_spacing(skewed_hydride.lattice.matrix, 0.3)
    plain, scaled = (sad_channels(skewed_hydride, grid, SadConfig(scale=s, smoothing=0.15)) for s in (None, 0.2))
    np.testing.assert_allclose(np.sinh(scaled) * 0.2, plain, atol=1e-12)


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"smoothing": -1.0}])
def test_senseless_channels_are_refused(wrong):
    with pytest.raises(ConfigError, match="scale be positive"):
        parse(SadConfig, wrong)
