"""Metrics of a task of few shots from its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["few_shot_metrics"]

Row = Mapping[str, Any]


def few_shot_metrics(parts: Sequence[Row]) -> dict[str, float]:
    """By kind and number of shots: means over structures, then over seeds.

    ``mae_outside_cores_8``: fine-tuned on eight; ``…_scratch_8``, ``…_mean_8``; ``…_known_8`` and ``…_unknown_8`` of
    structures all of whose elements were shown, or not; ``phi_mae_8``; ``forgetting_8``: by how much the error on what
    was known before has grown, as a share of it; 0 shots: as it is.
    """
    found: dict[str, list[float]] = {}
    before = next(part["remembered"] for part in parts if part["shots"] == 0)
    for part in parts:
        end = f"{'' if part['kind'] == 'tuned' else part['kind'] + '_'}{part['shots']}"
        for name, value in _figures(part["structures"]).items():
            found.setdefault(f"{name}_{end}", []).append(value)
        if part["kind"] == "tuned" and part["shots"]:
            found.setdefault(f"forgetting_{end}", []).append(part["remembered"] / before - 1)
    return {name: float(np.nanmean(values)) for name, values in found.items() if not np.isnan(values).all()}


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
