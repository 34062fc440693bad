"""What each step of a grid MLP takes: CPU seconds of one core for 500 hydrogen atoms on 192³ points.

    python benchmarks/speed.py [--models NAME ...]

The record of the whole job, of any model, is made by ``elfzoo benchmark -m NAME -t speed``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

import elfzoo
from elfzoo.benchmark import find_task
from elfzoo.models import GridMLP
from elfzoo.transforms import fused

EVERY = 16  # blocks of the grid, of which one is timed
REPEAT = 2


def cpu_seconds(function: Callable[[], object]) -> float:
    """The best of several runs."""
    times = []
    for _ in range(REPEAT):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return min(times)


def steps(model: GridMLP) -> dict[str, float]:
    """CPU seconds of one core for each step of the whole grid, from a sample of its blocks."""
    task = find_task("speed")
    structure = task.structure()
    grid = task.grid(structure)
    blocks = [block for i, block in enumerate(grid.blocks(model.block_size)) if i % EVERY == 0]
    points, share = [grid.positions(block) for block in blocks], grid.size / sum(map(len, blocks))
    (cells, weights), network, config = model._surroundings(structure), model._fused_network(), model.config.descriptor
    layer = (np.zeros((1, config.n_features), np.float32), np.zeros(1, np.float32))
    constant = fused.FusedNetwork(np.zeros(config.n_features), np.ones(config.n_features), 1.0, [layer])
    alone = cpu_seconds(lambda: [fused.logits(config, cells, weights, constant, p) for p in points])
    whole = cpu_seconds(lambda: [fused.logits(config, cells, weights, network, p) for p in points])
    return {
        "set-up": cpu_seconds(lambda: (model._surroundings(structure), model._fused_network())),
        "positions": share * cpu_seconds(lambda: [grid.positions(block) for block in blocks]),
        "features": share * alone,
        "network": share * (whole - alone),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["grid_mlp.wang2026-h-v2", "grid_mlp.smooth-h-v3"])
    print(f"kernel {fused.instruction_set()}")
    for name in parser.parse_args().models:
        print(f"{name}: " + ", ".join(f"{k} {v:.2f} s" for k, v in steps(elfzoo.load_pretrained(name)).items()))


if __name__ == "__main__":
    main()
