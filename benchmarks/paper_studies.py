"""What the records of studies (``benchmarks/study.py``) say to Figs. S1C and S2 and Table S1 of Wang et al. (2026)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import paper_numbers as paper
from paper_fluid import FLUID
from paper_numbers import Finding, r2, statement
from study_tables import row_runs, spread

__all__ = ["patch", "scans", "seeds"]

CONVERGED = 0.05  # relative
NEGLIGIBLE = 0.01  # relative

Record = Mapping[str, Any]


def along(record: Record, axis: str, metric: str = "mae") -> dict[float, float]:
    """Means over seeds on the fluid by value on an axis."""
    rows = {row.at[axis]: row.values(FLUID, metric) for row in row_runs(record) if axis in row.at and row.runs}
    return {value: float(np.mean(found)) for value, found in sorted(rows.items()) if found}


def scans(record: Record) -> list[Finding]:
    """Fig. S2: whether the paper's value of each hyperparameter is good enough."""
    return [converged(record, axis, value) for axis, value in paper.BASELINE.items() if axis in record["axes"]]


def converged(record: Record, axis: str, value: float) -> Finding:
    """Whether the error at a value is close to the lowest on its axis."""
    points, title = along(record, axis), record["axes"][axis]["title"]
    what = f"{title}: converged (MAE at the paper's value at most {CONVERGED:.0%} above the lowest)"
    if value not in points:
        return statement(what, f"{value:g}", "", None)
    best = min(points, key=points.__getitem__)
    rise = points[value] / points[best] - 1
    return statement(what, f"{value:g}", f"{100 * rise:+.1f} % above that at {best:g}", rise <= CONVERGED)


def patch(record: Record) -> list[Finding]:
    """Fig. S1C: the best cutoff of the patch CNN, and how good it is there."""
    points = along(record, "r_cut", "r2")
    what, said = "C: best cutoff of the patch (highest R²)", f"{paper.BEST_PATCH} Å"
    if not points:
        return [statement(what, said, "", None)]
    best = max(points, key=points.__getitem__)
    return [
        statement(what, said, f"{best:g} Å of {min(points):g} to {max(points):g} Å", best == paper.BEST_PATCH),
        r2("C: R² there", paper.OTHER_FLUIDS["patch_cnn"]["r2"], points[best]),
    ]


def seeds(record: Record) -> list[Finding]:
    """Table S1: how much the error varies between models that differ in their seed alone."""
    rows = row_runs(record)
    return [steady(key, rows[0].values(FLUID, key) if rows else []) for key in ("mae", "rmse")]


def steady(key: str, values: Sequence[float]) -> Finding:
    """Whether one error of all seeds is nearly the same."""
    what = f"fluid: seeds hardly matter (standard deviation of {key.upper()} below {NEGLIGIBLE:.0%} of its mean)"
    said = f"{paper.FLUID[key]:.4f} ± {paper.SEEDS[key]:.1e}, 50 models"
    if len(values) < 2:
        return statement(what, said, "", None)
    found = spread(values)
    told = f"{found.mean:.4f} ± {found.std:.1e}, {found.seeds} models"
    return statement(what, said, told, found.std < NEGLIGIBLE * found.mean)
