"""What the predictions of releases say, against DFT: networking values, critical points, hydrogen links.

    python benchmarks/topology.py [NAME|FOLDER ...] [--tasks fluid-h crystal-h-cubic ...] [--split test]

Every structure of a task is predicted on its reference's grid with twice the points along each axis, and both fields
are searched in the same way (`elfzoo.analysis.compare_topology`). Errors of φ come first, beside the spread of φ over
the task: a model that always said the mean would err by about that much, and an R² of a small spread means little.
Critical points are pooled over the structures. One record per release and task goes into results/topology/.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import RESULTS, arguments, head, write_record
from tasks import predicted, select

import elfzoo
from elfzoo.analysis import SIGNATURES, bootstrap_interval, compare_topology
from elfzoo.datasets import FieldDataset
from elfzoo.interpolate import resample
from elfzoo.progress import progress_bar

PHIS = ("phi_1d", "phi_2d", "phi_3d", "phi_star")


def evaluate(model: elfzoo.models.Model, data: FieldDataset, label: str) -> list[dict[str, Any]]:
    """The comparison of every structure, without what does not fit in a line."""
    rows = []
    with progress_bar(label, len(data)) as advance:
        for _, reference in data:
            fine = refined(reference)
            rows.append(row(reference.meta["file"], compare_topology(fine, predicted(model, fine)).to_dict()))
            advance(1)
    return rows


def refined(reference: elfzoo.Field) -> elfzoo.Field:
    """The reference on half its spacing, by the Fourier series of logit(ELF), in which references are band-limited.

    On the stored 0.1 Å the spline through the values has weak critical points of its own.
    """
    nx, ny, nz = reference.grid.shape
    return resample(reference, (2 * nx, 2 * ny, 2 * nz), "fourier", "logit")


def row(file: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of one comparison."""
    return {
        "file": file,
        "reference": {name: found["reference"][name] for name in (*PHIS, "phi_error", "exact")},
        "delta": {name: found["delta"][name] for name in PHIS},
        "points": found["points"],
        "morse_sums": list(found["morse_sums"]),
        "jaccard_at_phi": found["jaccard_at_phi"],
        "jaccard_mean": None if found["jaccard"] is None else float(np.mean(found["jaccard"])),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Figures of a task; critical points pooled over its structures, the rest averaged over them."""
    found: dict[str, float] = {}
    for name in PHIS:
        error = np.array([r["delta"][name] for r in rows])
        truth = np.array([r["reference"][name] for r in rows])
        found |= {f"{name}_mae": np.abs(error).mean(), f"{name}_bias": error.mean(), f"{name}_spread": truth.std()}
    interval = bootstrap_interval([abs(r["delta"]["phi_3d"]) for r in rows])
    found |= {"phi_3d_mae_low": interval.low, "phi_3d_mae_high": interval.high}
    for name in (*SIGNATURES.values(), "all"):
        parts = [r["points"][name] for r in rows]
        reference, predicted, matched = (sum(p[key] for p in parts) for key in ("reference", "prediction", "matched"))
        found[f"{name} recall"] = matched / max(1, reference)
        found[f"{name} precision"] = matched / max(1, predicted)
        moved = [p["mean_displacement"] * p["matched"] for p in parts if p["matched"]]
        found[f"{name} displacement_A"] = sum(moved) / max(1, matched)
    found["jaccard_at_phi"] = np.mean([r["jaccard_at_phi"] for r in rows])
    found["jaccard_mean"] = np.mean([r["jaccard_mean"] for r in rows])
    return {key: round(float(value), 6) for key, value in found.items()}


def record(model: elfzoo.models.Model, task: str, split: str) -> dict[str, Any]:
    """Everything that a result needs to be checked and repeated."""
    data, began = select(task, split), time.perf_counter()
    rows = evaluate(model, data, f"{model.card.name} on {task}")
    return head(model, task, split, data) | {
        "metrics": summary(rows),
        "structures": rows,
        "wall_seconds": round(time.perf_counter() - began, 2),
    }


def report(result: Mapping[str, Any]) -> None:
    """Print a record."""
    m = result["metrics"]
    print(f"{result['model']}  {result['task']} ({len(result['structures'])} structures)")
    print(
        f"  φ: MAE {m['phi_3d_mae']:.4f} [{m['phi_3d_mae_low']:.4f}, {m['phi_3d_mae_high']:.4f}], "
        f"bias {m['phi_3d_bias']:+.4f}, spread of DFT's {m['phi_3d_spread']:.4f}; φ*: MAE {m['phi_star_mae']:.4f}"
    )
    for name in (*SIGNATURES.values(), "all"):
        print(
            f"  {name:<8} recall {m[f'{name} recall']:.3f}, precision {m[f'{name} precision']:.3f}, "
            f"moved {m[f'{name} displacement_A']:.3f} Å"
        )
    print(f"  hydrogen links shared: {m['jaccard_at_phi']:.3f} at φ, {m['jaccard_mean']:.3f} over isovalues")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "topology", help="folder of the records")
    args = parser.parse_args()
    for name in args.models or elfzoo.list_pretrained():
        model = elfzoo.load_pretrained(name)
        for task in args.tasks:
            result = record(model, task, args.split)
            write_record(result, args.out)
            report(result)


if __name__ == "__main__":
    main()
