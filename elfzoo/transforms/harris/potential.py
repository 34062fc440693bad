"""The potential that electrons of superposed hydrogen atoms make: GTH + Hartree + exchange and correlation.

Hartree atomic units inside.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import fft

from elfzoo.grid import Grid
from elfzoo.transforms.harris import xc
from elfzoo.transforms.harris.orbitals import BOHR
from elfzoo.transforms.harris.xc import Functional

__all__ = ["effective_potential"]

R_LOC, C1, C2 = 0.2, -4.17890044, 0.72446331  # GTH-PBE-q1 of hydrogen (Krack, Theor. Chem. Acc. 114, 145 (2005))


def effective_potential(
    positions: Float[np.ndarray, "atoms 3"], grid: Grid, exponent: float, functional: Functional
) -> tuple[Float[np.ndarray, "nx ny nz"], Float[np.ndarray, "nx ny nz"]]:
    """Local potential (hartree) of superposed 1s densities on a grid, and these densities (1/bohr³).

    Args:
        positions: of the protons, Å.
        grid: on their cell.
        exponent: ζ of the density ζ³/π exp(-2 ζ r) of each atom, 1/bohr.
        functional: of exchange and correlation.
    """
    phases, g2 = _structure_factor(positions, grid)
    volume = abs(np.linalg.det(grid.lattice / BOHR))
    density = phases / (1 + g2 / (4 * exponent**2)) ** 2 / volume
    long = np.divide(4 * np.pi, g2, out=np.zeros_like(g2), where=g2 > 0)
    x2 = g2 * R_LOC**2
    ion = np.exp(-x2 / 2) * (np.sqrt(8 * np.pi**3) * R_LOC**3 * (C1 + C2 * (3 - x2)) - long)
    potential = phases * ion / volume + long * density
    potential[0, 0, 0] = 0.0
    n = np.maximum(_to_points(density, grid), 1e-6)
    in_bohr = Grid(grid.shape, grid.lattice / BOHR)
    return _to_points(potential, grid) + xc.potential(n, in_bohr, functional), n


def _structure_factor(positions: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Σ exp(-i G r) and G² (1/bohr²) on the half-spectrum of the grid."""
    frac = positions @ np.linalg.inv(grid.lattice)
    nx, ny, nz = grid.shape
    waves = (fft.fftfreq(nx, 1 / nx), fft.fftfreq(ny, 1 / ny), np.arange(nz // 2 + 1.0))
    x, y, z = (np.exp(-2j * np.pi * np.outer(w, frac[:, a])) for a, w in enumerate(waves))
    planes = (x[:, None, :] * y[None, :, :]).reshape(nx * ny, -1)
    reciprocal = 2 * np.pi * np.linalg.inv(grid.lattice).T * BOHR
    waves_xyz = np.meshgrid(*waves, indexing="ij", sparse=True)
    g2 = sum(sum(w * b[i] for i, w in enumerate(waves_xyz)) ** 2 for b in reciprocal.T)
    return (planes @ z.T).reshape(nx, ny, -1), np.asarray(g2)


def _to_points(spectrum: np.ndarray, grid: Grid) -> np.ndarray:
    return fft.irfftn(spectrum, grid.shape, norm="forward")
