"""One diagonalisation: density, kinetic-energy density and ELF of hydrogen from superposed atoms, without training.

The electrons of superposed atoms make a potential; its occupied states in a small basis, found once and not iterated,
have the density n, the positive kinetic-energy density τ and so the ELF (Harris, Phys. Rev. B 31, 1770 (1985)). What
the geometry around a point cannot know, which states are occupied, is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor

from elfzoo.config import config_class
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.grid import Grid
from elfzoo.transforms.harris.bloch import is_real
from elfzoo.transforms.harris.blocks import Block, Pairs, blocks, find_pairs, visit
from elfzoo.transforms.harris.box_orbitals import sloped
from elfzoo.transforms.harris.kmesh import KMesh, KMeshConfig, k_mesh
from elfzoo.transforms.harris.matrices import Bands, Matrices, density_matrix, integrals, occupied_states
from elfzoo.transforms.harris.orbitals import BasisConfig
from elfzoo.transforms.harris.potential import effective_potential
from elfzoo.transforms.harris.xc import Functional

Values = Float[Tensor, "4 _ points"]  # of some functions, and their slopes along x, y and z
Contracted = Callable[[Block, Values], tuple[Values, Values]]  # of a box: two sets, of which products sum to densities

__all__ = ["Densities", "HarrisConfig", "chi_of", "harris_densities", "matrices_of"]

LARGEST = 2000  # atoms: dense matrices of 18 000 orbitals take 2.6 GB each, and some are needed
HARTREE = 27.211386  # eV
UNIFORM = 0.3 * (3 * np.pi**2) ** (2 / 3)  # kinetic-energy density of the uniform gas over n^(5/3)
SMALLEST_DENSITY = 1e-7  # 1/bohr³
MOST_STATES = 450  # real functions; where more are occupied, a box takes its part of the density matrix


@config_class
class HarrisConfig:
    """Everything that decides the untrained field.

    Args:
        basis: orbitals of an atom.
        k_mesh: rule of the k-points.
        atom_exponent: of the superposed 1s densities, 1/bohr.
        functional: of the potential.
        width: of the Fermi-Dirac smearing, eV.
        spacing: largest distance of grid points, Å.
    """

    basis: BasisConfig = field(default_factory=BasisConfig)
    k_mesh: KMeshConfig = field(default_factory=KMeshConfig)
    atom_exponent: float = 1.15
    functional: Functional = "LDA"
    width: float = 0.12926
    spacing: float = 0.125

    def __post_init__(self) -> None:
        if min(self.atom_exponent, self.width, self.spacing) <= 0:
            raise ConfigError(f"exponent, smearing and spacing are positive; got {self}")


@dataclass(frozen=True, eq=False)
class Densities:
    """What the occupied states give on a grid, atomic units.

    Args:
        grid: of the cell.
        n: density.
        tau: kinetic-energy density ½ Σ |∇ψ|².
        gradient: |∇n|².
    """

    grid: Grid
    n: Float[np.ndarray, "nx ny nz"]
    tau: Float[np.ndarray, "nx ny nz"]
    gradient: Float[np.ndarray, "nx ny nz"]

    def chi(self) -> Float[np.ndarray, "nx ny nz"]:
        """D / D_h, never negative."""
        return chi_of(self.n, self.tau, self.gradient)


def chi_of(
    n: Float[np.ndarray, "*points"], tau: Float[np.ndarray, "*points"], gradient: Float[np.ndarray, "*points"]
) -> Float[np.ndarray, "*points"]:
    """D / D_h (Becke and Edgecombe 1990) of what :class:`Densities` holds, never negative."""
    return np.maximum(tau - gradient / (8 * n), 0.0) / (UNIFORM * n ** (5 / 3))


def harris_densities(structure: Structure, config: HarrisConfig) -> Densities:
    """One diagonalisation for a structure of hydrogen.

    Raises:
        ElfzooError: another element, named, or too many atoms.
    """
    others = sorted({site.specie.symbol for site in structure} - {"H"})
    if others:
        raise ElfzooError(f"a Harris field needs orbitals of each element, so far of H alone; got {', '.join(others)}")
    if len(structure) > LARGEST:
        raise ElfzooError(
            f"a Harris field needs all orbitals at once; expected at most {LARGEST} atoms, got {len(structure)}"
        )
    grid, boxes, pairs, matrices = matrices_of(structure, config)
    mesh = k_mesh(structure.lattice.matrix, config.k_mesh)
    states = occupied_states(matrices, pairs, mesh, len(structure), config.width / HARTREE)
    if sum(c.shape[1] * (1 if is_real(k) else 2) for c, k in zip(states, mesh.points, strict=True)) <= MOST_STATES:
        return _on_grid(grid, boxes, config.basis, _by_states(states, mesh, len(structure)))
    return _on_grid(grid, boxes, config.basis, _by_matrix(density_matrix(states, pairs, mesh), pairs))


def matrices_of(structure: Structure, config: HarrisConfig) -> tuple[Grid, list[Block], Pairs, Matrices]:
    """What is diagonalised, and the grid that it is summed over, in boxes."""
    grid = Grid.from_spacing(structure.lattice.matrix, config.spacing)
    potential, _ = effective_potential(structure.cart_coords, grid, config.atom_exponent, config.functional)
    boxes = blocks(structure, grid, config.basis.r_cut)
    pairs = find_pairs(boxes, len(structure))
    return grid, boxes, pairs, integrals(boxes, grid, potential, config.basis, pairs)


def _on_grid(grid: Grid, boxes: Sequence[Block], basis: BasisConfig, contracted: Contracted) -> Densities:
    n, tau, gradient = np.full(grid.size, SMALLEST_DENSITY), np.zeros(grid.size), np.zeros(grid.size)

    def fill(block: Block) -> None:
        one, other = contracted(block, sloped(block, basis)[:, :, : len(block.points)])
        n[block.points] = np.maximum((one[0] * other[0]).sum(0).numpy(), SMALLEST_DENSITY)
        gradient[block.points] = 4 * (one[1:] * other[0]).sum(1).square().sum(0).numpy()
        tau[block.points] = 0.5 * (one[1:] * other[1:]).sum((0, 1)).numpy()

    visit(boxes, fill)
    return Densities(grid, *(part.reshape(grid.shape) for part in (n, tau, gradient)))


def _by_states(states: Sequence[Bands], mesh: KMesh, n_atoms: int) -> Contracted:
    """n = Σ ψ ψ over real and imaginary parts of the occupied states."""
    m = len(states[0]) // n_atoms
    by_atom = [c.astype(np.csingle if np.iscomplexobj(c) else np.single).reshape(n_atoms, m, -1) for c in states]

    def contracted(block: Block, values: Values) -> tuple[Values, Values]:
        rows = []
        for c, k in zip(by_atom, mesh.points, strict=True):
            phase = np.exp(2j * np.pi * (block.shift @ k))
            here = c[block.atom]
            here *= (phase if np.iscomplexobj(c) else phase.real).astype(c.dtype)[:, None, None]
            here = here.reshape(len(block.atom) * m, c.shape[2]).T
            rows += [here.real, here.imag] if np.iscomplexobj(c) else [here]
        psi = torch.from_numpy(np.concatenate(rows) if len(rows) > 1 else rows[0]) @ values
        return psi, psi

    return contracted


def _by_matrix(matrix: Float[np.ndarray, "pairs m m"], pairs: Pairs) -> Contracted:
    """n = Σ φ (P φ): as much work whatever the number of states. In single precision it changes ELF by some 1e-7."""
    single = matrix.astype(np.float32)

    def contracted(block: Block, values: Values) -> tuple[Values, Values]:
        parts = single[pairs.of(block)]
        size = len(parts) * parts.shape[2]
        return values, torch.from_numpy(parts.transpose(0, 2, 1, 3).reshape(size, size)) @ values

    return contracted
