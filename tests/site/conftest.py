"""A page of made-up records, and one of real crystals with their predictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from elfzoo.benchmark import Benchmark, find_task, read_records, run
from elfzoo.site import build_site
from tests.benchmark.conftest import ENTRANTS, task_file
from tests.cli.conftest import elfzoo  # noqa: F401  (a fixture)
from tests.site.records import TASKS, of_speed, record


@pytest.fixture(scope="session")
def made_up() -> list[dict]:
    """Three entrants on crystals, of which one is a floor and one is asked for what it never saw; two on a fluid."""
    return [
        record("good", [0.01, 0.02, 0.03, 0.04, 0.05]),
        record("fair", [0.02, 0.03, 0.05, 0.04, 0.06], unknown_elements=["Li", "B"]),
        record("floor.mean", [0.001] * 5, entrant={"source": "floors.py:mean"}),
        record("good", [0.02, 0.04], "fluid"),
        record("fair", [0.01, 0.02], "fluid"),
    ]


@pytest.fixture(scope="session")
def site(made_up: list[dict], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the page of the made-up records; their data are nowhere."""
    folder = tmp_path_factory.mktemp("made-up") / "site"
    speeds = [of_speed("good", 2e5), of_speed("fair", 3e6), of_speed("floor.mean", 5e7)]
    build_site([*made_up, *speeds], folder, TASKS, tmp_path_factory.mktemp("work"))
    return folder


@pytest.fixture(scope="session")
def crystals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work folder of a real run of two entrants on small crystals, with ``results``, ``tiny.yaml`` and a ``site``."""
    folder = tmp_path_factory.mktemp("crystals")
    task = task_file(folder / "tiny.yaml", starts_with="cubic_02", parts=["voxels", "profile", "spectrum"])
    (folder / "mine.py").write_text(ENTRANTS)
    for name in ("waves", "half"):
        run(Benchmark(f"{folder / 'mine.py'}:{name}", str(task), folder / "work"), folder / "results", progress=False)
    records = read_records(folder / "results", ["tiny"])
    build_site(records, folder / "site", {"tiny": find_task(str(task))}, folder / "work")
    return folder
