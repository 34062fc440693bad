"""Charts as inline SVG: lines, dots and bars, coloured by the style sheet and readable without seeing them.

Every chart has a title and a summary for screen readers; the pages put the same numbers into a table below. Charts as
high as wide are in :mod:`elfzoo.site.squares`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup, escape

from elfzoo.site.frame import LEFT, RIGHT, WIDTH, Axis, Frame, frame_of, legend, svg, text
from elfzoo.site.labels import labels

__all__ = ["Dot", "Line", "bars", "dots", "lines"]

BAR, GAP = 22, 12
NAME, VALUE = 28, 60  # room for the names before bars, beside that of an axis, and for what is written behind them


@dataclass(frozen=True)
class Line:
    """A curve.

    Args:
        name: in the legend.
        x, y: numbers; None is a gap.
        kind: class of the style sheet: ``main``, ``second``, ``third``, ``quiet`` or ``dashed``.
        spread: half lengths of the error bars; with them every number has a mark. None has no bar.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    kind: str = "main"
    spread: Sequence[float | None] | None = None


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
    strokes, rows = legend([(curve.kind, curve.name) for curve in curves])
    known = [(v, w) for curve in curves for v, w in zip(curve.x, curve.y, strict=True) if w is not None]
    ends = [end for curve in curves for _, low, high in _whiskers(curve) for end in (low, high)]
    frame = frame_of(x, [v for v, _ in known], y, [*(w for _, w in known), *ends], rows)
    parts = frame.parts()
    for curve in curves:
        parts += [f'<path class="curve {curve.kind}" d="{_path(curve, frame)}"/>', *_marks(curve, frame)]
    return svg("img", f"{title}. {summary}", [*parts, *strokes], frame.height)


def dots(title: str, summary: str, x: Axis, y: Axis, points: Sequence[Dot]) -> Markup:
    """Named points, each a link."""
    frame = frame_of(x, [p.x for p in points], y, [p.y for p in points])
    places = [(frame.across(p.x), frame.upward(p.y), p.name) for p in points]
    room = (LEFT, frame.upward.end - 10, WIDTH, frame.upward.start)
    parts = frame.parts()
    for point, (px, py, _), label in zip(points, places, labels(places, room), strict=True):
        told = f"{point.name}: {x.label} {point.x:g}, {y.label} {point.y:g}"
        name = "" if label is None else text(label.x, label.y + 4, point.name, label.anchor)
        if label is not None and label.y != py:
            parts.append(f'<path class="leader" d="M{px:.1f} {py:.1f}L{label.x:.1f} {label.y:.1f}"/>')
        parts.append(
            f'<a href="{escape(point.href)}" class="dot {point.kind}"><title>{escape(told)}</title>'
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="5"/>{name}</a>'
        )
    return svg("group", f"{title}. {summary}", parts)  # an image would hide its links


def bars(title: str, summary: str, shares: Sequence[tuple[str, float, str]]) -> Markup:
    """Horizontal bars of shares of 1: (name, share, what is written behind the bar)."""
    start = LEFT + NAME
    room = WIDTH - start - RIGHT - VALUE
    parts = []
    for i, (name, share, written) in enumerate(shares):
        top, length = 8 + i * (BAR + GAP), room * max(share, 0.0)
        parts.append(text(start - 8, top + 15, name, "end"))
        parts.append(f'<rect class="bar" x="{start}" y="{top}" width="{length:.1f}" height="{BAR}"/>')
        parts.append(text(start + 8 + length, top + 15, written))
    return svg("img", f"{title}. {summary}", parts, 8 + len(shares) * (BAR + GAP))


def _path(curve: Line, frame: Frame) -> str:
    """One stroke for each run of points that have a place."""
    across, upward = frame.across, frame.upward
    found = []
    pairs = zip(curve.x, curve.y, strict=True)
    for there, run in groupby(pairs, key=lambda pair: across.holds(pair[0]) and upward.holds(pair[1])):
        if there:
            places = [f"{across(a):.1f} {upward(b):.1f}" for a, b in run if b is not None]
            found.append("M" + "L".join(places if len(places) > 1 else places * 2))  # a point alone is a round cap
    return "".join(found)


def _whiskers(curve: Line) -> Iterator[tuple[float, float, float]]:
    """x and both ends of every error bar."""
    if curve.spread is not None:
        for a, b, half in zip(curve.x, curve.y, curve.spread, strict=True):
            if b is not None and half is not None:
                yield a, b - half, b + half


def _marks(curve: Line, frame: Frame) -> list[str]:
    """A dot at every number, with its error bar; nothing for curves without spreads."""
    if curve.spread is None:
        return []
    across, upward = frame.across, frame.upward
    places = [(across(a), upward(b)) for a, b in zip(curve.x, curve.y, strict=True) if b is not None]
    found = [f'<circle class="mark {curve.kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
    for a, low, high in _whiskers(curve):
        bottom = upward(low) if upward.holds(low) else upward.start  # the foot of a logarithmic axis
        found.append(f'<path class="whisker {curve.kind}" d="M{across(a):.1f} {bottom:.1f}V{upward(high):.1f}"/>')
    return found
