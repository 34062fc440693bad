"""Superposed free-atom densities (SAD) as the channels that a field model sees. All of them are scalars: a space-group
operation moves their values and nothing else, which the components of a gradient would not allow."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from pymatgen.core import Element, Structure
from scipy import fft

from elfzoo.config import config_class
from elfzoo.errors import ConfigError
from elfzoo.grid import Grid
from elfzoo.interpolate import shortest_waves
from elfzoo.transforms.free_atoms import superposed_density

__all__ = ["SadConfig", "gradient_norm", "sad_channels"]

BLOCKS = "spdf"


@config_class
class SadConfig:
    """Channels made of the superposed densities; the total is always the first.

    Args:
        blocks: add the densities of the atoms of the s, p, d and f block, apart.
        gradient: add the length of the total's gradient.
        scale: e/Å³; the channels are arsinh(n / scale), about linear below and logarithmic above, so that semicore
            shells do not dwarf bonds (for the gradient, e/Å⁴). Null leaves densities as they are.
        smoothing: standard deviation, Å, of a Gaussian; see :func:`elfzoo.transforms.free_atoms.superposed_density`.
    """

    blocks: bool = False
    gradient: bool = True
    scale: float | None = 0.5
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.smoothing < 0 or (self.scale is not None and self.scale <= 0):
            raise ConfigError(f"smoothing must not be negative, scale be positive; got {self.smoothing}, {self.scale}")

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return 1 + len(BLOCKS) * self.blocks + self.gradient


def sad_channels(structure: Structure, grid: Grid, config: SadConfig) -> Float[np.ndarray, "channels nx ny nz"]:
    """The channels on a grid.

    Each atom's density holds its :func:`~elfzoo.transforms.free_atoms.valence_electrons`, on any grid exactly.

    Args:
        structure: any cell.
        grid: on its lattice.
        config: which channels.

    Raises:
        ElfzooError: an element without a table entry, or a grid on another lattice.
    """
    total = superposed_density(structure, grid, config.smoothing)
    channels = [total]
    if config.blocks:
        channels += [_of_block(structure, grid, block, config.smoothing) for block in BLOCKS]
    if config.gradient:
        channels.append(gradient_norm(total, grid))
    stacked = np.stack(channels)
    return stacked if config.scale is None else np.arcsinh(stacked / config.scale)


def gradient_norm(values: Float[np.ndarray, "nx ny nz"], grid: Grid) -> Float[np.ndarray, "nx ny nz"]:
    """Length of the gradient, per Å, of a field without waves beyond half of the shortest vector of n_i b_i."""
    spectrum = fft.fftn(values)
    waves = 2 * np.pi * shortest_waves(grid) @ np.linalg.inv(grid.lattice).T
    components = (fft.ifftn(1j * k.reshape(grid.shape) * spectrum).real for k in waves.T)
    return np.sqrt(sum(component**2 for component in components))


def _of_block(structure: Structure, grid: Grid, block: str, smoothing: float) -> np.ndarray:
    chosen = [i for i, z in enumerate(structure.atomic_numbers) if Element.from_Z(z).block == block]
    if not chosen:
        return np.zeros(grid.shape)
    return superposed_density(Structure.from_sites([structure[i] for i in chosen]), grid, smoothing)
