"""Confined atomic orbitals: softened Slater functions that end at a cutoff, with their gradients and Laplacians.

A shell of angular momentum l is P_lm(x, y, z) F(r²), with real solid harmonics P_lm and

    F(u) = exp(-ζ sqrt(u + a²)) (1 - u / r_c²)³   for u < r_c²,

so that the gradient is F ∇P + 2 F' P r and the Laplacian P (4 u F'' + (4 l + 6) F'). Without a the function has the
cusp of the hydrogen atom, which an orbital of a pseudopotential has not; the envelope makes its matrix elements finite
in number, as the confined orbitals of SIESTA (Soler et al., J. Phys.: Condens. Matter 14, 2745 (2002)).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from elfzoo.config import config_class
from elfzoo.errors import ConfigError

__all__ = ["BOHR", "BasisConfig", "Shell", "Values", "orbitals", "shell_norm"]

BOHR = 0.529177210903  # Å
ENVELOPE = 3  # power of the envelope: continuous second derivatives at the cutoff

Values = tuple[
    Float[np.ndarray, "functions points"],
    Float[np.ndarray, "3 functions points"],
    Float[np.ndarray, "functions points"],
]


@config_class
class Shell:
    """The 2 l + 1 orbitals of one radial function.

    Args:
        l: angular momentum, 0, 1 or 2.
        zeta: exponent ζ, 1/bohr.
    """

    l: int  # noqa: E741
    zeta: float

    def __post_init__(self) -> None:
        if self.l not in (0, 1, 2) or self.zeta <= 0:
            raise ConfigError(f"a shell has l = 0, 1 or 2 and a positive exponent; got l = {self.l}, {self.zeta}")


@config_class
class BasisConfig:
    """The orbitals of one hydrogen atom.

    Args:
        shells: radial functions.
        r_cut: where all of them end, Å.
        softening: a, bohr.
    """

    shells: tuple[Shell, ...] = (Shell(0, 0.4), Shell(0, 1.0), Shell(0, 2.2), Shell(1, 0.6), Shell(1, 1.6))
    r_cut: float = 2.6
    softening: float = 0.2

    def __post_init__(self) -> None:
        if not self.shells or self.r_cut <= 0 or self.softening <= 0:
            raise ConfigError(f"a basis has shells, a positive cutoff and a positive softening; got {self}")

    @property
    def size(self) -> int:
        """Orbitals of an atom."""
        return sum(2 * shell.l + 1 for shell in self.shells)


def orbitals(vectors: Float[np.ndarray, "atoms points 3"], basis: BasisConfig) -> Values:
    """Values (in units of its largest shell norm), gradients (1/bohr) and Laplacians (1/bohr²) of all orbitals.

    Args:
        vectors: from atoms to points, bohr; orbitals of atoms further away than the cutoff are zero.
        basis: of each atom.

    Returns:
        In the precision of the vectors. Functions are ordered by atom, then as the shells are; of one shell (1),
        (x, y, z) or (xy, yz, zx, (x² - y²)/2, (3 z² - r²)/(2 √3)).
    """
    n_atoms, n_points, _ = vectors.shape
    u = np.einsum("apx,apx->ap", vectors, vectors)
    values = np.empty((n_atoms, basis.size, n_points), vectors.dtype)
    gradients, laplacians = np.empty((3, *values.shape), vectors.dtype), np.empty_like(values)
    at = 0
    for shell in basis.shells:
        f, df, ddf = _radial(u, shell, basis)
        for p, dp in _harmonics(vectors, shell.l):
            values[:, at] = p * f
            for x in range(3):
                gradients[x, :, at] = 2 * df * p * vectors[..., x] + f * dp[x]
            laplacians[:, at] = p * (4 * u * ddf + (4 * shell.l + 6) * df)
            at += 1
    flat = (n_atoms * basis.size, n_points)
    return values.reshape(flat), gradients.reshape(3, *flat), laplacians.reshape(flat)


def _radial(u: np.ndarray, shell: Shell, basis: BasisConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F and its first two derivatives by u = r²."""
    end = (basis.r_cut / BOHR) ** 2
    s = np.sqrt(u + basis.softening**2)
    e = shell_norm(shell) * np.exp(-shell.zeta * s)
    de = -shell.zeta / (2 * s) * e
    dde = (shell.zeta**2 / (4 * s**2) + shell.zeta / (4 * s**3)) * e
    inside = np.maximum(1 - u / end, 0.0)
    c, dc, ddc = inside**3, -3 / end * inside**2, 6 / end**2 * inside
    return e * c, de * c + e * dc, dde * c + 2 * de * dc + e * ddc


def shell_norm(shell: Shell) -> float:
    """Norm of the Slater function without softening and envelope, so that overlaps are of the order of 1."""
    power = 2 * shell.l + 3
    angular = (4 * math.pi, 4 * math.pi / 3, 4 * math.pi / 15)[shell.l]
    return math.sqrt((2 * shell.zeta) ** power / (math.factorial(power - 1) * angular))


def _harmonics(v: np.ndarray, degree: int) -> list[tuple[np.ndarray | float, tuple[np.ndarray | float, ...]]]:
    """Solid harmonics of a degree, each with its gradient."""
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    if degree == 0:
        return [(1.0, (0.0, 0.0, 0.0))]
    if degree == 1:
        return [(x, (1.0, 0.0, 0.0)), (y, (0.0, 1.0, 0.0)), (z, (0.0, 0.0, 1.0))]
    q = 1 / (2 * math.sqrt(3))
    return [
        (x * y, (y, x, 0.0)),
        (y * z, (0.0, z, y)),
        (z * x, (z, 0.0, x)),
        ((x * x - y * y) / 2, (x, -y, 0.0)),
        (q * (2 * z * z - x * x - y * y), (-2 * q * x, -2 * q * y, 4 * q * z)),
    ]
