"""Where a predicted ELF errs: by size of the error, by ELF of the reference, by distance to the nearest nucleus.

A profile is of one structure, every voxel weighing the same. :func:`pooled` averages over structures, each weighing
the same wherever it has points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from pymatgen.core import Element, Structure
from scipy.spatial import cKDTree

from elfzoo.analysis.comparable import require_comparable, require_same_grid
from elfzoo.analysis.metrics import ELF_BINS, elf_bins, field_metrics
from elfzoo.core_radii import outside_cores
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.periodic import periodic_images

__all__ = ["BinnedErrors", "ErrorProfile", "RegionErrors", "error_profile", "nearest_distances", "pooled"]

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
DISTANCE_STEP, DISTANCE_BINS = 0.1, 40  # Å, number of closed bins; they end at 4 Å, the last bin is what lies beyond
ROUNDING = 1e-9  # Å; so that rounding does not part points that symmetry makes equal
BLOCK = 100_000  # points


@dataclass(frozen=True)
class BinnedErrors:
    """Errors bin by bin; each array has one entry per bin.

    Attributes:
        lower: lower edges; a bin ends where the next one begins.
        count: points, of all structures together.
        structures: structures that have points in the bin.
        mae, bias: mean |error| and mean error (prediction - reference), averaged over these structures; None where
            there are no points.
    """

    lower: tuple[float, ...]
    count: tuple[int, ...]
    structures: tuple[int, ...]
    mae: tuple[float | None, ...]
    bias: tuple[float | None, ...]

    def to_dict(self) -> dict[str, list[Any]]:
        """Lists under the attributes' names."""
        return {key: list(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class RegionErrors:
    """Errors in a part of space, averaged over the structures that have points there.

    Attributes:
        points: of all structures together.
        structures: that have points there.
        mae, rmse: over the points of a structure.
        r2: about the identity line; None where the reference is constant.
    """

    points: int
    structures: int
    mae: float
    rmse: float
    r2: float | None


@dataclass(frozen=True)
class ErrorProfile:
    """Where a prediction errs.

    Attributes:
        structures: how many the figures are averaged over; 1 before pooling.
        percentiles: of |error| at :data:`PERCENTILES` (50, 90, 99, 99.9 %).
        by_elf: by ELF of the reference, 20 bins of 0.05.
        by_distance: by distance to the nearest nucleus, bins of 0.1 Å up to 4 Å; the last bin is what lies beyond.
        outside_cores: outside of :mod:`elfzoo.core_radii`, which is everywhere where no element has a core; None where
            no point is outside.
    """

    structures: int
    percentiles: tuple[float, ...]
    by_elf: BinnedErrors
    by_distance: BinnedErrors
    outside_cores: RegionErrors | None

    def to_dict(self) -> dict[str, Any]:
        """Nested JSON values under the attributes' names; the percentiles under ``"50"``, ``"90"``, ``"99"``,
        ``"99.9"``."""
        return {
            "structures": self.structures,
            "percentiles": {f"{q:g}": value for q, value in zip(PERCENTILES, self.percentiles, strict=True)},
            "by_elf": self.by_elf.to_dict(),
            "by_distance": self.by_distance.to_dict(),
            "outside_cores": None if self.outside_cores is None else asdict(self.outside_cores),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ErrorProfile:
        """The profile that :meth:`to_dict` gave these values of."""
        outside = values["outside_cores"]
        return cls(
            structures=values["structures"],
            percentiles=tuple(values["percentiles"].values()),
            by_elf=BinnedErrors(**{key: tuple(items) for key, items in values["by_elf"].items()}),
            by_distance=BinnedErrors(**{key: tuple(items) for key, items in values["by_distance"].items()}),
            outside_cores=None if outside is None else RegionErrors(**outside),
        )


def error_profile(reference: Field, prediction: Field, mixed_recipes: bool = False) -> ErrorProfile:
    """The profile of a predicted ELF against its reference.

    Args:
        reference: the ELF that counts as right.
        prediction: of the same structure (atoms in any order), on the same grid.
        mixed_recipes: compare fields of different engines, functionals or pseudopotentials all the same.

    Raises:
        QuantityError: a field that is no ELF.
        StructureError: the lattices or the atoms differ by more than 0.001 Å.
        RecipeError: both recipes are known and differ, and ``mixed_recipes`` is False.
        ElfzooError: other grids or spin channels, values that are not finite, or an element without a core radius.
    """
    reference.require_quantity("elf", "the reference")
    require_comparable(reference, prediction, mixed_recipes)
    require_same_grid(reference, prediction)
    truth = reference.values.astype(np.float64)
    error = prediction.values - truth
    if not np.isfinite(error).all():
        raise ElfzooError(f"{np.count_nonzero(~np.isfinite(error))} errors are not finite; expected finite fields")
    percentiles = np.percentile(np.abs(error), PERCENTILES)
    outside = outside_cores(reference.structure, reference.grid)
    return ErrorProfile(
        structures=1,
        percentiles=tuple(percentiles.tolist()),
        by_elf=_binned(np.arange(ELF_BINS) / ELF_BINS, elf_bins(truth), error),
        by_distance=_by_distance(reference, error),
        outside_cores=_region(truth[outside], error[outside]) if outside.any() else None,
    )


def pooled(profiles: Sequence[ErrorProfile]) -> ErrorProfile:
    """The mean profile of several structures.

    Every figure is a mean over structures, each weighing the same whatever its number of points: in a bin over those
    that have points in it, outside of cores over those that have points there, of R² over those where it is defined.
    Counts are sums. Profiles that are pooled already weigh as many structures as they hold.

    Raises:
        ElfzooError: no profiles.
    """
    if not profiles:
        raise ElfzooError("there are no profiles to pool; expected those of at least one structure")
    structures = [profile.structures for profile in profiles]
    percentiles = np.average([profile.percentiles for profile in profiles], axis=0, weights=structures)
    regions = [profile.outside_cores for profile in profiles if profile.outside_cores is not None]
    return ErrorProfile(
        structures=sum(structures),
        percentiles=tuple(percentiles.tolist()),
        by_elf=_pooled_bins([profile.by_elf for profile in profiles]),
        by_distance=_pooled_bins([profile.by_distance for profile in profiles]),
        outside_cores=_pooled_region(regions) if regions else None,
    )


def nearest_distances(structure: Structure, grid: Grid, z: int | None = None) -> Float[np.ndarray, "nx ny nz"]:
    """Distance of each grid point to the nearest nucleus, Å, all periodic images counted.

    Args:
        structure: any cell.
        grid: on the structure's lattice.
        z: atomic number; of this element alone.

    Raises:
        ElfzooError: a grid on another lattice, or no atom of the element.
    """
    grid.require_cell_of(structure)
    chosen = [z is None or number == z for number in structure.atomic_numbers]
    if not any(chosen):
        raise ElfzooError(f"{structure.composition.formula} has no atom of {Element.from_Z(z).symbol}")
    # no point is farther from a lattice than half of the diagonal of a box with the edges of a basis
    reach = float(np.linalg.norm(structure.lattice.get_lll_reduced_lattice().abc) / 2)
    tree = cKDTree(periodic_images(structure.cart_coords[chosen], grid.lattice, reach).positions)
    distances = np.empty(grid.size)
    for block in grid.blocks(BLOCK):
        distances[block], _ = tree.query(grid.positions(block))
    return distances.reshape(grid.shape)


def _by_distance(reference: Field, error: np.ndarray) -> BinnedErrors:
    distances = nearest_distances(reference.structure, reference.grid).ravel()
    index = np.minimum((distances + ROUNDING) / DISTANCE_STEP, DISTANCE_BINS).astype(np.int64)
    return _binned(np.arange(DISTANCE_BINS + 1) * DISTANCE_STEP, index, error)


def _binned(lower: Float[np.ndarray, " bins"], index: Int[np.ndarray, " points"], error: np.ndarray) -> BinnedErrors:
    count = np.bincount(index, minlength=len(lower))
    mae, bias = (
        tuple(float(s / n) if n else None for s, n in zip(np.bincount(index, e, len(lower)), count, strict=True))
        for e in (np.abs(error).ravel(), error.ravel())
    )
    present = tuple((count > 0).astype(int).tolist())
    return BinnedErrors(tuple(np.round(lower, 12).tolist()), tuple(count.tolist()), present, mae, bias)


def _region(truth: Float[np.ndarray, " points"], error: Float[np.ndarray, " points"]) -> RegionErrors:
    found = field_metrics(truth, truth + error)
    return RegionErrors(found.points, 1, found.mae, found.rmse, None if np.isnan(found.r2) else found.r2)


def _pooled_bins(parts: Sequence[BinnedErrors]) -> BinnedErrors:
    structures = np.array([part.structures for part in parts])
    count = np.sum([part.count for part in parts], axis=0)
    mae, bias = (
        tuple(_mean(values, weights) for values, weights in zip(_floats(rows).T, structures.T, strict=True))
        for rows in ([part.mae for part in parts], [part.bias for part in parts])
    )
    return BinnedErrors(parts[0].lower, tuple(count.tolist()), tuple(structures.sum(axis=0).tolist()), mae, bias)


def _pooled_region(parts: Sequence[RegionErrors]) -> RegionErrors:
    weights = np.array([part.structures for part in parts])
    mae, rmse = (float(np.average([getattr(part, key) for part in parts], weights=weights)) for key in ("mae", "rmse"))
    r2 = _mean(_floats([part.r2 for part in parts]), weights)
    return RegionErrors(sum(part.points for part in parts), int(weights.sum()), mae, rmse, r2)


def _floats(values: Sequence[Any]) -> np.ndarray:
    """An array with nan for None."""
    return np.array(values, dtype=np.float64)


def _mean(values: Float[np.ndarray, " parts"], weights: Int[np.ndarray, " parts"]) -> float | None:
    """Weighted mean of the values that are not nan."""
    known = ~np.isnan(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else None
