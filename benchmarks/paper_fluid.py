"""What the training of an entrant and its record on the fluid say to Fig. 1 and Table S2 of Wang et al. (2026)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import paper_numbers as paper
from paper_numbers import Finding, error, statement

__all__ = ["FLUID", "MIDDLE", "NEAR", "distribution", "fluid", "peer_of", "snapshots", "training"]

FLUID = "fluid-h"
CALM = 0.05  # relative
SAME_MEAN, SAME_DISTRIBUTION = 0.001, 0.01  # ELF
BIASED = 0.5  # of the mean |error|
MIDDLE, NEAR = 0.5, 0.25  # ELF or networking value, and a distance from it

Row = Mapping[str, Any]


def training(history: Mapping[str, Sequence[float]]) -> list[Finding]:
    """Fig. 1B, on the first validation set."""
    name = next(key for key in history if key.startswith("mae "))
    mae, epochs = history[name], len(history[name])
    falls = [late_fall(history[key]) for key in ("loss", name)]
    calm = None if None in falls else all(abs(fall) <= CALM for fall in falls if fall is not None)
    told = "" if calm is None else f"loss {_percent(falls[0])}, MAE {_percent(falls[1])}"
    rise = mae[-1] / min(mae) - 1
    return [
        error(
            f"B: MAE on {name[4:]} at the end",
            paper.FLUID["mae"],
            mae[-1],
            "0.0190 (MLP), 80 epochs",
            f", {epochs} epochs",
        ),
        statement(f"B: plateau (the last tenth of the epochs falls by {CALM:.0%} at most)", "both curves", told, calm),
        statement(
            f"B: no overfitting (last MAE at most {CALM:.0%} above the lowest)", "none", _percent(rise), rise <= CALM
        ),
    ]


def late_fall(values: Sequence[float]) -> float | None:
    """By how much, relatively, the last tenth is below the tenth before; None of a single epoch."""
    n = max(1, len(values) // 10)
    if len(values) < 2 * n:
        return None
    return float(1 - np.mean(values[-n:]) / np.mean(values[-2 * n : -n]))


def peer_of(record: Row) -> paper.Errors:
    """Errors in the fluid of the paper's model of the same kind."""
    return paper.OTHER_FLUIDS.get(record["entrant"].get("architecture", ""), paper.FLUID)


def fluid(record: Row) -> list[Finding]:
    """Figs. 1C and D."""
    peer, found = peer_of(record), by_elf(record["curves"]["by_elf"])
    for words, suffix in (("all voxels", "_pooled"), ("even in ELF", "_stratified")):
        for key, compared, symbol in paper.SYMBOLS:
            if key in peer:
                found.append(compared(f"D: {symbol}, {words}", peer[key], record["metrics"].get(key + suffix)))
    return found


def distribution(record: Row) -> list[Finding]:
    """Fig. 1A, of the reference and predicted, over all voxels."""
    parts = [row["voxels"] for row in record["structures"]]
    points, mean, bias = (np.array([part[k] for part in parts], float) for k in ("points", "reference_mean", "bias"))
    reference, shift = (float(np.average(values, weights=points)) for values in (mean, bias))
    moved, same = record["metrics"]["histogram_distance"], f"{paper.MEAN} and {paper.MEAN}"
    return [
        statement(
            f"A: reference and prediction have one mean (within {SAME_MEAN:g})",
            same,
            f"{reference:.4f} and {reference + shift:.4f}",
            abs(shift) <= SAME_MEAN,
        ),
        statement(
            f"A: and nearly one distribution (values move by {SAME_DISTRIBUTION:g} at most, on average)",
            "nearly indistinguishable",
            f"{moved:.4f}",
            moved <= SAME_DISTRIBUTION,
        ),
    ]


def by_elf(curve: Row) -> list[Finding]:
    """Fig. 1C: bias and size of errors by ELF of the reference."""
    lower, mae, bias = (np.array(curve[key], float) for key in ("lower", "mae", "bias"))
    width = lower[1] - lower[0]
    share, largest = float(np.nanmax(np.abs(bias) / mae)), float(lower[np.nanargmax(mae)] + width / 2)
    ratio = np.nanmax(mae) / np.nanmin(mae)
    return [
        statement(
            f"C: no bias at any ELF (|mean error| at most {BIASED:g} of mean |error| in each bin)",
            "no discernible one",
            f"up to {share:.2f}",
            share <= BIASED,
        ),
        statement(
            f"C: errors are largest at intermediate ELF (bin of the largest within {NEAR:g} of {MIDDLE:g})",
            "near 0.5",
            f"at {largest:.3f}, {ratio:.1f} times the smallest",
            abs(largest - MIDDLE) <= NEAR,
        ),
    ]


def snapshots(record: Row) -> list[Finding]:
    """Table S2: each pressure by itself; means over snapshots, with their range."""
    found = []
    for pressure, peers in paper.SNAPSHOTS.items():
        rows = [row["voxels"] for row in record["structures"] if str(row["group"]) == pressure]
        for key, compared, symbol in paper.SYMBOLS:
            theirs, ours = [peer[key] for peer in peers], [row[key] for row in rows if row[key] is not None]
            said = ", ".join(f"{value:.3f}" if key == "r2" else f"{value:.4f}" for value in theirs)
            detail = f" ({min(ours):.4f} to {max(ours):.4f}, {len(ours)} snapshots)" if ours else ""
            mean = float(np.mean(ours)) if ours else None
            found.append(compared(f"{pressure} GPa: {symbol}", float(np.mean(theirs)), mean, said, detail))
    return found


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:+.1f} %"
