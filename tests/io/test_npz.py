"""The layout of the reference data: exact round trips, quantised fields, damaged archives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Recipe
from elfzoo.io import read_field, write_field

REFERENCE = Path(__file__).parents[2] / "benchmarks" / "data" / "crystal-h" / "hexagonal_032.npz"


def test_reads_reference_data():
    field = read_field(REFERENCE)
    with np.load(REFERENCE, allow_pickle=False) as raw:
        assert set(np.rint(field.values.astype(np.float64) * 65535).ravel()) == set(raw["elf"])
        assert field.values.shape == tuple(raw["shape"])
        np.testing.assert_array_equal(field.structure.frac_coords, raw["frac_coords"])
        np.testing.assert_array_equal(field.structure.lattice.matrix, raw["lattice"])
    assert field.values.dtype == np.float32 and field.structure.formula == "H4"
    assert field.recipe == Recipe("Quantum ESPRESSO 6.7", "PBE", "GTH-PBE-q1")
    assert field.spin is None and field.meta["space_group"] == "P6mm (183)"


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_round_trip_is_bitwise(field, tmp_path, dtype):
    field = field.replace(values=field.values.astype(dtype), spin="up", meta={"frame": 3, "note": "größer"})
    read = read_field(write_field(field, tmp_path / "elf.npz"))
    assert read.values.dtype == dtype
    np.testing.assert_array_equal(read.values, field.values)
    np.testing.assert_array_equal(read.structure.lattice.matrix, field.structure.lattice.matrix)
    np.testing.assert_array_equal(read.structure.frac_coords, field.structure.frac_coords)
    assert read.structure.species == field.structure.species
    assert (read.spin, read.recipe, read.quantity) == ("up", field.recipe, "elf")
    assert read.meta["frame"] == 3 and read.meta["note"] == "größer"


def test_keys(field, tmp_path):
    """Those of the reference data too, which say besides how the grid is thinned."""
    with np.load(write_field(field, tmp_path / "elf.npz")) as ours, np.load(REFERENCE) as reference:
        assert set(ours.files) == {"elf", "lattice", "frac_coords", "numbers", "meta"} < set(reference.files)
        meta = json.loads(str(ours["meta"]))
    assert (meta["engine"], meta["functional"], meta["spin"]) == ("VASP 6.4.2", "PBE", "none")


def test_another_quantity_has_its_own_key(field, tmp_path):
    path = write_field(field.replace(quantity="density", values=field.values * 9), tmp_path / "n.npz")
    with np.load(path) as archive:
        assert "density" in archive and "elf" not in archive
    assert read_field(path).quantity == "density"
    with pytest.raises(ElfzooError, match="cannot be called 'meta'"):
        write_field(field.replace(quantity="meta"), tmp_path / "n.npz")


def test_metadata_that_json_cannot_hold_are_refused(field, tmp_path):
    with pytest.raises(ElfzooError, match="meta cannot be written as JSON"):
        write_field(field.replace(meta={"when": object()}), tmp_path / "elf.npz")
    assert list(tmp_path.iterdir()) == []


def _save(path, **changes):
    with np.load(REFERENCE) as raw:
        arrays = {**{key: raw[key] for key in raw.files}, **changes}
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lattice": None}, "expected lattice, frac_coords, numbers"),
        ({"elf": None}, "one field"),
        ({"density": np.zeros((2, 2, 2))}, "one field"),
        ({"elf": np.zeros((2, 2), np.uint16)}, r"shape \(2, 2\); expected floats"),
        ({"elf": np.zeros((2, 2, 2), np.int64)}, "type int64"),
        ({"elf": np.zeros((2, 0, 2))}, r"shape \(2, 0, 2\)"),
        ({"elf": np.full((2, 3, 2), np.nan)}, r"value nan at grid point \(0, 0, 0\)"),
        ({"elf": np.full((2, 3, 2), 1.01)}, r"value 1.01 at grid point"),
        ({"lattice": np.eye(2)}, r"lattice \(2, 2\)"),
        ({"lattice": np.zeros((3, 3))}, "no volume"),
        ({"numbers": np.array([1, 1, 1, 0])}, r"atomic numbers \[0\]"),
        ({"numbers": np.array([1.0, 1, 1, 1])}, "expected floats, integers and floats"),
        ({"numbers": np.array([1, 1])}, "expected .*atoms"),
        ({"meta": np.array("{")}, "meta is no JSON object"),
        ({"meta": np.array("3")}, "meta is no JSON object"),
    ],
)
def test_contents_that_do_not_fit_are_named(tmp_path, changes, message):
    path = _save(tmp_path / "bad.npz", **changes)
    with pytest.raises(FieldFileError, match=message) as error:
        read_field(path)
    assert str(path) in str(error.value)


def test_pickles_stay_closed(tmp_path):
    path = _save(tmp_path / "bad.npz", elf=np.array([{}], dtype=object))
    with pytest.raises(FieldFileError, match=r"damaged or truncated .npz file"):
        read_field(path)


def test_meta_is_optional(tmp_path):
    field = read_field(_save(tmp_path / "bare.npz", meta=None))
    assert field.recipe is None and field.quantity == "elf"


@pytest.mark.parametrize("part", [0.01, 0.3, 0.7, 0.99])
def test_truncated_archives_are_named(tmp_path, part):
    data = REFERENCE.read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(FieldFileError, match=r"cut.npz is a damaged or truncated .npz file"):
        read_field(path)


def test_changed_bytes_are_noticed(tmp_path):
    data = bytearray(REFERENCE.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path = tmp_path / "flipped.npz"
    path.write_bytes(data)
    with pytest.raises(FieldFileError, match="damaged"):
        read_field(path)


def test_other_files_are_no_archives(tmp_path):
    path = tmp_path / "text.npz"
    path.write_text("not an archive")
    with pytest.raises(FieldFileError, match=r"is no .npz file"):
        read_field(path)
