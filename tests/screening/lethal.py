"""A computation that kills the process it runs in, for the workers of ``test_kill.py``."""

from __future__ import annotations

import os
import signal
from typing import Any

from elfzoo.screening.worker import Item, Job

__all__ = ["dies_of_bad"]


def dies_of_bad(job: Job, item: Item) -> dict[str, Any]:
    if item.hash == "bad":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"hash": item.hash, "status": "done"}
