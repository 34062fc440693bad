"""A computation that kills the process it runs in, for the workers of ``test_kill.py``."""

from __future__ import annotations

import os
import signal
from typing import Any

from elfzoo.screening.worker import Chunk, Item, Job, journal_of, split_finished

__all__ = ["dies_of_bad"]


def dies_of_bad(job: Job, chunk: Chunk) -> list[dict[str, Any]]:
    finished, unfinished = split_finished(job, chunk)
    return [*finished, *(_done_unless_bad(job, item) for item in unfinished)]


def _done_unless_bad(job: Job, item: Item) -> dict[str, Any]:
    if item.hash == "bad":
        os.kill(os.getpid(), signal.SIGKILL)
    record = {"hash": item.hash, "status": "done"}
    journal_of(job.folder).add(record)
    return record
