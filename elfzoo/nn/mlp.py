"""Multilayer perceptron with SiLU between the layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

__all__ = ["mlp"]


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths (input first, output last) with SiLU between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(n_in, n_out), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
