"""Who computes: this process, processes of this machine, or the workers of a Dask scheduler anywhere.

Structures are handed out in chunks of about a second's work, since each hand-out costs the scheduler and the client
some milliseconds, in which the worker waits. A worker computes them one after the other and writes each down, so that
its death costs one structure. Dask gives what a dead worker had to another one, which leaves out what is written down.
A chunk that kills worker after worker does so by its first structure that is not finished: that one is handed out
alone, and recorded as failed if it goes on killing.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from elfzoo.errors import ElfzooError
from elfzoo.screening.measure import failure
from elfzoo.screening.worker import Chunk, Item, Job, compute, compute_chunk, journal_of, split_finished
from elfzoo.threads import deaf_to_interrupts

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["INSTALL", "dask_client", "run_here", "run_on"]

INSTALL = "install it with: pip install 'elfzoo[screen]'"
COUNT_WORKERS_EVERY = 1.0  # seconds; they come and go
CHUNK_SECONDS, LARGEST_CHUNK = 1.0, 64  # of work, and structures, that are handed out at a time
CHUNKS_AT_THE_END = 4  # for each worker: the last ones are so small that none works long while others wait
CONNECT = 30  # seconds
# Dask has its workers give memory back at once: every larger array then is new pages, a tenth of a structure's time
MALLOC = {
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 64 * 2**20,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 32 * 2**20,
}
GONE = "the Dask scheduler is gone; what was finished is kept: run the same command again"


def run_here(job: Job, items: Iterable[Item]) -> Iterator[dict[str, Any]]:
    """The records of structures, computed one after the other in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(job.threads)
    try:
        for item in items:
            yield compute(job, item)
    finally:
        torch.set_num_threads(before)


def run_on(client: Client, job: Job, items: Iterable[Item], total: int) -> Iterator[dict[str, Any]]:
    """The records of structures, as the workers of a scheduler finish them.

    Args:
        client: of the scheduler.
        job: what is the same for all.
        items: the structures, read when there is a worker for them.
        total: how many they are.

    Raises:
        ElfzooError: a worker cannot work, or the scheduler is gone; what was finished is kept.
    """
    from distributed import as_completed

    run, slots, left = uuid.uuid4().hex[:8], _Slots(client), dict[str, Chunk]()
    chunks, futures = _Chunks(items, total), as_completed(loop=client.loop)

    def hand_out() -> None:
        while len(left) < slots.number() and (chunk := chunks.take(slots.number())):
            key = f"elfzoo-screen-{run}-{chunks.taken}-{chunk[0].hash}"
            future = client.submit(compute_chunk, job, chunk, key=key, pure=False)
            left[future.key] = chunk
            futures.add(future)

    hand_out()
    for future in futures:
        records, unfinished = _records(future, job, left.pop(future.key))
        chunks.learn(records)
        chunks.again += unfinished
        hand_out()
        yield from records


class _Chunks:
    """Structures in groups that take a worker about a second; smaller at the end, where others would wait for it."""

    def __init__(self, items: Iterable[Item], total: int):
        self.items, self.left, self.taken = iter(items), total, 0
        self.again: list[Chunk] = []
        self.seconds, self.measured = 0.0, 0

    def take(self, slots: int) -> Chunk:
        """The next ones; none where there are no more."""
        self.taken += 1
        if self.again:
            return self.again.pop()
        chunk = tuple(islice(self.items, self._size(slots)))
        self.left -= len(chunk)
        return chunk

    def learn(self, records: Sequence[Mapping[str, Any]]) -> None:
        """How long structures take."""
        self.seconds += sum(record.get("seconds") or 0.0 for record in records)
        self.measured += len(records)

    def _size(self, slots: int) -> int:
        if not self.measured:
            return 1
        in_time = CHUNK_SECONDS / max(self.seconds / self.measured, CHUNK_SECONDS / LARGEST_CHUNK)
        return max(1, int(min(in_time, self.left / (CHUNKS_AT_THE_END * slots))))


class _Slots:
    """How many structures the workers can have at a time; at least one, so that the first to come has work."""

    def __init__(self, client: Client):
        self.client, self.count, self.counted = client, 1, -float("inf")

    def number(self) -> int:
        if time.monotonic() - self.counted > COUNT_WORKERS_EVERY:
            try:
                self.count = max(1, sum(self.client.nthreads().values()))
            except OSError:
                raise ElfzooError(GONE) from None
            self.counted = time.monotonic()
        return self.count


def _records(future: Any, job: Job, chunk: Chunk) -> tuple[list[dict[str, Any]], list[Chunk]]:
    """What has come of a chunk, and what of it is to be handed out again."""
    from distributed import KilledWorker

    try:
        return future.result(), []
    except Exception as raised:
        error = raised
    if future.status != "error":  # cancelled, for nobody is left to ask
        raise ElfzooError(GONE)
    if not isinstance(error, KilledWorker):
        raise error if isinstance(error, ElfzooError) else ElfzooError(f"a worker failed: {error!r}")
    finished, unfinished = split_finished(job, chunk)
    if len(chunk) > 1:
        return finished, [part for part in (unfinished[1:], unfinished[:1]) if part]
    record = {"hash": chunk[0].hash, **failure("every worker that computed it was killed (memory?)")}
    journal_of(job.folder).add(record)
    return [record], []


@contextmanager
def dask_client(workers: int, scheduler: str | None) -> Iterator[Client]:
    """A client of the scheduler at an address, or of one for this machine with a number of processes.

    Dask's own account of what happens to its connections is not shown: its errors come out as one of ours.

    Raises:
        ElfzooError: Dask is not installed, or no scheduler answers.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise ElfzooError(f"several workers need Dask distributed; {INSTALL}") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    if scheduler is None:
        settings = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": "ERROR"}
        with deaf_to_interrupts(), dask.config.set(MALLOC):
            cluster = LocalCluster(**settings)
        with cluster, Client(cluster, set_as_default=False) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ElfzooError(f"no Dask scheduler answers at {scheduler}: {error}") from None
    with client:
        yield client
