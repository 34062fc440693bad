"""What the linter says about a field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LEVELS", "Finding", "Level", "by_points"]

Level = Literal["error", "warning", "info"]
LEVELS: tuple[Level, ...] = ("error", "warning", "info")  # from worst to mildest


@dataclass(frozen=True)
class Finding:
    """One thing that the linter found.

    Args:
        level: ``"error"``: numbers from this field would be wrong; ``"warning"``: they may be; ``"info"``: to know.
        code: short name of the check, the same in every release.
        message: what was found, with its numbers.
        remedy: what to do about it.
    """

    level: Level
    code: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.level} [{self.code}] {self.message}. {self.remedy}."


def by_points(shape: tuple[int, int, int]) -> str:
    """A grid's shape as people write it: ``48 x 48 x 60``."""
    return " x ".join(str(n) for n in shape)
