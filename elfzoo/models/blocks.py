"""In which order, in how many threads, and how many at once blocks of points are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int

__all__ = ["compact_order", "largest_array", "map_in_threads"]

CACHED = 2**20  # numbers of an array that a core has near


def largest_array(device: torch.device, most: int) -> int:
    """Elements of the largest intermediate array: on a processor what its caches hold, in half the time or less.

    Args:
        device: of the array.
        most: what memory bounds it to.
    """
    return min(most, CACHED) if device.type == "cpu" else most


def map_in_threads(function: Callable[[np.ndarray], int], items: Iterable[np.ndarray], workers: int) -> Iterator[int]:
    """``map``, in threads where that helps, with few items waiting so that memory stays bounded."""
    if workers == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting = []
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def compact_order(positions: Float[np.ndarray, "points 3"]) -> Int[np.ndarray, " points"]:
    """An order in which points close in space are close in the list (boxes of 0.5 Å)."""
    boxes = np.floor(positions / 0.5).astype(np.int64)
    return np.lexsort(boxes.T)
