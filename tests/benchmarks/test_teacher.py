"""The structures that a teacher labels: by number alone, of four kinds, none too close; files that training takes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.datasets.files import FieldFiles
from elfzoo.errors import ElfzooError
from elfzoo.training.config import DataConfig
from elfzoo.training.points import choose, draw_points

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import teacher

TEACHER = "grid_mlp.smooth-h-v3"  # quick; what it says of them is of no matter here


@pytest.fixture(scope="module")
def structures() -> list[Structure]:
    pytest.importorskip("pyxtal")
    return [teacher.structure_of(number, 0) for number in range(8)]


def test_a_structure_depends_on_its_number_and_the_seed_alone(structures):
    again = teacher.structure_of(5, 0)
    np.testing.assert_array_equal(again.cart_coords, structures[5].cart_coords)
    assert len(again) != len(other := teacher.structure_of(5, 1)) or not np.allclose(
        again.cart_coords, other.cart_coords
    )


def test_kinds_take_turns_and_are_what_they_are_called(structures):
    for number, structure in enumerate(structures):
        kind, low, high = teacher.name_of(number).split("_")[0], *teacher.VOLUMES
        assert structure.composition.reduced_formula == "H2" and len(structure) <= 24
        assert low * (1 - teacher.STRAIN) ** 3 < structure.volume / len(structure) < high * (1 + teacher.STRAIN) ** 3
        cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
        group = spglib.get_symmetry_dataset(cell, symprec=1e-3).number
        expected = {"cubic": range(195, 231), "hexagonal": range(168, 195), "rattled": range(1, 3), "packing": (1,)}
        assert group in expected[kind], teacher.name_of(number)


def test_a_fluid_is_made_where_it_is_asked_for_alone():
    assert (
        {teacher.name_of(number).split("_")[0] for number in range(50)}
        == set(teacher.KINDS)
        == {"cubic", "hexagonal", "rattled", "packing"}
    )
    found = teacher.structure_of(3, 0, ("fluid",))
    np.testing.assert_array_equal(teacher.structure_of(3, 0, ("fluid",)).cart_coords, found.cart_coords)
    assert len(found) in teacher.FLUID_SIZES and teacher.shortest(found) > 0.4
    assert teacher.VOLUMES[0] < found.volume / len(found) < teacher.VOLUMES[1]
    others = [teacher.structure_of(number, 0, ("fluid", "packing")) for number in (2, 3)]
    assert len(others[0]) in teacher.FLUID_SIZES and len(others[1]) == teacher.PACKED


def test_steps_along_the_forces_part_what_is_too_close():
    pair = Structure(Lattice.cubic(3.0), ["H", "H"], [[0, 0, 0], [0, 0, 0.16]])
    assert teacher.shortest(pair) == pytest.approx(0.48)
    assert teacher.shortest(teacher.moved(pair, 0)) == pytest.approx(0.48)
    assert 0.6 < teacher.shortest(teacher.moved(pair, 20)) < 0.9


def test_labels_are_fields_to_train_on_and_are_not_made_twice(tmp_path, monkeypatch):
    model = elfzoo.load_pretrained(TEACHER)
    for number in (3, 7, 11, 15):  # packings, which need no PyXtal
        assert teacher.label(number, 0, model, tmp_path)
    files = sorted(tmp_path.glob("*.npz"))
    assert len(files) == 4
    data = FieldFiles(files)
    for structure, field in data:
        assert field.values.size >= teacher.VOXELS
        np.testing.assert_allclose(field.values, model.predict(structure, field.grid).values, atol=1e-4)
    config = DataConfig("teacher-h", "train", points=50, files=(str(tmp_path),))
    sets, digest = draw_points(config, 0)
    assert digest == data.data_hash and len(sets) == len(files)
    assert choose(DataConfig("teacher-h", "train", files=(str(files[0]), str(files[1]))))[0] == [0, 1]

    monkeypatch.setattr(teacher, "structure_of", lambda *_: pytest.fail("made again"))
    assert teacher.label(int(files[0].stem[-5:]), 0, model, tmp_path)


def test_a_structure_that_cannot_be_labelled_is_left_out(tmp_path, monkeypatch, capsys):
    model = elfzoo.load_pretrained(TEACHER)
    close = Structure(Lattice.cubic(3.0), ["H", "H"], [[0, 0, 0], [0, 0, 0.1]])
    monkeypatch.setattr(teacher, "structure_of", lambda *_: close)
    assert not teacher.label(0, 0, model, tmp_path)

    def fails(*_):
        raise ElfzooError("no crystal")

    monkeypatch.setattr(teacher, "structure_of", fails)
    assert not teacher.label(0, 0, model, tmp_path) and "cubic_00000: no crystal" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
