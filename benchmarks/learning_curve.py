"""Error on unseen trajectories against the number of training snapshots, for the paper's recipe.

    python benchmarks/learning_curve.py [--snapshots 3 6 12] [--points 150000] [--out runs/learning]

The number of points is the same in one call, so that what grows is their variety. One snapshot of each pressure makes
three, as in the paper (whose snapshots have 500 atoms, ours 64). Also printed: the error on new voxels of the training
snapshots themselves, which is what a split by voxel would report.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from accuracy import averages, evaluate, line, select

from elfzoo.config import parse, read_yaml, to_dict
from elfzoo.datasets import FluidHydrogen
from elfzoo.hub import load_pretrained
from elfzoo.io.files import write_bytes
from elfzoo.training import TrainConfig, train

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapshots", type=int, nargs="+", default=[3, 6, 12])
    parser.add_argument("--points", type=int, default=150_000)
    parser.add_argument("--out", type=Path, default=Path("runs/learning"))
    args = parser.parse_args()
    recipe = to_dict(read_yaml(TrainConfig, HERE / "configs" / "wang2026-h-v2.yaml"))
    results = HERE / "results" / "learning_curve.json"
    table = json.loads(results.read_text()) if results.exists() else {}
    print(f"{'':44s} over all voxels, mean over structures               ELF-stratified")
    print(f"{'':44s} MAE    [95 % interval]   RMSE    R²      lowest    MAE     RMSE    R²")
    for count in args.snapshots:
        part = recipe["train"][0] | {"structures": count, "points": args.points // count}
        values = recipe | {
            "train": [part],
            "name": f"wang2026-{count}-snapshots-{args.points}-points",
            "validate": recipe["validate"][:1],
        }
        model = load_pretrained(train(parse(TrainConfig, values), args.out))
        seen = FluidHydrogen(split="train")
        chosen = np.linspace(0, len(seen) - 1, count).round().astype(int).tolist()
        tests = {"unseen trajectories": select("fluid-h", "test"), "training snapshots": seen.subset(chosen)}
        tests |= {"cubic crystals": select("crystal-h-cubic", "test")}
        tests |= {"hexagonal crystals": select("crystal-h-hexagonal", "test")}
        for label, data in tests.items():
            title = f"{count} snapshots, {args.points} points; {label}"
            table[title] = found = averages(evaluate(model, data, label))
            print(line(title, found), flush=True)
        write_bytes(results, [(json.dumps(table, indent=1) + "\n").encode()])


if __name__ == "__main__":
    main()
