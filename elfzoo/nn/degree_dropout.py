"""Dropout of whole angular degrees: a network must not need the fine angular detail that only its training set has."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["DegreeDropout"]


class DegreeDropout(nn.Module):
    """In training, replace all standardised features of a degree l of a point by their mean, zero.

    Without it the l = 3 features lower the error on fluids and multiply it in crystals, whose sites have symmetries
    that no fluid site has.

    Args:
        sizes: number of features of each degree, in order.
        rates: probability for each degree; degrees beyond the last rate are kept.
    """

    def __init__(self, sizes: Sequence[int], rates: Sequence[float]):
        super().__init__()
        self.sizes = list(sizes)
        self.rates = [*rates, *[0.0] * (len(sizes) - len(rates))]

    def forward(self, features: Float[Tensor, "points features"]) -> Float[Tensor, "points features"]:
        """Features with some degrees of some points zeroed; unchanged outside of training."""
        if not self.training or not any(self.rates):
            return features
        rates = torch.tensor(self.rates, device=features.device)
        kept = torch.rand(len(features), len(self.sizes), device=features.device) >= rates
        return features * kept.repeat_interleave(torch.tensor(self.sizes, device=features.device), dim=1)
