"""Metals: known crystals at stated volumes, and relaxed cells whose symmetry is low."""

import gzip
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pymatgen.core
import pytest
import spglib
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Structure

from elfzoo.config import parse
from elfzoo.datasets import Metals
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.grid import Grid
from elfzoo.reference.metals import MetalTable, candidates, split_of_metal, start_volume_ratio, table
from elfzoo.reference.recipe import find_recipe
from elfzoo.reference.solids import MetalSource
from elfzoo.structure import check_structure
from elfzoo.symmetry import space_group_operations


@pytest.fixture(scope="module")
def made() -> dict[str, Structure]:
    return {candidate.name: candidate.make({}) for candidate in candidates()}


def nearest(structure: Structure) -> float:
    """Shortest distance, periodic images included, Å."""
    return float(structure.get_neighbor_list(6.0)[3].min())


def test_there_are_enough_and_their_names_are_unique(made):
    names = [candidate.name for candidate in candidates()]
    assert len(names) == len(set(names)) >= 156
    assert all(re.fullmatch(r"[\w.+-]+", name) for name in names)
    elements = {symbol for structure in made.values() for symbol in structure.symbol_set}
    assert len(elements) >= 22
    assert not elements & {"H", "Cr", "Mn", "Fe", "Co"}
    assert not any(57 < number < 72 for structure in made.values() for number in structure.atomic_numbers)  # 4f
    binaries = {candidate.group for candidate in candidates() if "-" in candidate.group}
    assert len(binaries) >= 20
    assert max(len(structure) for structure in made.values()) <= 12
    assert all(candidate.group == made[candidate.name].chemical_system for candidate in candidates())
    assert not any(candidate.needs for candidate in candidates())


def test_cells_have_their_space_group_and_a_grid_that_it_maps_onto_itself(made):
    for candidate in candidates():
        structure = check_structure(made[candidate.name], name=candidate.name)
        cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
        found = spglib.get_symmetry_dataset(cell, 1e-3)
        assert found.international == candidate.facts["space_group"], candidate.name
        assert len(set(found.mapping_to_primitive)) == len(structure)
        operations = space_group_operations(structure)
        grid = Grid.for_symmetry(structure.lattice.matrix, 0.10, *operations)
        assert max(grid.spacing) <= 0.10 + 1e-9
        assert all(grid.is_mapped_by(*operation) for operation in zip(*operations, strict=True)), candidate.name


def test_sweeps_have_exactly_their_volumes(made):
    swept = [candidate for candidate in candidates() if "volume_ratio" in candidate.facts]
    stems = {candidate.name.rpartition("_V")[0] for candidate in swept}
    assert len(swept) == 3 * len(stems) >= 120
    for stem in stems:
        whole = made[f"{stem}_V1.0"]
        for ratio in (0.9, 0.8):
            part = made[f"{stem}_V{ratio}"]
            assert part.volume / whole.volume == pytest.approx(ratio, rel=1e-12)
            np.testing.assert_array_equal(part.frac_coords, whole.frac_coords)
    assert not any(candidate.relax for candidate in swept)


def test_elements_agree_with_an_independent_table(made):
    from ase.data import atomic_numbers, reference_states

    kinds = {"fcc": "Fm-3m", "bcc": "Im-3m", "hcp": "P6_3/mmc"}
    for sweep in table().sweeps:
        if sweep.occupants is None and sweep.source != "high-temperature":
            known = reference_states[atomic_numbers[sweep.formula]]
            assert kinds[known["symmetry"]] == table().crystal(sweep).space_group
            assert sweep.a == pytest.approx(known["a"], rel=0.025)
            if sweep.c is not None:
                assert sweep.c / sweep.a == pytest.approx(known["c/a"], rel=0.01)


def test_structure_types_agree_with_an_independent_library(made):
    """AFLOW's library of prototypes, as pymatgen ships it: species and scale aside, the same arrangement."""
    path = Path(pymatgen.core.__file__).parents[1] / "analysis" / "prototypes" / "aflow_prototypes.json.gz"
    if not path.is_file():
        pytest.skip(f"pymatgen comes without {path.name}")
    library = defaultdict(list)
    for entry in json.loads(gzip.decompress(path.read_bytes())):
        library[entry["tags"]["aflow"]].append(entry["snl"])  # one label may stand for several minerals
    matcher = StructureMatcher(ltol=0.2, stol=0.25, angle_tol=5, primitive_cell=True)
    for name, label in {
        "Ga_Cmce_P0": "A_oC8_64_f",
        "Sn_I4_1amd_P0": "A_tI4_141_a",
        "Hg_R-3m_P5": "A_hR1_166_a",
        "Li_I-43d_P40": "A_cI16_220_c",
        "TiCu_P4nmm_P0": "AB_tP4_129_c_c",
        "CdAu_Pmma_P0": "AB_oP4_51_e_f",
        "Al2Cu_I4mcm_P0": "A2B_tI12_140_h_a",
        "ZrAl_Cmcm_P0": "AB_oC8_63_c_c",
        "CaAg_Cmcm_P0": "AB_oC8_63_c_c",
        "MgZn2_C14_V1.0": "AB2_hP12_194_f_ah",
        "MgCu2_C15_V1.0": "A2B_cF24_227_d_a",
        "LiAl_B32_V1.0": "AB_cF16_227_a_b",
        "AuSn_B8_1_V1.0": "AB_hP4_194_c_a",
    }.items():
        known = [Structure.from_dict(entry) for entry in library[label]]
        assert any(matcher.fit_anonymous(made[name], one) for one in known), name


@pytest.mark.parametrize(
    ("name", "distance"),
    [  # Å, as published
        ("Cu_fcc_V1.0", 2.556),
        ("W_bcc_V1.0", 2.741),
        ("Be_hcp_V1.0", 2.226),
        ("Zn_hcp_V1.0", 2.665),
        ("AlNi_B2_V1.0", 2.50),
        ("MgZn2_C14_V1.0", 2.57),
        ("Ga_Cmce_P0", 2.48),
        ("Sn_I4_1amd_P0", 3.022),
        ("In_I4mmm_P0", 3.253),
        ("TiNi_P2_1m_P0", 2.53),
    ],
)
def test_neighbours_are_at_their_known_distance(made, name, distance):
    assert nearest(made[name]) == pytest.approx(distance, abs=0.011)


def test_no_atoms_come_too_close(made):
    for name, structure in made.items():
        radii = [Element(symbol).atomic_radius for symbol in structure.symbol_set]
        assert nearest(structure) > 0.7 * 2 * min(radii), name


def test_relaxed_cells_are_of_low_symmetry_and_start_compressed(made):
    relaxed = [candidate for candidate in candidates() if candidate.relax]
    assert len(relaxed) >= 25
    assert all(candidate.pressure == candidate.facts["pressure_target"] for candidate in relaxed)
    groups = {candidate.facts["space_group"] for candidate in relaxed}
    assert groups >= {"P2_1/m", "Pmma", "Cmcm", "Cmce", "R-3m", "P4/nmm", "I4/mcm", "I4_1/amd"}
    assert made["In_I4mmm_P50"].volume < made["In_I4mmm_P20"].volume < made["In_I4mmm_P0"].volume


def test_start_volumes_follow_murnaghan():
    indium = next(one for one in table().relaxed if one.crystal.formula == "In")
    assert start_volume_ratio(indium, 0) == 1
    ratio = start_volume_ratio(indium, 20)
    # pressure of Murnaghan's equation at that volume, P = B/B' ((V0/V)^B' - 1)
    assert indium.bulk_modulus / 4 * (ratio**-4 - 1) == pytest.approx(20)
    lithium = next(one for one in table().relaxed if one.crystal.formula == "Li")
    assert start_volume_ratio(lithium, lithium.measured_at) == 1


def test_splits_are_disjoint_and_hold_every_chemical_system():
    listed = [system for systems in table().splits.values() for system in systems]
    assert len(listed) == len(set(listed))
    assert set(listed) == {candidate.group for candidate in candidates()}
    assert {split_of_metal(system) for system in ("Al", "Cu", "Li", "Li-Mg")} == {"test"}
    counts = {split: len(systems) for split, systems in table().splits.items()}
    assert counts["train"] > 0.45 * len(listed) and counts["val"] > 0.15 * len(listed)
    assert all(any("-" in system for system in systems) for systems in table().splits.values())
    assert all("-".join(sorted(system.split("-"))) == system for system in listed)


def test_no_structure_is_on_two_sides(made):
    matcher = StructureMatcher(scale=True, primitive_cell=False)
    sides: dict[str, set[str]] = {}
    for candidate in candidates():
        sides.setdefault(made[candidate.name].chemical_system, set()).add(split_of_metal(candidate.group))
    assert all(len(found) == 1 for found in sides.values())  # other elements are never equal to the matcher
    assert matcher.fit(made["Al_fcc_V1.0"], made["Al_fcc_V0.8"])
    assert not matcher.fit(made["Al_fcc_V1.0"], made["Cu_fcc_V1.0"])


def test_a_choice_of_chemical_systems():
    assert {candidate.name for candidate in candidates(["Li-Mg"])} == {f"LiMg_B2_V{v}" for v in ("1.0", "0.9", "0.8")}
    with pytest.raises(UnknownNameError, match="Al-Ni"):
        candidates(["Al-Nj"])


def test_the_recipe_makes_what_its_data_set_holds(tmp_path):
    names = {candidate.name for candidate in find_recipe("metals").source.candidates(tmp_path)}
    stored = {file.removesuffix(".npz") for file in Metals(split="all").raw_file_names}
    assert names == stored and len(names) >= 150
    assert names < {candidate.name for candidate in candidates()}


def test_what_is_left_out_must_be_known(tmp_path):
    with pytest.raises(UnknownNameError, match="Mg-Zn"):
        MetalSource("metals", ("Mg-Zm",)).candidates(tmp_path)


def test_mistakes_in_a_table_are_named():
    prototypes = {"B2": {"space_group": "Pm-3m", "sites": ["X 0 0 0", "Y 1/2 1/2 1/2"]}}
    rest = {"sources": {}, "volume_ratios": [1.0], "sweeps": [], "relaxed": [], "splits": {}}
    metals = parse(MetalTable, {"prototypes": prototypes, **rest})
    sweep = table().sweeps[0]
    with pytest.raises(UnknownNameError, match="fcc"):
        metals.crystal(sweep)
    lonely = type(sweep)(formula="Al", prototype="B2", a=3.0, source="a test")
    with pytest.raises(ElfzooError, match="Al: B2 has the places"):
        metals.crystal(lonely)


def test_every_element_has_a_setup():
    setup_data = pytest.importorskip("gpaw.setup_data", reason="GPAW is not installed")
    for element in {symbol for candidate in candidates() for symbol in candidate.group.split("-")}:
        assert setup_data.SetupData(element, "PBE").Nv > 0
