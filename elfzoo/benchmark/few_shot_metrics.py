"""Metrics of a task of few shots from its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from elfzoo.analysis import paired_bootstrap

__all__ = ["few_shot_metrics"]

Row = Mapping[str, Any]


def few_shot_metrics(parts: Sequence[Row]) -> dict[str, float]:
    """By kind and number of shots: means over structures, then over seeds.

    ``mae_outside_cores_8``: fine-tuned on eight; ``…_scratch_8``, ``…_mean_8``; ``…_known_8`` and ``…_unknown_8`` of
    structures all of whose elements were shown, or not; ``phi_mae_8``; ``forgetting_fluid-h_8``: by how much the
    error on data known before has grown, as a share of it; 0 shots: as it is, which a factory that must be given data
    has not. ``below_scratch_8``, ``below_mean_8``:
    by how much ``mae_outside_cores_8`` is lower than that of training from scratch and of the mean, structure by
    structure, with 95 % bootstrap intervals over structures, ``…_low`` and ``…_high``.
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
    errors = {run: _by_structure(parts, *run) for run in runs}
    for (kind, shots), of_kind in errors.items():
        if kind == "tuned" or ("tuned", shots) not in errors:
            continue
        interval = paired_bootstrap(of_kind, errors["tuned", shots]).difference
        name = f"below_{kind}_{shots}"
        found |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return found


def _by_structure(parts: Sequence[Row], kind: str, shots: int) -> Float[np.ndarray, " structures"]:
    """Errors outside of cores, means over seeds."""
    chosen = [part["structures"] for part in parts if (part["kind"], part["shots"]) == (kind, shots)]
    return np.mean([[row["mae_outside_cores"] for row in structures] for structures in chosen], axis=0)


def _figures(structures: Sequence[Row]) -> dict[str, float]:
    def mean(name: str, chosen: Callable[[Row], bool] = lambda row: True) -> float:
        values = [abs(row[name]) for row in structures if name in row and chosen(row)]
        return float(np.mean(values)) if values else np.nan

    return {
        "mae": mean("mae"),
        "mae_outside_cores": mean("mae_outside_cores"),
        "mae_outside_cores_known": mean("mae_outside_cores", lambda row: row["known"]),
        "mae_outside_cores_unknown": mean("mae_outside_cores", lambda row: not row["known"]),
        "phi_mae": mean("phi_error"),
    }
