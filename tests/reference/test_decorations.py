"""Decorated structure types: what they are called is what they are, and nothing held out is among them."""

import numpy as np
import pytest
import spglib
from pydantic import ValidationError
from pymatgen.core import Composition

from elfzoo.datasets import Prototypes
from elfzoo.errors import ElfzooError
from elfzoo.reference import hydrides, metals
from elfzoo.reference.decorations import Decoration, DecorationTable, PrototypeSource, is_held_out, table
from elfzoo.reference.prototypes import same_composition
from elfzoo.reference.recipe import find_recipe


def _elements(formula: str) -> set[str]:
    return {element.symbol for element in Composition(formula)}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return PrototypeSource("prototypes", 60).candidates(tmp_path_factory.mktemp("none"))


def test_each_is_the_composition_and_the_space_group_that_its_name_says(drawn):
    for candidate in drawn:
        formula, rest = candidate.name.split("_", 1)
        prototype, number = rest.rsplit("_", 1)
        structure = candidate.make({})
        cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
        assert same_composition(structure.formula, formula) and candidate.group == formula
        assert spglib.get_symmetry_dataset(cell, 1e-3).international == table().prototypes[prototype].space_group
        assert int(number) == drawn.index(candidate)
        assert len(structure.get_primitive_structure()) == len(structure)


def test_no_composition_or_system_that_is_held_out(drawn):
    for candidate in drawn:
        for split in ("val", "test"):
            assert not any(same_composition(candidate.group, one) for one in hydrides.table().splits[split])
            assert Composition(candidate.group).chemical_system not in metals.table().splits[split]
    assert is_held_out("SH3") and is_held_out("AlTi") is False and is_held_out("Al2Cu") and is_held_out("CsCs")
    assert not is_held_out("YH6")  # a training composition
    elsewhere = {
        element for split in ("train", "val") for one in metals.table().splits[split] for element in one.split("-")
    }
    elsewhere |= {element for split in hydrides.table().splits.values() for one in split for element in _elements(one)}
    tested = {element for one in metals.table().splits["test"] for element in one.split("-")}
    assert set(table().held_out) == tested - elsewhere  # in metals/test alone
    assert is_held_out("PtH") and is_held_out("WZr")


def test_atoms_keep_their_distance_and_volumes_are_those_of_pressures(drawn):
    for candidate in drawn:
        structure = candidate.make({})
        lengths = structure.get_neighbor_list(8.0)[3]
        assert lengths.min() >= 0.8
        pressed = candidate.facts["pressed"]
        assert 0 <= pressed <= 1
        n_hydrogen = sum(site.specie.symbol == "H" for site in structure)
        own = sum(site.specie.molar_volume * 1.66053907 for site in structure if site.specie.symbol != "H")
        low, high = (0.3, 0.75) if n_hydrogen else (0.6, 1.05)
        expected = (low + (high - low) * pressed) * own + (1.5 + 3 * pressed) * n_hydrogen
        assert structure.volume == pytest.approx(expected, rel=1e-3)


def test_more_of_them_begin_with_the_same_and_none_comes_twice(drawn, tmp_path):
    fewer = PrototypeSource("prototypes", 20).candidates(tmp_path)
    assert [one.name for one in fewer] == [one.name for one in drawn[:20]]
    assert np.array_equal(fewer[7].make({}).lattice.matrix, drawn[7].make({}).lattice.matrix)
    names = [one.name[:-4] for one in drawn]
    assert len(set(names)) == len(names)
    other = PrototypeSource("prototypes", 20, seed=1).candidates(tmp_path)
    assert [one.group for one in other] != [one.group for one in fewer]


def test_a_file_of_a_held_out_composition_is_refused():
    assert Prototypes.split_of("YH6_sodalite_012.npz") == "train"
    with pytest.raises(ElfzooError, match="CaH6 belongs to a validation or test split"):
        Prototypes.split_of("CaH6_sodalite_012.npz")
    with pytest.raises(ElfzooError, match=r"<formula>_<structure type>_<three digits>\.npz"):
        Prototypes.split_of("YH6.npz")


def test_the_stored_fields_are_the_recipe_s(tmp_path):
    recipe = find_recipe("prototypes")
    made = {f"{one.name}.npz" for one in recipe.source.candidates(tmp_path)}
    stored = set(Prototypes(split="train").raw_file_names)
    assert stored <= made and len(stored) >= 0.9 * len(made)  # those that failed are listed in the data card


def test_a_table_that_does_not_fit_is_refused():
    lists = {"metals": ("Na", "K")}
    good = {"formula": "XH", "space_group": "Fm-3m", "sites": ("X 0 0 0", "H 1/2 1/2 1/2"), "weight": 1.0}
    with pytest.raises(ValidationError, match=r"prototype B1: \['Y'\] stand in its sites or its occupants alone"):
        DecorationTable((), lists, {"B1": Decoration(**good, occupants={"X": "metals", "Y": "metals"})})
    with pytest.raises(ValidationError, match=r"no list of elements is called .metal.; did you mean metals"):
        DecorationTable((), lists, {"B1": Decoration(**good, occupants={"X": "metal"})})
    with pytest.raises(ValidationError, match="got 0"):
        PrototypeSource("prototypes", 0)
