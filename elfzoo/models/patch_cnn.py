"""patch_cnn: smeared atomic density on voxels around a point, then a 3D CNN (Wang et al. 2026, supplement S1).

Unlike the public code of the paper, all periodic images count, the corners of the cube see every atom near them, and
the voxel's own position is the centre of its patch. A grid is evaluated in blocks, so that no more than some thousand
patches exist at a time, whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from functools import partial
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor, nn

from elfzoo.config import config_class
from elfzoo.errors import ConfigError
from elfzoo.grid import Grid
from elfzoo.models.base import EXACT_INVARIANCES, Invariance, PointModel
from elfzoo.models.blocks import largest_array
from elfzoo.models.work import Work, count_blocks
from elfzoo.nn import ElementEmbedding, Standardise, mlp
from elfzoo.nn.average_pool import HalvingPool
from elfzoo.nn.mlp import last_linear
from elfzoo.probe import ProbeData, add_probe_edges
from elfzoo.registry import register
from elfzoo.threads import map_in_threads
from elfzoo.transforms.density_patch import (
    LARGEST_ARRAY,
    DensityPatchConfig,
    cube_orientations,
    density_patch,
    patch_edges,
)

__all__ = ["PatchCNN", "PatchCNNConfig"]

BLOCK = 2048  # points whose atoms are searched for together
SAMPLE = 4096  # points that the scale of the density is taken from


@config_class
class PatchCNNConfig:
    """Configuration of :class:`PatchCNN`; cube and blocks are the paper's, which says no more about the network.

    Args:
        patch: the density's cube.
        widths: channels after each convolutional block; the cube is halved between blocks.
        kernel: edge of the convolutions' kernels, odd.
        readout: ``flatten``, the head sees every voxel of the last block, or ``mean`` over them, as in the paper's
            public code: then it knows that there are atoms, but hardly where.
        hidden: widths of the head's hidden layers.
        smooth: SiLU and mean pooling, for a field with continuous derivatives; False for the public code's ReLU and
            max pooling.
        batch_norm: normalise each channel after its convolution; in evaluation with the training's averages.
        clamp: largest standardised density; null for no limit.
        dropout: of the head's hidden layers, in training.
        augment: in training, show each patch in a random one of the cube's 48 orientations.
        average: in evaluation, the mean logit of the 48 orientations: exact under the cube's rotations and
            reflections, at 48 times the work.
    """

    patch: DensityPatchConfig = field(default_factory=DensityPatchConfig)
    widths: tuple[int, ...] = (16, 32, 64)
    kernel: int = 3
    readout: Literal["flatten", "mean"] = "flatten"
    hidden: tuple[int, ...] = (64,)
    smooth: bool = True
    batch_norm: bool = False
    clamp: float | None = None
    dropout: float = 0.0
    augment: bool = False
    average: bool = False

    def __post_init__(self) -> None:
        if not self.widths or min(*self.widths, *self.hidden, 1) < 1 or self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"expected at least one block, positive widths and an odd kernel; got {self}")
        if self.patch.n_voxels % 2 ** (len(self.widths) - 1):
            raise ConfigError(f"{len(self.widths)} blocks cannot halve a cube of {self.patch.n_voxels} voxels evenly")
        if not 0 <= self.dropout < 1 or (self.clamp is not None and self.clamp <= 0):
            raise ConfigError(f"dropout lies in [0, 1) and clamp is positive; got {self.dropout}, {self.clamp}")

    @property
    def n_readout(self) -> int:
        """Numbers per point that the head sees."""
        edge = self.patch.n_voxels // 2 ** (len(self.widths) - 1)
        return self.widths[-1] * (edge**3 if self.readout == "flatten" else 1)


@register("patch_cnn")
class PatchCNN(PointModel):
    """Logit of ELF at a point from the smeared density of the atoms in a cube around it, periodic images exact."""

    config_class = PatchCNNConfig
    config: PatchCNNConfig
    orientations: Tensor
    costly = True
    invariances: ClassVar[Mapping[str, Invariance]] = {
        **EXACT_INVARIANCES,
        "rotation": "approximate",
        "reflection": "approximate",
    }

    def __init__(self, config: PatchCNNConfig):
        super().__init__(config)
        self.embedding = ElementEmbedding(config.patch.channels)
        self.standardise = Standardise(config.patch.channels, config.clamp)
        self.convolutions = _convolutions(config)
        self.network = mlp([config.n_readout, *config.hidden, 1], config.dropout)
        self.register_buffer("orientations", cube_orientations(config.patch.n_voxels), persistent=False)

    def transform(self, data: ProbeData) -> ProbeData:
        """Add the pairs of an atom and a probe point whose patch it reaches, all periodic images counted."""
        return add_probe_edges(data, partial(patch_edges, config=self.config.patch))

    def encode(self, batch: ProbeData) -> Float[Tensor, "points features"]:
        """Density on the voxels around each probe point, flat, not yet standardised."""
        atom, probe = batch.probe_edge_index
        weights = self.embedding(batch.z)[atom]
        return density_patch(batch.edge_vectors(), weights, probe, len(batch.probe_pos), self.config.patch)

    def head(self, features: Float[Tensor, "points features"]) -> Float[Tensor, " points"]:
        """Logits from patches; without gradients in small parts, since the first block's output is 16 times larger.

        On a processor each core has parts of its own, which takes less time than all cores on one part after the other.
        """
        if torch.is_grad_enabled():
            return self._logits(features)
        threads = torch.get_num_threads() if features.device.type == "cpu" else 1
        parts = features.split(self._points_at_once(features.device))
        return torch.cat(list(map_in_threads(torch.no_grad()(self._logits), parts, threads)))

    def fit_statistics(self, features: Float[Tensor, "points features"]) -> None:
        """One mean and deviation per channel, not per voxel: the convolutions see the same scale everywhere."""
        sample = features[:: max(1, len(features) // SAMPLE)]
        self.standardise.fit(self._voxels(sample).flatten(0, 1))

    @property
    def last_layer(self) -> nn.Linear:
        return last_linear(self.network)

    def encoder_is_constant(self, elements: Iterable[str]) -> bool:
        """True for hydrogen alone, whose embedding is (1, 0, ...) by construction."""
        return set(elements) == {"H"}

    @property
    def block_size(self) -> int:
        return min(BLOCK, max(1, LARGEST_ARRAY // self.config.patch.n_features))

    def work(self, structure: Structure, grid: Grid) -> Work:
        """Of the network, counted by torch on some blocks."""
        return count_blocks(lambda: self.evaluator(structure), grid, self.block_size)

    def _points_at_once(self, device: torch.device) -> int:
        """Points for which no activation exceeds what is worked on at once."""
        channels = max(self.config.patch.channels, *(-(-width // 8**i) for i, width in enumerate(self.config.widths)))
        return max(1, largest_array(device, LARGEST_ARRAY) // (channels * self.config.patch.n_voxels**3))

    def _voxels(self, features: Tensor) -> Tensor:
        """(points, voxels, channels)."""
        return features.unflatten(1, (self.config.patch.channels, -1)).mT

    def _logits(self, features: Tensor) -> Tensor:
        voxels = self._voxels(features)
        patch = self.standardise(voxels.flatten(0, 1)).unflatten(0, voxels.shape[:2])
        if self.training and self.config.augment:
            chosen = torch.randint(len(self.orientations), (len(patch),), device=patch.device)
            return self._network(patch.gather(1, self.orientations[chosen, :, None].expand_as(patch)))
        if self.config.average and not self.training:
            return torch.stack([self._network(patch[:, order]) for order in self.orientations]).mean(dim=0)
        return self._network(patch)

    def _network(self, patch: Tensor) -> Tensor:
        cube = patch.mT.unflatten(2, [self.config.patch.n_voxels] * 3)
        return self.network(self.convolutions(cube))[:, 0]


def _convolutions(config: PatchCNNConfig) -> nn.Sequential:
    """Blocks with pooling between them, then the read-out."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise([config.patch.channels, *config.widths]):
        if layers:
            layers.append(HalvingPool() if config.smooth else nn.MaxPool3d(2))
        layers += _block(n_in, n_out, config)
    if config.readout == "mean":
        layers.append(nn.AdaptiveAvgPool3d(1))
    return nn.Sequential(*layers, nn.Flatten())


def _block(n_in: int, n_out: int, config: PatchCNNConfig) -> list[nn.Module]:
    """Convolution, normalisation, activation; initialised so that the signal keeps its size from block to block."""
    convolution = nn.Conv3d(n_in, n_out, config.kernel, padding=config.kernel // 2)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    norm = [nn.BatchNorm3d(n_out)] if config.batch_norm else []
    return [convolution, *norm, nn.SiLU() if config.smooth else nn.ReLU()]
