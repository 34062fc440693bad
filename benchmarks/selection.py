"""Does choosing by elfzoo.select beat choosing by lot? Labels that are there already are hidden and then bought.

    python benchmarks/selection.py                       a few minutes of a core
    python benchmarks/selection.py --finetunes 0         the last layer alone: under a minute

The pool is the training split of crystal-h, of which the release has seen nothing; the error is that on the validation
split, at random points, a mean over structures. (α and s of the release's uncertainty come from validation crystals,
too. No test split is touched.) The release learns n labels in two ways:

- ``last layer``: one Gauss-Newton step of the last layer from its posterior, which is what the choice assumes;
- ``fine-tuned``: ``elfzoo.finetune`` of all weights, with replay of the old data.

Each against sets by lot, of which there are many for the first way and few for the second, and against the n most
uncertain structures without an update in between. Results go to ``benchmarks/results/selection.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import elfzoo
from elfzoo.benchmark.record import environment, write_json
from elfzoo.datasets import CrystalHydrogen, uniform_indices
from elfzoo.io.json_values import json_values
from elfzoo.models.base import Model
from elfzoo.selection import select
from elfzoo.uncertainty import LastLayer
from elfzoo.uncertainty.source import head_and_inputs

RECORD = Path(__file__).parent / "results" / "selection.json"
SIZES = (1, 2, 4, 8)
TUNED = 4  # structures that are fine-tuned on
TUNING = {"method": "full", "epochs": 10, "points": 1000, "replay": 1.0}
GAINS = ("information", "variance")
UNCERTAIN = "most uncertain"
LOTS, POINTS, DIGITS = 200, 2000, 4


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="grid_mlp.smooth-h-v3", help="a release with an uncertainty")
    parser.add_argument("--lots", type=int, default=LOTS, help="sets by lot, of the last layer")
    parser.add_argument("--finetunes", type=int, default=4, help="sets by lot that are fine-tuned on; 0: none at all")
    parser.add_argument("--data", help="folder of the datasets")
    parser.add_argument("--out", type=Path, default=RECORD, help="where the results go")
    args = parser.parse_args(arguments)
    record = measured(elfzoo.load_pretrained(args.model), args.model, args.data, args.lots, args.finetunes)
    write_json(args.out, {"environment": environment(), **json_values(record, DIGITS)})
    print("\n".join(table(json.loads(args.out.read_text()))))


def measured(model: Model, name: str, root: str | None, lots: int, finetunes: int) -> dict[str, Any]:
    """The record of one release."""
    pool, held = (CrystalHydrogen(root, split=split) for split in ("train", "val"))
    source = LastLayer(model)
    learned, checked = ([points_of(source, sample.field, i) for i, sample in enumerate(data)] for data in (pool, held))
    orders = choices(model, [sample.structure for sample in pool], max(SIZES))
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(len(pool)).tolist() for _ in range(lots)]
    start = mean_error(checked, np.zeros(len(source.posterior.eigenvalues)))
    rows = []
    for n in SIZES:

        def error(order: Sequence[int], n: int = n) -> float:
            return mean_error(checked, step(source, [learned[i] for i in order[:n]]))

        found, by_lot = {way: error(order) for way, order in orders.items()}, [error(order) for order in drawn]
        rows.append({"n": n, **found, **spread(by_lot), "better_than": ranks(found, by_lot)})
    record: dict[str, Any] = {"model": name, "weights_sha256": source.posterior.weights_sha256}
    record |= {"pool": len(pool), "held": len(held), "start": start, "last_layer": rows}
    record["chosen"] = {way: [pool.raw_file_names[i] for i in order[:TUNED]] for way, order in orders.items()}
    if finetunes:
        sets = {way: order[:TUNED] for way, order in orders.items()} | {
            f"lot {k}": order[:TUNED] for k, order in enumerate(drawn[:finetunes])
        }
        errors = {way: tuned(name, pool, held, chosen, root) for way, chosen in sets.items()}
        by_lot = [value for way, value in errors.items() if way.startswith("lot")]
        ways = {way: value for way, value in errors.items() if not way.startswith("lot")}
        record["fine_tuned"] = {"n": TUNED, **ways, **spread(by_lot), "lots": by_lot}
    return record


def choices(model: Model, structures: Sequence[Any], count: int) -> dict[str, list[int]]:
    """Numbers of structures of the pool in the order of choice, by each way to choose."""
    found = {}
    for gain in GAINS:
        chosen = select(structures, model, count, gain=gain, progress=False).chosen
        found[gain] = [int(item.file.split()[1]) for item in chosen]
    whole = select(structures, model, len(structures), progress=False).chosen
    found[UNCERTAIN] = [int(item.file.split()[1]) for item in sorted(whole, key=lambda item: -item.before)][:count]
    return found


def points_of(source: LastLayer, field: elfzoo.Field, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs of the last layer, logits and reference values at random points of a field."""
    flat = uniform_indices(field.values, POINTS, np.random.default_rng(seed))
    read = source.model.reader(field.structure)  # type: ignore[operator]
    logits, inputs = head_and_inputs(source.model, read(field.grid.positions(flat)))  # type: ignore[arg-type]
    return inputs.astype(np.float64), logits.astype(np.float64), field.values.ravel()[flat].astype(np.float64)


def step(source: LastLayer, parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Change of the last layer's weights by labels: one Gauss-Newton step from its posterior."""
    posterior, card = source.posterior, source.model.card
    assert card is not None and card.domain is not None
    weight = posterior.facts["training_points"] / card.domain.structures / POINTS
    scaled = np.maximum(posterior.eigenvalues, 0.0) + posterior.s**2
    information = (posterior.eigenvectors * scaled) @ posterior.eigenvectors.T
    pull = np.zeros(len(scaled))
    for inputs, logits, y in parts:
        rows = inputs * source.model.target.slopes(logits)[:, None]
        information = information + weight * rows.T @ rows
        pull += weight * rows.T @ (y - 1 / (1 + np.exp(-logits)))
    return np.linalg.solve(information, pull)


def mean_error(parts: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], change: np.ndarray) -> float:
    """MAE of ELF with changed weights of the last layer, a mean over structures."""
    errors = [np.abs(1 / (1 + np.exp(-(logits + inputs @ change))) - y).mean() for inputs, logits, y in parts]
    return float(np.mean(errors))


def tuned(name: str, pool: CrystalHydrogen, held: CrystalHydrogen, chosen: Sequence[int], root: str | None) -> float:
    """MAE on the validation structures after fine-tuning all weights on some of the pool, nothing held out."""
    files = [Path(pool.raw_dir) / pool.raw_file_names[i] for i in chosen]
    with tempfile.TemporaryDirectory() as folder:
        done = elfzoo.finetune(name, files, folder, held_out=[], root=root, report=False, progress=False, **TUNING)
        model = elfzoo.load_pretrained(done.release)
    errors = []
    for i, sample in enumerate(held):
        flat = uniform_indices(sample.field.values, POINTS, np.random.default_rng(i))
        guess = model.predict(sample.structure, points=sample.field.grid.frac_coords(flat), progress=False)
        errors.append(np.abs(guess - sample.field.values.ravel()[flat]).mean())
    return float(np.mean(errors))


def spread(errors: Sequence[float]) -> dict[str, float]:
    """Of sets by lot: mean, standard deviation, lowest and highest."""
    return {"lot": np.mean(errors), "lot_std": np.std(errors), "lot_min": np.min(errors), "lot_max": np.max(errors)}


def ranks(found: Mapping[str, float], by_lot: Sequence[float]) -> dict[str, float]:
    """Share of the sets by lot that a choice is better than."""
    return {way: float(np.mean(np.asarray(by_lot) > value)) for way, value in found.items()}


def table(record: Mapping[str, Any]) -> list[str]:
    """Errors as a Markdown table."""
    ways = [*GAINS, UNCERTAIN]
    lines = [f"| learned | n | by lot | {' | '.join(ways)} |", "|---|--:|--:|" + "--:|" * len(ways)]
    for row in record["last_layer"]:
        cells = [f"{row[way]:.4f} ({math.floor(100 * row['better_than'][way])}%)" for way in ways]
        lines.append(f"| last layer | {row['n']} | {row['lot']:.4f} ± {row['lot_std']:.4f} | {' | '.join(cells)} |")
    if row := record.get("fine_tuned"):
        cells = [f"{row[way]:.4f}" for way in ways]
        lines.append(f"| fine-tuned | {row['n']} | {row['lot']:.4f} ± {row['lot_std']:.4f} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
