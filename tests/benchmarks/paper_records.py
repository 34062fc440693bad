"""Small planted records of an entrant "toy", with numbers that can be checked by hand."""

from __future__ import annotations

from typing import Any

from paper_crystals import CUBIC, HEXAGONAL
from paper_fluid import FLUID
from paper_report import TRAINING, Sources

HISTORY = {"epoch": [1, 2, 3, 4], "loss": [0.2, 0.1, 0.05, 0.05], "mae fluid-h/val": [0.1, 0.03, 0.02, 0.02]}


def fluid_row(name: str, group: float, mae: float, **more: Any) -> dict[str, Any]:
    voxels = {"points": 100, "mae": mae, "rmse": 0.03, "r2": 0.99, "bias": 0.0, "reference_mean": 0.4, **more}
    return {"file": f"fluid-h/{name}.npz", "atoms": 128, "group": group, "voxels": voxels, "prediction_sha256": ""}


def crystal_row(name: str, r2: float | None, correlated: float | None, phi: float, delta: float) -> dict[str, Any]:
    voxels = {"mae": 0.03, "rmse": 0.05, "r2": r2, "r2_correlated": correlated}
    topology = {"reference": {"phi_3d": phi}, "delta": {"phi_3d": delta}}
    row = {"file": f"crystal-h/{name}.npz", "atoms": 4, "group": None, "voxels": voxels, "topology": topology}
    return row | {"prediction_sha256": ""}


def record_of(task: str, rows: list[dict[str, Any]], metrics: dict[str, float], **more: Any) -> dict[str, Any]:
    head = {"model": "toy", "task": task, "split": "test", "data_sha256": "", "entrant": {}, "metrics": metrics}
    return head | {"structures": rows, "curves": {"by_elf": BY_ELF}} | more


BY_ELF = {
    "lower": [0.0, 0.25, 0.5, 0.75],
    "mae": [0.01, 0.02, 0.03, None],
    "bias": [0.004, -0.001, 0.012, None],
}
FLUID_METRICS = {"histogram_distance": 0.02} | {
    f"{key}_{kind}": value
    for kind, factor in (("pooled", 1.0), ("stratified", 2.0))
    for key, value in (("mae", 0.019 * factor), ("rmse", 0.01 * factor), ("r2", 1 - 0.008 * factor))
}
FLUID_ROWS = [fluid_row("b", 76.0, 0.02), fluid_row("c", 76.0, 0.03), fluid_row("a", 138.5, 0.01)]
CUBIC_ROWS = [
    crystal_row("cubic_001", 0.999, 0.9995, 0.2, 0.01),
    crystal_row("cubic_002", 0.90, 0.97, 0.5, -0.05),
    crystal_row("cubic_003", 0.97, 0.98, 0.7, 0.02),
    crystal_row("cubic_004", None, None, 0.6, 0.0),
]
HEXAGONAL_ROWS = [
    crystal_row("hexagonal_001", 0.8, 0.81, 0.4, 0.1),
    crystal_row("hexagonal_002", 0.95, 0.96, 0.15, 0.0),
]
CRYSTAL_METRICS = {"mae": 0.0385, "r2": 0.98, "phi_mae": 0.04, "phi_r2": 0.92, "phi_spread": 0.1}


def sources() -> Sources:
    """All of them."""
    found = {
        FLUID: record_of(FLUID, FLUID_ROWS, FLUID_METRICS),
        CUBIC: record_of(CUBIC, CUBIC_ROWS, CRYSTAL_METRICS),
        HEXAGONAL: record_of(HEXAGONAL, HEXAGONAL_ROWS, CRYSTAL_METRICS),
        TRAINING: HISTORY,
    }
    return Sources("toy", found)


def without(sources: Sources, *names: str) -> Sources:
    return Sources(sources.name, {name: found for name, found in sources.found.items() if name not in names})
