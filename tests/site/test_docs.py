"""``docs/leaderboard.md``: the model that it shows enters, and its pictures are there; see tests/test_documentation.py.

``ELFZOO_SCREENSHOTS=docs/images`` takes the pictures anew, from the records of this checkout.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from elfzoo import analysis, list_pretrained, load_pretrained
from elfzoo.benchmark import Benchmark, Task, find_task, list_tasks, read_records
from elfzoo.benchmark.ceiling import ceilings
from elfzoo.benchmark.fields import measure_structure
from elfzoo.benchmark.record import CHECKOUT_RESULTS
from elfzoo.examples import load_example
from elfzoo.site import build_site, view_page
from elfzoo.site.boards import boards_of
from elfzoo.site.learning import read_studies
from tests.benchmark.conftest import task_file
from tests.markdown import blocks
from tests.site.browser import Browser, find_chromium
from tests.site.test_browser import LAPTOP, PHONE, look

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "leaderboard.md").read_text()
PICTURES = ("board-laptop", "board-phone", "structure", "view")
LARGEST, COLOURS = 200_000, 160  # bytes of a picture; its colours
SHOWN = "crystal-h-cubic"  # the task of the pictures
FOLDER, CHROMIUM = os.environ.get("ELFZOO_SCREENSHOTS"), find_chromium()


def test_the_pictures_of_the_docs_are_there_and_small() -> None:
    assert {path.stem for path in (DOCS / "images").iterdir()} == set(PICTURES)
    assert set(re.findall(r"images/([\w-]+)\.png", TEXT)) == set(PICTURES)
    for name in PICTURES:
        path = DOCS / "images" / f"{name}.png"
        assert path.stat().st_size < LARGEST
        with Image.open(path) as picture:
            assert picture.format == "PNG" and min(picture.size) > 300


def test_the_stranger_of_the_docs_enters(elfzoo: Callable[..., Result]) -> None:
    (block,) = (block for block in blocks(DOCS / "leaderboard.md") if block.language == "python")
    assert len(block.code.splitlines()) <= 20
    Path("my_model.py").write_text(block.code)
    task = task_file(Path("tiny.yaml"), starts_with="cubic_02", parts=["voxels"])
    call = ("benchmark", "-m", "my_model.py:make", "-t", task, "--out", "results", "--work", "work")
    assert elfzoo(*call).exit_code == 0
    files = ("benchmark", "-m", "my-code", "--predictions", "work/my-constant/tiny/predictions")
    assert elfzoo(*files, "-t", task, "--out", "results").exit_code == 0
    board = elfzoo("leaderboard", "--results", "results", "-t", task).stdout
    assert "my-constant" in board and "my-code" in board


@pytest.mark.skipif(FOLDER is None or CHROMIUM is None, reason="no ELFZOO_SCREENSHOTS, or no Chromium")
def test_pictures_are_taken(tmp_path: Path) -> None:
    structure = real_site(tmp_path / "site", tmp_path / "work")
    (tmp_path / "view.html").write_text(real_view())
    (tmp_path / "profile").mkdir()
    with Browser(str(CHROMIUM), tmp_path / "profile") as browser:
        for name, size in (("board-laptop", LAPTOP), ("board-phone", PHONE)):
            look(browser, tmp_path / "site/index.html", size)
            keep(browser, name, SHOWN)
        look(browser, structure, LAPTOP)
        keep(browser, "structure", "fields-title")
        look(browser, tmp_path / "view.html", LAPTOP)
        keep(browser, "view", "main")
    test_the_pictures_of_the_docs_are_there_and_small()


def real_site(folder: Path, work: Path) -> Path:
    """The pages of this checkout's records; returns that of a structure that all releases predict anew, to be shown."""
    tasks = {name: find_task(name) for name in list_tasks()}
    records = list(read_records(CHECKOUT_RESULTS, list(tasks)))
    board = next(board for board in boards_of(records, tasks) if board.name == SHOWN)
    shown = board.chosen[1]
    for model in {record["model"] for record in board.records} & set(list_pretrained()):
        made = Benchmark(model, SHOWN, work)
        assert isinstance(made.definition, Task)
        measure_structure(made, made.definition, made.names.index(shown.name))
    found = ceilings(CHECKOUT_RESULTS, tasks)
    build_site(records, folder, tasks, work, studies=read_studies(CHECKOUT_RESULTS), ceilings=found)
    return folder / "structures" / SHOWN / f"{shown.name}.html"


def real_view() -> str:
    """What ``elfzoo view`` makes of the example and of a prediction of it."""
    field = load_example()
    guess = load_pretrained(list_pretrained()[0]).predict(field.structure, grid=field.grid, progress=False)
    found = analysis.compare(field, guess, topology=True)
    return view_page(field, guess, found, names=("ELFCAR.dft", "ELFCAR.ml"))


def keep(browser: Browser, name: str, element: str) -> None:
    """A picture of the window from an element on, with few colours."""
    browser.run(f"document.getElementById('{element}').scrollIntoView()")
    taken = Image.open(io.BytesIO(browser.screenshot(Path(FOLDER or "") / f"{name}.png")))
    few = taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(Path(FOLDER or "") / f"{name}.png", optimize=True)
