"""Reference fields in small files: exact coding, asymmetric units of screw and glide groups, damaged files."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pymatgen.core import Lattice, Structure

import elfzoo.symmetry
from elfzoo import native
from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field, Recipe
from elfzoo.grid import Grid
from elfzoo.io import read_field
from elfzoo.io.symmetric import decode, encode, fold, orbits, unfold, write_reference
from elfzoo.symmetry import space_group_operations

STEP = 1 / 65535
HEXAGONAL = Lattice.hexagonal(2.6, 3.4)
STRUCTURES = {
    "P6_522": Structure.from_spacegroup("P6522", HEXAGONAL, ["H"], [[0.21, 0.33, 0.07]]),
    "P6_122": Structure.from_spacegroup("P6122", HEXAGONAL, ["H"], [[0.21, 0.33, 0.07]]),
    "Fd-3m": Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.57), ["C"], [[0, 0, 0]]),
    "Fd-3m primitive": Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.57), ["C"], [[0, 0, 0]]),
    "Im-3m": Structure(Lattice.cubic(3.0), ["S", "S"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "P1": Structure([[3.1, 0.1, 0], [-0.7, 2.6, 0.2], [0.3, 0.5, 2.9]], ["H"] * 2, [[0, 0, 0.1], [0.4, 0.3, 0.7]]),
}
STRUCTURES["P1"].append("Na", [0.7, 0.21, 0.33])
STRUCTURES["Fd-3m primitive"] = STRUCTURES["Fd-3m primitive"].get_primitive_structure()


def symmetric_elf(structure, spacing=0.25):
    """Gaussians on the atoms through a sigmoid, on a grid that the space group maps onto itself."""
    grid = Grid.for_symmetry(structure.lattice.matrix, spacing, *space_group_operations(structure))
    distances = structure.lattice.get_all_distances(grid.frac_coords(), structure.frac_coords)
    logits = 6 * np.exp(-((distances / 0.6) ** 2)).sum(axis=1) - 2
    values = (1 / (1 + np.exp(-logits))).reshape(grid.shape)
    return Field(values, structure, recipe=Recipe("Quantum ESPRESSO 6.7", "PBE", "GTH-PBE-q1"), meta={"frame": 3})


@pytest.fixture(scope="module", params=STRUCTURES)
def crystal(request):
    return symmetric_elf(STRUCTURES[request.param])


@pytest.fixture(scope="module")
def screw():
    return symmetric_elf(STRUCTURES["P6_522"])


@pytest.fixture
def stored(screw, tmp_path):
    """An asymmetric unit on disk, and its arrays."""
    write_reference(screw, tmp_path / "unit.npz", symmetric=True)
    with np.load(tmp_path / "unit.npz") as archive:
        return {key: archive[key] for key in archive.files}


def save(path, arrays, **changes):
    np.savez(path, **{key: value for key, value in {**arrays, **changes}.items() if value is not None})
    return path


@pytest.mark.parametrize("compiled", [True, False])
def test_orbits_are_those_of_the_grid(crystal, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr("elfzoo.io.symmetric.native.load", lambda module: None)
    elif native.load("elfzoo.io._orbits") is None:
        pytest.skip("elfzoo was built without a C compiler")
    operations = space_group_operations(crystal.structure)
    for found, expected in zip(orbits(crystal.grid.shape, *operations), crystal.grid.orbits(*operations), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("compiled", [True, False])
def test_operations_that_are_no_group_are_refused(screw, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr("elfzoo.io.symmetric.native.load", lambda module: None)
    rotations, translations = space_group_operations(screw.structure)
    with pytest.raises(ElfzooError, match="no space group"):
        orbits(screw.grid.shape, rotations[1:3], translations[1:3])
    with pytest.raises(ElfzooError, match="no space group"):  # closed but for one operation
        orbits(screw.grid.shape, rotations[:-1], translations[:-1])
    with pytest.raises(ElfzooError, match="not mapped onto itself"):
        orbits((7, 8, 9), rotations, translations)
    with pytest.raises(ElfzooError, match="at most 2147483647 points; got a grid of 1300 x 1300 x 1300"):
        orbits((1300, 1300, 1300), rotations, translations)


def test_round_trip(crystal, tmp_path):
    path = tmp_path / "elf.npz"
    assert write_reference(crystal, path) == path.stat().st_size
    first = read_field(path)
    with np.load(path) as archive:
        assert ("rotations" in archive) == (crystal.structure.composition.reduced_formula != "NaH2")
    assert np.abs(first.values.astype(np.float64) - crystal.values).max() <= 0.501 * STEP  # float32 adds a little
    assert first.values.dtype == np.float32 and first.recipe == crystal.recipe and first.meta["frame"] == 3
    np.testing.assert_array_equal(first.structure.frac_coords, crystal.structure.frac_coords)
    again = tmp_path / "again.npz"
    write_reference(first, again)
    np.testing.assert_array_equal(read_field(again).values, first.values)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("symmetric", [None, False])
def test_the_same_field_gives_the_same_bytes_at_any_time(screw, tmp_path, monkeypatch, symmetric):
    write_reference(screw, tmp_path / "now.npz", symmetric)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write_reference(screw, tmp_path / "later.npz", symmetric)
    assert (tmp_path / "now.npz").read_bytes() == (tmp_path / "later.npz").read_bytes()


def test_reading_needs_no_symmetry_finder(screw, tmp_path, monkeypatch):
    write_reference(screw, tmp_path / "elf.npz", symmetric=True)
    monkeypatch.setattr(elfzoo.symmetry.spglib, "get_symmetry", None)
    assert np.abs(read_field(tmp_path / "elf.npz").values - screw.values).max() <= 0.501 * STEP


def test_keys_of_the_asymmetric_unit(screw, stored):
    rotations, translations = space_group_operations(screw.structure)
    representatives, _ = screw.grid.orbits(rotations, translations)
    assert stored["elf"].dtype == np.uint16 and stored["rotations"].dtype == np.int8
    np.testing.assert_array_equal(stored["elf"], np.rint(screw.values.ravel()[representatives] * 65535))
    np.testing.assert_array_equal(np.cumsum(stored["gaps"]), representatives)
    np.testing.assert_array_equal(stored["rotations"], rotations)
    np.testing.assert_allclose((stored["translations"] - translations + 0.5) % 1, 0.5, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(stored["shape"], screw.values.shape)
    assert json.loads(str(stored["meta"]))["symmetry_deviation"] < 1e-9


def test_small_deviations_become_orbit_means_and_are_recorded(screw, tmp_path, rng):
    noisy = screw.replace(values=screw.values.clip(0.01, 0.99) + rng.uniform(-1e-3, 1e-3, screw.values.shape))
    _, inverse = noisy.grid.orbits(*space_group_operations(noisy.structure))
    means = (np.bincount(inverse, noisy.values.ravel()) / np.bincount(inverse))[inverse].reshape(noisy.values.shape)
    write_reference(noisy, tmp_path / "elf.npz")
    read = read_field(tmp_path / "elf.npz")
    assert np.abs(read.values - means).max() <= 0.501 * STEP
    assert read.meta["symmetry_deviation"] == pytest.approx(np.abs(means - noisy.values).max(), rel=1e-9)
    write_reference(read, tmp_path / "again.npz")  # what was deviation once is not forgotten
    assert read_field(tmp_path / "again.npz").meta["symmetry_deviation"] == read.meta["symmetry_deviation"]


def test_a_field_without_the_symmetry_is_stored_whole(screw, tmp_path):
    values = screw.values.copy()
    values[1, 2, 3] += 0.01
    broken = screw.replace(values=values)
    write_reference(broken, tmp_path / "elf.npz")
    assert np.abs(read_field(tmp_path / "elf.npz").values - values).max() <= 0.501 * STEP
    with pytest.raises(ElfzooError, match=r"no asymmetric unit .* off its space group by 0\.00\d+"):
        write_reference(broken, tmp_path / "unit.npz", symmetric=True)
    write_reference(broken, tmp_path / "unit.npz", tolerance=0.02)
    assert "symmetry_deviation" in read_field(tmp_path / "unit.npz").meta


def test_a_grid_or_group_without_use_is_stored_whole(screw, tmp_path, rng):
    uneven = screw.replace(values=rng.random((6, 6, 7)))
    with pytest.raises(ElfzooError, match="not mapped onto itself"):
        write_reference(uneven, tmp_path / "elf.npz", symmetric=True)
    with pytest.raises(ElfzooError, match="over a half"):
        write_reference(symmetric_elf(STRUCTURES["P1"]), tmp_path / "elf.npz", symmetric=True)
    assert list(tmp_path.iterdir()) == []
    write_reference(uneven, tmp_path / "elf.npz")
    assert np.abs(read_field(tmp_path / "elf.npz").values - uneven.values).max() <= 0.501 * STEP


def test_the_asymmetric_unit_saves_what_the_group_has_operations(tmp_path):
    crystal = symmetric_elf(STRUCTURES["Im-3m"], spacing=0.08)
    assert write_reference(crystal, tmp_path / "unit.npz") < 6000
    with np.load(tmp_path / "unit.npz") as archive:
        assert 96 * archive["elf"].size < 2 * crystal.values.size


def test_the_prediction_saves_space(tmp_path):
    smooth = symmetric_elf(STRUCTURES["P1"], spacing=0.08)
    np.savez_compressed(tmp_path / "plain.npz", elf=np.rint(smooth.values * 65535).astype(np.uint16))
    assert write_reference(smooth, tmp_path / "whole.npz") < 0.6 * (tmp_path / "plain.npz").stat().st_size


@pytest.mark.parametrize("value", [1.00001, -0.00001, np.nan, np.inf])
def test_values_that_are_no_elf_are_refused(screw, tmp_path, value):
    write_reference(screw, tmp_path / "elf.npz")
    before, values = (tmp_path / "elf.npz").read_bytes(), screw.values.copy()
    values[0, 0, 0] = value
    with pytest.raises(ElfzooError, match=r"lies within \[0, 1\]"):
        write_reference(screw.replace(values=values), tmp_path / "elf.npz")
    assert (tmp_path / "elf.npz").read_bytes() == before


def test_rounding_is_clipped_and_other_files_are_refused(tmp_path):
    edge = Field(np.array([[[-5e-7, 1 + 5e-7, 0.5]]]), STRUCTURES["P1"])
    write_reference(edge, tmp_path / "elf.npz")
    np.testing.assert_allclose(read_field(tmp_path / "elf.npz").values, [[[0, 1, 0.5]]], atol=STEP)
    with pytest.raises(ElfzooError, match=r"stored as \.npz"):
        write_reference(edge, tmp_path / "elf.cube")
    with pytest.raises(ElfzooError, match="cannot be called 'gaps'"):
        write_reference(edge.replace(quantity="gaps"), tmp_path / "elf.npz")


@given(npst.arrays(np.uint16, npst.array_shapes(min_dims=3, max_dims=3, max_side=9)))
def test_the_prediction_is_lossless(values):
    arrays = encode(values)
    np.testing.assert_array_equal(decode(arrays.pop("planes"), arrays), values)


def test_the_prediction_follows_its_description():
    """An independent reader of the documented layout, value by value."""
    values = np.random.default_rng(1).integers(0, 65536, (5, 6, 4)).astype(np.uint16)
    arrays = encode(values)
    low, high = (plane.astype(int) for plane in arrays["planes"])
    folded = low + 256 * high
    x = np.where(folded % 2, -(folded + 1) // 2, folded // 2).reshape(values.shape)
    for axis in (2, 1, 0):
        x = np.moveaxis(x, axis, 0).copy()
        for k, *place in np.ndindex(x.shape):
            row = [(0, 0, 0), (256, 0, 0), (512, -256, 0)][k] if k < 3 else arrays["predictor"][axis]
            sums = sum(int(row[j]) * int(x[(k - j - 1, *place)]) for j in range(min(k, 3)))
            x[(k, *place)] = (int(x[(k, *place)]) + ((sums + 128) >> 8) + 32768) % 65536 - 32768
        x = np.moveaxis(x, 0, axis)
    np.testing.assert_array_equal(x + 32768, values)


def test_a_periodic_wave_is_predicted_to_a_rounding():
    """A sine obeys x[k] = 2 cos(w) x[k-1] - x[k-2] exactly; only rounding is left of it."""
    wave = np.sin(2 * np.pi * np.arange(40) / 20)
    values = np.rint(32768 + 3000 * wave[:, None, None] * np.ones((40, 2, 2))).astype(np.uint16)
    planes = encode(values)["planes"].reshape(2, 40, 2, 2)
    assert planes[1, 4:].max() == 0 and np.median(planes[0, 4:]) <= 8


@given(st.data())
def test_any_values_unfold_to_the_whole_grid(data):
    structure = STRUCTURES[data.draw(st.sampled_from(["P6_522", "P6_122", "Fd-3m primitive"]))]
    operations = space_group_operations(structure)
    shape = Grid.for_symmetry(structure.lattice.matrix, 0.6, *operations).shape
    representatives, inverse = Grid(shape, structure.lattice.matrix).orbits(*operations)
    values = data.draw(npst.arrays(np.uint16, len(representatives)))
    whole = unfold(values, fold(representatives, shape, *operations))
    np.testing.assert_array_equal(whole.ravel(), values[inverse])


def _turned(rotations):
    return np.concatenate([np.array([[[1, 1, 0], [0, 1, 0], [0, 0, 1]]], np.int8), rotations[1:]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"elf": a["elf"][:-1]}, "values for an asymmetric unit"),
        (lambda a: {"elf": a["elf"][:-1], "gaps": a["gaps"][:-1]}, "unfilled"),
        (lambda a: {"rotations": a["rotations"][:-1], "translations": a["translations"][:-1]}, "unfilled|cannot fill"),
        (lambda a: {"rotations": _turned(a["rotations"])}, "unfilled|fill grid points twice"),
        (lambda a: {"translations": a["translations"] + 0.01}, "is not mapped onto itself by"),
        (lambda a: {"translations": a["translations"] * np.nan}, "finite floats"),
        (lambda a: {"translations": a["translations"][1:]}, r"expected integers \(ops, 3, 3\)"),
        (lambda a: {"rotations": a["rotations"].astype(float)}, r"expected integers \(ops, 3, 3\)"),
        (lambda a: {"rotations": a["rotations"][:0], "translations": a["translations"][:0]}, "expected integers"),
        (lambda a: {"rotations": a["rotations"] * 0}, "unfilled"),
        (lambda a: {"gaps": None}, "asymmetric unit of"),
        (lambda a: {"gaps": a["gaps"] * 0}, "no ascending flat indices"),
        (lambda a: {"gaps": a["gaps"] * 1000}, "no ascending flat indices"),
        (lambda a: {"gaps": -a["gaps"]}, "no ascending flat indices"),
        (lambda a: {"shape": None}, "three positive integers"),
        (lambda a: {"shape": a["shape"] * 2}, "cannot fill the grid"),
        (lambda a: {"shape": np.array([20000, 20000, 20000])}, "fewer than"),
        (lambda a: {"shape": a["shape"] * 0}, "three positive integers"),
        (lambda a: {"shape": a["shape"].astype(float)}, "three positive integers"),
        (lambda a: {"rotations": None}, "expected floats"),
    ],
)
def test_a_damaged_asymmetric_unit_is_refused(stored, tmp_path, change, message):
    path = save(tmp_path / "bad.npz", stored, **change(stored))
    with pytest.raises(FieldFileError, match=message) as error:
        read_field(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"coding": np.array("axis-prediction-9")}, "'axis-prediction-9'; expected 'axis-prediction-1'"),
        (lambda a: {"elf": a["elf"][:, 1:]}, "expected 2 planes"),
        (lambda a: {"elf": a["elf"].astype(np.uint16)}, "expected 2 planes"),
        (lambda a: {"shape": a["shape"][:2]}, "three positive integers"),
        (lambda a: {"predictor": None}, r"expected int16 \(3, 3\)"),
        (lambda a: {"predictor": a["predictor"].astype(float)}, r"expected int16 \(3, 3\)"),
        (lambda a: {"coding": None}, "expected floats"),
    ],
)
def test_a_damaged_prediction_is_refused(screw, tmp_path, change, message):
    write_reference(screw, tmp_path / "whole.npz", symmetric=False)
    with np.load(tmp_path / "whole.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    path = save(tmp_path / "bad.npz", arrays, **change(arrays))
    with pytest.raises(FieldFileError, match=message) as error:
        read_field(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("part", [0.01, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("symmetric", [True, False])
def test_truncated_files_are_named(screw, tmp_path, symmetric, part):
    write_reference(screw, tmp_path / "whole.npz", symmetric)
    data = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(data[: int(part * len(data))])
    with pytest.raises(FieldFileError, match=r"cut.npz is a damaged or truncated .npz file"):
        read_field(tmp_path / "cut.npz")
