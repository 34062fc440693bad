"""The loss of field models: values, gradients per Å and the distribution of values, weighted by learned precisions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from elfzoo.errors import ConfigError
from elfzoo.target import Target
from elfzoo.training.config import LossTerm

__all__ = ["FieldLoss", "gradient_loss", "histogram_kl", "soft_histogram"]


class FieldLoss(nn.Module):
    """Σ_k e^(-η_k) L_k + η_k over the terms (paper of symmetry_unet, appendix); η are learned with the model.

    Args:
        terms: ``voxel``, smooth L1 of ELF; ``gradient``, :func:`gradient_loss`; ``histogram``, :func:`histogram_kl`.
        beta: where the smooth L1 turns from quadratic to linear, in ELF.
        bins: of the histograms.
        target: what is learned. Values of densities are taken in units of their scale wherever it says ELF here.

    Raises:
        ConfigError: histograms of a quantity that does not lie within [0, 1].
    """

    def __init__(self, terms: Sequence[LossTerm], beta: float, bins: int = 32, target: Target | None = None):
        super().__init__()
        self.terms, self.beta, self.bins, self.target = tuple(terms), beta, bins, target or Target()
        if "histogram" in terms and self.target.learned.bounds != (0.0, 1.0):
            raise ConfigError(
                f"the loss term histogram is of values within [0, 1], which a {self.target.learned.title} has not; "
                "leave it out of fields.terms: [voxel, gradient]"
            )
        self.eta = nn.Parameter(torch.zeros(len(self.terms)))

    def forward(
        self,
        logits: Float[Tensor, "nx ny nz"],
        target: Float[Tensor, "nx ny nz"],
        spacing: tuple[float, float, float],
        periodic: bool = True,
    ) -> Float[Tensor, ""]:
        """The weighted sum.

        Args:
            logits: of the model.
            target: the reference's values.
            spacing: Å, between neighbouring points along each axis.
            periodic: whether opposite faces are neighbours; False for crops.
        """
        elf, target = self.target.tensor(logits) / self.target.unit, target / self.target.unit
        terms = {
            "voxel": lambda: F.smooth_l1_loss(elf, target, beta=self.beta),
            "gradient": lambda: gradient_loss(elf - target, spacing, periodic),
            "histogram": lambda: histogram_kl(elf, target, self.bins),
        }
        losses = torch.stack([terms[name]() for name in self.terms])
        return (torch.exp(-self.eta) * losses + self.eta).sum()


def gradient_loss(
    error: Float[Tensor, "nx ny nz"], spacing: tuple[float, float, float], periodic: bool = True
) -> Float[Tensor, ""]:
    """Sum over the axes of the mean absolute forward difference along the lattice vector, per Å."""
    total = error.new_zeros(())
    for axis, step in enumerate(spacing):
        difference = error.roll(-1, axis) - error
        if not periodic:
            difference = difference.narrow(axis, 0, error.shape[axis] - 1)
        total = total + difference.abs().mean() / step
    return total


def histogram_kl(
    elf: Float[Tensor, "nx ny nz"], target: Float[Tensor, "nx ny nz"], bins: int = 32
) -> Float[Tensor, ""]:
    """Kullback-Leibler divergence of the prediction's soft histogram from the reference's; gradients reach ``elf``."""
    reference, prediction = (soft_histogram(values.flatten(), bins) for values in (target, elf))
    return (reference * (reference / prediction).log()).sum()


def soft_histogram(values: Float[Tensor, " points"], bins: int) -> Float[Tensor, " bins"]:
    """Share of each bin on [0, 1], every value spread by a Gaussian as wide as a bin."""
    centres = (torch.arange(bins, device=values.device, dtype=values.dtype) + 0.5) / bins
    weights = torch.exp(-0.5 * ((values[:, None] - centres) * bins).square()).mean(dim=0) + 1e-6  # no empty bins
    return weights / weights.sum()
