"""harris_delta with other seeds, and trained on the fluid alone: whole test fields, and what they say.

    ELFZOO_HARRIS_CACHE=FOLDER python benchmarks/harris_seeds.py [--seeds 0 1 2]

Trains ``benchmarks/configs/harris-delta-h-v1.yaml`` and the same without ``cavity-h`` and measures every run on the
test splits of the fluid and of the crystals. Nothing is chosen by it. With a folder for the diagonalisations each is
done once for all runs. Resumable: a run that is in the record is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import elfzoo
from elfzoo.analysis import networking
from elfzoo.benchmark import environment, find_task, select, write_json
from elfzoo.config import parse, read_yaml, to_dict
from elfzoo.models import PointModel
from elfzoo.progress import progress_bar
from elfzoo.training import TrainConfig, train
from elfzoo.transforms.harris.inputs import CACHE_VARIABLE

ROOT = Path(__file__).parent
RECORD = ROOT / "results" / "harris-seeds.json"
TASKS = ("fluid-h", "crystal-h-cubic", "crystal-h-hexagonal")
BLOCK = 65536


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=RECORD, help="where the results go")
    args = parser.parse_args(arguments)
    if not os.environ.get(CACHE_VARIABLE):
        print(f"without {CACHE_VARIABLE} every run diagonalises every structure again")
    runs = json.loads(args.out.read_text())["runs"] if args.out.is_file() else []
    for config in configurations(args.seeds):
        if not any(parse(TrainConfig, run["config"]) == config for run in runs):  # whatever options there are by now
            runs.append(one_run(config))
            write_json(args.out, {"environment": environment(), "runs": runs})
            print(table(runs[-1:])[-1])


def configurations(seeds: list[int]) -> Iterator[TrainConfig]:
    """The release's and one without holes in the fluid, with each seed."""
    base = read_yaml(TrainConfig, ROOT / "configs" / "harris-delta-h-v1.yaml")
    fluid = tuple(part for part in base.train if part.dataset == "fluid-h")
    for config in (
        replace(base, train=fluid, name="harris_delta.fluid-v0"),
        replace(base, name="harris_delta.holes-v0"),
    ):
        yield from (replace(config, seed=seed) for seed in seeds)


def one_run(config: TrainConfig) -> dict[str, Any]:
    """Train and measure."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        model = elfzoo.load_pretrained(train(config, folder))
    assert isinstance(model, PointModel) and model.card is not None
    found = {task: measured(model, task) for task in TASKS}
    return {"config": to_dict(config), "data_sha256": model.card.training["data_sha256"], "tasks": found,
            "seconds": round(time.perf_counter() - began, 1)}  # fmt: skip


def measured(model: PointModel, task: str) -> dict[str, Any]:
    """Errors of whole fields of a task's test split, and of their networking values."""
    data = select(find_task(task))
    rows = []
    with progress_bar(task, len(data), None) as advance:
        for sample in data:
            field = sample.field
            grid, structure = field.grid, sample.structure
            blocks = np.array_split(np.arange(grid.size), max(1, grid.size // BLOCK))
            features = (model.features(structure, grid.positions(block)) for block in blocks)
            logits = np.concatenate([model.head(torch.from_numpy(part)).detach().numpy() for part in features])
            guess = (1 / (1 + np.exp(-logits.astype(float)))).reshape(grid.shape)
            error = guess - field.values
            phi = [networking(f).phi for f in (field, field.replace(values=guess))]
            rows.append((np.abs(error).mean(), 1 - (error**2).mean() / field.values.var(), *phi))
            advance(1)
    mae, r2, reference, predicted = np.array(rows).T
    return {"structures": len(rows), "mae": float(mae.mean()), "r2_lowest": float(r2.min()), "r2": float(r2.mean()),
            "phi_mae": float(np.abs(predicted - reference).mean()), "phi_spread": float(reference.std())}  # fmt: skip


def table(runs: list[dict[str, Any]]) -> list[str]:
    """A row for each run: MAE, lowest R², MAE of φ of each task."""
    lines = [f"| trained on | seed | {' | '.join(TASKS)} |", "|---|---|" + "---|" * len(TASKS)]
    for run in runs:
        cells = (run["tasks"][task] for task in TASKS)
        texts = [f"{c['mae']:.4f}, {c['r2_lowest']:.4f}, {c['phi_mae']:.4f}" for c in cells]
        data = ", ".join(part["dataset"] for part in run["config"]["train"])
        lines.append(f"| {data} | {run['config']['seed']} | {' | '.join(texts)} |")
    return lines


if __name__ == "__main__":
    main()
