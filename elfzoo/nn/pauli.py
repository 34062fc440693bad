"""ELF of a few smooth functions as if they were occupied orbitals (Becke and Edgecombe 1990, doi:10.1063/1.458517).

With functions f_k in the place of orbitals (two electrons each in the density n), all in atomic units,

    n = ε + Σ f_k²,   D = ½ Σ |∇f_k|² - |Σ f_k ∇f_k|² / (2 n),   χ = D / (C_F n^(5/3)),   ELF = 1 / (1 + χ²),

D is the kinetic energy density above that of bosons of density n. D ≥ 0 by Cauchy and Schwarz, and written as

    D = ½ Σ |∇f_k - f_k g / n|² + ε |g|² / (2 n²),   g = Σ f_k ∇f_k = ½ ∇n,

nothing is subtracted from anything of its size, so that single precision will do where ELF goes to 1.
"""

from __future__ import annotations

import math

import torch
from e3nn import o3
from jaxtyping import Float
from torch import Tensor

__all__ = ["n_pauli_features", "pauli_features"]

UNIFORM = 0.3 * (3 * math.pi**2) ** (2 / 3)  # C_F: kinetic energy density of the uniform gas over n^(5/3)
DENSITY = 1e-4  # ε, 1/bohr³: far from every atom
CHI = 1e-3  # added to χ: the logit ends at 13.8, ELF at 1 - 1e-6


def pauli_features(fields: Float[Tensor, "4 functions points"], irreps: o3.Irreps) -> Float[Tensor, "features points"]:
    """Invariants of latent fields at points; the first one is u = -2 ln χ, the logit of their ELF.

    Then ln n, ln of |∇n|²/(8 n) (von Weizsäcker) over C_F n^(5/3), the even scalars over √n, and the inner products of
    all pairs of features of a kind: of their values over √n (but of scalars), and of what they add to D,
    a_k = (∇f_k - f_k g / n) / √(2 C_F n^(5/3)). The squares of a add up to χ. Last, what each even scalar adds to D
    along the gradient of the density.

    Args:
        fields: values, then derivatives along x, y, z (per bohr), of functions in units of bohr^(-3/2), ordered as in
            :mod:`elfzoo.nn.messages`: within a kind (component, copy) in C order.
        irreps: of the functions, even scalars first.
    """
    f, slopes = fields[0], fields[1:]
    n = DENSITY + f.square().sum(dim=0)
    g = (f * slopes).sum(dim=1)
    uniform = UNIFORM * n ** (5 / 3)
    a = (slopes - f * (g / n)[:, None]) * (2 * uniform).rsqrt()
    boson = 0.5 * g.square().sum(dim=0) / (n * uniform)
    chi = a.square().sum(dim=(0, 1)) + DENSITY * boson / n
    local = torch.stack([-2 * torch.log(chi + CHI), n.log(), torch.log(boson + CHI)])
    scaled, along = f * n.rsqrt(), g * (n * uniform).rsqrt()
    values, excess = _kinds(scaled[None], irreps), _kinds(a, irreps)
    products = [_inner(kind) for kind in (*values[1:], *excess)]
    scalars = irreps.count("0e")
    return torch.cat([local, scaled[:scalars], *products, (a[:, :scalars] * along[:, None]).sum(dim=0)])


def n_pauli_features(irreps: o3.Irreps) -> int:
    """How many numbers :func:`pauli_features` returns per point."""
    pairs = [mul * (mul + 1) // 2 for mul, _ in irreps]
    return 3 + 2 * irreps.count("0e") + 2 * sum(pairs) - pairs[0]


def _kinds(
    fields: Float[Tensor, "axes functions points"], irreps: o3.Irreps
) -> list[Float[Tensor, "parts mul points"]]:
    """The features of each kind, their components along all axes one after another."""
    blocks = fields.split([mul * ir.dim for mul, ir in irreps], dim=1)
    return [block.unflatten(1, (ir.dim, mul)).flatten(0, 1) for (mul, ir), block in zip(irreps, blocks, strict=True)]


def _inner(features: Float[Tensor, "parts mul points"]) -> Float[Tensor, "pairs points"]:
    """Inner products of all pairs; not as matrices of each point, which are too small to be fast."""
    rows = [(features[:, i:] * features[:, i : i + 1]).sum(dim=0) for i in range(features.shape[1])]
    return torch.cat(rows)
