"""ELFCAR against pymatgen and ASE, VASP's own conventions, and damaged files."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from ase.calculators.vasp import VaspChargeDensity
from pymatgen.io.vasp import Chgcar, Elfcar

from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field
from elfzoo.io import read_field, read_fields, write_field, write_fields

# Two atoms on a 2×3×2 grid as VASP prints it: G11.5, ten values a line, x fastest.
VASP = """H Na
   1.00000000000000
     3.000000    0.000000    0.000000
     0.000000    4.000000    0.000000
     0.000000    0.000000    5.000000
   H    Na
     1     1
Direct
  0.000000  0.000000  0.000000
  0.500000  0.500000  0.500000

    2    3    2
 0.10000E-01 0.20000     0.30000     0.40000     0.50000     0.60000     .70000      0.80000     0.90000     1.0000
 0.15000     0.25000
"""
VALUES = np.array([0.01, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.15, 0.25]).reshape(2, 3, 2, order="F")
SECOND_BLOCK = "    2    3    2\n" + "\n".join(VASP.splitlines()[-2:]).replace("0.20000 ", "0.21000 ") + "\n"


@pytest.fixture
def elfcar(tmp_path):
    def write(text=VASP, name="ELFCAR"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_reads_what_vasp_prints(elfcar):
    field = read_field(elfcar())
    np.testing.assert_array_equal(field.values, VALUES)
    assert field.values[1, 0, 0] == 0.2 and field.values[0, 1, 0] == 0.3  # x is fastest
    assert field.structure.labels == ["H", "Na"] and field.structure.lattice.abc == (3, 4, 5)
    assert field.spin is None and field.quantity == "elf" and field.recipe is None
    assert field.meta["comment"] == "H Na"


@pytest.mark.parametrize("name", ["ELFCAR", "elfcar.dft", "H3S.ELFCAR", "H3S.vasp", "ELFCAR.gz", "x.elfcar.gz"])
def test_round_trip_is_exact(field, assert_same, tmp_path, name):
    assert_same(read_field(write_field(field, tmp_path / name)), field, length_tolerance=1e-14)


@pytest.mark.parametrize("reader", [Elfcar, Chgcar])
def test_pymatgen_reads_what_we_write(field, tmp_path, reader):
    theirs = reader.from_file(str(write_field(field, tmp_path / "ELFCAR.gz")))
    np.testing.assert_array_equal(theirs.data["total"].astype(np.float32), field.values)
    assert theirs.structure.atomic_numbers == field.structure.atomic_numbers
    np.testing.assert_allclose(theirs.structure.cart_coords, field.structure.cart_coords, atol=1e-10)


def test_ase_reads_what_we_write(field, tmp_path):
    theirs = VaspChargeDensity(str(write_field(field, tmp_path / "ELFCAR")))
    values = theirs.chg[0] * theirs.atoms[0].get_volume()  # ASE takes the file for a charge density
    np.testing.assert_allclose(values, field.values, rtol=1e-8)
    assert tuple(theirs.atoms[0].numbers) == field.structure.atomic_numbers
    np.testing.assert_allclose(theirs.atoms[0].positions, field.structure.cart_coords, atol=1e-10)


def test_we_read_what_pymatgen_writes(field, tmp_path):
    path = tmp_path / "ELFCAR"
    Elfcar(field.structure.get_sorted_structure(), {"total": field.values}).write_file(str(path))
    np.testing.assert_allclose(read_field(path).values, field.values, rtol=1e-9)


def test_spin_channels_go_round_and_carry_pymatgens_names(field, assert_same, tmp_path):
    up, down = field.replace(spin="up"), field.replace(spin="down", values=field.values[::-1])
    path = write_fields({"down": down, "up": up}, tmp_path / "ELFCAR")
    read = read_fields(path)
    assert list(read) == ["up", "down"]
    assert_same(read["up"], up, 1e-14)
    assert_same(read["down"], down, 1e-14)
    assert_same(read_field(path, spin="down"), down, 1e-14)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older releases call the channels total and diff
        data = Elfcar.from_file(str(path)).data
    first, second = ("spin_up", "spin_down") if "spin_up" in data else ("total", "diff")
    np.testing.assert_array_equal(data[first].astype(np.float32), up.values)
    np.testing.assert_array_equal(data[second].astype(np.float32), down.values)


def test_differing_channels_are_never_taken_for_a_total(elfcar):
    path = elfcar(VASP + SECOND_BLOCK)
    with pytest.raises(FieldFileError, match=r"two spin channels.*spin='up' or spin='down'"):
        read_field(path)
    assert read_field(path, spin="up").values[1, 0, 0] == 0.2
    assert read_field(path, spin="down").values[1, 0, 0] == 0.21
    assert read_field(path, spin="down").spin == "down"


def test_a_broken_channel_does_not_keep_the_other_from_being_read(elfcar):
    path = elfcar(VASP + SECOND_BLOCK.replace("0.21000 ", "NaN     "))
    assert read_field(path, spin="up").values[1, 0, 0] == 0.2
    for spin in ("down", None):
        with pytest.raises(FieldFileError, match=r"value nan at grid point \(1, 0, 0\) of channel down"):
            read_field(path, spin=spin)


def test_equal_channels_are_one_unpolarised_field(elfcar):
    field = read_field(elfcar(VASP + SECOND_BLOCK.replace("0.21000 ", "0.200009")))
    assert field.spin is None and field.meta["spin"] == "none"
    with pytest.raises(FieldFileError, match="two spin channels"):
        read_field(elfcar(VASP + SECOND_BLOCK.replace("0.21000 ", "0.200011")))


def test_symbols_go_on_in_the_next_line(tmp_path):
    """VASP begins a new one after twenty, of symbols and of counts."""
    kinds = ["H", "La"] * 12
    atoms = "".join(f"{i / 30:.6f} {(i % 5) / 5:.6f} {(i % 3) / 3:.6f}\n" for i in range(24))
    head = f"x\n1.0\n20 0 0\n0 20 0\n0 0 20\n{' '.join(kinds[:20])}\n{' '.join(kinds[20:])}\n"
    counts = " ".join(["1"] * 20) + "\n" + " ".join(["1"] * 4)
    (tmp_path / "ELFCAR").write_text(f"{head}{counts}\nDirect\n{atoms}\n1 1 2\n0.1 0.2\n")
    found = read_field(tmp_path / "ELFCAR")
    assert [site.specie.symbol for site in found.structure] == kinds and found.values.ravel().tolist() == [0.1, 0.2]


def test_a_total_has_no_channels(elfcar):
    with pytest.raises(FieldFileError, match="no channel 'up'; it holds: total"):
        read_field(elfcar(), spin="up")


def test_a_lone_channel_stays_one(field, tmp_path):
    read = read_fields(write_field(field.replace(spin="down"), tmp_path / "ELFCAR"))
    assert list(read) == ["down"] and read["down"].spin == "down"


def test_channels_must_belong_together(field, tmp_path):
    down = field.replace(values=field.values[:-1])
    with pytest.raises(ElfzooError, match="different grids"):
        write_fields({"up": field, "down": down}, tmp_path / "ELFCAR")
    moved = field.structure.copy()
    moved.translate_sites([0], [0.1, 0, 0])
    with pytest.raises(ElfzooError, match="different structures"):
        write_fields({"up": field, "down": field.replace(structure=moved)}, tmp_path / "ELFCAR")
    with pytest.raises(ElfzooError, match="expected the channels up and down"):
        write_fields({"total": field, "diff": field}, tmp_path / "ELFCAR")
    with pytest.raises(ElfzooError, match="cube holds one channel"):
        write_fields({"up": field, "down": field}, tmp_path / "elf.cube")
    assert list(tmp_path.iterdir()) == []


def test_header_variants_mean_the_same_crystal(elfcar):
    expected = read_field(elfcar()).structure
    scaled = VASP.replace("   1.00000000000000", "  -60.0").replace("     3.000000", "     1.5")
    scaled = scaled.replace("    4.000000    0.0", "    2.000000    0.0").replace("    5.000000\n", "    2.500000\n")
    cartesian = VASP.replace("Direct", "Cartesian").replace("  0.500000  0.500000  0.500000", "  1.5 2.0 2.5")
    selective = VASP.replace("Direct", "Selective dynamics\nDirect")
    selective = selective.replace("0.500000\n", "0.500000 T F T\n").replace("0.000000\n  0.5", "0.000000 T T T\n  0.5")
    labelled = VASP.replace("   H    Na", "   H.5/1a2b3c Na_pv")
    crlf = VASP.replace("\n", "\r\n")
    untitled = VASP.replace("H Na\n", "\n", 1)
    volume = cartesian.replace("   1.00000000000000", "  -60.0")  # that of the cell: the factor is 1, also of positions
    marked = "\ufeff" + VASP
    for text in (scaled, cartesian, selective, labelled, crlf, untitled, volume, marked):
        structure = read_field(elfcar(text)).structure
        assert structure.atomic_numbers == expected.atomic_numbers
        np.testing.assert_allclose(structure.lattice.matrix, expected.lattice.matrix, atol=1e-12)
        np.testing.assert_allclose(structure.frac_coords, expected.frac_coords, atol=1e-12)


def test_a_chgcar_and_elements_that_are_named_twice_are_said(elfcar):
    with pytest.raises(FieldFileError, match="augmentation charges are those of a CHGCAR, which is not read"):
        read_field(elfcar(VASP + "augmentation occupancies   1  4\n  0.1 0.2 0.3 0.4\n"))
    with pytest.raises(FieldFileError, match=r"names its elements, H +Na; leave out species=\['La', 'O'\]"):
        read_field(elfcar(), species=["La", "O"])


def test_vasp_4_needs_species(elfcar):
    path = elfcar(VASP.replace("   H    Na\n", ""))
    with pytest.raises(FieldFileError, match=r"line 6: a VASP 4 header without element symbols; .*species="):
        read_field(path)
    assert read_field(path, species=["H", "Na"]).structure.atomic_numbers == (1, 11)
    with pytest.raises(FieldFileError, match=r"line 6.*positive number of atoms for each of H"):
        read_field(path, species=["H"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.40000 ", "0.4x000 ", r"line 13: expected a number; got '0.4x000'"),
        ("0.25000", "*******", r"line 14: expected a number; got '\*\*\*\*\*\*\*'"),
        ("0.25000", "", r"11 numbers after the grid \[2, 3, 2\] in line 12; expected 12"),
        ("0.25000", "0.25000 0.5", r"13 numbers after the grid"),
        ("0.40000 ", "NaN     ", r"value nan at grid point \(1, 1, 0\)"),
        ("0.90000", "1.90000", r"value 1.9 at grid point \(0, 1, 1\); an ELF lies within \[0, 1\]"),
        ("0.90000", "-0.0020", r"value -0.002 at grid point \(0, 1, 1\)"),
        ("    2    3    2", "    2    3", r"line 12: expected a grid of three"),
        ("    2    3    2", "    2    0    2", r"line 12: expected a grid of three"),
        ("     1     1", "     1", r"line 7: expected a positive number of atoms for each of H Na"),
        ("     1     1", "     1     9", r"line 14: the file ends here; expected the coordinates of 10 atoms"),
        ("   H    Na", "   H    Xx", r"line 6: 'Xx' is no element symbol"),
        ("  0.500000  0.500000", "  0.5000a0  0.500000", r"lines 2 to 10: this is no POSCAR"),
        ("     0.000000    4.000000", "     3.000000    0.000000", r"ELFCAR"),
        ("  0.500000  0.500000  0.500000", "  0.0 0.0 0.01", r"ELFCAR: .*0.050 Å apart"),
    ],
)
def test_damage_is_named(elfcar, old, new, message):
    assert VASP.count(old) == 1
    path = elfcar(VASP.replace(old, new))
    with pytest.raises(FieldFileError, match=message) as error:
        read_field(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("length", range(1, len(VASP) - 10, 23))
def test_truncation_is_named_wherever_it_falls(elfcar, length):
    path = elfcar(VASP[:length])
    with pytest.raises(FieldFileError) as error:
        read_field(path)
    assert str(path) in str(error.value)


def test_a_second_block_must_be_whole_and_on_the_same_grid(elfcar):
    with pytest.raises(FieldFileError, match=r"26 numbers .* expected 12, or 27 for two spin channels"):
        read_fields(elfcar((VASP + SECOND_BLOCK).rstrip().rsplit(maxsplit=1)[0]))
    with pytest.raises(FieldFileError, match="after 12 values expected the grid"):
        read_fields(elfcar(VASP + SECOND_BLOCK.replace("2    3    2", "3    2    2")))


def test_a_poscar_alone_is_no_field(elfcar):
    with pytest.raises(FieldFileError, match="line 11: the file ends here; expected a grid"):
        read_field(elfcar(VASP[: VASP.index("    2    3    2")], name="POSCAR.vasp"))


def test_overshoot_within_rounding_is_kept(elfcar):
    assert read_field(elfcar(VASP.replace("0.90000", "1.00090"))).values.max() == 1.0009


def test_unchecked_reading_leaves_the_judgement_to_the_caller(elfcar):
    field = read_field(elfcar(VASP.replace("0.90000", "1.90000").replace("0.40000 ", "NaN     ")), check=False)
    assert field.values[0, 1, 1] == 1.9 and np.isnan(field.values[1, 1, 0])


def test_other_quantities_have_no_range(field, tmp_path):
    density = field.replace(values=field.values * 40 - 1, quantity="density")
    assert read_field(write_field(density, tmp_path / "x.vasp")).quantity == "density"


def test_writing_is_reproducible(field, tmp_path):
    first, second = (write_field(field, tmp_path / name).read_bytes() for name in ("ELFCAR.gz", "ELFCAR.2.gz"))
    assert first == second
    assert first[4:8] == bytes(4)  # gzip's clock


def test_many_alternating_species_keep_their_order(tmp_path):
    from pymatgen.core import Lattice, Structure

    symbols = ["H", "La"] * 12
    coords = [[(i % 6) / 6, (i // 6) / 4, 0.5] for i in range(24)]
    field = Field(np.full((2, 2, 2), 0.5), Structure(Lattice.cubic(9), symbols, coords))
    path = write_field(field, tmp_path / "ELFCAR")
    assert [site.specie.symbol for site in read_field(path).structure] == symbols
    assert [site.specie.symbol for site in Elfcar.from_file(str(path)).structure] == symbols
