"""Charts: numbers are where the axes say."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elfzoo.site.charts import Dot, Line, bars, dots, lines
from elfzoo.site.frame import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, width_of
from elfzoo.site.labels import RADIUS, labels
from elfzoo.site.scales import scale_of
from elfzoo.site.squares import Parity, cells, parity
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
    assert scale_of([0.016, 0.029], 0, 1, log=True).ticks == (0.015, 0.02, 0.03)
    near = scale_of([1.6e5, 2.5e5], 0, 1, log=True)
    assert [near.label(tick) for tick in near.ticks] == ["1.5·10⁵", "2·10⁵", "3·10⁵"]
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


def test_error_bars_are_as_long_as_the_spread() -> None:
    curve = Line("a", [1, 2, 4], [0.03, None, 0.02], "second", [0.01, 0.5, None])
    svg = lines("t", "s", Axis("x", log=True), Axis("y", zero=True), [curve])
    across, upward = scale_of([1, 4], LEFT, WIDTH - RIGHT, log=True), scale_of([0, 0.04], HEIGHT - BOTTOM, TOP)
    marks = re.findall(r'<circle class="mark second" cx="([\d.]+)" cy="([\d.]+)"', svg)
    expected = [(across(1), upward(0.03)), (across(4), upward(0.02))]
    assert [tuple(map(float, mark)) for mark in marks] == [pytest.approx(place, abs=0.06) for place in expected]
    (whisker,) = re.findall(r'class="whisker second" d="M([\d.]+) ([\d.]+)V([\d.]+)"', svg)
    assert list(map(float, whisker)) == pytest.approx([across(1), upward(0.02), upward(0.04)], abs=0.06)
    low = lines("t", "s", Axis("x"), Axis("y", log=True), [Line("a", [1], [0.1], "main", [0.2])])
    (foot,) = re.findall(r'class="whisker main" d="M[\d.]+ ([\d.]+)V', low)
    assert float(foot) == HEIGHT - BOTTOM  # below 0 there is no place


def test_a_long_legend_takes_more_rows() -> None:
    curves = [Line(name, [0, 1], [0, 1]) for name in ("a" * 25, "b" * 25, "c" * 25)]
    svg = lines("t", "s", Axis("x"), Axis("y"), curves)
    names = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="start">([abc]+)</text>', svg)
    assert [height for _, height, _ in names] == ["18.0", "32.0", "46.0"]
    assert all(float(x) + width_of(name) <= WIDTH for x, _, name in names)
    assert f'viewBox="0 0 {WIDTH} {HEIGHT + 28}"' in svg
    assert min(float(y) for y in re.findall(r'class="(?:grid|zero)" d="M[\d.]+ ([\d.]+)H', svg)) == TOP + 28


@given(
    st.lists(st.tuples(st.floats(LEFT, WIDTH), st.floats(TOP, HEIGHT - BOTTOM), st.text("abc", min_size=1)), max_size=9)
)
def test_names_cover_neither_points_nor_names(points: list[tuple[float, float, str]]) -> None:
    room = (LEFT, TOP - 10, WIDTH, HEIGHT - BOTTOM)
    boxes = []
    for (x, y, name), label in zip(points, labels(points, room), strict=True):
        if label is None:
            continue
        left = label.x - {"start": 0, "middle": 0.5, "end": 1}[label.anchor] * width_of(name)
        box = (left, label.y - 7, left + width_of(name), label.y + 7)
        assert room[0] <= box[0] and room[1] <= box[1] and box[2] <= room[2] and box[3] <= room[3]
        others = [*boxes, *((a - RADIUS, b - RADIUS, a + RADIUS, b + RADIUS) for a, b, _ in points if (a, b) != (x, y))]
        for other in others:
            across = min(box[2], other[2]) - max(box[0], other[0])
            upward = min(box[3], other[3]) - max(box[1], other[1])
            assert min(across, upward) <= 1e-9
        boxes.append(box)


def test_a_name_that_has_room_is_beside_its_point() -> None:
    (alone,) = labels([(200.0, 100.0, "abc")], (0, 0, 400, 200))
    assert alone is not None and (alone.y, alone.anchor) == (100.0, "start")
    (edge,) = labels([(380.0, 100.0, "abc")], (0, 0, 400, 200))
    assert edge is not None and (edge.y, edge.anchor) == (100.0, "end")


def test_predictions_lie_on_the_identity_line_where_they_are_right() -> None:
    pairs = [Parity("a<b", 0.25, 0.25), Parity("c", 0.35, 0.6), Parity("d", 0.9, 0.8)]
    svg = parity("t", "s", Axis("x"), Axis("y"), pairs)
    across = scale_of([0.25, 0.9], LEFT, WIDTH - RIGHT)
    side = WIDTH - RIGHT - LEFT
    upward = scale_of([0.25, 0.9], TOP + side, TOP)
    found = re.findall(r'<circle class="point" cx="([\d.]+)" cy="([\d.]+)" r="3.5"><title>(.*?)</title>', svg)
    places = [(across(p.reference), upward(p.prediction)) for p in pairs]
    assert [(float(x), float(y)) for x, y, _ in found] == [pytest.approx(place, abs=0.06) for place in places]
    assert [told for *_, told in found][:2] == [
        "a&lt;b: reference 0.2500, prediction 0.2500",
        "c: reference 0.3500, prediction 0.6000",
    ]
    line = re.search(r'class="curve quiet" d="M(\d+) (\d+)L(\d+) (\d+)"', svg)
    assert line is not None and list(map(int, line.groups())) == [LEFT, TOP + side, WIDTH - RIGHT, TOP]
    dashed = re.findall(r'class="curve dashed" d="M\d+ ([\d.]+)H', svg)
    assert float(dashed[0]) == pytest.approx(upward(0.5), abs=0.06)


def test_every_count_has_its_cell_and_its_shade() -> None:
    counts = [[1, 0, 12], [0, 99, 0], [1000, 0, 9]]
    svg = cells("t", "s", Axis("x"), Axis("y"), counts)
    paths = re.findall(r'<path class="cell" fill-opacity="([\d.]+)" d="(.*?)"/>', svg)
    side, found = (WIDTH - RIGHT - LEFT) / 3, {}
    for shade, path in paths:
        for left, low, right, high in re.findall(r"M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)H[\d.]+Z", path):
            assert float(right) - float(left) == pytest.approx(side, abs=0.11)
            assert float(low) - float(high) == pytest.approx(side, abs=0.11)
            place = round((float(left) - LEFT) / side), round((TOP + 3 * side - float(low)) / side)
            assert place not in found
            found[place] = float(shade)
    shades = sorted(set(found.values()))
    assert len(shades) == 3 and shades[-1] == 1.0
    expected = {(0, 0): 0, (0, 2): 1, (1, 1): 1, (2, 0): 2, (2, 2): 0}  # reference, prediction: power of ten
    assert found == {place: shades[power] for place, power in expected.items()}
    assert re.findall(r">(\d+)</text>", svg[svg.index("voxels:") :]) == ["1", "10", "1000"]


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
    assert slug("grid_mlp.smooth-h-v3") == "grid_mlp.smooth-h-v3"
    assert slug("../a b") == "~2e.~2fa~20b" and slug("é") == "~c3~a9"


@given(st.text(), st.text())
def test_different_names_have_different_files(first: str, second: str) -> None:
    assert (slug(first) == slug(second)) == (first == second)
    assert not set(slug(first)) & set("/\\<>&\"'? %#:") and not slug(first).startswith(".")
