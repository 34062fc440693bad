import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from elfzoo import symmetry
from elfzoo.errors import StructureError
from elfzoo.symmetry import SYMPREC, primitive_cell, space_group_operations

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


def _may_be_translated(structure):
    return symmetry._Atoms(structure, 2 * SYMPREC).may_be_mapped(np.eye(3, dtype=int))


def test_a_translation_is_looked_for_before_spglib_is_asked(rng, monkeypatch):
    """Disorder ends the search at once; a supercell, also one that is it only nearly, is left to spglib."""
    frac = rng.random((60, 3))
    disorder = Structure(Lattice.orthorhombic(7, 8, 9), ["H"] * 40 + ["Li"] * 20, frac)
    assert not _may_be_translated(disorder)
    doubled = disorder.copy()
    doubled.make_supercell([[1, 1, 0], [0, 2, 0], [0, 0, 1]])
    assert len(primitive_cell(doubled)) == 60
    doubled.perturb(0.1 * SYMPREC)
    assert _may_be_translated(doubled) and len(primitive_cell(doubled)) == 60
    doubled.translate_sites([3], [0.1, 0.0, 0.0])
    assert not _may_be_translated(doubled)
    monkeypatch.setattr("elfzoo.symmetry.space_group_operations", None)
    assert len(primitive_cell(doubled)) == 120


GROUPS = ["P1", "P-1", "Pm", "P2_1", "P4_1", "P3", "P213", "R-3m", "Ia-3d"]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("moved", [0.0, 0.2, 50.0])
def test_large_cells_have_the_operations_that_spglib_finds(rng, monkeypatch, group, moved):
    """Of no symmetry, and of some that atoms keep, keep nearly and have lost (in units of the tolerance)."""
    hexagonal = "3" in group and group not in ("P213", "Ia-3d")
    lattice = Lattice.hexagonal(8.0, 11.0) if hexagonal else Lattice.cubic(8.5)
    structure = Structure.from_spacegroup(group, lattice, ["H", "Li"], rng.random((2, 3)))
    while len(structure) < 30:
        more = Structure.from_spacegroup(group, lattice, ["H"], rng.random((1, 3)))
        structure = Structure.from_sites([*structure, *more])
    structure.translate_sites(range(len(structure)), rng.random(3))
    structure = Structure.from_sites([structure[i] for i in rng.permutation(len(structure))])
    structure.translate_sites([0], rng.normal(size=3) * moved * SYMPREC / 2, frac_coords=False)
    monkeypatch.setattr(symmetry, "MANY", 10**9)
    rotations, translations = space_group_operations(structure)
    assert (len(rotations) > 1) == (group != "P1" and moved < 1)
    monkeypatch.setattr(symmetry, "MANY", 0)
    found = space_group_operations(structure)
    np.testing.assert_array_equal(found[0], rotations)
    np.testing.assert_allclose(found[1], translations, atol=1e-12)
    monkeypatch.setattr("elfzoo.symmetry.spglib.get_symmetry", _of_lattices(symmetry.spglib.get_symmetry))
    if len(rotations) == 1:  # and it was not spglib that said so
        assert len(space_group_operations(structure)[0]) == 1


def _of_lattices(get_symmetry):
    """spglib's answer for a lattice; it must not be asked about more."""

    def answer(cell, symprec):
        assert len(cell[1]) == 1
        return get_symmetry(cell, symprec=symprec)

    return answer


def test_coinciding_atoms_of_a_large_cell_are_refused(rng, monkeypatch):
    frac = rng.random((20, 3))
    frac[7] = frac[3]
    monkeypatch.setattr(symmetry, "MANY", 0)
    with pytest.raises(StructureError, match="atoms on top of each other"):
        space_group_operations(Structure(Lattice.cubic(8.0), ["H"] * 20, frac))


def test_the_field_stays_where_it_was():
    """Every atom of the given cell is an atom of the primitive one, at the same Cartesian point."""
    structure = crystal("diamond")
    primitive = primitive_cell(structure)
    frac = structure.cart_coords @ np.linalg.inv(primitive.lattice.matrix)
    assert primitive.lattice.get_all_distances(frac, primitive.frac_coords).min(axis=1).max() < 1e-8
