"""Periodic interpolation of gridded values: to points, lines, planes and other grids.

A B-spline overshoots a little and a trigonometric series rings beside a steep flank, so interpolated ELF may leave
[0, 1] by about the interpolation error. ``space="logit"`` interpolates logit(ELF), which is smoother, and cannot leave
(0, 1); values within 0.001 of 0 or 1 are moved there first.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int
from pymatgen.core import Lattice
from scipy import fft, ndimage, special

from elfzoo import native
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.field import Field
from elfzoo.grid import Grid

__all__ = [
    "PeriodicSpline",
    "alias_steps",
    "cosine_window",
    "evaluate",
    "fourier_interpolate",
    "fourier_on_grid",
    "fourier_resample",
    "isotropic_refinement",
    "low_pass",
    "resample",
    "shortest_waves",
    "spline_interpolate",
    "spline_resample",
]

Method = Literal["spline", "fourier"]
Space = Literal["value", "logit"]
Order = Literal[2, 3, 4, 5]
Shape = tuple[int, int, int]
CLIP = 1e-3  # logit is infinite at 0 and 1, which stored fields contain
NEIGHBOURS = np.array(list(product((-1, 0, 1), repeat=3)))
BEHIND = 8  # coefficients that a vector of the kernel may reach beyond those that it needs
BLOCK = 2**22  # numbers held at a time while points are visited


@dataclass(frozen=True, eq=False)
class PeriodicSpline:
    """A periodic B-spline through gridded values, prefiltered once and evaluated as often as wanted.

    Args:
        coefficients: (nx, ny, nz) B-spline coefficients; :meth:`through` makes them from values.
        order: degree of the polynomial pieces, 2 to 5; 3 is tricubic, with continuous second derivatives.
    """

    coefficients: Float[np.ndarray, "nx ny nz"]
    order: Order = 3

    @classmethod
    def through(cls, values: Float[np.ndarray, "nx ny nz"], order: Order = 3) -> PeriodicSpline:
        """The spline that takes ``values[i, j, k]`` at fractional (i/nx, j/ny, k/nz).

        Raises:
            ElfzooError: when values are not finite or not three-dimensional, or the order is not 2 to 5.
        """
        if order not in get_args(Order):
            raise ElfzooError(f"a spline has an order from 2 to 5; got {order}")
        return cls(ndimage.spline_filter(_checked_values(values), order, mode="grid-wrap"), order)

    def __call__(self, frac_coords: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, " points"]:
        """Values at fractional coordinates, which may lie in any cell."""
        indices = _checked_points(frac_coords) % 1.0 * self.coefficients.shape
        library = native.load(native.KERNEL)
        if library is not None:
            return self._compiled(library, indices)
        options = {"order": self.order, "mode": "grid-wrap", "prefilter": False}
        return ndimage.map_coordinates(self.coefficients, indices.T, **options)

    def _compiled(
        self, library: ctypes.CDLL, indices: Float[np.ndarray, "points 3"], level: str | None = None
    ) -> Float[np.ndarray, " points"]:
        """The same by the compiled kernel."""
        indices, out = np.ascontiguousarray(indices, np.float64), np.empty(len(indices))
        library.elfzoo_spline(
            native.level_of(library, level),
            ctypes.c_int(self.order),
            ctypes.c_void_p(self._continued.ctypes.data),
            (ctypes.c_long * 3)(*self._continued.shape),
            ctypes.c_void_p(indices.ctypes.data),
            ctypes.c_long(len(indices)),
            ctypes.c_void_p(out.ctypes.data),
        )
        return out

    @cached_property
    def _continued(self) -> Float[np.ndarray, "mx my mz"]:
        """The coefficients as the kernel takes them: with those of neighbouring cells that a point may need."""
        rows = (np.arange(-(self.order // 2), n + self.order + BEHIND) % n for n in self.coefficients.shape)
        return np.ascontiguousarray(self.coefficients[np.ix_(*rows)], np.float64)


def spline_interpolate(
    values: Float[np.ndarray, "nx ny nz"], frac_coords: Float[np.ndarray, "points 3"], order: Order = 3
) -> Float[np.ndarray, " points"]:
    """Periodic B-spline interpolation; see :class:`PeriodicSpline`, which is faster for several sets of points."""
    return PeriodicSpline.through(values, order)(frac_coords)


def fourier_interpolate(
    values: Float[np.ndarray, "nx ny nz"], frac_coords: Float[np.ndarray, "points 3"]
) -> Float[np.ndarray, " points"]:
    """Trigonometric interpolation: exact for every field without frequencies beyond the grid's Nyquist frequency.

    The Nyquist term of an even axis is taken as a cosine, so real values stay real and grid points are reproduced.
    The work is points x nx x ny x nz; for whole grids use :func:`fourier_resample`.

    Raises:
        ElfzooError: when values or coordinates are not finite or not shaped as stated.
    """
    values, points = _checked_values(values), _checked_points(frac_coords)
    nx, ny, nz = values.shape
    flat, step = values.reshape(nx * ny, nz), max(1, BLOCK // (nx * ny))
    result = np.empty(len(points))
    for start in range(0, len(points), step):
        x, y, z = (_dirichlet(points[start : start + step, a], n) for a, n in enumerate(values.shape))
        planes = (flat @ z.T).reshape(nx, ny, -1)
        result[start : start + step] = np.einsum("xyp,py,px->p", planes, y, x, optimize=["einsum_path", (0, 1), (0, 1)])
    return result


def fourier_resample(values: Float[np.ndarray, "nx ny nz"], shape: Shape) -> Float[np.ndarray, "mx my mz"]:
    """The values on a grid of another shape, by padding or truncating the Fourier series.

    A finer grid gets the exact trigonometric interpolation; a coarser one a field without the frequencies it cannot
    hold, which is not the same as every other value. Nyquist terms are split and folded evenly.

    Raises:
        ElfzooError: when values are not finite or not three-dimensional, or the shape is not three positive whole
            numbers.
    """
    values, shape = _checked_values(values), _checked_shape(shape)
    for axis in np.argsort([m / n for m, n in zip(shape, values.shape, strict=True)]):  # shrinking first is cheapest
        values = _resample_axis(values, shape[axis], int(axis))
    return values


def fourier_on_grid(
    values: Float[np.ndarray, "nx ny nz"], lattice: Float[np.ndarray, "3 3"], grid: Grid
) -> Float[np.ndarray, "mx my mz"]:
    """:func:`fourier_interpolate` at all points of a grid of a supercell or of another basis, by two FFTs.

    A wave with indices h on ``lattice`` has the indices T h on the grid's lattice, T times ``lattice``. Waves that the
    grid cannot hold fall on others of the same values at its points, so the result is exact there.

    Args:
        values: on a regular grid of ``lattice``.
        lattice: (3, 3) rows, Å.
        grid: on a lattice whose vectors are integer combinations of those of ``lattice``.

    Raises:
        ElfzooError: a grid on another lattice, or values that are not finite.
    """
    values, multiple = _checked_values(values), grid.lattice @ np.linalg.inv(lattice)
    if np.abs(multiple - np.round(multiple)).max() > 1e-3:
        raise ElfzooError(f"the grid's lattice is no supercell: {multiple.round(3).tolist()} times the field's")
    transform = np.round(multiple).astype(int)
    waves = [np.arange(-(n // 2), n // 2 + 1) for n in values.shape]  # an even axis has both Nyquist terms, halved
    halves = [np.where(2 * np.abs(h) == n, 0.5, 1.0) for h, n in zip(waves, values.shape, strict=True)]
    spectrum = fft.fftn(values, norm="forward")[np.ix_(*(h % n for h, n in zip(waves, values.shape, strict=True)))]
    spectrum *= halves[0][:, None, None] * halves[1][:, None] * halves[2]
    h1, h2, h3 = np.ix_(*waves)
    i, j, k = ((a * h1 + b * h2 + c * h3) % n for (a, b, c), n in zip(transform, grid.shape, strict=True))
    flat = ((i * grid.shape[1] + j) * grid.shape[2] + k).ravel()
    parts = (np.bincount(flat, part.ravel(), grid.size) for part in (spectrum.real, spectrum.imag))
    real, imaginary = (part.reshape(grid.shape) for part in parts)
    return fft.ifftn(real + 1j * imaginary, norm="forward").real


def isotropic_refinement(
    values: Float[np.ndarray, "nx ny nz"], lattice: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "mx my mz"]:
    """The values on a slightly finer grid on which the box of indices holds the shortest waves through them.

    Trigonometric interpolation takes the waves with indices from -n/2 to n/2. Where axes are skewed these are not the
    shortest that the grid knows, and the box has not the symmetry of the lattice: a field with hexagonal symmetry on
    the grid loses it between the points. Here every coefficient goes to the shortest wave that agrees on the grid, or
    evenly to the shortest ones. With orthogonal axes that is what the box holds, and the values come back as they are.

    Args:
        values: on a regular grid of ``lattice``.
        lattice: (3, 3) rows, Å.
    """
    values, grid = _checked_values(values), Grid(values.shape, lattice)  # type: ignore[arg-type]
    if _is_orthogonal(lattice):
        return values
    waves, reciprocal = shortest_waves(grid), np.linalg.inv(grid.lattice).T
    limit = np.linalg.norm(waves @ reciprocal, axis=1) * (1 + 1e-6) + 1e-9
    images = [waves + shift for shift in NEIGHBOURS @ alias_steps(grid)]
    ties = [np.linalg.norm(image @ reciprocal, axis=1) <= limit for image in images]
    shared = fft.fftn(values, norm="forward").ravel() / np.sum(ties, axis=0)
    reach = np.max(
        [np.abs(image[tie]).max(axis=0) for image, tie in zip(images, ties, strict=True) if tie.any()], axis=0
    )
    spectrum = np.zeros(2 * reach + 1, dtype=np.complex128)
    for image, tie in zip(images, ties, strict=True):  # no two points of the grid share a wave
        spectrum[tuple(image[tie].T)] = shared[tie]
    return fft.ifftn(spectrum, norm="forward").real


def cosine_window(k: Float[np.ndarray, "*waves"], window: tuple[float, float]) -> Float[np.ndarray, "*waves"]:
    """A factor for waves of wave number k, which falls from 1 at ``window[0]`` to 0 at ``window[1]`` as a cosine does.

    Raises:
        ElfzooError: the window does not fall between two positive wave numbers.
    """
    low, high = window
    if not 0 < low < high:
        raise ElfzooError(f"a window falls between two |G| > 0, the smaller first; got {window} rad/Å")
    return 0.5 - 0.5 * np.cos(np.pi * np.clip((high - k) / (high - low), 0, 1))


def low_pass(
    values: Float[np.ndarray, "nx ny nz"], lattice: Float[np.ndarray, "3 3"], window: tuple[float, float]
) -> Float[np.ndarray, "nx ny nz"]:
    """Multiply by a window of |G| that falls from 1 at ``window[0]`` to 0 at ``window[1]``, both in rad/Å.

    The window depends on |G| alone, so every symmetry of the field stays; in a skewed cell that needs a grid fine
    enough that nothing at its Nyquist frequency, which stands for several G, is kept.

    Raises:
        ElfzooError: the window does not fall between two positive |G|.
    """
    reciprocal = 2 * np.pi * np.linalg.inv(lattice).T
    axes = [fft.fftfreq(n, 1 / n) for n in values.shape[:2]] + [fft.rfftfreq(values.shape[2], 1 / values.shape[2])]
    squared = sum(
        (sum(_along(axes[i], i) * reciprocal[i, x] for i in range(3)) ** 2 for x in range(3)), start=np.zeros(1)
    )
    spectrum = fft.rfftn(values) * cosine_window(np.sqrt(squared), window)
    return fft.irfftn(spectrum, values.shape, axes=(0, 1, 2))


def alias_steps(grid: Grid) -> Int[np.ndarray, "3 3"]:
    """Rows: a reduced basis of the steps of a wave's indices that change nothing on the grid's points."""
    reciprocal = np.linalg.inv(grid.lattice).T
    reduced = Lattice(reciprocal * np.array(grid.shape)[:, None]).get_lll_reduced_lattice().matrix
    return np.round(reduced @ grid.lattice.T).astype(int)


def shortest_waves(grid: Grid) -> Int[np.ndarray, "points 3"]:
    """For each point of a grid's spectrum, in C order, the indices of the shortest wave that it stands for."""
    reciprocal, steps = np.linalg.inv(grid.lattice).T, alias_steps(grid)
    box = np.stack(np.meshgrid(*(fft.fftfreq(n, 1 / n) for n in grid.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    near = box - np.round(box @ reciprocal @ np.linalg.inv(steps @ reciprocal)) @ steps
    best = near.astype(int)
    if _is_orthogonal(grid.lattice):
        return best
    for shift in NEIGHBOURS @ steps:
        other = (near + shift).astype(int)
        closer = ((other @ reciprocal) ** 2).sum(axis=1) < ((best @ reciprocal) ** 2).sum(axis=1)
        best = np.where(closer[:, None], other, best)
    return best


def spline_resample(
    values: Float[np.ndarray, "nx ny nz"], shape: Shape, order: Order = 3, dtype: type[np.floating] = np.float64
) -> Float[np.ndarray, "mx my mz"]:
    """The periodic B-spline through the values on a grid of another shape, axis by axis, in the precision ``dtype``.

    Raises:
        ElfzooError: values that are not finite.
    """
    if not np.isfinite(values).all():
        _checked_values(values)  # says where
    for axis, m in enumerate(shape):
        n = values.shape[axis]
        if m != n:  # as one product of matrices, or many, without moving axes: twice as fast as tensordot
            before, after = math.prod(values.shape[:axis]), math.prod(values.shape[axis + 1 :])
            blocks = np.ascontiguousarray(values).reshape(before, n, after)
            matrix = _spline_matrix(n, m, order).astype(dtype)
            done = blocks[:, :, 0] @ matrix.T if after == 1 else matrix @ blocks
            values = done.reshape(*values.shape[:axis], m, *values.shape[axis + 1 :])
    return np.ascontiguousarray(values)


def evaluate(
    field: Field, frac_coords: Float[np.ndarray, "points 3"], method: Method = "spline", space: Space = "value"
) -> Float[np.ndarray, " points"]:
    """Values of a field at fractional coordinates, such as those of a line or a plane of :mod:`elfzoo.paths`.

    Args:
        field: what to interpolate.
        frac_coords: (points, 3), in any cell.
        method: ``"spline"`` (tricubic, fast) or ``"fourier"`` (exact below the Nyquist frequency, slow).
        space: ``"value"``, or ``"logit"`` to interpolate logit(ELF) and stay within (0, 1).

    Raises:
        ElfzooError: on unknown methods or spaces, and on values or coordinates that are not finite.
    """
    methods: dict[str, Callable[..., np.ndarray]] = {"spline": spline_interpolate, "fourier": fourier_interpolate}
    if method not in methods:
        raise UnknownNameError("interpolation method", method, methods)
    return _from_space(methods[method](_to_space(field, space), frac_coords), space)


def resample(field: Field, shape: Shape, method: Method = "fourier", space: Space = "value") -> Field:
    """The field on a grid of another shape; arguments as for :func:`evaluate`.

    ``"spline"`` samples the spline; ``"fourier"`` keeps every frequency that the new grid holds, and only those.
    """
    methods: dict[str, Callable[..., np.ndarray]] = {"spline": spline_resample, "fourier": fourier_resample}
    if method not in methods:
        raise UnknownNameError("interpolation method", method, methods)
    values = methods[method](_to_space(field, space), _checked_shape(shape))
    return field.replace(values=_from_space(values, space))


def _is_orthogonal(lattice: np.ndarray) -> bool:
    metric = lattice @ lattice.T
    return bool(np.allclose(metric, np.diag(np.diag(metric)), rtol=0, atol=1e-9 * np.trace(metric)))


def _spline_matrix(n: int, m: int, order: Order) -> np.ndarray:
    """(m, n): the periodic spline through n values along an axis, at m points."""
    spline = PeriodicSpline.through(np.eye(1, n).reshape(n, 1, 1), order)
    distance = np.arange(m)[:, None] / m - np.arange(n) / n
    return spline(np.stack([distance.ravel(), *np.zeros((2, m * n))], axis=1)).reshape(m, n)


def _resample_axis(values: np.ndarray, m: int, axis: int) -> np.ndarray:
    """Trigonometric resampling of one axis from n to m points, in real arithmetic (half-spectrum)."""
    n = values.shape[axis]
    if m == n:
        return values
    spectrum = np.moveaxis(fft.rfft(values, axis=axis), axis, 0)[: m // 2 + 1]
    if min(m, n) % 2 == 0:  # the smaller grid's Nyquist term holds +k and -k: one term there, two on the larger grid
        spectrum[min(m, n) // 2] *= 2.0 if m < n else 0.5
    return fft.irfft(np.moveaxis(spectrum, 0, axis), m, axis=axis) * (m / n)


def _dirichlet(frac: np.ndarray, n: int) -> np.ndarray:
    """(points, n) weights of the grid's n values along one axis in trigonometric interpolation (Dirichlet kernel)."""
    t = frac[:, None] % 1.0 - np.arange(n) / n
    t -= np.round(t)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.sin(np.pi * n * t) / (n * (np.sin(np.pi * t) if n % 2 else np.tan(np.pi * t)))
    return np.where(np.abs(t) < 1e-14, 1.0, weights)


def _to_space(field: Field, space: str) -> np.ndarray:
    if space not in ("value", "logit"):
        raise UnknownNameError("interpolation space", space, ("value", "logit"))
    if space == "value":
        return field.values
    field.require_quantity("elf", "for logits, the field")
    return special.logit(np.clip(field.values, CLIP, 1 - CLIP))


def _from_space(values: np.ndarray, space: str) -> np.ndarray:
    return values if space == "value" else special.expit(values)


def _checked_values(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 3 or values.size == 0:
        raise ElfzooError(f"interpolation needs values on a three-dimensional grid; got shape {values.shape}")
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0].tolist()
        raise ElfzooError(f"interpolation needs finite values; grid point {place} holds {values[tuple(place)]}")
    return values


def _checked_points(frac_coords: np.ndarray) -> np.ndarray:
    points = np.asarray(frac_coords, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ElfzooError(f"points are fractional coordinates of shape (points, 3); got shape {points.shape}")
    if not np.isfinite(points).all():
        raise ElfzooError("fractional coordinates must be finite numbers; got NaN or infinity")
    return points


def _checked_shape(shape: Shape) -> Shape:
    return Grid(shape, np.eye(3)).shape


def _along(values: np.ndarray, axis: int) -> np.ndarray:
    shape = [1, 1, 1]
    shape[axis] = len(values)
    return values.reshape(shape)
