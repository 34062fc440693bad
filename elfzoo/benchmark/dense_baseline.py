"""The peer: a plain dense torch implementation with one rounded minimum image, as in the paper's public code.

All atoms times all points of a batch of 1024, each atom in the one image that rounding of fractional differences
picks. Right where the cutoff fits twice into a cubic cell, wrong in small or skewed cells. Kept reasonably fast: it is
what speed is measured against.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor

from elfzoo.errors import ElfzooError
from elfzoo.models import GridMLP

__all__ = ["BATCH", "dense_elf"]

BATCH = 1024


def one_image_vectors(frac_points: Tensor, frac_atoms: Tensor, lattice: Tensor) -> Tensor:
    """(points, atoms, 3) vectors from points to atoms in the image that rounding picks, Å."""
    difference = frac_atoms[None] - frac_points[:, None]
    return (difference - torch.round(difference)) @ lattice


def dense_features(vectors: Tensor, model: GridMLP) -> Tensor:
    """(points, features) of the paper's power spectrum (l ≤ 2, one channel) from dense vectors."""
    config = model.config.descriptor
    if config.smooth or config.l_max != 2 or config.channels != 1:
        raise ElfzooError(f"the dense baseline has the paper's descriptor only; got {config}")
    r = vectors.norm(dim=-1)
    cutoff = torch.where(r < config.r_cut, 0.5 * (torch.cos(math.pi / config.r_cut * r) + 1), torch.zeros_like(r))
    centres = torch.linspace(0, config.r_cut, config.n_radial)
    radial = torch.exp((r[..., None] - centres) ** 2 * (-0.5 / config.sigma**2)) * cutoff[..., None]
    c = torch.bmm(radial.transpose(1, 2), spherical_harmonics(vectors / r.clamp_min(1e-12)[..., None]))
    first, second = torch.triu_indices(config.n_radial, config.n_radial)
    parts = [c[:, :, l * l : (l + 1) ** 2] for l in range(3)]  # noqa: E741
    return torch.cat([(p @ p.transpose(1, 2))[:, first, second] for p in parts], dim=1)


def spherical_harmonics(unit: Tensor) -> Tensor:
    """(..., 9) real spherical harmonics to l = 2 of unit vectors."""
    x, y, z = unit.unbind(-1)
    a, b = math.sqrt(3 / (4 * math.pi)), math.sqrt(15 / (4 * math.pi))
    l2 = [b * x * y, b * y * z, b / math.sqrt(12) * (3 * z * z - 1), b * x * z, b / 2 * (x * x - y * y)]
    return torch.stack([torch.full_like(x, math.sqrt(1 / (4 * math.pi))), a * y, a * z, a * x, *l2], dim=-1)


def dense_elf(
    model: GridMLP, structure: Structure, frac_points: Float[np.ndarray, "points 3"]
) -> Float[np.ndarray, " points"]:
    """ELF at fractional points by the dense implementation with the model's own weights.

    Raises:
        ElfzooError: a model with another descriptor than the paper's.
    """
    atoms = torch.tensor(structure.frac_coords, dtype=torch.float32)
    lattice = torch.tensor(structure.lattice.matrix.copy(), dtype=torch.float32)
    points = torch.tensor(frac_points, dtype=torch.float32)
    with torch.no_grad():
        batches = points.split(BATCH)
        parts = [model.head(dense_features(one_image_vectors(b, atoms, lattice), model)) for b in batches]
    return torch.sigmoid(torch.cat(parts)).numpy()
