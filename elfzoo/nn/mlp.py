"""Multilayer perceptron with SiLU between the layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

__all__ = ["last_linear", "mlp"]


def mlp(widths: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of these widths (input first, output last), each but the last followed by SiLU and dropout."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths[:-1]):
        layers += [nn.Linear(n_in, n_out), nn.SiLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def last_linear(network: nn.Sequential) -> nn.Linear:
    """The last layer of what :func:`mlp` makes."""
    last = network[-1]
    assert isinstance(last, nn.Linear)
    return last
