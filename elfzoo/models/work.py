"""What a prediction needs of a machine, counted: floating-point operations, and bytes between operators.

For networks made of torch modules, torch itself counts while a sample is evaluated. The compiled kernel is counted by
hand, in :mod:`elfzoo.transforms.fused_work`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from elfzoo.grid import Grid

__all__ = ["TORCH_COUNTED", "Work", "count", "count_blocks"]

BLOCKS = 4  # of a grid, that are counted for all of it
TORCH_COUNTED = (
    "matrix products and convolutions (torch.utils.flop_counter); bytes that every torch operator reads and writes, "
    "some of which caches spare the memory; not what NumPy and SciPy do"
)
aten = torch.ops.aten
GATHERING = (aten.index, aten.index_select, aten.gather, aten.embedding)  # read as much as they give
SCATTERING = (aten.index_add, aten.index_add_, aten.scatter_add, aten.scatter_add_, aten.index_put, aten.index_put_)
OVERWRITING = (aten.copy_, aten.fill_, aten.zero_, aten.new_zeros, aten.zeros_like, aten.ones_like, aten.full_like)
FREE = (
    aten.empty,
    aten.empty_like,
    aten.empty_strided,
    aten.new_empty,
    aten.detach,
    aten._unsafe_view,
    aten.lift_fresh,
)


@dataclass(frozen=True)
class Work:
    """Of a job.

    Args:
        flops: additions and multiplications of floating-point numbers; a multiply-add is two.
        bytes: that operators read from memory and write to it, each number once for each operator.
        counted: what is in these, in words.
    """

    flops: float
    bytes: float
    counted: str


class _Traffic(TorchDispatchMode):
    """Bytes of the tensors that operators read and write; views are free."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        kind = func.overloadpacket
        if not func.is_view and kind not in FREE:
            self.bytes += _moved(kind, _sizes((args, kwargs)), _sizes(found))
        return found


def _sizes(values: Any) -> list[int]:
    """Bytes of each tensor among nested values."""
    return [leaf.numel() * leaf.element_size() for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def _moved(kind: Any, read: list[int], written: list[int]) -> int:
    """Bytes of one operator. Those that pick rows of a table, or add to some, leave its other rows alone."""
    if kind in OVERWRITING:
        return sum(read[1:]) + sum(written)
    if kind in GATHERING:
        return sum(read[1:]) + 2 * sum(written)
    if kind in SCATTERING:
        return sum(read[1:]) + 2 * read[-1]
    return sum(read) + sum(written)


def count(call: Callable[[], object]) -> Work:
    """Work of a call, as torch dispatches it in this thread, which has all of it meanwhile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as flops, _Traffic() as traffic:
            call()
    finally:
        torch.set_num_threads(threads)
    return Work(float(flops.get_total_flops()), float(traffic.bytes), TORCH_COUNTED)


def count_blocks(make: Callable[[], Callable[[np.ndarray], object]], grid: Grid, block_size: int) -> Work:
    """Work of a model of points on a whole grid, from its set-up and some of the blocks in which it visits the grid.

    Args:
        make: does the set-up and returns a function of points (Cartesian, Å).
        grid: all points of the job.
        block_size: points that are evaluated together.
    """
    made: list[Callable[[np.ndarray], object]] = []
    set_up = count(lambda: made.append(make()))
    points = list(_some(grid, block_size))
    blocks = count(lambda: [made[0](some) for some in points])
    share = grid.size / sum(map(len, points))
    return Work(set_up.flops + share * blocks.flops, set_up.bytes + share * blocks.bytes, TORCH_COUNTED)


def _some(grid: Grid, block_size: int) -> Iterator[np.ndarray]:
    """Positions of some blocks, spread over the grid."""
    blocks = list(grid.blocks(block_size))
    for block in blocks[:: -(-len(blocks) // BLOCKS)]:
        yield grid.positions(block)
