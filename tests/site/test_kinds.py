"""Tasks of every kind have their table on the page."""

from __future__ import annotations

from pathlib import Path

from elfzoo.benchmark import Task
from elfzoo.site import build_site
from tests.site.records import TASKS, Page, of_speed, record

TEMPLATES = Task("templates", "metals", {"test": "0" * 64}, "Rank.", parts=("templates",))


def of_templates(model: str, **metrics: float) -> dict:
    return record(model, [0.1], "templates") | {"metrics": metrics, "groups": {}, "structures": [], "curves": {}}


def test_rankings_and_speeds_are_shown_the_best_first(tmp_path: Path) -> None:
    records = [
        *(of_templates(name, spearman=rho, strength_mae=0.1) for name, rho in (("a", 0.25), ("b", 0.75))),
        *(of_speed(name, rate) for name, rate in (("a", 1e6), ("b", 2500.0))),
        record("a", [0.1, 0.2]),
    ]
    build_site(records, tmp_path / "site", TASKS | {"templates": TEMPLATES}, tmp_path / "work")
    index = Page((tmp_path / "site" / "index.html").read_text())
    ranks = index.column("board-templates", "Spearman ρ")
    assert list(ranks) == ["b", "a"] and ranks["b"]["text"] == "0.7500" and "best" in ranks["b"]
    speeds = index.column("board-speed", "voxels/s")
    assert list(speeds) == ["a", "b"] and speeds["a"]["text"] == "1,000,000" and "best" in speeds["a"]
    assert index.column("board-speed", "share timed")["b"]["text"] == "0.2500"
    titles = [cell["text"] for cell in index.tables["board-speed"][0]]
    assert titles.count("voxels/s") == 1 and "MAE" not in titles
    of_model = Page((tmp_path / "site" / "models" / "a.html").read_text())
    assert [cell["text"] for cell in of_model.tables["tasks"][0]].count("voxels/s") == 1
    assert {"speed", "templates", "crystals"} <= of_model.ids
