"""Divide and conquer for the diagonalisation of hydrogen: fragments, their states, and two ways to join them.

The atoms are cut into cores. A fragment, a core and all images of atoms within a buffer of it, is diagonalised alone,
as a block of the overlaps and the Hamiltonian of the whole; all fragments have one Fermi level, at which the cores hold
all electrons by Mulliken's count. Joined in space (as Yang, Phys. Rev. Lett. 66, 1438 (1991), with weights of 0 and 1),
a point has the states of the fragment whose core holds the nearest atom. Joined by density matrix (Yang and Lee, J.
Chem. Phys. 103, 5674 (1995)), elements between two atoms of a core count 1, those between core and buffer ½, others 0.
The study is ``harris_fragments.py``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure
from scipy import linalg
from scipy.spatial import cKDTree

from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.periodic import periodic_images, wrap
from elfzoo.transforms.harris import HarrisConfig
from elfzoo.transforms.harris.bloch import at_k
from elfzoo.transforms.harris.blocks import Block, Pairs
from elfzoo.transforms.harris.field import HARTREE, SMALLEST_DENSITY, chi_of, matrices_of
from elfzoo.transforms.harris.kmesh import KMeshConfig, k_mesh
from elfzoo.transforms.harris.matrices import Matrices, density_matrix, fermi_level, occupations, occupied_states
from elfzoo.transforms.harris.orbitals import BOHR, BasisConfig, orbitals


@dataclass(frozen=True, eq=False)
class Problem:
    """What is diagonalised, whole or in fragments."""

    structure: Structure
    grid: Grid
    config: HarrisConfig
    pairs: Pairs
    matrices: Matrices

    @property
    def width(self) -> float:
        """Of the smearing, hartree."""
        return self.config.width / HARTREE


@dataclass(frozen=True, eq=False)
class States:
    """Of one fragment: energies, coefficients, that part of each state's norm which is the core's, CPU seconds."""

    energies: np.ndarray
    coefficients: np.ndarray
    shares: np.ndarray
    seconds: float


def prepared(structure: Structure, config: HarrisConfig) -> Problem:
    """Overlaps and Hamiltonian, as ``harris`` has them."""
    grid, _, pairs, matrices = matrices_of(structure, config)
    return Problem(structure, grid, config, pairs, matrices)


def exact(problem: Problem, mesh: KMeshConfig) -> np.ndarray:
    """Density matrix by pair, of all orbitals at once."""
    points = k_mesh(problem.structure.lattice.matrix, mesh)
    states = occupied_states(problem.matrices, problem.pairs, points, len(problem.structure), problem.width)
    return density_matrix(states, problem.pairs, points)


def fragments(structure: Structure, cuts: int, buffer: float) -> list[Block]:
    """Cores, as the points of a block, each with the images of atoms within the buffer of any of its atoms."""
    lattice = structure.lattice.matrix
    positions = wrap(structure.cart_coords, lattice)
    images = periodic_images(positions, lattice, buffer)
    _, core = np.unique(np.floor(structure.frac_coords % 1 * cuts), axis=0, return_inverse=True)
    parts = []
    for number in range(core.max() + 1):
        (own,) = np.nonzero(core.ravel() == number)
        near = cKDTree(positions[own]).query(images.positions)[0] <= buffer
        parts.append(Block(own, positions[own], images.atom[near], images.shift[near], images.positions[near]))
    return parts


def solve(problem: Problem, part: Block) -> States:
    """The lowest states of a fragment.

    Two for each atom, four times as many as a neutral fragment fills: the outermost orbitals reach protons that have
    none of their own here, whose electrons they take too.
    """
    s, h = (
        whole_block(problem.pairs, part, by_pair)
        for by_pair in (problem.matrices.overlap, problem.matrices.hamiltonian)
    )
    bands = min(len(s), 2 * len(part.atom) + 8)
    began = time.process_time()
    e, c = linalg.eigh(h, s, subset_by_index=(0, bands - 1), check_finite=False)
    seconds = time.process_time() - began
    core = core_orbitals(part, problem.config.basis.size)
    return States(e, c, (c[core] * (s[core] @ c)).sum(axis=0), seconds)


def fermi_level_of(problem: Problem, mesh: KMeshConfig) -> float:
    """Of the whole, hartree."""
    points = k_mesh(problem.structure.lattice.matrix, mesh)
    both, electrons = (problem.matrices.overlap, problem.matrices.hamiltonian), len(problem.structure)
    bands = min(electrons * problem.config.basis.size, int(0.65 * electrons) + 8) - 1
    energies = np.array(
        [
            linalg.eigh(h, s, eigvals_only=True, subset_by_index=(0, bands))
            for s, h in at_k(both, problem.pairs, points.points)
        ]
    )
    return fermi_level(energies, points.weights, electrons, problem.width)


def filling(problem: Problem, solved: Sequence[States]) -> list[np.ndarray]:
    """Occupations, 0 to 2, of all fragments at the one Fermi level at which their cores hold all electrons.

    Raises:
        ElfzooError: all states that were computed hold fewer.
    """
    energies, shares = (np.concatenate([getattr(s, what) for s in solved]) for what in ("energies", "shares"))
    electrons = len(problem.structure)
    if 2 * shares.sum() <= electrons:
        raise ElfzooError(
            f"the cores hold at most {2 * shares.sum():.1f} of {electrons} electrons; wanted: more buffer"
        )
    filled = occupations(energies[:, None], shares, electrons, problem.width)[:, 0]
    return np.split(filled, np.cumsum([len(s.energies) for s in solved])[:-1])


def joined(
    problem: Problem, parts: Sequence[Block], solved: Sequence[States], filled: Sequence[np.ndarray]
) -> np.ndarray:
    """Density matrix by pair."""
    total, m = np.zeros_like(problem.matrices.overlap), problem.config.basis.size
    for part, states, f in zip(parts, solved, filled, strict=True):
        c, core = states.coefficients, core_orbitals(part, m)
        rows = ((c[core] * f) @ c.T).reshape(len(part.points), m, len(part.atom), m)
        a, b, which = present(problem.pairs, part, core[::m] // m)
        total[which] += rows[a, :, b, :]
    # half of a row of the core is in it, the other half in its transpose: 1 within the core, ½ across its border
    return 0.5 * (total + total[problem.pairs.turned()].transpose(0, 2, 1))


def whole_block(pairs: Pairs, part: Block, by_pair: np.ndarray) -> np.ndarray:
    """The block of a matrix between all orbitals of a fragment."""
    n, m = len(part.atom), by_pair.shape[1]
    found = np.zeros((n, m, n, m))
    a, b, which = present(pairs, part, np.arange(n))
    found[a, :, b, :] = by_pair[which]
    return found.reshape(n * m, n * m)


def present(pairs: Pairs, part: Block, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Those (row, image) of a fragment that meet, and the pair that they are."""
    which = np.minimum(pairs.of(part)[rows], len(pairs.keys) - 1)
    atom, shift = part.atom, part.shift[None] - part.shift[rows, None]
    same = (pairs.i[which] == atom[rows, None]) & (pairs.j[which] == atom) & (pairs.translation[which] == shift).all(-1)
    return *np.nonzero(same), which[same]


def core_orbitals(part: Block, m: int) -> np.ndarray:
    """Which orbitals of a fragment are its core's."""
    images = cKDTree(part.centres).query(part.positions)[1]
    return (images[:, None] * m + np.arange(m)).ravel()


def matrix_elf(problem: Problem, matrix: np.ndarray, block: Block) -> np.ndarray:
    """ELF at the points of a block, of n, τ and ∇n of a density matrix itself."""
    phi, slopes, _ = orbitals(block.vectors(), problem.config.basis)
    p = matrix[problem.pairs.of(block)].transpose(0, 2, 1, 3).reshape(len(phi), len(phi))
    acted = p @ phi
    tau = 0.5 * sum((slope * (p @ slope)).sum(axis=0) for slope in slopes)
    return becke_edgecombe((phi * acted).sum(axis=0), tau, [2 * (slope * acted).sum(axis=0) for slope in slopes])


def space_elf(
    problem: Problem, parts: Sequence[Block], solved: Sequence[States], filled: Sequence[np.ndarray], block: Block
) -> np.ndarray:
    """ELF at the points of a block, each of the states of that fragment whose core holds the nearest atom.

    Only the first fragments need have been solved; points of others have NaN.
    """
    elf = np.full(len(block.points), np.nan)
    for at, number, moved in nearest_cores(problem.structure, parts, block):
        if number < len(solved):
            centres = parts[number].centres + moved
            elf[at] = states_elf(block.positions[at], centres, solved[number], filled[number], problem.config.basis)
    return elf


def nearest_cores(structure: Structure, parts: Sequence[Block], block: Block) -> Iterator[tuple]:
    """Points of a block that belong to one core, the fragment's number, and how far the fragment is moved, Å."""
    core = np.empty(len(structure), int)
    for number, part in enumerate(parts):
        core[part.points] = number
    nearest = cKDTree(block.centres).query(block.positions)[1]
    keys, which = np.unique(
        np.column_stack([core[block.atom[nearest]], block.shift[nearest]]), axis=0, return_inverse=True
    )
    for i, (number, *shift) in enumerate(keys):
        yield np.flatnonzero(which.ravel() == i), number, np.array(shift) @ structure.lattice.matrix


def states_elf(
    points: np.ndarray, centres: np.ndarray, states: States, filled: np.ndarray, basis: BasisConfig
) -> np.ndarray:
    """ELF at points of a fragment's filled states."""
    near = np.flatnonzero(cKDTree(points).query(centres)[0] < basis.r_cut)
    phi, slopes, _ = orbitals(((points - centres[near, None]) / BOHR).astype(np.float32), basis)
    c = states.coefficients[(near[:, None] * basis.size + np.arange(basis.size)).ravel()]
    psi, gradients = c.T @ phi, [c.T @ slope for slope in slopes]
    tau = 0.5 * sum(filled @ part**2 for part in gradients)
    return becke_edgecombe(filled @ psi**2, tau, [2 * filled @ (psi * part) for part in gradients])


def becke_edgecombe(n: np.ndarray, tau: np.ndarray, slope: Sequence[np.ndarray]) -> np.ndarray:
    """ELF of density, kinetic-energy density and the gradient's components, atomic units."""
    n = np.maximum(n, SMALLEST_DENSITY)
    return 1 / (1 + chi_of(n, tau, sum(part**2 for part in slope)) ** 2)
