"""What it costs to keep features in half precision: the paper's check (its section S2), on the validation split.

    python benchmarks/half_precision.py [--model grid_mlp.wang2026-h-v2]

The same weights on features stored in float16 and in float32. The paper finds less than 1e-5 in R².
"""

from __future__ import annotations

import argparse

import torch

import elfzoo
from elfzoo.analysis import field_metrics
from elfzoo.training import DataConfig
from elfzoo.training.points import FeatureStore, draw_points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="grid_mlp.wang2026-h-v2")
    args = parser.parse_args()
    model = elfzoo.load_pretrained(args.model)
    sets, _ = draw_points(DataConfig("fluid-h", "val", points=20_000, sampling="stratified"), seed=0)
    found = {}
    for precision in ("float32", "float16"):
        store = FeatureStore.build(model, sets, precision, None)
        with torch.no_grad():
            elf = torch.cat([torch.sigmoid(model.head(block.float())) for block in store.features.split(65536)])
        found[precision] = metrics = field_metrics(store.y.numpy(), elf.numpy())
        size = store.features.nbytes / 2**20
        print(f"{precision}: {size:.0f} MiB, MAE {metrics.mae:.6f}, RMSE {metrics.rmse:.6f}, R² {metrics.r2:.7f}")
    print(f"difference in R²: {abs(found['float16'].r2 - found['float32'].r2):.1e} on {len(store.y)} stratified points")


if __name__ == "__main__":
    main()
