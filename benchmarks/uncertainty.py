"""Make the uncertainty of releases, and compare it with their errors on the test splits.

    python benchmarks/uncertainty.py grid_mlp.smooth-h-v3        about five minutes of a core
    python benchmarks/uncertainty.py --ensemble NAME FOLDER ...   of several releases instead of one's last layer
    python benchmarks/uncertainty.py --figures                   pictures alone, of the record

A release without ``uncertainty.safetensors`` in ``model_cards/NAME`` gets one, from the training and validation data
that its card names (``--refit`` makes it anew). Then, on structures of the test splits of fluid-h (trajectory D) and
crystal-h, and of hydrides and metals if it has learned from other elements than hydrogen, which took no part in it:
errors of ELF at random points against the standard deviations predicted there, and errors of φ against its error bars.

Results go to ``benchmarks/results/uncertainty.json``, release by release; rows of the same weights and the same
uncertainty stay unless ``--again`` is given. Pictures go to ``benchmarks/figures``.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import elfzoo
from elfzoo.analysis import networking
from elfzoo.benchmark.record import environment, write_json
from elfzoo.datasets.registry import dataset_class
from elfzoo.errors import ElfzooWarning
from elfzoo.field import Field
from elfzoo.hub import load_release
from elfzoo.io.json_values import json_values
from elfzoo.progress import progress_bar
from elfzoo.training.config import DataConfig
from elfzoo.training.points import VALIDATION_SEED, draw_points
from elfzoo.uncertainty import Ensemble, LastLayer, Source, domain, fit, networking_with_error, spread_scale
from elfzoo.uncertainty.fields import deviation_of_values

CARDS = Path(__file__).parents[1] / "model_cards"
RECORD = Path(__file__).parent / "results" / "uncertainty.json"
DATASETS = {"fluid-h": 4, "crystal-h": 16}  # structures of the test split, evenly spread over it
SOLIDS = {"hydrides": 16, "metals": 16}  # the same, of releases that know other elements than hydrogen
VALIDATION = ("fluid-h", "crystal-h")
FEWEST = 8  # structures for a rank correlation that says anything
PHI_STRUCTURES = {False: 4, True: 12}  # of each validation set
POINTS, BINS, SEED, MEMBERS, SPACING = 2000, 10, 0, 16, 0.12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="releases in model_cards")
    parser.add_argument("--refit", action="store_true", help="make uncertainty.safetensors anew")
    parser.add_argument("--again", action="store_true", help="measure again what the record has")
    parser.add_argument("--ensemble", nargs="+", metavar="NAME FOLDER", help="a name, and folders of releases")
    parser.add_argument("--figures", action="store_true", help="draw the record")
    parser.add_argument("--record", type=Path, default=RECORD, help="another file for the results")
    args = parser.parse_args()
    for name in args.names:
        record(args.record, name, release(name, args.refit), args.again)
    if args.ensemble:
        record(args.record, args.ensemble[0], ensemble(args.ensemble[1:]), args.again)
    if args.figures:
        from uncertainty_figures import draw

        draw(json.loads(args.record.read_text())["models"])


def release(name: str, refit: bool = False) -> Source:
    """A release with its last layer's posterior, which is made where there is none."""
    model = load_without(CARDS / name) if refit else load_release(CARDS / name).eval()
    if model.posterior is None:
        several = model.card is not None and set(model.card.elements) != {"H"}  # then a factor for each group
        model.posterior = fit(model, phi_structures=PHI_STRUCTURES[several])
        print(f"{model.posterior.write(CARDS / name)}: {model.posterior.facts}")
    return LastLayer(model)


def load_without(folder: Path) -> elfzoo.models.Model:
    """A release whose posterior does not count."""
    model = load_release(folder).eval()
    model.posterior = None
    return model


def ensemble(folders: Sequence[str]) -> Source:
    """Releases as an ensemble whose scale is that of the errors at validation points."""
    models = [load_release(Path(folder)).eval() for folder in sorted(folders)]
    logits, spreads, y = [], [], []
    for part in (DataConfig(name, "val", points=POINTS, sampling="uniform") for name in VALIDATION):
        for points in draw_points(part, VALIDATION_SEED)[0]:
            outputs = Ensemble(models).evaluator(points.structure, 0, 0)(points.points.astype(float))
            logits.append(outputs.logits)
            spreads.append(outputs.distance)
            y.append(points.y)
    return Ensemble(models, spread_scale(*(np.concatenate(part).astype(float) for part in (logits, spreads, y))))


def record(path: Path, name: str, source: Source, again: bool) -> None:
    """Measure, unless the record has it, and write."""
    identity = json_values(facts(source))
    if not again and recorded(path)["models"].get(name, {}).get("source") == identity:
        print(f"{name}: recorded already")
        return
    row = json_values({"source": identity, "tasks": {k: task(source, k) for k in datasets(source)}})
    found = recorded(path)  # others may have written meanwhile
    found["models"][name] = row
    found |= {"points": POINTS, "members": MEMBERS, "spacing": SPACING, "environment": environment()}
    found["models"] = dict(sorted(found["models"].items()))
    write_json(path, found)
    print("\n".join(table(found)))


def recorded(path: Path) -> dict[str, Any]:
    """What the record has."""
    return json.loads(path.read_text()) if path.exists() else {"models": {}}


def facts(source: Source) -> dict[str, Any]:
    """What the results depend on."""
    if isinstance(source, LastLayer):
        p = source.posterior
        found = {"kind": "last layer", "weights_sha256": p.weights_sha256, "alpha": p.alpha, "s": p.s}
        found |= {"phi_scale": p.phi_scale, "unfamiliar": p.unfamiliar, **p.facts}
        return found | ({"groups": p.groups} if p.groups else {})
    assert isinstance(source, Ensemble)
    weights = [None if m.card is None else m.card.weights_sha256 for m in source.models]
    return {"kind": "ensemble", "weights_sha256": weights, "alpha": source.alpha}


def datasets(source: Source) -> dict[str, int]:
    """Where a source is tested, and on how many structures."""
    card = source.model.card if isinstance(source, LastLayer) else None
    return DATASETS if card is None or set(card.elements) == {"H"} else DATASETS | SOLIDS


def test_fields(dataset: str) -> list[Field]:
    """Reference fields of a test split; of the fluid those of 128 atoms."""
    data = dataset_class(dataset)(split="test")
    small = [i for i, file in enumerate(data.raw_file_names) if dataset != "fluid-h" or "_N" not in file]
    wanted = (DATASETS | SOLIDS)[dataset]
    chosen = np.linspace(0, len(small) - 1, min(wanted, len(small))).round().astype(int)
    return [sample.field for sample in data.subset([small[i] for i in chosen])]


def task(source: Source, dataset: str) -> dict[str, Any]:
    """What is predicted of the errors in one test split, and what they are."""
    fields, rng = test_fields(dataset), np.random.default_rng(SEED)
    with progress_bar(f"testing on {dataset}", len(fields)) as advance:
        rows = []
        for field in fields:
            rows.append(structure_row(source, field, rng))
            advance(1)
    predicted, error = (np.concatenate([row.pop(key) for row in rows]) for key in ("predicted", "error"))
    return {
        "elf": {**agreement(predicted, error), "bins": list(bins(predicted, error))},
        "elf_by_structure": ranks([row["predicted_rms"] for row in rows], [row["error_rms"] for row in rows]),
        "phi": agreement(*(np.array([row[key] for row in rows]) for key in ("phi_sigma", "phi_error"))),
        "outside": sum(not row["inside"] for row in rows),
        "structures": rows,
    }


def structure_row(source: Source, field: Field, rng: np.random.Generator) -> dict[str, Any]:
    """Errors of one structure, signed: predicted minus reference."""
    source = source.for_structure(field.structure)
    chosen = rng.choice(field.values.size, POINTS, replace=False)
    outputs = source.evaluator(field.structure, 0, 0)(field.grid.positions(chosen))
    target = source.model.target
    predicted = deviation_of_values(target, outputs.logits, source.alpha * outputs.distance).astype(float)
    error = target.values(outputs.logits) - field.values.ravel()[chosen]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ElfzooWarning)
        inside = domain(source, field.structure)
    options = {"spacing": SPACING, "members": MEMBERS, "progress": False, "warn": False}
    phi = networking_with_error(source, field.structure, **options)
    reference = networking(field)
    return {
        "file": field.meta["file"],
        "predicted": predicted,
        "error": error.astype(float),
        "predicted_rms": float(np.sqrt(np.mean(predicted**2))),
        "error_rms": float(np.sqrt(np.mean(error**2))),
        "phi": phi.phi,
        "phi_sigma": phi.sigma,
        "phi_error": phi.phi - reference.phi,
        "unfamiliar": inside.unfamiliar,
        "inside": inside.inside,
    }


def agreement(predicted: np.ndarray, error: np.ndarray) -> dict[str, float]:
    """Root mean squares, shares of errors within 1 and 2 standard deviations, rank correlation, mean error."""
    error = np.abs(error)
    return {
        "predicted_rms": float(np.sqrt(np.mean(predicted**2))),
        "error_rms": float(np.sqrt(np.mean(error**2))),
        "error_mean": float(error.mean()),
        "within_1": float((error <= predicted).mean()),
        "within_2": float((error <= 2 * predicted).mean()),
        "rank": ranks(predicted, error),
    }


def ranks(predicted: Sequence[float] | np.ndarray, error: Sequence[float] | np.ndarray) -> float:
    """Spearman's correlation."""
    return float(spearmanr(predicted, error).statistic)


def bins(predicted: np.ndarray, error: np.ndarray) -> Iterator[dict[str, float]]:
    """Root mean squares in bins of the predicted deviation, each with as many points."""
    for part in np.array_split(np.argsort(predicted), BINS):
        yield {
            "predicted": float(np.sqrt(np.mean(predicted[part] ** 2))),
            "error": float(np.sqrt(np.mean(error[part] ** 2))),
        }


def table(found: dict[str, Any]) -> list[str]:
    """Rows for docs/uncertainty.md: what was predicted and what it was."""
    lines = [
        "| uncertainty of | test split | RMS error of ELF: predicted, true | within 1 σ, 2 σ | rank, points | "
        "rank, structures | RMS error of φ: predicted, true | φ within 1 σ, 2 σ | rank |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in found["models"].items():
        for dataset, m in row["tasks"].items():
            elf, phi, few = m["elf"], m["phi"], len(m["structures"]) < FEWEST
            cells = (
                f"{elf['predicted_rms']:.4f}, {elf['error_rms']:.4f}",
                f"{elf['within_1']:.0%}, {elf['within_2']:.0%}",
                f"{elf['rank']:.2f}",
                "" if few else f"{m['elf_by_structure']:+.2f}",
                f"{phi['predicted_rms']:.4f}, {phi['error_rms']:.4f}",
                f"{phi['within_1']:.0%}, {phi['within_2']:.0%}",
                "" if few else f"{phi['rank']:+.2f}",
            )
            lines.append(f"| `{name}` | {dataset} ({len(m['structures'])}) | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
