"""Models of points that a compiled kernel may evaluate: when it does, and how their perceptron is handed to it."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import nn

from elfzoo.models.base import FUSED_BLOCK, TORCH_BLOCK, PointModel
from elfzoo.nn import Standardise
from elfzoo.transforms.fused import MAX_LAYERS, FusedNetwork

__all__ = ["KernelModel"]

NO_CLAMP = 3e38  # about the largest number of single precision


class KernelModel(PointModel):
    """A model whose head is a standardisation and what :func:`elfzoo.nn.mlp` makes; a kernel evaluates both."""

    standardise: Standardise
    network: nn.Sequential

    @property
    @abstractmethod
    def _in_kernel(self) -> bool:
        """Whether the kernel was built and takes what describes a point."""

    @property
    def _fused(self) -> bool:
        """Whether the kernel evaluates: all of it fits, on the processor, in single precision."""
        weight = next(self.network.parameters())
        on_processor = weight.device.type == "cpu" and weight.dtype == self.standardise.mean.dtype == torch.float32
        return on_processor and len(_linear(self.network)) <= MAX_LAYERS and self._in_kernel

    @property
    def block_size(self) -> int:
        return FUSED_BLOCK if self._fused else TORCH_BLOCK

    @property
    def workers(self) -> int:
        return torch.get_num_threads() if self._fused else 1

    def _fused_network(self) -> FusedNetwork:
        """Standardisation and layers, without dropout."""
        layers = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in _linear(self.network)]
        clamp = self.standardise.clamp or NO_CLAMP
        return FusedNetwork(self.standardise.mean.numpy(), 1.0 / self.standardise.std.numpy(), clamp, layers)


def _linear(network: nn.Sequential) -> list[nn.Linear]:
    return [module for module in network if isinstance(module, nn.Linear)]
