"""Records: one JSON file per entrant and task, with everything that a result needs to be checked and repeated."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import elfzoo
from elfzoo._version import __version__
from elfzoo.errors import ElfzooError
from elfzoo.field import Field, read_field
from elfzoo.io.files import write_bytes
from elfzoo.transforms import fused

__all__ = [
    "CHECKOUT_RESULTS",
    "begin",
    "default_results",
    "environment",
    "kept_prediction",
    "prediction_path",
    "read_record",
    "read_records",
    "record_path",
    "run_folder",
    "write_json",
]

CHECKOUT_RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
NUMBERS = re.compile(r'\[\n\s*([^]["{}]+?)\n\s*\]')  # a list in indented JSON; no string has a line break
KEYS = ("model", "task", "split", "metrics", "data_sha256")


def environment() -> dict[str, str]:
    """Date, versions and hardware of a record."""
    return {
        "date": datetime.date.today().isoformat(),
        "elfzoo": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hardware": f"{_processor()}, {os.cpu_count()} cores, kernel {fused.instruction_set()}",
    }


@cache
def _processor() -> str:
    """Its kind, and where the system tells it its name: sums differ in their last digits from one to another."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{platform.machine()}, {line.partition(':')[2].strip()}"
    return platform.machine()


def begin(place: Path, identity: Mapping[str, Any], parts: Sequence[str]) -> None:
    """Go on in a run's folder, or forget what is there of another run.

    Args:
        place: the folder.
        identity: JSON values of everything that decides the rows, but for the code and its environment.
        parts: subfolders to forget.
    """
    there = {key: value for key, value in environment().items() if key != "date"} | {"code_sha256": _code()}
    wanted = json.loads(json.dumps(dict(identity) | there))
    path = place / "run.json"
    try:
        if json.loads(path.read_text()) == wanted:
            return
    except (OSError, ValueError):  # none, or a damaged one
        pass
    for part in parts:
        shutil.rmtree(place / part, ignore_errors=True)
    write_json(path, wanted)


@cache
def _code() -> str:
    """SHA-256 of elfzoo's own Python files and compiled kernels."""
    root, found = Path(elfzoo.__file__).parent, hashlib.sha256()
    for path in sorted(path for suffix in ("py", "so") for path in root.rglob(f"*.{suffix}")):
        found.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return found.hexdigest()


def record_path(results: Path, task: str, model: str, split: str = "test") -> Path:
    """Where the record of an entrant on a task lies: ``TASK/MODEL.json``, or ``TASK-val/MODEL.json``."""
    return results / _task_folder(task, split) / f"{model}.json"


def run_folder(work: Path, task: str, model: str, split: str = "test") -> Path:
    """Where an entrant is run on a task: ``MODEL/TASK``, or ``MODEL/TASK-val``."""
    return work / model / _task_folder(task, split)


def prediction_path(run: Path, structure: str) -> Path:
    """Where a run keeps its prediction of a structure, named as its reference without the suffix."""
    return run / "predictions" / f"{structure}.npz"


def kept_prediction(path: Path, sha256: str | None) -> Field:
    """The prediction that was measured, as a run left it.

    Args:
        path: of :func:`prediction_path`.
        sha256: ``prediction_sha256`` of the structure's row.

    Raises:
        ElfzooError: it was not kept, or what is there is of another run.
    """
    if not path.is_file():
        raise ElfzooError("its prediction was not kept")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ElfzooError("the prediction that was kept is of another run than the record")
    return read_field(path)


def write_json(path: Path, row: Mapping[str, Any]) -> None:
    """A record, whole or not at all; its folder is made. A structure takes one line, and so does a list of numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f" {_json(key)}: {_value(value)}" for key, value in row.items()]
    write_bytes(path, [("{\n" + ",\n".join(lines) + "\n}\n").encode()])


def default_results() -> Path:
    """Folder of the records where none is named: a checkout's, else ``results``."""
    return CHECKOUT_RESULTS if CHECKOUT_RESULTS.is_dir() else Path("results")


def read_record(path: Path) -> dict[str, Any]:
    """One record.

    Raises:
        ElfzooError: no JSON, or no record.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ElfzooError(f"no record {path}; elfzoo benchmark makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ElfzooError(f"{path} is no record: {error}") from None
    missing = [key for key in KEYS if not (isinstance(found, dict) and key in found)]
    if missing:
        raise ElfzooError(f"{path} is no record of a benchmark: it lacks {', '.join(missing)}")
    return found


def read_records(results: Path, tasks: list[str], split: str = "test") -> Iterator[dict[str, Any]]:
    """The records of some tasks, sorted by task as given and by entrant.

    Raises:
        ElfzooError: no such folder, or a damaged record.
    """
    if not results.is_dir():
        raise ElfzooError(f"no folder of records {results}; elfzoo benchmark --out makes one")
    for task in tasks:
        for path in sorted(record_path(results, task, "any", split).parent.glob("*.json")):
            record = read_record(path)
            if record_path(results, record["task"], record["model"], record["split"]) != path:
                raise ElfzooError(
                    f"{path} is the record of {record['model']} on {record['task']}, split {record['split']}, under "
                    "another name; move copies elsewhere"
                )
            yield record


def _task_folder(task: str, split: str) -> str:
    return task if split == "test" else f"{task}-{split}"


def _value(value: Any) -> str:
    """A list of objects with one line for each; objects indented."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {_json(item)}" for item in value) + "\n ]"
    text = NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", _json(value, indent=1))
    return text.replace("\n", "\n ")


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)
