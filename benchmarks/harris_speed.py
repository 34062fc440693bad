"""Seconds of one diagonalisation: fluid hydrogen of 64 to 2000 atoms, from a structure to ELF on 192³ points.

    python benchmarks/harris_speed.py [--atoms 64 216 500 1000 2000] [--scf 64]

The logits are computed at 0.125 Å and put on the grid by splines (``predict(..., coarse=0.125)``). Beside it, in the
same run, the densities alone with folded states and with those of a dense diagonalisation (up to ``--dense`` atoms),
and by how much their ELF differs; ``grid_mlp.smooth-h-v3`` on all points, and for the sizes of ``--scf`` the label
itself: Quantum ESPRESSO to self-consistency with the settings and k-points of the data, which runs on one core, so that
the two are compared in seconds of a processor. Atoms at random in 2.2 Å³ each, at least 0.7 Å apart: what it costs
depends on their number. Best of two runs; on all cores of a machine that does nothing else, the record says how many.
What is not asked for stays in the record, if a machine of this kind and these versions measured it.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.benchmark import environment, write_json
from elfzoo.reference.recipe import find_recipe, make_engine
from elfzoo.transforms.harris import HarrisConfig, harris_densities, matrices
from elfzoo.transforms.harris.kmesh import KMeshConfig

RECORD = Path(__file__).parent / "results" / "harris-speed.json"
POINTS, COARSE, VOLUME, NEAREST = 192, 0.125, 2.2, 0.7

COLUMNS = {  # of the table: what stands above them, and how numbers are written
    "atoms": ("atoms", "d"),
    "harris_delta": ("`harris_delta.h-v1`, seconds", ".1f"),
    "harris_delta_processor": ("seconds of a processor", ".1f"),
    "grid_mlp": ("`grid_mlp.smooth-h-v3`, seconds", ".1f"),
    "scf_processor": ("DFT, seconds of a processor", ",.0f"),
    "scf_ratio": ("times as many", ".0f"),
    "folded": ("densities alone, folded", ".1f"),
    "dense": ("by a dense diagonalisation", ".1f"),
    "elf_change": ("ELF differs by", ".0e"),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, nargs="*", default=[64, 216, 500, 1000, 2000])
    parser.add_argument("--scf", type=int, nargs="*", default=[64], help="of these atoms DFT computes a label, too")
    parser.add_argument("--dense", type=int, default=1000, help="atoms of the largest dense diagonalisation")
    parser.add_argument("--points", type=int, default=POINTS, help="along each edge")
    parser.add_argument("--out", type=Path, default=RECORD, help="where the results go")
    args = parser.parse_args(arguments)
    facts = {"points": args.points, "coarse": COARSE, "threads": torch.get_num_threads()}
    record: dict[str, Any] = {"environment": environment(), **facts, "rows": []}
    record["rows"] = kept_rows(args.out, record)
    rows = {row["atoms"]: row for row in record["rows"]}
    for atoms in args.atoms:
        row = measured(random_cell(atoms), args.points)
        print(f"{atoms} H: harris_delta {row['harris_delta']:.1f} s, grid_mlp {row['grid_mlp']:.1f} s", flush=True)
        if atoms <= args.dense:
            row |= beside_dense(random_cell(atoms))
            print(
                f"{atoms} H: folded {row['folded']:.1f} s, dense {row['dense']:.1f} s, {row['elf_change']:.1e}",
                flush=True,
            )
        rows[atoms] = with_label(row, rows.get(atoms, {}))
        record["rows"] = [rows[size] for size in sorted(rows)]
        write_json(args.out, record)
    for row in record["rows"]:  # last, for what else runs hardly changes seconds of a processor
        if row["atoms"] in args.scf:
            row |= with_label(row, labelled(random_cell(row["atoms"])))
            print(f"{row['atoms']} H: {row['engine']}, {row['scf_processor']:.0f} s of a processor", flush=True)
            write_json(args.out, record)


def kept_rows(path: Path, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the file, if what is measured and by what is the same now."""
    old = json.loads(path.read_text()) if path.exists() else {"environment": {}, "rows": []}
    same = all(old.get(key) == record[key] for key in ("points", "coarse", "threads"))
    here = {k: v for k, v in record["environment"].items() if k != "date"}
    return old["rows"] if same and here.items() <= old["environment"].items() else []


def table(record: Mapping[str, Any]) -> list[str]:
    """Rows for docs/models.md, a size in each; without what no size has."""
    shown = {key: column for key, column in COLUMNS.items() if any(key in row for row in record["rows"])}
    lines = [f"| {' | '.join(title for title, _ in shown.values())} |", f"|{'--:|' * len(shown)}"]
    for row in record["rows"]:
        cells = [format(row[key], form) if key in row else "" for key, (_, form) in shown.items()]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def random_cell(atoms: int) -> Structure:
    """Atoms at random, none nearer to another than ``NEAREST``."""
    rng, edge = np.random.default_rng(0), (atoms * VOLUME) ** (1 / 3)
    lattice, found = Lattice.cubic(edge), np.zeros((0, 3))
    while len(found) < atoms:
        new = rng.random(3)
        away = (found - new + 0.5) % 1 - 0.5
        if not len(found) or np.linalg.norm(away, axis=1).min() * edge > NEAREST:
            found = np.vstack([found, new])
    return Structure(lattice, ["H"] * atoms, found)


def measured(structure: Structure, points: int) -> dict[str, Any]:
    """Seconds of both models."""
    corrected, geometric = map(elfzoo.load_pretrained, ("harris_delta.h-v1", "grid_mlp.smooth-h-v3"))
    grid = (points, points, points)
    first, processor = best(lambda: corrected.predict(structure, grid=grid, coarse=COARSE, progress=False))
    second, _ = best(lambda: geometric.predict(structure, grid=grid, progress=False))
    times = {"harris_delta": first, "harris_delta_processor": processor, "grid_mlp": second}
    return {"atoms": len(structure), **times, "ratio": first / second}


def beside_dense(structure: Structure) -> dict[str, float]:
    """Seconds of the densities both ways, and the mean difference of their ELF."""
    config = HarrisConfig(spacing=COARSE)
    seconds, fields = [], []
    for least in (matrices.FOLDED, sys.maxsize):
        found: list[np.ndarray] = []
        with mock.patch.object(matrices, "FOLDED", least):
            time_taken, _ = best(lambda into=found: into.append(harris_densities(structure, config).chi()))
        seconds.append(time_taken)
        fields.append(1 / (1 + found[-1] ** 2))
    change = float(np.abs(fields[1] - fields[0]).mean())
    return {"folded": seconds[0], "dense": seconds[1], "elf_change": change}


def with_label(row: Mapping[str, Any], label: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the seconds of a label, if there are any, and how many times those of the model that is."""
    if "scf" not in label:
        return dict(row)
    seconds = {key: label[key] for key in ("engine", "scf", "scf_processor")}
    return {**row, **seconds, "scf_ratio": label["scf_processor"] / row["harris_delta_processor"]}


def labelled(structure: Structure) -> dict[str, Any]:
    """Seconds of the label.

    Raises:
        EngineError: the engine is missing, or fails.
    """
    large = structure.volume >= KMeshConfig().large  # as the fluid's labels, or the crystals'
    recipe = find_recipe("fluid-h" if large else "crystal-h")
    engine, began, before = make_engine(recipe.label), time.perf_counter(), of_children()
    with tempfile.TemporaryDirectory() as folder:
        label = engine.label(structure, recipe.label, Path(folder))
    times = {"scf": time.perf_counter() - began, "scf_processor": of_children() - before}
    return {"engine": f"{engine.version()}, {label.facts['scf_steps']} steps", **times}


def of_children() -> float:
    """Seconds of a processor that programs run by this one took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def best(job: Callable[[], Any]) -> tuple[float, float]:
    """The shorter of two runs, in seconds and in seconds of a processor."""
    times = []
    for _ in range(2):
        began, processor = time.perf_counter(), time.process_time()
        job()
        times.append((time.perf_counter() - began, time.process_time() - processor))
    return min(times)


if __name__ == "__main__":
    main()
