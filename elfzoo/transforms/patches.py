"""Cubes of a periodic grid: which points they hold, cutting them out with wrap-around, and putting them together."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter

__all__ = ["cut", "patch_indices", "patch_starts", "stitch"]

Shape = tuple[int, int, int]


def patch_starts(shape: Shape, stride: int, offset: tuple[int, int, int] = (0, 0, 0)) -> Int[np.ndarray, "patches 3"]:
    """First points of patches that cover a grid: (i s + o) mod n along each axis, for i below ceil(n / s)."""
    axes = [(np.arange(-(-n // stride)) * stride + o) % n for n, o in zip(shape, offset, strict=True)]
    return np.array(list(product(*axes)), dtype=np.int64)


def patch_indices(starts: Int[np.ndarray, "patches 3"], size: int, shape: Shape) -> Int[np.ndarray, "patches points"]:
    """Flat indices of the ``size``³ points of each patch, wrapped around; a patch may be larger than the grid."""
    steps = np.arange(size)
    i, j, k = ((starts[:, axis, None] + steps) % n for axis, n in enumerate(shape))
    flat = (i[:, :, None, None] * shape[1] + j[:, None, :, None]) * shape[2] + k[:, None, None, :]
    return flat.reshape(len(starts), -1)


def cut(
    x: Float[Tensor, "channels nx ny nz"], starts: Int[np.ndarray, "patches 3"], size: int
) -> Float[Tensor, "patches channels size size size"]:
    """Patches of a periodic grid."""
    index = patch_indices(starts, size, (x.shape[1], x.shape[2], x.shape[3]))
    patches = x.flatten(1)[:, torch.from_numpy(index).to(x.device)]
    return patches.movedim(0, 1).unflatten(2, (size, size, size))


def stitch(
    patches: Float[Tensor, "patches size size size"], starts: Int[np.ndarray, "patches 3"], shape: Shape
) -> Float[Tensor, "nx ny nz"]:
    """The whole grid from patches that cover it, the mean where they overlap; differentiable."""
    index = torch.from_numpy(patch_indices(starts, patches.shape[-1], shape)).to(patches.device)
    means = scatter(patches.flatten(), index.flatten(), dim_size=int(np.prod(shape)), reduce="mean")
    return means.view(shape)
