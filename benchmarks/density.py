"""Electron density by the same architectures: train, measure, one record and one table.

    python benchmarks/density.py [--families grid-mlp symmetry-unet] [--targets log difference] [--out runs/density]

Each family's configuration in ``configs/density-FAMILY.yaml`` is trained on two targets: the density itself, as
n0 exp(u), and what it differs from superposed free-atom densities (SAD), as n0 u. Trained on the train split of
density-h, chosen by nothing but their last epoch, measured on the test split: hydrogen crystals that no model has seen.
Runs are resumed; ``results/density-h.json`` keeps what other calls measured on the same data.

NMAPE = 100 ∫|Δn| / ∫n, the percentage that DeepDFT and ChargE3Net report, averaged over structures. Everything is over
all voxels of a structure. SAD alone is the floor: what a model must beat to have learned anything of the bond.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import elfzoo
from elfzoo.analysis import bootstrap_interval, density_errors, field_metrics
from elfzoo.benchmark import environment, write_json
from elfzoo.config import parse, read_yaml, to_dict
from elfzoo.datasets import HydrogenDensity
from elfzoo.progress import progress_bar
from elfzoo.training import TrainConfig, train
from elfzoo.transforms.sad import SuperposedDensity

HERE = Path(__file__).parent
RESULTS = HERE / "results"
FAMILIES = ("grid-mlp", "symmetry-unet")
TARGETS = {
    "log": {"quantity": "density", "link": "log", "scale": 0.44},
    "difference": {"quantity": "density_difference", "link": "identity", "scale": 0.1},
}
SAD = "SAD alone"
Predictor = Callable[[elfzoo.Field], np.ndarray]


def configuration(family: str, target: str, seed: int, configs: Path = HERE / "configs") -> TrainConfig:
    """A family's configuration for one target, named after both."""
    values = to_dict(read_yaml(TrainConfig, configs / f"density-{family}.yaml"))
    name = f"{values['name']}-{target}" + f"-seed{seed}" * (seed > 0)
    return parse(TrainConfig, values | {"name": name, "target": TARGETS[target], "seed": seed})


def sad_alone(reference: elfzoo.Field) -> np.ndarray:
    """Superposed free atoms with the valence electrons of the reference."""
    return SuperposedDensity(reference.structure, reference.meta.get("valence")).on_grid(reference.grid)


def predictor(model: elfzoo.models.Model) -> Predictor:
    """What a model says of a structure; refuses a model of something else, or of another recipe."""

    def predict(reference: elfzoo.Field) -> np.ndarray:
        found = model.predict(reference.structure, grid=reference.grid, progress=False)
        found.require_quantity(reference.quantity, model.card.name if model.card else type(model).__name__)
        reference.require_same_recipe(found)
        return found.values

    return predict


def measure(predict: Predictor, data: HydrogenDensity, label: str) -> list[dict[str, Any]]:
    """Errors on every structure."""
    rows = []
    with progress_bar(label, len(data)) as advance:
        for structure, reference in data:
            began = time.perf_counter()
            values = predict(reference)
            facts = {"file": reference.meta["file"], "atoms": len(structure)}
            facts["seconds"] = round(time.perf_counter() - began, 3)
            rows.append(facts | errors(reference, values))
            advance(1)
    return rows


def errors(reference: elfzoo.Field, values: np.ndarray) -> dict[str, float]:
    """MAE, RMSE and largest error in e/Å³, NMAPE in %, and electrons per cell."""
    metrics, density = field_metrics(reference.values, values), density_errors(reference, values)
    found = {"mae": metrics.mae, "rmse": metrics.rmse, "max_error": metrics.max_error, "nmape": density.nmape}
    found |= {"electrons": density.electrons, "electron_error": density.electron_error}
    found["electron_error_percent"] = 100 * density.electron_error / density.reference_electrons
    return {key: round(value, 6) for key, value in found.items()}


def averages(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means over structures, with bootstrap intervals of MAE and NMAPE; of the electrons, of their absolute error."""
    found = {key: float(np.mean([row[key] for row in rows])) for key in ("mae", "rmse", "nmape")}
    for key in ("mae", "nmape"):
        interval = bootstrap_interval([row[key] for row in rows])
        found |= {f"{key}_low": interval.low, f"{key}_high": interval.high}
    found["nmape_highest"] = max(row["nmape"] for row in rows)
    found["electron_error_percent"] = float(np.mean([abs(row["electron_error_percent"]) for row in rows]))
    return {key: round(value, 6) for key, value in found.items()}


def entry(rows: list[dict[str, Any]], model: elfzoo.models.Model | None = None) -> dict[str, Any]:
    """What the record says of one model, or of SAD."""
    found: dict[str, Any] = {"metrics": averages(rows), "structures": rows}
    if model is None:
        return found
    card, size = model.card, sum(parameter.numel() for parameter in model.parameters())
    return found | {
        "model": card.name,
        "target": to_dict(model.target),
        "seed": card.training["config"]["seed"],
        "weights_sha256": card.weights_sha256,
        "training_data_sha256": card.training["data_sha256"],
        "parameters": size,
        "training_seconds": card.training["seconds"],
        "training_hardware": card.training["hardware"],
        "config": card.training["config"],
    }


def record(data: HydrogenDensity, entries: dict[str, Any]) -> dict[str, Any]:
    """Everything that the results need to be checked and repeated."""
    return {
        "task": data.name,
        "split": data.split,
        "data_sha256": data.data_hash,
        "recipe": vars(data.recipe),
        **environment(),
        "models": entries,
    }


def stored(path: Path, data: HydrogenDensity) -> dict[str, Any]:
    """What an earlier call measured on the same data."""
    found = json.loads(path.read_text()) if path.exists() else {}
    return found["models"] if found.get("data_sha256") == data.data_hash else {}


def table(entries: dict[str, Any]) -> list[str]:
    """One line per model."""
    width = max(map(len, entries))
    lines = [f"{'':{width}s}  NMAPE, %  [95 % interval]     highest  MAE, e/Å³  RMSE     electrons, |%|"]
    for label, found in entries.items():
        m = found["metrics"]
        interval = f"[{m['nmape_low']:.3f}, {m['nmape_high']:.3f}]"
        numbers = f"{m['nmape_highest']:7.3f}  {m['mae']:.5f}    {m['rmse']:.5f}  {m['electron_error_percent']:.4f}"
        lines.append(f"{label:{width}s}  {m['nmape']:8.3f}  {interval:18s} {numbers}")
    return lines


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--data", help="folder of the datasets; $ELFZOO_DATA or the checkout's by default")
    parser.add_argument("--configs", type=Path, default=HERE / "configs")
    parser.add_argument("--out", type=Path, default=Path("runs/density"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    path = args.results / f"density-h{'-val' * (args.split == 'val')}.json"
    data = HydrogenDensity(args.data, args.split)
    entries = {SAD: entry(measure(sad_alone, data, SAD))} | stored(path, data)
    for family in args.families:
        for target in args.targets:
            config = configuration(family, target, args.seed, args.configs)
            model = elfzoo.load_pretrained(train(config, args.out, root=args.data))
            entries[config.name] = entry(measure(predictor(model), data, config.name), model)
            write_json(path, record(data, entries))
            print("\n".join(table(entries)), flush=True)


if __name__ == "__main__":
    main()
