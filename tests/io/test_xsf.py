"""XSF against ASE and pymatgen, its repeated end points, and Quantum ESPRESSO's files."""

from __future__ import annotations

import numpy as np
import pytest
from ase.io import read as ase_read
from ase.io.xsf import read_xsf, write_xsf
from pymatgen.core import Structure

from elfzoo.errors import ElfzooWarning, FieldFileError
from elfzoo.io import read_field, read_fields, write_field

# Header and number format of pp.x 6.7 for LaH2, cut down to a 2×1×2 grid and its repeated points.
PWSCF = """ CRYSTAL
 PRIMVEC
    2.500000000    0.000000000    0.000000000
    0.000000000    3.000000000    0.200000000
    0.100000000    0.000000000    2.800000000
 PRIMCOORD
           3           1
La        0.000000000    0.000000000    0.000000000
H         0.675000000    1.500000000    1.500000000
H         1.585000000    1.500000000   -1.020000000
BEGIN_BLOCK_DATAGRID_3D
3D_PWSCF
BEGIN_DATAGRID_3D_UNKNOWN
           3           2           3
  0.000000  0.000000  0.000000
    2.500000    0.000000    0.000000
    0.000000    3.000000    0.200000
    0.100000    0.000000    2.800000
  0.100000E-01  0.200000E+00  0.100000E-01  0.100000E-01  0.200000E+00  0.100000E-01
  0.300000E+00  0.400000E+00  0.300000E+00  0.300000E+00  0.400000E+00  0.300000E+00
  0.100000E-01  0.200000E+00  0.100000E-01  0.100000E-01  0.200000E+00  0.100000E-01
END_DATAGRID_3D
END_BLOCK_DATAGRID_3D
"""


@pytest.fixture
def xsf(tmp_path):
    def write(text, name="elf.xsf"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_reads_what_quantum_espresso_prints(xsf):
    field = read_field(xsf(PWSCF))
    np.testing.assert_array_equal(field.values, [[[0.01, 0.3]], [[0.2, 0.4]]])
    assert field.structure.atomic_numbers == (57, 1, 1)
    np.testing.assert_array_equal(field.structure.lattice.matrix, [[2.5, 0, 0], [0, 3, 0.2], [0.1, 0, 2.8]])
    np.testing.assert_allclose(field.structure.cart_coords[2], [1.585, 1.5, -1.02], atol=1e-12)
    assert field.meta["comment"] == "3D_PWSCF"


@pytest.mark.parametrize("name", ["elf.xsf", "elf.XSF.gz"])
def test_round_trip_is_exact(field, assert_same, tmp_path, name):
    assert_same(read_field(write_field(field, tmp_path / name)), field, length_tolerance=1e-12)


def test_spin_survives(field, tmp_path):
    assert list(read_fields(write_field(field.replace(spin="down"), tmp_path / "elf.xsf"))) == ["down"]


def test_ase_reads_what_we_write(field, tmp_path):
    path = write_field(field, tmp_path / "elf.xsf")
    with open(path) as file:
        data, origin, span, atoms = read_xsf(file, read_data=True)
    np.testing.assert_array_equal(data[:-1, :-1, :-1].astype(np.float32), field.values)
    np.testing.assert_array_equal(data[-1], data[0])
    np.testing.assert_array_equal(data[:, -1], data[:, 0])
    np.testing.assert_array_equal(data[:, :, -1], data[:, :, 0])
    assert not origin.any()
    np.testing.assert_allclose(span, field.structure.lattice.matrix, atol=1e-12)
    assert tuple(atoms.numbers) == field.structure.atomic_numbers
    np.testing.assert_allclose(atoms.positions, field.structure.cart_coords, atol=1e-12)
    assert ase_read(path, format="xsf") == atoms


def test_pymatgen_reads_what_we_write(field, tmp_path):
    path = write_field(field, tmp_path / "elf.xsf")
    theirs = Structure.from_file(path)
    assert theirs.atomic_numbers == field.structure.atomic_numbers
    np.testing.assert_allclose(theirs.cart_coords, field.structure.cart_coords, atol=1e-10)
    grids = pytest.importorskip("pymatgen.io.xcrysden", reason="younger pymatgen only").XSF.from_str(path.read_text())
    (grid,) = grids.grids.values()
    np.testing.assert_array_equal(grid.data[0][:-1, :-1, :-1].astype(np.float32), field.values)


def test_header_variants_mean_the_same_field(xsf):
    expected = read_field(xsf(PWSCF))
    commented = "# made by hand\n\n" + PWSCF.replace(" PRIMCOORD", "# atoms\n PRIMCOORD")
    tabs = "\ufeff" + PWSCF.replace("H         0", "H\t0").replace("La        ", "La\t")
    conventional = PWSCF.replace(" PRIMCOORD", " CONVVEC\n 1 0 0\n 0 1 0\n 0 0 1\n PRIMCOORD")
    numbered = PWSCF.replace("\nLa ", "\n57 ").replace("\nH   ", "\n1   ")
    labelled = PWSCF.replace("\nLa ", "\nLa2 ").replace(
        "0.675000000    1.500000000    1.5", "0.675 1.5 1.5 0.1 0.2 0.3 "
    )
    bare = PWSCF.replace("BEGIN_DATAGRID_3D", "DATAGRID_3D")
    for text in (commented, conventional, numbered, labelled, bare, tabs):
        field = read_field(xsf(text))
        np.testing.assert_array_equal(field.values, expected.values)
        assert field.structure.atomic_numbers == expected.structure.atomic_numbers
        np.testing.assert_allclose(field.structure.cart_coords, expected.structure.cart_coords, atol=1e-12)


def test_atoms_move_by_the_origin(xsf):
    field = read_field(xsf(PWSCF.replace("  0.000000  0.000000  0.000000", "  0.100000  0.200000  0.000000")))
    np.testing.assert_allclose(field.structure.cart_coords[1], [0.575, 1.3, 1.5], atol=1e-12)
    assert field.meta["origin"] == [0.1, 0.2, 0.0]


def test_grids_that_are_not_general_are_refused(field, tmp_path):
    path = tmp_path / "elf.xsf"
    atoms = field.structure.to_ase_atoms()
    with open(path, "w") as file:  # ASE stretches the spanning vectors instead of repeating points
        write_xsf(file, [atoms], data=field.values)
    with pytest.raises(FieldFileError, match=r"the grid spans .* expected the cell"):
        read_field(path)
    with open(path, "w") as file:
        write_xsf(file, [atoms], data=field.values, span_vectors=np.array(atoms.cell))
    with pytest.raises(FieldFileError, match="along x the last points of the grid differ from the first"):
        read_field(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.300000E+00  0.400000E+00", "0.300000E+00  0.40000#E+00", r"line 20: expected a number"),
        ("  0.300000E+00  0.400000E+00", "  0.300000E+00", r"17 numbers after line 18; expected 18"),
        ("END_DATAGRID_3D\n", "\n", r"the file ends here; expected END_DATAGRID"),
        ("END_BLOCK", "BEGIN_DATAGRID_3D_two\nEND_BLOCK", r"more than one data grid"),
        ("           3           2", "           3           1", r"line 14: expected three numbers of points"),
        (" CRYSTAL", " MOLECULE", r"line 1: expected CRYSTAL, .* got 'MOLECULE'"),
        (" CRYSTAL", "ANIMSTEPS 4\n CRYSTAL", r"line 1: expected CRYSTAL"),
        (" PRIMVEC\n", " PRIMVEC\n 0 0 x\n", r"line 3: expected a lattice vector of three numbers; got '0 0 x'"),
        ("\nLa ", "\nQq ", r"line 8: 'Qq' is no element symbol"),
        ("           3           1\n", "  three\n", r"line 7: expected the number of atoms; got 'three'"),
        ("    2.500000    0.000000    0.0", "    2.600000    0.000000    0.0", r"line 18: the grid spans"),
    ],
)
def test_damage_is_named(xsf, old, new, message):
    path = xsf(PWSCF.replace(old, new, 1))
    assert path.read_text() != PWSCF
    with pytest.raises(FieldFileError, match=message) as error:
        read_field(path)
    assert str(path) in str(error.value)


def test_a_structure_without_a_grid_is_no_field(xsf):
    with pytest.raises(FieldFileError, match="line 10: the file ends here; expected a data grid"):
        read_field(xsf(PWSCF[: PWSCF.index("BEGIN_BLOCK")]))
    with pytest.raises(FieldFileError, match="expected the structure first"):
        read_field(xsf("CRYSTAL\n" + PWSCF[PWSCF.index("BEGIN_BLOCK") :]))


@pytest.mark.parametrize("length", range(1, PWSCF.index("END_DATAGRID"), 53))
def test_truncation_is_named_wherever_it_falls(xsf, length):
    path = xsf(PWSCF[:length])
    with pytest.raises(FieldFileError) as error:
        read_field(path)
    assert str(path) in str(error.value)


def test_kinds_of_atoms_and_capitals_are_elements(tmp_path):
    text = PWSCF.replace("La   ", "LA1  ").replace("H    ", "h_up ")
    (tmp_path / "a.xsf").write_text(text)
    assert [site.specie.symbol for site in read_field(tmp_path / "a.xsf").structure] == ["La", "H", "H"]
    (tmp_path / "a.xsf").write_text(PWSCF.replace("La   ", "Xx   "))
    with pytest.raises(FieldFileError, match="'Xx' is no element symbol"):
        read_field(tmp_path / "a.xsf")


def test_other_words_for_a_crystal(tmp_path):
    atoms = PWSCF[PWSCF.index("           3           1") : PWSCF.index("BEGIN_BLOCK")]
    text = PWSCF.replace(" CRYSTAL\n", " DIM-GROUP\n 3 1\n").replace("BEGIN_BLOCK_", f"CONVCOORD\n{atoms}BEGIN_BLOCK_")
    for name, written in (("a.xsf", PWSCF), ("b.xsf", text.replace("BLOCK_DATAGRID_3D", "BLOCK_DATAGRID3D"))):
        (tmp_path / name).write_text(written)
    one, other = read_field(tmp_path / "a.xsf"), read_field(tmp_path / "b.xsf")
    np.testing.assert_array_equal(one.values, other.values)
    assert one.structure == other.structure
    (tmp_path / "b.xsf").write_text(text.replace(" 3 1\n", " 2 1\n", 1))
    with pytest.raises(FieldFileError, match="expected 3 periodic dimensions"):
        read_field(tmp_path / "b.xsf")


def test_a_border_that_tells_nothing_is_told(field, tmp_path):
    flat = np.zeros((6, 6, 6))
    flat[2:4, 2:4, 2:4] = 0.5
    path = field.replace(values=flat).write(tmp_path / "a.xsf")
    with pytest.warns(ElfzooWarning, match="border of the grid are all alike"):
        assert read_field(path).values.shape == (6, 6, 6)


def test_names_of_quantities_become_words_of_ascii(field, tmp_path):
    path = field.replace(quantity="ρ of\nall").write(tmp_path / "a.xsf")
    assert "BEGIN_DATAGRID_3D___of_all" in path.read_text(encoding="ascii")
    assert read_field(path).quantity == "ρ of\nall"
