"""Accuracy of releases on the test splits; writes one record per release and task, and prints what they say.

    python benchmarks/accuracy.py [NAME|FOLDER ...] [--tasks fluid-h crystal-h-cubic ...] [--split test]
    python benchmarks/accuracy.py --compare NAME REFERENCE_NAME

Primary figures are over all voxels of a structure, then averaged over structures; secondary ones are ELF-stratified
(every occupied ELF bin of 0.05 weighs the same), as in the paper's sampling. The test split of crystal-h holds
crystals that no model has trained on; models are chosen on the val splits alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch
from tasks import HYDROGEN, TASKS, predicted, select

import elfzoo
from elfzoo.analysis import Metrics, bootstrap_interval, field_metrics, paired_bootstrap, stratified_weights
from elfzoo.datasets import FieldDataset
from elfzoo.io.files import write_bytes
from elfzoo.progress import progress_bar
from elfzoo.transforms import fused

RESULTS = Path(__file__).parent / "results"


def evaluate(model: elfzoo.models.Model, data: FieldDataset, label: str) -> list[dict]:
    """Metrics of every structure."""
    rows = []
    with progress_bar(label, len(data)) as advance:
        for _, reference in data:
            began = time.perf_counter()
            guess = predicted(model, reference)
            rows.append(measure(reference, guess, time.perf_counter() - began))
            advance(1)
    return rows


def measure(reference: elfzoo.Field, predicted: elfzoo.Field, seconds: float) -> dict:
    """Metrics of one structure, over all voxels and ELF-stratified."""
    truth, guess = reference.values.astype(np.float64), predicted.values.astype(np.float64)
    stratified = field_metrics(truth, guess, weights=stratified_weights(truth))
    return {
        "file": reference.meta["file"],
        "target_pressure_GPa": reference.meta.get("target_pressure_GPa"),
        "all_voxels": rounded(field_metrics(truth, guess)),
        "elf_stratified": rounded(stratified),
        "seconds": round(seconds, 3),
    }


def rounded(metrics: Metrics) -> dict[str, float]:
    return {k: round(v, 6) for k, v in dataclasses.asdict(metrics).items()}


def record(model: elfzoo.models.Model, task: str, split: str) -> dict:
    """Everything that a result needs to be checked and repeated."""
    data = select(task, split)
    began, cpu = time.perf_counter(), time.process_time()
    rows = evaluate(model, data, f"{model.card.name} on {task}")
    return head(model, task, split, data) | {
        "metrics": averages(rows),
        "structures": rows,
        "wall_seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


def head(model: elfzoo.models.Model, task: str, split: str, data: FieldDataset) -> dict:
    """What was computed and with what."""
    return {
        "model": model.card.name,
        "task": task,
        "split": split,
        "data_sha256": data.data_hash,
        "weights_sha256": model.card.weights_sha256,
        "date": datetime.date.today().isoformat(),
        "elfzoo": elfzoo.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores, kernel {fused.instruction_set()}",
    }


def averages(rows: list[dict]) -> dict[str, float]:
    """Means over structures, with a bootstrap interval of the MAE."""
    mean = {key: np.mean([row["all_voxels"][key] for row in rows]) for key in ("mae", "rmse", "r2", "r2_correlated")}
    mean["r2_lowest"] = min(row["all_voxels"]["r2"] for row in rows)
    interval = bootstrap_interval([row["all_voxels"]["mae"] for row in rows])
    mean |= {"mae_low": interval.low, "mae_high": interval.high}
    for key in ("mae", "rmse", "r2"):
        mean[f"{key}_stratified"] = np.mean([row["elf_stratified"][key] for row in rows])
    return {key: round(float(value), 6) for key, value in mean.items()}


def path_of(task: str, model: str, split: str, results: Path = RESULTS) -> Path:
    folder = task if split == "test" else f"{task}-{split}"
    return results / folder / f"{model}.json"


def write_record(result: dict, results: Path = RESULTS) -> Path:
    path = path_of(result["task"], result["model"], result["split"], results)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, [(json.dumps(result, indent=1) + "\n").encode()])
    return path


def line(label: str, m: dict[str, float]) -> str:
    mae = f"{m['mae']:.4f} [{m['mae_low']:.4f}, {m['mae_high']:.4f}]"
    others = f"{m['rmse']:.4f}  {m['r2']:.4f}  {m['r2_lowest']:.4f}"
    stratified = f"{m['mae_stratified']:.4f}  {m['rmse_stratified']:.4f}  {m['r2_stratified']:.4f}"
    return f"{label:44s} {mae}  {others}   {stratified}"


def report(result: dict) -> None:
    """Print a record, the fluid pressure by pressure too."""
    print(line(f"{result['model']}  {result['task']}", result["metrics"]))
    pressures = sorted({row["target_pressure_GPa"] for row in result["structures"]} - {None})
    for pressure in pressures:
        rows = [row for row in result["structures"] if row["target_pressure_GPa"] == pressure]
        print(line(f"    {pressure} GPa, {len(rows)} snapshots", averages(rows)))


def compare(name: str, reference: str, tasks: list[str], split: str) -> None:
    """Paired bootstrap over structures of the MAE of two releases."""
    for task in tasks:
        both = [json.loads(path_of(task, n, split).read_text()) for n in (name, reference)]
        if both[0]["data_sha256"] != both[1]["data_sha256"]:
            raise SystemExit(f"{task}: the two records are of different data")
        maes = [[row["all_voxels"]["mae"] for row in r["structures"]] for r in both]
        found = paired_bootstrap(*maes).ratio
        means = f"MAE {np.mean(maes[0]):.4f} against {np.mean(maes[1]):.4f}"
        ratio = f"ratio {found.estimate:.3f} [{found.low:.3f}, {found.high:.3f}]"
        print(f"{task:22s} {means}: {ratio} over {len(maes[0])} structures")


def arguments(text: str | None) -> argparse.ArgumentParser:
    """Which releases, tasks and split; ``text``: what the script does."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="releases or folders; all shipped ones by default")
    parser.add_argument("--tasks", nargs="+", default=list(HYDROGEN), choices=list(TASKS))
    parser.add_argument("--split", default="test", choices=["val", "test"])
    return parser


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--compare", nargs=2, metavar=("NAME", "REFERENCE"), help="ratio of MAE from existing records")
    args = parser.parse_args()
    if args.compare:
        return compare(*args.compare, args.tasks, args.split)
    print(f"{'':44s} over all voxels, mean over structures               ELF-stratified")
    print(f"{'':44s} MAE    [95 % interval]   RMSE    R²      lowest    MAE     RMSE    R²")
    for name in args.models or elfzoo.list_pretrained():
        model = elfzoo.load_pretrained(name)
        for task in args.tasks:
            result = record(model, task, args.split)
            write_record(result)
            report(result)
    return None


if __name__ == "__main__":
    main()
