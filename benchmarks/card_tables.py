"""Tables of the data cards: Markdown, values, and what the records of convergence and of the two engines say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

NOT_MEASURED = "Not measured yet."


def table(head: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def spread(values: Sequence[Any]) -> str:
    """Distinct values; more than four numbers as a range."""
    distinct = {json.dumps(value): value for value in values}
    numbers = [v for v in distinct.values() if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(distinct) > 4:
        return f"{short(min(numbers))} to {short(max(numbers))}"
    if len(numbers) == len(distinct):
        return ", ".join(map(short, sorted(numbers)))
    return ", ".join(sorted(map(short, distinct.values())))


def short(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def kind_of(reason: str) -> str:
    """A reason for a failure without its numbers, which do not make it another one."""
    return re.sub(r"\d+(\.\d+)?", "N", reason.replace("|", "/"))


def convergence(path: Path, recipe_hashes: Set[str | None]) -> list[str]:
    """Each label again with one setting changed.

    Args:
        path: the record.
        recipe_hashes: what the files of the data set state.
    """
    if not path.exists():
        return [NOT_MEASURED]
    found = json.loads(path.read_text(encoding="utf-8"))
    own = {row["structure"]: row for row in found["rows"] if row["variant"] == "recipe"}
    rows = [_convergence_row(row, own) for row in found["rows"] if row["variant"] != "recipe" or "failed" in row]
    head = ["structure", "changed", "MAE", "largest", "R²", "MAE outside cores", "Δφ", "ΔP, GPa", "time", "passes"]
    limits = f"MAE below {found['limits']['mae']:g} and |Δφ| below {found['limits']['delta_phi']:g}"
    lines = [*table(head, rows), "", f"Passes: {limits} against the label of the recipe itself. {found['engine']}."]
    same = recipe_hashes == {found["recipe_hash"]}
    return lines if same else [*lines, "", "The record is of another recipe than the one that made these files."]


def _convergence_row(row: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]]) -> list[str]:
    changed = ", ".join(f"{key} {short(value)}" for key, value in row["changed"].items() if value is not None)
    head = [row["structure"], f"{row['variant']} ({changed})" if changed else row["variant"]]
    if "failed" in row:
        return [*head, f"failed: {kind_of(row['failed'])}", *[""] * 7]
    verdict = {True: "yes", False: "no", None: "not a test"}[row["passes"]]
    times = row["wall_seconds"] / own[row["structure"]]["wall_seconds"]
    changes = [f"{row['delta_phi']:+.5f}", f"{row['delta_pressure_GPa']:+.3f}", f"{times:.1f} ×"]
    return [*head, *_errors(row), *changes, verdict]


def dynamics(path: Path) -> list[str]:
    """Each trajectory after its equilibration: temperature, energy, structure, decay, and what DFT says of it."""
    if not path.exists():
        return [NOT_MEASURED]
    found = json.loads(path.read_text(encoding="utf-8"))
    head = ["trajectory", "atoms", "T ± std (canonical), K", "drift, meV/atom/ps", "in molecules, 1st and 2nd half"]
    head += ["g(r) peak, Å", "1/e: places, fs", "1/e: neighbours, fs", "DFT pressure, GPa"]
    rows = [[name.removeprefix("fluid_"), *_dynamics_row(row)] for name, row in found["trajectories"].items()]
    return [
        f"Snapshots are {found['interval_fs']:g} fs apart, the first after {found['equilibration_fs']:g} fs. Places: "
        "atoms still within 0.3 Å of where they were. Neighbours: atoms whose nearest neighbour is still the same; "
        "molecules at the lowest pressure live longest. Pressures in the order of the snapshots.",
        "",
        *table(head, rows),
        "",
        "![temperature, energy, g(r), decay](../../figures/fluid-h-dynamics.png)",
    ]


def _dynamics_row(row: Mapping[str, Any]) -> list[str]:
    early, late = row["halves"]["molecular_fraction"]
    return [
        str(row["atoms"]),
        f"{row['temperature']:.0f} ± {row['temperature_std']:.0f} ({row['temperature_std_canonical']:.0f})",
        f"{1000 * row['energy_drift']:+.2f}",
        f"{early:.2f}, {late:.2f}",
        f"{row['peak'][0]:.2f}",
        *("beyond the lags" if row[k] is None else f"{row[k]:.0f}" for k in ("overlap_decay", "partner_decay")),
        ", ".join(f"{p:.1f}" for p in row["dft_pressure_GPa"].values()) or "none yet",
    ]


def two_engines(path: Path, name: str) -> list[str]:
    """The structures of one data set by two DFT codes."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"structures": []}
    rows = [row for row in found["structures"] if row["recipe"] == name]
    if not rows:
        return [NOT_MEASURED]
    compared = [row for row in rows if "comparisons" in row]
    lines = [
        [row["structure"], label, *_errors(values), _inside(values), f"{values['delta_phi']:+.5f}"]
        for row in compared
        for label, values in row["comparisons"].items()
    ]
    head = ["structure", "low-pass", "MAE", "largest", "R²", "MAE outside cores", "inside", "Δφ"]
    pairs = {label: " and ".join(map(_window, pair)) for label, pair in found["low_pass"].items()}
    notes = [f"- {row['structure']} was not compared: {_reason(row)}." for row in rows if row not in compared]
    return [
        f"{' against '.join(found['engines'].values())}; differences are the second less the first.",
        *(["", *table(head, lines), "", *(f"- {n}: {text}" for n, text in pairs.items())] if lines else []),
        *(["", *notes] if notes else []),
    ]


def _reason(row: Mapping[str, Any]) -> str:
    return str(row.get("not_compared") or kind_of(row["failed"]))


def _window(window: Sequence[float] | None) -> str:
    return "none" if window is None else f"{window[0]:g} to {window[1]:g} rad/Å"


def _errors(row: Mapping[str, Any]) -> list[str]:
    whole, outside = row["whole"], row["outside_cores"]
    r2 = "-" if whole["r2"] is None else f"{whole['r2']:.6f}"
    return [f"{whole['mae']:.5f}", f"{whole['max_error']:.4f}", r2, f"{outside['mae']:.5f}" if outside else "no cores"]


def _inside(row: Mapping[str, Any]) -> str:
    return f"{row['inside_cores']['mae']:.5f}" if row.get("inside_cores") else "no cores"
