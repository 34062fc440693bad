"""Gaussian-smeared atomic density on a small cube of voxels around a point: the input of the patch CNN.

For a point r_0 and the atoms a, all periodic images counted (Wang et al. 2026, supplement, eq. 1, which has one
species and therefore no weight):

    rho_k(x) = sum_a e_k(Z_a) exp(-|x - (R_a - r_0)|^2 / 2 sigma^2),      x on P x P x P points of [-r_cut, r_cut]^3

The axes are the Cartesian ones, ends included. A Gaussian is a product over the axes, so an atom is three vectors of P
numbers and a patch is one matrix product over the atoms, (P, atoms) times (atoms, P^2): no array of atoms times P^3.
"""

from __future__ import annotations

from itertools import chain, combinations, permutations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import to_dense_batch

from elfzoo.config import config_class
from elfzoo.errors import ConfigError
from elfzoo.periodic import probe_edges

__all__ = ["LARGEST_ARRAY", "DensityPatchConfig", "cube_orientations", "density_patch", "patch_edges"]

LARGEST_ARRAY = 2**23  # elements of the largest intermediate array; bounds the memory
TAIL = 6.0  # sigmas after which a Gaussian, 1.5e-8 of its height, is below the rounding of single precision


@config_class
class DensityPatchConfig:
    """Shape of the patch; the defaults are the paper's, sigma that of its public code.

    Args:
        r_cut: half the edge of the cube, Å.
        n_voxels: P, points along each edge.
        sigma: width of the Gaussians, Å.
        channels: number of element weights per atom.
    """

    r_cut: float = 1.0
    n_voxels: int = 12
    sigma: float = 0.25
    channels: int = 1

    def __post_init__(self) -> None:
        if not (self.r_cut > 0 and self.sigma > 0 and self.n_voxels >= 2 and self.channels >= 1):
            raise ConfigError(f"expected r_cut, sigma > 0, n_voxels >= 2, channels >= 1; got {self}")

    @property
    def spacing(self) -> float:
        """Distance of neighbouring voxels, Å."""
        return 2 * self.r_cut / (self.n_voxels - 1)

    @property
    def reach(self) -> float:
        """Å; an atom farther from the point than this along any axis is left out, less than 2e-8 at every voxel."""
        return self.r_cut + TAIL * self.sigma

    @property
    def n_features(self) -> int:
        """Numbers per point: channels times voxels."""
        return self.channels * self.n_voxels**3


def patch_edges(
    points: Float[np.ndarray, "points 3"],
    positions: Float[np.ndarray, "atoms 3"],
    lattice: Float[np.ndarray, "3 3"],
    config: DensityPatchConfig,
) -> tuple[Int[np.ndarray, " edges"], Int[np.ndarray, " edges"], Float[np.ndarray, "edges 3"]]:
    """Pairs of an atom and a point whose patch it reaches, all images counted: a cube, so that corners lose nothing.

    Returns:
        ``(atom, point, shift)`` as :func:`elfzoo.periodic.probe_edges` gives them, points in ascending order.
    """
    atom, point, shift = probe_edges(points, positions, lattice, np.sqrt(3.0) * config.reach)
    inside = (np.abs(positions[atom] + shift - points[point]) < config.reach).all(axis=1)
    return atom[inside], point[inside], shift[inside]


def density_patch(
    vectors: Float[Tensor, "edges 3"],
    weights: Float[Tensor, "edges channels"],
    probe: Int[Tensor, " edges"],
    n_probes: int,
    config: DensityPatchConfig,
) -> Float[Tensor, "probes features"]:
    """The density around each probe point; differentiable in vectors and weights, any device and precision.

    Args:
        vectors: from probe to atom, Å.
        weights: e_k(Z) of the atom.
        probe: which probe each edge belongs to, ascending.
        n_probes: number of probes; one without atoms in reach has density 0.
        config: shape of the patch.

    Returns:
        Features in the order (channel, x, y, z); a lone atom of weight 1 has density 1 at its nucleus.
    """
    if n_probes == 0:
        return vectors.new_zeros(0, config.n_features)
    counts = torch.bincount(probe, minlength=n_probes)
    per_atom = config.n_voxels * (config.n_voxels + config.channels)
    blocks = counts.split(max(1, LARGEST_ARRAY // max(int(counts.max()) * per_atom, config.n_features)))
    sizes = [int(block.sum()) for block in blocks]
    parts = zip(vectors.split(sizes), weights.split(sizes), blocks, strict=True)
    return torch.cat([_dense_patches(v, w, block, config) for v, w, block in parts])


def _dense_patches(vectors: Tensor, weights: Tensor, counts: Tensor, config: DensityPatchConfig) -> Tensor:
    """Patches of some probes, their atoms padded to the largest number; a padded atom has weight 0."""
    probe = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    atoms = torch.cat([_along_axes(vectors, config).flatten(1), weights], dim=1)
    dense, _ = to_dense_batch(atoms, probe, batch_size=len(counts))
    x, y, z, w = dense.split([config.n_voxels] * 3 + [config.channels], dim=2)
    wx = (w[..., :, None] * x[..., None, :]).flatten(2)
    yz = (y[..., :, None] * z[..., None, :]).flatten(2)
    return (wx.mT @ yz).flatten(1)


def _along_axes(vectors: Tensor, config: DensityPatchConfig) -> Tensor:
    """The three factors of each atom's Gaussian, (edges, 3, voxels)."""
    line = torch.linspace(-config.r_cut, config.r_cut, config.n_voxels, dtype=vectors.dtype, device=vectors.device)
    return torch.exp(-0.5 * ((line - vectors[..., None]) / config.sigma) ** 2)


def cube_orientations(n_voxels: int) -> Int[Tensor, "48 voxels"]:
    """The 48 rotations and reflections of the cube: ``patch[orientations[g]]`` is the flat patch turned by g."""
    index = torch.arange(n_voxels**3).reshape(n_voxels, n_voxels, n_voxels)
    mirrors = list(chain.from_iterable(combinations(range(3), n) for n in range(4)))
    turned = [index.permute(axes).flip(mirror) for axes in permutations(range(3)) for mirror in mirrors]
    return torch.stack([t.flatten() for t in turned])
