"""Hydrides: the crystals are the ones they claim to be, and their children differ as they say."""

import itertools
import re

import numpy as np
import pytest
import spglib
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure

from elfzoo.errors import ConfigError, ElfzooError, UnknownNameError
from elfzoo.grid import Grid
from elfzoo.reference.hydrides import candidates, split_of_hydride, table
from elfzoo.reference.prototypes import Crystal, rattled, scaled, seed_of, strained
from elfzoo.structure import check_structure
from elfzoo.symmetry import space_group_operations, standardise


def space_group(structure: Structure, symprec: float = 1e-3) -> tuple[str, int]:
    found = spglib.get_symmetry_dataset(
        (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers), symprec
    )
    return found.international, found.number


def shortest(structure: Structure, first: str, second: str) -> float:
    """Shortest distance of two elements, periodic images included, Å."""
    i, j, _, distances = structure.get_neighbor_list(4.0)
    symbols = np.array([site.specie.symbol for site in structure])
    return float(distances[(symbols[i] == first) & (symbols[j] == second)].min())


@pytest.fixture(scope="module")
def made() -> dict[str, Structure]:
    """Every structure, as if the relaxation changed nothing."""
    structures: dict[str, Structure] = {}
    for candidate in candidates():
        parents = {name: structures[name] for name in candidate.needs}  # parents come first
        structures[candidate.name] = candidate.make(parents)
    return structures


def test_there_are_enough_and_their_names_are_unique():
    names = [candidate.name for candidate in candidates()]
    assert len(names) == len(set(names)) >= 60
    assert all(re.fullmatch(r"[\w.+-]+", name) for name in names)
    groups = {candidate.group for candidate in candidates() if candidate.label}
    assert len(groups) >= 14
    assert sum(len(Composition(group)) == 3 for group in groups) >= 5
    for group in groups:
        mine = [candidate for candidate in candidates() if candidate.group == group]
        assert len(mine) >= 4  # relaxed, at two other volumes, strained; cheap ones are rattled too
        assert [candidate.relax for candidate in mine] == [True] + [False] * (len(mine) - 1)
        assert all(candidate.needs == (mine[0].name,) for candidate in mine[1:])
        assert mine[0].pressure == mine[0].facts["pressure_target"]


def test_equilibrium_crystals_have_their_space_group_and_a_grid_that_it_maps_onto_itself(made):
    for candidate in candidates():
        structure = check_structure(made[candidate.name], name=candidate.name)
        operations = space_group_operations(structure)
        grid = Grid.for_symmetry(structure.lattice.matrix, 0.10, *operations)
        assert max(grid.spacing) <= 0.10 + 1e-9
        assert all(grid.is_mapped_by(*operation) for operation in zip(*operations, strict=True)), candidate.name
        if candidate.relax:
            assert space_group(structure)[0] == candidate.facts["space_group"]
            assert len(structure.get_primitive_structure()) == len(structure) <= 20
            assert structure.composition.reduced_composition == Composition(candidate.group).reduced_composition


@pytest.mark.parametrize(
    ("name", "pair", "distance"),
    [  # Å, as published
        ("H3S_Im-3m_eq", ("S", "H"), 1.49),
        ("CaH6_Im-3m_eq", ("H", "H"), 1.24),
        ("LaH10_Fm-3m_eq", ("H", "H"), 1.15),
        ("AlH3_Pm-3n_eq", ("Al", "H"), 1.72),
        ("AlH3_Pm-3n_eq", ("H", "H"), 1.54),
        ("LiH_Fm-3m_eq", ("Li", "H"), 2.04),
        ("TiH2_Fm-3m_eq", ("Ti", "H"), 1.93),
        ("PdH_Fm-3m_eq", ("Pd", "H"), 2.04),
        ("ZrH2_I4mmm_eq", ("Zr", "H"), 2.08),
        ("KB2H8_Fm-3m_eq", ("B", "H"), 1.22),
        ("SrH4_I4mmm_eq", ("H", "H"), 0.81),
        ("BaLiH3_Pm-3m_eq", ("Li", "H"), 2.01),
    ],
)
def test_bonds_have_their_known_lengths(made, name, pair, distance):
    assert shortest(made[name], *pair) == pytest.approx(distance, abs=0.011)


def test_no_atoms_come_too_close(made):
    for name, structure in made.items():
        least = {"eq": 0.79, "v0": 0.77, "v1": 0.79}.get(name.split("_")[-1][:2], 0.65)
        distances = structure.get_neighbor_list(3.0)[3]
        assert distances.min() > least, name


def test_children_differ_from_their_parent_as_they_say(made):
    for candidate in candidates():
        if candidate.relax:
            continue
        parent, child = made[candidate.needs[0]], made[candidate.name]
        facts = candidate.facts
        if "volume_ratio" in facts:
            assert child.volume / parent.volume == pytest.approx(facts["volume_ratio"], rel=1e-12)
            np.testing.assert_allclose(child.lattice.angles, parent.lattice.angles)
            assert space_group(child)[0] == facts["space_group"]
        elif "strain" in facts:
            assert child.volume / parent.volume == pytest.approx(1, rel=1e-12)
            assert 16 <= space_group(child, 1e-4)[1] <= 74  # orthorhombic
        else:
            moves = child.cart_coords - parent.cart_coords
            assert np.sqrt((moves**2).sum(axis=1).mean()) == pytest.approx(facts["rattle_A"], rel=1e-9)
            np.testing.assert_allclose(moves.mean(axis=0), 0, atol=1e-12)
            assert child.volume == pytest.approx(parent.volume, rel=1e-12)
            assert facts["seed"] == seed_of(candidate.name)
            assert facts["rattle_A"] == 0.05 or len(parent) <= 8


def test_children_are_the_same_each_time_and_differ_from_each_other(made):
    again = {c.name: c.make({name: made[name] for name in c.needs}) for c in candidates(["YH6", "CaH6"]) if c.needs}
    for name, structure in again.items():
        np.testing.assert_array_equal(structure.lattice.matrix, made[name].lattice.matrix)
        np.testing.assert_array_equal(structure.frac_coords, made[name].frac_coords)
    parent = made["CaH6_Im-3m_eq"]
    moves = [made[f"CaH6_Im-3m_rattle{a}"].cart_coords - parent.cart_coords for a in ("0.05", "0.10")]
    assert not np.allclose(moves[0] * 2, moves[1], atol=1e-3)
    assert seed_of("CaH6_Im-3m_rattle0.05") == 0xD1BD980D  # printf NAME | sha256sum


def test_splits_are_disjoint_and_hold_every_composition():
    sides = {candidate.group: split_of_hydride(candidate.group) for candidate in candidates()}
    assert sorted(sides) == sorted(formula for formulas in table().splits.values() for formula in formulas)
    assert {formula: sides[formula] for formula in ("H3S", "LaH10", "CaH6", "MgH6")} == dict.fromkeys(
        ("H3S", "LaH10", "CaH6", "MgH6"), "test"
    )
    assert any(len(Composition(formula)) == 3 for formula, side in sides.items() if side == "test")
    counts = {side: list(sides.values()).count(side) for side in ("train", "val", "test")}
    assert counts == {"train": 12, "val": 5, "test": 7}
    systems = {(Composition(formula).chemical_system, side) for formula, side in sides.items()}
    assert len(systems) == len({system for system, _ in systems})


def test_no_structure_is_on_two_sides(made):
    matcher = StructureMatcher(scale=True, primitive_cell=False)
    parents = [candidate for candidate in candidates() if candidate.relax]
    for one, other in itertools.combinations(parents, 2):
        if split_of_hydride(one.group) != split_of_hydride(other.group):
            assert not matcher.fit(made[one.name], made[other.name]), (one.name, other.name)
    assert matcher.fit(made["H3S_Im-3m_eq"], made["H3S_Im-3m_v0.95"])  # the matcher does see what is equal


def test_a_formula_may_be_written_in_any_order():
    assert split_of_hydride("SH3") == split_of_hydride("H3S") == "test"
    assert split_of_hydride("K(BH4)2") == "test"
    with pytest.raises(UnknownNameError, match="CaH7"):
        split_of_hydride("CaH7")
    with pytest.raises(UnknownNameError, match="no formula"):
        split_of_hydride("no formula")


def test_a_choice_of_compositions():
    assert {candidate.group for candidate in candidates(["CaH6", "H3S"])} == {"CaH6", "H3S"}
    with pytest.raises(UnknownNameError, match="did you mean CaH6"):
        candidates(["CaH5"])


def test_every_element_has_a_setup():
    setup_data = pytest.importorskip("gpaw.setup_data", reason="GPAW is not installed")
    for element in {symbol for candidate in candidates() for symbol in Composition(candidate.group).as_dict()}:
        assert setup_data.SetupData(element, "PBE").Nv > 0


def crystal(**changes) -> Crystal:
    values = {"formula": "NaCl", "prototype": "B1", "space_group": "Fm-3m", "a": 5.64, "source": "a test"}
    return Crystal(**(values | {"sites": ("Na 0 0 0", "Cl 1/2 1/2 1/2")} | changes))


@pytest.mark.parametrize(
    ("space_group", "site", "multiplicity"),  # International Tables, volume A
    [
        ("Fd-3m", "Cl 0 0 0", 8),
        ("Fd-3m", "Cl 5/8 5/8 5/8", 16),
        ("Fd-3m", "Cl 0.11 0.11 0.11", 32),
        ("Fm-3m", "Cl 0.12 0.12 0.12", 32),
        ("P6_3/mmc", "Cl 0.1565 0.313 0.5596", 12),
        ("P6_3/mmc", "Cl 1/3 2/3 0.85", 4),
        ("R-3m", "Cl 0 0 0.2", 6),
        ("I4_1/amd", "Cl 0 0 0", 4),
        ("P2_1/m", "Cl 0.1 1/4 0.3", 2),
        ("Cmce", "Cl 0 0.1549 0.081", 8),
        ("I-43d", "Cl 0.055 0.055 0.055", 16),
    ],
)
def test_orbits_have_the_multiplicity_of_their_wyckoff_position(space_group, site, multiplicity):
    from elfzoo.reference.prototypes import _orbit, _site, _space_group

    _, rotations, translations = _space_group(space_group)
    assert len(_orbit(_site(site)[1], rotations, translations)) == multiplicity


def test_rock_salt_by_hand():
    structure = crystal().structure()
    assert len(structure) == 2
    assert structure.volume == pytest.approx(5.64**3 / 4, rel=1e-9)
    assert shortest(structure, "Na", "Cl") == pytest.approx(2.82, abs=1e-9)


def test_distortions_by_hand():
    structure = Structure(np.diag([2.0, 3.0, 4.0]), ["H", "H"], [[0, 0, 0], [0.5, 0.5, 0.4]])
    np.testing.assert_allclose(scaled(structure, 0.5).lattice.abc, np.array([2, 3, 4]) * 0.5 ** (1 / 3))
    np.testing.assert_allclose(strained(structure, 0.25).lattice.abc, [2.5, 3, 3.2])
    np.testing.assert_array_equal(rattled(structure, 0.0, 1).frac_coords, structure.frac_coords)
    first, second = rattled(structure, 0.1, 1), rattled(structure, 0.1, 2)
    assert not np.allclose(first.frac_coords, second.frac_coords, atol=1e-4)


def test_a_moved_and_rotated_crystal_is_brought_back_to_its_standard_cell():
    structure = crystal().structure()
    turn = np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
    moved = Structure(structure.lattice.matrix @ turn, structure.species, structure.frac_coords + 0.123)
    found = standardise(moved)
    np.testing.assert_allclose(found.lattice.matrix, structure.lattice.matrix, atol=1e-9)
    Grid.for_symmetry(found.lattice.matrix, 0.1, *space_group_operations(found))


def test_mistakes_in_a_table_are_named():
    with pytest.raises(UnknownNameError, match="Fm-3n"):
        crystal(space_group="Fm-3n").structure()
    with pytest.raises(ElfzooError, match="cannot read the site 'Cl 1/2 1/2'"):
        crystal(sites=("Na 0 0 0", "Cl 1/2 1/2")).structure()
    with pytest.raises(ElfzooError, match="make NaCl2"):
        crystal(sites=("Na 0 0 0", "Cl 1/4 1/4 1/4")).structure()
    with pytest.raises(ElfzooError, match="apart"):
        crystal(sites=("Na 0 0 0", "Cl 0 0 0")).structure()
    with pytest.raises(ConfigError, match="spacegroup"):
        from elfzoo.config import parse

        parse(Crystal, {"formula": "H", "spacegroup": "Fm-3m"})
