"""Potentials: an atom alone against the closed form, functionals against finite differences and published values."""

import numpy as np
import pytest
import torch
from scipy import special

from elfzoo.grid import Grid
from elfzoo.transforms.harris import xc
from elfzoo.transforms.harris.orbitals import BOHR
from elfzoo.transforms.harris.potential import C1, C2, R_LOC, effective_potential

TRICLINIC = np.array([[2.6, 0.2, -0.1], [0.9, 2.4, 0.3], [-0.4, 0.5, 2.8]])


def test_one_atom_in_a_large_box():
    """GTH + Hartree of the 1s density, both neutral beyond a few bohr: the box does not matter but for a constant."""
    edge, zeta = 24.0 * BOHR, 1.15
    grid = Grid((108, 108, 108), np.eye(3) * edge)
    with_xc, density = effective_potential(np.full((1, 3), edge / 2), grid, zeta, "LDA")
    found = (with_xc - xc.potential(density, Grid(grid.shape, grid.lattice / BOHR), "LDA"))[54, 54, 54:90]
    r = np.arange(36) * 24.0 / 108
    x = r[1:] / R_LOC
    ion = -special.erf(x / np.sqrt(2)) / r[1:] + np.exp(-(x**2) / 2) * (C1 + C2 * x**2)
    hartree = 1 / r[1:] - (1 / r[1:] + zeta) * np.exp(-2 * zeta * r[1:])
    # the grid ends the Fourier series of the pseudopotential's Gaussian: what is left of it rings by a few mhartree,
    # point by point, and is gone in averages of neighbours
    difference = found[8:] - (ion + hartree)[7:]
    assert np.ptp(difference[1:] + difference[:-1]) / 2 < 2e-3
    np.testing.assert_allclose(density[54, 54, 58:80], zeta**3 / np.pi * np.exp(-2 * zeta * r[4:26]), atol=1e-3)


@pytest.mark.parametrize("functional", ["LDA", "PBE"])
def test_potential_is_the_derivative_of_the_energy(functional):
    grid, rng = Grid((8, 9, 10), TRICLINIC / BOHR), np.random.default_rng(0)
    waves = 2 * np.pi * grid.frac_coords()
    n = 0.3 + 0.1 * np.cos(waves[:, 0]) + 0.05 * np.sin(waves @ [0, 1, 1]) + 0.02 * np.cos(waves @ [1, -1, 1])
    n = n.reshape(grid.shape)

    def energy(values):
        slope = xc.gradient(values, grid) if functional == "PBE" else np.zeros((3, *grid.shape))
        return float(xc.energy_density(torch.tensor(values), torch.tensor((slope**2).sum(0))).sum())

    change = np.cos(waves @ rng.integers(-1, 2, 3)).reshape(grid.shape)
    step = 1e-5
    slope = (energy(n + step * change) - energy(n - step * change)) / (2 * step)
    assert slope == pytest.approx(float((xc.potential(n, grid, functional) * change).sum()), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("rs", "correlation"), [(1.0, -0.0598), (2.0, -0.0448), (5.0, -0.0282)])
def test_electron_gas(rs, correlation):
    """Ceperley and Alder's energies, as Perdew and Wang (1992) fit them; exchange -0.458165 / rs."""
    n = torch.tensor([3 / (4 * np.pi * rs**3)], dtype=torch.float64)
    energy = float(xc.energy_density(n, torch.zeros_like(n)) / n)
    assert energy == pytest.approx(-0.4581653 / rs + correlation, abs=1e-4)


def test_exchange_of_large_gradients():
    """PBE's enhancement tends to 1 + κ, and its correlation to zero."""
    n = torch.tensor([0.1], dtype=torch.float64)
    none, much = (float(xc.energy_density(n, torch.tensor([s], dtype=torch.float64))) for s in (0.0, 1e9))
    exchange = -0.75 * (3 / np.pi) ** (1 / 3) * 0.1 ** (4 / 3)
    assert much == pytest.approx(1.804 * exchange, rel=1e-3)
    assert none < exchange


def test_gradient_of_waves():
    grid = Grid((9, 10, 12), TRICLINIC)
    g = np.array([2, -1, 3]) @ (2 * np.pi * np.linalg.inv(TRICLINIC).T)
    values = np.sin(grid.positions() @ g).reshape(grid.shape)
    expected = (np.cos(grid.positions() @ g)[:, None] * g).T.reshape(3, *grid.shape)
    np.testing.assert_allclose(xc.gradient(values, grid), expected, atol=1e-10)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("functional", ["LDA", "PBE"])
def test_the_potential_does_not_need_the_gradients_of_its_caller(functional, mode):
    grid = Grid((4, 5, 6), TRICLINIC / BOHR)
    n = 0.3 + 0.1 * np.cos(2 * np.pi * grid.frac_coords()[:, 0]).reshape(grid.shape)
    with mode():
        found = xc.potential(n, grid, functional)
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(found, xc.potential(n, grid, functional))
