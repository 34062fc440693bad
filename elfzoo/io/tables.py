"""Tables that grow row by row while a long job runs, and go on where it stopped."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elfzoo.errors import ElfzooError
from elfzoo.io.files import append, write_bytes

__all__ = ["RowTable"]


class RowTable:
    """Rows of a CSV file, each there as soon as it is known; with ``resume`` those of an earlier run are kept.

    Args:
        path: ends in .csv.
        columns: names, of which ``key`` tell rows apart.
        key: names of the columns that name a row.
        resume: go on with a file that is there; else it is refused, for hours of work may be in it.
        same: values of columns that all rows have: rows of others are not gone on with.
        failed: name of a column that is filled where a row could not be had: the like of it is added again.

    Attributes:
        earlier: whole rows that were there, as text by column.

    Raises:
        ElfzooError: another suffix, a file that is there without ``resume``, or one with other columns.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        key: Sequence[str],
        resume: bool,
        same: Mapping[str, Any] | None = None,
        failed: str | None = None,
    ):
        if path.suffix.lower() != ".csv":
            raise ElfzooError(f"a table that grows ends in .csv; got {path}")
        self.path, self.columns, self.key = path, list(columns), list(key)
        rows = self._earlier(resume) if path.exists() else []
        for name, value in (same or {}).items():
            if others := sorted({row[name] for row in rows} - {_cell(value)}):
                raise ElfzooError(
                    f"{path} was made with {name} {', '.join(others)}, not {_cell(value)}; choose another name"
                )
        self.earlier = rows
        self.done = {tuple(row[name] for name in self.key) for row in rows if failed is None or not row[failed]}
        write_bytes(path, [_bytes([self.columns, *([row[name] for name in self.columns] for row in rows)])])

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one row; it is on the disk when this returns, and nothing of it where that fails (OSError)."""
        append(self.path, _bytes([[_cell(row[name]) for name in self.columns]]))

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a row with this key is there already."""
        return tuple(_cell(row[name]) for name in self.key) in self.done

    def _earlier(self, resume: bool) -> list[dict[str, str]]:
        """Whole rows of an earlier run; one that was cut off by a kill is done again."""
        if not resume:
            raise ElfzooError(f"{self.path} is there already; go on with it (resume=True) or choose another name")
        text = self.path.read_text(encoding="utf-8", errors="surrogateescape")
        whole = text[: text.rfind("\n") + 1]
        reader = csv.DictReader(io.StringIO(whole))
        if reader.fieldnames is not None and list(reader.fieldnames) != self.columns:
            raise ElfzooError(
                f"{self.path} has the columns {', '.join(reader.fieldnames)}; expected {', '.join(self.columns)}"
            )
        return [row for row in reader if None not in row and None not in row.values()]


def _bytes(rows: Sequence[Sequence[Any]]) -> bytes:
    """Names of files may be any bytes, and are written as they are."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.8g}"
    return json.dumps(value) if isinstance(value, bool | list) else str(value)
