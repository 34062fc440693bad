"""Records that are on the disk as soon as they are known, of many processes at once and whatever is killed when."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Journal", "read_journals"]


class Journal:
    """One process's own file of JSON lines in a shared folder, made when the first line is written.

    No two processes write to one file, so nothing has to be locked, and a kill can only cut the last line short.

    Args:
        folder: of the journals of all processes; made if needed.
    """

    def __init__(self, folder: Path):
        self.writer = f"{socket.gethostname()}-{os.getpid()}"
        self.path = folder / f"{self.writer}-{uuid.uuid4().hex[:8]}.jsonl"
        self._lock = threading.Lock()

    def add(self, record: Mapping[str, Any], durable: bool = True) -> None:
        """Append a record; it is on the disk when this returns, or at the system's leisure where not ``durable``."""
        line = (json.dumps(record) + "\n").encode()
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as handle:
                handle.write(line)
                handle.flush()
                if durable:
                    os.fsync(handle.fileno())


def read_journals(folder: Path) -> Iterator[dict[str, Any]]:
    """Every whole record in a folder of journals; what a kill or a full disk cut short counts as not finished."""
    for path in sorted(folder.glob("*.jsonl")):
        with open(path, "rb") as handle:
            for line in handle:
                with contextlib.suppress(ValueError):  # of JSON, or of UTF-8
                    yield json.loads(line)
