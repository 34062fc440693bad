"""Predictions of one point per orbit: the whole field, from few points, only where the structure is symmetric."""

import warnings

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.errors import ElfzooWarning
from elfzoo.grid import Grid
from elfzoo.models.asymmetric_unit import asymmetric_unit, coarser_grid, symmetric_grid
from elfzoo.symmetry import space_group_operations, symmetrised

SQUARE = Structure(Lattice.tetragonal(2.5, 3.1), ["H"] * 3, [[0.0, 0.0, 0.0], [0.5, 0.5, 0.4], [0.5, 0.5, 0.75]])
TRICLINIC = Structure(
    Lattice([[2.9, 0.2, -0.1], [2.1, 1.9, 0.3], [-1.2, 0.8, 2.6]]),
    ["H"] * 3,
    [[0.05, 0.1, 0.2], [0.55, 0.35, 0.8], [0.9, 0.7, 0.45]],
)
CRYSTALS = {  # and the order of the space group in the given cell
    "6_1 screw": (Structure.from_spacegroup(169, Lattice.hexagonal(3.0, 4.4), ["H"], [[0.21, 0.33, 0.05]]), 6),
    "6_5 22 hexagonal": (Structure.from_spacegroup(179, Lattice.hexagonal(2.4, 5.0), ["H"], [[0.21, 0.34, 0.07]]), 12),
    "hcp": (Structure.from_spacegroup(194, Lattice.hexagonal(2.2, 3.6), ["H"], [[1 / 3, 2 / 3, 0.25]]), 24),
    "rhombohedral": (Structure.from_spacegroup(166, Lattice.hexagonal(3, 7), ["H"], [[0, 0, 0.11]]), 36),
    "diamond": (Structure.from_spacegroup(227, Lattice.cubic(3.57), ["H"], [[0, 0, 0]]), 192),
    "4_3 32 cubic": (Structure.from_spacegroup(212, Lattice.cubic(3.4), ["H"], [[0.06, 0.17, 0.31]]), 24),
    "skewed diamond": (
        Structure.from_spacegroup(227, Lattice.cubic(3.57), ["H"], [[0, 0, 0]]).get_primitive_structure(),
        48,
    ),
    "tetragonal": (SQUARE, 8),
}


@pytest.fixture(scope="module")
def model():
    """A trained one, whose fields of hydrogen vary, in double precision: in single its rounding is 5e-6 of ELF."""
    return elfzoo.load_pretrained("grid_mlp.smooth-h-v3").double()


@pytest.fixture
def visited(model, monkeypatch):
    """How many points the network was asked for, block by block."""
    counts, evaluator = [], type(model).evaluator

    def counting(self, structure):
        inner = evaluator(self, structure)
        return lambda points: counts.append(len(points)) or inner(points)

    monkeypatch.setattr(type(model), "evaluator", counting)
    return counts


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_whole_field_from_about_one_point_in_the_groups_order(model, visited, name):
    structure, order = CRYSTALS[name]
    field = model.predict(structure, spacing=0.2, symmetry=True)
    asked = sum(visited)
    whole = model.predict(structure, field.grid)
    assert np.ptp(whole.values) > 0.05
    np.testing.assert_allclose(field.values, whole.values, rtol=0, atol=1e-6)
    assert len(space_group_operations(structure)[0]) == order
    assert field.grid.size / order <= asked < 3 * field.grid.size / order  # points on symmetry elements have few images


def test_in_single_precision_to_its_rounding():
    single, structure = elfzoo.load_pretrained("grid_mlp.smooth-h-v3"), CRYSTALS["hcp"][0]
    field = single.predict(structure, spacing=0.2, symmetry=True)
    np.testing.assert_allclose(field.values, single.predict(structure, field.grid).values, rtol=0, atol=1e-5)


def shaken(structure, size, rng):
    """Every atom moved by ``size`` Å in a random direction."""
    noisy, steps = structure.copy(), rng.normal(size=(len(structure), 3))
    for i, step in enumerate(size * steps / np.linalg.norm(steps, axis=1, keepdims=True)):
        noisy.translate_sites([i], step, frac_coords=False)
    return noisy


@pytest.mark.parametrize("name", ["6_1 screw", "skewed diamond"])
def test_small_noise_is_removed(model, name, rng):
    structure = CRYSTALS[name][0]
    grid, noisy = symmetric_grid(structure, 0.25), shaken(structure, 2e-6, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ElfzooWarning)
        warnings.filterwarnings("ignore", message=".*is an extrapolation")  # of volumes
        found = model.predict(noisy, grid, symmetry=True)
    inverse = asymmetric_unit(structure, grid).inverse
    first = np.unique(inverse, return_index=True)[1]
    np.testing.assert_array_equal(found.values.ravel()[first][inverse], found.values.ravel())
    np.testing.assert_allclose(found.values, model.predict(noisy, grid).values, atol=2e-5)
    assert found.structure is noisy


@pytest.mark.parametrize("size", [3e-5, 3e-4])
def test_larger_noise_turns_it_off_and_says_so(model, size, rng):
    structure = CRYSTALS["skewed diamond"][0]
    grid, noisy = symmetric_grid(structure, 0.25), shaken(structure, size, rng)
    noisy.translate_sites([0], [0, 0, size], frac_coords=False)  # the two atoms keep an inversion between them
    noisy = Structure(noisy.lattice.matrix + 1e-4 * rng.normal(size=(3, 3)), noisy.species, noisy.frac_coords)
    with pytest.warns(ElfzooWarning, match="it only to .* Å, more than the 1e-05 Å allowed; all points are computed"):
        found = model.predict(noisy, grid=grid.shape, symmetry=True)
    np.testing.assert_array_equal(found.values, model.predict(noisy, grid.shape).values)


def test_the_part_of_the_symmetry_that_is_exact_is_used(model, visited):
    """A tetragonal cell, one axis 5e-4 Å longer: orthorhombic, and no warning."""
    lattice = Lattice.orthorhombic(2.5005, 2.5, 3.1)
    structure = Structure(lattice, SQUARE.species, SQUARE.frac_coords)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ElfzooWarning)
        warnings.filterwarnings("ignore", message=".*is an extrapolation")  # of volumes
        found = model.predict(structure, (12, 12, 14), symmetry=True)
    assert sum(visited) == 7 * 7 * 14
    np.testing.assert_allclose(found.values, model.predict(structure, (12, 12, 14)).values, rtol=0, atol=1e-6)


def test_a_strained_lattice_is_made_symmetric_in_its_orientation(rng):
    """A rotated cubic cell strained by 1e-6: the mean metric is cubic again, and nothing turns."""
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    strain = np.eye(3) + 1e-6 * np.array([[1.0, 0.5, 0.0], [0.5, -1.0, 0.2], [0.0, 0.2, 0.0]])
    cubic = 3.0 * rotation
    structure = Structure(cubic @ strain, ["H", "Ca"], [[1e-7, 0, 0], [0.5, 0.5, 0.5 - 1e-7]])
    exact, moved = symmetrised(structure, *space_group_operations(structure))
    np.testing.assert_allclose(exact.lattice.matrix @ exact.lattice.matrix.T, 9 * np.eye(3), atol=1e-9)
    np.testing.assert_allclose(exact.lattice.matrix, cubic, atol=1e-9)
    expected = np.linalg.norm(cubic @ strain - cubic, axis=1).max()
    assert moved == pytest.approx(expected, rel=1e-3)
    np.testing.assert_allclose(exact.frac_coords[1] - exact.frac_coords[0], 0.5, atol=1e-12)


def test_no_symmetry_is_no_news(model):
    """As of a frame of molecular dynamics: no warning, and the same numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ElfzooWarning)
        warnings.filterwarnings("ignore", message=".*is an extrapolation")  # of volumes
        found = model.predict(TRICLINIC, (6, 5, 7), symmetry=True)
    np.testing.assert_array_equal(found.values, model.predict(TRICLINIC, (6, 5, 7)).values)


def test_a_grid_that_suits_a_part_of_the_group(model, visited):
    """16 points along a 6_1 axis keep its square root of unity, the 2_1 axis: half of the points."""
    structure = CRYSTALS["6_1 screw"][0]
    found = model.predict(structure, (12, 12, 16), symmetry=True)
    assert sum(visited) == 12 * 12 * 16 / 2
    np.testing.assert_allclose(found.values, model.predict(structure, (12, 12, 16)).values, rtol=0, atol=1e-6)


def test_a_grid_that_suits_no_operation_is_computed_whole(model):
    structure = CRYSTALS["6_1 screw"][0]
    with pytest.warns(ElfzooWarning, match=r"none of the 6 operations .* \(7, 9, 11\) onto itself; all points"):
        found = model.predict(structure, (7, 9, 11), symmetry=True)
    np.testing.assert_array_equal(found.values, model.predict(structure, (7, 9, 11)).values)


def test_operations_that_are_no_group_are_not_used(model, monkeypatch):
    """What a symmetry finder may return near the edge of its tolerance."""
    structure = CRYSTALS["hcp"][0]
    rotations, translations = space_group_operations(structure)
    monkeypatch.setattr(
        "elfzoo.models.asymmetric_unit.space_group_operations", lambda *args: (rotations[:-1], translations[:-1])
    )
    with pytest.warns(ElfzooWarning, match="the operations are no space group"):
        found = model.predict(structure, (8, 8, 12), symmetry=True)
    np.testing.assert_array_equal(found.values, model.predict(structure, (8, 8, 12)).values)


def test_off_the_symmetry_elements_the_translations_that_remain_are_used(model):
    """With the origin anywhere, an inversion has a translation that suits no grid; screw axes along z keep theirs."""
    structure = CRYSTALS["hcp"][0].copy()
    structure.translate_sites(range(2), [0.0, 0.0, 0.0123])
    found = model.predict(structure, spacing=0.3, symmetry=True)
    unit = asymmetric_unit(structure, found.grid)
    assert unit is not None and len(unit.representatives) < found.grid.size / 6
    np.testing.assert_allclose(found.values, model.predict(structure, found.grid).values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["hcp", "skewed diamond", "tetragonal"])
@pytest.mark.parametrize("symmetry", [False, True])
def test_a_coarser_grid_is_nowhere_finer_and_fine_enough(name, symmetry):
    structure = CRYSTALS[name][0]
    wanted = symmetric_grid(structure, 0.1)
    for spacing in (0.05, 0.1, 0.17, 0.4):
        coarse = coarser_grid(structure, wanted, spacing, symmetry)
        assert max(coarse.spacing) <= max(spacing, max(wanted.spacing)) + 1e-9
        assert all(a <= b for a, b in zip(coarse.shape, wanted.shape, strict=True))
        assert not symmetry or asymmetric_unit(structure, coarse) is not None
    assert coarser_grid(structure, Grid((5, 60, 40), wanted.lattice), 0.2, False).shape[0] == 5
