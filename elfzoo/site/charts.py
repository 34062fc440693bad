"""Charts as inline SVG: lines, dots and bars, coloured by the style sheet and readable without seeing them.

Every chart has a title and a summary for screen readers; the pages put the same numbers into a table below.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup, escape

from elfzoo.site.scales import Scale, scale_of

__all__ = ["Axis", "Dot", "Line", "bars", "dots", "lines"]

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 20, 30, 46
LETTER, LINE = 6.6, 14  # about, of the width of a letter and the height of a line
BAR, GAP = 22, 12


@dataclass(frozen=True)
class Axis:
    """What an axis says; with ``zero`` it begins at or below 0."""

    label: str
    log: bool = False
    zero: bool = False


@dataclass(frozen=True)
class Line:
    """A curve; ``kind`` is a class of the style sheet: ``main``, ``quiet`` or ``dashed``. None is a gap."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    kind: str = "main"


@dataclass(frozen=True)
class Dot:
    """A named point that leads somewhere; ``kind`` is ``main`` or ``floor``."""

    name: str
    x: float
    y: float
    href: str
    kind: str = "main"


def lines(title: str, summary: str, x: Axis, y: Axis, curves: Sequence[Line]) -> Markup:
    """Curves over a common axis, with a legend above them."""
    across = _across([v for curve in curves for v, w in zip(curve.x, curve.y, strict=True) if w is not None], x)
    upward = _upward([v for curve in curves for v in curve.y], y)
    parts, place = _frame(across, upward, x, y), float(LEFT)
    for curve in curves:
        parts += [f'<path class="curve {curve.kind}" d="{_path(curve, across, upward)}"/>']
        parts += [f'<path class="curve {curve.kind}" d="M{place:.1f} 14h18"/>', _text(place + 23, 18, curve.name)]
        place += 23 + LETTER * len(curve.name) + 16
    return _svg("img", f"{title}. {summary}", parts)


def dots(title: str, summary: str, x: Axis, y: Axis, points: Sequence[Dot]) -> Markup:
    """Named points, each a link."""
    across, upward = _across([p.x for p in points], x), _upward([p.y for p in points], y)
    parts = _frame(across, upward, x, y)
    for point, height in _labelled(points, upward):
        px, py = across(point.x), upward(point.y)
        right = px + LETTER * len(point.name) + 10 < WIDTH
        label = _text(px + 9 if right else px - 9, height + 4, point.name, "start" if right else "end")
        told = f"{point.name}: {x.label} {point.x:g}, {y.label} {point.y:g}"
        parts.append(
            f'<a href="{escape(point.href)}" class="dot {point.kind}"><title>{escape(told)}</title>'
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="5"/>{label}</a>'
        )
    return _svg("group", f"{title}. {summary}", parts)  # an image would hide its links


def bars(title: str, summary: str, shares: Sequence[tuple[str, float, str]]) -> Markup:
    """Horizontal bars of shares of 1: (name, share, what is written behind the bar)."""
    room = WIDTH - LEFT - RIGHT - 60
    parts = []
    for i, (name, share, text) in enumerate(shares):
        top, length = 8 + i * (BAR + GAP), room * max(share, 0.0)
        parts.append(_text(LEFT + 20, top + 15, name, "end"))
        parts.append(f'<rect class="bar" x="{LEFT + 28}" y="{top}" width="{length:.1f}" height="{BAR}"/>')
        parts.append(_text(LEFT + 36 + length, top + 15, text))
    return _svg("img", f"{title}. {summary}", parts, 8 + len(shares) * (BAR + GAP))


def _across(values: Iterable[float | None], axis: Axis) -> Scale:
    return scale_of(values, LEFT, WIDTH - RIGHT, axis.log, axis.zero)


def _upward(values: Iterable[float | None], axis: Axis) -> Scale:
    return scale_of(values, HEIGHT - BOTTOM, TOP, axis.log, axis.zero)


def _frame(across: Scale, upward: Scale, x: Axis, y: Axis) -> list[str]:
    """Grid lines, ticks and labels of both axes."""
    low, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in upward.ticks:
        line = "zero" if tick == 0 else "grid"
        parts.append(f'<path class="{line}" d="M{LEFT} {upward(tick):.1f}H{right}"/>')
        parts.append(_text(LEFT - 7, upward(tick) + 4, upward.label(tick), "end"))
    for tick in across.ticks:
        parts.append(f'<path class="tick" d="M{across(tick):.1f} {low}v5"/>')
        parts.append(_text(across(tick), low + 19, across.label(tick), "middle"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 6, x.label, "middle"))
    middle = (low + TOP) / 2
    parts.append(
        f'<text class="label" transform="translate(13 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.label)}</text>"
    )
    return parts


def _path(curve: Line, across: Scale, upward: Scale) -> str:
    """One stroke for each run of points that have a place."""
    pairs = list(zip(curve.x, curve.y, strict=True))
    found = []
    for there, run in groupby(pairs, key=lambda pair: across.holds(pair[0]) and upward.holds(pair[1])):
        if there:
            places = [f"{across(a):.1f} {upward(b):.1f}" for a, b in run if b is not None]
            found.append("M" + "L".join(places if len(places) > 1 else places * 2))  # a point alone is a round cap
    return "".join(found)


def _labelled(points: Sequence[Dot], upward: Scale) -> list[tuple[Dot, float]]:
    """The points from the top, with heights for their names that keep a line apart."""
    found: list[tuple[Dot, float]] = []
    for point in sorted(points, key=lambda p: upward(p.y)):
        lowest = found[-1][1] + LINE if found else 0.0
        found.append((point, max(upward(point.y), lowest)))
    return found


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(role: str, told: str, parts: Sequence[str], height: int = HEIGHT) -> Markup:
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="{role}" aria-label="{escape(told)}">'
    return Markup(head + "".join(parts) + "</svg>")
