"""Superposed free-atom valence densities (SAD) on periodic grids, exact in reciprocal space.

n(G) = (1/V) Σ_a f_Z(|G|) e^{-iG·r_a} with the form factors in ``tables/free_atoms.npz``: spherical, not spin-polarised
PBE atoms of gpaw-data 1.2.1's PAW setups, valence and semicore electrons as these setups have them. The density is the
all-electron valence density outside of the setup's largest augmentation radius (0.48 Å for H, 0.6 to 1.4 Å for others)
and a positive, smooth one of the same charge inside; :mod:`elfzoo.reference.free_atoms` makes the table and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int
from pymatgen.core import Element, Structure
from scipy.fft import irfftn
from scipy.interpolate import CubicSpline

from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.interpolate import alias_steps

__all__ = ["form_factor", "from_form_factors", "superposed_density", "tabulated_valence", "valence_electrons"]


def superposed_density(structure: Structure, grid: Grid, smoothing: float = 0.0) -> Float[np.ndarray, "nx ny nz"]:
    """Sum of the free atoms' valence densities over all periodic images, in electrons/Å³.

    The wave vectors are those in the largest sphere that the grid represents without ambiguity: k_max is half of the
    shortest vector of the lattice n_i b_i. The sphere has no Nyquist terms and every symmetry, so the density is real,
    symmetric under each operation that maps the grid onto itself, and the same for another basis or a supercell. Its
    mean times the volume is the number of valence electrons. Up to spacings of 0.15 Å next to nothing is lost; coarser
    grids ring at compact shells (Mg, the worst, falls to -0.004 e/Å³ at 0.2 Å and to -0.17 at 0.3 Å), which
    ``smoothing`` by half a spacing cures (-0.0008 and -0.011).

    Args:
        structure: any cell.
        grid: on the structure's lattice.
        smoothing: standard deviation, Å, of a Gaussian that the density is convolved with.

    Raises:
        ElfzooError: an element without a table entry, a grid on another lattice, or a negative smoothing.
    """
    grid.require_cell_of(structure)
    if not (np.isfinite(smoothing) and smoothing >= 0):
        raise ElfzooError(f"smoothing must be a length in Å, zero or more; got {smoothing}")

    def smooth(z: int, k: np.ndarray) -> np.ndarray:
        return form_factor(z, k) * np.exp(-0.5 * (smoothing * k) ** 2)

    return from_form_factors(structure, grid, smooth)


def from_form_factors(
    structure: Structure,
    grid: Grid,
    factor: Callable[[int, Float[np.ndarray, " waves"]], Float[np.ndarray, " waves"]],
    k_max: float = np.inf,
) -> Float[np.ndarray, "nx ny nz"]:
    """Sum of spherical functions at the atoms over all periodic images, from their Fourier transforms, per Å³.

    Args:
        structure: any cell.
        grid: on the structure's lattice.
        factor: of an atomic number and wave numbers in rad/Å.
        k_max: rad/Å, beyond which there is nothing; the sphere of :func:`superposed_density` where that is smaller.
    """
    nx, ny, nz = grid.shape
    spectrum = np.zeros((nx, ny, nz // 2 + 1), dtype=np.complex128)
    for plane in _planes(structure, grid, min(k_max, _band_limit(grid))):
        total = 0.0
        for z, structure_factor in plane.structure_factors.items():
            total = total + factor(z, plane.k) * structure_factor[plane.inside]
        spectrum[plane.indices] = total
    return irfftn(spectrum, s=grid.shape, norm="forward") / abs(np.linalg.det(grid.lattice))


def form_factor(z: int, k: Float[np.ndarray, "*waves"]) -> Float[np.ndarray, "*waves"]:
    """Fourier transform of element ``z``'s valence density, electrons, at wave numbers ``k`` in rad/Å.

    Zero beyond the table's 68 rad/Å, where nothing exceeds 1e-7 of the charge.

    Raises:
        ElfzooError: the element has no table entry.
    """
    return np.where(k <= _table().k_max, _table().spline(z)(k), 0.0)


def valence_electrons(numbers: Int[np.ndarray, " atoms"]) -> Int[np.ndarray, " atoms"]:
    """Number of valence electrons of each atom, from atomic numbers; what :func:`superposed_density` sums up to.

    Raises:
        ElfzooError: an element has no table entry.
    """
    counts = {int(z): round(float(_table().spline(int(z))(0.0))) for z in np.unique(numbers)}
    return np.array([counts[int(z)] for z in numbers], dtype=np.int64)


def tabulated_valence(symbol: str) -> int | None:
    """Number of valence electrons of an element's atom, from its symbol; None where it has no table entry."""
    spline = _table().splines.get(Element(symbol).Z)
    return None if spline is None else round(float(spline(0.0)))


@dataclass(frozen=True, eq=False)
class _Table:
    """Splines by atomic number."""

    splines: dict[int, CubicSpline]
    k_max: float

    def spline(self, z: int) -> CubicSpline:
        if z not in self.splines:
            known = ", ".join(Element.from_Z(number).symbol for number in self.splines)
            raise ElfzooError(f"no free-atom density of {Element.from_Z(z).symbol}; there are those of {known}")
        return self.splines[z]


@lru_cache(maxsize=1)
def _table() -> _Table:
    source = resources.files("elfzoo") / "transforms" / "tables" / "free_atoms.npz"
    with source.open("rb") as file, np.load(file) as arrays:
        numbers, k, factors = (arrays[key] for key in ("numbers", "k", "form_factors"))
    ends = ((1, 0.0), (2, 0.0))  # even functions of k
    splines = [CubicSpline(k, f.astype(np.float64), bc_type=ends) for f in factors]
    return _Table(dict(zip(numbers.tolist(), splines, strict=True)), float(k[-1]))


@dataclass(frozen=True, eq=False)
class _Plane:
    """Wave vectors of one plane of the half-spectrum.

    Args:
        k: (waves,) wave numbers inside of the sphere, rad/Å.
        inside: (h2, h3) which of the plane's candidates they are.
        indices: where each one sits in the half-spectrum.
        structure_factors: by atomic number, (h2, h3): Σ_a e^{-iG·r_a}.
    """

    k: Float[np.ndarray, " waves"]
    inside: Bool[np.ndarray, "h2 h3"]
    indices: tuple[int, Int[np.ndarray, " waves"], Int[np.ndarray, " waves"]]
    structure_factors: dict[int, np.ndarray]


def _planes(structure: Structure, grid: Grid, k_max: float) -> Iterator[_Plane]:
    """Wave vectors below ``k_max``, plane by plane of equal first index; phases are products along the axes."""
    h1, h2, h3 = _candidates(grid, k_max)
    to_cartesian = 2 * np.pi * np.linalg.inv(grid.lattice)
    numbers, frac = np.array(structure.atomic_numbers), structure.frac_coords
    phases = [np.exp(-2j * np.pi * np.outer(h, x)) for h, x in zip((h1, h2, h3), frac.T, strict=True)]
    species = {int(z): np.flatnonzero(numbers == z) for z in np.unique(numbers)}
    rest = h2[:, None, None] * to_cartesian[:, 1] + h3[None, :, None] * to_cartesian[:, 2]
    for row, h in enumerate(h1):
        k = np.linalg.norm(rest + h * to_cartesian[:, 0], axis=-1)
        inside = k < k_max * (1 - 1e-9)
        where = np.nonzero(inside)
        indices = (int(h % grid.shape[0]), h2[where[0]] % grid.shape[1], h3[where[1]] % grid.shape[2])
        sums = {z: (phases[1][:, a] * phases[0][row, a]) @ phases[2][:, a].T for z, a in species.items()}
        yield _Plane(k[inside], inside, indices, sums)


def _candidates(grid: Grid, k_max: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices h_i along each axis that the sphere may hold; of the third, those that the half-spectrum stores.

    In skewed cells the sphere reaches beyond n/2, and such a wave vector is stored at h modulo n.
    """
    reach = np.floor(k_max * np.linalg.norm(grid.lattice, axis=1) / (2 * np.pi)).astype(int)
    h1, h2, h3 = (np.arange(-n, n + 1) for n in reach)
    return h1, h2, h3[h3 % grid.shape[2] <= grid.shape[2] // 2]


def _band_limit(grid: Grid) -> float:
    """Half of the shortest vector of the lattice n_i b_i, rad/Å: below it, no two wave vectors agree on the grid."""
    reduced = 2 * np.pi * alias_steps(grid) @ np.linalg.inv(grid.lattice).T
    combinations = np.array([c for c in product(range(-3, 4), repeat=3) if any(c)])
    return float(np.linalg.norm(combinations @ reduced, axis=1).min() / 2)
