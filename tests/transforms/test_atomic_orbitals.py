import math

import numpy as np
import pytest
import torch
from e3nn import o3

from elfzoo.config import parse
from elfzoo.errors import ConfigError
from elfzoo.transforms.atomic_orbitals import BOHR, OrbitalConfig, orbital_values
from elfzoo.transforms.harris.orbitals import BasisConfig, Shell, orbitals

CONFIG = OrbitalConfig(exponents=((0.8, 1.7), (1.0, 2.2, 3.0), (1.4,)), r_cut=2.5)


@pytest.fixture
def vectors(rng):
    """bohr, (3, points), within the cutoff."""
    return torch.from_numpy(rng.normal(size=(40, 3))).T.contiguous()


def test_derivatives_are_those_of_the_values(vectors):
    """By automatic differentiation, a function at a time."""
    vectors.requires_grad_()
    values, *slopes = orbital_values(vectors, CONFIG)
    for function in range(CONFIG.irreps.dim):
        (expected,) = torch.autograd.grad(values[function].sum(), vectors, retain_graph=True)
        torch.testing.assert_close(torch.stack([s[function] for s in slopes]), expected)


def test_angles_are_the_harmonics_of_e3nn(vectors):
    """Functions of one degree at one point, over the first of that exponent, are r^l Y_lm in e3nn's normalisation."""
    values, at = orbital_values(vectors, CONFIG)[0], 0
    for degree, zetas in enumerate(CONFIG.exponents):
        found = values[at : at + (2 * degree + 1) * len(zetas)].unflatten(0, (2 * degree + 1, len(zetas)))
        solid = o3.spherical_harmonics(degree, vectors.T, normalize=False, normalization="integral").T
        radial = (found * solid[:, None]).sum(0) / (solid**2).sum(0)
        torch.testing.assert_close(found, solid[:, None] * radial)
        at += found.shape[0] * found.shape[1]
    assert at == CONFIG.irreps.dim == len(values)


def test_radial_functions_are_those_of_the_diagonalisation(vectors):
    """The numpy orbitals of harris, in another order and normalisation."""
    shells = (Shell(0, 0.8), Shell(0, 1.7), Shell(1, 1.0))
    basis = BasisConfig(shells=shells, r_cut=2.5, softening=0.3)
    values, gradients, _ = orbitals(vectors.T.numpy()[None], basis)
    mine = orbital_values(vectors, CONFIG)
    for function in range(3):
        ratio = mine[0, function].numpy() / values[function]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
        np.testing.assert_allclose(mine[1:, function], ratio[0] * gradients[:, function], rtol=1e-9)


def test_norm_of_a_slater_function():
    """Integrated over a ball that holds nearly all of it, cutoff far away: 4π in e3nn's normalisation."""
    config = OrbitalConfig(exponents=((1.3,), (1.3,), (1.3,)), r_cut=500 * BOHR, softening=1e-3)
    r = torch.linspace(0.001, 25, 20000, dtype=torch.float64)
    direction = torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64)
    direction = direction / direction.norm()
    squares = orbital_values(direction[:, None] * r, config)[0].square()
    for degree, start in ((0, 0), (1, 1), (2, 4)):
        mean = squares[start : start + 2 * degree + 1].mean(0)  # over the components: that over the sphere
        assert float(torch.trapezoid(mean * 4 * math.pi * r**2, r)) == pytest.approx(4 * math.pi, rel=2e-3)


def test_all_ends_smoothly_at_the_cutoff():
    end = CONFIG.r_cut / BOHR
    direction = torch.tensor([[3.0], [-1.0], [2.0]], dtype=torch.float64) / 14**0.5
    near, nearer, beyond = (orbital_values(direction * (end + shift), CONFIG) for shift in (-2e-3, -1e-3, 1e-9))
    assert (beyond == 0).all()
    np.testing.assert_allclose(near[0] / nearer[0], 8, rtol=0.01)  # third power
    assert float(nearer[1:].abs().max()) < 1e-5


def test_batches_of_vectors(vectors):
    both = orbital_values(torch.stack([vectors, -2 * vectors]), CONFIG)
    assert both.shape == (4, 2, CONFIG.irreps.dim, 40)
    torch.testing.assert_close(both[:, 1], orbital_values(-2 * vectors, CONFIG))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exponents": ()}, "at least one of each"),
        ({"exponents": ((), (1.0,))}, "at least one of each"),
        ({"exponents": ((-1.0,),)}, "are positive"),
        ({"r_cut": 0.0}, "are positive"),
    ],
)
def test_bad_configurations(changes, message):
    with pytest.raises(ConfigError, match=message):
        parse(OrbitalConfig, changes)
