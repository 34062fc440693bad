"""Standardisation of features with statistics of the training set, saved with the weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Standardise"]


class Standardise(nn.Module):
    """x → (x − mean)/std, limited to ±clamp so that an environment unlike any seen does not run away.

    Args:
        n_features: number of features.
        clamp: largest magnitude after standardisation; None for no limit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_features: int, clamp: float | None = None):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("std", torch.ones(n_features))
        self.clamp = clamp

    def fit(self, features: Float[Tensor, "points features"]) -> None:
        """Take mean and standard deviation from the training set; a constant feature keeps its scale."""
        exact = features.double()
        mean, std = exact.mean(dim=0), exact.std(dim=0)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-8, std, torch.ones_like(std)))

    def forward(self, features: Float[Tensor, "points features"]) -> Float[Tensor, "points features"]:
        """Standardised features."""
        x = (features - self.mean) / self.std
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)
