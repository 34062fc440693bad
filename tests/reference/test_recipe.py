"""Recipes: one file, one hash, and errors that name what was meant."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import yaml

from elfzoo.config import to_dict
from elfzoo.errors import ConfigError, ElfzooError, UnknownNameError
from elfzoo.reference.cavities import CavitySource
from elfzoo.reference.crystals import CrystalSource
from elfzoo.reference.decorations import PrototypeSource
from elfzoo.reference.engines.espresso import EspressoEngine
from elfzoo.reference.engines.gpaw import GpawEngine
from elfzoo.reference.existing import DatasetSource
from elfzoo.reference.fluid import FluidSource
from elfzoo.reference.packings import PackingSource
from elfzoo.reference.recipe import find_recipe, make_engine, recipe_names
from elfzoo.reference.solids import HydrideSource, MetalSource
from elfzoo.transforms.sad import WINDOW

CRYSTALS = find_recipe("crystal-h")
LABEL_CHANGES = {
    "engine": "gpaw",
    "pseudopotential": "other",
    "cutoff": 1361.0,
    "smearing": "marzari-vanderbilt",
    "smearing_width": 0.13,
    "k_spacing": 0.2,
    "k_mesh": (2, 2, 2),
    "k_shift": True,
    "convergence": 1e-9,
    "grid_spacing": 0.09,
    "low_pass": None,
    "quantity": "density",
}
HASHES = {
    "crystal-h": "9969e1950c3be2a36f883a798ef03aef87129ae07f3362e9fb10ed13d3ac976e",
    "fluid-h": "24f603d3da7be416784d635dfcd196d3cbae9e13cab344593d57e9dfdb20a27b",
    "hydrides": "19338e5554a3fdc790b43b5ea8cb77de6343bcd0a290f34c7f127643296c3ddb",
    "metals": "3ae9c9105fe5e259c4dc7fe894ecaa13dcf956200ddb84ca874ebcea6ea2f19e",
    "density-h": "55c4be83d00d8062b5df63156d58670e827949268e5cf00e7134ab4f8dc15908",
}
RELAX_CHANGES = {
    "pressure": 90.0,
    "pseudopotential": "other",
    "cutoff": 600.0,
    "density_cutoff": 3000.0,
    "k_spacing": 0.4,
    "smearing_width": 0.2,
    "max_steps": 21,
    "force_tolerance": 0.04,
    "pressure_tolerance": 2.0,
    "max_seconds": 301,
}


def test_the_shipped_recipes():
    assert recipe_names() == [
        *("cavity-h", "crystal-h", "density-h", "fluid-h", "hydrides", "metals", "packing-h", "prototypes")
    ]
    sources = {name: type(find_recipe(name).source) for name in recipe_names()}
    assert list(sources.values()) == [
        CavitySource,
        CrystalSource,
        DatasetSource,
        FluidSource,
        HydrideSource,
        MetalSource,
        PackingSource,
        PrototypeSource,
    ]
    for name in recipe_names():
        assert find_recipe(name).dataset == name and find_recipe(name).label.grid_spacing <= 0.10


@pytest.mark.parametrize("name", HASHES)
def test_the_hash_is_the_same_in_every_release(name):
    """Stored labels carry it: where this fails, the labels are to be computed anew."""
    assert find_recipe(name).hash == HASHES[name]


def test_the_densities_are_computed_as_the_elf_of_the_same_crystals():
    density, elf = find_recipe("density-h").label, CRYSTALS.label
    assert replace(density, quantity="elf", low_pass=elf.low_pass) == elf
    assert density.quantity == "density" and density.low_pass == WINDOW
    assert WINDOW[1] < np.pi / density.grid_spacing < espresso_density_limit(density.cutoff)


def espresso_density_limit(cutoff):
    """Twice the largest wave number of orbitals up to ``cutoff`` eV, rad/Å."""
    return 2 * np.sqrt(cutoff / 13.605693) / 0.529177


@pytest.mark.parametrize("key", [field.name for field in fields(CRYSTALS.label) if field.name != "functional"])
def test_every_setting_of_the_label_changes_the_hash(key):
    changes = {key: LABEL_CHANGES[key]} | ({"k_spacing": None} if key == "k_mesh" else {})
    assert replace(CRYSTALS, label=replace(CRYSTALS.label, **changes)).hash != CRYSTALS.hash


@pytest.mark.parametrize("key", [field.name for field in fields(CRYSTALS.relax)])
def test_every_setting_of_the_relaxation_changes_the_hash(key):
    assert replace(CRYSTALS, relax=replace(CRYSTALS.relax, **{key: RELAX_CHANGES[key]})).hash != CRYSTALS.hash


def test_no_relaxation_is_another_recipe():
    assert replace(CRYSTALS, relax=None).hash != CRYSTALS.hash


def test_more_structures_and_other_words_keep_the_hash():
    more = replace(CRYSTALS, title="others", source=replace(CRYSTALS.source, cubic=80))
    assert more.hash == CRYSTALS.hash


def test_what_decides_a_candidate_is_told_apart():
    other = replace(CRYSTALS, source=replace(CRYSTALS.source, seed=1, volume_per_atom=9.0, cubic=80, hexagonal=0))
    assert CRYSTALS.unlike(other) == ["source.seed", "source.volume_per_atom"]
    assert find_recipe("fluid-h").unlike(find_recipe("fluid-h")) == []
    assert {"dataset", "label.engine", "relax.pressure", "source.kind"} <= set(CRYSTALS.unlike(find_recipe("metals")))


@pytest.mark.parametrize("name", recipe_names())
def test_what_only_chooses_candidates_is_a_key_of_the_source(name):
    source = find_recipe(name).source
    assert set(source.only_choose) <= set(to_dict(source)) - {"kind", "seed"}


@pytest.mark.parametrize("name", ["crystal-h", "fluid-h", "packing-h"])
def test_more_or_fewer_candidates_are_the_same_ones(name, tmp_path):
    """Of one name they say the same of themselves, and are made by the same numbers."""
    changes = {
        "crystal-h": {"cubic": 80, "hexagonal": 70},
        "fluid-h": {"letters": "ABE", "large": (250, 300)},
        "packing-h": {"count": 30},
    }[name]
    recipe = find_recipe(name)
    other = replace(recipe, source=replace(recipe.source, **changes))
    assert recipe.unlike(other) == [] and set(changes) == set(recipe.source.only_choose)
    first, second = ({one.name: one for one in r.source.candidates(tmp_path)} for r in (recipe, other))
    shared = first.keys() & second.keys()
    assert shared and first.keys() != second.keys()
    for key in shared:
        assert (first[key].origin, first[key].facts) == (second[key].origin, second[key].facts)
        if name == "crystal-h":  # its name, space groups and atoms
            assert first[key].make.args == second[key].make.args


def test_numbers_may_be_written_as_integers(tmp_path):
    values = to_dict(CRYSTALS)
    values["relax"]["pressure"] = 100
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values))
    assert find_recipe(tmp_path / "r.yaml") == CRYSTALS and find_recipe(tmp_path / "r.yaml").hash == CRYSTALS.hash


@pytest.mark.parametrize("name", HASHES)
def test_a_recipe_survives_its_file(tmp_path, name):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(to_dict(find_recipe(name)), sort_keys=False))
    assert find_recipe(path) == find_recipe(str(path)) == find_recipe(name)


def test_unknown_recipes_name_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="no recipe is called 'crystals-h'; did you mean crystal-h"):
        find_recipe("crystals-h")
    with pytest.raises(UnknownNameError, match=r"no recipe is called .*none\.yaml"):
        find_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("place", "key", "near"),
    [(("label",), "cutof", "cutoff"), (("relax",), "presure", "pressure"), ((), "datset", "dataset")],
)
def test_unknown_keys_name_the_nearest(tmp_path, place, key, near):
    values = to_dict(CRYSTALS)
    inner = values[place[0]] if place else values
    inner[key] = inner.pop(near)
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(
        ConfigError, match=rf"r\.yaml: .*unknown key '{'.'.join((*place, key))}'; did you mean '{near}'"
    ):
        find_recipe(tmp_path / "r.yaml")


def test_unknown_keys_of_the_source_name_the_nearest(tmp_path):
    values = to_dict(CRYSTALS)
    values["source"]["cubics"] = 3
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=r"unknown key 'source.*cubics'"):
        find_recipe(tmp_path / "r.yaml")


@pytest.mark.parametrize(
    ("place", "key", "value", "message"),
    [
        ("label", "engine", "vasp", "label.engine: Input should be 'espresso' or 'gpaw'"),
        ("label", "cutoff", "much", "label.cutoff"),
        ("label", "k_mesh", [2, 2, 2], "either k_spacing or k_mesh"),
        ("source", "kind", "liquids", "source"),
    ],
)
def test_wrong_values(tmp_path, place, key, value, message):
    values = to_dict(CRYSTALS)
    values[place][key] = value
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ElfzooError, match=message):
        find_recipe(tmp_path / "r.yaml")


def test_engines():
    assert isinstance(make_engine(CRYSTALS.label), EspressoEngine)
    assert isinstance(make_engine(find_recipe("metals").label), GpawEngine)
