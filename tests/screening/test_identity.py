"""The hash of a structure: what leaves it alone, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from elfzoo.screening import structure_hash
from tests.screening.conftest import tiny


@given(st.integers(0, 2**31))
def test_order_of_atoms_and_lattice_translations_leave_it(seed: int) -> None:
    rng, structure = np.random.default_rng(seed), tiny(seed)
    order = rng.permutation(len(structure))
    shifted = structure.frac_coords[order] + rng.integers(-3, 4, (len(structure), 3))
    other = Structure(structure.lattice, [structure.species[i] for i in order], shifted)
    assert structure_hash(other) == structure_hash(structure)


def test_the_cell_may_be_turned_or_mirrored(skewed_hydride: Structure) -> None:
    for turn in (*Rotation.random(5, random_state=1).as_matrix(), np.diag([1.0, 1.0, -1.0])):
        turned = Structure(skewed_hydride.lattice.matrix @ turn.T, skewed_hydride.species, skewed_hydride.frac_coords)
        assert structure_hash(turned) == structure_hash(skewed_hydride)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1 / 3, 0.25, 1 / 8, 1 / 32, 1 - 1e-15, -1e-17])
def test_special_positions_do_not_tip_over(fraction: float) -> None:
    lattice = Lattice.cubic(3.12345)
    places = [[[fraction + shift, 0.1, 0.2]] for shift in (0.0, 1.0, -2.0, 1e-12, -1e-12)]
    assert len({structure_hash(Structure(lattice, ["H"], place)) for place in places}) == 1


def test_a_cif_and_a_poscar_of_one_crystal_are_one(diamond: Structure) -> None:
    as_cif = Structure.from_str(diamond.to(fmt="cif"), "cif", primitive=False)
    as_poscar = Structure.from_str(diamond.to(fmt="poscar"), "poscar")
    assert structure_hash(as_cif) == structure_hash(as_poscar) == structure_hash(diamond)


def test_charges_are_no_part_of_it(diamond: Structure) -> None:
    charged = diamond.copy()
    charged.add_oxidation_state_by_element({"C": 4})
    assert structure_hash(charged) == structure_hash(diamond)


@given(st.integers(0, 2**31), st.floats(0.001, 0.5))
def test_an_atom_elsewhere_is_another_structure(seed: int, distance: float) -> None:
    """By a thousandth of an ångström or more, in any direction."""
    rng, structure = np.random.default_rng(seed), tiny(seed)
    direction = rng.normal(size=3)
    moved = structure.copy()
    moved.translate_sites([0], distance * direction / np.linalg.norm(direction), frac_coords=False)
    assert structure_hash(moved) != structure_hash(structure)


def test_other_structures_have_other_hashes(skewed_hydride: Structure) -> None:
    scaled, element = skewed_hydride.copy(), skewed_hydride.copy()
    scaled.scale_lattice(skewed_hydride.volume * 1.002)
    element.replace(1, "Sr")
    swapped = Structure(skewed_hydride.lattice, ["Ca", "H", "H"], skewed_hydride.frac_coords)
    others = [scaled, element, swapped, skewed_hydride * (2, 1, 1), skewed_hydride]
    assert len({structure_hash(structure) for structure in others}) == len(others)
