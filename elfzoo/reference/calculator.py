"""The fitted potential as an ASE calculator, for molecular dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes
from torch import Tensor

from elfzoo.errors import ElfzooError
from elfzoo.reference.potential import Potential, neighbours

__all__ = ["SKIN", "PotentialCalculator"]

SKIN = 0.6  # angstrom; the list holds pairs that are further apart than the cutoff by this much


class PotentialCalculator(Calculator):
    """The potential as an ASE calculator. A neighbour list with a skin is kept between steps."""

    implemented_properties = ("energy", "forces")

    def __init__(self, potential: Potential):
        super().__init__()
        self.potential = potential
        self._listed: tuple[np.ndarray, np.ndarray] | None = None
        self._edges: tuple[Tensor, Tensor, Tensor] | None = None

    def calculate(
        self, atoms: Any = None, properties: Sequence[str] = ("energy",), system_changes: Sequence[str] = all_changes
    ) -> None:
        """Energy, eV, and forces, eV/Å.

        Raises:
            ElfzooError: not hydrogen, not periodic along all three axes, or atoms so close that forces are not finite.
        """
        super().calculate(atoms, properties, system_changes)
        if not (self.atoms.pbc.all() and (self.atoms.numbers == 1).all()):
            raise ElfzooError(f"the potential knows periodic hydrogen only; got {self.atoms}")
        centre, other, shift = self._neighbours(self.atoms.get_positions(), np.array(self.atoms.cell))
        x = torch.from_numpy(self.atoms.get_positions()).to(shift).requires_grad_(True)
        atomic = self.potential(x, centre, other, shift)
        (gradient,) = torch.autograd.grad(atomic.sum(), x)
        if not gradient.isfinite().all():
            raise ElfzooError("the potential gives forces that are not finite: atoms lie upon each other")
        energy = float(atomic.detach().double().sum())  # 7000 eV of 500 atoms leave single precision 5e-4 eV
        self.results = {"energy": energy, "forces": -gradient.double().numpy()}

    def _neighbours(self, positions: np.ndarray, lattice: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """The list at hand, or a new one where an atom came so far that a neighbour may be missing."""
        if self._edges is None or self._listed is None or not _within_skin(positions, lattice, *self._listed):
            centre, other, shift = neighbours(positions, lattice, self.potential.config.r_cut + SKIN)
            self._edges, self._listed = (centre, other, shift.to(self.potential.mean)), (positions, lattice)
        return self._edges


def _within_skin(positions: np.ndarray, lattice: np.ndarray, old: np.ndarray, old_lattice: np.ndarray) -> bool:
    """Whether a list made at the old positions and lattice still holds every pair within the cutoff."""
    if positions.shape != old.shape or not np.array_equal(lattice, old_lattice):
        return False
    return bool(((positions - old) ** 2).sum(axis=1).max() <= (SKIN / 2) ** 2)
