"""HDF5: exact round trips, the documented layout, damaged files."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from elfzoo.errors import FieldFileError
from elfzoo.io import read_field, write_field


@pytest.mark.parametrize("name", ["elf.h5", "elf.HDF5"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip_is_bitwise(field, tmp_path, dtype, name):
    field = field.replace(values=field.values.astype(dtype), spin="down", meta={"frame": 3})
    read = read_field(write_field(field, tmp_path / name))
    assert read.values.dtype == dtype
    np.testing.assert_array_equal(read.values, field.values)
    np.testing.assert_array_equal(read.structure.lattice.matrix, field.structure.lattice.matrix)
    np.testing.assert_array_equal(read.structure.frac_coords, field.structure.frac_coords)
    assert read.structure.species == field.structure.species
    assert (read.spin, read.recipe, read.quantity) == ("down", field.recipe, "elf")
    assert read.meta["frame"] == 3


def test_layout_is_the_documented_one(field, tmp_path):
    with h5py.File(write_field(field, tmp_path / "elf.h5")) as file:
        assert set(file) == {"values", "lattice", "frac_coords", "numbers"}
        assert (file.attrs["version"], file.attrs["quantity"], file.attrs["spin"]) == (1, b"elf", b"none")
        assert json.loads(file.attrs["meta"])["engine"] == "VASP 6.4.2"
        values = file["values"]
        assert values.chunks and values.compression == "gzip" and values.shuffle and values.fletcher32
        np.testing.assert_array_equal(values[()], field.values)


def test_others_may_write_plain_text_attributes(field, assert_same, tmp_path):
    path = write_field(field, tmp_path / "elf.h5")
    with h5py.File(path, "r+") as file:
        for name in ("quantity", "spin", "meta"):
            file.attrs[name] = file.attrs[name].decode()
    assert_same(read_field(path), field)


def test_writing_is_reproducible(field, tmp_path):
    first, second = (write_field(field, tmp_path / name).read_bytes() for name in ("a.h5", "b.h5"))
    assert first == second


def _replace(file, name, data):
    del file[name]
    file[name] = data


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.__delitem__("lattice"), "holds frac_coords, numbers, values; expected values, lattice"),
        (lambda file: file.attrs.__setitem__("version", 2), "format version 2; expected 1"),
        (lambda file: file.attrs.__delitem__("version"), "format version None; expected 1"),
        (lambda file: file.attrs.__setitem__("meta", "[1"), "meta is no JSON object"),
        (lambda file: _replace(file, "values", [1, 2]), "type int64"),
        (lambda file: _replace(file, "values", np.full((2, 2, 3), np.inf)), r"value inf at grid point \(0, 0, 0\)"),
        (lambda file: _replace(file, "numbers", [[1.5]]), "expected floats, integers and floats"),
        (lambda file: _replace(file, "frac_coords", [[0.0, 0.0]]), "coordinates"),
    ],
)
def test_contents_that_do_not_fit_are_named(field, tmp_path, damage, message):
    path = write_field(field, tmp_path / "bad.h5")
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(FieldFileError, match=message) as error:
        read_field(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("part", [0.001, 0.2, 0.6, 0.95])
def test_truncated_files_are_named(field, tmp_path, part):
    path = write_field(field, tmp_path / "cut.h5")
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(FieldFileError, match=r"cut.h5 is no HDF5 file, or damaged or truncated"):
        read_field(path)


@pytest.mark.parametrize("name", ["values", "lattice", "frac_coords", "numbers"])
def test_changed_numbers_are_noticed(field, tmp_path, name):
    path = write_field(field, tmp_path / "flipped.h5")
    with h5py.File(path) as file:
        chunk = file[name].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FieldFileError, match="damaged"):
        read_field(path)
