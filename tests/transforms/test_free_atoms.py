from itertools import product
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.symmetry import space_group_operations
from elfzoo.transforms.free_atoms import form_factor, superposed_density, valence_electrons

BOHR = 0.529177210903
CELLS = {
    "cubic": Lattice.cubic(2.4),
    "hexagonal": Lattice.hexagonal(2.2, 3.1),
    "triclinic": Lattice([[2.9, 0.2, -0.1], [2.1, 1.9, 0.3], [-1.2, 0.8, 2.6]]),
}


def radial_density(z, r):
    """n(r) by quadrature of the form factor, e/Å³."""
    k = np.linspace(0, 68, 6801)
    return np.sinc(np.outer(r, k) / np.pi) @ (k**2 * form_factor(z, k)) * k[1] / (2 * np.pi**2)


def sum_over_images(structure, z, points, reach=5):
    """The superposition at Cartesian points, image after image, in real space."""
    r = np.linspace(0, 9, 1801)
    n = radial_density(z, r)
    shifts = np.array(list(product(range(-reach, reach + 1), repeat=3))) @ structure.lattice.matrix
    vectors = structure.cart_coords[:, None] + shifts[None] - points[:, None, None]
    return np.interp(np.linalg.norm(vectors, axis=-1), r, n, right=0.0).sum(axis=(1, 2))


@pytest.mark.parametrize("cell", CELLS)
def test_equals_the_sum_over_images_in_real_space(cell, rng):
    structure = Structure(CELLS[cell], ["H"] * 3, rng.random((3, 3)))
    grid = Grid.from_spacing(CELLS[cell].matrix, 0.11)
    points = rng.integers(grid.size, size=40)
    expected = sum_over_images(structure, 1, grid.positions(points))
    np.testing.assert_allclose(superposed_density(structure, grid).ravel()[points], expected, atol=2e-4)


@pytest.mark.parametrize("spacing", [0.15, 0.6])
def test_holds_the_stated_electrons(skewed_hydride, spacing):
    grid = Grid.from_spacing(skewed_hydride.lattice.matrix, spacing)
    count = superposed_density(skewed_hydride, grid).mean() * skewed_hydride.volume
    assert count == pytest.approx(12, abs=1e-12)
    assert valence_electrons(np.array(skewed_hydride.atomic_numbers)).tolist() == [1, 10, 1]


def test_valence_counts():
    elements = {1: 1, 2: 2, 3: 1, 12: 10, 13: 3, 16: 6, 29: 11, 39: 11, 57: 11, 82: 14}
    assert valence_electrons(np.array(list(elements))).tolist() == list(elements.values())


def test_moves_with_the_atoms(skewed_hydride):
    grid = Grid((9, 12, 10), skewed_hydride.lattice.matrix)
    before = superposed_density(skewed_hydride, grid)
    skewed_hydride.translate_sites(range(3), [2 / 9, -5 / 12, 13 / 10], to_unit_cell=False)
    np.testing.assert_allclose(
        superposed_density(skewed_hydride, grid), np.roll(before, (2, -5, 13), (0, 1, 2)), atol=1e-12
    )


def test_supercell_repeats(skewed_hydride):
    once = superposed_density(skewed_hydride, Grid((9, 8, 10), skewed_hydride.lattice.matrix))
    skewed_hydride.make_supercell([2, 3, 1])
    many = superposed_density(skewed_hydride, Grid((18, 24, 10), skewed_hydride.lattice.matrix))
    np.testing.assert_allclose(many, np.tile(once, (2, 3, 1)), atol=1e-12)


def test_same_in_another_basis_of_the_lattice(skewed_hydride):
    """Coarse and very skewed: most wave vectors are stored at other indices than their own."""
    change = np.array([[1, 0, 0], [3, 1, 0], [-2, 2, 1]])
    lattice = skewed_hydride.lattice.matrix
    other = Structure(change @ lattice, skewed_hydride.species, skewed_hydride.cart_coords, coords_are_cartesian=True)
    values = superposed_density(skewed_hydride, Grid((8, 8, 8), lattice))
    skewed = superposed_density(other, Grid((8, 8, 8), change @ lattice))
    i, j, k = (np.stack(np.unravel_index(np.arange(512), (8, 8, 8)), axis=1) @ change % 8).T
    np.testing.assert_allclose(skewed.ravel(), values[i, j, k], atol=1e-12)


@pytest.mark.parametrize("spacing", [0.13, 0.4])
@pytest.mark.parametrize(
    ("group", "lattice", "species", "coords"),
    [
        ("Fd-3m", Lattice.cubic(3.57), ["C"], [[0, 0, 0]]),
        ("P6_522", Lattice.hexagonal(2.4, 5.0), ["H"], [[0.21, 0.34, 0.07]]),
        ("R-3m", Lattice.hexagonal(3.0, 7.0), ["Li", "H"], [[0, 0, 0], [0, 0, 0.21]]),
    ],
)
def test_symmetric_under_the_space_group(group, lattice, species, coords, spacing):
    """On coarse grids too, where cutting off the spectrum box by box would break hexagonal symmetry."""
    structure = Structure.from_spacegroup(group, lattice, species, coords)
    operations = space_group_operations(structure)
    grid = Grid.for_symmetry(lattice.matrix, spacing, *operations)
    values = superposed_density(structure, grid).ravel()
    representatives, inverse = grid.orbits(*operations)
    assert len(representatives) < grid.size / 6
    np.testing.assert_allclose(values[representatives][inverse], values, atol=1e-11 * np.abs(values).max())


def test_hydrogen_is_nearly_a_1s_atom():
    """The PBE atom without spin polarisation is more diffuse than exp(-2r)/π: 9 % less at 0.5 Å, 10 % more at 1.3 Å."""
    r = np.linspace(0.5, 1.3, 9)
    exact = np.exp(-2 * r / BOHR) / (np.pi * BOHR**3)
    np.testing.assert_allclose(radial_density(1, r), exact, rtol=0.11)
    k = np.linspace(0, 5, 11)
    np.testing.assert_allclose(form_factor(1, k), 1 / (1 + (k * BOHR / 2) ** 2) ** 2, atol=0.05)


@pytest.mark.parametrize("z", [1, 3, 13, 17, 20, 28, 35, 55, 57, 79])
def test_positive_and_band_limited(z):
    lattice = Lattice.cubic(4.0)
    values = superposed_density(Structure(lattice, [z], [[0.013, 0.027, 0.009]]), Grid((40, 40, 40), lattice.matrix))
    assert values.min() > -2e-5
    count = valence_electrons(np.array([z]))[0]
    assert np.abs(form_factor(z, np.linspace(np.pi / 0.10, 80, 500))).max() < 1e-5 * count


def test_smoothing_is_a_convolution_with_a_gaussian():
    """Of a box of single electrons in a large cell: the variance grows by that of the Gaussian."""
    lattice = Lattice.cubic(9.0)
    structure, grid = Structure(lattice, ["H"], [[0.5, 0.5, 0.5]]), Grid((60, 60, 60), lattice.matrix)
    offsets = np.sum((grid.positions() - 4.5) ** 2, axis=1)
    sharp, smooth = (superposed_density(structure, grid, smoothing=s).ravel() for s in (0.0, 0.4))
    variances = [(values * offsets).sum() / values.sum() for values in (sharp, smooth)]
    assert variances[1] - variances[0] == pytest.approx(3 * 0.4**2, rel=1e-3)
    assert smooth.mean() == pytest.approx(sharp.mean(), rel=1e-13)


def test_refuses_what_it_cannot_do(skewed_hydride):
    grid = Grid((4, 4, 4), skewed_hydride.lattice.matrix)
    with pytest.raises(ElfzooError, match="smoothing must be a length"):
        superposed_density(skewed_hydride, grid, smoothing=-0.1)
    with pytest.raises(ElfzooError, match="is not the structure's"):
        superposed_density(skewed_hydride, Grid((4, 4, 4), 2 * np.eye(3)))
    skewed_hydride.replace(1, "Tc")
    with pytest.raises(ElfzooError, match="no free-atom density of Tc"):
        superposed_density(skewed_hydride, grid)
    with pytest.raises(ElfzooError, match="no free-atom density of U"):
        valence_electrons(np.array([1, 92]))


def test_tables_are_small():
    folder = Path(elfzoo.__file__).parent / "transforms" / "tables"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 400_000
