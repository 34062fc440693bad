"""How much of what geometry alone misses is k-sampling, how much comes back with the occupied states, how much is left?

    python benchmarks/residual_shares.py [MODEL ...] [--kept runs/benchmark] [--check 1]

A label is of one mesh of k-points, which no neighbourhood shows. The untrained diagonalisation (``harris.h-v1``) is
done with that mesh and with one of half its spacing: the difference K is what the label's field owes to its mesh. With
E the residual of a model that sees the geometry alone and L that of ``harris_delta.h-v1``, by wavelength and pressure:

- k-sampling: 1 - power of E + K (the residual against the label without K) over power of E;
- left: power of L over power of E;
- restored: what remains of 1, which is what a diagonalisation knows and no neighbourhood shows.

Structures are those of the test split of the fluid. --check compares, for some of them, the denser mesh with one of a
third of the spacing. Rows wait in ``--work``: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from residuals import KEPT, guess_of

import elfzoo
from elfzoo import analysis
from elfzoo.benchmark import Benchmark, environment, write_json
from elfzoo.benchmark.measure import json_values, subsampled
from elfzoo.config import to_dict
from elfzoo.field import Field
from elfzoo.progress import progress_bar
from elfzoo.transforms.harris.kmesh import KMeshConfig

RECORD = Path(__file__).parent / "results" / "residual-shares.json"
TASK, UNTRAINED, CORRECTED = "fluid-h", "harris.h-v1", "harris_delta.h-v1"
MODELS = ("probe_graph.h-v2", "grid_mlp.smooth-h-v4")
DENSER, DENSEST = 2, 3  # times as many k-points along each axis
SHARES = ("k_sampling", "restored", "left")
WHOLE = "all waves"

Row = Mapping[str, Any]


def denser(times: int) -> dict[str, Any]:
    """The labels' rule with more k-points along each axis, as a configuration of ``harris``."""
    rule = KMeshConfig()
    return {"harris": {"k_mesh": {"spacing": rule.spacing / times, "large_spacing": rule.large_spacing / times}}}


def powers(reference: Field, residual: np.ndarray) -> dict[str, float]:
    """Of a residual, by wavelength in Å, its mean left out."""
    found = analysis.residual_spectrum(reference, reference.replace(values=reference.values + residual))
    return {WHOLE: found.power, **{name: found.power * band.share for name, band in found.bands.items()}}


def shares(row: Row) -> dict[str, dict[str, float]]:
    """Of each band, the three shares; from powers of ``model``, ``model_without_k`` and ``left``."""
    found = {}
    for band, power in row["model"].items():
        sampling, left = 1 - row["model_without_k"][band] / power, row["left"][band] / power
        found[band] = dict(zip(SHARES, (sampling, 1 - sampling - left, left), strict=True))
    return found


def measured(benchmarks: Mapping[str, Benchmark], index: int, kept: Path, check: bool) -> dict[str, Any]:
    """Powers of one structure."""
    began, first = time.perf_counter(), benchmarks[UNTRAINED]
    structure, reference = first.data[index]
    truth = reference.values.astype(np.float64)

    def diagonalised(times: int) -> np.ndarray:
        guess = elfzoo.create_model("harris", denser(times)).predict(structure, grid=reference.grid, progress=False)
        return guess.values.astype(np.float64)

    guesses = {name: guess_of(benchmark, index, kept) for name, benchmark in benchmarks.items()}
    known = {  # some are on the finer grid of the task
        name: subsampled(guess, reference.grid.shape).values.astype(np.float64) for name, guess in guesses.items()
    }
    fine = diagonalised(DENSER)
    sampling, left = known[UNTRAINED] - fine, powers(reference, known[CORRECTED] - truth)
    models = {}
    for name in [name for name in known if name not in (UNTRAINED, CORRECTED)]:
        residual = known[name] - truth
        models[name] = {
            "model": powers(reference, residual),
            "model_without_k": powers(reference, residual + sampling),
            "left": left,
            "mae": float(np.abs(residual).mean()),
            "mae_without_k": float(np.abs(residual + sampling).mean()),
            "correlation": float(np.corrcoef(residual.ravel(), -sampling.ravel())[0, 1]),
        }
    row = {
        "file": reference.meta["file"],
        "atoms": len(structure),
        "group": str(reference.meta["target_pressure_GPa"]),
        "k_sampling": powers(reference, sampling),
        "mae_of_k_sampling": float(np.abs(sampling).mean()),
        "mae_left": float(np.abs(known[CORRECTED] - truth).mean()),
        "models": models,
        "check": powers(reference, fine - diagonalised(DENSEST))[WHOLE] if check else None,
    }
    return json_values(row | {"seconds": time.perf_counter() - began})


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Of each model and group: powers summed over structures, their shares, and mean errors."""
    groups = {"all": list(rows)} | {
        g: [row for row in rows if row["group"] == g] for g in sorted({r["group"] for r in rows}, key=float)
    }
    found: dict[str, Any] = {}
    for model in rows[0]["models"]:
        for group, some in groups.items():
            parts = [row["models"][model] for row in some]
            total = {
                key: {band: sum(part[key][band] for part in parts) for band in parts[0][key]}
                for key in ("model", "model_without_k", "left")
            }
            means = {
                key: float(np.mean([part[key] for part in parts])) for key in ("mae", "mae_without_k", "correlation")
            }
            means |= {key: float(np.mean([row[key] for row in some])) for key in ("mae_of_k_sampling", "mae_left")}
            found.setdefault(model, {})[group] = {"structures": len(some), **means, "shares": shares(total)}
    return found


def mean(rows: Sequence[Row], key: str) -> float:
    return float(np.mean([row[key] for row in rows]))


def table(record: Row) -> list[str]:
    """A row for each model and pressure, three shares for each band."""
    first = next(iter(record["models"].values()))["all"]
    bands = list(first["shares"])
    head = ["model, GPa", "MAE", "of k-sampling", "without it", "left by `harris_delta.h-v1`"]
    head += [band if band == WHOLE else f"{band} Å" for band in bands]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for model, groups in record["models"].items():
        for group, found in groups.items():
            keys = ("mae", "mae_of_k_sampling", "mae_without_k", "mae_left")
            cells = [f"`{model}`" if group == "all" else f"at {group}", *(f"{found[key]:.4f}" for key in keys)]
            cells += [", ".join(f"{100 * found['shares'][band][key]:.0f}" for key in SHARES) + " %" for band in bands]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=list(MODELS), help="that see the geometry alone")
    parser.add_argument("--kept", type=Path, default=KEPT, help="runs of elfzoo benchmark, for predictions of records")
    parser.add_argument("--check", type=int, default=1, metavar="N", help="structures with a still denser mesh")
    parser.add_argument("--work", type=Path, default=Path("runs/residual-shares"), help="where rows are kept")
    parser.add_argument("--out", type=Path, default=RECORD, help="where the record goes")
    args = parser.parse_args(arguments)
    names = (UNTRAINED, CORRECTED, *args.models)
    benchmarks = {name: Benchmark(name, TASK, args.work) for name in names}
    data = benchmarks[UNTRAINED].data
    weights = {name: benchmark.entrant.facts.get("weights_sha256") for name, benchmark in benchmarks.items()}
    smallest = sorted(range(len(data)), key=lambda i: len(data[i][0]))
    rows = []
    with progress_bar("shares of residuals", len(data), None) as advance:
        for index in range(len(data)):
            check = index in smallest[: args.check]
            path = args.work / f"{Path(data.raw_file_names[index]).stem}.json"
            stamp = {"weights": weights, "data_sha256": data.data_hash, "check": check, "meshes": [DENSER, DENSEST]}
            row = json.loads(path.read_text()) if path.is_file() else {}
            if row.get("stamp") != stamp:
                row = measured(benchmarks, index, args.kept, check) | {"stamp": stamp}
                write_json(path, row)
            rows.append(row)
            advance(1)
    record = {
        **environment(),
        "task": TASK,
        "data_sha256": data.data_hash,
        "weights_sha256": weights,
        "k_mesh": {"labels": to_dict(KMeshConfig()), "denser": denser(DENSER), "densest": denser(DENSEST)},
        "models": summary(rows),
        "structures": [{key: value for key, value in row.items() if key != "stamp"} for row in rows],
    }
    write_json(args.out, record)
    print("\n".join(table(record)))
    for row in rows:
        if row["check"] is not None:
            print(
                f"{row['file']}: a still denser mesh changes {row['check'] / row['k_sampling'][WHOLE]:.1%} of K's power"
            )


if __name__ == "__main__":
    main()
