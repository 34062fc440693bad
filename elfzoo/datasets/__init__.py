"""Reference fields with their structures, in fixed splits. Importing reads nothing."""

from elfzoo.datasets.base import FieldDataset, Sample
from elfzoo.datasets.density import HydrogenDensity
from elfzoo.datasets.hydrogen import CavityHydrogen, CrystalHydrogen, FluidHydrogen, PackingHydrogen
from elfzoo.datasets.registry import DATASETS, dataset_class
from elfzoo.datasets.sampling import stratified_indices, uniform_indices
from elfzoo.datasets.solids import Hydrides, Metals, Prototypes

__all__ = [
    "DATASETS",
    "CavityHydrogen",
    "CrystalHydrogen",
    "FieldDataset",
    "FluidHydrogen",
    "Hydrides",
    "HydrogenDensity",
    "Metals",
    "PackingHydrogen",
    "Prototypes",
    "Sample",
    "dataset_class",
    "stratified_indices",
    "uniform_indices",
]
