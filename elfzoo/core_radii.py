"""Core radii of the elements, the one table for leaving atomic cores out, and which points lie in them.

The radius is the largest augmentation radius of gpaw-data 1.2.1's PBE PAW setup (``transforms/tables/core_radii.json``,
made by :mod:`elfzoo.reference.free_atoms`). Outside of it pseudo-orbitals equal all-electron orbitals, so ELF means the
same whatever engine made it; inside, it shows how the core was softened. That is so in any element with core electrons:
sulphur and oxygen have a radius as calcium does. Hydrogen and helium have no core and are never masked.

The other candidate, the outermost ELF minimum of the free atom, does not mark where softened orbitals end: it lies
inside of the augmentation sphere in Li, Mg, Al and S (0.74 against 1.08 Å in Al) and outside in Ca, Y and La (1.32,
1.39 and 1.65 Å against 1.17, 1.33 and 1.16 Å), where it would take bonding regions of compressed hydrides away.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources

import numpy as np
from jaxtyping import Bool, Float
from pymatgen.core import Element, Structure
from scipy.spatial import cKDTree

from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.periodic import periodic_images

__all__ = ["core_radius", "has_cores", "has_radii", "inside_cores", "outside_cores"]

BLOCK = 100_000  # points


def core_radius(z: int) -> float:
    """Core radius of the element with atomic number ``z``, Å; 0 for hydrogen and helium.

    Raises:
        ElfzooError: no setup to take a radius from (Tc, Po, At and the elements after Rn), or no such element.
    """
    if z not in _radii():
        name = Element.from_Z(z).symbol if 1 <= z <= 118 else f"atomic number {z}"
        known = ", ".join(Element.from_Z(number).symbol for number in _radii())
        raise ElfzooError(
            f"no core radius of {name}; there are those of {known}. Critical points can be searched with the cores "
            "(exclude_cores=False)"
        )
    return _radii()[z]


def has_radii(structure: Structure) -> bool:
    """Whether :func:`core_radius` knows all elements."""
    return set(structure.atomic_numbers) <= set(_radii())


def has_cores(structure: Structure) -> bool:
    """Whether any atom has a core.

    Raises:
        ElfzooError: an element without a radius.
    """
    return max((core_radius(z) for z in set(structure.atomic_numbers)), default=0.0) > 0


def inside_cores(
    structure: Structure, frac_coords: Float[np.ndarray, "points 3"], scale: float = 1.0
) -> Bool[np.ndarray, " points"]:
    """Whether each point lies within ``scale`` core radii of a nucleus, all periodic images counted.

    Args:
        structure: any cell.
        frac_coords: fractional coordinates.
        scale: factor on every radius; with 0 no point is inside, whatever the elements.

    Raises:
        ElfzooError: an element without a radius.
    """
    if scale <= 0 or not len(frac_coords) or not has_cores(structure):
        return np.zeros(len(frac_coords), dtype=bool)
    radii = np.array([scale * core_radius(z) for z in structure.atomic_numbers])
    cores = radii > 0
    distances = structure.lattice.get_all_distances(frac_coords, structure.frac_coords[cores])
    return np.asarray((distances <= radii[cores]).any(axis=1))


def outside_cores(structure: Structure, grid: Grid, scale: float = 1.0) -> Bool[np.ndarray, "nx ny nz"]:
    """Whether each grid point is farther than ``scale`` core radii from every nucleus, all periodic images counted.

    Args:
        structure: any cell.
        grid: on the structure's lattice.
        scale: factor on every radius; 0 masks nothing.

    Raises:
        ElfzooError: an element without a radius, a grid on another lattice, or a negative scale.
    """
    grid.require_cell_of(structure)
    if not (np.isfinite(scale) and scale >= 0):
        raise ElfzooError(f"the scale of core radii must be zero or more; got {scale}")
    outside = np.ones(grid.size, dtype=bool)
    numbers = np.array(structure.atomic_numbers)
    for z in np.unique(numbers):
        radius = scale * core_radius(int(z))
        if radius > 0:
            _mask(outside, grid, structure.cart_coords[numbers == z], radius)
    return outside.reshape(grid.shape)


def _mask(outside: np.ndarray, grid: Grid, positions: np.ndarray, radius: float) -> None:
    """Set the points within ``radius`` (Å) of any image of ``positions`` to False."""
    tree = cKDTree(periodic_images(positions, grid.lattice, radius).positions)
    for block in grid.blocks(BLOCK):
        # a little more than the radius, so that rounding does not part points that symmetry makes equal
        distances, _ = tree.query(grid.positions(block), distance_upper_bound=radius + 1e-9)
        outside[block] &= np.isinf(distances)


@lru_cache(maxsize=1)
def _radii() -> dict[int, float]:
    source = resources.files("elfzoo") / "transforms" / "tables" / "core_radii.json"
    radii = json.loads(source.read_text(encoding="utf-8"))["radii"]
    return {Element(symbol).Z: float(radius) for symbol, radius in radii.items()}
