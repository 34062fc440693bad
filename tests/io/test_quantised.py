"""Densities in reference files: a scale that is read back, a precision that is kept, and ELF files as they were."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.io import read_field
from elfzoo.io.quantised import quantised, restored, scale_of
from elfzoo.io.symmetric import write_reference
from elfzoo.symmetry import space_group_operations

SCREW = Structure.from_spacegroup("P6522", Lattice.hexagonal(2.6, 3.4), ["H"], [[0.21, 0.33, 0.07]])


def density(peak):
    """Gaussians on the atoms, on a grid that the space group maps onto itself."""
    grid = Grid.for_symmetry(SCREW.lattice.matrix, 0.25, *space_group_operations(SCREW))
    distances = SCREW.lattice.get_all_distances(grid.frac_coords(), SCREW.frac_coords)
    values = np.exp(-((distances / 0.5) ** 2)).sum(axis=1).reshape(grid.shape)
    return Field(values * peak / values.max(), SCREW, "density", meta={"valence_electrons": 12})


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("peak", "scale"), [(0.03, 2**-5), (1.0, 1.0), (1.0 + 1e-9, 2.0), (2.4, 4.0), (53.0, 64.0)])
def test_a_density_keeps_its_absolute_precision(tmp_path, symmetric, peak, scale):
    field = density(peak)
    write_reference(field, tmp_path / "n.npz", symmetric)
    read = read_field(tmp_path / "n.npz")
    assert read.quantity == "density" and read.values.dtype == np.float32
    worst = np.abs(read.values.astype(np.float64) - field.values).max()
    assert worst <= 0.502 * scale / 65535 <= 1.6e-5 * peak
    with np.load(tmp_path / "n.npz") as arrays:
        assert arrays["scale"] == scale
    write_reference(read, tmp_path / "again.npz", symmetric)
    np.testing.assert_array_equal(read_field(tmp_path / "again.npz").values, read.values)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "n.npz").read_bytes()


@pytest.mark.parametrize("peak", [0.7, 0.9999999, 1.0, 1.0000001, 3.99999, 4.00001])
def test_every_integer_survives(peak):
    integers = np.arange(65536, dtype=np.uint16)
    scale = scale_of("density", np.array([peak]))
    np.testing.assert_array_equal(quantised(restored(integers, np.array(scale)), scale), integers)
    once = restored(quantised(np.array([peak]), scale), np.array(scale))
    assert scale_of("density", once) == scale  # the largest value is not rounded below half of the scale


def test_electrons_are_kept_far_better_than_values(tmp_path):
    field = density(2.3)
    write_reference(field, tmp_path / "n.npz")
    assert read_field(tmp_path / "n.npz").values.mean(dtype=float) == pytest.approx(field.values.mean(), rel=1e-5)


def test_elf_has_no_scale(tmp_path):
    elf = density(0.9).replace(quantity="elf")
    write_reference(elf, tmp_path / "elf.npz")
    with np.load(tmp_path / "elf.npz") as arrays:
        assert "scale" not in arrays
        integers = arrays["elf"].astype(np.float32) / np.float32(65535)
    assert set(np.unique(read_field(tmp_path / "elf.npz").values)) == set(np.unique(integers))
    assert scale_of("elf", elf.values) is None


def test_ringing_is_stored_as_zero_and_more_is_refused(tmp_path):
    field = density(2.0)
    values = field.values.copy()
    values.flat[7] = -0.0009
    write_reference(field.replace(values=values), tmp_path / "n.npz", symmetric=False)
    assert read_field(tmp_path / "n.npz").values.flat[7] == 0
    for wrong in (-0.0011, np.nan, np.inf):
        values.flat[7] = wrong
        with pytest.raises(ElfzooError, match=r"electron density is finite, .* nowhere below -0.001 e/Å³"):
            write_reference(field.replace(values=values), tmp_path / "n.npz")
    with pytest.raises(ElfzooError, match="somewhere positive"):
        write_reference(field.replace(values=np.zeros((3, 3, 3))), tmp_path / "n.npz")


def test_differences_are_no_reference_fields(tmp_path):
    field = density(0.5)
    with pytest.raises(ElfzooError, match=r"lies within \[0, 1\]"):
        write_reference(field.replace(values=field.values - 0.1, quantity="density_difference"), tmp_path / "d.npz")


@pytest.mark.parametrize("scale", [np.array(0.0), np.array(np.nan), np.array([1.0, 2.0]), np.array(2)])
def test_a_damaged_scale_is_refused(tmp_path, scale):
    write_reference(density(2.4), tmp_path / "n.npz")
    with np.load(tmp_path / "n.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    np.savez(tmp_path / "bad.npz", **(arrays | {"scale": scale}))
    with pytest.raises(FieldFileError, match=r"bad\.npz: a scale .* expected one positive number"):
        read_field(tmp_path / "bad.npz")


def test_text_files_tell_the_unit(tmp_path):
    field = density(2.4)
    for name in ("n.cube", "n.xsf", "n.vasp"):
        read = read_field(field.write(tmp_path / name))
        assert read.quantity == "density" and read.meta["unit"] == "e/A^3"
        np.testing.assert_allclose(read.values, field.values, atol=1e-7)
    assert "e/A^3" not in (density(0.5).replace(quantity="elf").write(tmp_path / "elf.cube")).read_text()[:300]
