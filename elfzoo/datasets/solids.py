"""Hydrides and metals (PBE, GPAW): compositions other than hydrogen, for tests only as yet."""

from __future__ import annotations

from elfzoo.datasets.base import FieldDataset

__all__ = ["Hydrides", "Metals"]


class Hydrides(FieldDataset):
    """High-pressure hydrides with lattice constants from the literature, not relaxed. All of them test."""

    name = "hydrides"

    @staticmethod
    def split_of(file: str) -> str:
        """Every file tests."""
        return "test"


class Metals(FieldDataset):
    """Elemental metals and LiMg at V/V0 = 1.0, 0.9 and 0.8. All of them test.

    Near the nuclei an ELF depends on the pseudopotential: report errors outside a core radius too.
    """

    name = "metals"

    @staticmethod
    def split_of(file: str) -> str:
        """Every file tests."""
        return "test"
