"""Densities of the crystals of another set, in that set's splits."""

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.datasets import CrystalHydrogen, HydrogenDensity, make_splits
from elfzoo.datasets.base import CHECKOUT_DATA, read_manifest
from elfzoo.errors import ElfzooError
from elfzoo.field import Field, Recipe


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_crystal_is_in_one_split_whatever_is_asked_of_it(split):
    for file in CrystalHydrogen(split=split).raw_file_names:
        assert HydrogenDensity.split_of(file) == CrystalHydrogen.split_of(file) == split
    with pytest.raises(ElfzooError, match="is no random crystal"):
        HydrogenDensity.split_of("LaH10.npz")


def test_the_stored_splits_are_what_the_rules_make_of_the_files():
    try:
        stored = read_manifest("density-h")
    except ElfzooError:
        pytest.skip("the densities are not made yet: elfzoo reference run density-h")
    assert stored == make_splits.make_manifest(HydrogenDensity, CHECKOUT_DATA)


def test_data_that_were_not_made_yet():
    read_manifest.cache_clear()
    with pytest.raises(ElfzooError, match="nothing has no stored splits: make its data"):
        read_manifest("nothing")


def test_splits_of_data_that_a_folder_may_do_without(tmp_path, monkeypatch):
    monkeypatch.setattr(make_splits, "DATASETS", (HydrogenDensity,))
    assert make_splits.make_splits(tmp_path, tmp_path) == []
    file = CrystalHydrogen(split="test").raw_file_names[0]
    (tmp_path / "density-h").mkdir()
    structure = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
    recipe = Recipe("Quantum ESPRESSO 6.7", "PBE", "GTH-PBE-q1")
    Field(np.full((4, 4, 4), 0.125), structure, "density", recipe).write(tmp_path / "density-h" / file)
    (path,) = make_splits.make_splits(tmp_path, tmp_path)
    assert path.name == "density-h.json" and list(json.loads(path.read_text())["splits"]["test"]) == [file]
