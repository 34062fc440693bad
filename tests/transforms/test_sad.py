"""SAD as a function of space: against a sum over images in real space, and the same however it is asked for."""

from itertools import product

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.interpolate import CubicSpline

from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.symmetry import space_group_operations
from elfzoo.testing import TRANSFORMATIONS
from elfzoo.transforms.free_atoms import form_factor, superposed_density
from elfzoo.transforms.sad import WINDOW, SuperposedDensity

TRICLINIC = Lattice([[2.9, 0.2, -0.1], [2.1, 1.9, 0.3], [-1.2, 0.8, 2.6]])
REACH = 12.0  # Å


def radial_function(z):
    """n_Z(r), e/Å³, by quadrature of f_Z(k) w(k), with the window written out."""
    k, r = np.linspace(0, WINDOW[1], 6201), np.linspace(0, REACH, 2401)
    fall = np.clip((WINDOW[1] - k) / (WINDOW[1] - WINDOW[0]), 0, 1)
    transform = k**2 * form_factor(z, k) * np.sin(np.pi * fall / 2) ** 2 * k[1] / (2 * np.pi**2)
    return CubicSpline(r, np.array([np.sinc(k * x / np.pi) @ transform for x in r]))


def sum_over_images(structure, frac_coords):
    """Image after image within REACH of each point."""
    functions = {z: radial_function(z) for z in set(structure.atomic_numbers)}
    reach = int(np.ceil(REACH * np.linalg.norm(structure.lattice.inv_matrix, axis=0).max())) + 1
    shifts = np.array(list(product(range(-reach, reach + 1), repeat=3))) @ structure.lattice.matrix
    total = np.zeros(len(frac_coords))
    for z, position in zip(structure.atomic_numbers, structure.cart_coords, strict=True):
        for i, point in enumerate(frac_coords @ structure.lattice.matrix):
            r = np.linalg.norm(position + shifts - point, axis=1)
            total[i] += functions[z](r[r < REACH]).sum()
    return total


def points_near(structure, rng):
    """Anywhere, next to nuclei, and at them."""
    close = structure.frac_coords[rng.integers(len(structure), size=20)] + 0.05 * rng.normal(size=(20, 3))
    return np.concatenate([rng.random((20, 3)), close, structure.frac_coords])


@pytest.mark.parametrize(
    ("lattice", "species", "tolerance"),
    [(TRICLINIC, ["H"] * 3, 1e-5), (Lattice.hexagonal(2.2, 3.1), ["H", "Ca"], 2e-5), (TRICLINIC, ["Mg"], 1e-4)],
)
def test_equals_the_sum_over_images(lattice, species, tolerance, rng):
    """Magnesium's core density peaks at 53 e/Å³."""
    structure = Structure(lattice, species, rng.random((len(species), 3)))
    points = points_near(structure, rng)
    expected = sum_over_images(structure, points)
    np.testing.assert_allclose(SuperposedDensity(structure).at(points), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shape", [(5, 4, 6), (31, 30, 33)])
def test_a_grid_holds_the_values_at_its_points_however_coarse_it_is(skewed_hydride, shape):
    sad, grid = SuperposedDensity(skewed_hydride), Grid(shape, skewed_hydride.lattice.matrix)
    np.testing.assert_allclose(sad.on_grid(grid).ravel(), sad.at(grid.frac_coords()), rtol=0, atol=1e-5)
    once, finer = sad.on_grid(grid), sad.on_grid(Grid(tuple(2 * n for n in shape), grid.lattice))
    np.testing.assert_allclose(finer[::2, ::2, ::2], once, rtol=0, atol=1e-11)


def test_is_the_superposed_density_within_what_the_window_takes(skewed_hydride):
    grid = Grid.from_spacing(skewed_hydride.lattice.matrix, 0.09)
    difference = SuperposedDensity(skewed_hydride).on_grid(grid) - superposed_density(skewed_hydride, grid)
    assert 0 < np.abs(difference).max() < 1e-3


@pytest.mark.parametrize("valence", [{}, {"Ca": 2.0}, {"Ca": 8, "H": 1.25, "Fe": 3}])
def test_holds_the_electrons(skewed_hydride, valence):
    grid = Grid.from_spacing(skewed_hydride.lattice.matrix, 0.1)
    sad = SuperposedDensity(skewed_hydride, valence)
    assert sad.electrons == 2 * valence.get("H", 1) + valence.get("Ca", 10)
    assert sad.on_grid(grid).mean() * skewed_hydride.volume == pytest.approx(sad.electrons, abs=1e-11)


def test_a_scaled_valence_scales_the_elements_density():
    structure = Structure(TRICLINIC, ["Al"], [[0.1, 0.2, 0.3]])
    points = np.random.default_rng(1).random((20, 3))
    whole, third = (SuperposedDensity(structure, {"Al": n}).at(points) for n in (3, 1))
    np.testing.assert_allclose(3 * third, whole, rtol=1e-12)


@pytest.mark.parametrize("invariance", TRANSFORMATIONS)
def test_is_the_same_density_whatever_describes_the_crystal(skewed_hydride, invariance, rng):
    points = rng.random((60, 3))
    before = SuperposedDensity(skewed_hydride).at(points)
    other, moved, chosen = TRANSFORMATIONS[invariance](skewed_hydride, points)
    expected = before if chosen is None else before[chosen]
    np.testing.assert_allclose(SuperposedDensity(other).at(moved), expected, rtol=0, atol=5e-6)


def test_has_the_symmetry_of_a_screw_axis():
    structure = Structure.from_spacegroup("P6_522", Lattice.hexagonal(2.4, 5.0), ["H"], [[0.21, 0.34, 0.07]])
    grid = Grid.for_symmetry(structure.lattice.matrix, 0.25, *space_group_operations(structure))
    representatives, inverse = grid.orbits(*space_group_operations(structure))
    values = SuperposedDensity(structure).on_grid(grid).ravel()
    np.testing.assert_allclose(values[representatives][inverse], values, atol=1e-11)


def test_refuses_what_it_cannot_do(skewed_hydride):
    with pytest.raises(ElfzooError, match="is not the structure's"):
        SuperposedDensity(skewed_hydride).on_grid(Grid((4, 4, 4), 2 * np.eye(3)))
    skewed_hydride.replace(1, "Tc")
    with pytest.raises(ElfzooError, match="no free-atom density of Tc"):
        SuperposedDensity(skewed_hydride)
