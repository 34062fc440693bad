import numpy as np
import pytest
import torch

from elfzoo.config import parse
from elfzoo.errors import ConfigError
from elfzoo.periodic import probe_edges
from elfzoo.transforms import PowerSpectrumConfig, power_spectrum
from tests.transforms import oracle

CELLS = {
    "larger than the cutoff": np.diag([7.0, 6.5, 8.0]),
    "cubic, smaller": np.diag([2.1, 2.1, 2.1]),
    "needle": np.diag([1.2, 1.4, 6.0]),
    "skewed": np.array([[2.0, 0, 0], [1.7, 0.9, 0], [0.3, 0.5, 1.5]]),
    "hexagonal": np.array([[2.06, 0, 0], [-1.03, 1.784, 0], [0, 0, 2.25]]),
}
CONFIGS = [
    PowerSpectrumConfig(),
    PowerSpectrumConfig(smooth=True, l_max=4, n_radial=7, r_cut=3.4),
    PowerSpectrumConfig(smooth=True, l_max=3, n_radial=5, channels=2, r_cut=2.5, softening=0.5),
]


def reference(points, positions, lattice, weights, config, dtype=torch.float64):
    atom, probe, shift = probe_edges(points, positions, lattice, config.r_cut)
    vectors = torch.as_tensor(positions[atom] + shift - points[probe], dtype=dtype)
    e = torch.as_tensor(weights[atom], dtype=dtype)
    return power_spectrum(vectors, e, torch.as_tensor(probe), len(points), config)


def random_case(lattice, config, rng, atoms=3, points=12):
    positions = rng.random((atoms, 3)) @ lattice
    return rng.random((points, 3)) @ lattice, positions, rng.normal(size=(atoms, config.channels))


@pytest.mark.parametrize("config", CONFIGS, ids=["paper", "smooth l 4", "two channels"])
@pytest.mark.parametrize("cell", CELLS)
def test_equals_brute_force_over_images(cell, config, rng):
    points, positions, weights = random_case(CELLS[cell], config, rng)
    expected = oracle.power_spectrum(points, positions, CELLS[cell], weights, config)
    found = reference(points, positions, CELLS[cell], weights, config).numpy()
    assert found.shape == (12, config.n_features)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * np.abs(expected).max())


def test_paper_has_165_features():
    assert PowerSpectrumConfig().n_features == 165


def test_one_rounded_image_is_not_enough(rng):
    """The public code's single minimum image loses most neighbours of a small cell: what we must not do."""
    lattice, config = CELLS["hexagonal"], PowerSpectrumConfig()
    points, positions, weights = random_case(lattice, config, rng)
    frac = (positions[None] - points[:, None]) @ np.linalg.inv(lattice)
    vectors = ((frac - np.round(frac)) @ lattice).reshape(-1, 3)
    probe = torch.arange(len(points)).repeat_interleave(len(positions))
    e = torch.as_tensor(np.tile(weights, (len(points), 1)))
    wrong = power_spectrum(torch.as_tensor(vectors), e, probe, len(points), config)
    right = reference(points, positions, lattice, weights, config)
    assert (wrong - right).abs().max() > 0.5 * right.abs().max()


def features_along(direction, offsets, config):
    """Features on a line through a nucleus that has neighbours."""
    positions = np.array([[0.0, 0, 0], [0.7, 0.1, -0.2], [-0.9, 0.8, 0.4]])
    points = np.outer(offsets, direction)
    return reference(points, positions, np.eye(3) * 12.0, np.ones((3, 1)), config)


@pytest.mark.parametrize("smooth", [True, False])
def test_continuity_at_the_nucleus(smooth):
    """Values and slopes on both sides of a nucleus agree for the smooth variant, and jump for the paper's."""
    config = PowerSpectrumConfig(smooth=smooth, l_max=3)
    direction, step = np.array([0.36, 0.48, 0.8]), 1e-5
    x = features_along(direction, step * np.array([-3.0, -1.0, 1.0, 3.0]), config)
    scale = float(x.abs().max())
    jump = float((x[2] - x[1]).abs().max()) / scale
    kink = float(((x[3] - x[2]) - (x[1] - x[0])).abs().max()) / (2 * step) / scale
    if smooth:
        assert jump < 1e-4
        assert kink < 1e-2
    else:
        assert jump > 1e-2
        assert kink > 1.0


def test_gradient_with_respect_to_positions_is_exact():
    config = PowerSpectrumConfig(smooth=True, l_max=2, n_radial=4, channels=2)
    vectors = torch.tensor([[0.1, 0.2, -0.1], [1.1, -0.7, 0.4], [0.0, 0.0, 0.0]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 0.3], [0.5, -1.0], [2.0, 1.0]], dtype=torch.float64)
    probe = torch.tensor([0, 0, 1])

    def features(v, w):
        return power_spectrum(v, w, probe, 2, config)

    assert torch.autograd.gradcheck(features, (vectors.requires_grad_(), weights.requires_grad_()))


def test_a_point_without_neighbours_has_zero_features():
    far = reference(np.full((1, 3), 10.0), np.zeros((1, 3)), np.eye(3) * 20, np.ones((1, 1)), PowerSpectrumConfig())
    assert far.shape == (1, 165)
    assert not far.any()


@pytest.mark.parametrize(
    "values", [{"r_cut": -1.0}, {"l_max": 5}, {"n_radial": 1}, {"channels": 0}, {"rcut": 3.0}, {"r_cut": "three"}]
)
def test_bad_configurations_are_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        parse(PowerSpectrumConfig, values)
