"""Which change brought what: train variants of a configuration and measure them on the validation splits.

    python benchmarks/ablation.py [--out runs] [--seeds 0 1] [--only PATTERN] [--config configs/ablation.yaml]

Every variant in the file changes a few keys of the base configuration. Figures are MAE over uniformly drawn voxels of
each structure, averaged over structures, on the val splits (fluid: trajectory C; crystals: those whose names have a
v); test structures take no part, so that this table may be chosen by. Runs are resumed; results go to
``results/ablation.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import yaml

from elfzoo.config import parse
from elfzoo.hub import load_pretrained
from elfzoo.io.files import write_bytes
from elfzoo.training import TrainConfig, train
from elfzoo.training.points import VALIDATION_SEED, FeatureStore, draw_points

HERE = Path(__file__).parent


def merge(base: dict, changes: dict) -> dict:
    """``base`` with nested keys replaced."""
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = merge(base.get(key, {}), value) if isinstance(value, dict) else value
    return merged


def structure_errors(folder: Path, config: TrainConfig) -> dict[str, np.ndarray]:
    """MAE of each validation structure."""
    model, found = load_pretrained(folder), {}
    for part in config.validate:
        store = FeatureStore.build(model, draw_points(part, VALIDATION_SEED)[0], "float32", False)
        found[part.dataset] = store.structure_errors(model).numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=HERE / "configs" / "ablation.yaml")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", default="", help="variants whose name contains this")
    args = parser.parse_args()
    study = yaml.safe_load(args.config.read_text())
    results = HERE / "results" / f"{args.config.stem}.json"
    table = json.loads(results.read_text()) if results.exists() else {}
    print(f"{'variant':46s} fluid MAE  crystal MAE  median   worst three crystals       seconds")
    for name, changes in study["variants"].items():
        if args.only not in name:
            continue
        for seed in args.seeds:
            slug = "".join(c if c.isalnum() else "-" for c in name)
            values = merge(study["base"], changes or {}) | {"name": f"{slug}-{seed}", "seed": seed}
            config = parse(TrainConfig, values)
            folder = train(config, args.out)
            errors = structure_errors(folder, config)
            crystals = np.sort(errors["crystal-h"])
            seconds = load_pretrained(folder).card.training["seconds"]
            table[f"{name}, seed {seed}"] = row = {
                "fluid_mae": round(float(errors["fluid-h"].mean()), 5),
                "crystal_mae": round(float(crystals.mean()), 5),
                "crystal_median": round(float(np.median(crystals)), 5),
                "crystal_worst": [round(float(x), 4) for x in crystals[-3:]],
                "seconds": seconds,
                "config": values,
            }
            means = f"{row['fluid_mae']:.4f}     {row['crystal_mae']:.4f}       {row['crystal_median']:.4f}"
            print(f"{name + f', seed {seed}':46s} {means}   {row['crystal_worst']!s:24s} {seconds}", flush=True)
            write_bytes(results, [(json.dumps(table, indent=1) + "\n").encode()])


if __name__ == "__main__":
    main()
