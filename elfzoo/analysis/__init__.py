"""From fields to numbers. Sees fields only, never models."""

from elfzoo.analysis.autocorrelation import Autocorrelation, autocorrelation
from elfzoo.analysis.band_correction import (
    band_limited_correction,
    corrected_field,
    correction_curve,
    plane_correction,
)
from elfzoo.analysis.comparable import require_comparable
from elfzoo.analysis.compare import Comparison, Histograms, WorstVoxel, compare
from elfzoo.analysis.correction_result import BandCorrection, ElfProfile, PlaneCorrection, RelativeSize
from elfzoo.analysis.critical_points import critical_points
from elfzoo.analysis.critical_result import SIGNATURES, CriticalPoints
from elfzoo.analysis.density import DensityErrors, density_errors
from elfzoo.analysis.dos import hydrogen_dos_share
from elfzoo.analysis.hydrogen_network import HydrogenNetwork, hydrogen_network, hydrogen_pairs, jaccard, jaccard_curve
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
from elfzoo.analysis.molecularity import molecularity
from elfzoo.analysis.networking import Networking, networking
from elfzoo.analysis.percolation import Thresholds, percolation_thresholds
from elfzoo.analysis.plane_residual import PlaneResidual, Rings, plane_residual
from elfzoo.analysis.profiles import (
    BinnedErrors,
    ErrorProfile,
    RegionErrors,
    error_profile,
    nearest_distances,
    pooled,
)
from elfzoo.analysis.regions import Regions, regions
from elfzoo.analysis.spectra import Band, ResidualSpectrum, Shells, WavePower, residual_spectrum, wave_power
from elfzoo.analysis.tc import TcEstimate, estimate_tc, hydrogen_fraction
from elfzoo.analysis.topology import (
    FieldTopology,
    MatchedPoints,
    TopologyComparison,
    can_search,
    compare_topology,
    match_points,
)
from elfzoo.analysis.trajectory import FrameTopology, track
from elfzoo.structure import require_same_structure

__all__ = [
    "SIGNATURES",
    "Autocorrelation",
    "Band",
    "BandCorrection",
    "BinnedErrors",
    "Comparison",
    "CriticalPoints",
    "DensityErrors",
    "ElfProfile",
    "ErrorProfile",
    "FieldTopology",
    "FrameTopology",
    "Histograms",
    "HydrogenNetwork",
    "Interval",
    "MatchedPoints",
    "Metrics",
    "Networking",
    "PairedIntervals",
    "PlaneCorrection",
    "PlaneResidual",
    "RegionErrors",
    "Regions",
    "RelativeSize",
    "ResidualSpectrum",
    "Rings",
    "Shells",
    "Summary",
    "TcEstimate",
    "Thresholds",
    "TopologyComparison",
    "WavePower",
    "WorstVoxel",
    "autocorrelation",
    "band_limited_correction",
    "bootstrap_interval",
    "can_search",
    "compare",
    "compare_topology",
    "corrected_field",
    "correction_curve",
    "critical_points",
    "density_errors",
    "elf_bins",
    "error_profile",
    "estimate_tc",
    "field_metrics",
    "histogram_distance",
    "hydrogen_dos_share",
    "hydrogen_fraction",
    "hydrogen_network",
    "hydrogen_pairs",
    "jaccard",
    "jaccard_curve",
    "match_points",
    "molecularity",
    "nearest_distances",
    "networking",
    "paired_bootstrap",
    "percolation_thresholds",
    "plane_correction",
    "plane_residual",
    "pooled",
    "regions",
    "require_comparable",
    "require_same_structure",
    "residual_spectrum",
    "stratified_weights",
    "summarise",
    "track",
    "wave_power",
]
