"""Free-atom densities at loose points, against their form on grids and against differences."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from elfzoo.errors import ElfzooError
from elfzoo.transforms.radial_density import N_FEATURES, radial_density, sad_features
from elfzoo.transforms.sad import SuperposedDensity


@pytest.mark.parametrize("symbol", ["H", "Li", "Al", "Cu", "La"])
def test_an_atom_alone_is_that_of_the_grid(symbol):
    cell = Structure(Lattice.cubic(12.0), [symbol], [[0, 0, 0]])
    frac = np.stack([np.linspace(0, 0.4, 60), np.zeros(60), np.zeros(60)], axis=1)
    z = torch.full((60,), cell[0].specie.Z)
    density, _ = radial_density(torch.from_numpy(frac[:, 0] * 12.0), z)
    expected = SuperposedDensity(cell).at(frac)
    tail = 3e-4 * expected.max()  # of images, 7 Å away and more: of grids, not of the atom
    np.testing.assert_allclose(density.numpy(), expected, atol=max(tail, 2e-4))


def test_slopes_are_those_of_the_densities():
    r = torch.linspace(0.05, 6.0, 200, dtype=torch.float64)
    for number in (1, 20):
        z = torch.full(r.shape, number)
        (ahead, _), (behind, _), (_, slope) = (radial_density(r + h, z) for h in (1e-4, -1e-4, 0.0))
        np.testing.assert_allclose(slope, (ahead - behind) / 2e-4, atol=2e-4 * float(slope.abs().max()))


def test_features_of_two_atoms():
    vectors = torch.tensor([[0.5, 0.0, 0.0], [-0.5, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    z, receiver = torch.tensor([1, 1, 13]), torch.tensor([0, 0, 2])
    found = torch.sinh(sad_features(vectors, z, 6.0, receiver, 4)) * 0.5
    assert found.shape == (4, N_FEATURES) and (found[[1, 3]] == 0).all()
    density, slope = radial_density(vectors.norm(dim=1), z)
    total, gradient, s, p, d, f = found.T
    torch.testing.assert_close(total[0], 2 * density[0])
    assert gradient[0] == pytest.approx(0, abs=1e-9)  # between two alike
    torch.testing.assert_close(gradient[2], slope[2].abs())
    torch.testing.assert_close(s[0], total[0])
    torch.testing.assert_close(p[2], density[2])
    assert (d == 0).all() and (f == 0).all()


def test_atoms_fade_out_at_their_reach():
    r = torch.linspace(1.9, 2.1, 201, dtype=torch.float64)
    vectors = torch.stack([r, 0 * r, 0 * r], dim=1)
    found = sad_features(vectors, torch.full(r.shape, 11), 2.0, torch.arange(len(r)), len(r))
    assert (found[r >= 2.0] == 0).all() and (found[:, 0].diff() <= 0).all()
    assert found[:, :2].diff(dim=0).abs().max() < 1e-3


def test_an_element_without_a_density():
    with pytest.raises(ElfzooError, match="no free-atom density of U, which this model needs"):
        radial_density(torch.tensor([1.0]), torch.tensor([92]))
