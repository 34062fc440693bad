"""``elfzoo view``, and the page that it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from elfzoo import Field, analysis
from elfzoo.errors import ElfzooError
from elfzoo.examples import example_path, load_example
from elfzoo.site import view_page
from tests.cli.conftest import error_line
from tests.site.records import Page

Run = Callable[..., Result]


def scene(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.S)[1])


@pytest.fixture
def pair() -> tuple[Field, Field]:
    """The example, and a field that is wrong by a wave."""
    reference = load_example()
    x = 2 * np.pi * np.arange(reference.grid.shape[0]) / reference.grid.shape[0]
    wrong = np.clip(reference.values + 0.05 * np.cos(x)[:, None, None], 0, 1)
    return reference, reference.replace(values=wrong)


def test_one_field_in_one_file(elfzoo: Run) -> None:
    result = elfzoo("view", example_path())
    assert (result.exit_code, result.stdout) == (0, "wrote view.html\n"), result.output
    html = Path("view.html").read_text()
    networking = analysis.networking(load_example())
    assert scene(html)["phi"] == scene(html)["isovalue"] == networking.phi
    table = Page(html).tables["networking"]
    assert [cell["text"] for cell in table[1]][2] == f"{networking.phi:.4f}"
    assert html.count("elfzoo.add(") == 1 and len(html) < 1e6
    assert [link for link in Page(html).links if link != ("link", "data:,")] == []


def test_two_fields_and_the_numbers_of_compare(elfzoo: Run, pair: tuple[Field, Field]) -> None:
    pair[0].write("dft.npz")
    pair[1].write("ml.cube")
    result = elfzoo("view", "dft.npz", "--compare", "ml.cube", "-o", "both.html", "--no-topology")
    assert result.exit_code == 0, result.output
    html = Path("both.html").read_text()
    assert "dft.npz" in html and "ml.cube" in html and html.count("elfzoo.add(") == 2
    found = json.loads(elfzoo("compare", "dft.npz", "ml.cube", "--no-topology", "--json", "-").stdout)
    table = {line[0]["text"]: [cell["text"] for cell in line[1:]] for line in Page(html).tables["errors"][1:]}
    assert table["MAE"] == [f"{found[kind]['mae']:.5f}" for kind in ("all_voxels", "elf_stratified")]
    assert scene(html)["phi"] is None and scene(html)["level"] == pytest.approx(2 * found["all_voxels"]["rmse"])


def test_topology_of_both(pair: tuple[Field, Field]) -> None:
    found = analysis.compare(*pair, topology=True)
    page = Page(view_page(*pair, comparison=found))
    phi = [line[3]["text"] for line in page.tables["networking"][1:]]
    assert phi[0] == f"{found.topology.reference['phi_3d']:.4f}"
    assert phi[1].startswith(f"{found.topology.prediction['phi_3d']:.4f} (")
    assert [cell["text"] for cell in page.tables["points"][-1]][:2] == [
        "all",
        str(found.topology.points["all"].reference),
    ]


def test_names_of_files_are_text(pair: tuple[Field, Field]) -> None:
    html = view_page(*pair, names=("</script><script>alert(1)</script>", "<b>"))
    assert "<script>alert" not in html and "<b>" not in html


def test_a_density_has_its_own_range_and_no_networking_value(elfzoo: Run, pair: tuple[Field, Field]) -> None:
    pair[0].replace(quantity="density", values=3 * pair[0].values).write("density.npz")
    result = elfzoo("view", "density.npz")
    assert result.exit_code == 0 and "no networking values: no ELF" in result.stderr
    found = scene(Path("view.html").read_text())
    assert found["quantity"] == "electron density, e/Å³" and found["high"] > 2 and found["phi"] is None
    assert elfzoo("view", "density.npz", "--no-topology").stderr == ""


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (("nowhere.npz",), "no such field file: nowhere.npz"),
        (("a.npz", "-o", "view.png"), "ends in .html; got view.png"),
        (("a.npz", "-o", "missing/view.html"), "cannot write missing/view.html"),
        (("a.npz", "--isovalue", "1.5", "--no-topology"), "an isovalue of 1.5; expected one from 0 to 1"),
        (("a.npz", "--compare", "coarse.npz", "--no-topology"), "(--resample)"),
        (("a.npz", "--compare", "density.npz", "--no-topology"), "quantity"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    elfzoo: Run,
    pair: tuple[Field, Field],
    call: tuple[str, ...],
    part: str,
) -> None:
    pair[0].write("a.npz")
    pair[0].replace(values=pair[0].values[::2, ::2, ::2]).write("coarse.npz")
    pair[0].replace(quantity="density").write("density.npz")
    assert part in error_line(elfzoo("view", *call))
    assert not list(Path().glob("**/*.html"))


def test_other_grids_are_shown_when_asked_for(elfzoo: Run, pair: tuple[Field, Field]) -> None:
    pair[0].write("a.npz")
    pair[1].replace(values=pair[1].values[::2, ::2, ::2]).write("coarse.npz")
    result = elfzoo("view", "a.npz", "--compare", "coarse.npz", "--resample", "--no-topology")
    assert result.exit_code == 0 and "points, resampled" in Path("view.html").read_text()


def test_an_isovalue_may_be_chosen(pair: tuple[Field, Field]) -> None:
    assert scene(view_page(pair[0], isovalue=0.75))["isovalue"] == 0.75
    with pytest.raises(ElfzooError, match="expected one from 0 to 1"):
        view_page(pair[0], isovalue=-0.1)


def test_help_teaches(elfzoo: Run) -> None:
    text = elfzoo("view", "--help").stdout
    assert "Example" in text and "elfzoo view ELFCAR.dft --compare ELFCAR.ml" in text and "arrow keys" in text


def test_the_leaderboard_is_a_page(elfzoo: Run, crystals: Path) -> None:
    call = ("leaderboard", "--results", crystals / "results", "-t", crystals / "tiny.yaml", "--work", crystals / "work")
    result = elfzoo(*call, "--format", "html")
    assert (result.exit_code, result.stdout) == (0, "wrote site/index.html\n"), result.output
    assert Path("site/index.html").read_bytes() == (crystals / "site/index.html").read_bytes()
    Path("mine").mkdir()
    Path("mine/notes").touch()
    assert "no page of elfzoo's" in error_line(elfzoo(*call, "--format", "html", "-o", "mine"))
