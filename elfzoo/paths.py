"""Lines and planes through a crystal: where they run in fractional coordinates, and how far apart their points are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import gcd

import numpy as np
from jaxtyping import Float
from pymatgen.core import Structure

from elfzoo.errors import ElfzooError

__all__ = ["Line", "Plane", "parse_line", "parse_plane"]

Vector = tuple[float, float, float]
AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}
LINE_FORM = "a line is 'start:end:points', such as 0,0,0:0.5,0.5,0.5:200"
PLANE_FORM = (
    "a plane is 'axis=fraction' (z=0.25), 'h,k,l=fraction' (1,1,0=0.5) or "
    "'origin:edge:edge:NxM' (0,0,0:1,0,0:0,1,0:200x200)"
)


@dataclass(frozen=True)
class Line:
    """Equidistant points on a straight line, both ends included.

    Args:
        start: fractional coordinates of the first point.
        end: fractional coordinates of the last point, in any cell.
        points: number of points, at least 2.
    """

    start: Vector
    end: Vector
    points: int

    def __post_init__(self) -> None:
        _require_finite("line", self.start, self.end)
        if self.points < 2:
            raise ElfzooError(f"a line needs at least 2 points; got {self.points}")
        if np.allclose(self.start, self.end, rtol=0, atol=1e-9):
            raise ElfzooError(f"a line needs two different ends; got {self.start} twice")

    def frac_coords(self) -> Float[np.ndarray, "points 3"]:
        """Fractional coordinates of the points, from start to end."""
        return np.linspace(self.start, self.end, self.points)

    def distances(self, lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " points"]:
        """Distance of each point from the start, Å; ``lattice`` has the lattice vectors as rows, Å."""
        length = np.linalg.norm(np.subtract(self.end, self.start) @ lattice)
        return np.linspace(0.0, float(length), self.points)


@dataclass(frozen=True)
class Plane:
    """A parallelogram of points: point (i, j) sits at origin + (i/nu) edge_u + (j/nv) edge_v.

    The far edges are left out, as on a periodic grid, so that edges that are lattice vectors tile the plane.

    Args:
        origin: fractional coordinates of the corner.
        edge_u: fractional vector along the first edge.
        edge_v: fractional vector along the second edge.
        shape: (nu, nv), numbers of points along the edges.
    """

    origin: Vector
    edge_u: Vector
    edge_v: Vector
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        _require_finite("plane", self.origin, self.edge_u, self.edge_v)
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ElfzooError(f"a plane needs two positive numbers of points; got {self.shape}")
        if np.linalg.norm(np.cross(self.edge_u, self.edge_v)) < 1e-9:
            raise ElfzooError(f"a plane needs two edges that are not parallel; got {self.edge_u} and {self.edge_v}")

    @classmethod
    def axis(cls, axis: str, fraction: float, structure: Structure, spacing: float = 0.05) -> Plane:
        """The slice across one axis, ``"x"``, ``"y"`` or ``"z"``, spanned by the two other lattice vectors in order.

        Args:
            axis: the lattice vector that the slice cuts (x is the first, however it points).
            fraction: where it cuts, in fractions of that vector.
            structure: gives the edge lengths.
            spacing: largest distance of neighbouring points along an edge, Å.
        """
        if axis not in AXES:
            raise ElfzooError(f"the axis of a slice is x, y or z; got {axis!r}")
        number = "xyz".index(axis)
        edges = np.delete(np.eye(3), number, axis=0)
        return _spanned(np.eye(3)[number] * fraction, edges, structure, spacing)

    @classmethod
    def miller(
        cls, indices: tuple[int, int, int], fraction: float, structure: Structure, spacing: float = 0.05
    ) -> Plane:
        """One period of the lattice plane hx + ky + lz = ``fraction``, on its two shortest lattice vectors; h, k and l
        without a common factor.

        Args:
            indices: Miller indices (h, k, l) with respect to the cell of ``structure``.
            fraction: 0 passes through the origin, 1 through the next lattice plane.
            structure: gives the lattice.
            spacing: largest distance of neighbouring points along an edge, Å.
        """
        if not any(indices):
            raise ElfzooError("the Miller indices 0,0,0 belong to no plane")
        h = np.array(indices) // gcd(*(int(i) for i in indices))
        return _spanned(h * fraction / (h @ h), _in_plane_basis(h, structure.lattice.matrix), structure, spacing)

    def frac_coords(self) -> Float[np.ndarray, "points 3"]:
        """Fractional coordinates of the nu x nv points, the second edge running fastest."""
        i, j = (axis.ravel() for axis in np.meshgrid(*(np.arange(n) / n for n in self.shape), indexing="ij"))
        return np.array(self.origin) + np.outer(i, self.edge_u) + np.outer(j, self.edge_v)

    def axes(self, lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
        """Cartesian unit vectors as rows: along the first edge, across it within the plane, normal to the plane."""
        u, v = np.array([self.edge_u, self.edge_v]) @ lattice
        normal = np.cross(u, v) / np.linalg.norm(np.cross(u, v))
        along = u / np.linalg.norm(u)
        return np.stack([along, np.cross(normal, along), normal])

    def project(
        self, frac_coords: Float[np.ndarray, "points 3"], lattice: Float[np.ndarray, "3 3"]
    ) -> Float[np.ndarray, "points 3"]:
        """In the frame of :meth:`axes`, from the origin of the plane: along, across, height above the plane, Å."""
        return (np.asarray(frac_coords) - np.array(self.origin)) @ lattice @ self.axes(lattice).T


def parse_line(text: str) -> Line:
    """Read ``"0,0,0:0.5,0.5,0.5:200"``: fractional start and end, number of points.

    Numbers may be fractions such as 1/3.

    Raises:
        ElfzooError: when the text has another form.
    """
    parts = text.split(":")
    if len(parts) != 3:
        raise ElfzooError(f"cannot read the line {text!r}: {LINE_FORM}")
    start, end = (_vector(part, text, LINE_FORM) for part in parts[:2])
    return Line(start, end, _count(parts[2], text, LINE_FORM))


def parse_plane(text: str, structure: Structure, spacing: float = 0.05) -> Plane:
    """Read ``"z=0.25"``, Miller indices ``"1,1,0=0.5"``, or ``"0,0,0:1,0,0:0,1,0:200x200"`` (origin, edges, points).

    Args:
        text: numbers are fractional and may be fractions such as 1/3.
        structure: the crystal that is cut.
        spacing: largest distance of neighbouring points, Å, where the text does not give their number.

    Raises:
        ElfzooError: when the text has another form.
    """
    if "=" in text:
        name, _, where = text.partition("=")
        fraction = _number(where, text, PLANE_FORM)
        if name.strip() in AXES:
            return Plane.axis(name.strip(), fraction, structure, spacing)
        h, k, l = _vector(name, text, PLANE_FORM)  # noqa: E741 - the standard names of Miller indices
        if any(i != int(i) for i in (h, k, l)):
            raise ElfzooError(f"cannot read the plane {text!r}: Miller indices are integers; {PLANE_FORM}")
        return Plane.miller((int(h), int(k), int(l)), fraction, structure, spacing)
    parts = text.split(":")
    if len(parts) != 4 or len(counts := parts[3].split("x")) != 2:
        raise ElfzooError(f"cannot read the plane {text!r}: {PLANE_FORM}")
    origin, edge_u, edge_v = (_vector(part, text, PLANE_FORM) for part in parts[:3])
    nu, nv = (_count(count, text, PLANE_FORM) for count in counts)
    return Plane(origin, edge_u, edge_v, (nu, nv))


def _spanned(origin: np.ndarray, edges: np.ndarray, structure: Structure, spacing: float) -> Plane:
    if not (np.isfinite(spacing) and spacing > 0):
        raise ElfzooError(f"the spacing of a plane's points must be a positive number of Å; got {spacing}")
    nu, nv = (int(np.ceil(n - 1e-9)) for n in np.linalg.norm(edges @ structure.lattice.matrix, axis=1) / spacing)
    return Plane(_triple(origin), _triple(edges[0]), _triple(edges[1]), (max(nu, 1), max(nv, 1)))


def _in_plane_basis(h: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Integer rows u, v with h·u = h·v = 0 that span every such vector, reduced to the two shortest (Gauss)."""
    divisor, a, b = _bezout(int(h[0]), int(h[1]))
    u, v = np.array([h[1], -h[0], 0]) // max(divisor, 1), np.array([-a * h[2], -b * h[2], divisor])
    if divisor == 0:
        u, v = np.array([1, 0, 0]), np.array([0, 1, 0])
    metric = lattice @ lattice.T
    while True:
        u, v = sorted((u, v), key=lambda n: float(n @ metric @ n))
        shift = round(float(u @ metric @ v) / float(u @ metric @ u))
        if shift == 0:
            return np.array([u, v if np.cross(u, v) @ h > 0 else -v])
        v = v - shift * u


def _bezout(m: int, n: int) -> tuple[int, int, int]:
    """The greatest common divisor of m and n, not negative, and integers a, b with a m + b n equal to it."""
    if n == 0:
        return abs(m), (1 if m >= 0 else -1), 0
    divisor, a, b = _bezout(n, m % n)
    return divisor, b, a - m // n * b


def _triple(vector: np.ndarray) -> Vector:
    x, y, z = (float(c) for c in vector)
    return x, y, z


def _require_finite(name: str, *vectors: Vector) -> None:
    for vector in vectors:
        if np.shape(vector) != (3,) or not np.isfinite(vector).all():
            raise ElfzooError(f"a {name} is made of triples of finite fractional coordinates; got {vector}")


def _number(part: str, text: str, form: str) -> float:
    top, slash, bottom = part.partition("/")
    try:
        return float(top) / (float(bottom) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        raise ElfzooError(f"cannot read {part!r} in {text!r} as a number: {form}") from None


def _vector(part: str, text: str, form: str) -> Vector:
    numbers = part.split(",")
    if len(numbers) != 3:
        raise ElfzooError(f"cannot read {part!r} in {text!r} as three numbers: {form}")
    x, y, z = (_number(number, text, form) for number in numbers)
    return x, y, z


def _count(part: str, text: str, form: str) -> int:
    if not re.fullmatch(r"\s*\d+\s*", part):
        raise ElfzooError(f"cannot read {part!r} in {text!r} as a number of points: {form}")
    return int(part)
