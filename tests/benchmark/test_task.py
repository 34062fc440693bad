"""Tasks: small typed files, each of exactly one set of structures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from pymatgen.core import Lattice, Structure

from elfzoo.benchmark.speed_task import SpeedTask
from elfzoo.benchmark.task import Task, crystal_system, find_task, list_tasks, select
from elfzoo.errors import ConfigError, ElfzooError, UnknownNameError
from elfzoo.field import Recipe
from elfzoo.io.npz import read_record


@pytest.mark.parametrize("name", [name for name in list_tasks() if isinstance(find_task(name), Task)])
def test_every_task_is_of_the_data_that_are_there(name: str) -> None:
    task = find_task(name)
    test, val = select(task, "test"), select(task, "val")  # the hashes are checked here
    assert len(test) > 0 and len(val) > 0
    assert not set(test.raw_file_names) & set(val.raw_file_names)
    assert all(file.startswith(task.starts_with) for file in test.raw_file_names)
    recipes = {Recipe.from_meta(read_record(test.raw_dir / file)[1]) for file in test.raw_file_names}
    assert [", ".join(dataclasses.astuple(recipe)) for recipe in recipes] == [task.recipe]


def test_tasks_of_one_dataset_share_no_structure() -> None:
    cubic, hexagonal = (select(find_task(f"crystal-h-{s}")).raw_file_names for s in ("cubic", "hexagonal"))
    assert not set(cubic) & set(hexagonal)


def test_the_crystal_system_is_that_of_the_space_group() -> None:
    assert crystal_system(
        Structure(Lattice.hexagonal(2.7, 4.4), ["Zn"] * 2, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])
    ) == ("hexagonal")
    skewed = Structure(Lattice.cubic(3.5).matrix @ [[1, 0, 0], [1, 1, 0], [0, 0, 1]], ["Li"], [[0, 0, 0]])
    assert crystal_system(skewed) == "cubic"  # whatever the basis of the lattice


def test_other_data_are_refused(tiny_task: Task) -> None:
    with pytest.raises(ElfzooError, match="use the data of this version"):
        select(dataclasses.replace(tiny_task, data_sha256={"test": "0" * 64}))
    with pytest.raises(ElfzooError, match="has no val data; it has test"):
        select(tiny_task, "val")


def test_a_file_says_which_kind_of_task_it_is(tmp_path: Path) -> None:
    assert isinstance(find_task("speed"), SpeedTask) and isinstance(find_task("metals"), Task)
    job = {"title": "small", "protocol": "none", "atoms": 8, "edge": 3.0, "points": 12}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(job | {"kind": "speed"}))
    task = find_task(str(path))
    assert isinstance(task, SpeedTask) and task.grid(task.structure()).shape == (12, 12, 12)
    with pytest.raises(ElfzooError, match="'small' has no structures of a dataset"):
        select(task)
    path.write_text(yaml.safe_dump(job | {"kind": "sped"}))
    with pytest.raises(UnknownNameError, match="no kind of task is called 'sped'; did you mean speed"):
        find_task(str(path))
    path.write_text(yaml.safe_dump(job | {"kind": "speed", "atom": 8}))
    with pytest.raises(ConfigError, match="did you mean 'atoms'"):
        find_task(str(path))


def test_wrong_names_and_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean fluid-h"):
        find_task("fluid-hh")
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump({"title": "x", "dataset": "metals", "protocol": "y", "data_sha256": {}, "partz": []})
    )
    with pytest.raises(ConfigError, match="did you mean 'parts'"):
        find_task(str(path))
    with pytest.raises(ConfigError, match="no such configuration file"):
        find_task(str(tmp_path / "no.yaml"))
    with pytest.raises(ConfigError, match=r"mine-val.yaml: names that end in -val are those of validation splits"):
        find_task(str(tmp_path / "mine-val.yaml"))
