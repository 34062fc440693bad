import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from elfzoo.symmetry import SYMPREC, _may_be_translated, primitive_cell

CELLS = {
    "fcc": ("Fm-3m", Lattice.cubic(3.0), ["H"], [[0.0, 0.0, 0.0]]),
    "bcc": ("Im-3m", Lattice.cubic(2.1), ["H"], [[0.0, 0.0, 0.0]]),
    "diamond": ("Fd-3m", Lattice.cubic(3.57), ["C"], [[0.0, 0.0, 0.0]]),
    "rhombohedral": ("R-3m", Lattice.hexagonal(3.0, 7.0), ["Li", "H"], [[0, 0, 0], [0, 0, 0.21]]),
    "hexagonal": ("P6_522", Lattice.hexagonal(2.4, 5.0), ["H"], [[0.21, 0.34, 0.07]]),
    "triclinic": ("P1", Lattice([[2.9, 0.2, -0.1], [2.1, 1.9, 0.3], [-1.2, 0.8, 2.6]]), ["H"], [[0.1, 0.2, 0.3]]),
}
ATOMS = {"fcc": 1, "bcc": 1, "diamond": 2, "rhombohedral": 3, "hexagonal": 12, "triclinic": 1}


def crystal(name):
    structure = Structure.from_spacegroup(*CELLS[name])
    structure.translate_sites(range(len(structure)), [0.031, 0.12, 0.07])
    return structure


@pytest.mark.parametrize("name", CELLS)
@settings(max_examples=2)
@given(seed=st.integers(0, 1000))
def test_one_cell_whatever_describes_the_crystal(name, seed):
    """A random supercell in a random order of atoms has the same primitive cell, atom by atom, where it was."""
    rng, structure = np.random.default_rng(seed), crystal(name)
    primitive, other = primitive_cell(structure), structure.copy()
    other.make_supercell(rng.permutation(np.array([[1, 0, 0], [1, 2, 0], [-1, rng.integers(-2, 3), 1]])))
    again = primitive_cell(Structure.from_sites([other[i] for i in rng.permutation(len(other))]))
    np.testing.assert_allclose(again.lattice.matrix, primitive.lattice.matrix, atol=1e-9)
    assert len(again) == len(primitive) == ATOMS[name]
    gaps = primitive.lattice.get_all_distances(primitive.frac_coords, again.frac_coords)
    assert gaps.min(axis=0).max() < 1e-8
    density = len(structure) / structure.volume
    assert len(primitive) / primitive.volume == pytest.approx(density)


@pytest.mark.parametrize("name", CELLS)
def test_its_vectors_are_as_short_as_a_basis_can_be(name):
    primitive = primitive_cell(crystal(name)).lattice
    lengths = sorted(primitive.get_niggli_reduced_lattice().abc)
    np.testing.assert_allclose(sorted(primitive.abc), lengths, atol=1e-6)


def test_a_translation_is_looked_for_before_spglib_is_asked(rng, monkeypatch):
    """Disorder ends the search at once; a supercell, also one that is it only nearly, is left to spglib."""
    frac = rng.random((60, 3))
    disorder = Structure(Lattice.orthorhombic(7, 8, 9), ["H"] * 40 + ["Li"] * 20, frac)
    assert not _may_be_translated(disorder, 2 * SYMPREC)
    doubled = disorder.copy()
    doubled.make_supercell([[1, 1, 0], [0, 2, 0], [0, 0, 1]])
    assert len(primitive_cell(doubled)) == 60
    doubled.perturb(0.1 * SYMPREC)
    assert _may_be_translated(doubled, 2 * SYMPREC) and len(primitive_cell(doubled)) == 60
    doubled.translate_sites([3], [0.1, 0.0, 0.0])
    assert not _may_be_translated(doubled, 2 * SYMPREC)
    monkeypatch.setattr("elfzoo.symmetry.space_group_operations", None)
    assert len(primitive_cell(doubled)) == 120


def test_the_field_stays_where_it_was():
    """Every atom of the given cell is an atom of the primitive one, at the same Cartesian point."""
    structure = crystal("diamond")
    primitive = primitive_cell(structure)
    frac = structure.cart_coords @ np.linalg.inv(primitive.lattice.matrix)
    assert primitive.lattice.get_all_distances(frac, primitive.frac_coords).min(axis=1).max() < 1e-8
