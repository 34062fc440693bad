"""What every record says of when and where it was made, and how it is written."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import elfzoo
from elfzoo.io.files import write_bytes

__all__ = ["environment", "write_json"]


def environment() -> dict[str, str]:
    """Date, versions and hardware of a record."""
    return {
        "date": datetime.date.today().isoformat(),
        "elfzoo": elfzoo.__version__,
        "numpy": np.__version__,
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def write_json(path: Path, row: Mapping[str, Any]) -> None:
    """A record, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, [(json.dumps(row, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()])
