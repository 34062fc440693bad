"""Sources of hydride and metal structures."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from elfzoo.config import config_class
from elfzoo.reference.candidate import Candidate, StructureSource

__all__ = ["HydrideSource", "MetalSource"]


@config_class
class HydrideSource(StructureSource):
    """The hydrides of ``tables/hydrides.yaml``: relaxed at their pressure, compressed, strained, rattled."""

    kind: Literal["hydrides"]

    def candidates(self, out: Path) -> list[Candidate]:
        """See :mod:`elfzoo.reference.hydrides`."""
        from elfzoo.reference.hydrides import candidates

        return candidates()


@config_class
class MetalSource(StructureSource):
    """The metals of ``tables/metals.yaml``: elements and binaries at three volumes, and relaxed low-symmetry cells.

    Args:
        leave_out: chemical systems of the table that are not made, such as ``Mg-Zn``.
    """

    only_choose: ClassVar[tuple[str, ...]] = ("leave_out",)
    kind: Literal["metals"]
    leave_out: tuple[str, ...] = ()

    def candidates(self, out: Path) -> list[Candidate]:
        """See :mod:`elfzoo.reference.metals`.

        Raises:
            UnknownNameError: a chemical system that is not in the table.
        """
        from elfzoo.reference.metals import candidates, split_of_metal

        for system in self.leave_out:
            split_of_metal(system)
        return [candidate for candidate in candidates() if candidate.group not in self.leave_out]
