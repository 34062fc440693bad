"""Exchange-correlation potentials on a grid, hartree atomic units, not spin-polarised.

LDA: Perdew and Wang, Phys. Rev. B 45, 13244 (1992); PBE: Perdew, Burke and Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996).
The potential of a gradient functional f(n, |∇n|²) is ∂f/∂n - 2 ∇·(∂f/∂|∇n|² ∇n); derivatives of f by automatic
differentiation, those of fields by Fourier series.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy import fft
from torch import Tensor

from elfzoo.grid import Grid

__all__ = ["Functional", "energy_density", "gradient", "potential"]

Functional = Literal["LDA", "PBE"]
KAPPA, MU, BETA = 0.804, 0.2195149727645171, 0.06672455060314922
GAMMA = (1 - math.log(2)) / math.pi**2


def potential(n: Float[np.ndarray, "nx ny nz"], grid: Grid, functional: Functional) -> Float[np.ndarray, "nx ny nz"]:
    """Exchange-correlation potential (hartree) of a density.

    Args:
        n: positive, 1/bohr³.
        grid: where it lies; lattice in bohr.
        functional: LDA, or PBE.
    """
    slope = gradient(n, grid) if functional == "PBE" else np.zeros((3, *n.shape))
    with torch.inference_mode(False), torch.enable_grad():  # whatever the caller has switched off
        density = torch.from_numpy(n).requires_grad_()
        squared = torch.from_numpy((slope**2).sum(axis=0)).requires_grad_(functional == "PBE")
        energy_density(density, squared).sum().backward()
    local = density.grad.numpy()  # type: ignore[union-attr]
    if functional == "LDA":
        return local
    flow = squared.grad.numpy() * slope  # type: ignore[union-attr]
    return local - 2 * sum(gradient(part, grid)[x] for x, part in enumerate(flow))


def gradient(values: Float[np.ndarray, "nx ny nz"], grid: Grid) -> Float[np.ndarray, "3 nx ny nz"]:
    """Gradient of the Fourier series through values, per unit of the grid's lattice."""
    nx, ny, nz = grid.shape
    waves = np.meshgrid(fft.fftfreq(nx, 1 / nx), fft.fftfreq(ny, 1 / ny), np.arange(nz // 2 + 1.0), indexing="ij")
    for h, size in zip(waves, grid.shape, strict=True):
        h[2 * np.abs(h) == size] = 0.0  # the derivative of a Nyquist wave vanishes at the points
    k = np.einsum("hxyz,hc->cxyz", np.stack(waves), 2 * np.pi * np.linalg.inv(grid.lattice).T)
    return fft.irfftn(1j * k * fft.rfftn(values), grid.shape, axes=(1, 2, 3))


def energy_density(n: Float[Tensor, "*points"], squared: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
    """n ε_xc of PBE, of LDA where the squared gradient is zero; hartree / bohr³.

    Args:
        n: density, 1/bohr³.
        squared: |∇n|², 1/bohr⁸.
    """
    s2 = squared / (4 * (3 * math.pi**2) ** (2 / 3) * n ** (8 / 3))
    exchange = -0.75 * (3 / math.pi) ** (1 / 3) * n ** (4 / 3) * (1 + KAPPA - KAPPA / (1 + MU * s2 / KAPPA))
    rs = (3 / (4 * math.pi * n)) ** (1 / 3)
    uniform = _correlation(rs)
    t2 = squared * math.pi / (16 * (3 * math.pi**2) ** (1 / 3) * n ** (7 / 3))
    a = BETA / GAMMA / torch.expm1(-uniform / GAMMA)
    more = BETA / GAMMA * t2 * (1 + a * t2) / (1 + a * t2 + (a * t2) ** 2)
    return exchange + n * (uniform + GAMMA * torch.log1p(more))


def _correlation(rs: Tensor) -> Tensor:
    """Correlation energy of an electron of the gas."""
    a, a1, b = 0.031090690869654895, 0.21370, (7.5957, 3.5876, 1.6382, 0.49294)
    root = rs.sqrt()
    series = b[0] * root + b[1] * rs + b[2] * rs * root + b[3] * rs**2
    return -2 * a * (1 + a1 * rs) * torch.log1p(1 / (2 * a * series))
