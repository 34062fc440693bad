"""Structures that another data set holds already: labelled again for another quantity, relaxed no more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from pymatgen.core import Structure

from elfzoo.config import config_class
from elfzoo.errors import ElfzooError
from elfzoo.io.npz import read_record
from elfzoo.reference.candidate import Candidate, StructureSource

__all__ = ["DatasetSource", "source_facts", "stored_structures"]

KEPT = ("crystal_system", "strain", "volume_ratio", "prototype", "temperature_K", "target_pressure_GPa")


@config_class
class DatasetSource(StructureSource):
    """The structures of a data set as they are stored, under the same names, so that the rule of its splits holds.

    Args:
        dataset: its name; found where :class:`elfzoo.datasets.FieldDataset` looks, ``$ELFZOO_DATA`` or the checkout.
        most_atoms: larger cells are left out.
    """

    only_choose: ClassVar[tuple[str, ...]] = ("most_atoms",)
    kind: Literal["dataset"]
    dataset: str
    most_atoms: int | None = None

    def candidates(self, out: Path) -> list[Candidate]:
        """In the order of cost: cells with few atoms first.

        Raises:
            ElfzooError: the data set is not there, or has no structure that is small enough.
        """
        found = sorted(self._found(), key=lambda item: (len(item[1]), item[0].name))
        if not found:
            raise ElfzooError(f"no structure of {self.dataset} has at most {self.most_atoms} atoms")
        return [self._candidate(*item) for item in found]

    def _found(self) -> Iterator[tuple[Path, Structure, dict[str, Any]]]:
        for path, structure, meta in stored_structures(self.dataset):
            if self.most_atoms is None or len(structure) <= self.most_atoms:
                yield path, structure, meta

    def _candidate(self, path: Path, structure: Structure, meta: Mapping[str, Any]) -> Candidate:
        facts = source_facts(self.dataset, path, meta)
        return Candidate(
            name=path.stem,
            group=str(meta.get("group", path.stem)),
            origin=f"{meta.get('origin', 'origin not stated')}; the structure stored in {facts['source_file']}",
            make=partial(_copy, structure),
            facts=facts,
        )


def stored_structures(dataset: str) -> Iterator[tuple[Path, Structure, dict[str, Any]]]:
    """File, structure and metadata of each field of a data set, by name.

    Raises:
        ElfzooError: the data set is not there.
    """
    from elfzoo.datasets.base import find_raw_dir

    for path in sorted(find_raw_dir(dataset, None).glob("*.npz")):
        yield path, *read_record(path)


def source_facts(dataset: str, path: Path, meta: Mapping[str, Any]) -> dict[str, Any]:
    """What a structure inherits from the file that it was stored in, and which file that is."""
    return {key: meta[key] for key in KEPT if key in meta} | {
        "source_file": f"{dataset}/{path.name}",
        "source_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "source_recipe_hash": meta.get("recipe_hash"),
    }


def _copy(structure: Structure, _: Mapping[str, Structure]) -> Structure:
    return structure.copy()
