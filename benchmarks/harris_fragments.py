"""Whether divide and conquer pays for the untrained diagonalisation of hydrogen, and from how many atoms.

    python benchmarks/harris_fragments.py [--snapshots 3] [--cuts 2] [--buffers 2 3 4 5]

Divide and conquer (Yang, Phys. Rev. Lett. 66, 1438 (1991)) cuts the atoms into cores. A fragment, a core and all images
of atoms within a buffer of it, is diagonalised alone, as a block of the overlaps and the Hamiltonian of the whole; all
fragments have one Fermi level, and of a fragment's density matrix the elements between two atoms of the core count 1,
those between the core and the buffer ½.

One snapshot of each pressure of ``fluid-h/val`` (128 atoms) is solved so, and by all of its orbitals at k-points dense
enough to stand for the infinite system, as fragments may be larger than the cell. The record has the MAE of ELF between
the two at some thousand points, in boxes of the grid taken at random, and that which the coarser k-points of ``harris``
make. One dense problem of N atoms is taken to cost c N³ CPU seconds, as a cell of more than about 400 atoms has one
k-point, at which its matrices are real; c is fitted to the eigenproblems of all fragments, which are of that kind. One
case takes a minute to half an hour of a core, by the buffer. Resumable: a case in the record is kept.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from invariances import snapshots
from pymatgen.core import Structure
from scipy import linalg
from scipy.spatial import cKDTree

from elfzoo.benchmark import environment, write_json
from elfzoo.grid import Grid
from elfzoo.periodic import periodic_images, wrap
from elfzoo.transforms.harris import HarrisConfig
from elfzoo.transforms.harris.blocks import Block, Pairs, blocks, find_pairs
from elfzoo.transforms.harris.field import SMALLEST_DENSITY, UNIFORM
from elfzoo.transforms.harris.kmesh import KMeshConfig, k_mesh
from elfzoo.transforms.harris.matrices import Matrices, density_matrix, integrals, occupations
from elfzoo.transforms.harris.orbitals import orbitals
from elfzoo.transforms.harris.potential import effective_potential

RECORD = Path(__file__).parent / "results" / "harris-fragments.json"
DENSE_MESH = KMeshConfig(large_spacing=0.35)  # rad/Å: three points along each axis of these cells
BOXES = 20  # of 6³ points of the grid
ACCEPTABLE = 0.001  # MAE of ELF that an approximation may add
HARTREE = 27.211386  # eV
CORES = (1, 2, 3, 4)  # cuts along each axis whose cost is counted


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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapshots", type=int, default=3, help="how many, one of each pressure")
    parser.add_argument("--cuts", type=int, default=2, help="of the cell along each axis, into cores")
    parser.add_argument("--buffers", type=float, nargs="*", default=[2.0, 3.0, 4.0, 5.0], help="Å")
    parser.add_argument("--out", type=Path, default=RECORD, help="where the results go")
    args = parser.parse_args(arguments)
    cases = json.loads(args.out.read_text())["cases"] if args.out.is_file() else {}
    for i, structure in enumerate(structures()[: args.snapshots]):
        asked = {f"snapshot {i}, {args.cuts} cuts, {b:g} Å": b for b in args.buffers}
        missing = {name: b for name, b in asked.items() if name not in cases}
        if not missing:
            continue
        problem = prepared(structure, HarrisConfig())
        whole, mesh_error = reference(problem)
        for name, buffer in missing.items():
            cases[name] = {"snapshot": i, "mesh_error": mesh_error} | case(problem, whole, args.cuts, buffer)
            write_json(args.out, {"environment": environment(), **summary(cases), "cases": cases})
            print(f"{name}: MAE {cases[name]['error']:.5f}, {cases[name]['seconds']:.1f} s", flush=True)


def structures() -> list[Structure]:
    """One snapshot of each pressure."""
    return [field.structure for field in snapshots(None)]


def prepared(structure: Structure, config: HarrisConfig) -> Problem:
    """Overlaps and Hamiltonian, as ``harris`` has them."""
    grid = Grid.from_spacing(structure.lattice.matrix, config.spacing)
    potential, _ = effective_potential(structure.cart_coords, grid, config.atom_exponent, config.functional)
    pairs = find_pairs(structure, grid, config.basis.r_cut)
    return Problem(structure, grid, config, pairs, integrals(structure, grid, potential, config.basis, pairs))


def reference(problem: Problem) -> tuple[np.ndarray, float]:
    """ELF by all orbitals at dense k-points, and the MAE of that at the k-points of ``harris``."""
    dense, own = (elf(problem, exact(problem, mesh)) for mesh in (DENSE_MESH, problem.config.k_mesh))
    return dense, mae(dense, own)


def exact(problem: Problem, mesh: KMeshConfig) -> np.ndarray:
    """Density matrix by pair, of all orbitals at once."""
    points = k_mesh(problem.structure.lattice.matrix, mesh)
    return density_matrix(problem.matrices, problem.pairs, points, len(problem.structure), problem.width)


def case(problem: Problem, whole: np.ndarray, cuts: int, buffer: float) -> dict[str, Any]:
    """Error and cost of one way to cut."""
    parts = fragments(problem.structure, cuts, buffer)
    matrix, solved = divided(problem, parts)
    counted = {str(n): dense_atoms(problem.structure, n, buffer) for n in CORES}
    return {
        "atoms": len(problem.structure),
        "cuts": cuts,
        "buffer": buffer,
        "error": mae(whole, elf(problem, matrix)),
        "partners": len(problem.pairs.keys) / len(problem.structure),
        "fragment_atoms": [len(part.atom) for part in parts],
        "fragment_seconds": [states.seconds for states in solved],
        "seconds": sum(states.seconds for states in solved),
        "crossing_by_cubes_and_cuts": counted,
    }


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


def divided(problem: Problem, parts: Sequence[Block]) -> tuple[np.ndarray, list[States]]:
    """Density matrix by pair, put together of all fragments at one Fermi level."""
    solved = [solve(problem, part) for part in parts]
    energies, shares = (np.concatenate([getattr(s, what) for s in solved]) for what in ("energies", "shares"))
    filled = occupations(energies[:, None], shares, len(problem.structure), problem.width)[:, 0]
    total, m = np.zeros_like(problem.matrices.overlap), problem.config.basis.size
    ends = np.cumsum([len(s.energies) for s in solved])[:-1]
    for part, states, f in zip(parts, solved, np.split(filled, ends), strict=True):
        c, core = states.coefficients, core_orbitals(part, m)
        rows = ((c[core] * f) @ c.T).reshape(len(part.points), m, len(part.atom), m)
        a, b, which = present(problem.pairs, part, core[::m] // m)
        total[which] += rows[a, :, b, :]
    # half of a row of the core is in it, the other half in its transpose: 1 within the core, ½ across its border
    return 0.5 * (total + total[problem.pairs.turned()].transpose(0, 2, 1)), solved


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


def elf(problem: Problem, matrix: np.ndarray) -> np.ndarray:
    """ELF that a density matrix gives, in some boxes."""
    basis = problem.config.basis
    every = list(blocks(problem.structure, problem.grid, basis.r_cut))
    chosen = np.random.default_rng(0).permutation(len(every))[:BOXES]
    return np.concatenate([box_elf(problem, matrix, every[i]) for i in chosen])


def box_elf(problem: Problem, matrix: np.ndarray, block: Block) -> np.ndarray:
    """From n, τ and ∇n of the density matrix itself."""
    phi, slopes, _ = orbitals(block.vectors(), problem.config.basis)
    size = len(phi)
    p = matrix[problem.pairs.of(block)].transpose(0, 2, 1, 3).reshape(size, size)
    acted = p @ phi
    n = np.maximum((phi * acted).sum(axis=0), SMALLEST_DENSITY)
    tau = 0.5 * sum((slope * (p @ slope)).sum(axis=0) for slope in slopes)
    gradient = sum((2 * slope * acted).sum(axis=0) ** 2 for slope in slopes)
    chi = np.maximum(tau - gradient / (8 * n), 0.0) / (UNIFORM * n ** (5 / 3))
    return 1 / (1 + chi**2)


def mae(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


def dense_atoms(structure: Structure, cuts: int, buffer: float) -> float:
    """Atoms whose N³ is what the fragments take for them; nothing is diagonalised."""
    cubes = sum(len(part.atom) ** 3 for part in fragments(structure, cuts, buffer))
    return float(np.sqrt(cubes / len(structure)))


def summary(cases: dict[str, Any]) -> dict[str, Any]:
    """Law of the dense cost, a row for each way to cut, and what follows."""
    cost, power = dense_cost(cases)
    ways = sorted({(found["cuts"], found["buffer"]) for found in cases.values()})
    rows = [way(cases, cuts, buffer, cost) for cuts, buffer in ways]
    good = [row for row in rows if row["acceptable"]]
    return {
        "acceptable": ACCEPTABLE,
        "dense": {"seconds_per_atom_cubed": cost, "fitted_power": power, "assumed": "c N³, one k-point, one core"},
        "cheapest_acceptable": min(good, key=lambda row: row["crossing"], default=None),
        "rows": rows,
    }


def dense_cost(cases: dict[str, Any]) -> tuple[float, float]:
    """c of c N³, and the power that the times themselves have, over all fragments."""
    atoms, seconds = (
        np.concatenate([found[what] for found in cases.values()]) for what in ("fragment_atoms", "fragment_seconds")
    )
    cubes = atoms.astype(float) ** 3
    power = np.polyfit(np.log(atoms), np.log(seconds), 1)[0] if atoms.min() < atoms.max() else np.nan
    return float(seconds @ cubes / (cubes @ cubes)), float(power)


def way(cases: dict[str, Any], cuts: int, buffer: float, cost: float) -> dict[str, Any]:
    """Mean over snapshots."""
    chosen = [found for found in cases.values() if (found["cuts"], found["buffer"]) == (cuts, buffer)]
    error, seconds = (float(np.mean([found[what] for found in chosen])) for what in ("error", "seconds"))
    atoms = float(np.mean([found["atoms"] for found in chosen]))
    return {
        "cuts": cuts,
        "buffer": buffer,
        "snapshots": len(chosen),
        "error": error,
        "acceptable": error < ACCEPTABLE,
        "fragment_atoms": float(np.mean([np.mean(found["fragment_atoms"]) for found in chosen])),
        "seconds_per_atom": seconds / atoms,
        "crossing": float(np.sqrt(seconds / atoms / cost)),
    }


if __name__ == "__main__":
    main()
