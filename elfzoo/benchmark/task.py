"""Tasks: what entrants are measured on. Each is a small YAML file in ``tasks``, named after the task.

A task is of one ``kind``: ``fields`` of a dataset (:class:`Task`, where a file says nothing), ``few_shot``
(:class:`~elfzoo.benchmark.few_shot_task.FewShotTask`), or ``speed`` (:class:`~elfzoo.benchmark.speed_task.SpeedTask`).
Every kind has a title, a protocol, training data, and hashes of what is predicted, by split;
:mod:`elfzoo.benchmark.runner` knows how the rows of each are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from elfzoo.benchmark.few_shot_task import FewShotTask
from elfzoo.benchmark.speed_task import SpeedTask
from elfzoo.config import config_class, parse, yaml_values
from elfzoo.datasets import FieldDataset, dataset_class
from elfzoo.errors import ConfigError, ElfzooError, UnknownNameError
from elfzoo.io.npz import read_record

__all__ = [
    "AnyTask",
    "Part",
    "Task",
    "find_task",
    "list_tasks",
    "parse_task",
    "require_pinned",
    "require_split",
    "select",
    "task_name",
]

Part = Literal["voxels", "profile", "spectrum", "topology", "templates"]
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
        recipe: engine, functional and pseudopotential of the references, separated by commas.
        train: datasets whose training splits go to an entrant that asks for data.
        starts_with: of the files' names.
        system: crystal system of the structures (spglib); null takes all.
        group_by: an entry of the fields' provenance by which results are also given, such as
            ``target_pressure_GPa``; null for none.
        parts: what is measured, see :mod:`elfzoo.benchmark.measure`.
        refine: topology and templates are searched on a grid with this many times the points along each axis.
        on_request: it is left out of "all tasks": a part of another one, say.
    """

    title: str
    dataset: str
    data_sha256: dict[Literal["val", "test"], str]
    protocol: str
    recipe: str = ""
    train: tuple[str, ...] = ()
    starts_with: str = ""
    system: str | None = None
    group_by: str | None = None
    parts: tuple[Part, ...] = ("voxels", "profile", "spectrum", "topology")
    refine: int = 2
    on_request: bool = False

    @property
    def measured(self) -> str:
        """What is measured, for lists."""
        return ", ".join(self.parts)


AnyTask = Task | FewShotTask | SpeedTask
KINDS: Mapping[str, type[AnyTask]] = {"fields": Task, "few_shot": FewShotTask, "speed": SpeedTask}


def list_tasks() -> list[str]:
    """Names of the tasks, sorted."""
    return sorted(_tasks())


def find_task(name: str) -> AnyTask:
    """The task of this name, or the one in a YAML file of your own.

    Raises:
        UnknownNameError: no such task, or kind of task; with the nearest names.
        ConfigError: a file that is none, or has unknown keys.
    """
    if name.endswith(SUFFIX):
        if task_name(name).endswith("-val"):
            raise ConfigError(f"{name}: names that end in -val are those of validation splits' records; rename it")
        own = parse_task(yaml_values(name), name)
        if own != _tasks().get(task_name(name), own):
            raise ConfigError(f"{name} is not elfzoo's {task_name(name)}, whose records it would replace; rename it")
        return own
    if name not in _tasks():
        raise UnknownNameError("task", name, _tasks())
    return _tasks()[name]


def parse_task(values: Mapping[str, Any], where: str) -> AnyTask:
    """The task that the values of a file say, of the kind that its key ``kind`` names."""
    kind = values.get("kind", "fields")
    if kind not in KINDS:
        raise UnknownNameError("kind of task", str(kind), KINDS)
    return parse(KINDS[kind], {key: value for key, value in values.items() if key != "kind"}, where)


def task_name(spec: str) -> str:
    """The name in records: the task's own, or that of its file."""
    return Path(spec).stem if spec.endswith(SUFFIX) else spec


def select(task: AnyTask, split: str = "test", root: str | None = None, pinned: bool = True) -> FieldDataset:
    """The structures of a task in a split.

    Args:
        task: of :func:`find_task`.
        split: ``"test"``, or ``"val"`` to choose by.
        root: folder of the datasets, as in :class:`~elfzoo.datasets.FieldDataset`.
        pinned: refuse data other than those that the task was made for.

    Raises:
        ElfzooError: the data are not there, or not those of the task, or the task is not of a dataset.
    """
    if not isinstance(task, Task):
        raise ElfzooError(f"the task {task.title!r} has no structures of a dataset")
    data = dataset_class(task.dataset)(root=root, split=split)
    data = data.subset(i for i, file in enumerate(data.raw_file_names) if file.startswith(task.starts_with))
    if task.system is not None:
        files = [data.raw_dir / file for file in data.raw_file_names]
        data = data.subset(i for i, file in enumerate(files) if crystal_system(read_record(file)[0]) == task.system)
    if pinned:
        require_pinned(task, split, data)
    return data


def crystal_system(structure: Structure) -> str:
    """Such as cubic or hexagonal, by the space group of the structure as it is."""
    return str(SpacegroupAnalyzer(structure, SYMMETRY_TOLERANCE).get_crystal_system())


def require_split(task: AnyTask, split: str) -> str:
    """The hash of what is predicted in a split.

    Raises:
        ElfzooError: the task does not have that split.
    """
    expected: Mapping[Any, str] = task.data_sha256
    if split not in expected:
        raise ElfzooError(f"the task {task.title} has no {split} data; it has {', '.join(expected) or 'none'}")
    return expected[split]


def require_pinned(task: AnyTask, split: str, data: FieldDataset) -> None:
    """Refuse data other than those that the task was made for.

    Raises:
        ElfzooError: they are others, or the task does not have that split.
    """
    expected = require_split(task, split)
    if expected != data.data_hash:
        raise ElfzooError(
            f"the {split} data of the task {task.title} have the hash {data.data_hash[:12]}…, expected "
            f"{expected[:12]}…: use the data of this version of elfzoo"
        )


@cache
def _tasks() -> dict[str, AnyTask]:
    folder = resources.files(__package__).joinpath("tasks")
    files = [path for path in folder.iterdir() if path.name.endswith(SUFFIX)]
    return {path.name.removesuffix(SUFFIX): parse_task(yaml.safe_load(path.read_text()), path.name) for path in files}
