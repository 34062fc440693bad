import platform

import numpy as np
import pytest
import torch

from elfzoo import native
from elfzoo.errors import ElfzooError
from elfzoo.nn import mlp
from elfzoo.periodic import CellList, periodic_images, wrap
from elfzoo.transforms import PowerSpectrumConfig, fused
from tests.transforms.test_power_spectrum import CELLS, CONFIGS, random_case, reference

pytestmark = pytest.mark.skipif(not fused.available(), reason="the kernel was not compiled: no C compiler")
LEVELS = native.LEVELS[: native.LEVELS.index(fused.instruction_set()) + 1] if fused.available() else ()


def cell_list(positions, lattice, config):
    return CellList.build(periodic_images(positions, lattice, config.r_cut))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("config", CONFIGS, ids=["paper", "smooth l 4", "two channels"])
@pytest.mark.parametrize("cell", CELLS)
def test_features_equal_the_reference(cell, config, level, rng):
    """On every instruction set of this processor; 131 points make two full tiles and a short one."""
    points, positions, weights = random_case(CELLS[cell], config, rng, points=131)
    expected = reference(points, positions, CELLS[cell], weights, config).numpy()
    cells = cell_list(positions, CELLS[cell], config)
    found = fused.features(config, cells, weights, wrap(points, CELLS[cell]), level)
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("hidden", [(), (128, 128), (7,), (50, 6, 13)])
def test_network_equals_torch(hidden, level, rng):
    config = CONFIGS[2]
    points, positions, weights = random_case(CELLS["skewed"], config, rng, points=70)
    torch.manual_seed(0)
    network = mlp([config.n_features, *hidden, 1])
    features = reference(points, positions, CELLS["skewed"], weights, config)
    mean, std = features.mean(0), features.std(0)
    with torch.no_grad():
        expected = network(((features - mean) / std).clamp(-1.5, 1.5).float())[:, 0].numpy()
    linear = [m for m in network if isinstance(m, torch.nn.Linear)]
    layers = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in linear]
    packed = fused.FusedNetwork(mean.numpy(), 1 / std.numpy(), 1.5, layers)
    cells = cell_list(positions, CELLS["skewed"], config)
    found = fused.logits(config, cells, weights, packed, wrap(points, CELLS["skewed"]), level)
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="where else numbers below 1e-38 are slow")
@pytest.mark.parametrize("level", LEVELS)
def test_numbers_below_1e_38_are_zero_in_the_kernel_and_nowhere_else(level, rng):
    config, tiny = CONFIGS[0], np.float32(1e-40)
    points, positions, weights = random_case(CELLS["skewed"], config, rng, points=3)
    nothing, one = np.zeros((1, config.n_features), np.float32), np.ones(config.n_features)
    packed = fused.FusedNetwork(0 * one, one, 1.5, [(nothing, np.array([tiny]))])
    cells = cell_list(positions, CELLS["skewed"], config)
    found = fused.logits(config, cells, weights, packed, wrap(points, CELLS["skewed"]), level)
    assert (found == 0).all() and tiny * np.float32(0.5) > 0


def test_many_neighbours(rng):
    """More neighbours than one batch of the kernel and than its first list."""
    config = PowerSpectrumConfig(r_cut=5.0, n_radial=6, smooth=True, l_max=1)
    lattice = np.eye(3) * 2.5
    points, positions, weights = random_case(lattice, config, rng, atoms=24, points=9)
    expected = reference(points, positions, lattice, weights, config).numpy()
    found = fused.features(config, cell_list(positions, lattice, config), weights, wrap(points, lattice))
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


def test_scattered_points_need_no_order(rng):
    config = PowerSpectrumConfig()
    lattice = np.eye(3) * 9.0
    points, positions, weights = random_case(lattice, config, rng, atoms=60, points=64)
    cells = cell_list(positions, lattice, config)
    together = fused.features(config, cells, weights, points)
    alone = np.concatenate([fused.features(config, cells, weights, p[None]) for p in points])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5 * np.abs(alone).max())


def test_a_descriptor_beyond_single_precision_is_left_to_the_reference():
    assert fused.supports(PowerSpectrumConfig())
    assert not fused.supports(PowerSpectrumConfig(sigma_ratio=0.2))
    assert not fused.supports(PowerSpectrumConfig(n_radial=30))


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="layer 1"):
        fused.FusedNetwork(
            np.zeros(3), np.ones(3), 1.0, [(np.ones((2, 3)), np.zeros(2)), (np.ones((1, 5)), np.zeros(1))]
        )


def test_points_that_are_no_numbers_are_refused():
    config, lattice = PowerSpectrumConfig(), 4.0 * np.eye(3)
    cells = CellList.build(periodic_images(np.zeros((1, 3)), lattice, config.r_cut))
    with pytest.raises(ElfzooError, match="finite"):
        fused.features(config, cells, np.ones((1, 1)), np.array([[0.0, np.nan, 1.0]]))


@pytest.mark.parametrize("shape", [(4, 2), (3,), (2, 1, 3)])
def test_points_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """Of all kernels, which would read behind their end."""
    with pytest.raises(ElfzooError, match=r"expected points of shape \(points, 3\); got"):
        fused.finite(np.zeros(shape))
