"""Metrics of a task of few shots from its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from elfzoo.benchmark.matching import matching_metrics
from elfzoo.benchmark.resampling import cluster_of, interval_of_mean

__all__ = ["compounds", "errors_by_structure", "few_shot_metrics"]

Row = Mapping[str, Any]


def few_shot_metrics(parts: Sequence[Row]) -> dict[str, float]:
    """By kind and number of shots: means over structures, then over seeds.

    ``mae_outside_cores_8``: fine-tuned on eight; ``…_scratch_8``, ``…_mean_8``; ``…_known_8`` and ``…_unknown_8`` of
    structures all of whose elements were shown, or not; ``mae_8``, ``rmse_8``, ``r2_8``, ``r2_correlated_8``;
    ``phi_mae_8`` and ``phi_r2_8``, ``cp_recall_8``, ``cp_precision_8``, ``cp_displacement_8`` (pooled, on the stored
    grid) and ``network_jaccard_8`` of the structures that are searched; ``forgetting_fluid-h_8``: by how much the error
    on data known before has grown, as a share of it; 0 shots: as it is, which a factory that must be given data has
    not. ``below_scratch_8``, ``below_mean_8``: by how much ``mae_outside_cores_8`` is lower than that of training from
    scratch and of the mean, structure by structure, with 95 % bootstrap intervals over compounds, ``…_low`` and
    ``…_high``.
    """
    found: dict[str, list[float]] = {}
    before: Mapping[str, float | None] = next((part["remembered"] for part in parts if part["shots"] == 0), {})
    for part in parts:
        end = f"{'' if part['kind'] == 'tuned' else part['kind'] + '_'}{part['shots']}"
        for name, value in _figures(part["structures"]).items():
            found.setdefault(f"{name}_{end}", []).append(value)
        for name, error in part["remembered"].items() if part["kind"] == "tuned" and part["shots"] else ():
            if error is not None and before.get(name):
                found.setdefault(f"forgetting_{name}_{end}", []).append(error / before[name] - 1)
    means = {name: float(np.nanmean(values)) for name, values in found.items() if not np.isnan(values).all()}
    return means | _paired(parts)


def _paired(parts: Sequence[Row]) -> dict[str, float]:
    """How much lower the fine-tuned model's errors are than those of each other kind, with the same shots."""
    found: dict[str, float] = {}
    runs = sorted({(part["kind"], part["shots"]) for part in parts})
    errors = {run: errors_by_structure(parts, *run) for run in runs}
    for (kind, shots), of_kind in errors.items():
        if kind == "tuned" or ("tuned", shots) not in errors:
            continue
        gain, name = of_kind - errors["tuned", shots], f"below_{kind}_{shots}"
        low, high = interval_of_mean(gain, compounds(parts))
        found |= {name: float(gain.mean()), f"{name}_low": low, f"{name}_high": high}
    return found


def errors_by_structure(parts: Sequence[Row], kind: str, shots: int) -> Float[np.ndarray, " structures"]:
    """Errors outside of cores, means over seeds."""
    chosen = [part["structures"] for part in parts if (part["kind"], part["shots"]) == (kind, shots)]
    return np.mean([[row["mae_outside_cores"] for row in structures] for structures in chosen], axis=0)


def compounds(parts: Sequence[Row]) -> list[str]:
    """What is drawn as a whole, of each structure, which all runs ask for: its chemical system, by its file's name."""
    files = [str(row.get("file", number)) for number, row in enumerate(parts[0]["structures"])]
    return [cluster_of(file, file.split("_")[0] if "_" in file else None) for file in files]


def _figures(structures: Sequence[Row]) -> dict[str, float]:
    def mean(name: str, chosen: Callable[[Row], bool] = lambda row: True) -> float:
        values = [abs(row[name]) for row in structures if row.get(name) is not None and chosen(row)]
        return float(np.mean(values)) if values else np.nan

    searched = [row for row in structures if "phi" in row]
    points = [row["points"] for row in searched if "points" in row]  # rows of earlier versions lack them
    reference, predicted = (sum(part[side] for part in points) for side in ("reference", "prediction"))
    return {
        **{name: mean(name) for name in ("mae", "rmse")},
        **{name: _signed_mean(structures, name) for name in ("r2", "r2_correlated")},
        **(matching_metrics("cp", points, reference, predicted) if points else {}),
        "network_jaccard": _signed_mean(structures, "links"),
        "phi_r2": _phi_r2(searched),
        "mae_outside_cores": mean("mae_outside_cores"),
        "mae_outside_cores_known": mean("mae_outside_cores", lambda row: row["known"]),
        "mae_outside_cores_unknown": mean("mae_outside_cores", lambda row: not row["known"]),
        "phi_mae": mean("phi_error"),
    }


def _signed_mean(structures: Sequence[Row], name: str) -> float:
    values = [row[name] for row in structures if row.get(name) is not None]
    return float(np.mean(values)) if values else np.nan


def _phi_r2(searched: Sequence[Row]) -> float:
    """About the identity, over structures; nan where φ does not vary."""
    known = [row for row in searched if row["phi"] is not None and row["phi_error"] is not None]
    truth, error = (np.array([row[name] for row in known], float) for name in ("phi", "phi_error"))
    return float(1 - (error**2).mean() / truth.var()) if len(known) > 1 and truth.min() < truth.max() else np.nan
