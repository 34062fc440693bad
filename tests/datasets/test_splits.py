"""The stored splits: nothing of one split is in another, by file, by trajectory, by crystal."""

import itertools
import json

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure

from elfzoo.datasets import DATASETS, CrystalHydrogen, FluidHydrogen, Hydrides, Metals
from elfzoo.datasets.base import CHECKOUT_DATA, SPLITS, read_manifest
from elfzoo.datasets.make_splits import make_manifest

REQUIRED = [dataset for dataset in DATASETS if not dataset.optional]


def structures(dataset) -> dict[str, Structure]:
    found = {}
    for file in dataset.raw_file_names:
        with np.load(dataset.raw_dir / file) as raw:
            found[file] = Structure(raw["lattice"], raw["numbers"], raw["frac_coords"])
    return found


def same_crystals(first: dict[str, Structure], second: dict[str, Structure]) -> list[tuple[str, str]]:
    """Pairs that pymatgen calls the same and whose volumes per atom are within 5 %: denser is another crystal."""
    matcher = StructureMatcher()  # primitive cells, scaled to the same volume
    pairs = itertools.product(first.items(), second.items())
    near = [(a, b) for a, b in pairs if abs(np.log(volume_per_atom(a[1]) / volume_per_atom(b[1]))) < 0.05]
    return [(a, b) for (a, one), (b, other) in near if matcher.fit(one, other)]


def volume_per_atom(structure: Structure) -> float:
    return structure.volume / len(structure)


@pytest.mark.parametrize("dataset", REQUIRED)
def test_no_file_and_no_content_is_in_two_splits(dataset):
    splits = read_manifest(dataset.name)["splits"]
    assert tuple(splits) == SPLITS
    for one, other in itertools.combinations(splits.values(), 2):
        assert not set(one) & set(other)
        assert not set(one.values()) & set(other.values())
    sums = [sha256 for files in splits.values() for sha256 in files.values()]
    assert len(set(sums)) == len(sums)


@pytest.mark.parametrize("dataset", REQUIRED)
def test_the_splits_are_what_the_rules_make_of_the_files(dataset):
    assert read_manifest(dataset.name) == make_manifest(dataset, CHECKOUT_DATA)


def test_no_trajectory_is_in_two_splits_at_any_pressure():
    trajectories = {}
    for split in SPLITS:
        dataset = FluidHydrogen(split=split)
        for file in dataset.raw_file_names:
            with np.load(dataset.raw_dir / file) as raw:  # the file's own word, not its name
                meta = json.loads(str(raw["meta"]))
            trajectories.setdefault(meta["group"], set()).add(split)
    sides = {"train": ["A", "B"], "val": ["C"], "test": ["D", "N250", "N500"]}
    expected = {f"fluid_{p}GPa_{letter}": {s} for s in sides for letter in sides[s] for p in (76.0, 115.1, 138.5)}
    assert trajectories == expected


def test_no_crystal_is_in_two_splits_under_two_names():
    sides = [structures(CrystalHydrogen(split=split)) for split in SPLITS]
    for one, other in itertools.combinations(sides, 2):
        assert same_crystals(one, other) == []


def test_there_are_enough_crystals_of_both_systems_and_sizes():
    """At least 60 of each, a third of them with 24 atoms or more; the archetypes' space groups in the test split."""
    for system in ("cubic", "hexagonal"):
        sizes = [len(s) for file, s in structures(CrystalHydrogen(split="all")).items() if file.startswith(system)]
        assert len(sizes) >= 60 and 3 * sum(size >= 24 for size in sizes) >= len(sizes)
        assert min(sizes) == 4 and max(sizes) == 72
    test = structures(CrystalHydrogen(split="test")).values()
    assert {199, 179, 191} <= {s.get_space_group_info(0.01)[1] for s in test}


def test_a_crystal_in_disguise_would_be_found():
    crystal = structures(CrystalHydrogen(split="test"))["hexagonal_032.npz"]
    disguised = crystal.copy().translate_sites(range(len(crystal)), [0.1, 0.2, 0.3]).apply_strain(0.01)
    disguised = disguised.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    other = structures(CrystalHydrogen(split="test"))["hexagonal_028.npz"]
    assert same_crystals({"a": crystal}, {"b": disguised, "c": other}) == [("a", "b")]


def test_no_composition_of_hydrides_is_in_two_splits():
    sides = {split: compositions(Hydrides(split=split)) for split in SPLITS}
    assert {split: len(side) for split, side in sides.items()} == {"train": 12, "val": 5, "test": 7}
    for one, other in itertools.combinations(sides.values(), 2):
        assert not one & other


def test_no_chemical_system_of_metals_is_in_two_splits():
    sides = [{c.chemical_system for c in compositions(Metals(split=split))} for split in SPLITS]
    for one, other in itertools.combinations(sides, 2):
        assert not one & other


def compositions(dataset) -> set[Composition]:
    return {structure.composition.reduced_composition for structure in structures(dataset).values()}
