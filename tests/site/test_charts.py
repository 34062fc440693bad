"""Charts: numbers are where the axes say."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfzoo.site.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Dot, Line, bars, dots, lines
from elfzoo.site.scales import scale_of
from elfzoo.site.text import number, slug

values = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=8)
positive = st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=8)


@given(values, st.booleans())
def test_linear_axes_hold_all_values_between_round_ends(known: list[float], zero: bool) -> None:
    scale = scale_of(known, 10, 110, zero=zero)
    assert 2 <= len(scale.ticks) <= 12 and list(scale.ticks) == sorted(scale.ticks)
    assert all(10 - 1e-6 <= scale(value) <= 110 + 1e-6 for value in known)
    assert not zero or scale.ticks[0] <= 0


@given(positive)
def test_logarithmic_axes_hold_all_values(known: list[float]) -> None:
    scale = scale_of(known, 100, 0, log=True)
    assert 2 <= len(scale.ticks) <= 12
    assert all(-1e-6 <= scale(value) <= 100 + 1e-6 for value in known)
    assert scale(math.sqrt(scale.ticks[0] * scale.ticks[-1])) == pytest.approx(50)


def test_what_has_no_place_is_left_out() -> None:
    scale = scale_of([None, math.nan, 0.0, 5.0], 0, 1, log=True)
    assert not scale.holds(None) and not scale.holds(math.nan) and not scale.holds(0.0) and scale.holds(5.0)


def test_labels_of_ticks() -> None:
    powers = scale_of([1e-7, 1e5], 0, 1, log=True)
    assert [powers.label(tick) for tick in (1e-7, 0.1, 1e4, 2e5)] == ["10⁻⁷", "0.1", "10⁴", "2·10⁵"]
    assert scale_of([0.75, 45], 0, 1, log=True).ticks == (0.5, 1, 2, 5, 10, 20, 50)
    assert scale_of([-1, 1], 0, 1).label(-0.5) == "−0.5"


def test_curves_pass_through_their_points_and_stop_at_gaps() -> None:
    svg = lines("t", "s", Axis("x", zero=True), Axis("y", zero=True), [Line("a", [0, 1, 2, 3], [0, 1, None, 2])])
    path = re.search(r'class="curve main" d="(M.*?)"', svg)[1]
    strokes = [[tuple(map(float, p.split())) for p in stroke.split("L")] for stroke in path.split("M")[1:]]
    across, upward = (
        scale_of([0, 1, 3], LEFT, WIDTH - RIGHT, zero=True),
        scale_of([0, 1, 2], HEIGHT - BOTTOM, TOP, zero=True),
    )
    expected = [[(across(x), upward(y)) for x, y in run] for run in ([(0, 0), (1, 1)], [(3, 2), (3, 2)])]
    assert strokes == [[pytest.approx(p, abs=0.06) for p in run] for run in expected]


def test_dots_lead_to_pages_and_their_names_stay_apart() -> None:
    points = [Dot("a & b", 1e5, 0.01, "models/a.html"), Dot("c", 1e5, 0.01, "models/c.html", "floor")]
    svg = dots("t", "s", Axis("x", log=True), Axis("y", log=True), points)
    assert 'href="models/a.html"' in svg and "a &amp; b" in svg and 'class="dot floor"' in svg
    heights = [float(y) for y in re.findall(r'<text x="[\d.]+" y="([\d.]+)" text-anchor="(?:start|end)">(?:a|c)', svg)]
    assert abs(heights[0] - heights[1]) >= 13


def test_bars_are_as_long_as_their_shares() -> None:
    widths = [
        float(w)
        for w in re.findall(r'class="bar".*?width="([\d.]+)"', bars("t", "s", [("a", 0.5, ""), ("b", 0.25, "")]))
    ]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.1)


def test_numbers_and_names() -> None:
    assert [number(v) for v in (None, math.nan, -0.00001, -0.5, 1 / 3)] == ["–", "–", "0.0000", "−0.5000", "0.3333"]
    assert slug("grid_mlp.smooth-h-v2") == "grid_mlp.smooth-h-v2"
    assert slug("../a b") == "~2e.~2fa~20b" and slug("é") == "~c3~a9"


@given(st.text(), st.text())
def test_different_names_have_different_files(first: str, second: str) -> None:
    assert (slug(first) == slug(second)) == (first == second)
    assert not set(slug(first)) & set("/\\<>&\"'? %#:") and not slug(first).startswith(".")
