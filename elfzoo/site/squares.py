"""Charts of predictions against references, the same numbers on both axes: points, and cells of counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from elfzoo.site.frame import LEFT, SPACE, Axis, Frame, legend, square_of, svg, text, width_of
from elfzoo.site.scales import RAISED

__all__ = ["Parity", "cells", "parity"]

FAINTEST = 0.12  # opacity of the cells with the fewest counts
SWATCH = 11


@dataclass(frozen=True)
class Parity:
    """A named pair of what is right and what is predicted."""

    name: str
    reference: float
    prediction: float


def parity(title: str, summary: str, x: Axis, y: Axis, pairs: Sequence[Parity]) -> Markup:
    """Predictions against references, with the identity line and the mean of the references."""
    frame = square_of(x, y, [v for pair in pairs for v in (pair.reference, pair.prediction)])
    mean = frame.upward(math.fsum(pair.reference for pair in pairs) / len(pairs))
    strokes, _ = legend([("quiet", "identity"), ("dashed", "mean of the references")])
    parts = [*frame.parts(), _identity(frame)]
    parts.append(f'<path class="curve dashed" d="M{frame.across.start} {mean:.1f}H{frame.across.end}"/>')
    for pair in pairs:
        told = f"{pair.name}: reference {pair.reference:.4f}, prediction {pair.prediction:.4f}"
        place = f'cx="{frame.across(pair.reference):.1f}" cy="{frame.upward(pair.prediction):.1f}"'
        parts.append(f'<circle class="point" {place} r="3.5"><title>{escape(told)}</title></circle>')
    return svg("img", f"{title}. {summary}", [*parts, *strokes], frame.height)


def cells(title: str, summary: str, x: Axis, y: Axis, counts: Sequence[Sequence[int]]) -> Markup:
    """Counts by bins of the reference (rows) and the prediction (columns) on [0, 1]: a shade for each power of ten."""
    frame = square_of(x, y, [0.0, 1.0])
    powers = {(i, j): _power(n) for i, row in enumerate(counts) for j, n in enumerate(row) if n > 0}
    shades = sorted(set(powers.values()))
    opacity = {p: FAINTEST + (1 - FAINTEST) * (p + 1 - shades[0]) / (shades[-1] + 1 - shades[0]) for p in shades}
    parts = []
    for power in shades:
        where = "".join(_cell(frame, i, j, len(counts)) for (i, j), p in powers.items() if p == power)
        parts.append(f'<path class="cell" fill-opacity="{opacity[power]:.2f}" d="{where}"/>')
    drawn = [*frame.parts(), *parts, *_shades(opacity), _identity(frame)]
    return svg("img", f"{title}. {summary}", drawn, frame.height)


def _identity(frame: Frame) -> str:
    across, upward = frame.across, frame.upward
    return f'<path class="curve quiet" d="M{across.start} {upward.start}L{across.end} {upward.end}"/>'


def _cell(frame: Frame, i: int, j: int, bins: int) -> str:
    left, right = (frame.across(k / bins) for k in (i, i + 1))
    low, high = (frame.upward(k / bins) for k in (j, j + 1))
    return f"M{left:.1f} {low:.1f}H{right:.1f}V{high:.1f}H{left:.1f}Z"


def _shades(opacity: dict[int, float]) -> list[str]:
    """A legend: from which count on a shade is used."""
    found, place = [text(LEFT, 18, "voxels:")], LEFT + width_of("voxels:") + 6
    for power, shade in opacity.items():
        name = f"{10**power}" if power < 4 else "10" + str(power).translate(RAISED)
        box = f'x="{place:.1f}" y="{18 - SWATCH + 1}" width="{SWATCH}" height="{SWATCH}"'
        found += [f'<rect class="cell" fill-opacity="{shade:.2f}" {box}/>', text(place + SWATCH + 4, 18, name)]
        place += SWATCH + 4 + width_of(name) + SPACE / 2
    return found


def _power(count: int) -> int:
    """Of ten, the highest that is not more than a count."""
    return len(str(count)) - 1
