"""A structure that is to be labelled: where it comes from, and what must be known before it can be made."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pymatgen.core import Structure

from elfzoo.errors import ElfzooError

__all__ = ["Candidate", "StructureSource"]


@dataclass(frozen=True)
class Candidate:
    """One structure of a data set, before DFT.

    Attributes:
        name: unique within the set and fit for a file's name: letters, digits, ``_ . + -``.
        group: what splits go by (trajectory, composition, chemical system): no group is ever on two sides.
        origin: one sentence for the record: prototype, source of the lattice constants, random seed.
        make: gives the structure, from the final structures of ``needs`` by name. Deterministic.
        needs: names of candidates of the same set that come first (the relaxed cell that this one strains).
        relax: relax it at the recipe's pressure before labelling.
        pressure: GPa, instead of the recipe's pressure for the relaxation.
        label: compute its ELF; False for a parent that only lends its structure.
        facts: further entries of the record, JSON values (``strain``, ``volume_ratio``, ``prototype`` ...).
    """

    name: str
    group: str
    origin: str
    make: Callable[[Mapping[str, Structure]], Structure]
    needs: tuple[str, ...] = ()
    relax: bool = False
    pressure: float | None = None
    label: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.+-]+", self.name):
            raise ElfzooError(f"{self.name!r} is no name for a file; expected letters, digits and _ . + -")


class StructureSource:
    """Where the structures of a data set come from. Subclasses are configurations.

    Attributes:
        only_choose: keys of the configuration that add candidates or leave them out, and change none: in a folder of
            results they may become others. All other keys decide what a candidate of a name is.
    """

    only_choose: ClassVar[tuple[str, ...]] = ()

    def prepare(self, out: Path, workers: int = 1, show_progress: bool | None = None) -> None:
        """Make what all candidates need before the first of them can be made; most sources need nothing."""

    def candidates(self, out: Path) -> list[Candidate]:
        """Every structure of the set, in the order in which they are labelled.

        Args:
            out: folder of the run, where :meth:`prepare` left what it made.
        """
        raise NotImplementedError
