"""Superposed free-atom densities at loose points, atom by atom: what a point model sees of elements that it never met.

n_Z(r) is the transform of :class:`elfzoo.transforms.sad.SuperposedDensity`'s form factors, tabulated on a line and read
by cubic Hermite interpolation. A model whose atoms have a reach sees each of them fade out before its end; so that the
sum is a smooth function of the point, and atoms beyond count for nothing.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from pymatgen.core import Element
from torch import Tensor
from torch_geometric.utils import scatter

from elfzoo.errors import ElfzooError
from elfzoo.interpolate import cosine_window
from elfzoo.transforms.free_atoms import form_factor, tabulated_valence
from elfzoo.transforms.sad import WINDOW

__all__ = ["BLOCKS", "N_FEATURES", "SCALE", "block_table", "faded_density", "radial_density", "sad_features"]

STEP, RADIUS = 0.02, 10.0  # Å; of the table
WAVES = 0.01  # rad/Å; step of the transform: images of the table's atom are 2π/0.01 Å away
SCALE = 0.5  # e/Å³ (e/Å⁴ for the gradient), below which arsinh is about linear
FULL = 0.7  # of an atom's reach, up to which it counts in full
BLOCKS = "spdf"
N_FEATURES = 2 + len(BLOCKS)


def sad_features(
    vectors: Float[Tensor, "edges 3"],
    z: Int[Tensor, " edges"],
    reach: Float[Tensor, " edges"] | float,
    receiver: Int[Tensor, " edges"],
    n_points: int,
) -> Float[Tensor, "points features"]:
    """arsinh of the superposed density, of the length of its gradient, and of the parts of s, p, d and f atoms.

    Args:
        vectors: from the point to the atom, Å.
        z: atomic number of the atom.
        reach: Å, where the atom's density has faded out.
        receiver: the point of each edge.
        n_points: a point without edges gets zeros.

    Raises:
        ElfzooError: an element without a free-atom density.
    """
    distance = torch.linalg.norm(vectors, dim=1)
    density, slope = faded_density(distance, z, reach)
    gradient = vectors * (slope / distance.clamp(min=1e-9))[:, None]
    columns = [density[:, None] * block_table().to(vectors)[z], density[:, None], gradient]
    summed = scatter(torch.cat(columns, dim=1), receiver, dim=0, dim_size=n_points, reduce="sum")
    blocks, total, whole = summed.split([len(BLOCKS), 1, 3], dim=1)
    return torch.asinh(torch.cat([total, torch.linalg.norm(whole, dim=1, keepdim=True), blocks], dim=1) / SCALE)


def radial_density(
    distance: Float[Tensor, " edges"], z: Int[Tensor, " edges"]
) -> tuple[Float[Tensor, " edges"], Float[Tensor, " edges"]]:
    """Density of free atoms (e/Å³) at distances from their nuclei (Å), and its slope; zero beyond 10 Å.

    Raises:
        ElfzooError: an element without a free-atom density.
    """
    numbers, row = torch.unique(z, return_inverse=True)
    values, slopes = (part.to(distance) for part in _table(tuple(numbers.tolist())))
    place = (distance / STEP).clamp(max=RADIUS / STEP - 1.001)
    left = place.floor().long()
    t = place - left
    y0, y1 = values[row, left], values[row, left + 1]
    m0, m1 = slopes[row, left] * STEP, slopes[row, left + 1] * STEP
    found = (1 + 2 * t) * (1 - t) ** 2 * y0 + t * (1 - t) ** 2 * m0 + t**2 * (3 - 2 * t) * y1 + t**2 * (t - 1) * m1
    slope = 6 * t * (t - 1) * (y0 - y1) + (1 - t) * (1 - 3 * t) * m0 + t * (3 * t - 2) * m1
    near = (distance < RADIUS - STEP).to(distance)
    return found * near, slope / STEP * near


def faded_density(
    distance: Float[Tensor, " edges"], z: Int[Tensor, " edges"], reach: Float[Tensor, " edges"] | float
) -> tuple[Float[Tensor, " edges"], Float[Tensor, " edges"]]:
    """:func:`radial_density` times a function that falls smoothly from 1 to 0 over the last part of the reach (Å)."""
    density, slope = radial_density(distance, z)
    x = ((distance / reach - FULL) / (1 - FULL)).clamp(0, 1)
    fade = 1 - x**3 * (10 - 15 * x + 6 * x**2)
    steep = -30 * x**2 * (1 - x) ** 2 / ((1 - FULL) * reach)
    return density * fade, slope * fade + density * steep


@lru_cache(maxsize=64)
def _table(numbers: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Densities and slopes of some elements, a row each."""
    rows = [_row(z) for z in numbers] or [(np.zeros(2), np.zeros(2))]
    return tuple(torch.from_numpy(np.stack(column)).float() for column in zip(*rows, strict=True))  # type: ignore[return-value]


@lru_cache(maxsize=128)
def _row(z: int) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]:
    symbol = Element.from_Z(z).symbol
    if tabulated_valence(symbol) is None:
        raise ElfzooError(f"no free-atom density of {symbol}, which this model needs")
    k = np.arange(WAVES / 2, WINDOW[1], WAVES)
    r = np.arange(0, RADIUS + STEP, STEP)
    weights = k**2 * form_factor(z, k) * cosine_window(k, WINDOW) * WAVES / (2 * np.pi**2)
    kr = np.outer(np.maximum(r, 1e-6), k)
    bessel = np.sin(kr) / kr
    return bessel @ weights, ((np.cos(kr) - bessel) / np.maximum(r, 1e-6)[:, None]) @ weights


@lru_cache(maxsize=1)
def block_table() -> Float[Tensor, "numbers blocks"]:
    """Which block the element of an atomic number belongs to."""
    table = torch.zeros(119, len(BLOCKS))
    for z in range(1, 119):
        table[z, BLOCKS.index(Element.from_Z(z).block)] = 1.0
    return table
