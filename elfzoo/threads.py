"""Work in threads, whose own linear algebra then takes one each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["map_in_threads"]

Item, Result = TypeVar("Item"), TypeVar("Result")


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """``map``, in threads where that helps, with few items waiting so that memory stays bounded.

    Each thread's own operations of torch take one.
    """
    if workers == 1:
        yield from map(function, items)
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            waiting = []
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * workers:
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()
    finally:
        torch.set_num_threads(threads)
