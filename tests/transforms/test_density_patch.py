"""The density patch against explicit sums, integrals and finite differences, and the memory it takes."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from elfzoo.config import parse
from elfzoo.errors import ConfigError
from elfzoo.transforms import density_patch as module
from elfzoo.transforms.density_patch import DensityPatchConfig, cube_orientations, density_patch, patch_edges

CELLS = {
    "larger than the patch": np.diag([7.0, 6.5, 8.0]),
    "cubic, smaller": np.diag([1.4, 1.4, 1.4]),
    "needle": np.diag([1.1, 1.3, 6.0]),
    "triclinic": np.array([[2.0, 0, 0], [1.7, 0.9, 0], [0.3, 0.5, 1.5]]),
    "hexagonal": np.array([[2.06, 0, 0], [-1.03, 1.784, 0], [0, 0, 2.25]]),
}
CONFIGS = [
    DensityPatchConfig(),
    DensityPatchConfig(r_cut=0.7, n_voxels=5, sigma=0.4, channels=2),
]


def reference(points, positions, lattice, weights, config, images=9):
    """The module's formula, word by word: every image, every voxel, three-dimensional distances."""
    shifts = np.array(list(product(range(-images, images + 1), repeat=3))) @ lattice
    line = np.linspace(-config.r_cut, config.r_cut, config.n_voxels)
    voxels = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    patches = np.zeros((len(points), config.channels, len(voxels)))
    for point, (position, weight) in product(range(len(points)), zip(positions, weights, strict=True)):
        vectors = position + shifts - points[point]
        vectors = vectors[np.linalg.norm(vectors, axis=1) < np.sqrt(3) * config.r_cut + 9 * config.sigma]
        squared = ((voxels[:, None] - vectors) ** 2).sum(axis=-1)
        patches[point] += weight[:, None] * np.exp(-squared / (2 * config.sigma**2)).sum(axis=1)
    return patches.reshape(len(points), -1)


def patches(points, positions, lattice, weights, config):
    atom, probe, shift = patch_edges(points, positions, lattice, config)
    vectors = torch.as_tensor(positions[atom] + shift - points[probe])
    return density_patch(vectors, torch.as_tensor(weights[atom]), torch.as_tensor(probe), len(points), config)


def random_case(lattice, config, rng, atoms=2, points=3):
    positions = rng.random((atoms, 3)) @ lattice
    return rng.random((points, 3)) @ lattice, positions, lattice, rng.normal(size=(atoms, config.channels))


@pytest.mark.parametrize("config", CONFIGS, ids=["paper", "two channels"])
@pytest.mark.parametrize("cell", CELLS)
def test_equals_brute_force_over_images(cell, config, rng):
    case = random_case(CELLS[cell], config, rng)
    found = patches(*case, config)
    assert found.shape == (3, config.n_features)
    np.testing.assert_allclose(found.numpy(), reference(*case, config), atol=2e-6)


def test_one_rounded_image_is_not_enough(rng):
    """The public code's single minimum image loses most atoms of a small cell: what we must not do."""
    config = DensityPatchConfig()
    points, positions, lattice, weights = random_case(CELLS["triclinic"], config, rng)
    frac = (positions[None] - points[:, None]) @ np.linalg.inv(lattice)
    vectors = torch.as_tensor((frac - np.round(frac)) @ lattice).reshape(-1, 3)
    probe = torch.arange(len(points)).repeat_interleave(len(positions))
    wrong = density_patch(vectors, torch.as_tensor(np.tile(weights, (len(points), 1))), probe, len(points), config)
    right = patches(points, positions, lattice, weights, config)
    assert (wrong - right).abs().max() > 0.5 * right.abs().max()


def test_points_may_lie_in_any_cell(rng):
    config = CONFIGS[1]
    points, positions, lattice, weights = random_case(CELLS["triclinic"], config, rng)
    moved = points + rng.integers(-4, 5, size=points.shape) @ lattice
    found, expected = (patches(p, positions, lattice, weights, config) for p in (moved, points))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_one_atom_integrates_to_its_gaussian():
    """The rule of rectangles is exact for Gaussians sampled once per sigma, up to 2 exp(-2 pi^2) per axis."""
    config = DensityPatchConfig(r_cut=2.3, n_voxels=24, sigma=0.2)
    assert config.spacing == pytest.approx(config.sigma)
    offset = torch.tensor([[0.3, -0.17, 0.05]], dtype=torch.float64)
    patch = density_patch(offset, torch.full((1, 1), 0.7).double(), torch.zeros(1, dtype=torch.long), 1, config)
    assert float(patch.sum()) * config.spacing**3 == pytest.approx(0.7 * (2 * np.pi) ** 1.5 * 0.2**3, rel=1e-7)


@pytest.mark.parametrize("direction", [[1.0, 0, 0], [1.0, 1.0, 0], [1.0, 1.0, 1.0]], ids=["face", "edge", "corner"])
def test_an_atom_enters_without_a_jump(direction):
    """Through a face, an edge or a corner of the reach: the density it brings is below single precision."""
    config = DensityPatchConfig()
    points = np.array([np.array(direction) * config.reach * scale for scale in (1 + 1e-9, 1 - 1e-9)])
    found = patches(points, np.zeros((1, 3)), np.eye(3) * 20.0, np.ones((1, 1)), config)
    assert float(found[0].abs().max()) == 0.0
    assert 0 < float(found[1].abs().max()) < 2e-8


def test_derivatives_against_finite_differences(rng):
    config = DensityPatchConfig(r_cut=0.5, n_voxels=2, channels=2)
    vectors = torch.tensor(rng.normal(size=(4, 3)) * 0.4, requires_grad=True)
    weights = torch.tensor(rng.normal(size=(4, 2)), requires_grad=True)
    probe = torch.tensor([0, 0, 0, 2])
    assert torch.autograd.gradcheck(lambda v, w: density_patch(v, w, probe, 3, config), (vectors, weights))


def test_nothing_in_reach_and_nothing_asked():
    config = CONFIGS[1]
    points = np.array([[0.1, 0.1, 0.1], [9.0, 9.0, 9.0]])
    found = patches(points, np.zeros((1, 3)), np.eye(3) * 20.0, np.ones((1, 2)), config)
    assert bool((found[0] > 0).any())
    assert not bool(found[1].any())
    assert patches(points[:0], np.zeros((1, 3)), np.eye(3), np.ones((1, 2)), config).shape == (0, config.n_features)


def test_orientations_are_the_symmetries_of_the_cube(rng):
    """Turning the atoms by each signed permutation of the axes is one of the 48, and each of them once."""
    config = DensityPatchConfig(r_cut=0.8, n_voxels=4)
    vectors = torch.tensor(rng.normal(size=(3, 3)) * 0.5)
    weights, probe = torch.ones(3, 1).double(), torch.zeros(3, dtype=torch.long)
    turned = density_patch(vectors, weights, probe, 1, config)[0][cube_orientations(4)]
    found = []
    for axes, signs in product([[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]], [1.0, -1.0]):
        for flip in product([1.0, -1.0], repeat=2):
            operation = torch.eye(3, dtype=torch.float64)[axes] * torch.tensor([signs, *flip]).double()
            patch = density_patch(vectors @ operation, weights, probe, 1, config)
            found.append(torch.nonzero((turned - patch).abs().max(dim=1).values < 1e-12).item())
    assert sorted(found) == list(range(48))


class LargestArray(TorchFunctionMode):
    """Counts the elements of the largest tensor that a torch function returns, but for those left out."""

    def __init__(self, *left_out):
        super().__init__()
        self.left_out = left_out
        self.elements = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and func not in self.left_out:
            self.elements = max(self.elements, result.numel())
        return result


def test_memory_is_bounded(rng, monkeypatch):
    """However many points, no intermediate array is larger than allowed, and the answer is the same."""
    config = DensityPatchConfig(n_voxels=6)
    probe = torch.arange(400).repeat_interleave(torch.arange(400) % 9)
    vectors, weights = (torch.tensor(rng.normal(size=(len(probe), n))) for n in (3, 1))
    whole = density_patch(vectors, weights, probe, 400, config)
    monkeypatch.setattr(module, "LARGEST_ARRAY", 20_000)
    with LargestArray(torch.cat) as seen:  # the answer itself
        parts = density_patch(vectors, weights, probe, 400, config)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)
    assert 5_000 < seen.elements <= 20_000 < whole.numel()


@pytest.mark.parametrize("values", [{"r_cut": 0.0}, {"sigma": -0.1}, {"n_voxels": 1}, {"channels": 0}])
def test_bad_configurations(values):
    with pytest.raises(ConfigError, match="expected r_cut"):
        parse(DensityPatchConfig, values)


def test_the_papers_cube():
    config = DensityPatchConfig()
    assert config.n_features == 12**3
    assert config.spacing == pytest.approx(2 / 11)
