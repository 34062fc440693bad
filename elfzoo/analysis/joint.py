"""The joint histogram of reference and prediction: how often which ELF is predicted where the reference has which."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from elfzoo.analysis.metrics import ELF_BINS, elf_bins
from elfzoo.errors import ElfzooError

__all__ = ["joint_histogram"]


def joint_histogram(
    reference: Float[np.ndarray, "*shape"], prediction: Float[np.ndarray, "*other"], bins: int = ELF_BINS
) -> Int[np.ndarray, "bins bins"]:
    """Number of points with the reference in one bin of ELF and the prediction in another.

    Counts of several structures add up.

    Args:
        reference: ELF, any shape.
        prediction: ELF at the same points.
        bins: of equal width on [0, 1] (:func:`~elfzoo.analysis.metrics.elf_bins`); values outside belong to the ends.

    Returns:
        Counts by bin of the reference (rows) and of the prediction (columns).

    Raises:
        ElfzooError: arrays of different shapes, values that are not finite, or fewer than one bin.
    """
    if reference.shape != prediction.shape:
        raise ElfzooError(
            f"a joint histogram pairs values point by point: the reference has the shape {reference.shape}, the "
            f"prediction {prediction.shape}"
        )
    pairs = bins * elf_bins(reference, bins) + elf_bins(prediction, bins)
    return np.bincount(pairs, minlength=bins**2).reshape(bins, bins)
