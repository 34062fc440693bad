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

from elfzoo.io.files import append

__all__ = ["Journal", "Ledger", "read_journals"]


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
        """Append a record, whole or not at all; on the disk when this returns, or at the system's leisure where not
        ``durable``.
        """
        line = (json.dumps(record) + "\n").encode()
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append(self.path, line, durable)


def read_journals(folder: Path) -> Iterator[dict[str, Any]]:
    """Every whole record in a folder of journals; what a kill or a full disk cut short counts as not finished."""
    for path in sorted(folder.glob("*.jsonl")):
        for _, record in _records(path, 0):
            yield record


class Ledger:
    """What all processes have written about each structure, read on as they write more.

    Args:
        folder: of the journals.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._read: dict[Path, int] = {}  # bytes of each journal
        self._places: dict[str, tuple[Path, int]] = {}  # of the last record of each hash, which may be many

    def find(self, hash: str) -> dict[str, Any] | None:
        """The last record of a structure."""
        for path in self.folder.glob("*.jsonl"):
            size = path.stat().st_size
            if size < self._read.get(path, 0):  # another file under this name: the run was begun anew
                self._read.pop(path)
            if size > self._read.get(path, 0):
                self._read_on(path)
        if hash not in self._places:
            return None
        with contextlib.suppress(OSError, StopIteration):
            _, record = next(_records(*self._places[hash]))
            if record.get("hash") == hash:
                return record
        del self._places[hash]  # gone with its file
        return None

    def _read_on(self, path: Path) -> None:
        start = self._read.get(path, 0)
        for end, record in _records(path, start):
            if "hash" in record:
                self._places[record["hash"]] = (path, start)
            start = self._read[path] = end


def _records(path: Path, start: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Whole records from a position on, and where each ends; a line that is cut short, or not one, is passed over."""
    with open(path, "rb") as handle:
        handle.seek(start)
        for line in handle:
            start += len(line)
            with contextlib.suppress(ValueError):  # of JSON, or of UTF-8
                yield start, json.loads(line)
