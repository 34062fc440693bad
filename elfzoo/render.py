"""Solid bodies seen from a direction: triangles and spheres drawn into a picture by a depth buffer.

matplotlib orders whole triangles by distance, so that bodies which pass through one another come out wrong and the
seams between triangles show. Here every pixel shows what is nearest to the viewer there, lit by its own normal.

Lengths are in pixels: x to the right, y downwards, depth towards the viewer. The projection is parallel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Canvas", "view_of"]

BLOCK = 2**20  # pixels tested at a time
LIGHT = np.array([-0.45, -0.6, 1.0]) / np.linalg.norm([-0.45, -0.6, 1.0])  # from the upper left, before the picture
AMBIENT, GLOSS, SHARPNESS = 0.5, 0.16, 24
TURN, TILT = 0.36, np.radians(17)  # where the viewer stands between a and b, and how high above them


@dataclass(frozen=True, eq=False)
class Canvas:
    """What is nearest to the viewer at each pixel.

    Attributes:
        depth: (height, width) pixels towards the viewer, -inf where nothing is.
        normal: (height, width, 3) unit vectors out of the body.
        colour: (height, width, 3) red, green and blue of the body, 0 to 1, unlit.
    """

    depth: Float[np.ndarray, "height width"]
    normal: Float[np.ndarray, "height width 3"]
    colour: Float[np.ndarray, "height width 3"]

    @classmethod
    def blank(cls, height: int, width: int) -> Canvas:
        """A canvas with nothing on it."""
        shape = (height, width)
        return cls(np.full(shape, -np.inf), np.zeros((*shape, 3)), np.zeros((*shape, 3)))

    def add_triangles(
        self,
        corners: Float[np.ndarray, "triangles 3 3"],
        normals: Float[np.ndarray, "triangles 3 3"],
        colours: Float[np.ndarray, "triangles 3"],
    ) -> None:
        """Draw those triangles whose corners go counterclockwise for the viewer, who sees a body from outside.

        Args:
            corners: x, y, depth.
            normals: at the corners, out of the body; interpolated in between.
            colours: red, green, blue.
        """
        edges = corners[:, 1:, :2] - corners[:, :1, :2]
        twice_area = np.linalg.det(edges) if len(edges) else np.zeros(0)
        facing = twice_area < 0  # y goes down
        corners, normals, colours, edges = corners[facing], normals[facing], colours[facing], edges[facing]
        inverse = np.linalg.inv(edges)
        low, high = np.ceil(corners[..., :2].min(axis=1)), np.floor(corners[..., :2].max(axis=1))
        for item, pixel in self._pixels(low, high):
            weight = np.einsum("pi,pij->pj", pixel - corners[item, 0, :2], inverse[item])
            weight = np.column_stack([1 - weight.sum(axis=1), weight])
            inside = weight.min(axis=1) >= -1e-9
            item, pixel, weight = item[inside], pixel[inside], weight[inside]
            depth = (weight * corners[item, :, 2]).sum(axis=1)
            self._keep_nearest(pixel, depth, np.einsum("pc,pcx->px", weight, normals[item]), colours[item])

    def add_spheres(
        self,
        centres: Float[np.ndarray, "spheres 3"],
        radii: Float[np.ndarray, " spheres"],
        colours: Float[np.ndarray, "spheres 3"],
    ) -> None:
        """Draw spheres: x, y, depth of the centres, radii, and red, green, blue."""
        low, high = np.ceil(centres[:, :2] - radii[:, None]), np.floor(centres[:, :2] + radii[:, None])
        for item, pixel in self._pixels(low, high):
            across = (pixel - centres[item, :2]) / radii[item, None]
            height = 1 - (across**2).sum(axis=1)
            inside = height >= 0
            item, pixel, across, height = item[inside], pixel[inside], across[inside], np.sqrt(height[inside])
            depth = centres[item, 2] + radii[item] * height
            self._keep_nearest(pixel, depth, np.column_stack([across, height]), colours[item])

    def lit(self) -> Float[np.ndarray, "height width 3"]:
        """Red, green and blue of each pixel under the light."""
        length = np.maximum(np.linalg.norm(self.normal, axis=2, keepdims=True), 1e-12)
        normal = self.normal / length
        halfway = LIGHT + [0, 0, 1]
        diffuse = np.maximum(normal @ LIGHT, 0)[..., None]
        gloss = np.maximum(normal @ (halfway / np.linalg.norm(halfway)), 0)[..., None] ** SHARPNESS
        return np.clip(self.colour * (AMBIENT + (1 - AMBIENT) * diffuse) + GLOSS * gloss, 0, 1)

    def _pixels(self, low: np.ndarray, high: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Number of the box, and (pixels, 2) x and y, of every pixel in boxes from ``low`` to ``high``."""
        low = np.maximum(low, 0).astype(int)
        size = np.maximum(np.minimum(high, np.array(self.depth.shape)[::-1] - 1).astype(int) - low + 1, 0)
        count = size.prod(axis=1)
        before = np.cumsum(count) - count
        for boxes in np.split(np.arange(len(count)), np.searchsorted(before, np.arange(BLOCK, count.sum(), BLOCK))):
            item = np.repeat(boxes, count[boxes])
            number = np.arange(len(item)) - np.repeat(before[boxes] - before[boxes[:1]], count[boxes])
            yield item, low[item] + np.column_stack([number % size[item, 0], number // size[item, 0]])

    def _keep_nearest(
        self, pixel: Int[np.ndarray, "points 2"], depth: np.ndarray, normal: np.ndarray, colour: np.ndarray
    ) -> None:
        x, y = pixel.T
        order = np.argsort(depth, kind="stable")
        order = order[depth[order] > self.depth[y[order], x[order]]]
        place = y[order], x[order]  # of repeated places numpy keeps the last, which is the nearest
        self.depth[place], self.normal[place], self.colour[place] = depth[order], normal[order], colour[order]


def view_of(lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Unit vectors to the right, downwards and towards the viewer, as rows: c upright, a to the front, b to the right.

    Args:
        lattice: (3, 3) rows.
    """
    a, b, c = lattice
    up = c / np.linalg.norm(c)
    ahead = a - (a @ up) * up
    ahead /= np.linalg.norm(ahead)
    aside = b - (b @ up) * up - (b @ ahead) * ahead
    aside /= np.linalg.norm(aside)
    turn = TURN * np.arctan2(b @ aside, b @ ahead)
    viewer = np.cos(TILT) * (np.cos(turn) * ahead + np.sin(turn) * aside) + np.sin(TILT) * up
    upright = up - (up @ viewer) * viewer
    upright /= np.linalg.norm(upright)
    return np.array([np.cross(upright, viewer), -upright, viewer])
