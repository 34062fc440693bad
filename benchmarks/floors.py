"""What every model has to beat: the mean, the mean by distance to the nearest atom, an ELF of superposed free atoms.

The floors enter the benchmark as a stranger's model does, by a factory in a file:

    elfzoo benchmark -t fluid-h -m benchmarks/floors.py:mean
    elfzoo benchmark -t fluid-h -m benchmarks/floors.py:radial_mean
    elfzoo benchmark -t fluid-h -m benchmarks/floors.py:promolecular

A factory returns an object with a ``name`` and ``predict(structure, grid=None, progress=False)``, which hands back an
:class:`elfzoo.Field` on the grid, by default one of 0.1 Å; no bar is ever shown, it takes seconds. A factory that takes
an argument is given the training data of the task, an iterable of (structure, field).

**The promolecular ELF** is that of Tsirelson and Stash (Chem. Phys. Lett. 351, 142 (2002)): the kinetic energy density
is the gradient expansion to second order (Kirzhnits, Sov. Phys. JETP 5, 64 (1957)), in atomic units

    τ = C_F n^{5/3} + |∇n|²/(72 n) + ∇²n/6,   D = τ - |∇n|²/(8 n) = C_F n^{5/3} - |∇n|²/(9 n) + ∇²n/6,
    χ = D / (C_F n^{5/3}),   ELF = 1/(1 + χ²),   C_F = (3/10)(3π²)^{2/3}.

This τ approximates the positive one, ½ Σ|∇ψ|², which ELF is made of; for -½ Σ ψ*∇²ψ the last term would be -∇²n/12.

- D is negative near nuclei (at 4 to 5 % of the voxels of hydrogen), which no exact D is. It is set to zero there, and
  ELF to 1. χ² taken as it comes would let ELF fall to 0 at a proton, where it is 1; the choice was made on the val
  splits, where clipping lowers the MAE by 6 % on fluid-h and crystal-h, by 2 % on hydrides, and by nothing on metals.
- n is the superposed density of :mod:`elfzoo.transforms.sad`, all periodic images included. It has no waves beyond 31
  rad/Å, so a grid of 0.10 Å holds it whole, and the FFT's derivatives are exact in any cell, with no cutoff for diffuse
  atoms. The waves up to 68 rad/Å that the table of free atoms has beside these would move ELF outside of cores by 0.002
  to 0.005 on average and by 0.04 at most (fcc H, Mg, Ni, bcc Cs), a tenth of what the floor errs; more below 0.01 e/Å³,
  as in vacuum, while the tasks stay above 0.03.
- The densities are of valence and semicore electrons, as in gpaw-data's setups, softened inside of the core radii of
  :mod:`elfzoo.core_radii` (0.48 Å for hydrogen, which has no masked core). This ELF means nothing inside metal cores.
- Below 1e-4 e/Å³ ELF is set to 0: in the tail of a hydrogen atom, the expansion's is below 0.01 there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from pymatgen.core import Structure
from scipy import fft

import elfzoo
from elfzoo.analysis import nearest_distances
from elfzoo.errors import ElfzooError
from elfzoo.structure import as_structure
from elfzoo.transforms.sad import SuperposedDensity

SPACING = 0.1  # Å, of grids unless one is given; holds all waves of superposed densities
BIN, BINS = 0.05, 400  # Å; what lies beyond 20 Å is in the last bin
ELEMENTS = 119
TIE = 1e-6  # Å; of atoms that are equally near, the lightest counts
BOHR = 0.529177210903  # Å
C_F = 0.3 * (3 * math.pi**2) ** (2 / 3)  # hartree bohr²
VACUUM = 1e-4  # e/Å³

Samples = Iterable[tuple[Structure, elfzoo.Field]]
Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Mean:
    """One value everywhere.

    Args:
        value: the mean ELF of the training data.
        recipe: of the training data.
    """

    name: ClassVar[str] = "floor.mean"
    value: float
    recipe: elfzoo.Recipe | None = None

    def predict(self, structure: Any, grid: elfzoo.Grid | None = None, progress: bool = False) -> elfzoo.Field:
        structure, grid = _on(structure, grid)
        return elfzoo.Field(np.full(grid.shape, self.value), structure, recipe=self.recipe)


@dataclass(frozen=True, eq=False)
class RadialMean:
    """The mean ELF at a distance to the nearest atom, for each element that the nearest atom may be.

    Args:
        curves: by atomic number, the mean distance (Å) and the mean ELF of each bin that holds points.
        others: the same for elements that are not among them: the mean of their curves, bin by bin.
        recipe: of the training data.
    """

    name: ClassVar[str] = "floor.radial_mean"
    curves: Mapping[int, Curve]
    others: Curve
    recipe: elfzoo.Recipe | None = None

    def predict(self, structure: Any, grid: elfzoo.Grid | None = None, progress: bool = False) -> elfzoo.Field:
        structure, grid = _on(structure, grid)
        distance, nearest = _nearest(structure, grid)
        values = np.empty(grid.shape)
        for z in np.unique(nearest):
            chosen = nearest == z
            values[chosen] = np.interp(distance[chosen], *self.curves.get(int(z), self.others))
        return elfzoo.Field(values, structure, recipe=self.recipe)


class Promolecular:
    """ELF of superposed free-atom densities by the gradient expansion of the kinetic energy; learns nothing.

    An element without a free-atom density raises :class:`~elfzoo.errors.ElfzooError`.
    """

    name: ClassVar[str] = "floor.promolecular"

    def predict(self, structure: Any, grid: elfzoo.Grid | None = None, progress: bool = False) -> elfzoo.Field:
        structure, grid = _on(structure, grid)
        i, j, k = (math.ceil(h / SPACING - 1e-9) for h in grid.spacing)
        fine = elfzoo.Grid((i * grid.shape[0], j * grid.shape[1], k * grid.shape[2]), grid.lattice)
        density = SuperposedDensity(structure).on_grid(fine)
        parts = (part[::i, ::j, ::k] for part in (density, *derivatives(density, fine)))
        return elfzoo.Field(gradient_expansion_elf(*parts), structure)


def mean(training: Samples) -> Mean:
    """The mean ELF over the voxels of the training structures, each structure weighing the same.

    Raises:
        ElfzooError: no training data, or no ELF among them, or of several recipes.
    """
    means, recipe = [], None
    for field in _checked(training):
        means.append(field.values.mean(dtype=np.float64))
        recipe = field.recipe
    return Mean(float(np.mean(means)), recipe)


def radial_mean(training: Samples) -> RadialMean:
    """The mean ELF in bins of 0.05 Å of the distance to the nearest atom, for each element of that atom.

    Each structure weighs the same. A bin's mean stands at the mean distance of its points, and values between are
    interpolated linearly: what is linear in the distance is kept as it is. Nearer than the first and beyond the last
    bin with points, its value holds.

    Raises:
        ElfzooError: no training data, or no ELF among them, or of several recipes.
    """
    sums, recipe = np.zeros((3, ELEMENTS, BINS)), None
    for field in _checked(training):
        sums += _radial_sums(field)
        recipe = field.recipe
    filled = sums[0] > 0
    means = np.divide(sums[1:], sums[0], out=np.zeros_like(sums[1:]), where=filled)
    curves = {int(z): _curve(means[:, z], filled[z]) for z in np.flatnonzero(filled.any(axis=1))}
    others = means.sum(axis=1) / np.maximum(filled.sum(axis=0), 1)
    return RadialMean(curves, _curve(others, filled.any(axis=0)), recipe)


def promolecular() -> Promolecular:
    """It needs no training data."""
    return Promolecular()


def gradient_expansion_elf(
    density: Float[np.ndarray, "*points"],
    gradient: Float[np.ndarray, "*points"],
    laplacian: Float[np.ndarray, "*points"],
) -> Float[np.ndarray, "*points"]:
    """ELF of a spin-unpolarised density, with the kinetic energy of the head of this file.

    Args:
        density: e/Å³.
        gradient: its length, e/Å⁴.
        laplacian: e/Å⁵.
    """
    n = np.maximum(density, VACUUM) * BOHR**3
    uniform = C_F * n ** (5 / 3)
    pauli = uniform - (gradient * BOHR**4) ** 2 / (9 * n) + laplacian * BOHR**5 / 6
    return np.where(density < VACUUM, 0.0, 1 / (1 + (np.maximum(pauli, 0) / uniform) ** 2))


def derivatives(
    values: Float[np.ndarray, "nx ny nz"], grid: elfzoo.Grid
) -> tuple[Float[np.ndarray, "nx ny nz"], Float[np.ndarray, "nx ny nz"]]:
    """Length of the gradient, per Å, and Laplacian, per Å², of values without waves beyond the grid's n/2."""
    spectrum = fft.rfftn(values)
    h = np.ix_(*(fft.fftfreq(n, 1 / n) for n in grid.shape[:2]), fft.rfftfreq(grid.shape[2], 1 / grid.shape[2]))
    squared_gradient, squared_k = np.zeros(grid.shape), 0.0
    for row in 2 * np.pi * np.linalg.inv(grid.lattice):  # Cartesian components of the three reciprocal vectors
        k = sum(step * index for step, index in zip(row, h, strict=True))
        squared_gradient += fft.irfftn(1j * k * spectrum, s=grid.shape) ** 2
        squared_k = squared_k + k**2
    return np.sqrt(squared_gradient), fft.irfftn(-squared_k * spectrum, s=grid.shape)


def _on(structure: Any, grid: elfzoo.Grid | None) -> tuple[Structure, elfzoo.Grid]:
    structure = as_structure(structure)
    if grid is None:
        grid = elfzoo.Grid.from_spacing(structure.lattice.matrix, SPACING)
    grid.require_cell_of(structure)
    return structure, grid


def _checked(training: Samples) -> Iterator[elfzoo.Field]:
    """The fields of the training data, as far as they can be averaged."""
    first = None
    for _, field in training:
        first = first or field
        field.require_quantity("elf", "a training field")
        first.require_same_recipe(field)
        yield field
    if first is None:
        raise ElfzooError("there are no training data to average over; expected at least one structure and its ELF")


def _radial_sums(field: elfzoo.Field) -> Float[np.ndarray, "3 elements bins"]:
    """Weights, weights x distance and weights x ELF by element and bin; the weights of a structure sum up to 1."""
    distance, nearest = _nearest(field.structure, field.grid)
    index = np.ravel_multi_index((nearest.ravel(), _bins(distance).ravel()), (ELEMENTS, BINS))
    parts = (np.ones(field.grid.size), distance.ravel(), field.values.ravel())
    sums = [np.bincount(index, part, ELEMENTS * BINS).reshape(ELEMENTS, BINS) for part in parts]
    return np.stack(sums) / field.grid.size


def _nearest(
    structure: Structure, grid: elfzoo.Grid
) -> tuple[Float[np.ndarray, "nx ny nz"], Int[np.ndarray, "nx ny nz"]]:
    """Distance to the nearest atom of each grid point, Å, and that atom's atomic number."""
    numbers = np.unique(structure.atomic_numbers)
    distances = np.stack([nearest_distances(structure, grid, int(z)) for z in numbers])
    smallest = distances.min(axis=0)
    return smallest, numbers[(distances <= smallest + TIE).argmax(axis=0)]


def _bins(distance: Float[np.ndarray, "nx ny nz"]) -> Int[np.ndarray, "nx ny nz"]:
    """A little is added, so that rounding does not part points that symmetry makes equal."""
    return np.minimum((distance + 1e-9) / BIN, BINS - 1).astype(np.int64)


def _curve(means: Float[np.ndarray, "2 bins"], filled: Bool[np.ndarray, " bins"]) -> Curve:
    distance, elf = means[:, filled]
    return distance, elf
