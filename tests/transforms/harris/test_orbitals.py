"""Confined orbitals: derivatives by finite differences, norms against the analytic ones, ends at the cutoff."""

import numpy as np
import pytest

from elfzoo.config import parse
from elfzoo.errors import ConfigError
from elfzoo.transforms.harris.orbitals import BOHR, BasisConfig, Shell, orbitals

BASIS = BasisConfig(tuple(Shell(degree, zeta) for degree, zeta in ((0, 0.7), (0, 2.0), (1, 1.1), (2, 1.4))), 2.4, 0.3)


def at(points):
    return orbitals(points[None], BASIS)


def test_derivatives():
    points = np.random.default_rng(0).normal(size=(30, 3)) * 1.5
    values, gradients, laplacians = at(points)
    step, second = 1e-4, np.zeros_like(values)
    for x in range(3):
        shift = np.eye(3)[x] * step
        up, down = at(points + shift), at(points - shift)
        np.testing.assert_allclose(gradients[x], (up[0] - down[0]) / (2 * step), atol=1e-6)
        second += (up[1][x] - down[1][x]) / (2 * step)
    np.testing.assert_allclose(laplacians, second, atol=1e-6)
    assert values.shape == (2 + 3 + 5, 30)


def test_end_at_the_cutoff():
    radii = np.array([2.4, 2.5, 9.0]) / BOHR
    directions = np.random.default_rng(1).normal(size=(3, 3))
    points = directions / np.linalg.norm(directions, axis=1)[:, None] * radii[:, None]
    for part in at(points):
        np.testing.assert_allclose(part, 0, atol=1e-12)


@pytest.mark.parametrize(("degree", "first"), [(0, 0), (1, 0), (2, 0), (2, 4)])
def test_slater_functions_are_normalised(degree, first):
    """Without softening and confinement to speak of, ∫ φ² = 1, of every m."""
    basis = BasisConfig((Shell(degree, 2.0),), 40.0, 1e-6)
    axis = np.linspace(-7, 7, 81) + 0.03
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    values = orbitals(points[None], basis)[0][first]
    assert (values**2).sum() * (axis[1] - axis[0]) ** 3 == pytest.approx(1, abs=0.01)


def test_orthogonal_directions():
    """Functions of one shell have no overlap with each other."""
    axis = np.linspace(-5, 5, 41)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    d = at(points)[0][-5:]
    overlap = d @ d.T / (d[0] @ d[0])
    np.testing.assert_allclose(overlap, np.eye(5), atol=2e-3)


@pytest.mark.parametrize("wrong", [{"shells": ()}, {"r_cut": 0.0}, {"softening": 0.0}])
def test_refused(wrong):
    with pytest.raises(ConfigError, match="a basis has shells"):
        parse(BasisConfig, wrong)


def test_shells_refused():
    with pytest.raises(ConfigError, match="l = 3"):
        parse(Shell, {"l": 3, "zeta": 1.0})
