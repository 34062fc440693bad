"""A screening from beginning to end: read, leave out what is there, compute the rest, judge, write the table."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from elfzoo._version import __version__
from elfzoo.card import Card, read_card
from elfzoo.config import parse, to_dict
from elfzoo.errors import ElfzooError, QuantityError
from elfzoo.hub.load import locate
from elfzoo.posterior import UNCERTAINTY, find_posterior
from elfzoo.progress import progress_bar
from elfzoo.screening.catalogue import Entry, catalogue, read_again
from elfzoo.screening.engines import dask_client, run_here, run_on
from elfzoo.screening.inputs import find_files
from elfzoo.screening.journal import read_journals
from elfzoo.screening.measure import failure
from elfzoo.screening.settings import ScreenSettings, keep_settings
from elfzoo.screening.table import require_parquet, write_table
from elfzoo.screening.verdict import Criterion, unknown_elements
from elfzoo.screening.worker import Job, item_of, journal_of

__all__ = ["Part", "Screening", "Work", "screen", "work_folder"]

DEATHS = 3  # of a process at one structure, after which the structure is left


@dataclass(frozen=True)
class Part:
    """The ``number``-th (from 1) of ``of`` parts of the files, for jobs that know nothing of each other."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ElfzooError(f"parts are counted from 1 to {self.of}; got {self.number}")

    def take(self, files: Sequence[Path]) -> list[Path]:
        """Every ``of``-th file."""
        return list(files[self.number - 1 :: self.of])

    @property
    def text(self) -> str:
        """Such as ``3/8``."""
        return f"{self.number}/{self.of}"

    def name(self, path: Path) -> Path:
        """``results.part-3-of-8.parquet``; the path itself where there is one part."""
        return path if self.of == 1 else path.with_name(f"{path.stem}.part-{self.number}-of-{self.of}{path.suffix}")


@dataclass(frozen=True)
class Work:
    """Who does the work.

    Args:
        workers: processes of this machine, which share its cores.
        scheduler: address of a Dask scheduler, such as ``"tcp://node7:8786"``; its workers do it then.
        threads: of each worker; by default its share of the cores, and 1 for those of a scheduler.
        part: of the files.
        retry_failed: compute again what failed before.
    """

    workers: int = 1
    scheduler: str | None = None
    threads: int | None = None
    part: Part = Part()
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1 or (self.threads is not None and self.threads < 1):
            raise ElfzooError(f"at least one worker and one thread are needed; got {self.workers}, {self.threads}")

    @property
    def threads_of_each(self) -> int:
        """Threads of each worker, whether stated or not."""
        if self.threads is not None:
            return self.threads
        return 1 if self.scheduler is not None else max(1, torch.get_num_threads() // self.workers)


@dataclass(frozen=True)
class Screening:
    """What a run did.

    Attributes:
        path: of the table.
        rows: structures in it.
        computed: structures computed by this run.
        duplicates: rows whose structure is in an earlier row.
        statuses: how many rows are done, partial, failed.
        verdicts: how many pass, fail, abstain.
    """

    path: Path
    rows: int
    computed: int
    duplicates: int
    statuses: Mapping[str, int]
    verdicts: Mapping[str, int]


def work_folder(out: Path) -> Path:
    """Where a screening keeps what is done: ``results.parquet.work`` beside ``results.parquet``."""
    return out.with_name(out.name + ".work")


def screen(
    sources: Iterable[str | Path],
    model: str | Path,
    out: str | Path,
    *,
    index: str = "-1",
    threshold: float | None = None,
    margin: float = 0.0,
    work: Work = Work(),
    progress: bool | None = None,
    **settings: Any,
) -> Screening:
    """Networking value, critical points and verdict of many structures, as a Parquet table of one row for each.

    The same call again goes on where an earlier one was stopped, takes in structures that are new, and computes nothing
    that is finished; ``threshold`` and ``margin`` may change, settings may not. Everything is kept in
    :func:`work_folder`.

    The columns: ``file, frame``; ``hash`` (:func:`~elfzoo.screening.structure_hash`) and ``duplicate``, whether an
    earlier row has the same; ``formula, atoms, volume`` (Å³); ``status``: done, partial (no critical points) or failed,
    and ``message``; ``verdict``: pass, fail, abstain, or null without threshold or φ, and ``reason``; ``phi`` to
    ``at_saddle`` as in :class:`~elfzoo.analysis.Networking`; ``maxima, bond_saddles, ring_saddles, minima``: numbers of
    (3,-3), (3,-1), (3,+1), (3,+3) points per cell; ``morse_sum, morse_reason``; ``uncertainty``: the model's error of
    φ, null without ``members``; ``unknown_elements``: not in its training data; ``outside``: in what ways volume and
    distances are beyond those; ``grid``; ``seconds``, ``worker`` and ``elfzoo`` (version) of the computation.

    Args:
        sources: files, folders and lists of files (:func:`~elfzoo.screening.find_files`).
        model: name of a release, folder, or repository on the Hub.
        out: ends in .parquet.
        index: frames of trajectories, as ASE counts them.
        threshold: of φ, to pass.
        margin: ELF, added to the error of φ where it is judged.
        work: who does it, and which part.
        progress: show a bar; by default in a terminal.
        settings: ``spacing, phi_spacing, persistence, symmetry, members`` of :class:`~elfzoo.screening.ScreenSettings`.

    Raises:
        ElfzooError: nothing to screen, no such model or one of densities, another run's output, no workers, or members
            of a model without an uncertainty.
    """
    out = Path(out)
    require_parquet(out)
    card, source = _model(model)
    identity = {
        "model": card.name,
        "weights_sha256": card.weights_sha256,
        "config_sha256": _sha256(json.dumps(card.config, sort_keys=True).encode()),
    }
    chosen = parse(ScreenSettings, identity | settings, where="screening")
    if chosen.members:
        folder, _ = locate(model)
        if find_posterior(folder, card.weights_sha256) is None:
            raise ElfzooError(f"{card.name} comes without an uncertainty; expected members=0, or a model that has one")
        chosen = replace(chosen, uncertainty_sha256=_sha256((folder / UNCERTAINTY).read_bytes()))
    criterion = Criterion(threshold, margin, card.elements)
    files, folder = work.part.take(find_files(sources)), work_folder(out)
    if out.exists() and not folder.is_dir():
        raise ElfzooError(f"{out} is there, but not {folder}, which it would go on from; choose another output")
    keep_settings(chosen, folder)
    entries = catalogue(files, index, folder / "index", progress, work.retry_failed)
    alone = work.scheduler is None and work.workers == 1  # who survives its workers counts their deaths itself
    job = Job(source, str(folder.resolve()), chosen, work.threads_of_each, work.part.text if alone else None)
    _give_up(job)
    records = _records(folder)
    todo = {e.hash for e in entries if e.hash is not None and _is_open(records.get(e.hash), work.retry_failed)}
    items = (item_of(*found) for found in read_again(files, index, entries, todo))
    records |= _computed(job, items, len(todo), work, progress)
    rows = list(_rows(entries, records, criterion))
    table = work.part.name(out)
    facts = {"settings": to_dict(chosen), "criterion": asdict(criterion), "index": index, "elfzoo": __version__}
    write_table(table, rows, facts)
    return _summary(table, rows, len(todo))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _model(model: str | Path) -> tuple[Card, str]:
    """The card, and what a worker loads the model by."""
    folder, _ = locate(model)
    card = read_card(folder)
    if card.target.given != "elf":
        raise QuantityError(f"{card.name} predicts {card.target.given}; networking values need a model of ELF")
    return card, str(folder.resolve()) if folder.resolve() == Path(model).resolve() else str(model)


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    """What is finished, by hash; a success counts, whatever failed before or after it."""
    found: dict[str, dict[str, Any]] = {}
    for record in read_journals(folder / "results"):
        hash = record.get("hash")
        if hash is not None and (hash not in found or found[hash]["status"] == "failed"):
            found[hash] = record
    return found


def _give_up(job: Job) -> None:
    """Record what this process died of several times as failed, so that the next one comes past it.

    Of a process that computes alone: others may be at the same structure at this moment.
    """
    if job.part is None:
        return
    begun, ended = Counter[str](), set[str]()
    for record in read_journals(Path(job.folder) / "results"):
        ended.add(record.get("hash", ""))
        if record.get("part") == job.part:
            begun[record.get("started", "")] += 1
            begun[record.get("interrupted", "")] -= 1
    for hash, times in begun.items():
        if hash and times >= DEATHS and hash not in ended:
            message = f"the process ended {times} times while it computed this structure (memory?)"
            journal_of(job.folder).add({"hash": hash, **failure(message)})


def _is_open(record: Mapping[str, Any] | None, retry_failed: bool) -> bool:
    return record is None or (retry_failed and record["status"] == "failed")


def _computed(job: Job, items: Iterator[Any], total: int, work: Work, progress: bool | None) -> dict[str, Any]:
    """The records of this run, by hash; no worker is started for nothing."""
    if total == 0:
        return {}
    with ExitStack() as stack:
        if job.part is not None:
            records = run_here(job, items)
        else:
            client = stack.enter_context(dask_client(min(work.workers, total), work.scheduler))
            records = run_on(client, job, items, total)
        advance, found = stack.enter_context(progress_bar("screening", total, progress)), {}
        for record in records:
            found[record["hash"]] = record
            advance(1)
    return found


def _rows(
    entries: Iterable[Entry], records: Mapping[str, Mapping[str, Any]], criterion: Criterion
) -> Iterator[dict[str, Any]]:
    seen = set[str]()
    for entry in entries:
        if entry.hash is None:
            yield {**asdict(entry), "duplicate": False, "status": "failed"}
            continue
        record, formula = records[entry.hash], str(entry.formula)
        verdict, reason = criterion.judge(formula, record)
        unknown = " ".join(unknown_elements(formula, criterion.elements)) or None
        judged = {"verdict": verdict, "reason": reason, "unknown_elements": unknown, "duplicate": entry.hash in seen}
        seen.add(entry.hash)
        yield {**asdict(entry), **record, **judged}


def _summary(path: Path, rows: Sequence[Mapping[str, Any]], computed: int) -> Screening:
    statuses = Counter(row["status"] for row in rows)
    verdicts = Counter(row["verdict"] for row in rows if row.get("verdict") is not None)
    return Screening(path, len(rows), computed, sum(row["duplicate"] for row in rows), dict(statuses), dict(verdicts))
