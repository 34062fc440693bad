"""Overlaps and Hamiltonian between confined orbitals, by quadrature on the grid, and the density matrix that they give.

All in hartree and bohr; by pair of atoms, as :class:`~elfzoo.transforms.harris.blocks.Pairs` lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from jaxtyping import Complex, Float
from scipy import linalg, optimize, special
from scipy.linalg import blas, lapack
from torch import Tensor

from elfzoo.grid import Grid
from elfzoo.transforms.harris.bloch import CHUNK, Matrix, add_back, at_k
from elfzoo.transforms.harris.blocks import Block, Pairs, visit
from elfzoo.transforms.harris.box_orbitals import acted, add_by_pair
from elfzoo.transforms.harris.folding import folded_states
from elfzoo.transforms.harris.kmesh import KMesh
from elfzoo.transforms.harris.orbitals import BOHR, BasisConfig

__all__ = [
    "Bands",
    "Matrices",
    "density_matrix",
    "fermi_level",
    "integrals",
    "occupations",
    "occupations_at",
    "occupied_states",
]

SMALLEST_OVERLAP = 1e-6  # combinations with a smaller norm are left out at k where orbitals depend on each other
EMPTY = 1e-6  # occupation of the highest band that is computed
Bands = Float[np.ndarray, "orbitals _"] | Complex[np.ndarray, "orbitals _"]  # each k-point has its own number
FOLDED = 300  # orbitals from which few of them stand for all; of fewer a dense diagonalisation takes less time
NOTHING = 1e-10  # electrons in a state that is left out


@dataclass(frozen=True, eq=False)
class Matrices:
    """Real-space matrices.

    Args:
        overlap, hamiltonian: (pairs, orbitals, orbitals) of one atom each.
    """

    overlap: Float[np.ndarray, "pairs m m"]
    hamiltonian: Float[np.ndarray, "pairs m m"]


def integrals(
    boxes: Sequence[Block], grid: Grid, potential: Float[np.ndarray, "nx ny nz"], basis: BasisConfig, pairs: Pairs
) -> Matrices:
    """<i|j> and <i|-∇²/2 + V|j> by quadrature on the grid, Hermitian by averaging."""
    m = basis.size
    sums = np.zeros((2, len(pairs.keys), m, m))
    v, weight = potential.ravel(), abs(np.linalg.det(grid.lattice / BOHR)) / grid.size
    locks = (Lock(), Lock())  # while one thread adds overlaps, another adds to the Hamiltonian

    def add(block: Block) -> None:
        parts = acted(block, basis, v[block.points])
        found = parts[0] @ parts.mT  # products in single precision, sums in double: it changes ELF by 1e-6
        which = pairs.of(block)
        for lock, total, part in zip(locks, sums, found, strict=True):
            with lock:
                add_by_pair(total, which, part)

    visit(boxes, add)
    sums *= weight
    turned = pairs.turned()
    overlap, hamiltonian = (part + part[turned].transpose(0, 2, 1) for part in sums)
    return Matrices(overlap, hamiltonian)


def occupied_states(matrices: Matrices, pairs: Pairs, mesh: KMesh, electrons: float, width: float) -> list[Bands]:
    """Of the generalised eigenproblem at every k, each times the root of its occupation (0 to 2) and k's weight.

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
    in_need = min(bands, int(0.55 * electrons) + 4)
    while True:
        states = [_states(s, h, bands, in_need, pairs.n_atoms) for s, h in at_k(both, pairs, mesh.points)]
        filled = occupations(np.array([e for e, _ in states]), mesh.weights, electrons, width)
        if bands == size or filled[:, -1].max() <= 1e3 * EMPTY:
            break
        bands = min(size, 2 * bands)  # where electrons are squeezed, bands are wide
    scales = np.sqrt(filled * mesh.weights[:, None])
    return [c[:, f > NOTHING] * scale[f > NOTHING] for (_, c), f, scale in zip(states, filled, scales, strict=True)]


def density_matrix(states: Sequence[Bands], pairs: Pairs, mesh: KMesh) -> Float[np.ndarray, "pairs m m"]:
    """P_ij(R), with which n = Σ P φ_i φ_j, of what :func:`occupied_states` found."""
    size = len(states[0])
    m = size // pairs.n_atoms
    total, step = np.zeros((len(pairs.keys), m, m)), max(1, CHUNK // size**2)
    for start in range(0, len(states), step):
        chosen = states[start : start + step]
        points = mesh.points[start : start + step]
        products = [(c.conj() @ c.T).numpy() for c in map(torch.from_numpy, chosen)]  # NumPy may crash on large ones
        add_back(total, products, np.ones(len(chosen)), pairs, points)
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
    low, high = energies.min() - 40 * width, energies[np.isfinite(energies)].max() + 40 * width

    def missing(level: float) -> float:
        return float(weights @ occupations_at(level, energies, width).sum(axis=1)) - electrons

    return optimize.brentq(missing, low, high, xtol=1e-12)


def occupations_at(level: float, energies: Float[np.ndarray, ...], width: float) -> Float[np.ndarray, ...]:
    """Fermi-Dirac occupations, 0 to 2, at a Fermi level."""
    return 2 * special.expit((level - energies) / width)


def _states(s: Matrix, h: Matrix, bands: int, filled: int, n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest eigenvalues (hartree) and eigenvectors of H c = e S c, at least the filled ones of them exact.

    Where orbitals depend on each other, there are fewer, and infinite ones with vectors of zeros behind them.
    """
    found = folded_states(s, h, n_atoms, bands, filled) if len(s) >= FOLDED else None
    if found is not None:
        return _turned(found, s, h)
    try:
        # to the standard problem, and that by relatively robust representations: what scipy does for a few states of
        # both matrices (gvx) looks for each vector by itself, and takes half as long again for 4500 orbitals
        lower = linalg.cholesky(s, lower=True, check_finite=False)
        standard, _ = (lapack.zhegst if np.iscomplexobj(h) else lapack.dsygst)(h, lower, itype=1, lower=1)
        e, c = _lowest(standard, bands)
        return e, linalg.solve_triangular(lower, c, trans="C", lower=True, check_finite=False)
    except linalg.LinAlgError:  # below about 1.2 Å³ an atom, as single precision has it
        norm, vectors = linalg.eigh(s)
        x = vectors[:, norm > SMALLEST_OVERLAP] / np.sqrt(norm[norm > SMALLEST_OVERLAP])
        e, c = linalg.eigh(x.conj().T @ h @ x)
        missing = max(0, bands - len(e))
        return np.pad(e[:bands], (0, missing), constant_values=np.inf), np.pad(
            (x @ c)[:, :bands], ((0, 0), (0, missing))
        )


def _lowest(matrix: Matrix, bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest eigenvalues and eigenvectors of the Hermitian matrix whose lower triangle is given.

    Which space they span, in single precision, in half the time; which vectors in it they are, in double: states that
    lie close together are mixed up by single precision, those that are left out are far from the filled ones. It
    changes ELF by some 1e-6.
    """
    single = np.complex64 if np.iscomplexobj(matrix) else np.float32
    options = {"lower": True, "driver": "evr", "check_finite": False}
    _, rough = linalg.eigh(matrix.astype(single), subset_by_index=(0, bands - 1), **options)
    multiplied = blas.zhemm if np.iscomplexobj(matrix) else blas.dsymm
    span = np.asfortranarray(rough, matrix.dtype)
    both = (span.conj().T @ multiplied(1.0, matrix, span, lower=1), span.conj().T @ span)
    e, turn = linalg.eigh(*both, check_finite=False)
    return e, span @ turn


def _turned(rough: Tensor, s: Matrix, h: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Energies and states in the space of states in single precision, as in :func:`_lowest`."""
    whole = [torch.from_numpy(x) for x in (h, s)]
    span = rough.to(whole[0].dtype)
    e, turn = linalg.eigh(*((span.mH @ (x @ span)).numpy() for x in whole), check_finite=False)
    return e, (span @ torch.from_numpy(turn)).numpy()
