"""Numbers and names as the pages show them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

__all__ = ["DASH", "joined", "number", "slug", "whole", "words"]

DASH = "–"
SAFE = re.compile(r"[A-Za-z0-9_+-]|(?<!^)\.")


def number(value: float | None, digits: int = 4) -> str:
    """Fixed digits, as in the tables of the command line; a dash for what is not there."""
    return DASH if value is None or math.isnan(value) else f"{value:z.{digits}f}".replace("-", "−")


def whole(value: float | None) -> str:
    """Rounded to units, in groups of three digits."""
    return DASH if value is None else f"{value:,.0f}"


def joined(names: Sequence[str] | None) -> str:
    return ", ".join(names or ()) or DASH


def words(key: str) -> str:
    """A key of JSON as people say it."""
    return key.replace("_", " ")


def slug(name: str) -> str:
    """A name as a file name and an address: what is neither letter nor digit nor ``. + - _`` becomes ``~`` and hex.

    Different names stay different, and none begins with a dot.
    """
    return "".join(c if SAFE.fullmatch(name, i, i + 1) else _hex(c) for i, c in enumerate(name))


def _hex(character: str) -> str:
    return "".join(f"~{byte:02x}" for byte in character.encode())
