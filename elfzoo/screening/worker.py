"""What a process does for each structure: compute it, and have the result on the disk before it is reported.

The writing is the worker's own business, not that of the process which hands out the work: whoever is killed, what was
finished is kept. A worker that is killed costs the structure that it was at: what it had finished and not yet reported
is handed out again by Dask, and found in its journal.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure

from elfzoo._version import __version__
from elfzoo.config import to_dict
from elfzoo.errors import ElfzooError
from elfzoo.hub import load_pretrained
from elfzoo.models.base import Model
from elfzoo.screening.journal import Journal, Ledger
from elfzoo.screening.measure import measure
from elfzoo.screening.settings import ScreenSettings, changed, read_settings
from elfzoo.structure import structure_from

__all__ = ["Chunk", "Item", "Job", "compute", "compute_chunk", "item_of", "journal_of", "split_finished"]


@dataclass(frozen=True)
class Job:
    """What is the same for all structures of a run.

    Args:
        source: what the model is loaded by: a name, or a folder (absolute).
        folder: of the run (absolute), on a file system that all workers share.
        settings: what is computed.
        threads: of each worker.
        part: of the files, where the process that hands them out computes them itself.
    """

    source: str
    folder: str
    settings: ScreenSettings
    threads: int = 1
    part: str | None = None


@dataclass(frozen=True, eq=False)
class Item:
    """One structure as it travels: its hash, lattice (rows, Å), atomic numbers and fractional coordinates."""

    hash: str
    lattice: np.ndarray
    numbers: np.ndarray
    frac_coords: np.ndarray


Chunk = tuple[Item, ...]  # handed out together


def item_of(hash: str, structure: Structure) -> Item:
    """A structure, packed."""
    return Item(hash, structure.lattice.matrix, np.array(structure.atomic_numbers), structure.frac_coords)


def compute(job: Job, item: Item) -> dict[str, Any]:
    """The record of one structure, which is in the worker's journal when this returns.

    Raises:
        ElfzooError: the worker cannot work at all: it does not see the folder of the run, or cannot load the model.
    """
    model, journal = _model(job), journal_of(job.folder)
    journal.add({"started": item.hash, "part": job.part}, durable=False)  # tells afterwards what a process died of
    structure = structure_from(item.lattice, item.numbers, item.frac_coords)
    try:
        record = {"hash": item.hash, **measure(model, structure, job.settings)}
    except KeyboardInterrupt:
        journal.add({"interrupted": item.hash, "part": job.part}, durable=False)  # which is not its fault
        raise
    record |= {"worker": journal.writer, "elfzoo": __version__}
    journal.add(record)
    return record


def compute_chunk(job: Job, chunk: Chunk) -> list[dict[str, Any]]:
    """:func:`compute` what no worker has finished: the journals tell what a dead one could not report.

    A failure is computed again, since it may be one of an earlier run.
    """
    finished, unfinished = split_finished(job, chunk)
    return [*finished, *(compute(job, item) for item in unfinished)]


def split_finished(job: Job, chunk: Chunk) -> tuple[list[dict[str, Any]], Chunk]:
    """The records of what is finished, whoever did it, and what is not."""
    found = {item: _ledger_of(job.folder).find(item.hash) for item in chunk}
    finished = {item: record for item, record in found.items() if record is not None and record["status"] != "failed"}
    return list(finished.values()), tuple(item for item in chunk if item not in finished)


@functools.lru_cache(maxsize=1)
def _model(job: Job) -> Model:
    try:
        there = read_settings(Path(job.folder))
    except ElfzooError as error:
        raise ElfzooError(
            f"a worker does not see the folder of this run; the output must be on a disk that it shares ({error})"
        ) from None
    if changed(there, to_dict(job.settings)):
        raise ElfzooError(f"a worker sees other settings in {job.folder} than this run has; is the disk shared?")
    torch.set_num_threads(job.threads)
    try:
        model = load_pretrained(job.source)
    except Exception as error:  # some exceptions do not survive the way back to the client
        raise ElfzooError(f"a worker cannot load {job.source}: {error}") from None
    found = None if model.card is None else model.card.weights_sha256
    if found != job.settings.weights_sha256:
        raise ElfzooError(f"a worker loads other weights by {job.source} than this run has: sha256 {found}")
    return model


@functools.lru_cache(maxsize=4)
def journal_of(folder: str) -> Journal:
    """This process's journal of results in the folder of a run."""
    return Journal(_results(folder))


@functools.lru_cache(maxsize=4)
def _ledger_of(folder: str) -> Ledger:
    return Ledger(_results(folder))


def _results(folder: str) -> Path:
    return Path(folder) / "results"
