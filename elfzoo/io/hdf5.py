"""HDF5: datasets ``values``, ``lattice``, ``frac_coords``, ``numbers``; attributes ``quantity``, ``spin``, ``meta``."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field
from elfzoo.io.content import field_from, pack_meta
from elfzoo.io.files import read_bytes, whole_file, write_bytes
from elfzoo.structure import structure_from

__all__ = ["read", "stream", "write"]

VERSION = 1
DATASETS = ("values", "lattice", "frac_coords", "numbers")
ATTRIBUTES = ("version", "quantity", "spin", "meta")
# Since 1.10 the library guards its own structures by checksums; text of fixed length stays out of the global heap,
# which has none and in which a damaged file can lock the library up.
LIBVER = ("v110", "v110")
Put = Callable[[tuple[slice, ...], np.ndarray], None]
STORED: dict[str, Any] = {"compression": "gzip", "shuffle": True, "fletcher32": True}


def read(path: Path, species: Sequence[str] | None = None) -> dict[str, Field]:
    """The field of an HDF5 file, under ``"total"``, ``"up"`` or ``"down"``.

    Datasets: ``values`` (nx, ny, nz), ``lattice`` (3, 3) rows in Å, ``frac_coords`` (atoms, 3), ``numbers`` (atoms,).
    Attributes of the root: ``version``, ``quantity``, ``spin`` ("up", "down" or "none"), ``meta`` (JSON text).

    Raises:
        FieldFileError: see :func:`elfzoo.io.read_fields`; also a file of a later format version.
    """
    if species is not None:
        raise ElfzooError("species are for files without element symbols; an HDF5 file has atomic numbers")
    arrays, attributes = _load(path)
    if wrong := sorted(name for name, value in attributes.items() if not isinstance(value, str | int | np.integer)):
        raise FieldFileError(f"{path}: the attributes {', '.join(wrong)} are arrays; expected one number or text each")
    if attributes.get("version") != VERSION:
        raise FieldFileError(f"{path}: format version {attributes.get('version')}; expected {VERSION}")
    values, lattice, coords, numbers = (arrays[key] for key in DATASETS)
    field = field_from(values, structure_from(lattice, numbers, coords), _meta(path, attributes))
    return {field.spin or "total": field}


def write(fields: Mapping[str, Field], path: Path) -> None:
    """Write one field, values in their own type; everything is compressed and guarded by checksums."""
    field = next(iter(fields.values()))
    buffer = io.BytesIO()  # in memory, so that a full disk meets one plain write and not the HDF5 library
    with h5py.File(buffer, "w", libver=LIBVER) as file:
        _write_attributes(file, field)
        file.create_dataset(DATASETS[0], data=field.values, chunks=True, **STORED)
        _write_structure(file, field)
    write_bytes(path, [buffer.getvalue()])


@contextmanager
def stream(field: Field, path: Path, chunks: tuple[int, int, int]) -> Iterator[Put]:
    """A field file whose values are written piece by piece; it appears whole, when all of them are there.

    Args:
        field: what the file is to say of its values; of these, type and shape count alone.
        path: where the file is to be.
        chunks: points along each axis of what is compressed together; pieces of this shape are written at once.

    Yields:
        A function that writes the values of a box.

    Raises:
        FieldFileError: the file cannot be written; what was there before is untouched.
    """
    with whole_file(path) as temporary, _Sink(temporary, "x+") as sink:
        with h5py.File(sink, "w", libver=LIBVER) as file:
            _write_attributes(file, field)
            values = file.create_dataset(DATASETS[0], field.values.shape, field.values.dtype, chunks=chunks, **STORED)

            def put(box: tuple[slice, ...], piece: np.ndarray) -> None:
                values[box] = piece
                sink.check()

            yield put
            _write_structure(file, field)
        sink.check()
        os.fsync(sink.fileno())


class _Sink(io.FileIO):
    """A file that keeps its first error for :meth:`check`: the HDF5 library cannot be closed after a failed write."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self.error is None:
            try:
                done += super().write(view[done:]) or 0
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.error is not None:
            raise self.error


def _write_attributes(file: h5py.File, field: Field) -> None:
    meta = pack_meta(field)
    file.attrs["version"] = VERSION
    for key, text in (("quantity", meta["quantity"]), ("spin", meta["spin"]), ("meta", json.dumps(meta))):
        file.attrs[key] = np.bytes_(text.encode("utf-8"))


def _write_structure(file: h5py.File, field: Field) -> None:
    numbers = np.array(field.structure.atomic_numbers, dtype=np.int64)
    arrays = (field.structure.lattice.matrix, field.structure.frac_coords, numbers)
    for name, data in zip(DATASETS[1:], arrays, strict=True):
        file.create_dataset(name, data=data, chunks=True, **STORED)


def _load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    data = read_bytes(path)
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            missing = [key for key in DATASETS if key not in file]
            arrays = {key: np.asarray(file[key][()]) for key in DATASETS if key in file}
            found = ", ".join(file) or "nothing"
            attributes = {key: _plain(file.attrs[key]) for key in ATTRIBUTES if key in file.attrs}
    except Exception as error:  # the HDF5 library has no exception of its own
        raise FieldFileError(f"{path} is no HDF5 file, or damaged or truncated: {error}") from error
    if missing:
        raise FieldFileError(f"{path} holds {found}; expected {', '.join(DATASETS)}")
    return arrays, attributes


def _plain(attribute: Any) -> Any:
    return attribute.decode("utf-8") if isinstance(attribute, bytes) else attribute


def _meta(path: Path, attributes: Mapping[str, Any]) -> dict[str, Any]:
    try:
        meta = dict(json.loads(str(attributes.get("meta", "{}"))))
    except (ValueError, TypeError) as error:
        raise FieldFileError(f"{path}: the attribute meta is no JSON object: {error}") from error
    return {**meta, **{key: str(attributes[key]) for key in ("quantity", "spin") if key in attributes}}
