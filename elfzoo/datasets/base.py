"""Datasets of fields in PyG's conventions, without its pickles.

The raw files are elfzoo's own ``.npz``, which is what a sample is made of: there is nothing to convert, so the
processed files are the raw ones, and processing means verifying their checksums. Nothing is ever written.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, overload

from pymatgen.core import Structure
from torch.utils.data import Dataset

from elfzoo.errors import ElfzooError, FieldFileError, UnknownNameError
from elfzoo.field import Field, Recipe, read_field

__all__ = ["SPLITS", "FieldDataset", "Sample", "find_raw_dir", "hash_file", "name_part", "read_manifest", "verify_file"]

SPLITS = ("train", "val", "test")
DATA_VARIABLE = "ELFZOO_DATA"
CHECKOUT_DATA = Path(__file__).parents[2] / "benchmarks" / "data"
REMEDY = (
    "the data are in benchmarks/data of elfzoo's source checkout: pass that folder as root, "
    f"or set the environment variable {DATA_VARIABLE} to it"
)


class Sample(NamedTuple):
    """One item of a dataset: a structure and its field. It unpacks like any pair."""

    structure: Structure
    field: Field


class FieldDataset(Dataset[Sample]):
    """A sequence of (Structure, Field) pairs of one split.

    Args:
        root: folder that holds the datasets' folders; by default ``$ELFZOO_DATA``, else ``benchmarks/data`` of the
            source checkout.
        split: ``"train"``, ``"val"``, ``"test"``, or ``"all"`` of them. A dataset may have no field to train on: a
            split may be empty.
        transform: called with each Field as it is accessed; returns the Field to use instead. The structure of the
            sample is that of the returned field.

    Each field carries its provenance in ``field.recipe`` and ``field.meta``, and under ``meta["file"]`` the name of
    the file it came from, as ``dataset/file``.

    Attributes:
        name: of the dataset's folder, and of its stored splits.
        optional: whether a data folder may do without it.

    Raises:
        UnknownNameError: no such split.
        ElfzooError: the data are not there.
    """

    name: ClassVar[str]
    optional: ClassVar[bool] = False

    def __init__(
        self, root: str | Path | None = None, split: str = "train", transform: Callable[[Field], Field] | None = None
    ):
        if split not in (*SPLITS, "all"):
            raise UnknownNameError("split", split, (*SPLITS, "all"))
        self.split = split
        self.transform = transform
        members = read_manifest(self.name)["splits"]
        chosen = [members[s] for s in (SPLITS if split == "all" else (split,))]
        self._sha256: dict[str, str] = dict(sorted((file, sha) for part in chosen for file, sha in part.items()))
        self._raw_dir = find_raw_dir(self.name, root)
        self._require_files()

    @staticmethod
    def split_of(file: str) -> str:
        """The split that a file of this name belongs to: the rule that the stored splits are made by."""
        raise NotImplementedError

    @property
    def raw_dir(self) -> Path:
        """Folder of the raw files; only ever read."""
        return self._raw_dir

    @property
    def processed_dir(self) -> Path:
        """Folder of the processed files: that of the raw ones."""
        return self._raw_dir

    @property
    def raw_file_names(self) -> list[str]:
        """Names of this split's files, in the order of the items."""
        return list(self._sha256)

    @property
    def processed_file_names(self) -> list[str]:
        """The same: the raw files are used as they are."""
        return list(self._sha256)

    @property
    def data_hash(self) -> str:
        """SHA-256 over the sorted SHA-256 sums of the files: names exactly these data in a record of a result."""
        return hashlib.sha256("\n".join(sorted(self._sha256.values())).encode()).hexdigest()

    @property
    def recipe(self) -> Recipe:
        """Engine, functional and pseudopotential that made all the fields."""
        return Recipe(**read_manifest(self.name)["recipe"])

    def process(self) -> None:
        """Verify the checksum of every file of the split; items are otherwise verified at their first access.

        Raises:
            FieldFileError: a file is not the one that the split was made with.
        """
        for file, sha256 in self._sha256.items():
            verify_file(self.raw_dir / file, sha256)

    def len(self) -> int:
        """Number of fields."""
        return len(self._sha256)

    def get(self, idx: int) -> Sample:
        """The sample as stored, before the transform.

        Raises:
            FieldFileError: the file is damaged, or not the one that the split was made with.
        """
        file = self.raw_file_names[idx]
        verify_file(self.raw_dir / file, self._sha256[file])
        field = read_field(self.raw_dir / file)
        field = field.replace(meta={**field.meta, "file": f"{self.name}/{file}"})
        return Sample(field.structure, field)

    def __len__(self) -> int:
        return self.len()

    @overload
    def __getitem__(self, idx: int) -> Sample: ...
    @overload
    def __getitem__(self, idx: slice) -> FieldDataset: ...
    def __getitem__(self, idx: int | slice) -> Sample | FieldDataset:
        """The transformed sample at ``idx``, or the part of the dataset that a slice selects."""
        if isinstance(idx, slice):
            return self.subset(range(len(self))[idx])
        sample = self.get(idx)
        if self.transform is None:
            return sample
        field = self.transform(sample.field)
        return Sample(field.structure, field)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def subset(self, indices: Iterable[int]) -> FieldDataset:
        """The part of the dataset with these indices; its ``data_hash`` names exactly that part."""
        part, files = copy.copy(self), self.raw_file_names
        part._sha256 = {files[i]: self._sha256[files[i]] for i in indices}
        return part

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} fields, split={self.split!r})"

    def _require_files(self) -> None:
        missing = [file for file in self._sha256 if not (self.raw_dir / file).is_file()]
        if missing:
            raise ElfzooError(f"{self.raw_dir} lacks {len(missing)} of {len(self)} files, first {missing[0]}; {REMEDY}")


@functools.cache
def read_manifest(name: str) -> dict[str, Any]:
    """The stored splits of a dataset: its name, its recipe, and the files of each split with their SHA-256.

    Raises:
        ElfzooError: none are stored, because the data were not made yet.
    """
    stored = resources.files(__package__).joinpath("splits", f"{name}.json")
    if not stored.is_file():
        raise ElfzooError(
            f"{name} has no stored splits: make its data (elfzoo reference run {name} --out FOLDER/{name}), then the "
            "splits (python -m elfzoo.datasets.make_splits FOLDER)"
        )
    return json.loads(stored.read_text(encoding="utf-8"))


def find_raw_dir(name: str, root: str | Path | None) -> Path:
    """The folder of a dataset's files: the first of argument, environment variable and checkout that is given.

    Raises:
        ElfzooError: it is not there; there is no silent second choice.
    """
    source, folder = "source checkout", CHECKOUT_DATA
    if root is not None:
        source, folder = "root", Path(root).expanduser()
    elif os.environ.get(DATA_VARIABLE):
        source, folder = DATA_VARIABLE, Path(os.environ[DATA_VARIABLE]).expanduser()
    if not (folder / name).is_dir():
        raise ElfzooError(f"no folder {folder / name} ({source}); {REMEDY}")
    return folder / name


def name_part(file: str, pattern: str, kind: str, expected: str) -> str:
    """The first group of a regular expression that fits the whole name of a file.

    Args:
        file: the name.
        pattern: the regular expression.
        kind, expected: what the file is not if it does not fit, and what its name should look like.

    Raises:
        ElfzooError: it does not fit.
    """
    match = re.fullmatch(pattern, file)
    if match is None:
        raise ElfzooError(f"{file} is no {kind}; expected {expected}")
    return match[1]


@functools.cache  # once per process and file; a failure is not remembered
def verify_file(path: Path, sha256: str) -> None:
    """Compare a file with its SHA-256, once in a process.

    Raises:
        FieldFileError: it cannot be read, or it is another one.
    """
    found = hash_file(path)
    if found != sha256:
        raise FieldFileError(
            f"{path} is not the file that the split was made with (SHA-256 {found[:12]}…, expected {sha256[:12]}…); "
            "fetch it again, or rebuild the splits if you changed the data on purpose"
        )


def hash_file(path: Path) -> str:
    """SHA-256 of a file.

    Raises:
        FieldFileError: it cannot be read.
    """
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise FieldFileError(f"cannot read {path}: {error.strerror or error}") from error
