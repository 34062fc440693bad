"""Overlaps and Hamiltonian between confined orbitals, by quadrature on the grid, and the density matrix that they give.

All in hartree and bohr; by pair of atoms, as :class:`~elfzoo.transforms.harris.blocks.Pairs` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from scipy import linalg, optimize, special

from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.transforms.harris.bloch import CHUNK, Matrix, add_back, at_k
from elfzoo.transforms.harris.blocks import Block, Pairs, visit
from elfzoo.transforms.harris.kmesh import KMesh
from elfzoo.transforms.harris.orbitals import BOHR, BasisConfig, orbitals

__all__ = ["Matrices", "density_matrix", "fermi_level", "integrals", "occupations", "occupations_at"]

SMALLEST_OVERLAP = 1e-6  # combinations of orbitals with a smaller norm are left out
EMPTY = 1e-6  # occupation of the highest band that is computed


@dataclass(frozen=True, eq=False)
class Matrices:
    """Real-space matrices.

    Args:
        overlap, hamiltonian: (pairs, orbitals, orbitals) of one atom each.
    """

    overlap: Float[np.ndarray, "pairs m m"]
    hamiltonian: Float[np.ndarray, "pairs m m"]


def integrals(
    structure: Structure, grid: Grid, potential: Float[np.ndarray, "nx ny nz"], basis: BasisConfig, pairs: Pairs
) -> Matrices:
    """<i|j> and <i|-∇²/2 + V|j> by quadrature on the grid, Hermitian by averaging."""
    m = basis.size
    sums = torch.zeros(2, len(pairs.keys), m, m, dtype=torch.float64)
    v, weight = potential.ravel().astype(np.float32), abs(np.linalg.det(grid.lattice / BOHR)) / grid.size
    lock = Lock()

    def add(block: Block) -> None:
        phi, _, laplacian = orbitals(block.vectors(), basis)
        acted = torch.from_numpy(np.stack([phi, v[block.points] * phi - np.float32(0.5) * laplacian]))
        # products in single precision, sums in double: it changes ELF by 1e-6
        found = torch.from_numpy(phi) @ acted.mT
        which = torch.from_numpy(pairs.of(block).ravel())
        parts = [_by_pair(part, m).double() for part in found]
        with lock:
            for total, part in zip(sums, parts, strict=True):
                total.index_add_(0, which, part)

    visit(structure, grid, basis.r_cut, add)
    sums *= weight
    overlap, hamiltonian = sums.numpy()
    return Matrices(_hermitian(overlap, pairs), _hermitian(hamiltonian, pairs))


def density_matrix(
    matrices: Matrices, pairs: Pairs, mesh: KMesh, electrons: float, width: float
) -> Float[np.ndarray, "pairs m m"]:
    """P_ij(R), with which n = Σ P φ_i φ_j: occupied states of the generalised eigenproblem at every k.

    Args:
        matrices: of the orbitals.
        pairs: that they belong to.
        mesh: of k-points.
        electrons: in the cell, both spins.
        width: of the Fermi-Dirac smearing, hartree.
    """
    m = matrices.overlap.shape[1]
    size = pairs.n_atoms * m
    bands = min(size, int(0.65 * electrons) + 8)
    both = (matrices.overlap, matrices.hamiltonian)
    states = [_states(s, h, bands) for s, h in at_k(both, pairs, mesh.points)]
    energies = np.array([e for e, _ in states])
    filled = occupations(energies, mesh.weights, electrons, width)
    if bands < size and filled[:, -1].max() > 1e3 * EMPTY:
        raise ElfzooError(f"the highest of {bands} bands still holds {filled[:, -1].max():.2g} electrons")
    total = np.zeros_like(matrices.overlap)
    step = max(1, CHUNK // size**2)
    for start in range(0, len(states), step):
        chosen = slice(start, start + step)
        occupied = [(c.conj() * f) @ c.T for (_, c), f in zip(states[chosen], filled[chosen], strict=True)]
        add_back(total, occupied, mesh.weights[chosen], pairs, mesh.points[chosen])
    return total


def occupations(
    energies: Float[np.ndarray, "k bands"], weights: Float[np.ndarray, " k"], electrons: float, width: float
) -> Float[np.ndarray, "k bands"]:
    """Fermi-Dirac occupations, 0 to 2, that sum to the number of electrons."""
    return occupations_at(fermi_level(energies, weights, electrons, width), energies, width)


def fermi_level(
    energies: Float[np.ndarray, "k bands"], weights: Float[np.ndarray, " k"], electrons: float, width: float
) -> float:
    """Where occupations sum to the number of electrons, hartree."""
    low, high = energies.min() - 40 * width, energies.max() + 40 * width

    def missing(level: float) -> float:
        return float(weights @ occupations_at(level, energies, width).sum(axis=1)) - electrons

    return optimize.brentq(missing, low, high, xtol=1e-12)


def occupations_at(level: float, energies: Float[np.ndarray, ...], width: float) -> Float[np.ndarray, ...]:
    """Fermi-Dirac occupations, 0 to 2, at a Fermi level."""
    return 2 * special.expit((level - energies) / width)


def _states(s: Matrix, h: Matrix, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest eigenvalues (hartree) and eigenvectors of H c = e S c."""
    try:
        return linalg.eigh(h, s, subset_by_index=(0, bands - 1), check_finite=False)
    except linalg.LinAlgError:  # orbitals that all but depend on each other
        norm, vectors = linalg.eigh(s)
        x = vectors[:, norm > SMALLEST_OVERLAP] / np.sqrt(norm[norm > SMALLEST_OVERLAP])
        e, c = linalg.eigh(x.conj().T @ h @ x)
        return e[:bands], (x @ c)[:, :bands]


def _by_pair(matrix: torch.Tensor, m: int) -> torch.Tensor:
    images = len(matrix) // m
    return matrix.reshape(images, m, images, m).permute(0, 2, 1, 3).reshape(-1, m, m)


def _hermitian(parts: np.ndarray, pairs: Pairs) -> np.ndarray:
    return 0.5 * (parts + parts[pairs.turned()].transpose(0, 2, 1))
