"""Functions of an atom, r^l F(r²) Y_lm, and their gradients: what smooth fields are superposed from.

    F(u) = exp(-ζ sqrt(u + a²)) (1 - u / r_c²)³   for u = r² < r_c²,   0 beyond,

is a Slater function without cusp that ends at a cutoff. It is even in r, so that r^l F Y_lm is smooth in x, y, z
everywhere; at the cutoff value, gradient and second derivatives vanish. Atomic units within: lengths in bohr.
:mod:`elfzoo.transforms.harris.orbitals` has the same functions as orbitals of a diagonalisation; these here are
tensors, in e3nn's order and with e3nn's harmonics.
"""

from __future__ import annotations

import math

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

from elfzoo.config import config_class
from elfzoo.errors import ConfigError

__all__ = ["BOHR", "OrbitalConfig", "orbital_norm", "orbital_values"]

BOHR = 0.529177210903  # Å
L_MAX = 2


@config_class
class OrbitalConfig:
    """The functions of an atom.

    Args:
        exponents: ζ of each function, 1/bohr; entry l holds those of degree l, for l = 0, 1, 2 at most.
        r_cut: where all of them end, Å.
        softening: a, bohr.
    """

    exponents: tuple[tuple[float, ...], ...] = ((0.7, 1.2, 2.0, 3.4), (0.9, 1.5, 2.6), (1.1, 2.0))
    r_cut: float = 3.0
    softening: float = 0.3

    def __post_init__(self) -> None:
        every = [zeta for degree in self.exponents for zeta in degree]
        if not 1 <= len(self.exponents) <= L_MAX + 1 or not all(self.exponents):
            raise ConfigError(f"exponents are of degrees 0 to {L_MAX}, at least one of each; got {self.exponents}")
        if min(every) <= 0 or self.r_cut <= 0 or self.softening <= 0:
            raise ConfigError(f"exponents, cutoff and softening are positive; got {self}")

    @property
    def irreps(self) -> o3.Irreps:
        """How the functions of an atom transform, e3nn's notation."""
        return o3.Irreps([(len(zetas), (l, (-1) ** l)) for l, zetas in enumerate(self.exponents)])  # noqa: E741


def orbital_values(
    vectors: Float[Tensor, "*batch 3 points"], config: OrbitalConfig
) -> Float[Tensor, "4 *batch functions points"]:
    """All functions of an atom: values first, then their derivatives along x, y, z (per bohr).

    Args:
        vectors: from the atom to the points, bohr. Beyond the cutoff all is zero.
        config: the functions, each with the norm of its Slater function (without softening and envelope), times
            sqrt(4π) as in e3nn's "component" normalisation.

    Returns:
        Functions in the order of :attr:`OrbitalConfig.irreps`, within a degree (component, exponent) in C order.
    """
    u = vectors.square().sum(dim=-2)
    parts = [_degree(vectors, u, l, zetas, config) for l, zetas in enumerate(config.exponents)]  # noqa: E741
    return torch.cat(parts, dim=-2)


def _degree(vectors: Tensor, u: Tensor, degree: int, zetas: tuple[float, ...], config: OrbitalConfig) -> Tensor:
    """Product rule: ∇(P F) = F ∇P + 2 F' P r."""
    radial, slope = _radial(u, degree, zetas, config)
    harmonics, derivatives = _harmonics(vectors, degree)
    parts = []
    for p, dp in zip(harmonics, derivatives, strict=True):
        along = [_times(d, radial) + vectors[..., None, x, :] * _times(p, slope) for x, d in enumerate(dp)]
        parts.append(torch.stack([_times(p, radial), *along]))
    return torch.cat(parts, dim=-2)


def _times(p: Tensor | float, radial: Tensor) -> Tensor:
    return p * radial if isinstance(p, float) else p[..., None, :] * radial


def _radial(u: Tensor, degree: int, zetas: tuple[float, ...], config: OrbitalConfig) -> tuple[Tensor, Tensor]:
    """F and 2 dF/du of each exponent, (..., exponents, points)."""
    end = (config.r_cut / BOHR) ** 2
    s = (u + config.softening**2).sqrt()[..., None, :]
    zeta = torch.tensor(zetas, dtype=u.dtype, device=u.device)[:, None]
    norm = torch.tensor([orbital_norm(degree, z) for z in zetas], dtype=u.dtype, device=u.device)[:, None]
    inside = (1 - u / end).clamp(min=0)[..., None, :]
    e = norm * torch.exp(-zeta * s) * inside.square()
    return e * inside, -e * (zeta * inside / s + 6 / end)


def orbital_norm(degree: int, zeta: float) -> float:
    """Of r^l exp(-ζ r) Y_lm, times sqrt(4π)."""
    power = 2 * degree + 3
    return math.sqrt(4 * math.pi * (2 * zeta) ** power / math.factorial(power - 1))


def _harmonics(v: Tensor, degree: int) -> tuple[list[Tensor | float], list[tuple[Tensor | float, ...]]]:
    """Solid harmonics r^l Y_lm over those of e3nn's "integral" normalisation, each with its gradient; e3nn's order."""
    x, y, z = v.unbind(dim=-2)
    c = math.sqrt((2 * degree + 1) / (4 * math.pi))
    if degree == 0:
        return [c], [(0.0, 0.0, 0.0)]
    if degree == 1:
        return [c * x, c * y, c * z], [(c, 0.0, 0.0), (0.0, c, 0.0), (0.0, 0.0, c)]
    a, h = c * math.sqrt(3), c * math.sqrt(3) / 2
    values = [a * x * z, a * x * y, c * (y * y - (x * x + z * z) / 2), a * y * z, h * (z * z - x * x)]
    gradients: list[tuple[Tensor | float, ...]] = [
        (a * z, 0.0, a * x),
        (a * y, a * x, 0.0),
        (-c * x, 2 * c * y, -c * z),
        (0.0, a * z, a * y),
        (-2 * h * x, 0.0, 2 * h * z),
    ]
    return list(values), gradients
