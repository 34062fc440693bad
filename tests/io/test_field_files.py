"""What holds for every format: names, gzip, whole-or-nothing writing, and one clear error for a bad file."""

from __future__ import annotations

import builtins
import errno
import gzip
import io
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure

import elfzoo.field
from elfzoo.errors import ElfzooError, FieldFileError, UnknownNameError
from elfzoo.field import Field, Recipe
from elfzoo.io import FORMATS, files, read_field, read_fields, write_field, write_fields
from elfzoo.io.files import format_of

NAMES = {"elfcar": "ELFCAR", "cube": "elf.cube", "xsf": "elf.xsf", "npz": "elf.npz", "hdf5": "elf.h5"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ELFCAR", "elfcar"),
        ("elfcar", "elfcar"),
        ("ELFCAR.dft.gz", "elfcar"),
        ("H3S.ELFCAR", "elfcar"),
        ("H3S_ELFCAR.gz", "elfcar"),
        ("a.elfcar", "elfcar"),
        ("a.VASP", "elfcar"),
        ("ELFCAR_7.cube", "cube"),
        ("a.CUB.GZ", "cube"),
        ("a.xsf", "xsf"),
        ("a.npz", "npz"),
        ("a.h5", "hdf5"),
        ("a.hdf5", "hdf5"),
    ],
)
def test_names_decide_formats(tmp_path, name, expected):
    assert format_of(tmp_path / name) == expected


@pytest.mark.parametrize("name", ["elf.dat", "elf", "elf.cube.txt", ".gz", "POSCAR"])
def test_unknown_names_list_the_formats(field, tmp_path, name):
    with pytest.raises(ElfzooError, match="tells no field file format") as error:
        write_field(field, tmp_path / name)
    assert all(known in str(error.value) for known in FORMATS)
    assert list(tmp_path.iterdir()) == []


def test_other_compression_is_refused_rather_than_feigned(field, tmp_path):
    with pytest.raises(ElfzooError, match=r"ELFCAR.xz is compressed in a way that is not supported"):
        write_field(field, tmp_path / "ELFCAR.xz")


@pytest.mark.parametrize("format", list(FORMATS))
def test_a_format_may_be_named(field, assert_same, tmp_path, format):
    path = write_field(field, tmp_path / "data", format=format)
    assert_same(read_field(path, format=format), field, 1e-10)
    with pytest.raises(UnknownNameError, match="did you mean cube"):
        read_field(path, format="cubes")


@pytest.mark.parametrize("name", list(NAMES.values()))
def test_field_reads_and_writes_by_itself(field, assert_same, tmp_path, name):
    assert field.write(tmp_path / name) == tmp_path / name
    assert_same(elfzoo.field.read_field(str(tmp_path / name)), field, 1e-10)


def test_one_field_may_come_in_a_mapping(field, assert_same, tmp_path):
    assert_same(read_fields(write_fields({"total": field}, tmp_path / "a.h5"))["total"], field)


@pytest.mark.parametrize("name", ["elf.cube", "elf.npz"])
def test_gzip_is_seen_by_content(field, assert_same, tmp_path, name):
    path = write_field(field, tmp_path / name)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert_same(read_field(path), field, 1e-10)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_gzip_is_named(field, tmp_path, part):
    path = write_field(field, tmp_path / "ELFCAR.gz")
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(FieldFileError, match=r"ELFCAR.gz is a damaged or truncated gzip file"):
        read_field(path)


def test_damaged_gzip_is_named(field, tmp_path):
    path = write_field(field, tmp_path / "ELFCAR.gz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FieldFileError, match="damaged or truncated gzip file"):
        read_field(path)


@pytest.mark.parametrize("name", list(NAMES.values()))
def test_missing_empty_and_foreign_files_are_named(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(FieldFileError, match=f"no such field file: {path}"):
        read_field(path)
    path.write_bytes(b"")
    with pytest.raises(FieldFileError, match=f"{path} is empty"):
        read_field(path)
    for content in (b"\n\n\n", b"hello\nworld\n", bytes(range(256)) * 3):
        path.write_bytes(content)
        with pytest.raises(FieldFileError) as error:
            read_field(path)
        assert str(path) in str(error.value)
    path.unlink()
    path.mkdir()
    with pytest.raises(FieldFileError, match=f"cannot read {path}: Is a directory"):
        read_field(path)


@pytest.mark.parametrize("name", ["elf.xsf", "elf.npz", "elf.h5"])
def test_species_belong_to_files_that_lack_them(field, tmp_path, name):
    with pytest.raises(ElfzooError, match="species are for files without element symbols"):
        read_field(write_field(field, tmp_path / name), species=["H", "La", "Na"])


class FullDisk(io.FileIO):
    """A file on a disk with 300 bytes left."""

    def write(self, data):
        if self.tell() + len(data) > 300:
            super().write(data[: max(0, 300 - self.tell())])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("name", [*NAMES.values(), "ELFCAR.gz"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(field, tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(b"the old file")
    monkeypatch.setattr(files, "open", FullDisk, raising=False)
    with pytest.raises(FieldFileError, match=f"cannot write {path}: No space left on device"):
        write_field(field, path)
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_the_old_file_and_nothing_else(field, tmp_path, monkeypatch):
    path = tmp_path / "ELFCAR"
    path.write_bytes(b"the old file")

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_field(field, path)
    assert path.read_bytes() == b"the old file" and list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written_are_named(field, tmp_path):
    with pytest.raises(FieldFileError, match=r"cannot write .*nowhere/ELFCAR: No such file or directory"):
        write_field(field, tmp_path / "nowhere" / "ELFCAR")
    (tmp_path / "file").write_text("")
    with pytest.raises(FieldFileError, match=r"cannot write .*Not a directory"):
        write_field(field, tmp_path / "file" / "ELFCAR")


def test_links_stay_links_and_modes_follow_the_umask(field, tmp_path):
    target, link = tmp_path / "target.npz", tmp_path / "elf.npz"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_field(field, link)
    assert link.is_symlink() and read_field(target).values.shape == field.values.shape
    with builtins.open(tmp_path / "plain", "w"):
        assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode


SMALL = Structure([[3.0, 0.2, 0], [0, 3.3, -0.4], [0.5, 0, 3.1]], ["Li", "H"], [[0, 0, 0], [0.4, 0.5, 0.6]])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(*[st.integers(1, 4)] * 3),
    seed=st.integers(0, 2**32 - 1),
    exponent=st.integers(-30, 0),
    spin=st.sampled_from([None, "up", "down"]),
    recipe=st.sampled_from([None, Recipe("GPAW 24.1", "r2SCAN", "PAW"), Recipe("VASP 6.4.2", "PBE", "")]),
    format=st.sampled_from(sorted(FORMATS)),
)
def test_any_float32_field_goes_round(tmp_path, assert_same, shape, seed, exponent, spin, recipe, format):
    values = (np.random.default_rng(seed).random(shape) * 10.0**exponent).astype(np.float32)
    field = Field(values, SMALL, spin=spin, recipe=recipe)
    assert_same(read_field(write_field(field, tmp_path / NAMES[format])), field, 1e-10)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    format=st.sampled_from(sorted(FORMATS)),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    length=st.floats(0.02, 1),
)
def test_damage_gives_a_field_or_one_clear_error(tmp_path, format, places, length):
    field = Field(np.linspace(0, 1, 24).reshape(2, 3, 4), SMALL)
    path = write_field(field, tmp_path / NAMES[format])
    data = bytearray(path.read_bytes())
    for place, byte in places:
        data[int(place * len(data))] = byte
    path.write_bytes(data[: int(length * len(data))])
    try:
        read = read_fields(path)
    except FieldFileError as error:
        assert str(path) in str(error)  # anything else that is raised fails the test
    else:
        assert all(np.isfinite(channel.values).all() for channel in read.values())


@pytest.mark.parametrize("engine", ["VASP 6.4.2 (gam)", "CP2K/2024.1", "Quantum ESPRESSO 7.3.1-dev", "GPAW 24.1"])
@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.cube", "a.xsf", "ELFCAR"])
def test_recipes_come_back_as_they_are(field, engine, name, tmp_path):
    recipe = Recipe(engine, "PBE", "GTH (q1)")
    assert read_field(write_field(field.replace(recipe=recipe), tmp_path / name)).recipe == recipe


def test_what_an_engine_says_beyond_the_recipe_is_kept(field, tmp_path):
    recipe = Recipe("Quantum ESPRESSO 7.2-gpu", "PBE", "GTH")
    longer = {**field.meta, "engine": "Quantum ESPRESSO 7.2-gpu, mended"}
    found = read_field(write_field(field.replace(recipe=recipe, meta=longer), tmp_path / "a.npz"))
    assert found.recipe == recipe and found.meta["engine"] == longer["engine"]
    other = found.replace(recipe=Recipe("GPAW 24.1", "PBE", "PAW"))
    found = read_field(write_field(other, tmp_path / "b.npz"))
    assert found.recipe == other.recipe and "recipe" not in found.meta


def test_channels_are_what_they_are_called(field, tmp_path):
    with pytest.raises(ElfzooError, match="the field for 'up' is of the channel 'total'"):
        write_fields({"up": field}, tmp_path / "a.cube")
    up, down = field.replace(spin="up"), field.replace(spin="down", quantity="density")
    with pytest.raises(ElfzooError, match="the channel down holds the quantity 'density'"):
        write_fields({"up": up, "down": down}, tmp_path / "ELFCAR")


def test_the_longest_name_can_be_written(field, tmp_path):
    name = "a" * 250 + ".npz"
    assert write_field(field, tmp_path / name).is_file()
