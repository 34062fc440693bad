"""Small data folders with splits to match, so that files can be spoiled and counted."""

import hashlib
import shutil

import pytest

from elfzoo.datasets.base import CHECKOUT_DATA

CUBIC, HEXAGONAL = "cubic_003.npz", "hexagonal_032.npz"


@pytest.fixture
def small_root(tmp_path, monkeypatch):
    """A root with two crystals of crystal-h, one to train and one to test."""
    folder = tmp_path / "data" / "crystal-h"
    folder.mkdir(parents=True)
    sums = {}
    for file in (CUBIC, HEXAGONAL):
        shutil.copy(CHECKOUT_DATA / "crystal-h" / file, folder / file)
        sums[file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    splits = {"train": {HEXAGONAL: sums[HEXAGONAL]}, "val": {}, "test": {CUBIC: sums[CUBIC]}}
    recipe = {"engine": "Quantum ESPRESSO 6.7", "functional": "PBE", "pseudopotential": "GTH-PBE-q1"}
    manifest = {"name": "crystal-h", "recipe": recipe, "splits": splits}
    monkeypatch.setattr("elfzoo.datasets.base.read_manifest", {"crystal-h": manifest}.__getitem__)
    return tmp_path / "data"
