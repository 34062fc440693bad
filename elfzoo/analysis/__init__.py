"""From fields to numbers. Sees fields only, never models."""

from elfzoo.analysis.compare import Comparison, Histograms, WorstVoxel, compare, require_same_structure
from elfzoo.analysis.metrics import (
    Interval,
    Metrics,
    PairedIntervals,
    Summary,
    bootstrap_interval,
    elf_bins,
    field_metrics,
    histogram_distance,
    paired_bootstrap,
    stratified_weights,
    summarise,
)

__all__ = [
    "Comparison",
    "Histograms",
    "Interval",
    "Metrics",
    "PairedIntervals",
    "Summary",
    "WorstVoxel",
    "bootstrap_interval",
    "compare",
    "elf_bins",
    "field_metrics",
    "histogram_distance",
    "paired_bootstrap",
    "require_same_structure",
    "stratified_weights",
    "summarise",
]
