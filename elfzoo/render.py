"""Solid bodies seen from a direction: triangles and spheres drawn into a picture by a depth buffer.

matplotlib orders whole triangles by distance, so that bodies which pass through one another come out wrong and the
seams between triangles show. Here every pixel shows what is nearest to the viewer there, lit by its own normal.

Lengths are in pixels: x to the right, y downwards, depth towards the viewer. The projection is parallel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["Canvas", "view_of"]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


BLOCK = 2**19  # pixels tested at a time
LIGHT = _unit(np.array([-0.25, -0.5, 1.0]))  # from the upper left, before the picture
HALFWAY = _unit(np.add(LIGHT, [0, 0, 1]))  # the normal of what reflects it to the viewer
AMBIENT, GLOSS, SHARPNESS = 0.45, 0.2, 24
TURN, TILT = 0.36, np.radians(17)  # where the viewer stands between a and b, and how high above them


@dataclass(frozen=True, eq=False)
class Canvas:
    """What is nearest to the viewer at each pixel.

    Attributes:
        depth: (height, width) pixels towards the viewer, -inf where nothing is.
        rgb: (height, width, 3) red, green and blue under the light, 0 to 1.
    """

    depth: Float[np.ndarray, "height width"]
    rgb: Float[np.ndarray, "height width 3"]

    @classmethod
    def blank(cls, height: int, width: int) -> Canvas:
        """A canvas with nothing on it."""
        return cls(np.full((height, width), -np.inf), np.zeros((height, width, 3)))

    def add_triangles(
        self,
        corners: Float[np.ndarray, "triangles 3 3"],
        normals: Float[np.ndarray, "triangles 3 3"],
        colours: Float[np.ndarray, "triangles 3"],
    ) -> None:
        """Draw the triangles whose corners go counterclockwise for the viewer: those of a body seen from outside.

        Args:
            corners: x, y, depth.
            normals: at the corners, out of the body, of any length; interpolated in between.
            colours: red, green, blue.
        """
        edges = corners[:, 1:, :2] - corners[:, :1, :2]
        facing = np.flatnonzero(np.linalg.det(edges) < 0)  # since y goes down
        facing = facing[np.argsort(-corners[facing, :, 2].max(axis=1))]  # the nearest first: less to light in vain
        corners, normals, colours = corners[facing], normals[facing], colours[facing]
        plane = _planes(corners, edges[facing])
        low, high = np.ceil(corners[..., :2].min(axis=1)), np.floor(corners[..., :2].max(axis=1))
        for item, x, y in self._pixels(low, high):
            second, third, depth = (p[:, 0] + p[:, 1] * x + p[:, 2] * y for p in np.moveaxis(plane[item], 1, 0))
            inside = np.flatnonzero(np.minimum(np.minimum(second, third), 1 - second - third) >= -1e-9)
            seen, place = self._nearest(x[inside], y[inside], depth[inside])
            seen = inside[seen]
            weight = np.stack([1 - second[seen] - third[seen], second[seen], third[seen]], axis=1)
            self.rgb[place] = _lit(np.einsum("pc,pcx->px", weight, normals[item[seen]]), colours[item[seen]])

    def add_spheres(
        self,
        centres: Float[np.ndarray, "spheres 3"],
        radii: Float[np.ndarray, " spheres"],
        colours: Float[np.ndarray, "spheres 3"],
    ) -> None:
        """Draw spheres: x, y, depth of the centres, radii, and red, green, blue."""
        low, high = np.ceil(centres[:, :2] - radii[:, None]), np.floor(centres[:, :2] + radii[:, None])
        for item, x, y in self._pixels(low, high):
            across = (np.stack([x, y], axis=1) - centres[item, :2]) / radii[item, None]
            height = 1 - (across**2).sum(axis=1)
            inside = height >= 0
            item, across, height = item[inside], across[inside], np.sqrt(height[inside])
            seen, place = self._nearest(x[inside], y[inside], centres[item, 2] + radii[item] * height)
            self.rgb[place] = _lit(np.column_stack([across, height])[seen], colours[item[seen]])

    def _pixels(self, low: np.ndarray, high: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Number of the box, x and y of every pixel in boxes from ``low`` to ``high``, (boxes, 2) each."""
        low = np.maximum(low, 0).astype(int)
        size = np.maximum(np.minimum(high, np.array(self.depth.shape)[::-1] - 1).astype(int) - low + 1, 0)
        count = size.prod(axis=1)
        before = np.cumsum(count) - count
        starts = np.searchsorted(before, np.arange(BLOCK, count.sum(), BLOCK))
        for boxes in np.split(np.arange(len(count)), starts):
            item = np.repeat(boxes, count[boxes])
            number = np.arange(len(item)) - np.repeat(before[boxes] - before[boxes[:1]], count[boxes])
            row, column = np.divmod(number, size[item, 0])
            yield item, low[item, 0] + column, low[item, 1] + row

    def _nearest(
        self, x: np.ndarray, y: np.ndarray, depth: np.ndarray
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Which points are seen, in an order such that the last at a pixel is the nearest, and their places."""
        seen = np.flatnonzero(depth > self.depth[y, x])
        seen = seen[np.argsort(depth[seen])]
        place = y[seen], x[seen]
        self.depth[place] = depth[seen]  # of repeated places numpy keeps the last
        return seen, place


def view_of(lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Unit vectors to the right, downwards and towards the viewer, as rows.

    c is upright, a comes to the front, b goes to the right; to the left in a left-handed cell.

    Args:
        lattice: (3, 3) rows.
    """
    a, b, c = lattice
    up = _unit(c)
    ahead = _unit(a - (a @ up) * up)
    aside = _unit(b - (b @ up) * up - (b @ ahead) * ahead)
    turn = TURN * np.arctan2(b @ aside, b @ ahead)
    viewer = np.cos(TILT) * (np.cos(turn) * ahead + np.sin(turn) * aside) + np.sin(TILT) * up
    upright = _unit(up - (up @ viewer) * viewer)
    return np.array([np.cross(upright, viewer), -upright, viewer])


def _planes(corners: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(triangles, 3, 3): weights of the second and third corner, and depth, as c0 + c1 x + c2 y."""
    slopes = np.linalg.inv(edges).swapaxes(1, 2)
    rise = np.einsum("tw,twx->tx", corners[:, 1:, 2] - corners[:, :1, 2], slopes)
    slopes = np.concatenate([slopes, rise[:, None]], axis=1)
    level = np.stack([np.zeros(len(corners)), np.zeros(len(corners)), corners[:, 0, 2]], axis=1)
    return np.concatenate([(level - np.einsum("twx,tx->tw", slopes, corners[:, 0, :2]))[..., None], slopes], axis=2)


def _lit(normal: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """(points, 3): colours under the light, for normals of any length."""
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    diffuse, gloss = np.maximum(normal @ LIGHT, 0)[:, None], np.maximum(normal @ HALFWAY, 0)[:, None] ** SHARPNESS
    return np.minimum(colour * (AMBIENT + (1 - AMBIENT) * diffuse) + GLOSS * gloss, 1)
