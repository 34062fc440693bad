"""Power spectrum on whole tiles of points in plain torch: for graphics processors, and where the kernel is not built.

Points that lie close together share their neighbours, so that a tile is one small dense problem without scatter or
index arithmetic. Same function as :func:`elfzoo.transforms.power_spectrum.power_spectrum`, no gradients needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from elfzoo.periodic import Images
from elfzoo.transforms.power_spectrum import (
    PowerSpectrumConfig,
    angular_functions,
    contract,
    radial_functions,
)

__all__ = ["TILE", "Tiles", "neighbour_tiles", "tiled_power_spectrum"]

TILE = 64
LARGEST_ARRAY = 2**24  # elements of the largest intermediate array; bounds the memory


def tiled_power_spectrum(
    points: Float[np.ndarray, "points 3"],
    images: Images,
    weights: Float[Tensor, "atoms channels"],
    config: PowerSpectrumConfig,
) -> Iterator[Float[Tensor, "some features"]]:
    """Yield the features of consecutive points, some tiles at a time, in precision and on the device of ``weights``.

    Args:
        points: Å, inside the cell that ``images`` surrounds, neighbours in space near each other in the list.
        images: all images within the cutoff of that cell.
        weights: e_k(Z) of each atom of the structure.
        config: shape of the descriptor.
    """
    step = max(1, LARGEST_ARRAY // (TILE * 128 * (config.n_radial * config.channels + (config.l_max + 1) ** 2)))
    for tiles in neighbour_tiles(points, images, config.r_cut, step):
        yield _features(tiles, images, weights, config)[: tiles.n_points]


@dataclass(frozen=True, eq=False)
class Tiles:
    """Tiles of points that lie close together, each with the images that reach it; relative to the tile's centre, Å.

    Args:
        points: (tiles, TILE, 3); the last tile is filled up with its last point.
        images: (tiles, width, 3); where a tile has fewer, the rest are beyond the cutoff of all of its points.
        chosen: (tiles, width) which image each one is, any for the rest.
        n_points: without those that fill up.
    """

    points: Float[np.ndarray, "tiles tile 3"]
    images: Float[np.ndarray, "tiles width 3"]
    chosen: Int[np.ndarray, "tiles width"]
    n_points: int


def neighbour_tiles(points: Float[np.ndarray, "points 3"], images: Images, r_cut: float, step: int) -> Iterator[Tiles]:
    """Cut consecutive points into tiles and find their neighbours, ``step`` tiles at a time.

    Args:
        points: Å, inside the cell that ``images`` surrounds, neighbours in space near each other in the list.
        images: all images within ``r_cut`` (Å) of that cell.
        r_cut: Å.
        step: how many tiles at a time.
    """
    tree = cKDTree(images.positions) if len(images.positions) else None
    padded = points[np.minimum(np.arange(-(-len(points) // TILE) * TILE), len(points) - 1)].reshape(-1, TILE, 3)
    for start in range(0, len(padded), step):
        tiles = padded[start : start + step]
        centres = tiles.mean(axis=1)
        radii = np.linalg.norm(tiles - centres[:, None], axis=-1).max(axis=1)
        found = [[]] * len(tiles) if tree is None else tree.query_ball_point(centres, r_cut + radii + 1e-6)
        width = max(len(f) for f in found)
        chosen = np.array([f + [-1] * (width - len(f)) for f in found], dtype=np.int64).reshape(len(tiles), width)
        outside = 2.0 * r_cut + radii.max()  # along each axis
        near = np.where(chosen[..., None] < 0, outside, images.positions[chosen] - centres[:, None])
        yield Tiles(tiles - centres[:, None], near, chosen, min(len(tiles) * TILE, len(points) - start * TILE))


def _features(tiles: Tiles, images: Images, weights: Tensor, config: PowerSpectrumConfig) -> Tensor:
    width = tiles.chosen.shape[1]
    if width == 0:
        return weights.new_zeros((tiles.points.shape[0] * TILE, config.n_features))
    local = torch.as_tensor(tiles.images).to(weights)
    vectors = (local[:, None] - torch.as_tensor(tiles.points).to(weights)[:, :, None]).reshape(-1, 3)
    e = weights[torch.as_tensor(images.atom[tiles.chosen], device=weights.device)][:, None].expand(-1, TILE, -1, -1)
    radial = radial_functions(vectors, config).reshape(-1, width, 1, config.n_radial)
    functions = (e.reshape(-1, width, config.channels, 1) * radial).flatten(2)
    angular = angular_functions(vectors, config).reshape(len(functions), width, -1)
    return contract(functions.transpose(1, 2) @ angular, config)
