"""The same weights with all periodic images and with the one that rounding picks, crystal by crystal.

    python benchmarks/images.py [--model grid_mlp.wang2026-h-v2] [--points 20000]

The paper's public code takes one image of each atom by rounding fractional coordinates, which misses neighbours as
soon as the cell is smaller than twice the cutoff or skewed: every crystal here.
"""

from __future__ import annotations

import argparse

import numpy as np

import elfzoo
from elfzoo.analysis import field_metrics
from elfzoo.benchmark.dense_baseline import dense_elf
from elfzoo.datasets import CrystalHydrogen, uniform_indices
from elfzoo.progress import progress_bar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="grid_mlp.wang2026-h-v2")
    parser.add_argument("--points", type=int, default=20_000, help="random voxels of each crystal")
    args = parser.parse_args()
    model = elfzoo.load_pretrained(args.model)
    data = CrystalHydrogen(split="test")
    rows = []
    with progress_bar("crystals", len(data)) as advance:
        for structure, field in data:
            chosen = uniform_indices(field.values, args.points, np.random.default_rng(0))
            truth, frac = field.values.ravel()[chosen], field.grid.frac_coords(chosen)
            exact = field_metrics(truth, model.predict(structure, points=frac, progress=False))
            rounded = field_metrics(truth, dense_elf(model, structure, frac))
            rows.append((field.meta["file"], structure.lattice.abc, exact, rounded))
            advance(1)
    print(f"{args.model}: MAE and R² on {args.points} random voxels of each crystal")
    print(f"{'crystal':38s} {'cell edges, Å':20s} exact images    one rounded image")
    for file, edges, exact, rounded in rows:
        cell = " ".join(f"{e:.2f}" for e in edges)
        print(f"{file:38s} {cell:20s} {exact.mae:.4f} {exact.r2:7.4f}  {rounded.mae:.4f} {rounded.r2:7.4f}")
    means = [np.mean([(row[i].mae, row[i].r2) for row in rows], axis=0) for i in (2, 3)]
    print(f"{'mean':59s} {means[0][0]:.4f} {means[0][1]:7.4f}  {means[1][0]:.4f} {means[1][1]:7.4f}")


if __name__ == "__main__":
    main()
