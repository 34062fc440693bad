"""Power spectrum of the neighbour density around a point: the descriptor of Wang et al. (2026) and a smooth variant.

For a point r_v the atoms i within r_cut, at x = R_i - r_v, r = |x|, are expanded as (paper, eqs. 1 - 5)

    c_alm = sum_i e_k(Z_i) R_n(r) w(r) Y_lm(x),      a = (k, n),      P^l_aa' = sum_m c_alm c_a'lm,   a <= a'

with w(r) = (cos(pi r / r_cut) + 1) / 2. Species enter by e_k(Z), one weight per element and channel k, so that the
number of features does not depend on the composition. With one channel and e(H) = 1 this is the paper's descriptor.

- ``smooth=False``, the paper's: R_n = exp(-(r - mu_n)^2 / 2 sigma^2), Y_lm of the unit vector. At a nucleus the
  products with l > 0 jump and those with l = 0 have a kink.
- ``smooth=True``: R_n = exp(-(r - mu_n)^2 / 2 sigma^2) + exp(-(r + mu_n)^2 / 2 sigma^2), even in r, and Y_lm is
  replaced by the solid harmonic r^l Y_lm divided by (r^2 + softening^2)^(l/2), also even: every term is r^l Y_lm
  times an even function of r, hence smooth in x, y, z.
"""

from __future__ import annotations

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.utils import scatter

from elfzoo.config import config_class
from elfzoo.errors import ConfigError

__all__ = ["PowerSpectrumConfig", "power_spectrum"]


@config_class
class PowerSpectrumConfig:
    """Shape of the descriptor.

    Args:
        r_cut: cutoff radius, Å.
        n_radial: number of Gaussians, equally spaced on [0, r_cut].
        l_max: highest angular momentum, 0 to 4.
        sigma_ratio: width of the Gaussians over their spacing.
        smooth: continuous with its gradient at the nuclei, see the module's text.
        softening: Å, how far from a nucleus the smooth angular functions reach their full size.
        channels: number of element weights per atom.
    """

    r_cut: float = 3.0
    n_radial: int = 10
    l_max: int = 2
    sigma_ratio: float = 0.75
    smooth: bool = False
    softening: float = 0.3
    channels: int = 1

    def __post_init__(self) -> None:
        if not (self.r_cut > 0 and self.sigma_ratio > 0 and self.softening > 0):
            raise ConfigError(f"r_cut, sigma_ratio and softening must be positive; got {self}")
        if not (self.n_radial >= 2 and 0 <= self.l_max <= 4 and self.channels >= 1):
            raise ConfigError(f"expected n_radial >= 2, 0 <= l_max <= 4, channels >= 1; got {self}")

    @property
    def spacing(self) -> float:
        """Distance between the centres of neighbouring Gaussians, Å."""
        return self.r_cut / (self.n_radial - 1)

    @property
    def sigma(self) -> float:
        """Width of the Gaussians, Å."""
        return self.sigma_ratio * self.spacing

    @property
    def n_features(self) -> int:
        """Number of features: 165 for the paper's ten Gaussians, l ≤ 2 and one channel."""
        functions = self.n_radial * self.channels
        return (self.l_max + 1) * functions * (functions + 1) // 2


def power_spectrum(
    vectors: Float[Tensor, "edges 3"],
    weights: Float[Tensor, "edges channels"],
    probe: Int[Tensor, " edges"],
    n_probes: int,
    config: PowerSpectrumConfig,
) -> Float[Tensor, "probes features"]:
    """The readable reference, differentiable in vectors and weights; any device and precision.

    Args:
        vectors: from probe to neighbour, Å.
        weights: e_k(Z) of the neighbour.
        probe: which probe each edge belongs to.
        n_probes: number of probes; one without neighbours has features 0.
        config: shape of the descriptor.

    Returns:
        Features, ordered by l, then a ≤ a' with a = (channel, radial function).
    """
    return contract(expansion_coefficients(vectors, weights, probe, n_probes, config), config)


def contract(
    c: Float[Tensor, "probes functions components"], config: PowerSpectrumConfig
) -> Float[Tensor, "probes features"]:
    """P^l_aa' = sum_m c_alm c_a'lm for a ≤ a' (paper, eqs. 4 and 5)."""
    first, second = torch.triu_indices(c.shape[1], c.shape[1], device=c.device)
    parts = []
    for degree in range(config.l_max + 1):
        block = c[:, :, degree**2 : (degree + 1) ** 2]
        parts.append((block @ block.transpose(1, 2))[:, first, second])
    return torch.cat(parts, dim=1)


def expansion_coefficients(
    vectors: Float[Tensor, "edges 3"],
    weights: Float[Tensor, "edges channels"],
    probe: Int[Tensor, " edges"],
    n_probes: int,
    config: PowerSpectrumConfig,
) -> Float[Tensor, "probes functions components"]:
    """c_alm of the module's text (paper, eq. 3): functions a = (channel, n), components (l, m)."""
    radial = radial_functions(vectors, config)
    functions = (weights[:, :, None] * radial[:, None, :]).flatten(1)
    angular = angular_functions(vectors, config)
    return scatter(functions[:, :, None] * angular[:, None, :], probe, dim=0, dim_size=n_probes, reduce="sum")


def radial_functions(vectors: Float[Tensor, "edges 3"], config: PowerSpectrumConfig) -> Float[Tensor, "edges n"]:
    """R_n(r) w(r); zero beyond the cutoff (paper, eqs. 2 and 3)."""
    r = vectors.norm(dim=1, keepdim=True)
    centres = torch.linspace(0, config.r_cut, config.n_radial, dtype=vectors.dtype, device=vectors.device)
    values = torch.exp(-((r - centres) ** 2) / (2 * config.sigma**2))
    if config.smooth:
        values = values + torch.exp(-((r + centres) ** 2) / (2 * config.sigma**2))
    cutoff = 0.5 * (torch.cos(torch.pi * r / config.r_cut) + 1)
    return values * torch.where(r < config.r_cut, cutoff, torch.zeros_like(r))


def angular_functions(vectors: Float[Tensor, "edges 3"], config: PowerSpectrumConfig) -> Float[Tensor, "edges lm"]:
    """Real spherical harmonics, orthonormal on the sphere (e3nn's "integral" normalisation)."""
    degrees = list(range(config.l_max + 1))
    if config.smooth:
        length = (vectors.square().sum(dim=1, keepdim=True) + config.softening**2).sqrt()
        return o3.spherical_harmonics(degrees, vectors / length, normalize=False, normalization="integral")
    return o3.spherical_harmonics(degrees, vectors, normalize=True, normalization="integral")
