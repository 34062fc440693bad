"""The molecularity index against a brute-force search on small grids, closed forms, symmetries and real crystals."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from elfzoo.analysis.hydrogen_network import hydrogen_pairs
from elfzoo.analysis.molecularity import molecularity
from elfzoo.analysis.networking import networking
from elfzoo.analysis.percolation import available
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.io import read_field
from tests.analysis.test_hydrogen_network import gaussian_field, gaussians, molecules, rods

CRYSTALS = Path(__file__).parents[2] / "benchmarks" / "data" / "crystal-h"
STEPS = [step for step in itertools.product((0, 1), repeat=3) if any(step)]
TRICLINIC = Lattice.from_parameters(2.1, 2.4, 1.9, 78, 97, 109)
seeds = st.integers(0, 2**32 - 1)


def brute_force(values: np.ndarray, nuclei: list[tuple[int, ...]]) -> float:
    """Highest threshold at which a walk over the infinite lattice of cells leads from a nucleus to another one."""
    for threshold in sorted(values.ravel(), reverse=True):
        for start in nuclei:
            if reaches(values >= threshold, start, nuclei):
                return float(threshold)
    raise AssertionError("the whole grid connects everything")


def reaches(region: np.ndarray, start: tuple[int, ...], nuclei: list[tuple[int, ...]]) -> bool:
    """Breadth-first, unwrapped: a point of the cell that is met in two cells winds back to the start's image too."""
    if not region[start]:
        return False
    queue, cells = [start], {start: start}
    while queue:
        here = queue.pop()
        for step in STEPS:
            for sign in (1, -1):
                there = tuple(h + sign * s for h, s in zip(here, step, strict=True))
                home = tuple(t % n for t, n in zip(there, region.shape, strict=True))
                if not region[home]:
                    continue
                if home not in cells:
                    cells[home] = there
                    queue.append(there)
                elif cells[home] != there:
                    return True
    return any(other in cells for other in nuclei if other != start)


def random_case(seed: int, most: int = 5) -> Field:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, most, size=3))
    values = rng.random(shape) if rng.random() < 0.5 else rng.integers(0, 6, size=shape) / 6
    points = rng.permutation(int(np.prod(shape)))[: int(rng.integers(1, 4))]
    frac = np.stack(np.unravel_index(points, shape), axis=1) / shape
    return Field(values.astype(np.float64), Structure(np.diag(shape).astype(float), ["H"] * len(points), frac))


@given(seed=seeds)
def test_grid_values_equal_brute_force(seed):
    field = random_case(seed)
    nuclei = [tuple(p) for p in np.round(field.structure.frac_coords * field.values.shape).astype(int).tolist()]
    assert molecularity(field, None) == brute_force(field.values, nuclei)


@given(seed=seeds)
def test_maps_and_noise_of_the_values(seed):
    """A monotone map carries φ* along; φ* never moves by more than the field does."""
    field, rng = random_case(seed, 8), np.random.default_rng(seed)
    found = molecularity(field, None)
    assert molecularity(field.replace(values=np.exp(3 * field.values)), None) == np.exp(3 * found)
    noise = rng.uniform(-0.1, 0.1, field.values.shape)
    assert abs(molecularity(field.replace(values=field.values + noise), None) - found) <= np.abs(noise).max()


@given(seed=seeds)
def test_grid_values_under_rolls_permutations_and_supercells(seed):
    field, rng = random_case(seed, 7), np.random.default_rng(seed)
    found, shape, frac = molecularity(field, None), np.array(field.values.shape), field.structure.frac_coords
    roll, axes, order = rng.integers(9, size=3), rng.permutation(3), rng.permutation(len(frac))
    lattice = np.diag(shape).astype(float)
    turned = Structure(lattice[axes][:, axes], ["H"] * len(frac), (frac + roll / shape)[order][:, axes] - 1)
    assert molecularity(Field(np.roll(field.values, roll, (0, 1, 2)).transpose(axes), turned), None) == found
    copies = np.concatenate([np.add(frac, [0, 0, s]) for s in range(3)]) / [1, 1, 3]
    tripled = Structure(lattice * [[1], [1], [3]], ["H"] * len(copies), copies)
    assert molecularity(Field(np.tile(field.values, (1, 1, 3)), tripled), None) == found


@pytest.mark.parametrize("name", ["cell", "chain", "pair"])
def test_midpoints_by_symmetry(name, rng):
    """Between equal Gaussians the saddle is the centre of inversion between them."""
    shift = rng.random(3)
    structure, nearest = {
        "cell": (Structure(Lattice.cubic(1.1), ["H"], [shift]), [1, 0, 0]),
        "chain": (Structure(Lattice.from_parameters(1.1, 2.3, 2.2, 84, 95, 101), ["H"], [shift]), [1, 0, 0]),
        "pair": (Structure(TRICLINIC, ["H", "H"], [shift, np.add(shift, [0.4, 0.1, 0.05])]), [0.4, 0.1, 0.05]),
    }[name]
    lattice = structure.lattice.matrix
    middle = (shift + np.array(nearest) / 2) @ lattice
    exact = gaussians(middle[None], structure.cart_coords, lattice)[0]
    assert molecularity(gaussian_field(structure, 0.07)) == pytest.approx(exact, abs=1e-4)


def test_a_maximum_at_the_bond_centre_leaves_the_nuclei_to_decide():
    """Of each molecule the lower nucleus, of both molecules the better one; between molecules ELF is lower still."""
    structure = molecules()
    frac, bonds = structure.frac_coords, hydrogen_pairs(gaussian_field(structure), 0.8)
    centres = (frac[bonds.first] + frac[bonds.second] + bonds.image) / 2 @ structure.lattice.matrix
    at_nuclei = gaussians(structure.cart_coords, centres, structure.lattice.matrix)
    exact = np.minimum(at_nuclei[bonds.first], at_nuclei[bonds.second]).max()
    field = gaussian_field(structure, centres=centres)
    assert exact < 0.6 * field.values.max()
    assert molecularity(field) == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("basis", [[[1, 1, 0], [0, 1, 0], [1, -1, 1]], [[0, 1, 0], [-1, 0, 1], [0, 0, -1]]])
def test_another_basis_of_the_lattice(basis):
    structure = Structure(TRICLINIC, ["H"] * 2, [[0.1, 0.2, 0.3], [0.5, 0.75, 0.6]])
    turned = Structure(np.array(basis) @ TRICLINIC.matrix, ["H"] * 2, structure.frac_coords @ np.linalg.inv(basis))
    found, again = (molecularity(gaussian_field(s, 0.08)) for s in (structure, turned))
    assert again == pytest.approx(found, abs=1e-4)


def test_interpenetrating_nets_join_within_each_net():
    structure = Structure(Lattice.cubic(1.6), ["H", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert molecularity(Field(rods(), structure), None) == pytest.approx(1)
    one = Structure(Lattice.cubic(1.6), ["H"], [[0.25, 0.25, 0.25]])
    assert molecularity(Field(rods(), one), None) == pytest.approx(rods()[8, 8, 8])


def test_the_other_elements_only_conduct():
    """H - Li - H: the path leads through the metal, which is no end of it."""
    structure = Structure(Lattice.orthorhombic(2.2, 2.6, 2.6), ["H", "Li"], [[0, 0, 0], [0.5, 0, 0]])
    field = gaussian_field(structure, 0.07)
    exact = gaussians(np.array([[0.55, 0, 0]]), structure.cart_coords, structure.lattice.matrix)[0]
    assert molecularity(field) == pytest.approx(exact, abs=1e-4)


@pytest.mark.skipif(not available(), reason="the compiled kernel was not built")
@pytest.mark.parametrize(
    "name",
    [
        "cubic_003",
        "cubic_028",
        "cubic_031",
        "hexagonal_034",
        "hexagonal_028",
    ],
)
def test_real_crystals(name):
    """No network without two hydrogens in it, no straight path better than the best one, and no matter of the grid."""
    field = read_field(CRYSTALS / f"{name}.npz")
    found = molecularity(field)
    assert found >= networking(field).phi - 1e-5
    assert found >= hydrogen_pairs(field).strength.max() - 1e-3
    assert found == pytest.approx(molecularity(field, 0.04), abs=1e-3)
    assert found == pytest.approx(molecularity(field, None), abs=0.02)


def test_refusals():
    metal = Field(np.ones((4, 4, 4)), Structure(Lattice.cubic(3), ["Al"], [[0, 0, 0]]))
    hydrogen = metal.replace(structure=Structure(Lattice.cubic(3), ["H"], [[0, 0, 0]]))
    with pytest.raises(ElfzooError, match="no hydrogen"):
        molecularity(metal)
    with pytest.raises(ElfzooError, match="spacing"):
        molecularity(hydrogen, -1.0)
    with pytest.raises(ElfzooError, match="finite"):
        molecularity(hydrogen.replace(values=np.full((4, 4, 4), np.nan)))
