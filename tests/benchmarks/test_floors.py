"""The floors against closed forms, finite differences and brute force, and what they must not depend on."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from elfzoo.analysis import nearest_distances
from elfzoo.errors import ElfzooError, QuantityError, RecipeError
from elfzoo.field import Field, Recipe
from elfzoo.grid import Grid
from elfzoo.interpolate import fourier_interpolate
from elfzoo.transforms.sad import SuperposedDensity

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import floors

BOHR = 0.529177210903
RECIPE = Recipe("GPAW 26.7.0", "PBE", "gpaw-data")
HYDROGEN = Structure(
    Lattice.from_parameters(1.9, 2.2, 2.4, 75, 95, 105), ["H", "H"], [[0.1, 0.2, 0.3], [0.5, 0.6, 0.9]]
)


def grid_of(structure, shape=(20, 22, 24)):
    return Grid(shape, structure.lattice.matrix)


def sample(structure, values, recipe=RECIPE):
    return structure, Field(values, structure, recipe=recipe)


def linear(structure, z=None, slope=-0.4, shape=(12, 13, 14)):
    """An ELF that is linear in the distance to the nearest atom."""
    distance = nearest_distances(structure, grid_of(structure, shape), z)
    return sample(structure, 0.9 + slope * distance)


def transformed(structure):
    """The same crystal: as a supercell, rotated, in a skewed basis; how its grid and values are made from the first."""
    rotation = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()
    skew = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    rotated = Structure(structure.lattice.matrix @ rotation.T, structure.species, structure.frac_coords)
    skewed = Structure(skew @ structure.lattice.matrix, structure.species, structure.frac_coords @ np.linalg.inv(skew))
    n = 20
    i, j, k = np.meshgrid(*[np.arange(n)] * 3, indexing="ij")
    return {
        "supercell": (structure * (1, 2, 1), (n, 2 * n, n), lambda v: np.tile(v, (1, 2, 1))),
        "rotation": (rotated, (n, n, n), lambda v: v),
        "basis": (skewed, (n, n, n), lambda v: v[(i + j) % n, j, k]),
        "periodic": (structure.copy().translate_sites([0], [2, -1, 3], to_unit_cell=False), (n, n, n), lambda v: v),
        "order": (Structure.from_sites(structure[::-1]), (n, n, n), lambda v: v),
    }


@pytest.mark.parametrize("name", ["supercell", "rotation", "basis", "periodic", "order"])
@pytest.mark.parametrize("floor", ["radial_mean", "promolecular"])
def test_a_floor_sees_the_crystal_not_its_description(floor, name, skewed_hydride):
    floor = floors.promolecular() if floor == "promolecular" else floors.radial_mean([linear(skewed_hydride)])
    other, shape, moved = transformed(skewed_hydride)[name]
    expected = floor.predict(skewed_hydride, grid_of(skewed_hydride, (20, 20, 20))).values
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(floor.predict(other, grid_of(other, shape)).values, moved(expected), atol=1e-6)


def test_mean_is_that_of_structures_not_of_voxels(rng):
    fields = [rng.random((4, 5, 6)), rng.random((8, 9, 7)) ** 2]
    floor = floors.mean(iter([sample(HYDROGEN, values) for values in fields]))
    assert floor.value == pytest.approx(sum(sum(v.ravel()) / v.size for v in fields) / 2)
    found = floor.predict(HYDROGEN, grid_of(HYDROGEN))
    assert (found.quantity, found.recipe, found.grid.shape) == ("elf", RECIPE, (20, 22, 24))
    assert np.all(found.values == floor.value)


def test_radial_mean_keeps_what_is_linear_in_the_distance():
    floor = floors.radial_mean([linear(HYDROGEN)])
    other = HYDROGEN * (1, 1, 2)
    other.translate_sites([0], [0.02, 0.01, 0.01])
    found = floor.predict(other, grid_of(other)).values
    distance = nearest_distances(other, grid_of(other))
    first, last = floor.curves[1][0][[0, -1]]
    np.testing.assert_allclose(found, 0.9 - 0.4 * np.clip(distance, first, last), atol=1e-12)
    assert first < 0.1 and np.isclose(distance, np.clip(distance, first, last)).mean() > 0.9


def test_radial_mean_of_two_structures_by_brute_force(rng, skewed_hydride):
    """Each structure weighs the same; the mean of a bin stands at the mean distance of its points."""
    samples = [sample(skewed_hydride, rng.random((9, 8, 10))), sample(HYDROGEN, rng.random((5, 6, 5)))]
    floor = floors.radial_mean(samples)
    sums = {}
    for structure, field in samples:
        distances = structure.lattice.get_all_distances(field.grid.frac_coords(), structure.frac_coords)
        for row, value in zip(distances, field.values.ravel(), strict=True):
            key = (structure.atomic_numbers[row.argmin()], int(row.min() / 0.05))
            sums[key] = sums.get(key, 0) + np.array([1, row.min(), value]) / field.values.size
    for z in (1, 20):
        expected = np.array([sums[key][1:] / sums[key][0] for key in sorted(sums) if key[0] == z]).T
        np.testing.assert_allclose(np.array(floor.curves[z]), expected, atol=1e-12)


def test_an_element_that_was_not_seen_has_the_mean_of_the_others():
    iron = Structure(Lattice.cubic(1.9), ["Fe"], [[0, 0, 0]])
    seen = [
        linear(Structure(Lattice.cubic(2.1), [symbol], [[0, 0, 0]]), slope=s)
        for symbol, s in (("H", -0.4), ("Li", 0.1))
    ]
    floor = floors.radial_mean([*seen, seen[0]])  # hydrogen twice, and yet each element weighs the same
    distance = nearest_distances(iron, grid_of(iron))
    inside = distance > 0.15
    np.testing.assert_allclose(floor.predict(iron, grid_of(iron)).values[inside], (0.9 - 0.15 * distance)[inside])
    assert set(floor.curves) == {1, 3}


def test_beyond_the_last_bin_its_value_holds():
    floor = floors.radial_mean([linear(Structure(Lattice.cubic(1.5), ["H"], [[0, 0, 0]]))])
    wide = Structure(Lattice.cubic(6.0), ["H"], [[0, 0, 0]])
    assert floor.predict(wide, grid_of(wide)).values.min() == floor.curves[1][1][-1] > 0.3


def test_between_two_elements_equally_near_the_lighter_counts():
    pair = Structure(Lattice.tetragonal(2.0, 3.0), ["Li", "H"], [[0, 0, 0.5], [0, 0, 0]])
    floor = floors.RadialMean({1: (np.array([0.0]), np.array([0.2])), 3: (np.array([0.0]), np.array([0.7]))}, None)
    assert floor.predict(pair, grid_of(pair, (1, 1, 4))).values.ravel().tolist() == [0.2, 0.2, 0.7, 0.2]


def test_the_elf_of_a_uniform_density_is_one_half():
    density, zero = np.array([0.003, 0.1, 2.0]), np.zeros(3)
    np.testing.assert_allclose(floors.gradient_expansion_elf(density, zero, zero), 0.5)


def test_an_exponential_atom_in_closed_form():
    """n = e^{-2r}/π: |∇n| = 2n, ∇²n = 4n (1 - 1/r), so D = C_F n^{5/3} + (2/9) n - (2/3) n/r, in atomic units."""
    r = np.array([0.05, 0.3, 0.9, 1.9, 2.3, 3.0, 4.0])
    n = np.exp(-2 * r) / np.pi
    pauli = 2.871234000188191 * n ** (5 / 3) + 2 / 9 * n - 2 / 3 * n / r
    expected = 1 / (1 + (pauli / (2.871234000188191 * n ** (5 / 3))) ** 2)
    found = floors.gradient_expansion_elf(n / BOHR**3, 2 * n / BOHR**4, 4 * n * (1 - 1 / r) / BOHR**5)
    assert (pauli < 0).tolist() == [True, True, True, True, True, False, False]
    np.testing.assert_allclose(found, np.where(pauli < 0, 1.0, expected), rtol=1e-9)
    assert expected[0] < 0.1  # what a negative D would make of a proton


def test_in_vacuum_there_is_no_elf():
    tiny = np.array([0.0, -1e-5, 5e-5])
    assert floors.gradient_expansion_elf(tiny, np.ones(3), np.ones(3)).tolist() == [0, 0, 0]


def test_derivatives_are_those_of_finite_differences(rng, skewed_hydride):
    """Of the band-limited density, whose trigonometric interpolation is exact; and ELF by the formula in words."""
    grid = Grid.from_spacing(skewed_hydride.lattice.matrix, 0.1)
    density = SuperposedDensity(skewed_hydride).on_grid(grid)
    chosen, h = rng.choice(grid.size, 12, replace=False), 1e-3
    steps = np.concatenate([np.zeros((1, 3)), h * np.eye(3), -h * np.eye(3)]) @ np.linalg.inv(grid.lattice)
    points = (grid.frac_coords(chosen)[:, None] + steps).reshape(-1, 3)
    at, plus, minus = np.split(fourier_interpolate(density, points).reshape(-1, 7), [1, 4], axis=1)
    slopes = np.linalg.norm((plus - minus) / (2 * h), axis=1)
    curvatures = (plus + minus - 2 * at).sum(axis=1) / h**2
    gradient, laplacian = (part.ravel()[chosen] for part in floors.derivatives(density, grid))
    np.testing.assert_allclose(gradient, slopes, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(laplacian, curvatures, rtol=1e-3, atol=2e-2)

    n, slope, curvature = at[:, 0] * BOHR**3, slopes * BOHR**4, curvatures * BOHR**5
    uniform = 0.3 * (3 * np.pi**2) ** (2 / 3) * n ** (5 / 3)
    kinetic = uniform + slope**2 / (72 * n) + curvature / 6
    chi = np.maximum(kinetic - slope**2 / (8 * n), 0) / uniform
    found = floors.promolecular().predict(skewed_hydride, grid).values.ravel()[chosen]
    np.testing.assert_allclose(found, 1 / (1 + chi**2), atol=2e-3)


def test_promolecular_does_not_depend_on_the_grid():
    """A coarse grid has every other point of a fine one, though its own waves could not hold the density."""
    coarse, fine = (floors.promolecular().predict(HYDROGEN, grid_of(HYDROGEN, (n, n, n))).values for n in (13, 26))
    np.testing.assert_allclose(coarse, fine[::2, ::2, ::2], atol=1e-9)
    assert fine.min() >= 0 and fine.max() == 1


def test_promolecular_elf_is_one_at_a_proton():
    structure = Structure(Lattice.cubic(3.0), ["H"], [[0, 0, 0]])
    assert floors.promolecular().predict(structure, grid_of(structure, (30, 30, 30))).values[0, 0, 0] == 1


def test_a_grid_of_a_tenth_of_an_angstrom_unless_one_is_given():
    for floor in (floors.mean([linear(HYDROGEN)]), floors.radial_mean([linear(HYDROGEN)]), floors.promolecular()):
        found = floor.predict(HYDROGEN)
        assert max(found.grid.spacing) <= 0.1 and found.structure == HYDROGEN


@pytest.mark.parametrize("factory", [floors.mean, floors.radial_mean])
def test_what_cannot_be_averaged(factory):
    structure, field = linear(HYDROGEN)
    with pytest.raises(ElfzooError, match="no training data to average over"):
        factory([])
    with pytest.raises(QuantityError, match="a training field holds the quantity 'density'; expected 'elf'"):
        factory([(structure, field.replace(quantity="density"))])
    with pytest.raises(RecipeError, match="fields of different recipes"):
        factory([(structure, field), (structure, field.replace(recipe=Recipe("VASP", "PBE", "PAW")))])


def test_what_cannot_be_predicted():
    with pytest.raises(ElfzooError, match="no free-atom density of Po"):
        floors.promolecular().predict(Structure(Lattice.cubic(3.3), ["Po"], [[0, 0, 0]]))
    with pytest.raises(ElfzooError, match=r"the grid's lattice .* is not the structure's"):
        floors.promolecular().predict(HYDROGEN, Grid((4, 4, 4), np.eye(3)))


@pytest.mark.parametrize("name", ["mean", "radial_mean", "promolecular"])
def test_floors_enter_as_any_file_does(name):
    from elfzoo.benchmark import load_entrant

    entrant = load_entrant(f"{floors.__file__}:{name}", [linear(HYDROGEN)])
    assert entrant.name == f"floor.{name}"
    assert entrant.predict("file", HYDROGEN, grid_of(HYDROGEN)).grid.shape == (20, 22, 24)
