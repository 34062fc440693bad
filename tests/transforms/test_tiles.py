import numpy as np
import pytest
import torch

from elfzoo.periodic import periodic_images, wrap
from elfzoo.transforms.tiles import tiled_power_spectrum
from tests.transforms.test_power_spectrum import CELLS, CONFIGS, random_case, reference


@pytest.mark.parametrize("config", CONFIGS, ids=["paper", "smooth l 4", "two channels"])
@pytest.mark.parametrize("cell", CELLS)
def test_equals_the_reference_in_double_precision(cell, config, rng, monkeypatch):
    monkeypatch.setattr("elfzoo.transforms.tiles.LARGEST_ARRAY", 1)  # one tile at a time
    points, positions, weights = random_case(CELLS[cell], config, rng, points=131)
    expected = reference(points, positions, CELLS[cell], weights, config).numpy()
    images = periodic_images(positions, CELLS[cell], config.r_cut)
    parts = list(tiled_power_spectrum(wrap(points, CELLS[cell]), images, torch.tensor(weights), config))
    assert [len(p) for p in parts] == [64, 64, 3]
    np.testing.assert_allclose(torch.cat(parts).numpy(), expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


def test_padding_stays_outside_wherever_the_last_image_lies(rng):
    """Lattice vectors that all point backwards: the last image, of which padding was made, is at the negative end."""
    lattice, config = -np.array([[0.0, 1.8, 1.8], [1.8, 0.0, 1.8], [1.8, 1.8, 0.0]]), CONFIGS[0]
    positions, weights = np.array([[0.0, 0.0, 0.0], [-2.7, -2.7, -2.7]]), np.ones((2, 1))
    corners = np.stack(np.meshgrid(*[[0.0, 0.3, 0.6]] * 3), axis=-1).reshape(-1, 1, 3)  # of small tiles
    points = (corners + 0.05 * rng.random((27, 64, 3))).reshape(-1, 3) @ lattice
    expected = reference(points, positions, lattice, weights, config).numpy()
    images = periodic_images(positions, lattice, config.r_cut)
    found = torch.cat(list(tiled_power_spectrum(points, images, torch.tensor(weights), config)))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


def test_far_from_all_atoms():
    config = CONFIGS[0]
    images = periodic_images(np.zeros((1, 3)), np.eye(3) * 20, config.r_cut)
    (features,) = tiled_power_spectrum(np.full((5, 3), 10.0), images, torch.ones(1, 1), config)
    assert features.shape == (5, 165)
    assert not features.any()
