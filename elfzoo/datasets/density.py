"""Electron densities (PBE, Quantum ESPRESSO, GTH) of structures whose ELF is in another data set."""

from __future__ import annotations

from elfzoo.datasets.base import FieldDataset
from elfzoo.datasets.hydrogen import CrystalHydrogen

__all__ = ["HydrogenDensity"]


class HydrogenDensity(FieldDataset):
    """Pseudo valence densities, e/Å³, of crystals of :class:`~elfzoo.datasets.CrystalHydrogen`, under their names.

    Split as they are: a crystal is in one split, whichever field of it is asked for.
    """

    name = "density-h"
    optional = True

    @staticmethod
    def split_of(file: str) -> str:
        """That of the crystal, see :meth:`CrystalHydrogen.split_of`."""
        return CrystalHydrogen.split_of(file)
