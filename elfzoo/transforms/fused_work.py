"""What the compiled kernels (:mod:`~elfzoo.transforms.fused`, :mod:`~elfzoo.transforms.probe_fields`,
:mod:`~elfzoo.transforms.latent_fields`) have to do: additions, multiplications and bytes.

Counted from the headers in ``native``: an addition or a multiplication is one operation, a fused multiply-add two,
the processor's first guess of 1/x or 1/sqrt(x) one; minima, maxima, comparisons and shifts of bits are none. Pairs of a
point and an image beyond the cutoff need no work; that the kernels meet some of them in a vector of points, that of
latent functions in a tile of 64, shows as a lower share of the processor's peak.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from elfzoo.grid import Grid
from elfzoo.transforms.latent_fields import LatentLayout
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig
from elfzoo.transforms.probe_fields import FieldLayout, n_steps
from elfzoo.transforms.radial_density import BLOCKS

__all__ = [
    "COUNTED",
    "FIELDS_COUNTED",
    "LATENT_COUNTED",
    "bytes_of_fields",
    "bytes_of_kernel",
    "bytes_of_latent",
    "flops_per_field_pair",
    "flops_per_field_point",
    "flops_per_latent_pair",
    "flops_per_latent_point",
    "flops_per_pair",
    "flops_per_point",
    "n_pairs",
]

COUNTED = (
    "additions and multiplications of the compiled kernel for the pairs of a point and an atom within the cutoff, and "
    "of the network; bytes of points, logits, atoms and weights, each once; not what makes points and takes logits"
)
FIELDS_COUNTED = (
    "additions and multiplications of the compiled kernel for the pairs of a point and an atom within its reach, and "
    "of products and network; bytes of points, logits and weights, each once, and of each atom's table, written once "
    "and read once; not what makes points, atoms' states and tables"
)
LATENT_COUNTED = (
    "additions and multiplications of the compiled kernel for the pairs of a point and an atom within the cutoff, and "
    "of features and network; bytes of points, logits, coefficients and weights, each once; not what makes points and "
    "atoms' states"
)
GUESS = 1  # the processor's own instruction
RECIPROCAL, RSQRT = GUESS + 3, GUESS + 5  # with one step of Newton's method
EXP, LOG, CUTOFF, DISTANCE = 21, 29, 15, 8
SPLINE = 3 + 18  # the step and the place in it, four cubic B-splines
ARSINH = 30  # of the C library, about
HARMONICS = (0, 3, 15, 24, 29)  # of each degree, products of coordinates shared
MIRROR_FROM = 20.0  # exponent from which the mirror image of a radial function is below single precision
STANDARDISE = 2
BYTES_OF_POINT = 3 * 8 + 4  # a position comes, a logit goes
BYTES_OF_IMAGE = 3 * 8  # and four for each channel


def n_pairs(positions: Float[np.ndarray, "atoms 3"], grid: Grid, r_cut: float) -> int:
    """Pairs of a grid point and an image of an atom less than ``r_cut`` apart, all images counted, exactly.

    They are the points of the endless grid around each atom. Along a row of it the points in reach are the integers
    between the roots of a quadratic.

    Args:
        positions: (atoms, 3) Cartesian, Å.
        grid: any cell.
        r_cut: Å.
    """
    steps = grid.lattice / np.array(grid.shape)[:, None]
    reach = np.ceil(r_cut * np.linalg.norm(np.linalg.inv(steps), axis=0)).astype(int) + 1
    i, j = (np.arange(-n, n + 1) for n in reach[:2])
    rows = (i[:, None, None] * steps[0] + j[None, :, None] * steps[1]).reshape(-1, 3)
    frac = positions @ np.linalg.inv(steps)
    offsets = (frac - np.round(frac)) @ steps  # from the nearest grid point to the atom
    return sum(_points_in_reach(rows - offset, steps[2], r_cut) for offset in offsets)


def _points_in_reach(starts: Float[np.ndarray, "rows 3"], step: Float[np.ndarray, " 3"], r_cut: float) -> int:
    """Integers k with |start + k·step| < r_cut, over all rows."""
    squared = float(step @ step)
    middle = -(starts @ step) / squared
    half = middle**2 - (np.einsum("rx,rx->r", starts, starts) - r_cut**2) / squared
    middle, half = middle[half > 0], np.sqrt(half[half > 0])
    return int((np.ceil(middle + half) - np.floor(middle - half) - 1).sum())


def flops_per_pair(config: PowerSpectrumConfig) -> int:
    """Of a point and an image within the cutoff: radial functions, harmonics, and their products summed up."""
    n, channels = config.n_radial, config.channels
    length = DISTANCE + RSQRT + 1  # |x|² and |x|
    cutoff = 2 + CUTOFF
    unit = 3 + (1 + RSQRT if config.smooth else 0)
    harmonics = sum(HARMONICS[: config.l_max + 1])
    weights = 1 if channels == 1 else channels * n
    return length + cutoff + unit + harmonics + _radial(config) + weights + 2 * n * channels * (config.l_max + 1) ** 2


def _radial(config: PowerSpectrumConfig) -> int:
    """Two exponentials and a recurrence, from the middle in both directions; the mirror images of a smooth one."""
    first = (1 + EXP + RECIPROCAL) + (1 + 3 + EXP)
    mirrored = sum(n * n * 0.5 / config.sigma_ratio**2 < MIRROR_FROM for n in range(config.n_radial))
    return first + 2 * (config.n_radial - 1) + (3 * mirrored if config.smooth else 0)


def flops_per_point(config: PowerSpectrumConfig, widths: Sequence[int]) -> int:
    """Of a point, whatever its neighbours: power spectrum, standardisation, network.

    Args:
        config: of the power spectrum.
        widths: of features, hidden layers and output.
    """
    per_degree = config.n_features // (config.l_max + 1)
    spectrum = sum(per_degree * (2 * (2 * degree + 1) - 1) for degree in range(config.l_max + 1))
    return spectrum + STANDARDISE * config.n_features + _network(widths)


def _network(widths: Sequence[int]) -> int:
    layers = sum(2 * n_in * n_out for n_in, n_out in pairwise(widths))
    return layers + (EXP + 1 + RECIPROCAL + 1) * sum(widths[1:-1])


def _weights(widths: Sequence[int]) -> int:
    return 2 * widths[0] + sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))


def bytes_of_kernel(config: PowerSpectrumConfig, widths: Sequence[int], points: int, images: int) -> int:
    """Read and written once: points and logits, images, the network; all that lies between stays in the caches."""
    return points * BYTES_OF_POINT + images * (BYTES_OF_IMAGE + 4 * config.channels) + 4 * _weights(widths)


def flops_per_field_pair(layout: FieldLayout) -> int:
    """Of a point and an image within its reach: four coefficients for each harmonic, in every column."""
    length = DISTANCE + 3 + RSQRT + 1  # x over the stretch, |x|² and |x|
    harmonics = 3 + 1 + RSQRT + sum(HARMONICS[: layout.expansion.l_max + 1])
    return length + SPLINE + harmonics + 4 * layout.harmonics * (1 + 2 * layout.n_columns)


def flops_per_field_point(layout: FieldLayout, widths: Sequence[int]) -> int:
    """Of a point, whatever its neighbours: products of fields, standardisation, network."""
    products = sum(mul * (mul + 1) // 2 * 2 * dim for mul, dim in layout.kinds[1:])
    free = (len(BLOCKS) + 6 + 1 + (2 + len(BLOCKS)) * (1 + ARSINH)) if layout.free_atoms else 0
    return products + free + STANDARDISE * widths[0] + _network(widths)


def bytes_of_fields(layout: FieldLayout, widths: Sequence[int], points: int, atoms: int) -> int:
    """Points and logits once, the network, and each atom's table written once and read once."""
    table = (n_steps(layout.expansion) + 3) * layout.harmonics * layout.width
    return points * BYTES_OF_POINT + 4 * (2 * atoms * table + _weights(widths))


def flops_per_latent_pair(layout: LatentLayout) -> int:
    """Of a point and an image within the cutoff: orbitals with gradients, and their products with the coefficients."""
    distance = 3 + 3 + 5 + 1 + RSQRT  # a vector in bohr, its square, the softened one
    products = 2 * 4 * sum(2 * degree + 1 for degree, _ in layout.shells) * layout.n_functions
    return distance + sum(_shell(degree) for degree, _ in layout.shells) + products


def _shell(degree: int) -> int:
    """A Slater function without cusp in its envelope, one derivative, and all components with their gradients."""
    width = 2 * degree + 1
    exponential = RECIPROCAL + 1 + (1 + EXP + 1) + 2
    envelope = 2 + 2 + 2
    radial = exponential + envelope + 1 + 3  # value and derivative of the product
    harmonics = (0, 0, 15)[degree]
    return radial + harmonics + width * (1 + 2 + 3 * 3)


def flops_per_latent_point(layout: LatentLayout, widths: Sequence[int]) -> int:
    """Of a point, whatever its neighbours: the features of the functions, standardisation, network.

    Args:
        layout: of the functions.
        widths: of features, hidden layers and output.
    """
    n = layout.n_functions
    sums = n * (2 + 3 * 2 + 3 * (3 + 2) + 1)  # n and its gradient, what each function adds to χ, and over √n
    pairs = [mul * (mul + 1) // 2 * 2 * dim for mul, dim in layout.kinds]
    along = 3 * 2 * layout.scalars
    alone = 3 * LOG + EXP + 2 * RECIPROCAL + 3 * RSQRT + 23
    slope = 2  # times the functions' own logit, plus the network's
    features = sums + sum(pairs[1:]) + 3 * sum(pairs) + along + alone
    return features + STANDARDISE * widths[0] + _network(widths) + slope


def bytes_of_latent(layout: LatentLayout, widths: Sequence[int], points: int, atoms: int) -> int:
    """Points and logits once, the network, and each atom's coefficients."""
    coefficients = sum(2 * degree + 1 for degree, _ in layout.shells) * layout.n_functions
    return points * BYTES_OF_POINT + 4 * (atoms * coefficients + _weights(widths))
