"""What is to be measured on what, and where a run keeps its files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

from elfzoo.benchmark.entrant import Entrant, load_entrant, prediction_files
from elfzoo.benchmark.few_shot_task import FewShotTask, shots_of
from elfzoo.benchmark.measure import fine_shape
from elfzoo.benchmark.record import run_folder
from elfzoo.benchmark.task import AnyTask, Task, find_task, select, task_name
from elfzoo.datasets import FieldDataset, Sample, dataset_class
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.io.npz import read_record

__all__ = ["Benchmark", "is_foreign"]


@dataclass(frozen=True)
class Samples(Sequence[Sample]):
    """The training data of several datasets, opened when they are first asked for: few entrants ask."""

    names: tuple[str, ...]
    root: str | None

    @cached_property
    def parts(self) -> list[FieldDataset]:
        return [dataset_class(name)(root=self.root, split="train") for name in self.names]

    @property
    def facts(self) -> dict[str, Any]:
        """What they are, for the record of whoever learned from them."""
        names = [f"{name}/train" for name in self.names]
        hashes = {name: part.data_hash for name, part in zip(names, self.parts, strict=True)}
        return {"trained_on": names, "training_sha256": hashes}

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Sample]:
        return chain.from_iterable(self.parts)

    def __getitem__(self, index: Any) -> Any:
        """A sample, or a list of those of a slice."""
        places = [(part, i) for part in self.parts for i in range(len(part))][index]
        return [part[i] for part, i in places] if isinstance(places, list) else places[0][places[1]]


def is_foreign(known: Collection[str] | None, asked: Collection[Collection[str]]) -> bool:
    """Whether each structure has an element that is not known.

    Args:
        known: elements that an entrant was trained on; nothing where it does not say.
        asked: the elements of each structure.
    """
    return bool(known and asked) and all(set(elements) - set(known or ()) for elements in asked)


@dataclass(frozen=True)
class Benchmark:
    """What is to be measured on what.

    Args:
        spec: of the entrant, see :func:`~elfzoo.benchmark.entrant.load_entrant`; with ``predictions`` its name alone.
        task: name of the task, or a YAML file.
        folder: where the run works; entrants and tasks have folders in it.
        split: ``"test"``, or ``"val"`` to choose by.
        root: folder of the datasets.
        predictions: folder of prediction files to measure instead of a model.
        keep_predictions: leave the predictions in the run's folder.
    """

    spec: str
    task: str
    folder: Path
    split: str = "test"
    root: str | None = None
    predictions: Path | None = None
    keep_predictions: bool = True

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Pickled without what was loaded."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @property
    def name(self) -> str:
        """Of the task, in records and folders."""
        return task_name(self.task)

    @cached_property
    def definition(self) -> AnyTask:
        return find_task(self.task)

    @cached_property
    def data(self) -> FieldDataset:
        """The structures of the task, where it is of a dataset."""
        return select(self.definition, self.split, self.root)

    @cached_property
    def names(self) -> list[str]:
        """Of the structures: their files' names without the suffix (there are other dots in them)."""
        return [file.removesuffix(".npz") for file in self.data.raw_file_names]

    @cached_property
    def entrant(self) -> Entrant:
        if self.predictions is not None:
            return prediction_files(self.predictions, self.spec)
        return load_entrant(self.spec, Samples(self.definition.train, self.root), self._shown_first)

    @property
    def _shown_first(self) -> Sequence[Sample]:
        """Of a task of few shots, the fewest."""
        task = self.definition
        if not isinstance(task, FewShotTask):
            return ()
        train = dataset_class(task.dataset)(root=self.root, split="train")
        return list(shots_of(train, task.shots[0], task.seeds[0]))

    @property
    def is_made(self) -> bool:
        """Whether the entrant is what a factory makes, which may be another one each time."""
        return self.predictions is None and not self.entrant.is_release

    @cached_property
    def foreign(self) -> bool:
        """Whether the entrant was not trained on some element of every structure: the task is not for it. Speed and
        learning from few fields are for any.
        """
        if not isinstance(self.definition, Task):
            return False
        if not (known := self.entrant.facts.get("elements")):
            return False
        structures = (read_record(self.data.raw_dir / file)[0] for file in self.data.raw_file_names)
        return is_foreign(known, [{site.specie.symbol for site in structure} for structure in structures])

    def grid(self, reference: Field) -> Grid:
        """What the entrant is asked to predict on: the task's fine grid, or the reference's where points are costly.

        Raises:
            ElfzooError: a task that is not of fields.
        """
        if not isinstance(self.definition, Task):
            raise ElfzooError(f"the task {self.definition.title!r} has no fields")
        model = self.entrant.model
        coarse = model is not None and model.costly
        return reference.grid if coarse else Grid(fine_shape(reference, self.definition), reference.grid.lattice)

    @property
    def place(self) -> Path:
        """Folder of this run."""
        return run_folder(self.folder, self.name, self.entrant.name, self.split)

    def row_path(self, name: str) -> Path:
        """Where the measurements of a structure go; ``name`` as in :attr:`names`."""
        return self.place / "rows" / f"{name}.json"
