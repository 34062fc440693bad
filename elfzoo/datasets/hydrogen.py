"""Hydrogen under pressure: fluid snapshots and random crystals (PBE, Quantum ESPRESSO, GTH)."""

from __future__ import annotations

from elfzoo.datasets.base import FieldDataset, name_part

__all__ = ["CavityHydrogen", "CrystalHydrogen", "FluidHydrogen", "PackingHydrogen"]

_TRAJECTORY_SPLITS = {"A": "train", "B": "train", "C": "val", "D": "test", "N": "test"}
_CRYSTAL_SPLITS = ("train", "test", "test", "test", "val")  # by the number modulo 5: every archetype is tested


class FluidHydrogen(FieldDataset):
    """Snapshots of 128, 250 and 500 H at 1500 K near 76.0, 115.1 and 138.5 GPa.

    Split by trajectory: at every pressure A and B train, C validates, D and the larger cells, N250 and N500, test.
    """

    name = "fluid-h"

    @staticmethod
    def split_of(file: str) -> str:
        """By the trajectory in ``fluid_{pressure}GPa_{trajectory}_f{frame}.npz``."""
        pattern = r"fluid_[\d.]+GPa_([A-D]|N(?=\d))\d*_f\d+\.npz"
        expected = "fluid_<pressure>GPa_<A|B|C|D|N<atoms>>_f<frame>.npz"
        return _TRAJECTORY_SPLITS[name_part(file, pattern, "snapshot of a known trajectory", expected)]


class CavityHydrogen(FieldDataset):
    """Snapshots of 128 H with the molecules around a random point taken out: holes of 1.6 to 2.8 Å in the dense fluid.

    To train on, beside :class:`FluidHydrogen`: holes in its trajectories A and B train, in C validate.
    """

    name = "cavity-h"
    optional = True

    @staticmethod
    def split_of(file: str) -> str:
        """That of the snapshot, in ``cavity_{pressure}GPa_{trajectory}_f{frame}.npz``; no test trajectory has holes."""
        pattern, expected = r"cavity_[\d.]+GPa_([A-C])_f\d+\.npz", "cavity_<pressure>GPa_<A|B|C>_f<frame>.npz"
        return _TRAJECTORY_SPLITS[name_part(file, pattern, "cavity", expected)]


class PackingHydrogen(FieldDataset):
    """Random packings of 32 H at 1.9 to 3.2 Å³ per atom: neighbours at distances that the dense fluid does not have.

    To train on, beside :class:`FluidHydrogen`; none is relaxed or symmetric.
    """

    name = "packing-h"
    optional = True

    @staticmethod
    def split_of(file: str) -> str:
        """All train: what they are for are crystals, which validate and test; ``packing_{number}.npz``."""
        name_part(file, r"packing_(\d{3})\.npz", "packing", "packing_<number of three digits>.npz")
        return "train"


class CrystalHydrogen(FieldDataset):
    """Random cubic and hexagonal crystals of 4 to 72 H, relaxed near 100 GPa.

    Split by number. A model that is tested for transfer leaves the training split alone.
    """

    name = "crystal-h"

    @staticmethod
    def split_of(file: str) -> str:
        """By the crystal's number modulo 5 in ``{system}_{number}.npz``: 0 trains, 4 validates, 1, 2 and 3 test."""
        pattern, expected = r"(?:cubic|hexagonal)_(\d{3})\.npz", "<cubic|hexagonal>_<number of three digits>.npz"
        return _CRYSTAL_SPLITS[int(name_part(file, pattern, "random crystal", expected)) % len(_CRYSTAL_SPLITS)]
