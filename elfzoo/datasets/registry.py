"""Every dataset, and how one is found by its name."""

from __future__ import annotations

from elfzoo.datasets.base import FieldDataset
from elfzoo.datasets.density import HydrogenDensity
from elfzoo.datasets.hydrogen import CavityHydrogen, CrystalHydrogen, FluidHydrogen, PackingHydrogen
from elfzoo.datasets.solids import Hydrides, Metals, Prototypes
from elfzoo.errors import UnknownNameError

__all__ = ["DATASETS", "dataset_class"]

DATASETS: tuple[type[FieldDataset], ...] = (
    FluidHydrogen,
    CavityHydrogen,
    PackingHydrogen,
    CrystalHydrogen,
    HydrogenDensity,
    Hydrides,
    Metals,
    Prototypes,
)
_BY_NAME = {dataset.name: dataset for dataset in DATASETS}


def dataset_class(name: str) -> type[FieldDataset]:
    """The dataset of this name, which is that of its folder.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in _BY_NAME:
        raise UnknownNameError("dataset", name, _BY_NAME)
    return _BY_NAME[name]
