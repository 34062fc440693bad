"""The result as Parquet: one row per structure, what was asked for in the file's metadata."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from elfzoo.errors import ElfzooError
from elfzoo.screening.engines import INSTALL

__all__ = ["COLUMNS", "METADATA", "read_facts", "require_parquet", "write_table"]

METADATA = b"elfzoo.screen"
ROW_GROUP = 50_000  # rows held in memory at a time

# Name -> type; every one may be null. `elfzoo.screening.screen` says what they mean.
COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        **{"file": "string", "frame": "int32", "hash": "string", "duplicate": "bool"},
        **{"formula": "string", "atoms": "int32", "volume": "float64", "status": "string", "message": "string"},
        **{"verdict": "string", "reason": "string"},
        **dict.fromkeys(("phi", "phi_error", "phi_1d", "phi_2d", "phi_h", "phi_star"), "float64"),
        **{"exact": "bool", "at_saddle": "bool"},
        **dict.fromkeys(("maxima", "bond_saddles", "ring_saddles", "minima", "morse_sum"), "int32"),
        **{"morse_reason": "string", "uncertainty": "float64"},
        **dict.fromkeys(("unknown_elements", "outside", "grid"), "string"),
        **{"seconds": "float64", "worker": "string", "elfzoo": "string"},
    }
)


def require_parquet(path: Path) -> None:
    """Refuse what could not be written at the end, before the work begins.

    Raises:
        ElfzooError: pyarrow is not installed, another suffix, or no folder.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ElfzooError(f"Parquet files need pyarrow; {INSTALL}") from None
    if path.suffix.lower() != ".parquet":
        raise ElfzooError(f"the result of a screening ends in .parquet; got {path}")
    if not path.absolute().parent.is_dir():
        raise ElfzooError(f"cannot write {path}: there is no folder {path.parent}")


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """Write rows with the columns ``COLUMNS``; the file appears whole or not at all.

    Args:
        path: ends in .parquet.
        rows: values that are missing are null.
        facts: JSON values for the file's metadata, under ``METADATA``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = [pa.field(name, pa.type_for_alias(kind)) for name, kind in COLUMNS.items()]
    schema = pa.schema(types, metadata={METADATA: json.dumps(facts).encode()})
    rows = iter(rows)
    with _replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        while group := list(islice(rows, ROW_GROUP)):
            columns = {name: [_cell(row.get(name)) for row in group] for name in COLUMNS}
            writer.write_table(pa.table(columns, schema=schema))


def read_facts(path: str | Path) -> dict[str, Any]:
    """The facts that :func:`write_table` was given."""
    import pyarrow.parquet as pq

    return json.loads(pq.read_schema(path).metadata[METADATA])


def _cell(value: Any) -> Any:
    """Names of files may hold bytes that are no UTF-8, and Parquet may not."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of ``path`` at the end."""
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
