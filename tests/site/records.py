"""Made-up records, and what tests read from pages."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from elfzoo.benchmark import SpeedTask, Task

TASKS = {
    "fluid": Task(
        "a fluid", "fluid-h", {"test": "0" * 64}, "Learn from <b>nothing</b>.", group_by="target_pressure_GPa"
    ),
    "crystals": Task("crystals", "crystal-h", {"test": "0" * 64}, "Learn from the fluid."),
    "speed": SpeedTask(title="speed", protocol="none", atoms=500, edge=11.0, points=192),
}
KINDS = ("(3,-3)", "(3,-1)", "(3,+1)", "(3,+3)", "all")


def row(number: int, mae: float, group: float | None = None) -> dict[str, Any]:
    """The measurements of one structure."""
    points = {"reference": 10, "prediction": 8, "matched": 7, "precision": 0.875, "recall": 0.7}
    return {
        "file": f"crystal-h/made_{number:03d}.npz",
        "formula": "H4",
        "atoms": 4,
        "group": group,
        "grid": [12, 12, 12],
        "predicted_grid": [24, 24, 24],
        "prediction_sha256": "1" * 64,
        "voxels": {"mae": mae, "rmse": 1.5 * mae, "r2": 1 - mae, "max_error": 9 * mae},
        "topology": {
            "reference": {"phi_1d": 0.6, "phi_2d": 0.5, "phi_3d": 0.4, "phi_h_3d": 0.4, "phi_star": 0.9},
            "delta": {"phi_1d": 0.01, "phi_2d": -0.02, "phi_3d": -mae, "phi_h_3d": None, "phi_star": 0.0},
            "points": {kind: points | {"mean_displacement": 0.05} for kind in KINDS},
            "jaccard_at_phi": 0.75,
        },
    }


def record(model: str, maes: list[float], task: str = "crystals", **extra: Any) -> dict[str, Any]:
    """A record with everything that the pages show."""
    mae = sum(maes) / len(maes)
    metrics = {
        "mae": mae,
        "mae_low": 0.9 * mae,
        "mae_high": 1.1 * mae,
        "rmse": 1.5 * mae,
        "r2": 1 - mae,
        "phi_mae": 0.5 * mae,
        "phi_spread": 0.0625,
        "phi_r2": -0.25,
        "cp_recall": 0.7,
        "cp_precision": 0.875,
        "network_jaccard": 0.75,
        "residual_>6": 0.125,
        "residual_3-6": 0.25,
        "residual_1.5-3": 0.5,
        "residual_<1.5": 0.125,
    }
    bins = {"count": [10, 0, 30], "structures": [1, 0, 1], "mae": [mae, None, 2 * mae], "bias": [-mae, None, 0.0]}
    return {
        "model": model,
        "task": task,
        "split": "test",
        "data_sha256": "0" * 64,
        "weights_sha256": "2" * 64,
        "entrant": {"architecture": "made_up", "parameters": 12345, "trained_on": ["fluid-h/train"], "elements": ["H"]},
        "unknown_elements": [],
        "date": "2026-01-02",
        "elfzoo": "0.1.0",
        "hardware": "an abacus",
        "metrics": metrics,
        "groups": {"76.0": metrics, "115.1": metrics | {"mae": 2 * mae}},
        "cost": {"seconds": 2.0, "measuring_seconds": 3.0, "voxels_per_second": 1e5, "peak_rss_gib": 0.5},
        "curves": {
            "by_elf": {"lower": [0.0, 0.05, 0.1], **bins},
            "by_distance": {"lower": [0.0, 0.1, 0.2], **bins},
            "joint": [[30, 2], [0, 8]],
            "spectrum": {"k": [0.25, 0.75, 1.25], "density": [1e-4, 1e-3, 1e-5], "reference_density": [0.1, 1.0, 0.01]},
        },
        "protocol": "none",
        "structures": [row(number, mae) for number, mae in enumerate(maes)],
        **extra,
    }


def of_speed(model: str, rate: float) -> dict[str, Any]:
    """A record of a task of speed."""
    metrics = {"voxels_per_second": rate, "seconds_500h_192": 192**3 / rate, "share_timed": 0.25}
    return record(model, [0.1], "speed") | {"metrics": metrics, "groups": {}, "structures": [], "curves": {}}


class Page(HTMLParser):
    """Tables by id, addresses, identifiers and text of a page."""

    def __init__(self, html: str):
        super().__init__()
        self.tables: dict[str, list[list[dict[str, str]]]] = {}
        self.links: list[tuple[str, str]] = []
        self.ids: set[str] = set()
        self.text = ""
        self._table: str | None = None
        self._cell: dict[str, str] | None = None
        self._skipped = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values["id"]} if "id" in values else set()
        self.links += [(tag, values[name]) for name in ("href", "src") if name in values]
        self._skipped += tag in ("script", "style")
        if tag == "table":
            self._table = values.get("id", "card")
            self.tables[self._table] = []
        elif tag == "tr" and self._table is not None:
            self.tables[self._table].append([])
        elif tag in ("th", "td") and self._table is not None:
            self._cell = values | {"tag": tag, "text": ""}
            self.tables[self._table][-1].append(self._cell)
        elif self._cell is not None and tag == "strong":
            self._cell["best"] = "yes"
        elif self._cell is not None and tag == "small":
            self._cell["text"] += " | "

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in ("script", "style")
        if tag == "table":
            self._table = None
        elif tag in ("th", "td") and self._cell is not None:
            self._cell["text"] = " ".join(self._cell["text"].split())
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        self.text += data
        if self._cell is not None:
            self._cell["text"] += data

    def column(self, table: str, title: str) -> dict[str, dict[str, str]]:
        """Cells of a column by the names of their rows."""
        head, *rows = self.tables[table]
        place = [cell["text"] for cell in head].index(title)
        return {line[0]["data-value"]: line[place] for line in rows}
