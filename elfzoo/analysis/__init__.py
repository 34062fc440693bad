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
from elfzoo.analysis.networking import Networking, networking
from elfzoo.analysis.percolation import Thresholds, percolation_thresholds

__all__ = [
    "Comparison",
    "Histograms",
    "Interval",
    "Metrics",
    "Networking",
    "PairedIntervals",
    "Summary",
    "Thresholds",
    "WorstVoxel",
    "bootstrap_interval",
    "compare",
    "elf_bins",
    "field_metrics",
    "histogram_distance",
    "networking",
    "paired_bootstrap",
    "percolation_thresholds",
    "require_same_structure",
    "stratified_weights",
    "summarise",
]
