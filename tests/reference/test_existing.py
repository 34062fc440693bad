"""Structures of another data set: as they are stored, under their names, few atoms first."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import yaml
from pymatgen.core import Lattice, Structure

from elfzoo.config import to_dict
from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field, read_field
from elfzoo.io.npz import read_record
from elfzoo.io.symmetric import write_reference
from elfzoo.reference.engines import Label
from elfzoo.reference.existing import DatasetSource
from elfzoo.reference.recipe import find_recipe
from elfzoo.reference.runner import Run

META = {"group": "g", "origin": "made up", "crystal_system": "cubic", "recipe_hash": "0123", "pressure_GPa": 99.0}


def crystal(atoms):
    coords = np.random.default_rng(atoms).random((atoms, 3))
    return Structure(Lattice.cubic((2.3 * atoms) ** (1 / 3)), ["H"] * atoms, coords)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with three crystals."""
    monkeypatch.setenv("ELFZOO_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data" / "crystal-h"
    folder.mkdir(parents=True)
    for name, atoms in (("cubic_003", 5), ("cubic_000", 2), ("hexagonal_001", 3)):
        write_reference(
            Field(np.full((4, 4, 4), 0.5), crystal(atoms), meta=META | {"group": name}), folder / f"{name}.npz"
        )
    return folder


def test_structures_are_those_of_the_files_and_remember_them(data, tmp_path):
    found = DatasetSource("dataset", "crystal-h").candidates(tmp_path)
    assert [c.name for c in found] == ["cubic_000", "hexagonal_001", "cubic_003"]
    for candidate in found:
        path = data / f"{candidate.name}.npz"
        stored, made = read_field(path).structure, candidate.make({})
        assert made == stored and np.array_equal(made.frac_coords, stored.frac_coords)
        assert candidate.group == candidate.name and not candidate.relax and candidate.label
        assert candidate.facts == {
            "crystal_system": "cubic",
            "source_file": f"crystal-h/{path.name}",
            "source_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "source_recipe_hash": "0123",
        }
        assert candidate.origin == f"made up; the structure stored in crystal-h/{path.name}"


def test_large_cells_are_left_out(data, tmp_path):
    source = DatasetSource("dataset", "crystal-h", most_atoms=3)
    assert [c.name for c in source.candidates(tmp_path)] == ["cubic_000", "hexagonal_001"]
    with pytest.raises(ElfzooError, match="no structure of crystal-h has at most 1 atoms"):
        replace(source, most_atoms=1).candidates(tmp_path)
    with pytest.raises(ElfzooError, match=r"no folder .*hydrides"):
        DatasetSource("dataset", "hydrides").candidates(tmp_path)


def test_a_record_is_read_without_its_values(data, tmp_path):
    structure, meta = read_record(data / "cubic_000.npz")
    assert len(structure) == 2 and meta["pressure_GPa"] == 99.0
    np.savez(tmp_path / "bare.npz", elf=np.zeros((2, 2, 2)))
    with pytest.raises(FieldFileError, match=r"bare\.npz lacks lattice, frac_coords, numbers"):
        read_record(tmp_path / "bare.npz")


class _Engine:
    """Gives a density that holds one electron per atom."""

    def version(self):
        return "Quantum ESPRESSO 6.7"

    def label(self, structure, settings, folder):
        facts = {"engine": "Quantum ESPRESSO 6.7 x", "pseudopotential_sha256": {"H": "ab"}, "k_mesh": [1, 1, 1]}
        facts |= {"wall_seconds": 0.1, "valence": {"H": 1.0}, "valence_electrons": float(len(structure))}
        values = np.full((30, 30, 30), len(structure) / structure.volume)
        return Label(values, structure, np.zeros((len(structure), 3)), 99.0, -1.0, facts, settings.quantity)


def test_a_run_labels_them_without_relaxing(data, tmp_path, monkeypatch):
    monkeypatch.setattr("elfzoo.reference.runner.make_engine", lambda settings: _Engine())
    recipe = find_recipe("density-h")
    outcome = Run(recipe, tmp_path / "out").execute(show_progress=False)
    assert set(outcome.done) == {"cubic_000", "cubic_003", "hexagonal_001"}
    field, source = read_field(tmp_path / "out" / "cubic_003.npz"), read_field(data / "cubic_003.npz")
    assert field.quantity == "density" and field.meta["relaxation"] is None and field.meta["electrons"] == 5.0
    np.testing.assert_array_equal(field.structure.frac_coords, source.structure.frac_coords)
    assert field.meta["source_file"] == "crystal-h/cubic_003.npz" and field.meta["recipe_hash"] == recipe.hash
    assert yaml.safe_load((tmp_path / "out" / "recipe.yaml").read_text()) == to_dict(recipe)
