"""Whether divide and conquer pays for the untrained diagonalisation of hydrogen, and from how many atoms.

    python benchmarks/harris_fragments.py [--snapshots 0 1 2] [--cuts 2] [--buffers 3 4]
    python benchmarks/harris_fragments.py --one --buffers 4 5 6

One snapshot of each pressure of ``fluid-h/val`` (128 atoms) is solved in fragments (``divide_and_conquer.py``), and by
all of its orbitals at k-points dense enough to stand for the infinite system, as fragments may be larger than the cell.
The record has the MAE of ELF between the two, in boxes of the grid taken at random, for the fragments joined in space
and by density matrix, and beside it that which the coarser k-points of ``harris`` make. With ``--one`` a single
fragment is solved, at the Fermi level of the whole, for the points of its core: what the buffer alone costs, where all
fragments would take too long.

One dense problem of N atoms is taken to cost c N³ CPU seconds: cells of more than about 400 atoms have one k-point, at
which matrices are real. c is fitted to the eigenproblems of all fragments, which are of that kind, with more of their
states. The crossing is the N from which the fragments of N atoms are cheaper. Where no buffer will do, the one that
would, if the error went on to fall exponentially as between the last two of all fragments, is extrapolated, and its
crossing is counted in the first snapshot: N³ for each fragment, by the best of some cuts. A case takes a minute to ten.
Resumable: a case in the record is kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from divide_and_conquer import (
    Problem,
    exact,
    fermi_level_of,
    filling,
    fragments,
    joined,
    matrix_elf,
    prepared,
    solve,
    space_elf,
)
from invariances import snapshots
from pymatgen.core import Structure

from elfzoo.benchmark import environment, write_json
from elfzoo.transforms.harris import HarrisConfig
from elfzoo.transforms.harris.blocks import Block, blocks
from elfzoo.transforms.harris.kmesh import KMeshConfig
from elfzoo.transforms.harris.matrices import occupations_at

RECORD = Path(__file__).parent / "results" / "harris-fragments.json"
CONFIG = HarrisConfig()  # as released
DENSE_MESH = KMeshConfig(
    large_spacing=0.35
)  # rad/Å: three points along each axis; ELF is within 0.0008 of that of four
BOXES = 20  # of 6³ points of the grid
ACCEPTABLE = 0.001  # MAE of ELF that an approximation may add
JOINED = ("space", "matrix")
COUNTED_CUTS, COUNTED_BUFFERS = (1, 2, 3, 4), tuple(range(2, 11))  # Å; whose cost is counted


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapshots", type=int, nargs="*", default=[0, 1, 2], help="which, one is of each pressure")
    parser.add_argument("--cuts", type=int, default=2, help="of the cell along each axis, into cores")
    parser.add_argument("--buffers", type=float, nargs="*", default=[3.0, 4.0], help="Å")
    parser.add_argument("--one", action="store_true", help="solve one fragment alone, at the Fermi level of the whole")
    parser.add_argument("--out", type=Path, default=RECORD, help="where the results go")
    args = parser.parse_args(arguments)
    cases = json.loads(args.out.read_text())["cases"] if args.out.is_file() else {}
    every = structures()
    counts, ending = counted(every[0]), ", one fragment" if args.one else ""
    for i in args.snapshots:
        asked = {f"snapshot {i}, {args.cuts} cuts, {b:g} Å{ending}": b for b in args.buffers}
        missing = {name: b for name, b in asked.items() if name not in cases}
        for name, found in measured(every[i], args.cuts, missing, args.one) if missing else ():
            cases[name] = {"snapshot": i} | found
            report = {**summary(cases, counts), "counted": counts, "cases": cases}
            write_json(args.out, {"environment": environment(), **report})
            print(name, found["errors"], f"{found['seconds']:.1f} s", flush=True)


def measured(
    structure: Structure, cuts: int, buffers: dict[str, float], one: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Cases of a structure, by name."""
    problem = prepared(structure, CONFIG)
    chosen = boxes(problem)
    dense, own = (matrix_values(problem, exact(problem, mesh), chosen) for mesh in (DENSE_MESH, CONFIG.k_mesh))
    level = fermi_level_of(problem, DENSE_MESH) if one else None
    facts = {"atoms": len(structure), "error_of_k_points": mae(dense, own)}
    for name, buffer in buffers.items():
        yield name, facts | case(problem, dense, chosen, cuts, buffer, level)


def structures() -> list[Structure]:
    """One snapshot of each pressure."""
    return [field.structure for field in snapshots(None)]


def boxes(problem: Problem) -> list[Block]:
    """Some of the grid, always the same."""
    every = list(blocks(problem.structure, problem.grid, problem.config.basis.r_cut))
    return [every[i] for i in np.random.default_rng(0).permutation(len(every))[:BOXES]]


def matrix_values(problem: Problem, matrix: np.ndarray, chosen: list[Block]) -> np.ndarray:
    """ELF that a density matrix gives, in boxes."""
    return np.concatenate([matrix_elf(problem, matrix, block) for block in chosen])


def case(
    problem: Problem, whole: np.ndarray, chosen: list[Block], cuts: int, buffer: float, level: float | None = None
) -> dict[str, Any]:
    """Errors and cost of one way to cut; with a Fermi level, of the first fragment alone."""
    parts = fragments(problem.structure, cuts, buffer)
    solved = [solve(problem, part) for part in (parts if level is None else parts[:1])]
    if level is None:
        filled = filling(problem, solved)
        by_matrix = mae(whole, matrix_values(problem, joined(problem, parts, solved, filled), chosen))
    else:
        filled, by_matrix = [occupations_at(level, solved[0].energies, problem.width)], None
    in_space = np.concatenate([space_elf(problem, parts, solved, filled, block) for block in chosen])
    atoms, seconds = [len(part.atom) for part in parts], [states.seconds for states in solved]
    return {
        "cuts": cuts,
        "buffer": buffer,
        "errors": {"space": mae(whole, in_space), "matrix": by_matrix},
        "points": int(np.isfinite(in_space).sum()),
        "partners": len(problem.pairs.keys) / len(problem.structure),
        "fragment_atoms": atoms,
        "fragment_seconds": seconds,
        "seconds": sum(seconds) * cubes(atoms) / cubes(atoms[: len(seconds)]),
    }


def cubes(atoms: list[int]) -> float:
    return float((np.array(atoms, float) ** 3).sum())


def mae(one: np.ndarray, other: np.ndarray) -> float:
    """Over the points that both have."""
    return float(np.nanmean(np.abs(one - other)))


def counted(structure: Structure) -> dict[str, float]:
    """For some buffers the atoms N whose N³, for as many fragments as N atoms have, is theirs; for the best cuts."""
    found = {}
    for buffer in COUNTED_BUFFERS:
        ways = (cubes([len(part.atom) for part in fragments(structure, cuts, buffer)]) for cuts in COUNTED_CUTS)
        found[str(buffer)] = float(np.sqrt(min(ways) / len(structure)))
    return found


def summary(cases: dict[str, Any], counts: dict[str, float]) -> dict[str, Any]:
    """Law of the dense cost, a row for each way to cut, and what follows."""
    cost, power = dense_cost(cases)
    ways = sorted({kind(found) for found in cases.values()})
    rows = [way([found for found in cases.values() if kind(found) == asked], cost) for asked in ways]
    good = [row for row in rows if row["acceptable"]]
    return {
        "acceptable": ACCEPTABLE,
        "dense": {"seconds_per_atom_cubed": cost, "fitted_power": power, "assumed": "c N³, one k-point, one core"},
        "cheapest_acceptable": min(good, key=lambda row: row["crossing"], default=None),
        "extrapolated": None if good else extrapolated(rows, counts),
        "rows": rows,
    }


def kind(found: dict[str, Any]) -> tuple[bool, int, float]:
    """Of a case: whether one fragment alone was solved, cuts, buffer."""
    return len(found["fragment_seconds"]) < len(found["fragment_atoms"]), found["cuts"], found["buffer"]


def dense_cost(cases: dict[str, Any]) -> tuple[float, float | None]:
    """c of c N³, and the power that the times themselves have, over all fragments."""
    pairs = [pair for f in cases.values() for pair in zip(f["fragment_atoms"], f["fragment_seconds"], strict=False)]
    atoms, seconds = np.array(pairs, float).T
    power = float(np.polyfit(np.log(atoms), np.log(seconds), 1)[0]) if atoms.min() < atoms.max() else None
    return float(seconds @ atoms**3 / (atoms**3 @ atoms**3)), power


def way(chosen: list[dict[str, Any]], cost: float) -> dict[str, Any]:
    """Mean over snapshots."""
    one, cuts, buffer = kind(chosen[0])
    errors = {how: float(np.mean([found["errors"][how] for found in chosen])) for how in JOINED[: 1 if one else 2]}
    per_atom = float(np.mean([found["seconds"] / found["atoms"] for found in chosen]))
    return {
        "one_fragment": one,
        "cuts": cuts,
        "buffer": buffer,
        "snapshots": len(chosen),
        "errors": errors,
        "acceptable": min(errors.values()) < ACCEPTABLE,
        "fragment_atoms": float(np.mean([np.mean(found["fragment_atoms"]) for found in chosen])),
        "seconds_per_atom": per_atom,
        "crossing": float(np.sqrt(per_atom / cost)),
    }


def extrapolated(rows: list[dict[str, Any]], counts: dict[str, float]) -> dict[str, float | None] | None:
    """Buffer, Å, that would do by the law of the two largest, joined in space, and its crossing if it was counted."""
    whole = [row for row in rows if not row["one_fragment"]]
    alike = [row for row in whole if row["cuts"] == whole[-1]["cuts"]]
    if len(alike) < 2:
        return None
    near, far = alike[-2:]
    fall = np.log(near["errors"]["space"] / far["errors"]["space"]) / (far["buffer"] - near["buffer"])
    buffer = far["buffer"] + np.log(far["errors"]["space"] / ACCEPTABLE) / fall
    known = np.array([float(b) for b in counts])
    inside = fall > 0 and known[0] <= buffer <= known[-1]
    crossing = float(np.interp(buffer, known, list(counts.values()))) if inside else None
    return {"buffer": float(buffer) if fall > 0 else None, "crossing": crossing}


if __name__ == "__main__":
    main()
