from itertools import product

import numpy as np
import pytest
import torch
from e3nn import o3

from elfzoo.nn.pauli import CHI, DENSITY, UNIFORM, n_pauli_features, pauli_features

IRREPS = o3.Irreps("3x0e + 2x1o + 1x2e")


def test_elf_of_a_filled_fermi_sphere_is_one_half():
    """Plane waves of a periodic box, 4 169 of them with two electrons each, at some points: the uniform gas."""
    cells = np.array([m for m in product(range(-10, 11), repeat=3) if np.square(m).sum() <= 100])
    k, volume = 2 * np.pi / 60.0 * cells[len(cells) // 2 :], 60.0**3  # one of k and -k; the middle one is k = 0
    points = torch.from_numpy(np.random.default_rng(0).uniform(0, 60, (5, 3)))
    k, phase = torch.from_numpy(k), torch.from_numpy(k) @ points.T
    norm = torch.full((len(k), 1), 2 / volume**0.5, dtype=torch.float64)  # sqrt(2) for the spin, sqrt(2) of cosine
    norm[0] /= 2**0.5
    values = torch.cat([norm * phase.cos(), norm * phase.sin()])
    slopes = torch.cat([-norm * phase.sin(), norm * phase.cos()]) * torch.cat([k, k]).T[:, :, None]
    features = pauli_features(torch.cat([values[None], slopes]), o3.Irreps([(len(values), "0e")]))
    density = 2 * len(cells) / volume
    np.testing.assert_allclose(features[1].exp(), density + DENSITY, rtol=1e-9)
    assert torch.sigmoid(features[0]).numpy() == pytest.approx(0.5, abs=0.02)


def textbook(fields):
    """D as it stands in the literature, and n."""
    f, slopes = fields[0], fields[1:]
    n = DENSITY + (f**2).sum(0)
    return 0.5 * (slopes**2).sum((0, 1)) - ((f * slopes).sum(1) ** 2).sum(0) / (2 * n), n


def test_first_feature_is_the_logit_of_becke_and_edgecombe(rng):
    fields = torch.from_numpy(rng.normal(size=(4, IRREPS.dim, 20)))
    d, n = textbook(fields)
    expected = -2 * torch.log(d / (UNIFORM * n ** (5 / 3)) + CHI)
    features = pauli_features(fields, IRREPS)
    torch.testing.assert_close(features[0], expected)
    assert features.shape == (n_pauli_features(IRREPS), 20)


def test_single_precision_where_one_function_is_all_there_is(rng):
    """All but parallel in (f, ∇f): D is a millionth of the kinetic energy, and is still known to 1 %."""
    one = rng.normal(size=(4, 1, 50))
    exact = torch.from_numpy(one * rng.uniform(0.5, 1, (IRREPS.dim, 1)) + 1e-3 * rng.normal(size=(4, IRREPS.dim, 50)))
    single = exact.float()
    d, n = textbook(single.double())
    chi = (-0.5 * pauli_features(single, IRREPS)[0].double()).exp() - CHI
    np.testing.assert_allclose(chi, d / (UNIFORM * n ** (5 / 3)), rtol=0.01, atol=1e-7)


def test_one_function_is_one_orbital(rng):
    """A boson has no exclusion principle: ELF is 1 up to the two small constants."""
    alone = torch.from_numpy(rng.uniform(1, 2, size=(4, 1, 10)))
    assert torch.sigmoid(pauli_features(alone, o3.Irreps("1x0e"))[0]).min() > 1 - 2e-6


def test_products_add_up_to_the_density_and_to_chi(rng):
    """Of each kind the squares are among the inner products."""
    irreps = o3.Irreps("2x0e + 2x1o + 1x2e")
    fields = torch.from_numpy(rng.normal(size=(4, irreps.dim, 7)))
    features = pauli_features(fields, irreps)
    scalars, vectors, tensors, *excess = features[3:].split([2, 3, 1, 3, 3, 1, 2])[:-1]
    n = features[1].exp()
    torch.testing.assert_close((scalars**2).sum(0) + vectors[0] + vectors[2] + tensors[0], 1 - DENSITY / n)
    assert torch.equal(scalars.sign(), fields[0, :2].sign())
    chi = (-0.5 * features[0]).exp() - CHI
    boson = (features[2].exp() - CHI) * DENSITY / n
    torch.testing.assert_close(excess[0][0] + excess[0][2] + excess[1][0] + excess[1][2] + excess[2][0], chi - boson)


def test_far_from_every_atom_all_is_finite_with_its_gradient():
    nothing = torch.zeros(4, IRREPS.dim, 3, requires_grad=True)
    features = pauli_features(nothing, IRREPS)
    features.sum().backward()
    assert features.isfinite().all() and nothing.grad.isfinite().all()
