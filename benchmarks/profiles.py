"""Where the time of a prediction goes, on one core: functions by their own time; kernels beside plain PyTorch.

    OMP_NUM_THREADS=1 python benchmarks/profiles.py [MODEL ...] [--out benchmarks/results/profiles.json]

500 hydrogen atoms on 192³ points, or as many blocks of that grid as a model evaluates in some seconds; the set-up of
the whole cell is in it, and counts once. By default every release that takes hydrogen and needs no engine. Of models
with a compiled kernel, the same points are also evaluated by the operators of PyTorch, in the same run, and the kernel
once more with a network of one layer that is all zeros: what is left then is the description of a point.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import PropertyMock, patch

import numpy as np
import torch
from scaling import hydrogen_models

from elfzoo.benchmark import environment, find_task, write_json
from elfzoo.benchmark.entrant import Entrant, load_entrant
from elfzoo.benchmark.speed import sample
from elfzoo.benchmark.speed_task import SpeedTask
from elfzoo.models import PointModel
from elfzoo.models.kernel_model import KernelModel
from elfzoo.progress import progress_bar
from elfzoo.transforms.fused import FusedNetwork

RECORD = Path(__file__).parent / "results" / "profiles.json"
SECONDS = 6.0  # that a sample takes, about
SMALLEST = 1 / 2048  # share of the grid
SHOWN = 5
NAMES = {
    "fused.py:_run": "kernel",
    "probe_fields.py:evaluate": "kernel",
    "latent_fields.py:evaluate": "kernel",
    "field.py:fill": "densities on the grid",
    "matrices.py:add": "integrals",
    "box_orbitals.py:add_by_pair": "sums by pair of atoms",
    "_decomp.py:eigh": "diagonalisation",
    "_decomp.py:_eigh": "diagonalisation",
    "torch.conv3d": "convolutions",
    "torch._C._nn.silu": "SiLU",
    "torch._C._nn.gelu": "GELU",
    "torch._C._nn.linear": "layers",
    "average_pool.py:forward": "pooling",
    "scipy.fft._pocketfft.pypocketfft.c2c": "Fourier transforms",
    "grid.py:positions": "positions of points",
    "periodic.py:probe_edges": "pairs of points and atoms",
}


def own_times(call: Callable[[], object]) -> tuple[float, dict[str, float]]:
    """Seconds of a call, and the share that each function spends in itself, the largest first."""
    profile = cProfile.Profile()
    profile.runcall(call)
    stats: Mapping[tuple[str, int, str], Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = sum(entry[2] for entry in stats.values())
    found: dict[str, float] = {}
    for where, entry in stats.items():
        found[named(*where)] = found.get(named(*where), 0.0) + entry[2] / total
    return total, dict(sorted(found.items(), key=lambda item: -item[1]))


def named(file: str, _: int, function: str) -> str:
    """A function as the table shows it."""
    built_in = function.removeprefix("<built-in method ").removeprefix("<method ").rstrip(">")
    name = built_in if file == "~" else f"{Path(file).name}:{function}"
    return NAMES.get(name, name)


def sampled(entrant: Entrant, task: SpeedTask) -> tuple[Callable[[], object], int]:
    """A part of the job that takes some seconds, and its points; the whole of a model of whole fields."""
    structure = task.structure()
    grid = task.grid(structure)
    if not isinstance(entrant.model, PointModel):
        return lambda: entrant.predict("", structure, grid), grid.size
    call, points = sample(entrant, structure, grid, SMALLEST)
    call()
    began = time.perf_counter()
    call()
    share = points / grid.size * SECONDS / (time.perf_counter() - began)
    return sample(entrant, structure, grid, float(np.clip(share, SMALLEST, 1 / 8)))


def by_kernel(model: KernelModel, points: np.ndarray, task: SpeedTask) -> dict[str, float]:
    """Points per second of the kernel, of its description of points, and of plain PyTorch, set-up left out."""
    structure = task.structure()

    def speed(evaluate: Callable[[np.ndarray], object], blocks: Sequence[np.ndarray]) -> float:
        evaluate(blocks[0])
        began = time.perf_counter()
        for block in blocks:
            evaluate(block)
        return sum(map(len, blocks)) / (time.perf_counter() - began)

    found = {"kernel": speed(model.evaluator(structure), [points])}
    width = model.standardise.mean.shape[0]
    nothing = FusedNetwork(np.zeros(width), np.ones(width), 1.0, [(np.zeros((1, width), np.float32), np.zeros(1))])
    with patch.object(type(model), "_fused_network", lambda self: nothing):
        found["description"] = speed(model.evaluator(structure), [points])
    with patch.object(type(model), "_fused", PropertyMock(return_value=False)):
        few = points[: len(points) // 4]
        found["pytorch"] = speed(model.evaluator(structure), np.array_split(few, -(-len(few) // model.block_size)))
    return found


def profiled(name: str, task: SpeedTask) -> dict[str, Any]:
    """The row of a model."""
    entrant = load_entrant(name)
    call, points = sampled(entrant, task)
    call()
    seconds, shares = own_times(call)
    row = {"points": points, "seconds": seconds, "shares": dict(list(shares.items())[:SHOWN])}
    if isinstance(entrant.model, KernelModel) and entrant.model._fused:
        grid = task.grid(task.structure())
        block = next(iter(grid.blocks(2**16)))
        with torch.no_grad():  # as in predict
            row["points_per_second"] = by_kernel(entrant.model, grid.positions(block), task)
    return row


def table(record: Mapping[str, Any]) -> list[str]:
    """A row for each model."""
    lines = ["| model | points | seconds | where | kernel, points/s | of it the network | over plain PyTorch |"]
    lines.append("|---|--:|--:|---|--:|--:|--:|")
    for name, row in record["models"].items():
        where = ", ".join(f"{what} {share:.0%}" for what, share in row["shares"].items() if share >= 0.02)
        rates = row.get("points_per_second")
        cells = [f"{rates['kernel']:,.0f}", f"{1 - rates['kernel'] / rates['description']:.0%}"] if rates else ["", ""]
        cells.append(f"{rates['kernel'] / rates['pytorch']:.1f} ×" if rates else "")
        lines.append(f"| `{name}` | {row['points']:,} | {row['seconds']:.1f} | {where} | {' | '.join(cells)} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="releases; by default all that take hydrogen")
    parser.add_argument("--out", type=Path, default=RECORD, help="where the record goes; other models in it are kept")
    args = parser.parse_args(arguments)
    task = find_task("speed")
    assert isinstance(task, SpeedTask)
    names = args.models or hydrogen_models()
    found = json.loads(args.out.read_text())["models"] if args.out.is_file() else {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with progress_bar("profiles", len(names), None) as advance:
            for name in names:
                found[name] = profiled(name, task)
                write_json(args.out, {**environment(), "models": dict(sorted(found.items()))})
                advance(1)
    finally:
        torch.set_num_threads(threads)
    print("\n".join(table({"models": {name: found[name] for name in names}})))


if __name__ == "__main__":
    main()
