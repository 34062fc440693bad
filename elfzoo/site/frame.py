"""What charts are drawn in: axes with ticks and labels, a legend above them, the SVG around it all, and the figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from elfzoo.site.scales import Scale, scale_of

__all__ = ["Axis", "Figure", "Frame", "Values", "frame_of", "legend", "square_of", "svg", "text", "width_of"]

Values = Iterable[float | None]

WIDTH, HEIGHT = 420, 280
LEFT, RIGHT, TOP, BOTTOM = 58, 18, 32, 46
LETTER, LINE = 6.6, 14  # about, of the width of a letter and the height of a line
STROKE, SPACE = 18, 16  # of a legend: length of the stroke before a name, room after it


@dataclass(frozen=True)
class Axis:
    """What an axis says; with ``zero`` it begins at or below 0."""

    label: str
    log: bool = False
    zero: bool = False


@dataclass(frozen=True)
class Frame:
    """Both axes of a chart, with their places."""

    x: Axis
    y: Axis
    across: Scale
    upward: Scale

    @property
    def height(self) -> float:
        """Of the whole chart."""
        return self.upward.start + BOTTOM

    def parts(self) -> list[str]:
        """Grid lines, ticks and labels of both axes."""
        low, right = self.upward.start, self.across.end
        found = []
        for tick in self.upward.ticks:
            place = self.upward(tick)
            found.append(f'<path class="{"zero" if tick == 0 else "grid"}" d="M{LEFT} {place:.1f}H{right}"/>')
            found.append(text(LEFT - 7, place + 4, self.upward.label(tick), "end"))
        for tick in self.across.ticks:
            found.append(f'<path class="tick" d="M{self.across(tick):.1f} {low}v5"/>')
            found.append(text(self.across(tick), low + 19, self.across.label(tick), "middle"))
        found.append(text((LEFT + right) / 2, self.height - 6, self.x.label, "middle"))
        middle = f"translate(13 {(low + self.upward.end) / 2:.0f}) rotate(-90)"
        found.append(f'<text class="label" transform="{middle}" text-anchor="middle">{escape(self.y.label)}</text>')
        return found


@dataclass(frozen=True)
class Figure:
    """A chart, what is said below it, and its numbers; ``name`` is its own among those of a record."""

    name: str
    svg: Markup
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def frame_of(x: Axis, xs: Values, y: Axis, ys: Values, rows: int = 1) -> Frame:
    """The frame that all values fit in, with room for so many rows of a legend."""
    top = TOP + (rows - 1) * LINE
    low = top + HEIGHT - TOP - BOTTOM
    across = scale_of(xs, LEFT, WIDTH - RIGHT, x.log, x.zero)
    return Frame(x, y, across, scale_of(ys, low, top, y.log, y.zero))


def square_of(x: Axis, y: Axis, values: Values) -> Frame:
    """A frame as high as wide, with the same numbers on both axes."""
    across = scale_of(values, LEFT, WIDTH - RIGHT)
    return Frame(x, y, across, Scale(across.ticks, TOP + WIDTH - RIGHT - LEFT, TOP))


def legend(names: Sequence[tuple[str, str]]) -> tuple[list[str], int]:
    """Strokes with their names, (class of the style sheet, name), in rows above a frame; and how many rows."""
    found, place, row = [], float(LEFT), 0
    for kind, name in names:
        end = place + STROKE + 5 + width_of(name)
        if end > WIDTH and place > LEFT:
            end, place, row = end - place + LEFT, float(LEFT), row + 1
        low = 18 + row * LINE
        found += [
            f'<path class="curve {kind}" d="M{place:.1f} {low - 4}h{STROKE}"/>',
            text(place + STROKE + 5, low, name),
        ]
        place = end + SPACE
    return found, row + 1


def width_of(written: str) -> float:
    """About how wide a text is."""
    return LETTER * len(written)


def text(x: float, y: float, written: str, anchor: str = "start") -> str:
    """A text with its base line at y."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(written)}</text>'


def svg(role: str, told: str, parts: Sequence[str], height: float = HEIGHT) -> Markup:
    """The chart; ``told`` is what a screen reader says of it."""
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="{role}" aria-label="{escape(told)}">'
    return Markup(head + "".join(parts) + "</svg>")
