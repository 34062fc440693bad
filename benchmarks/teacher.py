"""Fields of hydrogen that no DFT was run for, by a model that diagonalises: what geometric models may train on first.

    python benchmarks/teacher.py runs/teacher-h [--number 1600] [--teacher harris_delta.h-v1]
    python benchmarks/teacher.py runs/teacher-fluid --kinds fluid --number 100

A label takes seconds where DFT takes minutes, and where the teacher never saw a structure it still errs by a third of
what a geometric model does. The structures are drawn by number and seed, in turn of four kinds: random cubic and random
hexagonal crystals (PyXtal) moved some steps along the forces of the fluid's potential, such crystals rattled and
strained, and random packings, all at 1.8 to 3.2 Å³ per atom. A fifth kind, only made where it is asked for, are frames
of the fluid by molecular dynamics with its potential, each of a run of its own, over these volumes and 500 to 5000 K.
None is relaxed by DFT and none is of a dataset.

The files, npz, are for ``files: [runs/teacher-h]`` of a training configuration. The same command goes on where it was
stopped; a structure that cannot be made is left out, and its number never used.
"""

from __future__ import annotations

import argparse
import functools
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

import elfzoo
from elfzoo.errors import ElfzooError
from elfzoo.progress import progress_bar
from elfzoo.reference.calculator import PotentialCalculator
from elfzoo.reference.crystals import SYSTEMS, random_crystal
from elfzoo.reference.dynamics import run_dynamics
from elfzoo.reference.fluid import load_potential
from elfzoo.reference.packings import packed

potential = functools.cache(load_potential)  # of the fluid's molecular dynamics
SIZES = (4, 6, 8, 8, 10, 12, 12, 16, 18, 20, 24)  # atoms of a crystal's primitive cell
VOLUMES = (1.8, 3.2)  # Å³ per atom
STEPS, LONGEST_STEP = 40, 0.05  # along the forces: at most so many, Å
CLOSEST = 0.6  # Å; nearer atoms are in no hydrogen below a terapascal
RATTLE, STRAIN = 0.15, 0.06  # Å, and of an edge: at most
PACKED = 24  # atoms
FLUID_SIZES, TEMPERATURES, FEMTOSECONDS = (32, 48, 64), (500.0, 5000.0), 300.0  # K, with equal weight for each octave
SPACING, VOXELS = 0.16, 4000  # Å, of the grid; it is finer where a cell would have fewer voxels
ATTEMPTS = 200


def crystal(system: str, rng: np.random.Generator) -> Structure:
    """A random crystal, some steps down the forces."""
    for _ in range(ATTEMPTS):
        group, size = (int(rng.choice(of)) for of in (tuple(SYSTEMS[system]), SIZES))
        found = random_crystal(group, size, rng, rng.uniform(*VOLUMES))
        if found is None or shortest(found) < CLOSEST / 2:
            continue
        found = moved(found, int(rng.integers(STEPS + 1)))
        if shortest(found) > CLOSEST:
            return found
    raise ElfzooError(f"no {system} crystal after {ATTEMPTS} attempts")


def moved(structure: Structure, steps: int) -> Structure:
    """Some steps along the forces of the fluid's potential, in the same cell; they keep the symmetry."""
    atoms = AseAtomsAdaptor.get_atoms(structure)
    atoms.calc = PotentialCalculator(potential())
    for _ in range(steps):
        forces = atoms.get_forces()
        atoms.positions += forces * LONGEST_STEP / max(1.0, np.linalg.norm(forces, axis=1).max())
    return Structure(structure.lattice, structure.species, atoms.get_scaled_positions())


def rattled(rng: np.random.Generator) -> Structure:
    """A crystal of either system with its atoms displaced and its cell strained."""
    base = crystal(str(rng.choice(list(SYSTEMS))), rng)
    strain = rng.uniform(-STRAIN, STRAIN, (3, 3))
    lattice = Lattice(base.lattice.matrix @ (np.eye(3) + (strain + strain.T) / 2))
    found = Structure(lattice, base.species, base.frac_coords)
    shifts = rng.normal(size=(len(found), 3)) * rng.uniform(0, RATTLE)
    return Structure(lattice, found.species, found.cart_coords + shifts, coords_are_cartesian=True)


def packing(rng: np.random.Generator) -> Structure:
    """Atoms at random that keep a random distance, sometimes around a hole."""
    for _ in range(ATTEMPTS):
        volume, hole = rng.uniform(*VOLUMES), rng.uniform(1.0, 2.0) * rng.integers(2)
        try:
            return packed(PACKED, volume, rng.uniform(0.7, 1.35), hole, rng)
        except ElfzooError:  # too dense for its distances
            continue
    raise ElfzooError(f"no packing after {ATTEMPTS} attempts")


def fluid(rng: np.random.Generator) -> Structure:
    """The last frame of molecular dynamics from a molecular fluid; its temperature may lie outside the labels'."""
    for _ in range(ATTEMPTS):
        atoms, volume = int(rng.choice(FLUID_SIZES)), rng.uniform(*VOLUMES)
        temperature = float(np.exp(rng.uniform(*np.log(TEMPERATURES))))
        try:
            run = run_dynamics(potential(), atoms, volume, temperature, FEMTOSECONDS, int(rng.integers(2**31)))
        except ElfzooError:  # atoms collided, where the potential knows nothing
            continue
        return Structure(run.lattice, ["H"] * atoms, run.positions[-1], coords_are_cartesian=True)
    raise ElfzooError(f"no fluid after {ATTEMPTS} attempts")


MAKERS: Mapping[str, Callable[[np.random.Generator], Structure]] = {
    "cubic": lambda rng: crystal("cubic", rng),
    "hexagonal": lambda rng: crystal("hexagonal", rng),
    "rattled": rattled,
    "packing": packing,
    "fluid": fluid,
}
KINDS = ("cubic", "hexagonal", "rattled", "packing")  # of the releases' teacher


def shortest(structure: Structure) -> float:
    """Å, between atoms and their images."""
    return float(structure.get_neighbor_list(2.0)[3].min(initial=9.0))


def name_of(number: int, kinds: Sequence[str] = KINDS) -> str:
    return f"{kinds[number % len(kinds)]}_{number:05d}"


def structure_of(number: int, seed: int, kinds: Sequence[str] = KINDS) -> Structure:
    """The structure of a number, whatever others were made before."""
    name = name_of(number, kinds).encode()
    return MAKERS[kinds[number % len(kinds)]](np.random.default_rng([seed, zlib.crc32(name)]))


def label(number: int, seed: int, teacher: elfzoo.Model, out: Path, kinds: Sequence[str] = KINDS) -> bool:
    """Write the teacher's field of a structure; whether there is one."""
    path = out / f"{name_of(number, kinds)}.npz"
    if path.is_file():
        return True
    try:
        structure = structure_of(number, seed, kinds)
        if shortest(structure) < CLOSEST:
            return False
        spacing = min(SPACING, (structure.volume / VOXELS) ** (1 / 3))
        field = teacher.predict(structure, spacing=spacing, progress=False)
    except ElfzooError as error:
        print(f"{path.stem}: {error}", flush=True)
        return False
    field.write(path)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the fields")
    parser.add_argument("--number", type=int, default=1600, help="of structures that are tried")
    parser.add_argument("--first", type=int, default=0, help="number to begin with: two processes may share the work")
    parser.add_argument("--teacher", default="harris_delta.h-v1", metavar="MODEL")
    parser.add_argument("--kinds", nargs="+", choices=MAKERS, default=KINDS, help="taken in turn")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    teacher, made = elfzoo.load_pretrained(args.teacher), 0
    with progress_bar("fields", args.number - args.first) as advance:
        for number in range(args.first, args.number):
            made += label(number, args.seed, teacher, args.out, args.kinds)
            advance(1)
    print(f"{made} fields of {args.number - args.first} structures in {args.out}")


if __name__ == "__main__":
    main()
