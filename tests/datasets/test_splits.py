"""The stored splits: nothing of one split is in another, by file, by trajectory, by crystal."""

import itertools
import json

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure

from elfzoo.datasets import CrystalHydrogen, FluidHydrogen, Hydrides, Metals
from elfzoo.datasets.base import CHECKOUT_DATA, SPLITS, read_manifest
from elfzoo.datasets.make_splits import DATASETS, make_manifest


def structures(dataset) -> dict[str, Structure]:
    found = {}
    for file in dataset.raw_file_names:
        with np.load(dataset.raw_dir / file) as raw:
            found[file] = Structure(raw["lattice"], raw["numbers"], raw["frac_coords"])
    return found


def same_crystals(first: dict[str, Structure], second: dict[str, Structure]) -> list[tuple[str, str]]:
    matcher = StructureMatcher()  # primitive cells, scaled to the same volume
    pairs = itertools.product(first.items(), second.items())
    return [(a, b) for (a, one), (b, other) in pairs if matcher.fit(one, other)]


@pytest.mark.parametrize("dataset", DATASETS)
def test_no_file_and_no_content_is_in_two_splits(dataset):
    splits = read_manifest(dataset.name)["splits"]
    assert tuple(splits) == SPLITS
    for one, other in itertools.combinations(splits.values(), 2):
        assert not set(one) & set(other)
        assert not set(one.values()) & set(other.values())
    sums = [sha256 for files in splits.values() for sha256 in files.values()]
    assert len(set(sums)) == len(sums)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_splits_are_what_the_rules_make_of_the_files(dataset):
    assert read_manifest(dataset.name) == make_manifest(dataset, CHECKOUT_DATA)


def test_no_trajectory_is_in_two_splits_at_any_pressure():
    trajectories = {}
    for split in SPLITS:
        dataset = FluidHydrogen(split=split)
        for file in dataset.raw_file_names:
            with np.load(dataset.raw_dir / file) as raw:  # the file's own word, not its name
                meta = json.loads(str(raw["meta"]))
            trajectories.setdefault((meta["target_pressure_GPa"], meta["trajectory"]), set()).add(split)
    assert all(len(splits) == 1 for splits in trajectories.values())
    letters = {(letter, *splits) for (_, letter), splits in trajectories.items()}
    assert letters == {("A", "train"), ("C", "val"), ("B", "test")}
    assert {pressure for pressure, _ in trajectories} == {76.0, 115.1, 138.5}


def test_no_test_crystal_is_a_validation_crystal_and_none_trains():
    val, test = (structures(CrystalHydrogen(split=split)) for split in ("val", "test"))
    assert len(val) >= 10
    assert len(test) == 18
    assert same_crystals(test, val) == []
    assert len(CrystalHydrogen(split="train")) == 0


def test_a_crystal_in_disguise_would_be_found():
    crystal = structures(CrystalHydrogen(split="test"))["hexagonal_04_sg185_H4.npz"]
    disguised = crystal.copy().translate_sites(range(4), [0.1, 0.2, 0.3]).apply_strain(0.02)
    disguised = disguised.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    other = structures(CrystalHydrogen(split="test"))["hexagonal_07_sg193_H4.npz"]
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
