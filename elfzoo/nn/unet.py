"""A periodic 3D U-Net: residual blocks, stride 2 down, trilinear up, skips, and a hook after every stage."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import gcd
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from elfzoo.config import config_class
from elfzoo.errors import ConfigError
from elfzoo.nn.periodic_conv import ChannelNorm, PeriodicConv3d, periodic_upsample

__all__ = ["PeriodicUNet", "UNetConfig"]

MAX_LEVELS = 4  # the grid is a multiple of 8 then; beyond, small cells would be sampled far too finely


@config_class
class UNetConfig:
    """A periodic U-Net.

    Args:
        widths: channels of each level, finest first; every further level halves the grid.
        blocks: residual blocks in each stage.
        norm: ``group`` takes statistics over the cell (mean values, so a supercell has the same); ``channel`` over the
            channels of each voxel, so that crops are possible.
        groups: of the group norm; a width that it does not divide gets their greatest common divisor.
        dropout: of whole channels inside the residual blocks, in training.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    blocks: int = 1
    norm: Literal["group", "channel"] = "group"
    groups: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.widths) <= MAX_LEVELS or min(self.widths) < 1 or self.blocks < 1 or self.groups < 1:
            raise ConfigError(f"a U-Net has 1 to {MAX_LEVELS} positive widths, and blocks; got {self.widths}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"a dropout rate lies in [0, 1); got {self.dropout}")

    @property
    def stride(self) -> int:
        """Fine grid points between two points of the coarsest level; each axis has a multiple of it."""
        return 2 ** (len(self.widths) - 1)

    @property
    def receptive_radius(self) -> int:
        """Grid points along each axis from an output to the furthest input that it depends on, through the bottom."""
        reach = 0
        for level in range(len(self.widths)):
            bottom = level == len(self.widths) - 1
            # blocks going down and up; then the stride-2, upsampling, its convolution and the merging one
            convolutions = 2 * self.blocks if bottom else 4 * self.blocks + 4
            reach += convolutions * 2**level
        return reach + 1  # the head's


class PeriodicUNet(nn.Module):
    """Features of whole periodic grids to one logit per point.

    Args:
        n_in: channels of the input.
        config: widths and the rest.
    """

    def __init__(self, n_in: int, config: UNetConfig):
        super().__init__()
        widths, levels = config.widths, list(pairwise(config.widths))
        starts = [n_in, *widths[1:]]
        self.encoders = nn.ModuleList(_Stage(n, w, config) for n, w in zip(starts, widths, strict=True))
        self.downs = nn.ModuleList(_ConvNorm(narrow, wide, config, stride=2) for narrow, wide in levels)
        self.ups = nn.ModuleList(_ConvNorm(wide, narrow, config) for narrow, wide in levels)
        self.merges = nn.ModuleList(_ConvNorm(2 * narrow, narrow, config) for narrow, _ in levels)
        self.decoders = nn.ModuleList(_Stage(narrow, narrow, config) for narrow, _ in levels)
        self.head = _ConvNorm(widths[0], widths[0], config)
        self.project = nn.Conv3d(widths[0], 1, kernel_size=1)

    def forward(
        self,
        x: Float[Tensor, "batch n_in nx ny nz"],
        mix: Float[Tensor, "27 27"] | None = None,
        after_stage: Callable[[Tensor], Tensor] = lambda features: features,
    ) -> Float[Tensor, "batch 1 nx ny nz"]:
        """Logits.

        Args:
            x: features, each axis a multiple of the configuration's ``stride``.
            mix: kernels in Å, see :func:`elfzoo.nn.periodic_conv.kernel_mix`; None for kernels in grid steps.
            after_stage: applied to the features that leave each encoder and decoder stage.
        """
        skips = []
        for level, encoder in enumerate(self.encoders):
            if level:
                x = self.downs[level - 1](x, mix)
            x = after_stage(encoder(x, mix))
            skips.append(x)
        for level in reversed(range(len(self.ups))):
            x = self.ups[level](periodic_upsample(x), mix)
            x = self.merges[level](torch.cat((x, skips[level]), dim=1), mix)
            x = after_stage(self.decoders[level](x, mix))
        return self.project(self.head(x, mix))


class _ConvNorm(nn.Module):
    """Convolution, norm, GELU."""

    def __init__(self, n_in: int, n_out: int, config: UNetConfig, stride: int = 1):
        super().__init__()
        self.conv = PeriodicConv3d(n_in, n_out, stride)
        self.norm = _norm(n_out, config)

    def forward(self, x: Tensor, mix: Tensor | None) -> Tensor:
        return F.gelu(self.norm(self.conv(x, mix)))


class _Residual(nn.Module):
    """GELU(x + norm(conv(dropout(GELU(norm(conv(x)))))))."""

    def __init__(self, n_in: int, n_out: int, config: UNetConfig):
        super().__init__()
        self.first = _ConvNorm(n_in, n_out, config)
        self.dropout = nn.Dropout3d(config.dropout)
        self.conv = PeriodicConv3d(n_out, n_out)
        self.norm = _norm(n_out, config)
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv3d(n_in, n_out, kernel_size=1)

    def forward(self, x: Tensor, mix: Tensor | None) -> Tensor:
        inner = self.conv(self.dropout(self.first(x, mix)), mix)
        return F.gelu(self.shortcut(x) + self.norm(inner))


class _Stage(nn.Module):
    """Residual blocks one after another."""

    def __init__(self, n_in: int, n_out: int, config: UNetConfig):
        super().__init__()
        starts = [n_in] + [n_out] * (config.blocks - 1)
        self.blocks = nn.ModuleList(_Residual(n, n_out, config) for n in starts)

    def forward(self, x: Tensor, mix: Tensor | None) -> Tensor:
        for block in self.blocks:
            x = block(x, mix)
        return x


def _norm(channels: int, config: UNetConfig) -> nn.Module:
    return ChannelNorm(channels) if config.norm == "channel" else nn.GroupNorm(gcd(config.groups, channels), channels)
