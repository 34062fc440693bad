"""Where the names of points go on a chart: beside their points, and over no other point or name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from elfzoo.site.frame import LINE, width_of

__all__ = ["Label", "Place", "labels"]

Place = tuple[float, float, str]  # of a point, and its name
Box = tuple[float, float, float, float]  # left, top, right, bottom

GAP, RADIUS = 9, 6  # from a point to its name; of a point, with some air
FARTHEST = 4  # lines that a name may lie above or below its point


@dataclass(frozen=True)
class Label:
    """Where a name begins, ends or has its middle (the ``anchor`` of SVG), and at which height it lies."""

    x: float
    y: float
    anchor: str


def labels(points: Sequence[Place], room: Box) -> list[Label | None]:
    """A place for each name, as near to its point as one is free; None where there is none."""
    taken = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y, _ in points]
    found: dict[int, Label | None] = {}
    for i in sorted(range(len(points)), key=lambda i: points[i][1]):
        others = taken[:i] + taken[i + 1 :]
        found[i], box = next((one for one in _tried(points[i]) if _is_free(one[1], others, room)), (None, taken[i]))
        taken.append(box)
    return [found[i] for i in range(len(points))]


def _tried(point: Place) -> Iterator[tuple[Label, Box]]:
    """Right of a point, left of it, then a line higher and lower, and so on."""
    x, y, name = point
    width = width_of(name)
    for line in sorted(range(-FARTHEST, FARTHEST + 1), key=abs):
        height = y + line * LINE
        places = {"start": (x + GAP, x + GAP), "end": (x - GAP, x - GAP - width), "middle": (x, x - width / 2)}
        for anchor, (place, left) in places.items():
            if line or anchor != "middle":
                yield Label(place, height, anchor), (left, height - LINE / 2, left + width, height + LINE / 2)


def _is_free(box: Box, taken: Sequence[Box], room: Box) -> bool:
    inside = room[0] <= box[0] and room[1] <= box[1] and box[2] <= room[2] and box[3] <= room[3]
    return inside and not any(_overlap(box, other) for other in taken)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
