"""Power spectrum on whole tiles of points in plain torch: for graphics processors, and where the kernel is not built.

Points that lie close together share their neighbours, so that a tile is one small dense problem without scatter or
index arithmetic. Same function as :func:`elfzoo.transforms.power_spectrum.power_spectrum`, no gradients needed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from elfzoo.periodic import Images
from elfzoo.transforms.power_spectrum import (
    PowerSpectrumConfig,
    angular_functions,
    contract,
    radial_functions,
)

__all__ = ["tiled_power_spectrum"]

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
    tree = cKDTree(images.positions) if len(images.positions) else None
    padded = points[np.minimum(np.arange(-(-len(points) // TILE) * TILE), len(points) - 1)].reshape(-1, TILE, 3)
    step = max(1, LARGEST_ARRAY // (TILE * 128 * (config.n_radial * config.channels + (config.l_max + 1) ** 2)))
    for start in range(0, len(padded), step):
        tiles = padded[start : start + step]
        features = _features(tiles, tree, images, weights, config)
        yield features[: len(points) - start * TILE]


def _features(
    tiles: np.ndarray, tree: cKDTree | None, images: Images, weights: Tensor, config: PowerSpectrumConfig
) -> Tensor:
    centres = tiles.mean(axis=1)
    radii = np.linalg.norm(tiles - centres[:, None], axis=-1).max(axis=1)
    found = [] if tree is None else tree.query_ball_point(centres, config.r_cut + radii + 1e-6)
    width = max((len(f) for f in found), default=0)
    if width == 0:
        return weights.new_zeros((tiles.shape[0] * TILE, config.n_features))
    chosen = np.array([f + [-1] * (width - len(f)) for f in found])
    outside = 2.0 * config.r_cut + radii.max()  # along each axis; padding sits there, beyond the cutoff
    near = np.where(chosen[..., None] < 0, outside, images.positions[chosen] - centres[:, None])
    local = torch.as_tensor(near).to(weights)
    vectors = (local[:, None] - torch.as_tensor(tiles - centres[:, None]).to(weights)[:, :, None]).reshape(-1, 3)
    e = weights[torch.as_tensor(images.atom[chosen], device=weights.device)][:, None].expand(-1, TILE, -1, -1)
    radial = radial_functions(vectors, config).reshape(-1, width, 1, config.n_radial)
    functions = (e.reshape(-1, width, config.channels, 1) * radial).flatten(2)
    angular = angular_functions(vectors, config).reshape(len(functions), width, -1)
    return contract(functions.transpose(1, 2) @ angular, config)
