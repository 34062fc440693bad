"""Tasks: what entrants are measured on. Each is a small YAML file in ``tasks``, named after the task."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from elfzoo.config import config_class, parse, read_yaml
from elfzoo.datasets import FieldDataset
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.io.npz import read_record
from elfzoo.training.points import dataset_class

__all__ = ["Part", "Task", "find_task", "list_tasks", "select", "task_name"]

Part = Literal["voxels", "profile", "spectrum", "topology"]
SYMMETRY_TOLERANCE = 0.01  # Å
SUFFIX = ".yaml"


@config_class
class Task:
    """A dataset, the part of it that belongs to the task, and what is measured there.

    Args:
        title: for tables.
        dataset: folder name of the dataset, such as ``fluid-h``.
        data_sha256: of the structures and fields of each split (:attr:`~elfzoo.datasets.FieldDataset.data_hash`): a
            record is of these data and no others.
        protocol: what an entrant may have learned from, and how it is measured, in a sentence or two.
        train: datasets whose training splits go to an entrant that asks for data.
        starts_with: of the files' names.
        system: crystal system of the structures (spglib); null takes all.
        group_by: an entry of the fields' provenance by which results are also given, such as
            ``target_pressure_GPa``; null for none.
        parts: what is measured, see :mod:`elfzoo.benchmark.measure`.
        refine: topology is searched on a grid with this many times the points along each axis.
    """

    title: str
    dataset: str
    data_sha256: dict[Literal["val", "test"], str]
    protocol: str
    train: tuple[str, ...] = ()
    starts_with: str = ""
    system: str | None = None
    group_by: str | None = None
    parts: tuple[Part, ...] = ("voxels", "profile", "spectrum", "topology")
    refine: int = 2


def list_tasks() -> list[str]:
    """Names of the tasks, sorted."""
    return sorted(_tasks())


def find_task(name: str) -> Task:
    """The task of this name, or the one in a YAML file of your own.

    Raises:
        UnknownNameError: with the nearest names.
        ConfigError: a file that is none, or has unknown keys.
    """
    if name.endswith(SUFFIX):
        return read_yaml(Task, name)
    if name not in _tasks():
        raise UnknownNameError("task", name, _tasks())
    return _tasks()[name]


def task_name(spec: str) -> str:
    """The name in records: the task's own, or that of its file."""
    return Path(spec).stem if spec.endswith(SUFFIX) else spec


def select(task: Task, split: str = "test", root: str | None = None, pinned: bool = True) -> FieldDataset:
    """The structures of a task in a split.

    Args:
        task: of :func:`find_task`.
        split: ``"test"``, or ``"val"`` to choose by.
        root: folder of the datasets, as in :class:`~elfzoo.datasets.FieldDataset`.
        pinned: refuse data other than those that the task was made for.

    Raises:
        ElfzooError: the data are not there, or not those of the task.
    """
    data = dataset_class(task.dataset)(root=root, split=split)
    data = data.subset(i for i, file in enumerate(data.raw_file_names) if file.startswith(task.starts_with))
    if task.system is not None:
        files = [data.raw_dir / file for file in data.raw_file_names]
        data = data.subset(i for i, file in enumerate(files) if crystal_system(read_record(file)[0]) == task.system)
    if pinned:
        _require_pinned(task, split, data)
    return data


def crystal_system(structure: Structure) -> str:
    """Such as cubic or hexagonal, by the space group of the structure as it is."""
    return str(SpacegroupAnalyzer(structure, SYMMETRY_TOLERANCE).get_crystal_system())


def _require_pinned(task: Task, split: str, data: FieldDataset) -> None:
    expected: Mapping[Any, str] = task.data_sha256
    if split not in expected:
        raise ElfzooError(f"the task {task.title} has no {split} data; it has {', '.join(expected) or 'none'}")
    if expected[split] != data.data_hash:
        raise ElfzooError(
            f"the {split} data of the task {task.title} have the hash {data.data_hash[:12]}…, expected "
            f"{expected[split][:12]}…: use the data of this version of elfzoo"
        )


@cache
def _tasks() -> dict[str, Task]:
    folder = resources.files(__package__).joinpath("tasks")
    files = [path for path in folder.iterdir() if path.name.endswith(SUFFIX)]
    return {path.name.removesuffix(SUFFIX): parse(Task, yaml.safe_load(path.read_text()), path.name) for path in files}
