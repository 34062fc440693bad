"""In which order, and how many at once, points are evaluated, and what is handed back of them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["compact_order", "largest_array", "to_array"]

CACHED = 2**20  # numbers of an array that a core has near


def largest_array(device: torch.device, most: int) -> int:
    """Elements of the largest intermediate array: on a processor what its caches hold, in half the time or less.

    Args:
        device: of the array.
        most: what memory bounds it to.
    """
    return min(most, CACHED) if device.type == "cpu" else most


def compact_order(positions: Float[np.ndarray, "points 3"]) -> Int[np.ndarray, " points"]:
    """An order in which points close in space are close in the list (boxes of 0.5 Å)."""
    boxes = np.floor(positions / 0.5).astype(np.int64)
    return np.lexsort(boxes.T)


def to_array(values: Float[Tensor, "*points"]) -> Float[np.ndarray, "*points"]:
    """The same as an array, without gradients: in double precision where they are, else in single, for NumPy has no
    bfloat16.
    """
    found = values.detach().cpu()
    return (found if found.dtype == torch.float64 else found.float()).numpy()
