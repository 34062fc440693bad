"""The base of models of whole fields."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor

from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.interpolate import fourier_interpolate, fourier_on_grid, isotropic_refinement
from elfzoo.models.base import Evaluator, Link, Model
from elfzoo.symmetry import primitive_cell

__all__ = ["FieldModel"]


class FieldModel(Model):
    """A model of whole periodic grids, which works on a reduced cell at its own spacing.

    The logits on that grid are Fourier-interpolated to whatever points are asked for.

    Class attributes:
        working_spacing: Å, largest distance between points of the model's own grid.
        min_length: Å, the primitive cell is repeated until each edge is at least this long.
    """

    working_spacing: ClassVar[float] = 0.15
    min_length: ClassVar[float] = 3.0

    @abstractmethod
    def forward(self, structures: Sequence[Structure], grids: Sequence[Grid]) -> list[Float[Tensor, "nx ny nz"]]:
        """Logits on each grid; a list, never padded."""

    def forward_crop(
        self, structure: Structure, grid: Grid, start: tuple[int, int, int], size: int, halo: int | None = None
    ) -> Float[Tensor, "size size size"]:
        """Logits in a cube of ``size``³ grid points whose first one is ``start``, as in the whole field.

        Computed from a larger cube with ``halo`` points of true periodic neighbours on every side, by default as many
        as the model's receptive field needs.

        Raises:
            ElfzooError: the model cannot be evaluated on a part of the cell.
        """
        raise ElfzooError(f"{type(self).__name__} cannot be trained on crops; leave crop empty")

    @property
    def stride(self) -> int:
        """Grid points along each axis by which the origin may be shifted without changing the field; crops start so."""
        return 1

    def working_cell(self, structure: Structure) -> tuple[Structure, Grid]:
        """The primitive cell, where the structure has it, repeated to the minimum size, with the model's own grid."""
        cell = primitive_cell(structure)
        cell.make_supercell([int(np.ceil(self.min_length / length - 1e-9)) for length in cell.lattice.abc])
        return cell, Grid.from_spacing(cell.lattice.matrix, self.working_spacing)

    def evaluator(self, structure: Structure) -> Evaluator:
        """One pass of the network, then Fourier interpolation of its logits."""
        cell, grid = self.working_cell(structure)
        logits = self._logits(cell, grid)
        inverse = np.linalg.inv(grid.lattice)
        return lambda points: fourier_interpolate(logits, points @ inverse)

    def _logits(self, cell: Structure, grid: Grid) -> Float[np.ndarray, "mx my mz"]:
        """Logits on the model's grid; in skewed cells on a finer one, so that interpolation keeps their symmetry."""
        with torch.no_grad():
            logits = self([cell], [grid])[0].cpu().double().numpy()
        return isotropic_refinement(logits, grid.lattice)

    def _computed_grid(self, structure: Structure, grid: Grid, coarse: float, symmetry: bool) -> Grid:
        raise ElfzooError(
            f"coarse={coarse} is for models of points; {type(self).__name__} works on a grid of its own "
            f"({self.working_spacing} Å) and interpolates already"
        )

    def _fill(self, structure: Structure, grid: Grid, values: np.ndarray, progress: bool | None, link: Link) -> None:
        """All points at once where the grid's cell holds whole working cells: FFTs instead of points x waves."""
        cell, own = self.working_cell(structure)
        multiple = grid.lattice @ np.linalg.inv(own.lattice)
        if np.abs(multiple - np.round(multiple)).max() > 1e-3:
            super()._fill(structure, grid, values, progress, link)
        else:
            values[:] = link(fourier_on_grid(self._logits(cell, own), own.lattice, grid)).ravel()

    def _at_some(
        self, structure: Structure, grid: Grid, indices: np.ndarray, progress: bool | None, link: Link
    ) -> np.ndarray:
        """Of the whole grid, which costs no more."""
        values = np.empty(grid.size, np.float32)
        self._fill(structure, grid, values, progress, link)
        return values[indices]
