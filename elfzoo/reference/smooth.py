"""Bring what an engine computed to the grid of a label, without what varies too fast.

**ELF.** Orbitals that end at G_max ring there, and the ELF, made of derivatives, shows it: a ripple with |G| near G_max
that moves with the cutoff and has no physics in it. For a hydrogen crystal at 100 GPa it is most of what separates an
ELF at 100 Ry from one at 200 Ry (MAE 0.0040; 0.0012 once it is taken out). It is taken out of
logit(ELF) = -2 ln χ, so that the result stays within (0, 1) and is band-limited: Fourier interpolation of the logit
gives it on any other grid.

**Density.** A sum of products of orbitals, it ends at 2 G_max by itself (37.8 rad/Å at 100 Ry), beyond what a grid of
0.10 Å holds (31.4 rad/Å along an axis). What lies beyond is faded out of the density itself, not of its logarithm: a
linear filter that leaves G = 0 alone keeps the number of electrons exactly, and a window of |G| alone keeps the
symmetry, which dropping waves box by box would break in hexagonal cells. For hydrogen at 100 GPa a window from 26 to
31 rad/Å changes the density by up to 0.0015 e/Å³ at the nuclei (of 2.4) and by up to 0.0002 beyond 0.3 Å from them;
the window of the ELF, 14 to 18, by 0.15 and 0.026.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from elfzoo.grid import Grid
from elfzoo.interpolate import fourier_resample, low_pass

__all__ = ["CLIP", "ON_GRID", "density_on_grid", "low_pass", "on_grid"]

CLIP = 1e-4  # ELF nearer to 0 or 1 than this has a logit that says nothing


def on_grid(
    elf: Float[np.ndarray, "nx ny nz"], grid: Grid, window: tuple[float, float] | None
) -> Float[np.ndarray, "mx my mz"]:
    """An ELF on another grid of the same cell, without what varies faster than ``window``.

    Args:
        elf: values within [0, 1].
        grid: the grid wanted.
        window: |G|, rad/Å, where the cosine window leaves 1 and where it reaches 0; None keeps everything.
    """
    if window is None and elf.shape == grid.shape:
        return elf
    values = np.clip(elf, CLIP, 1 - CLIP)
    logit = np.log(values / (1 - values))
    if window is not None:
        logit = low_pass(logit, grid.lattice, window)
    return 1 / (1 + np.exp(-fourier_resample(logit, grid.shape)))


def density_on_grid(
    density: Float[np.ndarray, "nx ny nz"], grid: Grid, window: tuple[float, float] | None
) -> Float[np.ndarray, "mx my mz"]:
    """A density on another grid of the same cell, with the same number of electrons; arguments as for :func:`on_grid`.

    The window should end below half of the shortest vector n_i b_i of ``grid``, which is π / spacing or more.
    """
    if window is not None:
        density = low_pass(density, grid.lattice, window)
    return fourier_resample(density, grid.shape)


ON_GRID = {"elf": on_grid, "density": density_on_grid}  # by quantity
