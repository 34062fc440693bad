"""Reference fields in small files: uint16 values, as the asymmetric unit of the grid or as a prediction.

Both layouts are compressed ``.npz`` files with the keys of :func:`elfzoo.io.npz.read` and a few more, and both are read
by :func:`elfzoo.read_field`. What the integers stand for is written in :mod:`elfzoo.io.quantised`.

**Asymmetric unit.** The quantity's array is uint16 (representatives,): the values at the representatives of the orbits
of the grid's points under the operations x' = R x + t (:meth:`elfzoo.grid.Grid.orbits`), in ascending flat order, where
the representative is the point of an orbit with the smallest flat index in C order. Beside it lie ``shape`` (3,),
``rotations`` (ops, 3, 3) int8 and ``translations`` (ops, 3), fractional, so that reading needs no symmetry finder, and
``gaps`` (representatives,), whose running sum is the flat indices: a few hundred bytes that make reading much faster.

**Prediction**, ``coding`` = ``"axis-prediction-1"``, lossless. Let x be the uint16 values minus 32768, as int16. Along
axis 0, then 1, then 2, each value is replaced by what a prediction from its three predecessors leaves::

    r[k] = x[k] - ((c1 x[k-1] + c2 x[k-2] + c3 x[k-3] + 128) >> 8)        modulo 2^16, as int16

with (c1, c2, c3) the row of ``predictor`` (3, 3) that belongs to the axis; for k = 0, 1 and 2 it is (0, 0, 0),
(256, 0, 0) and (512, -256, 0). Residuals are folded to u = 2 r for r >= 0 and u = -2 r - 1 for r < 0, and the
quantity's array, uint8 (2, points), holds the low bytes of all u and then the high bytes. ``shape`` (3,) is the grid's.
"""

from __future__ import annotations

import ctypes
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int16, Num, Shaped, UInt8, UInt16

from elfzoo import native
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.io.content import pack_meta
from elfzoo.io.files import format_of, write_bytes
from elfzoo.io.quantised import quantised, restored, scale_of, storable

__all__ = ["archive", "decode", "encode", "fold", "orbit_means", "orbits", "stored_values", "unfold", "write_reference"]

TOLERANCE = 2e-3  # of ELF: what cutoff and k-points leave open, and two thirds of what two good codes differ by; e/Å³
STRUCTURE_KEYS = ("lattice", "frac_coords", "numbers")
LAYOUT_KEYS = ("shape", "rotations", "translations", "gaps", "coding", "predictor", "scale")
CODING = "axis-prediction-1"
TAPS = 3
MOST_POINTS = 2**31 - 1
ONE = 256  # the unit of the predictor's integer coefficients
LARGEST_COEFFICIENT = 8 * ONE  # keeps the sums far inside int32
FIRST_STEPS = ((0, 0, 0), (ONE, 0, 0), (2 * ONE, -ONE, 0))  # where fewer than three predecessors exist

Shape = tuple[int, int, int]


def write_reference(field: Field, path: str | Path, symmetric: bool | None = None, tolerance: float = TOLERANCE) -> int:
    """Write a field as reference data are stored, and return the size of the file in bytes.

    The asymmetric unit is stored where the space group maps the grid onto itself, leaves at most half of the points,
    and the field has its symmetry within ``tolerance``: then the values are the means over each orbit, and
    ``meta["symmetry_deviation"]`` is the largest deviation of a value from its mean (or what it was before, if that is
    larger). The whole grid is stored otherwise. The same field gives the same bytes.

    Args:
        field: an ELF within [0, 1], or a density; quantisation changes values by at most 0.5/65535 of 1 or ``scale``.
        path: an ``.npz`` file; it appears whole or not at all.
        symmetric: True demands the asymmetric unit, False the whole grid; None chooses.
        tolerance: largest deviation of a value from the mean of its orbit.

    Raises:
        ElfzooError: values outside [0, 1] by more than 1e-6 (a density: below -0.001 e/Å³) or not finite, another
            kind of file, or an asymmetric unit that cannot be had.
        FieldFileError: the file cannot be written.
    """
    path = Path(path)
    if format_of(path) != "npz":
        raise ElfzooError(f"reference fields are stored as .npz files; got {path}")
    values, meta = storable(field), pack_meta(field)
    unit = None if symmetric is False else _asymmetric_unit(field, values, tolerance, demanded=symmetric is True)
    if unit is None:
        scale = scale_of(field.quantity, values)
        arrays = encode(quantised(values, scale))
        arrays = {field.quantity: arrays.pop("planes"), **arrays}
    else:
        means, layout, deviation = unit
        scale = scale_of(field.quantity, means)
        arrays = {field.quantity: quantised(means, scale), **layout}
        meta["symmetry_deviation"] = max(deviation, float(meta.get("symmetry_deviation") or 0.0))
    if scale is not None:
        arrays["scale"] = np.array(scale)
    content = archive(field, arrays, meta)
    write_bytes(path, [content])
    return len(content)


def archive(field: Field, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> bytes:
    """A compressed ``.npz`` of ``arrays``, the field's structure and ``meta``; the same content gives the same bytes.

    Raises:
        ElfzooError: the field's quantity has the name of another array.
    """
    if field.quantity in (*STRUCTURE_KEYS, *LAYOUT_KEYS, "meta"):
        raise ElfzooError(f"a quantity cannot be called {field.quantity!r} in an .npz file")
    structure = {
        "lattice": field.structure.lattice.matrix,
        "frac_coords": field.structure.frac_coords,
        "numbers": np.array(field.structure.atomic_numbers, dtype=np.int64),
        "meta": np.array(json.dumps(dict(sorted(meta.items())))),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays, **structure)  # every member is dated 1980
    return buffer.getvalue()


def stored_values(
    values: Shaped[np.ndarray, " *stored"], arrays: Mapping[str, np.ndarray]
) -> Shaped[np.ndarray, " *whole"]:
    """The values of a file, of whichever layout, on the whole grid: uint16 as float32 values, others as they are.

    Args:
        values: the array under the quantity's name.
        arrays: the others.

    Raises:
        ElfzooError: arrays that do not fit each other, see :func:`decode` and :func:`unfold`, or a scale that is none.
    """
    if "coding" in arrays:
        values = decode(values, arrays)
    if values.dtype == np.uint16:
        values = restored(values, arrays.get("scale"))
    if values.ndim == 1 and "rotations" in arrays:
        values = unfold(values, arrays)
    return values


def orbit_means(
    values: Float[np.ndarray, "nx ny nz"], inverse: Int[np.ndarray, " points"]
) -> tuple[Float[np.ndarray, " representatives"], float]:
    """Means over the orbits, and the largest deviation of a value from the mean of its orbit."""
    means = np.bincount(inverse, values.ravel()) / np.bincount(inverse)
    return means, float(np.abs(values.ravel() - means[inverse]).max())


def orbits(
    shape: Shape, rotations: Int[np.ndarray, "ops 3 3"], translations: Float[np.ndarray, "ops 3"]
) -> tuple[Int[np.ndarray, " representatives"], Int[np.ndarray, " points"]]:
    """:meth:`Grid.orbits`, in a time that hardly grows with the number of operations.

    Raises:
        ElfzooError: an operation does not map the grid onto itself, they are no group, or too many points for 32 bits.
    """
    if math.prod(shape) > MOST_POINTS:
        raise ElfzooError(f"orbits are of at most {MOST_POINTS} points; got a grid of {' x '.join(map(str, shape))}")
    matrices, shifts = _on_grid(shape, rotations, translations)
    found = _orbits_by_kernel(shape, matrices, shifts)
    return _orbits_by_arrays(shape, matrices, shifts) if found is None else found


def _orbits_by_kernel(shape: Shape, matrices: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """By ``native/orbits.c``; None without it, and where the other way can say better what is wrong."""
    library = native.load("elfzoo.io._orbits")
    if library is None:
        return None
    size = int(np.prod(shape))
    representatives, inverse = np.empty(size, np.int32), np.empty(size, np.int32)
    given = (np.ascontiguousarray(part, dtype=np.int32) for part in (matrices, shifts))
    parts = [np.array(shape, dtype=np.int32), *given, representatives, inverse]
    steps, *others = (part.ctypes.data_as(ctypes.c_void_p) for part in parts)
    count = library.elfzoo_orbits(steps, len(matrices), *others)
    return None if count < 0 else (representatives[:count].astype(np.int64), inverse)


def _orbits_by_arrays(shape: Shape, matrices: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A point that some operation maps onto a smaller flat index is no representative and is looked at no further, so
    the candidates become few after the first operations; only representatives go through all of them.
    """
    flat = np.arange(int(np.prod(shape)), dtype=np.int32)
    points = _coordinates(flat, shape)
    for n in range(len(matrices)):
        kept = _images(points, matrices[n, None], shifts[n, None], shape)[0] >= flat
        if not kept.all():
            flat, points = flat[kept], points[:, kept]
    return flat.astype(np.int64), _inverse(flat, matrices, shifts, shape)


def fold(
    representatives: Int[np.ndarray, " representatives"],
    shape: Shape,
    rotations: Int[np.ndarray, "ops 3 3"],
    translations: Float[np.ndarray, "ops 3"],
) -> dict[str, np.ndarray]:
    """The arrays beside the values of an asymmetric unit, from which :func:`unfold` makes the whole grid.

    Translations are rounded to the grid points that they are meant to reach.

    Raises:
        ElfzooError: a rotation of a very skewed cell does not fit int8.
    """
    if np.abs(rotations).max() > 127:
        raise ElfzooError(f"a rotation with the element {np.abs(rotations).max()}; expected at most 127 in int8")
    steps = np.array(shape)
    return {
        "shape": np.array(shape, dtype=np.int32),
        "rotations": rotations.astype(np.int8),
        "translations": np.round(translations * steps) % steps / steps,
        "gaps": np.diff(representatives, prepend=0).astype(np.int32),
    }


def unfold(
    values: Num[np.ndarray, " representatives"], arrays: Mapping[str, np.ndarray]
) -> Num[np.ndarray, "nx ny nz"]:
    """The whole grid from the asymmetric unit; only representatives go through the operations.

    Args:
        values: (representatives,) values in ascending flat order.
        arrays: ``shape``, ``rotations``, ``translations`` and ``gaps``; see the top of this file.

    Raises:
        ElfzooError: an array is missing or misshapen, the numbers of values and representatives differ, or the
            operations do not permute the grid points.
    """
    shape, (rotations, translations) = _grid_shape(arrays), _operations(arrays)
    size, gaps = int(np.prod(shape)), arrays.get("gaps", np.zeros(0))
    if gaps.shape != values.shape or gaps.dtype.kind not in "iu":
        raise ElfzooError(f"{len(values)} values for an asymmetric unit of {gaps.shape} points of type {gaps.dtype}")
    if not len(values) <= size <= len(values) * len(rotations):  # before anything of that size is made
        raise ElfzooError(f"{len(values)} values and {len(rotations)} operations cannot fill the grid {shape}")
    representatives = np.cumsum(gaps, dtype=np.int64)
    if representatives[0] != 0 or gaps[1:].min(initial=1) < 1 or representatives[-1] >= size:
        raise ElfzooError(f"the representatives are no ascending flat indices from 0 to below {size}")
    matrices, shifts = _on_grid(shape, rotations, translations)
    return values[_inverse(representatives.astype(np.int32), matrices, shifts, shape)].reshape(shape)


def encode(values: UInt16[np.ndarray, "nx ny nz"]) -> dict[str, np.ndarray]:
    """``planes``, and ``shape``, ``coding`` and ``predictor``, from which :func:`decode` makes the same values."""
    residuals = (values ^ np.uint16(0x8000)).view(np.int16)
    predictor = np.zeros((3, TAPS), dtype=np.int16)
    for axis in range(3):
        along = np.moveaxis(residuals, axis, 0)
        predictor[axis] = _fitted(along)
        residuals = np.moveaxis(_residuals(along, predictor[axis]), 0, axis)
    folded = ((residuals << 1) ^ (residuals >> 15)).astype("<i2")
    planes = np.ascontiguousarray(folded.reshape(-1, 1).view(np.uint8).T)
    shape = np.array(values.shape, dtype=np.int32)
    return {"planes": planes, "shape": shape, "coding": np.array(CODING), "predictor": predictor}


def decode(planes: Shaped[np.ndarray, " *stored"], arrays: Mapping[str, np.ndarray]) -> UInt16[np.ndarray, "nx ny nz"]:
    """The values that :func:`encode` was given.

    Args:
        planes: (2, points) uint8.
        arrays: ``shape``, ``coding`` and ``predictor``; see the top of this file.

    Raises:
        ElfzooError: another coding, or arrays that are missing or do not fit each other.
    """
    if str(arrays["coding"]) != CODING:
        raise ElfzooError(f"values in the coding {str(arrays['coding'])!r}; expected {CODING!r}, or a newer elfzoo")
    shape, predictor = _grid_shape(arrays), arrays.get("predictor", np.zeros(0))
    if planes.dtype != np.uint8 or planes.shape != (2, int(np.prod(shape))):
        raise ElfzooError(f"coded values {planes.shape} of type {planes.dtype} for the grid {shape}; expected 2 planes")
    if predictor.shape != (3, TAPS) or predictor.dtype != np.int16:
        raise ElfzooError(f"a predictor {predictor.shape} of type {predictor.dtype}; expected int16 (3, {TAPS})")
    residuals = _unplaned(planes).reshape(shape)
    for axis in (2, 1, 0):
        residuals = np.moveaxis(_summed(np.moveaxis(residuals, axis, 0), predictor[axis]), 0, axis)
    return np.ascontiguousarray(residuals).view(np.uint16) ^ np.uint16(0x8000)


def _asymmetric_unit(
    field: Field, values: np.ndarray, tolerance: float, demanded: bool
) -> tuple[np.ndarray, dict[str, np.ndarray], float] | None:
    """Means of the orbits, the arrays beside them, and the deviation; None where they cannot be had."""
    from elfzoo.symmetry import space_group_operations  # spglib: readers of files do without it

    try:
        rotations, translations = space_group_operations(field.structure)
        representatives, inverse = orbits(field.grid.shape, rotations, translations)
        means, deviation = orbit_means(values, inverse)
        if 2 * len(representatives) > values.size:
            raise ElfzooError(f"the asymmetric unit has {len(representatives)} of {values.size} points: over a half")
        if deviation > tolerance:
            raise ElfzooError(f"the field is off its space group by {deviation:.3g}; expected at most {tolerance:g}")
        return means, fold(representatives, field.grid.shape, rotations, translations), deviation
    except ElfzooError as error:
        if demanded:
            raise ElfzooError(f"no asymmetric unit can be stored: {error}") from error
        return None


def _unplaned(planes: UInt8[np.ndarray, "2 points"]) -> Int16[np.ndarray, " points"]:
    folded = np.ascontiguousarray(planes.T).view("<u2").ravel()
    return ((folded >> 1) ^ -(folded & 1)).astype(np.uint16).view(np.int16)


def _fitted(x: Int16[np.ndarray, " n *rest"]) -> Int16[np.ndarray, " taps"]:
    """Least-squares coefficients along the first axis, in units of 1/256.

    The sums are of integers, and exact in float64 up to 2^23 points: the same field gives the same bytes.
    """
    if len(x) <= TAPS:
        return np.array(FIRST_STEPS[-1], dtype=np.int16)
    rows = x.reshape(len(x), -1).astype(np.float64)
    lagged = [rows[TAPS - lag : len(x) - lag].ravel() for lag in range(TAPS + 1)]
    products = np.array([[a @ b for b in lagged] for a in lagged])
    best = np.linalg.lstsq(products[1:, 1:], products[1:, 0], rcond=1e-9)[0]
    return np.clip(np.rint(best * ONE), -LARGEST_COEFFICIENT, LARGEST_COEFFICIENT).astype(np.int16)


def _residuals(x: Int16[np.ndarray, " n *rest"], row: Int16[np.ndarray, " taps"]) -> Int16[np.ndarray, " n *rest"]:
    wide = np.ascontiguousarray(x).astype(np.int32)
    return np.stack([wide[k] - _prediction(wide, k, row) for k in range(len(x))]).astype(np.int16)


def _summed(r: Int16[np.ndarray, " n *rest"], row: Int16[np.ndarray, " taps"]) -> Int16[np.ndarray, " n *rest"]:
    wide = np.ascontiguousarray(r).astype(np.int32)
    for k in range(len(r)):
        wide[k] = (wide[k] + _prediction(wide, k, row)).astype(np.int16)
    return wide.astype(np.int16)


def _prediction(x: np.ndarray, k: int, row: np.ndarray) -> np.ndarray:
    """What the predecessors of plane ``k`` of ``x`` (int32) tell of it."""
    coefficients = FIRST_STEPS[k] if k < TAPS else row
    total = np.full(x.shape[1:], ONE // 2, dtype=np.int32)
    for lag in range(1, min(k, TAPS) + 1):
        total += np.int32(coefficients[lag - 1]) * x[k - lag]
    return total >> 8


def _grid_shape(arrays: Mapping[str, np.ndarray]) -> Shape:
    shape = arrays.get("shape", np.zeros(0))
    if shape.shape != (3,) or shape.dtype.kind not in "iu" or not 1 <= int(shape.min()) <= int(shape.max()) < 2**15:
        raise ElfzooError(f"a grid shape {shape.tolist()} of type {shape.dtype}; expected three positive integers")
    if int(np.prod(shape, dtype=np.int64)) >= 2**31:
        raise ElfzooError(f"a grid of {shape.tolist()} points; expected fewer than 2^31")
    return int(shape[0]), int(shape[1]), int(shape[2])


def _operations(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    rotations, translations = (arrays.get(key, np.zeros(0)) for key in ("rotations", "translations"))
    count = len(rotations) if rotations.ndim else 0
    fits = count and rotations.shape == (count, 3, 3) and translations.shape == (count, 3)
    if not fits or rotations.dtype.kind != "i" or translations.dtype.kind != "f" or not np.isfinite(translations).all():
        raise ElfzooError(
            f"rotations {rotations.shape} of type {rotations.dtype} and translations {translations.shape} of type "
            f"{translations.dtype}; expected integers (ops, 3, 3) and finite floats (ops, 3)"
        )
    return rotations.astype(np.int64), translations.astype(np.float64)


def _on_grid(shape: Shape, rotations: np.ndarray, translations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """:meth:`Grid.operations` in int32, half the memory of what is made with them."""
    matrices, shifts = Grid(shape, np.eye(3)).operations(rotations, translations)
    return matrices.astype(np.int32), shifts.astype(np.int32)


def _coordinates(flat: np.ndarray, shape: Shape) -> np.ndarray:
    """(3, points) integer grid coordinates, int32."""
    return np.stack(np.unravel_index(flat, shape)).astype(np.int32)


def _inverse(flat: np.ndarray, matrices: np.ndarray, shifts: np.ndarray, shape: Shape) -> np.ndarray:
    """(points,) for every grid point the place in ``flat`` of the representative whose images it belongs to."""
    images, places = _images(_coordinates(flat, shape), matrices, shifts, shape), np.arange(len(flat), dtype=np.int32)
    inverse = np.full(int(np.prod(shape)), -1, dtype=np.int32)
    inverse[images] = places
    unfilled, disputed = int((inverse < 0).sum()), bool((inverse[images] != places).any())
    if unfilled or disputed:
        reason = f"leave {unfilled} of {len(inverse)} grid points unfilled" if unfilled else "fill grid points twice"
        raise ElfzooError(f"the operations are no space group of the grid {shape}: they {reason}")
    return inverse


def _images(points: np.ndarray, matrices: np.ndarray, shifts: np.ndarray, shape: Shape) -> np.ndarray:
    """(ops, points) flat indices of the images of ``points`` (3, points), int32."""
    flat: np.ndarray = np.zeros((len(matrices), points.shape[1]), dtype=np.int32)
    for axis, n in enumerate(shape):
        image = shifts[:, axis, None]
        for factors, coordinate in zip(matrices[:, axis].T, points, strict=True):
            if factors.any():  # most are zero
                image = image + factors[:, None] * coordinate
        flat = flat * np.int32(n) + image % np.int32(n)
    return flat
