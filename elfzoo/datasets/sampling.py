"""Which voxels of a field to train on: uniform in space, or approximately uniform in ELF value."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from elfzoo.analysis.metrics import ELF_BINS, elf_bins
from elfzoo.errors import ElfzooError

__all__ = ["stratified_indices", "uniform_indices"]


def stratified_indices(
    values: Float[np.ndarray, "*shape"], count: int, rng: np.random.Generator, bins: int = ELF_BINS
) -> Int[np.ndarray, " count"]:
    """Draw voxels without replacement, about as many from each ELF bin (Wang et al. 2026, Training Data Construction).

    A bin with too few voxels gives all it has, and the others share the rest; their numbers then differ by one at
    most.

    Args:
        values: ELF values, any shape; those outside [0, 1] belong to the nearest bin.
        count: voxels wanted; all of them are returned if the field has no more.
        rng: source of randomness.
        bins: number of equal bins on [0, 1].

    Returns:
        Flat C-order indices, ascending, ``min(count, values.size)`` of them.
    """
    index = elf_bins(values, bins)
    quotas = _quotas(np.bincount(index, minlength=bins), _checked_count(count), rng)
    # uint8 keeps the pass over 10^7 voxels per bin short
    compact = index.astype(np.uint8) if bins <= 256 else index
    picks = [rng.choice(np.flatnonzero(compact == b), quota, replace=False) for b, quota in enumerate(quotas) if quota]
    return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *picks]))


def uniform_indices(
    values: Float[np.ndarray, "*shape"], count: int, rng: np.random.Generator
) -> Int[np.ndarray, " count"]:
    """Draw voxels without replacement, each with the same chance; arguments and result as in stratified_indices."""
    size = int(np.size(values))
    return np.sort(rng.choice(size, min(_checked_count(count), size), replace=False))


def _quotas(available: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """How many to take from each bin: min(available, level) at the highest level that fits, one more by lot."""
    count = min(count, int(available.sum()))
    low, high = 0, int(available.max(initial=0))
    while low < high:  # the sum grows with the level, so bisect
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(available, middle).sum() <= count else (low, middle - 1)
    quotas = np.minimum(available, low)
    more = rng.choice(np.flatnonzero(available > low), count - int(quotas.sum()), replace=False)
    quotas[more] += 1
    return quotas


def _checked_count(count: int) -> int:
    if count < 0:
        raise ElfzooError(f"the number of voxels to draw must not be negative; got {count}")
    return int(count)
