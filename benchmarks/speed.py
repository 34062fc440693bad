"""Speed of the main job: 500 hydrogen atoms, 192³ points, from a structure to a Field.

    python benchmarks/speed.py [--models NAME ...] [--batches 8] [--repeat 3]

Against the plain dense torch implementation in ``dense_baseline.py`` (all atoms × points, one minimum image, batches
of 1024), timed in the same run on a sample of the grid. Also: what each step takes, the kernel on each instruction
set, how the time grows when the cell is doubled, and the peak memory over the output (a fresh process for each).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from dense_baseline import BATCH, dense_elf
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.io.files import write_bytes
from elfzoo.transforms import fused

EDGE, ATOMS, SHAPE = 11.0, 500, (192, 192, 192)  # the paper's cell
RESULTS = Path(__file__).parent / "results" / "speed"


def fluid(cells: int = 1) -> Structure:
    """500 hydrogen atoms in a cube of 11 Å, about 1.4 Å apart, repeated along x."""
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    kept = rng.permutation(len(corners))[:ATOMS]
    frac = (corners[kept] + 0.5 + 0.25 * rng.uniform(-1, 1, (ATOMS, 3))) / 8
    structure = Structure(Lattice.cubic(EDGE), ["H"] * ATOMS, frac)
    structure.make_supercell([cells, 1, 1])
    return structure


def timed(function, repeat: int) -> tuple[float, float]:
    """Best wall and CPU seconds of several runs."""
    times = []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(times)


def baseline(model, batches: int, repeat: int) -> float:
    """Voxels per second of the dense implementation."""
    structure, points = fluid(), np.random.default_rng(1).random((batches * BATCH, 3))
    dense_elf(model, structure, points[:BATCH])
    return len(points) / timed(lambda: dense_elf(model, structure, points), repeat)[0]


def steps(model) -> dict[str, float]:
    """CPU seconds of one core for each step of the whole grid, from a sample of its blocks."""
    structure, points = fluid(), []
    grid = elfzoo.Grid(SHAPE, structure.lattice.matrix)
    blocks = [b for i, b in enumerate(grid.blocks(model.block_size)) if i % 16 == 0]
    share = grid.size / sum(len(b) for b in blocks)
    cells, weights = model._surroundings(structure)
    network, config = model._fused_network(), model.config.descriptor
    result = {"set-up": timed(lambda: (model._surroundings(structure), model._fused_network()), 2)[1]}
    result["positions"] = share * timed(lambda: points.extend(grid.positions(b) for b in blocks), 1)[1]
    layer = (np.zeros((1, config.n_features), np.float32), np.zeros(1, np.float32))
    constant = fused.FusedNetwork(np.zeros(config.n_features), np.ones(config.n_features), 1.0, [layer])
    alone = timed(lambda: [fused.logits(config, cells, weights, constant, p) for p in points], 2)[1]
    whole = timed(lambda: [fused.logits(config, cells, weights, network, p) for p in points], 2)[1]
    result["features"] = share * alone
    result["network"] = share * whole - result["features"]
    return result


def peak_memory(name: str) -> float:
    """GiB that a prediction adds to a process at its peak, the output itself not counted."""
    done = subprocess.run([sys.executable, __file__, "--memory-of", name], capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure_memory(name: str) -> None:
    model, structure = elfzoo.load_pretrained(name), fluid()
    model.predict(structure, grid=(24, 24, 24), progress=False)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is used now (Linux)
    before = peak_kib()
    field = model.predict(structure, grid=SHAPE, progress=False)
    print((peak_kib() - before) / 2**20 - field.values.nbytes / 2**30)


def peak_kib() -> int:
    """Largest resident memory of this process so far, KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def run(name: str, dense: float, repeat: int) -> dict:
    model = elfzoo.load_pretrained(name)
    model.predict(fluid(), grid=(24, 24, 24), progress=False)
    wall, cpu = timed(lambda: model.predict(fluid(), grid=SHAPE, progress=False), repeat)
    half = (SHAPE[0] // 2, *SHAPE[1:])  # the same density of points before and after doubling, and time to spare
    once = timed(lambda: model.predict(fluid(1), grid=half, progress=False), repeat)[0]
    twice = timed(lambda: model.predict(fluid(2), grid=SHAPE, progress=False), repeat)[0]
    speed = np.prod(SHAPE) / wall
    return {
        "seconds_500h_192": wall,
        "cpu_seconds_500h_192": cpu,
        "voxels_per_second": speed,
        "dense_baseline_voxels_per_second": dense,
        "ratio_to_dense_baseline": speed / dense,
        "peak_rss_gib": peak_memory(name),
        "doubled_cell_ratio": twice / once,
        "steps_cpu_seconds": steps(model),
    }


def report(name: str, result: dict) -> None:
    threads, kernel = torch.get_num_threads(), fused.instruction_set()
    wall, cpu = result["seconds_500h_192"], result["cpu_seconds_500h_192"]
    print(f"\n{name}: {ATOMS} H, {SHAPE[0]}³ points, {threads} threads, kernel {kernel}")
    print(f"  structure to Field        {wall:.2f} s wall, {cpu:.2f} s CPU")
    print(f"  voxels per second         {result['voxels_per_second']:,.0f}")
    print(f"  dense torch, same run     {result['dense_baseline_voxels_per_second']:,.0f}")
    print(f"  ratio                     {result['ratio_to_dense_baseline']:,.0f}")
    print(f"  peak memory over output   {result['peak_rss_gib']:.2f} GiB")
    print(f"  cell doubled along x      {result['doubled_cell_ratio']:.2f} times the time")
    print("  one core's seconds by step: " + ", ".join(f"{k} {v:.2f}" for k, v in result["steps_cpu_seconds"].items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["grid_mlp.wang2026-h-v2", "grid_mlp.smooth-h-v2"])
    parser.add_argument("--batches", type=int, default=8, help="batches of 1024 points that the dense peer is timed on")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        return measure_memory(args.memory_of)
    dense = baseline(elfzoo.load_pretrained("grid_mlp.wang2026-h-v2"), args.batches, args.repeat)
    for name in args.models:
        result = run(name, dense, args.repeat)
        report(name, result)
        RESULTS.mkdir(parents=True, exist_ok=True)
        facts = {
            "model": name,
            "task": "speed",
            "metrics": result,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "hardware": f"{platform.machine()}, {os.cpu_count()} cores, kernel {fused.instruction_set()}",
        }
        write_bytes(RESULTS / f"{name}.json", [(json.dumps(facts, indent=1) + "\n").encode()])
    return None


if __name__ == "__main__":
    main()
