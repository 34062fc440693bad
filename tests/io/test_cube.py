"""Gaussian cube against pymatgen and ASE, its units and origins, and Quantum ESPRESSO's files."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from ase.io.cube import read_cube, write_cube
from ase.units import Bohr
from pymatgen.io.common import VolumetricData

from elfzoo.check import check_file
from elfzoo.errors import ElfzooWarning, FieldFileError
from elfzoo.io import read_field, read_fields, write_field

BOHR = 0.529177210903
# Header and number format of pp.x 6.7 (plot_num = 8) for LaH2, cut down to a 2×3×2 grid.
PWSCF = """ Cubefile created from PWScf calculation
Contains the selected quantity on a FFT grid
    3    0.000000    0.000000    0.000000
    2    2.362155    0.000000    0.000000
    3    0.000000    1.889726    0.125980
    2    0.094482    0.000000    2.645613
   57   57.000000    4.913288    5.669178    5.669178
    1    1.000000    1.275565    2.834589    2.834589
    1    1.000000    3.184189    2.834589    3.363713
  0.10000E-01  0.20000E+00
  0.30000E+00  0.40000E+00
  0.50000E+00  0.60000E+00
  0.70000E+00  0.80000E+00
  0.90000E+00  0.10000E+01
  0.15000E+00  0.25000E+00
"""
VALUES = np.array([0.01, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.15, 0.25]).reshape(2, 3, 2)
HYDROGEN = PWSCF.replace("   57   57.0", "    1    1.0")
INDEXED = PWSCF.replace("   57   57.000000", "    1   11.000000").replace("    1    1.000000 ", "    2    1.000000 ")


@pytest.fixture
def cube(tmp_path):
    def write(text, name="elf.cube"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_reads_what_quantum_espresso_prints(cube):
    field = read_field(cube(PWSCF))
    np.testing.assert_array_equal(field.values, VALUES)
    assert field.values[0, 0, 1] == 0.2 and field.values[0, 1, 0] == 0.3  # z is fastest
    assert field.structure.atomic_numbers == (57, 1, 1)
    lattice = np.array([[4.72431, 0, 0], [0, 5.669178, 0.37794], [0.188964, 0, 5.291226]]) * BOHR
    np.testing.assert_allclose(field.structure.lattice.matrix, lattice, rtol=1e-12)
    np.testing.assert_allclose(field.structure.cart_coords[1], np.array([1.275565, 2.834589, 2.834589]) * BOHR)
    assert "PWScf" in field.meta["comment"] and "origin" not in field.meta


@pytest.mark.parametrize("name", ["elf.cube", "elf.CUB", "elf.cube.gz"])
def test_round_trip_is_exact(field, assert_same, tmp_path, name):
    assert_same(read_field(write_field(field, tmp_path / name)), field, length_tolerance=1e-10)


def test_spin_survives(field, tmp_path):
    assert list(read_fields(write_field(field.replace(spin="up"), tmp_path / "elf.cube"))) == ["up"]


def test_pymatgen_reads_what_we_write(field, tmp_path):
    theirs = VolumetricData.from_cube(str(write_field(field, tmp_path / "elf.cube")))
    np.testing.assert_array_equal(theirs.data["total"].astype(np.float32), field.values)
    assert theirs.structure.atomic_numbers == field.structure.atomic_numbers
    np.testing.assert_allclose(theirs.structure.lattice.matrix, field.structure.lattice.matrix, atol=1e-5)
    np.testing.assert_allclose(theirs.structure.cart_coords, field.structure.cart_coords, atol=1e-5)


def test_ase_reads_what_we_write(field, tmp_path):
    with open(write_field(field, tmp_path / "elf.cube")) as file:
        theirs = read_cube(file)
    np.testing.assert_array_equal(theirs["data"].astype(np.float32), field.values)
    assert tuple(theirs["atoms"].numbers) == field.structure.atomic_numbers
    np.testing.assert_allclose(theirs["atoms"].cell, field.structure.lattice.matrix, atol=1e-6)
    np.testing.assert_allclose(theirs["atoms"].positions, field.structure.cart_coords, atol=1e-6)


def test_we_read_what_ase_writes_and_move_atoms_by_its_origin(field, tmp_path):
    origin = np.array([0.3, -0.2, 0.7])
    with open(tmp_path / "elf.cube", "w") as file:
        write_cube(file, field.structure.to_ase_atoms(), data=field.values, origin=origin)
    read = read_field(tmp_path / "elf.cube")
    np.testing.assert_allclose(read.values, field.values, atol=1e-6)
    np.testing.assert_allclose(read.structure.cart_coords, field.structure.cart_coords - origin, atol=2e-6)
    np.testing.assert_allclose(read.meta["origin"], origin, atol=1e-6)
    np.testing.assert_allclose(read.structure.lattice.matrix, field.structure.lattice.matrix, atol=1e-5)


def test_negative_numbers_of_voxels_mean_angstrom(cube):
    angstrom = HYDROGEN.replace("    2    2.362", "   -2    2.362").replace("    3    0.0000", "    3    0.1000", 1)
    angstrom = angstrom.replace("    3    0.000000    1.8", "   -3    0.000000    1.8")
    angstrom = angstrom.replace("    2    0.0944", "   -2    0.0944")
    read, bohr = read_field(cube(angstrom)), read_field(cube(HYDROGEN, "bohr.cube"))
    np.testing.assert_allclose(read.structure.lattice.matrix * Bohr, bohr.structure.lattice.matrix, rtol=1e-6)
    assert read.meta["origin"] == [0.1, 0, 0]
    np.testing.assert_allclose(read.structure.cart_coords[1], [1.175565, 2.834589, 2.834589])
    with pytest.raises(FieldFileError, match=r"line 6: numbers of voxels .* all positive .* or all negative"):
        read_field(cube(angstrom.replace("   -3 ", "    3 ")))


def test_species_indices_are_not_taken_for_elements(cube):
    with pytest.raises(FieldFileError, match=r"numbers \[1, 2\].*species indices.*species=\['La', 'H'\]"):
        read_field(cube(INDEXED))
    assert read_field(cube(INDEXED), species=["La", "H"]).structure.atomic_numbers == (57, 1, 1)
    with pytest.raises(FieldFileError, match=r"no indices of species=\['La'\]"):
        read_field(cube(INDEXED), species=["La"])
    with pytest.raises(FieldFileError, match="leave species out"):
        read_field(cube(PWSCF), species=["La", "H"])
    with pytest.raises(FieldFileError, match="'Qq' is no element symbol"):
        read_field(cube(INDEXED), species=["Qq", "H"])


def test_one_kind_with_index_one_is_hydrogen_only_by_its_charge(cube):
    assert read_field(cube(HYDROGEN)).structure.atomic_numbers == (1, 1, 1)
    sodium = HYDROGEN.replace("    1    1.0", "    1    9.0")
    with pytest.raises(FieldFileError, match="may be species indices"):
        read_field(cube(sodium))
    assert read_field(cube(sodium), species=["Na"]).structure.atomic_numbers == (11, 11, 11)
    elsewhere = sodium.replace("PWScf", "another")  # only Quantum ESPRESSO is suspected
    assert read_field(cube(elsewhere)).structure.atomic_numbers == (1, 1, 1)


def test_dataset_identifiers_are_skipped(cube):
    lines = HYDROGEN.splitlines()
    lines[2] = lines[2].replace("    3", "   -3", 1)
    for identifiers in (["    1   42"], ["    1", "   42"]):
        field = read_field(cube("\n".join([*lines[:9], *identifiers, *lines[9:]])))
        np.testing.assert_array_equal(field.values, VALUES)
    with pytest.raises(FieldFileError, match="line 10: 2 fields in one file; expected one"):
        read_field(cube("\n".join([*lines[:9], "    2   42   43", *lines[9:]])))


def test_fortrans_exponents_are_understood(cube):
    text = HYDROGEN.replace("  0.10000E-01  0.20000E+00", "  0.10000-119  0.20000D+00")
    assert read_field(cube(text)).values[0, 0].tolist() == [1e-120, 0.2]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.40000E+00", "0.400?0E+00", r"line 11: expected a number; got '0.400\?0E\+00'"),
        ("  0.15000E+00  0.25000E+00\n", "  0.15000E+00\n", r"11 numbers after line 9; expected 12"),
        ("0.25000E+00", "0.25000E+00 1.0", r"13 numbers after line 9; expected 12"),
        ("0.70000E+00", "      NaN", r"value nan at grid point \(1, 0, 0\)"),
        ("0.70000E+00", " Infinity", r"value inf at grid point \(1, 0, 0\)"),
        ("0.70000E+00", "0.12000E+01", r"value 1.2 at grid point \(1, 0, 0\)"),
        (
            "    3    0.000000    0.000000    0.000000\n",
            "    3\n",
            r"line 3: expected the number of atoms and the origin",
        ),
        ("    3    0.000000    0.000000    0.000000", "    3 0 0 0 2", r"line 3: 2 values per point"),
        ("    3    0.000000    0.000000    0.000000", "    0 0 0 0", r"line 3: no atoms"),
        ("    2    2.362155", "  2.5    2.362155", r"line 4: expected the number of voxels"),
        ("    2    2.362155", "    0    2.362155", r"line 6: numbers of voxels \[0, 3, 2\]"),
        ("    2    2.362155", "    2    0.000000", r"no volume"),
        ("   57   57.000000", "   57   ", r"line 7: expected an atomic number, a charge and a position"),
        ("   57   57.000000", "  157   57.000000", r"line 9: atomic numbers \[1, 157\]"),
        ("    1.275565", "    nan     ", r"NaN"),
    ],
)
def test_damage_is_named(cube, old, new, message):
    assert PWSCF.count(old) == 1
    path = cube(PWSCF.replace(old, new))
    with pytest.raises(FieldFileError, match=message) as error:
        read_field(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("length", range(1, len(PWSCF) - 14, 37))
def test_truncation_is_named_wherever_it_falls(cube, length):
    path = cube(PWSCF[:length])
    with pytest.raises(FieldFileError) as error:
        read_field(path)
    assert str(path) in str(error.value)


def both_ends(field, titles):
    """A cube with the first points once more at the end of each axis, in the field's cell."""
    shape = np.array(field.values.shape)
    lines = [*titles, f"{len(field.structure)} 0 0 0"]
    voxels = field.structure.lattice.matrix / shape[:, None] / BOHR
    lines += [f"{n + 1} {x:.12f} {y:.12f} {z:.12f}" for n, (x, y, z) in zip(shape, voxels, strict=True)]
    for site in field.structure:
        x, y, z = site.coords / BOHR
        lines.append(f"{site.specie.Z} {site.specie.Z} {x:.12f} {y:.12f} {z:.12f}")
    values = np.pad(field.values, ((0, 1),) * 3, mode="wrap")
    return "\n".join([*lines, *(f"{value:.17g}" for value in values.ravel())]) + "\n"


def test_castep_writes_both_ends_of_the_period(field, cube):
    found = read_field(cube(both_ends(field, [" CASTEP", " written by castep2cube"])))
    np.testing.assert_array_equal(found.values, field.values)
    np.testing.assert_allclose(found.grid.lattice, field.grid.lattice, atol=1e-9)
    with pytest.warns(ElfzooWarning, match="as if the file held both ends of the period"):
        assert read_field(cube(both_ends(field, ["x", "y"]))).values.shape != field.values.shape


def test_other_loops_are_refused(cube):
    loops = "OUTER LOOP: Z, MIDDLE LOOP: Y, INNER LOOP: X"
    with pytest.raises(FieldFileError, match="expected values with x outermost"):
        read_field(cube(PWSCF.replace("Contains the selected quantity on a FFT grid", loops)))


@pytest.mark.parametrize("title", ["ELECTRON DENSITY", "Hartree potential", "spin density of x"])
def test_a_title_that_names_another_quantity_is_told(title, cube):
    with pytest.warns(ElfzooWarning, match=f"its title says '{title[:12]}"):
        path = cube(PWSCF.replace("Contains the selected quantity on a FFT grid", title))
        assert read_field(path).quantity == "elf"
    assert [finding.code for finding in check_file(path) if finding.level == "error"] == ["title"]


@pytest.mark.parametrize("title", ["ELF from the electron density", "high density phase of LaH10", "LaH10 at 150 GPa"])
def test_other_titles_say_nothing(title, cube):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_field(cube(PWSCF.replace("Contains the selected quantity on a FFT grid", title)))


def test_a_title_may_name_a_channel(cube):
    path = cube(PWSCF.replace("Contains the selected quantity on a FFT grid", "ELF SPIN ALPHA"))
    assert "spin-channel" in [finding.code for finding in check_file(path)]
