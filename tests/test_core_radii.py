from itertools import product

import numpy as np
import pytest
from pymatgen.core import Element, Lattice, Structure

from elfzoo.core_radii import core_radius, has_cores, inside_cores, outside_cores
from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.symmetry import grid_orbits, space_group_operations
from elfzoo.transforms.free_atoms import form_factor

HYDRIDES = {
    "H3S": ("Im-3m", 2.984, ["S", "H"], [[0, 0, 0], [0, 0.5, 0.5]]),
    "CaH6": ("Im-3m", 3.50, ["Ca", "H"], [[0, 0, 0], [0.25, 0, 0.5]]),
    "MgH6": ("Im-3m", 3.27, ["Mg", "H"], [[0, 0, 0], [0.25, 0, 0.5]]),
    "LaH10": ("Fm-3m", 5.102, ["La", "H", "H"], [[0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.12, 0.12, 0.12]]),
}
BONDS = {"B": 1.19, "C": 1.09, "N": 1.01, "O": 0.96, "F": 0.92, "Si": 1.48, "P": 1.42, "S": 1.34, "Cl": 1.27}
BONDS |= {"Ge": 1.53, "As": 1.52, "Se": 1.46, "Br": 1.41, "Te": 1.66, "I": 1.61, "Be": 1.33, "Li": 1.60}


@pytest.mark.parametrize("name", HYDRIDES)
def test_no_hydrogen_lies_in_a_core(name):
    """At least 0.4 Å are left between core and proton, and the cores leave half of the cell."""
    group, a, species, coords = HYDRIDES[name]
    structure = Structure.from_spacegroup(group, Lattice.cubic(a), species, coords)
    metal = next(z for z in structure.atomic_numbers if z > 1)
    numbers = np.array(structure.atomic_numbers)
    nearest = structure.distance_matrix[numbers == metal][:, numbers == 1].min()
    assert nearest - core_radius(metal) > 0.4
    outside = outside_cores(structure, Grid((40, 40, 40), structure.lattice.matrix))
    assert 0.5 < outside.mean() < 0.95


@pytest.mark.parametrize("symbol", BONDS)
def test_a_core_is_shorter_than_the_bond_to_hydrogen(symbol):
    assert 0.5 < core_radius(Element(symbol).Z) < BONDS[symbol] - 0.2


def test_every_element_with_a_density_has_a_radius():
    found = 0
    for z in range(1, 119):
        try:
            radius = core_radius(z)
        except ElfzooError as error:
            assert Element.from_Z(z).symbol in str(error)
            with pytest.raises(ElfzooError, match="no free-atom density"):
                form_factor(z, np.zeros(1))
            continue
        found += 1
        assert form_factor(z, np.zeros(1))[0] >= 1
        assert radius == 0.0 if z <= 2 else 0.5 < radius < 1.45
    assert found == 83


def test_equals_brute_force_in_a_cell_smaller_than_the_cores(skewed_hydride):
    skewed_hydride.replace(2, "O")
    grid = Grid((11, 9, 10), skewed_hydride.lattice.matrix)
    shifts = np.array(list(product(range(-4, 5), repeat=3))) @ grid.lattice
    expected = np.ones(grid.size, dtype=bool)
    for site in skewed_hydride:
        images = site.coords + shifts
        distances = np.linalg.norm(grid.positions()[:, None] - images[None], axis=-1).min(axis=1)
        expected &= distances > 0.9 * core_radius(site.specie.Z)
    mask = outside_cores(skewed_hydride, grid, scale=0.9)
    np.testing.assert_array_equal(mask.ravel(), expected)
    assert 0.1 < mask.mean() < 0.9


def test_masks_a_ball():
    lattice = Lattice.cubic(4.0)
    structure = Structure(lattice, ["La", "H"], [[0.99, 0.01, 0], [0.5, 0.5, 0.5]])
    outside = outside_cores(structure, Grid((80, 80, 80), lattice.matrix))
    ball = 4 / 3 * np.pi * core_radius(57) ** 3
    assert (~outside).mean() * 64 == pytest.approx(ball, rel=0.01)
    assert outside[40, 40, 40]
    assert not outside[79, 1, 0]


def test_symmetric_under_the_space_group(diamond):
    grid = Grid.for_symmetry(diamond.lattice.matrix, 0.15, *space_group_operations(diamond))
    step = grid.spacing[0]
    representatives, inverse = grid_orbits(diamond, grid)
    for scale in (1.0, 3 * step / core_radius(6)):  # the second puts points on the sphere's surface
        mask = outside_cores(diamond, grid, scale).ravel()
        np.testing.assert_array_equal(mask[representatives][inverse], mask)


def test_nothing_is_masked_without_cores(skewed_hydride):
    grid = Grid((6, 6, 6), skewed_hydride.lattice.matrix)
    assert outside_cores(skewed_hydride, grid, scale=0.0).all()
    skewed_hydride.replace(1, "He")
    assert outside_cores(skewed_hydride, grid).all()


def test_points_are_inside_where_the_grid_is_not_outside(skewed_hydride):
    skewed_hydride.replace(2, "O")
    grid = Grid((11, 9, 10), skewed_hydride.lattice.matrix)
    outside = outside_cores(skewed_hydride, grid, scale=0.9).ravel()
    for cell in ([0, 0, 0], [2, -1, 3]):
        np.testing.assert_array_equal(inside_cores(skewed_hydride, grid.frac_coords() + cell, scale=0.9), ~outside)


def test_nuclei_are_inside_but_those_without_a_core(skewed_hydride):
    skewed_hydride.replace(2, "He")
    frac = skewed_hydride.frac_coords
    assert inside_cores(skewed_hydride, frac, scale=0.1).tolist() == [False, True, False]
    assert not inside_cores(skewed_hydride, frac, scale=0.0).any()
    assert inside_cores(skewed_hydride, frac[:0]).shape == (0,)
    assert has_cores(skewed_hydride)
    skewed_hydride.remove_sites([1])
    assert not has_cores(skewed_hydride)
    assert not inside_cores(skewed_hydride, frac).any()


def test_an_element_without_a_radius_is_refused_beside_others(skewed_hydride):
    skewed_hydride.replace(2, "Tc")
    assert not inside_cores(skewed_hydride, skewed_hydride.frac_coords, scale=0.0).any()
    for of in (has_cores, lambda structure: inside_cores(structure, structure.frac_coords)):
        with pytest.raises(ElfzooError, match="no core radius of Tc"):
            of(skewed_hydride)


def test_refuses_what_it_cannot_do(skewed_hydride):
    grid = Grid((4, 4, 4), skewed_hydride.lattice.matrix)
    with pytest.raises(ElfzooError, match="no core radius of Tc"):
        core_radius(43)
    with pytest.raises(ElfzooError, match="no core radius of atomic number 0"):
        core_radius(0)
    with pytest.raises(ElfzooError, match="scale"):
        outside_cores(skewed_hydride, grid, scale=-1.0)
    with pytest.raises(ElfzooError, match="is not the structure's"):
        outside_cores(skewed_hydride, Grid((4, 4, 4), 2 * np.eye(3)))
