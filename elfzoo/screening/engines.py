"""Who computes: this process, processes of this machine, or the workers of a Dask scheduler anywhere.

Structures are handed out one to a worker, so that a worker's death costs one structure and blames no other. Dask gives
what a dead worker had to another one; a structure that kills worker after worker is recorded as failed.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from elfzoo.errors import ElfzooError
from elfzoo.screening.measure import failure
from elfzoo.screening.worker import Item, Job, compute, compute_once, journal_of
from elfzoo.threads import deaf_to_interrupts

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["INSTALL", "dask_client", "run_here", "run_on"]

INSTALL = "install it with: pip install 'elfzoo[screen]'"
COUNT_WORKERS_EVERY = 1.0  # seconds; they come and go
CONNECT = 30  # seconds
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


def run_on(client: Client, job: Job, items: Iterable[Item]) -> Iterator[dict[str, Any]]:
    """The records of structures, as the workers of a scheduler finish them.

    Raises:
        ElfzooError: a worker cannot work, or the scheduler is gone; what was finished is kept.
    """
    from distributed import as_completed

    items, run, left = iter(items), uuid.uuid4().hex[:8], dict[str, str]()
    slots, futures = _Slots(client), as_completed(loop=client.loop)

    def hand_out() -> None:
        for item in islice(items, max(0, slots.number() - len(left))):
            future = client.submit(compute_once, job, item, key=f"elfzoo-screen-{run}-{item.hash}", pure=False)
            left[future.key] = item.hash
            futures.add(future)

    hand_out()
    for future in futures:
        yield _record(future, job, left.pop(future.key))
        hand_out()


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


def _record(future: Any, job: Job, hash: str) -> dict[str, Any]:
    from distributed import KilledWorker

    try:
        return future.result()
    except Exception as raised:
        error = raised
    if future.status != "error":  # cancelled, for nobody is left to ask
        raise ElfzooError(GONE)
    if not isinstance(error, KilledWorker):
        raise error if isinstance(error, ElfzooError) else ElfzooError(f"a worker failed: {error!r}")
    record = {"hash": hash, **failure("every worker that computed it was killed (memory?)")}
    journal_of(job.folder).add(record)
    return record


@contextmanager
def dask_client(workers: int, scheduler: str | None) -> Iterator[Client]:
    """A client of the scheduler at an address, or of one for this machine with a number of processes.

    Dask's own account of what happens to its connections is not shown: its errors come out as one of ours.

    Raises:
        ElfzooError: Dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise ElfzooError(f"several workers need Dask distributed; {INSTALL}") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    if scheduler is None:
        settings = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": "ERROR"}
        with deaf_to_interrupts():
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
