"""Convolution and upsampling on the torus of a periodic cell, with kernels that are functions of a distance in Å."""

from __future__ import annotations

from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ChannelNorm", "PeriodicConv3d", "kernel_mix", "periodic_upsample"]

STENCIL = tuple(product((-1, 0, 1), repeat=3))
SLOW_BELOW = 20480  # elements of one plane z = const of all channels
WIDTH = 0.7  # of the Gaussians, in grid steps: turned kernels keep four fifths of their norm, none grows


class PeriodicConv3d(nn.Conv3d):
    """3×3×3 convolution whose domain is a torus: opposite faces of the grid are neighbours.

    Args:
        n_in, n_out: channels.
        stride: 1, or 2 to keep the points with even indices.
    """

    def __init__(self, n_in: int, n_out: int, stride: int = 1):
        super().__init__(n_in, n_out, kernel_size=3, stride=stride)

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "batch n_in nx ny nz"], mix: Float[Tensor, "27 27"] | None = None
    ) -> Float[Tensor, "batch n_out mx my mz"]:
        """Convolved features; ``mix`` is that of :func:`kernel_mix`, or None for kernels in grid steps."""
        weight = self.weight if mix is None else (self.weight.flatten(2) @ mix.T).view_as(self.weight)
        padded = F.pad(x, (1,) * 6, mode="circular")
        if not _takes_slow_path(padded):
            return F.conv3d(padded, weight, self.bias, self.stride)
        return F.conv3d(padded.to_mkldnn(), weight, self.bias, self.stride).to_dense()


def kernel_mix(steps: Float[Tensor, "3 3"], spacing: float, moments: bool = False) -> Float[Tensor, "27 27"]:
    """Kernels on any grid from kernels on a cubic one: row p gives the weights of the 27 stored values at neighbour p.

    A kernel is a function of the Cartesian offset, known at the 27 points of a cubic stencil of ``spacing`` and
    continued by Gaussian interpolation. On that cubic grid the matrix is the identity; on hexagonal axes, at another
    spacing or in another orientation the same function is read off where the neighbours really are. Each coarser
    level doubles steps and spacing, so one matrix serves all of them.

    The same function summed over closer neighbours is another operator: its sum, slopes and curvatures change with the
    grid. With ``moments`` the weights read off are changed as little as possible (least squares) so that the moments of
    the 27 weights up to second order stay those on the cubic grid. On features that vary slowly the kernel then does
    the same on every grid: it agrees up to second order in their wave number.

    Args:
        steps: (3, 3) rows, Å: vectors between neighbouring grid points along the axes.
        spacing: Å.
        moments: keep the kernel's moments.
    """
    stored = torch.tensor(STENCIL, dtype=torch.float64)
    offsets = stored @ steps.double().cpu() / spacing
    overlap, reach = (_gaussian(points, stored) for points in (stored, offsets))
    mix = torch.linalg.solve(overlap, reach, left=False)
    if moments:
        here = _monomials(offsets)
        mix = mix + torch.linalg.pinv(here) @ (_monomials(stored) - here @ mix)
    return mix.to(steps)


def periodic_upsample(x: Float[Tensor, "batch channels nx ny nz"]) -> Float[Tensor, "batch channels mx my mz"]:
    """Trilinear interpolation onto twice as many points; the old ones are those with even indices, as stride 2 leaves.

    ``torch.nn.functional.interpolate`` knows no period: it repeats or stretches the edge and puts the points elsewhere.
    """
    for axis in (2, 3, 4):
        between = (x + x.roll(-1, axis)) / 2
        x = torch.stack((x, between), axis + 1).flatten(axis, axis + 1)
    return x


class ChannelNorm(nn.LayerNorm):
    """Normalisation over the channels of each voxel: nothing is shared between voxels, so a part is like the whole."""

    def forward(self, x: Float[Tensor, "batch channels nx ny nz"]) -> Float[Tensor, "batch channels nx ny nz"]:
        """Normalised features."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def _takes_slow_path(x: Tensor) -> bool:
    """Whether PyTorch would take its own convolution for one small cell on a processor: a third of oneDNN's speed.

    The rule is that of ``ConvParams::use_mkldnn`` in ATen's ``Convolution.cpp``.
    """
    small = len(x) == 1 and x[..., 0].numel() <= SLOW_BELOW
    return small and x.device.type == "cpu" and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()


def _monomials(points: Tensor) -> Tensor:
    """1, x, y, z, x², xy, … of each point, a row each."""
    products = points[:, :, None] * points[:, None]
    first, second = torch.triu_indices(3, 3)
    return torch.cat([torch.ones_like(points[:, :1]), points, products[:, first, second]], dim=1).T


def _gaussian(a: Tensor, b: Tensor) -> Tensor:
    return torch.exp(-0.5 * torch.cdist(a, b).square() / WIDTH**2)
