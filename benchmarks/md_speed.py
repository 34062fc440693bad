"""Frames per second of φ(t): what a step of molecular dynamics costs beside the step itself, and where it goes.

    python benchmarks/md_speed.py                                      128 hydrogens, 64³ points, under a minute
    python benchmarks/md_speed.py -m probe_graph.h-v1 --frames 2       another model

The frames are a snapshot of fluid hydrogen whose atoms move at random by 0.01 Å a frame. Of each frame are timed, in
this order: the set-up that frames of one cell could share (order and positions of the grid points), and the set-up that
moved atoms need anew (checks, neighbours); ``predict``, the whole prediction with all of that; ``networking``, φ of the
predicted field; and ``row``, the observer's whole step: prediction, φ, the links of molecules, the row on the disk.
Seconds are medians over the frames. Where CPU seconds are much less than seconds times threads, or the load in the
record is above the cores that were used, the machine was busy: frames per second of CPU time then say more.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from ase import Atoms

import elfzoo
from elfzoo import analysis
from elfzoo.benchmark.record import write_json
from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.md import NetworkingObserver
from elfzoo.models.base import Model

HERE = Path(__file__).parent
DATA = HERE / "data" / "fluid-h" / "fluid_115.1GPa_A_f02000.npz"
OUT = HERE / "results" / "speed-md"
MODEL, POINTS, FRAMES = "grid_mlp.smooth-h-v3", 64, 10
STEP = 0.01  # Å
PARTS = ("set-up, shared by frames of a cell", "set-up of a frame", "predict", "networking", "row")


def trajectory(path: Path, frames: int) -> Iterator[Atoms]:
    """A snapshot whose atoms move at random, the same way each time."""
    atoms, rng = elfzoo.read_field(path).structure.to_ase_atoms(), np.random.default_rng(0)
    for _ in range(frames):
        atoms.positions += rng.normal(scale=STEP, size=atoms.positions.shape)
        yield atoms.copy()


def timed(function: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds and CPU seconds of a call, and what it gave."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = function()
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}, found


def measure(model: Model, path: Path, points: int, frames: int) -> dict[str, list[dict[str, float]]]:
    """Times of every frame by part; a first frame warms up and is not among them."""
    rows: dict[str, list[dict[str, float]]] = {part: [] for part in PARTS}
    dynamics, shape = SimpleNamespace(nsteps=0), (points, points, points)
    with tempfile.TemporaryDirectory() as folder:
        moving = next(trajectory(path, 1))
        observer = NetworkingObserver(dynamics, moving, model, Path(folder) / "phi.csv", shape)
        for number, atoms in enumerate(trajectory(path, frames + 1)):
            moving.positions, dynamics.nsteps = atoms.positions, number
            times = frame_times(model, atoms, shape, observer)
            if number:
                for part, spent in times.items():
                    rows[part].append(spent)
        observer.close()
    return rows


def frame_times(
    model: Model, atoms: Atoms, shape: tuple[int, int, int], observer: NetworkingObserver
) -> dict[str, dict[str, float]]:
    """Of one frame, by part."""

    def shared() -> None:
        grid = Grid(shape, np.array(atoms.cell))
        for block in grid.blocks(model.block_size):
            grid.positions(block)

    times = {PARTS[0]: timed(shared)[0]}
    times[PARTS[1]] = timed(lambda: model.evaluator(elfzoo.as_structure(atoms)))[0]
    times["predict"], field = timed(lambda: model.predict(atoms, grid=shape, progress=False))
    times["networking"] = timed(lambda: analysis.networking(field))[0]
    times["row"] = timed(observer)[0]
    return times


def summary(rows: Mapping[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Medians, and frames per second from them."""
    table: dict[str, dict[str, float]] = {}
    for part, found in rows.items():
        seconds, cpu = (statistics.median(row[key] for row in found) for key in ("seconds", "cpu_seconds"))
        table[part] = {"seconds": round(seconds, 5), "cpu_seconds": round(cpu, 5)}
        if part in ("predict", "networking", "row"):
            table[part] |= {"frames_per_s": round(1 / seconds, 3), "frames_per_cpu_s": round(1 / cpu, 3)}
    return table


def record(model: str, path: Path, points: int, rows: Mapping[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Everything that a result needs to be read and repeated."""
    return {
        "task": "md_speed",
        "model": model,
        "data": path.name,
        "atoms": len(elfzoo.read_field(path).structure),
        "points": [points] * 3,
        "frames": len(rows["row"]),
        "parts": summary(rows),
        "threads": torch.get_num_threads(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        **{name: version(name) for name in ("elfzoo", "torch", "numpy", "scipy", "ase")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", default=MODEL, help=f"{MODEL} by default")
    parser.add_argument("--points", type=int, default=POINTS, metavar="N", help="along each axis")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--data", type=Path, default=DATA, help="a field file, whose structure moves")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the records")
    args = parser.parse_args()
    if args.frames < 1:
        raise ElfzooError(f"--frames takes a number from 1 on; got {args.frames}")
    found = measure(elfzoo.load_pretrained(args.model), args.data, args.points, args.frames)
    path = args.out / f"{Path(args.model).name}.json"
    result = record(args.model, args.data, args.points, found)
    write_json(path, result)
    print(json.dumps(result["parts"], indent=1), f"load {result['load_average']}", f"record: {path}", sep="\n")


if __name__ == "__main__":
    try:
        main()
    except ElfzooError as error:
        sys.exit(str(error))
