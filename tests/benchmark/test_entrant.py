"""Entrants: releases, a stranger's Python file, prediction files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo import Field, list_pretrained, load_pretrained, read_field
from elfzoo.benchmark.entrant import load_entrant, prediction_files
from elfzoo.benchmark.plan import Samples
from elfzoo.errors import ElfzooError, StructureError, UnknownNameError
from elfzoo.grid import Grid
from elfzoo.io import write_fields

CRYSTAL = Path(__file__).parents[2] / "benchmarks" / "data" / "crystal-h" / "hexagonal_018.npz"
CELL = Structure(Lattice.from_parameters(2.1, 2.4, 2.9, 80, 95, 105), ["H"] * 2, [[0.1, 0.2, 0.3], [0.35, 0.25, 0.4]])
GRID = Grid((6, 7, 8), CELL.lattice.matrix)


def test_a_release_enters_by_name_and_says_what_it_is() -> None:
    name = list_pretrained()[0]
    entrant, model = load_entrant(name), load_pretrained(name)
    assert entrant.name == name and entrant.facts["weights_sha256"] == model.card.weights_sha256
    assert entrant.facts["trained_on"] == ["cavity-h/train", "fluid-h/train"] and entrant.facts["elements"] == ["H"]
    expected = model.predict(CELL, grid=GRID, progress=False).values
    np.testing.assert_array_equal(entrant.predict("any", CELL, GRID).values, expected)


def test_a_function_and_an_object_enter_from_a_file(entrants: Path) -> None:
    half, waves = (load_entrant(f"{entrants}:{name}") for name in ("half", "waves"))
    assert (half.name, waves.name) == ("strangers.half", "waves")
    assert (half.predict("any", CELL, GRID).values == 0.5).all()
    assert waves.predict("any", CELL, GRID).values.shape == GRID.shape
    assert half.facts["source_sha256"] == waves.facts["source_sha256"]


def test_a_factory_may_ask_for_the_training_data(entrants: Path) -> None:
    training = [(CELL, Field(np.full((2, 2, 2), value), CELL)) for value in (0.2, 0.4)]
    entrant = load_entrant(f"{entrants}:mean", training)
    np.testing.assert_allclose(entrant.predict("any", CELL, GRID).values, 0.3)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("halff", "has no function halff; it has .*half"),
        ("NUMBER", "has no function NUMBER"),
        ("nothing", "returns int; expected an object with predict, or a function"),
    ],
)
def test_files_that_make_no_entrant_are_said(entrants: Path, factory: str, message: str) -> None:
    with pytest.raises(ElfzooError, match=message):
        load_entrant(f"{entrants}:{factory}")


def test_wrong_shapes_names_and_places_are_said(entrants: Path, tmp_path: Path) -> None:
    with pytest.raises(ElfzooError, match=r"of shape \(3,\); expected \(6, 7, 8\)"):
        load_entrant(f"{entrants}:flat").predict("any", CELL, GRID)
    with pytest.raises(ElfzooError, match="no such file"):
        load_entrant(f"{tmp_path}/no.py:make")
    with pytest.raises(UnknownNameError, match="no shipped release, folder or repository"):
        load_entrant("grid_mlp.smoth-h")
    with pytest.raises(ElfzooError, match="letters, digits"):
        prediction_files(tmp_path, "my code/3")


STRANGE = """
import numpy as np
from elfzoo import load_pretrained

def tuned():
    model = load_pretrained("grid_mlp.wang2026-h-v2")
    for parameter in model.parameters():
        parameter.data *= 0.5
    return model

def fails():
    raise KeyError("own bug")

def later():
    return lambda structure, grid: 1 / 0

def high():
    return lambda structure, grid: np.full(grid.shape, 57.0)

def learns(training):
    return lambda structure, grid: np.zeros(grid.shape)

def may_learn(training=()):
    return lambda structure, grid: np.zeros(grid.shape)
"""


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    (tmp_path / "strange.py").write_text(STRANGE)
    return tmp_path / "strange.py"


def test_a_changed_release_is_not_the_release(strange: Path) -> None:
    entrant, release = load_entrant(f"{strange}:tuned"), load_entrant("grid_mlp.wang2026-h-v2")
    assert (entrant.name, entrant.is_release, release.is_release) == ("strange.tuned", False, True)
    assert entrant.facts["weights_sha256"] not in (None, release.facts["weights_sha256"])
    again = load_entrant(f"{strange}:tuned")
    assert again.facts == entrant.facts


def test_what_fails_in_a_strangers_code_is_theirs(strange: Path, tmp_path: Path) -> None:
    with pytest.raises(ElfzooError, match=r"strange.py:fails: KeyError: 'own bug'"):
        load_entrant(f"{strange}:fails")
    with pytest.raises(ElfzooError, match=r"strange.py:later: ZeroDivisionError: division by zero"):
        load_entrant(f"{strange}:later").predict("any", CELL, GRID)
    with pytest.raises(ElfzooError, match="values from 57 to 57; ELF lies between 0 and 1"):
        load_entrant(f"{strange}:high").predict("any", CELL, GRID)
    (tmp_path / "cut.py").write_text("def make(:\n")
    with pytest.raises(ElfzooError, match=r"cut.py: SyntaxError"):
        load_entrant(f"{tmp_path / 'cut.py'}:make")
    with pytest.raises(ElfzooError, match=r"with the name of its factory, as strange.py:make"):
        load_entrant("strange.py")


def test_who_must_be_given_data_is_known(strange: Path) -> None:
    assert [load_entrant(f"{strange}:{name}").learns for name in ("learns", "may_learn", "later")] == [
        True,
        False,
        False,
    ]


def test_prediction_files_in_any_format(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(GRID.shape).astype(np.float32)
    Field(values, CELL).write(tmp_path / "first.npz")
    Field(values, CELL).write(tmp_path / "second.cube")
    entrant = prediction_files(tmp_path, "mine")
    np.testing.assert_array_equal(entrant.predict("first", CELL, GRID).values, values)
    np.testing.assert_allclose(entrant.predict("second", CELL, GRID).values, values, atol=1e-5)


def test_prediction_files_that_are_missing_doubled_or_of_something_else(tmp_path: Path) -> None:
    other = Structure(CELL.lattice, ["H"] * 2, [[0.1, 0.2, 0.3], [0.6, 0.6, 0.6]])
    Field(np.zeros(GRID.shape), other).write(tmp_path / "a.npz")
    Field(np.zeros(GRID.shape), CELL).write(tmp_path / "b.npz")
    Field(np.zeros(GRID.shape), CELL).write(tmp_path / "b.cube")
    entrant = prediction_files(tmp_path, "mine")
    with pytest.raises(StructureError):
        entrant.predict("a", CELL, GRID)
    with pytest.raises(ElfzooError, match="2 predictions of b"):
        entrant.predict("b", CELL, GRID)
    with pytest.raises(ElfzooError, match="no prediction of c"):
        entrant.predict("c", CELL, GRID)
    with pytest.raises(ElfzooError, match="no folder"):
        prediction_files(tmp_path / "nowhere", "mine")


MORE = """
import helper_beside


def optional(seed=0):
    assert seed == 0
    return lambda structure, grid: None


def keyword(*, value=0.3):
    return optional()


def by_keyword(*, training=()):
    assert len(training) == 2
    return optional()


def first(training):
    assert training[0] == "a" and training[-1:] == ["b"]
    return optional()


def shown(data):
    assert data == ["shown"]
    return optional()


class Release:
    name = "grid_mlp.smooth-h-v4"

    def predict(self, structure, grid):
        return None
"""


@pytest.fixture
def more(tmp_path: Path) -> Path:
    (tmp_path / "helper_beside.py").write_text("")
    (tmp_path / "more.py").write_text(MORE)
    return tmp_path / "more.py"


def test_data_go_to_an_argument_that_must_be_given_or_is_called_training(more: Path) -> None:
    for factory in ("optional", "keyword", "by_keyword", "first"):
        entrant = load_entrant(f"{more}:{factory}", ["a", "b"], ["shown"])
        assert entrant.learns is (factory == "first") and not entrant.is_known  # functions cannot be told apart
    assert load_entrant(f"{more}:shown", [], ["shown"]).learns


def test_names_of_releases_and_floors_are_taken(more: Path, tmp_path: Path) -> None:
    with pytest.raises(ElfzooError, match=r"calls itself grid_mlp.smooth-h-v4, which is a release"):
        load_entrant(f"{more}:Release")
    for name in ("floor.mean", "probe_graph.h-v2"):
        with pytest.raises(ElfzooError, match="a name of their own"):
            prediction_files(tmp_path, name)


def test_a_file_with_two_channels_is_named(tmp_path: Path) -> None:
    field = read_field(CRYSTAL)
    other = field.replace(values=field.values * 0.9)
    write_fields({"up": field.replace(spin="up"), "down": other.replace(spin="down")}, tmp_path / "one.ELFCAR")
    entrant = prediction_files(tmp_path, "outside")
    with pytest.raises(ElfzooError, match="holds the spin channels up and down, which differ; expected one ELF"):
        entrant.predict("one", field.structure, field.grid)


def test_training_data_are_a_sequence() -> None:
    samples = Samples(("crystal-h", "hydrides"), None)
    first, last = samples[0], samples[-1]
    assert len(samples) == 80 and first.structure == next(iter(samples)).structure
    assert [s.structure for s in samples[-1:]] == [last.structure] and last.structure.symbol_set == ("H", "Y")
    with pytest.raises(IndexError):
        samples[80]
