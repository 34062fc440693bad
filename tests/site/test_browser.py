"""The pages in real Chromium: they render, sort, turn, can be read by everyone, and ask for nothing from outside.

``ELFZOO_SCREENSHOTS=folder`` keeps the pictures that are taken on the way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from elfzoo import analysis
from elfzoo.examples import load_example
from elfzoo.site import view_page
from tests.site.browser import Browser, find_chromium

LAPTOP, PHONE = (1280, 800), (390, 844)
PROBE = (Path(__file__).parent / "probe.js").read_text()
CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)")

READY = "document.querySelector('.viewer').dataset.state !== 'loading' && {shown}.every(p => p.dataset.triangles)"
SHOWN = "[...document.querySelectorAll('.panel')].filter(p => p.querySelector('.stage').offsetWidth)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(str(CHROMIUM), tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = os.environ.get("ELFZOO_SCREENSHOTS")
    return Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the example beside a field that is wrong by a wave."""
    field = load_example()
    x = 2 * np.pi * np.arange(field.grid.shape[0]) / field.grid.shape[0]
    wrong = field.replace(values=np.clip(field.values + 0.05 * np.cos(x)[:, None, None], 0, 1))
    path = tmp_path_factory.mktemp("view") / "view.html"
    path.write_text(view_page(field, wrong, analysis.compare(field, wrong), analysis.networking(field).to_dict()))
    return path


def look(browser: Browser, page: Path, size: tuple[int, int], dark: bool = False) -> None:
    """Open a page and wait until it is drawn."""
    browser.open(page, *size, dark=dark)
    browser.run(PROBE)
    if browser.run("!!document.querySelector('.viewer')"):
        browser.wait(READY.format(shown=SHOWN))
        assert browser.run("document.querySelector('.viewer').dataset.state") == "ready"


def column(browser: Browser, table: str, number: int) -> list[str]:
    return browser.run(f"[...document.querySelectorAll('#{table} tbody tr')].map(r => r.cells[{number}].dataset.value)")


def require_calm(browser: Browser) -> None:
    """Nothing in the console, no address but files on this disk."""
    assert browser.complaints == []
    assert [address for address in browser.requests if not address.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.parametrize(("size", "dark"), [(LAPTOP, False), (PHONE, False), (LAPTOP, True), (PHONE, True)])
def test_pages_render_and_can_be_read(
    browser: Browser, site: Path, crystals: Path, pictures: Path, size: tuple[int, int], dark: bool
) -> None:
    structure = next(iter(sorted((crystals / "site/structures/tiny").iterdir())))
    pages = {"index": site / "index.html", "model": site / "models/good.html", "structure": structure}
    for name, page in pages.items():
        look(browser, page, size, dark)
        assert browser.run("document.documentElement.scrollWidth") <= size[0], f"{name} is wider than the window"
        assert browser.run("probe.faint()") == []
        assert browser.run("probe.nameless()") == []
        kind = f"{'laptop' if size == LAPTOP else 'phone'}{'-dark' * dark}"
        assert browser.screenshot(pictures / f"{name}-{kind}.png").startswith(b"\x89PNG")
        require_calm(browser)


def test_a_click_sorts_and_a_second_one_turns_the_order(browser: Browser, site: Path, made_up: list[dict]) -> None:
    look(browser, site / "index.html", LAPTOP)
    button = "#board-crystals thead th:nth-child(4) button"  # R²: better when higher
    speeds = {r["model"]: r["metrics"]["r2"] for r in made_up if r["task"] == "crystals"}
    for order in ("descending", "ascending"):
        browser.click(button)
        head = browser.run(f"document.querySelector({json.dumps(button)}).closest('th').getAttribute('aria-sort')")
        assert head == order
        expected = sorted(speeds, key=speeds.__getitem__, reverse=order == "descending")
        assert column(browser, "board-crystals", 0) == expected
        assert browser.run("document.querySelectorAll('#board-crystals [aria-sort]').length") == 1
        assert order in browser.run("document.querySelector('[role=status]:not(:empty)').textContent")
    require_calm(browser)


def test_a_key_sorts_and_missing_values_stay_last(browser: Browser, site: Path) -> None:
    look(browser, site / "index.html", LAPTOP)
    heads = browser.run("[...document.querySelectorAll('#board-crystals thead th')].map(h => h.textContent.trim())")
    place = heads.index("parameters")
    browser.run(f"document.querySelectorAll('#board-crystals thead button')[{place}].focus()")
    for _ in range(2):
        browser.press("Enter", 13)
        assert column(browser, "board-crystals", place)[-1] == ""
    browser.run("document.querySelector('#board-crystals thead button').focus()")
    browser.press("Enter", 13)
    assert column(browser, "board-crystals", 0) == ["fair", "floor.mean", "good"]


def test_the_first_key_leads_to_the_content(browser: Browser, site: Path) -> None:
    look(browser, site / "index.html", LAPTOP)
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("getComputedStyle(document.activeElement).clipPath") == "none"
    browser.press("Enter", 13)
    browser.wait("document.activeElement.id === 'main'")
    browser.press("Tab", 9)
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_surfaces_are_where_the_field_has_the_isovalue(browser: Browser, view: Path) -> None:
    """A field whose surfaces are known, in a skewed cell: places, normals, volume and closedness of the meshes."""
    look(browser, view, LAPTOP)
    n, isovalue = 24, 0.4
    x = np.cos(2 * np.pi * np.arange(96) / 96)
    share = float((x[:, None, None] + x[:, None] + x >= isovalue).mean())
    found = browser.run(f"probe.waves({n}, {isovalue})")
    assert found["off"] < 0.03 and found["turned"] < 0.01  # the field spans 6; boxes have edges of 1/24
    assert found["share"] == pytest.approx(share, abs=0.003)
    assert found["outside"] < 1e-6 and found["wrong"] < 1e-12


def test_the_viewer_shows_what_the_fields_hold(browser: Browser, view: Path) -> None:
    look(browser, view, LAPTOP)
    held = browser.run("elfzoo.fields.reference.then(f => [f.shape, f.values[1], f.values.at(-1)])")
    field = load_example()
    assert held[0] == list(field.grid.shape)
    assert held[1:] == pytest.approx([field.values.flat[1], field.values.flat[-1]], abs=1.3e-4)
    for panel in ("reference", "prediction", "residual"):
        browser.wait(f"probe.colours('[data-shows={panel}]') > 50")
    isovalue = float(browser.run("document.querySelector('[data-output=isovalue]').textContent"))
    told = browser.run("document.querySelector('[data-shows=reference] [data-volume]').textContent")
    assert float(told.split(" %")[0]) == pytest.approx(100 * (field.values >= isovalue).mean(), abs=0.2)
    require_calm(browser)


def test_sliders_keys_and_buttons_move_all_pictures(browser: Browser, view: Path, pictures: Path) -> None:
    look(browser, view, LAPTOP)
    picture = "document.querySelector('[data-shows={}] canvas').toDataURL()"
    triangles = "document.querySelector('[data-shows=prediction]').dataset.triangles"
    before = {name: browser.run(picture.format(name)) for name in ("reference", "residual")}
    browser.run("document.querySelector('[data-shows=prediction] .stage').focus()")
    browser.press("ArrowRight", 39)
    for name, image in before.items():
        browser.wait(f"{picture.format(name)} !== {json.dumps(image)}")
    browser.press("0", 48)
    browser.wait(f"{picture.format('reference')} === {json.dumps(before['reference'])}")
    browser.click("[data-key=ArrowUp]")
    browser.wait(f"{picture.format('reference')} !== {json.dumps(before['reference'])}")
    count = browser.run(triangles)
    browser.run("document.querySelector('[data-control=isovalue]').focus()")
    browser.press("ArrowRight", 39)
    browser.wait(f"{triangles} !== {json.dumps(count)}")
    browser.click("[data-control=phi]")
    browser.wait(f"{triangles} === {json.dumps(count)}")
    browser.screenshot(pictures / "view-laptop.png")
    require_calm(browser)


def test_a_phone_shows_one_picture_at_a_time(browser: Browser, view: Path, pictures: Path) -> None:
    look(browser, view, PHONE)
    for name in ("residual", "prediction", "reference"):
        browser.click(f".tabs label:has([value={name}])")
        browser.wait(f"{SHOWN}.map(p => p.dataset.shows).join() === '{name}'")
        browser.wait(f"probe.colours('[data-shows={name}]') > 50")
    browser.screenshot(pictures / "view-phone.png")
    require_calm(browser)


def test_another_prediction_is_fetched_when_it_is_chosen(browser: Browser, crystals: Path) -> None:
    look(browser, next(iter(sorted((crystals / "site/structures/tiny").iterdir()))), LAPTOP)
    keys = browser.run("[...document.querySelectorAll('[data-control=prediction] option')].map(o => o.value)")
    shown, other = (key.removeprefix("prediction:") for key in keys)
    assert browser.run("document.querySelector('[data-name]').textContent") == shown
    assert not any(other in address for address in browser.requests)
    told = "document.querySelector('[data-shows=residual] [data-volume]').textContent"
    before = browser.run(told)
    browser.run("document.querySelector('[data-control=prediction]').focus()")
    browser.press("ArrowDown", 40)
    browser.wait(f"{told} !== {json.dumps(before)}")
    assert browser.run("document.querySelector('[data-name]').textContent") == other
    assert any(other in address for address in browser.requests)
    require_calm(browser)


def test_a_missing_field_is_said(browser: Browser, crystals: Path, tmp_path: Path) -> None:
    page = next(iter(sorted((crystals / "site/structures/tiny").iterdir())))
    text = page.read_text().replace("../../fields", "nowhere").replace("../../static", str(crystals / "site/static"))
    (tmp_path / "page.html").write_text(text)
    browser.open(tmp_path / "page.html", *LAPTOP)
    browser.wait("document.querySelector('.viewer').dataset.state === 'failed'")
    assert "reference.js is missing" in browser.run("document.querySelector('[data-message]').textContent")
