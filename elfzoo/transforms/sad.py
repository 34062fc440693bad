"""Superposed free-atom densities (SAD) as a function of space: the same on every grid, in every cell, at every point.

n_SAD(r) = Σ_a Σ_images n_Z(|r - R_a|), with n_Z the transform of f_Z(k) w(k): the tabulated form factors of
:mod:`elfzoo.transforms.free_atoms` times a window that falls from 1 at 26 rad/Å to 0 at 31 rad/Å. Reference densities
are filtered by the same window (:mod:`elfzoo.reference.smooth`), and a grid of 0.10 Å holds all of it, so that nothing
depends on the grid. On grids the sum is an FFT, exact to rounding; at loose points it is a quintic spline through an
FFT of 0.05 Å (64 kB per Å³ of the cell), right to 1e-5 e/Å³ for hydrogen and to 2e-6 of the peak for any element.

What it is not: inside of a nucleus's core radius the table's densities are softened (n_H(0) is 1.3 e/Å³, a hydrogen
atom's 2.2), and the reference's are those of an engine's pseudopotential. Both hold the same electrons there, but the
difference is then no deformation density: within 0.3 Å of a proton it is mostly this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np
from jaxtyping import Float
from pymatgen.core import Element, Structure

from elfzoo.grid import Grid
from elfzoo.interpolate import PeriodicSpline, cosine_window
from elfzoo.transforms.free_atoms import form_factor, from_form_factors, valence_electrons

__all__ = ["WINDOW", "SuperposedDensity"]

WINDOW = (26.0, 31.0)  # rad/Å
SPACING, FINE_SPACING = 0.10, 0.05  # Å; of FFTs that hold the window, and of those that a spline goes through


class SuperposedDensity:
    """The superposed free-atom valence densities of a structure, e/Å³.

    Args:
        structure: any cell.
        valence: electrons per atom by element symbol, where they are not those of the table
            (:func:`~elfzoo.transforms.free_atoms.valence_electrons`): the element's density is scaled to hold as many.
            Without the shells that it leaves out, such a density is too compact.
        times: a factor on all of it; -1 to subtract it.

    Raises:
        ElfzooError: an element without a table entry.
    """

    def __init__(self, structure: Structure, valence: Mapping[str, float] | None = None, times: float = 1.0):
        self.structure = structure
        numbers = np.unique(structure.atomic_numbers)
        tabulated = dict(zip(numbers.tolist(), valence_electrons(numbers).tolist(), strict=True))
        symbols = {z: Element.from_Z(z).symbol for z in tabulated}
        self.valence: dict[str, float] = {symbols[z]: (valence or {}).get(symbols[z], n) for z, n in tabulated.items()}
        self._factors = {z: times * self.valence[symbols[z]] / n for z, n in tabulated.items()}

    @property
    def electrons(self) -> float:
        """Electrons per cell, before they are multiplied by ``times``."""
        return float(sum(self.valence[site.specie.symbol] for site in self.structure))

    def on_grid(self, grid: Grid) -> Float[np.ndarray, "nx ny nz"]:
        """At the points of a grid on the structure's lattice, however coarse.

        Raises:
            ElfzooError: a grid on another lattice.
        """
        grid.require_cell_of(self.structure)
        steps = [math.ceil(h / SPACING - 1e-9) for h in grid.spacing]
        finer = Grid((grid.shape[0] * steps[0], grid.shape[1] * steps[1], grid.shape[2] * steps[2]), grid.lattice)
        values = from_form_factors(self.structure, finer, self._factor, WINDOW[1])
        return np.ascontiguousarray(values[:: steps[0], :: steps[1], :: steps[2]])

    def at(self, frac_coords: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, " points"]:
        """At loose points, in any cell."""
        spline, to_reduced = self._spline
        return spline(frac_coords @ to_reduced)

    @cached_property
    def _spline(self) -> tuple[PeriodicSpline, Float[np.ndarray, "3 3"]]:
        """In a reduced basis, where points of a grid are as far apart in all directions, and the way there."""
        lattice = self.structure.lattice
        reduced = lattice.get_lll_reduced_lattice()
        cell = Structure(reduced, self.structure.species, self.structure.cart_coords, coords_are_cartesian=True)
        fine = Grid.from_spacing(reduced.matrix, FINE_SPACING)
        values = from_form_factors(cell, fine, self._factor, WINDOW[1])
        return PeriodicSpline.through(values, order=5), lattice.matrix @ np.linalg.inv(reduced.matrix)

    def _factor(self, z: int, k: Float[np.ndarray, " waves"]) -> Float[np.ndarray, " waves"]:
        return self._factors[z] * form_factor(z, k) * cosine_window(k, WINDOW)
