"""Models of points whose perceptron the compiled kernels take: when they may, and how it is handed to them."""

from __future__ import annotations

import torch
from torch import nn

from elfzoo.nn import Standardise
from elfzoo.transforms.fused import MAX_LAYERS, FusedNetwork

__all__ = ["fits_kernel", "fused_network"]

NO_CLAMP = 3e38  # about the largest number of single precision


def fits_kernel(standardise: Standardise, network: nn.Sequential) -> bool:
    """Whether they lie on the processor in single precision, in no more layers than the kernels take."""
    weight = next(network.parameters())
    on_processor = weight.device.type == "cpu" and weight.dtype == standardise.mean.dtype == torch.float32
    return on_processor and len(_linear(network)) <= MAX_LAYERS


def fused_network(standardise: Standardise, network: nn.Sequential) -> FusedNetwork:
    """Standardisation and what :func:`elfzoo.nn.mlp` makes, without its dropout."""
    layers = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in _linear(network)]
    return FusedNetwork(standardise.mean.numpy(), 1.0 / standardise.std.numpy(), standardise.clamp or NO_CLAMP, layers)


def _linear(network: nn.Sequential) -> list[nn.Linear]:
    return [module for module in network if isinstance(module, nn.Linear)]
