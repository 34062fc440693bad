"""A structure with its DFT field, small enough to ship with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elfzoo.field import Field

__all__ = ["example_path", "load_example"]

EXAMPLE = "hexagonal_001.npz"


def example_path() -> Path:
    """The shipped field file: PBE ELF of a crystal of 12 H (P6_522) at 100 GPa, of ``crystal-h``'s test split."""
    return Path(str(resources.files("elfzoo.examples"))) / EXAMPLE


def load_example() -> Field:
    """The shipped field, with its structure, recipe and provenance; see :func:`example_path`."""
    from elfzoo.field import read_field

    return read_field(example_path())
