"""Hydrogen under pressure: fluid snapshots and random crystals (PBE, Quantum ESPRESSO, GTH)."""

from __future__ import annotations

import re

from elfzoo.datasets.base import FieldDataset
from elfzoo.errors import ElfzooError

__all__ = ["CrystalHydrogen", "FluidHydrogen"]

_TRAJECTORY_SPLITS = {"A": "train", "C": "val", "B": "test"}


class FluidHydrogen(FieldDataset):
    """Snapshots of 64 H at 1500 K near 76, 115 and 138 GPa, 72³ points.

    Split by trajectory: at every pressure A trains, C validates, B tests.
    """

    name = "fluid-h"

    @staticmethod
    def split_of(file: str) -> str:
        """By the trajectory's letter in ``fluid_{pressure}GPa_{trajectory}_f{frame}.npz``."""
        match = re.fullmatch(r"fluid_[\d.]+GPa_([A-Z]+)_f\d+\.npz", file)
        if match is None or match[1] not in _TRAJECTORY_SPLITS:
            raise ElfzooError(
                f"{file} is no snapshot of a known trajectory; expected fluid_<pressure>GPa_<A|B|C>_f<frame>.npz"
            )
        return _TRAJECTORY_SPLITS[match[1]]


class CrystalHydrogen(FieldDataset):
    """Random cubic and hexagonal crystals of 4 to 24 H, relaxed near 100 GPa.

    None of them trains: some validate, the others test.
    """

    name = "crystal-h"

    @staticmethod
    def split_of(file: str) -> str:
        """Validation has a v before the crystal's number in ``{system}_{number}_sg{space group}_H{atoms}.npz``."""
        match = re.fullmatch(r"[a-z]+_(v?)\d+_sg\d+_H\d+\.npz", file)
        if match is None:
            raise ElfzooError(
                f"{file} is no random crystal; expected <system>_[v]<number>_sg<space group>_H<atoms>.npz"
            )
        return "val" if match[1] else "test"
