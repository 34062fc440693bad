"""The pictures of ``benchmarks/uncertainty.py``: true against predicted errors, by bin for ELF, by structure for φ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

FIGURES = Path(__file__).parent / "figures"
COLOURS = {"fluid-h": "#1b6ca8", "crystal-h": "#c8553d", "hydrides": "#3b8a4b", "metals": "#7a5aa6"}


def draw(models: dict[str, Any]) -> list[Path]:
    """One picture for ELF and one for φ, a panel for each model."""
    return [_figure(models, "elf", _elf), _figure(models, "phi", _phi)]


def _figure(models: dict[str, Any], name: str, panel: Any) -> Path:
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.7 * columns, 2.5 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(models) :]:
        axis.set_axis_off()
    for axis, (model, found) in zip(axes.flat, models.items(), strict=False):
        for dataset, measured in found["tasks"].items():
            panel(axis, measured, COLOURS[dataset], dataset)
        axis.set_title(model, fontsize=8)
        axis.tick_params(labelsize=7)
        if axis is axes[0, 0] or len(found["tasks"]) > 2:
            axis.legend(fontsize=7)
    path = FIGURES / f"uncertainty-{name}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _elf(axis: Any, measured: dict[str, Any], colour: str, label: str) -> None:
    bins = measured["elf"]["bins"]
    x, y = (np.array([part[key] for part in bins]) for key in ("predicted", "error"))
    axis.loglog(x, y, "o-", ms=3, lw=1, color=colour, label=label)
    axis.axline((1e-3, 1e-3), (1e-1, 1e-1), color="0.7", lw=0.8, zorder=0)
    axis.set_xlabel("predicted RMS error of ELF", fontsize=7)
    axis.set_ylabel("true RMS error, by bin", fontsize=7)


def _phi(axis: Any, measured: dict[str, Any], colour: str, label: str) -> None:
    rows = measured["structures"]
    x, y = (np.array([abs(row[key]) for row in rows]) for key in ("phi_sigma", "phi_error"))
    axis.plot(x, y, "o", ms=3, color=colour, label=label)
    end = max(float(x.max()), axis.get_xlim()[1])
    for times, style in ((1, "-"), (2, "--")):
        axis.plot([0, end], [0, times * end], style, color="0.7", lw=0.8, zorder=0)
    axis.set_xlabel("predicted error of φ", fontsize=7)
    axis.set_ylabel("|error of φ| (lines: 1 σ, 2 σ)", fontsize=7)
