import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write
from pymatgen.core import Element, Lattice, Species, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from torch_geometric.data import Batch

from elfzoo import Field, as_structure, read_field, read_structures
from elfzoo.errors import StructureError
from elfzoo.probe import probe_data


def same(a, b):
    return (
        np.allclose(a.lattice.matrix, b.lattice.matrix)
        and np.allclose((a.frac_coords - b.frac_coords + 0.5) % 1, 0.5, atol=1e-6)
        and a.atomic_numbers == b.atomic_numbers
    )


def test_sources_agree(skewed_hydride, tmp_path):
    atoms = AseAtomsAdaptor.get_atoms(skewed_hydride)
    skewed_hydride.to(filename=str(tmp_path / "POSCAR"))
    write(tmp_path / "frame.extxyz", atoms)
    data = probe_data(skewed_hydride, np.zeros((1, 3)), dtype=torch.float64)
    field = Field(np.zeros((2, 2, 2)), skewed_hydride)
    for source in (skewed_hydride, atoms, data, field, tmp_path / "frame.extxyz"):
        assert same(as_structure(source), skewed_hydride)
    from_poscar = as_structure(str(tmp_path / "POSCAR"))
    assert sorted(from_poscar.atomic_numbers) == sorted(skewed_hydride.atomic_numbers)


def test_trajectory_frames(tmp_path):
    frames = [Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7 + 0.01 * i]], cell=[3, 3, 3], pbc=True) for i in range(4)]
    write(tmp_path / "md.traj", frames)
    assert len(list(read_structures(tmp_path / "md.traj"))) == 4
    chosen = list(read_structures(tmp_path / "md.traj", index="1::2"))
    assert [s.get_distance(0, 1) for s in chosen] == pytest.approx([0.71, 0.73])
    assert as_structure(tmp_path / "md.traj").get_distance(0, 1) == pytest.approx(0.73)


def test_gzipped_poscar(diamond, tmp_path):
    with gzip.open(tmp_path / "POSCAR.gz", "wt") as handle:
        handle.write(diamond.to(fmt="poscar"))
    assert same(as_structure(tmp_path / "POSCAR.gz"), diamond)


BAD = {
    "overlap": (Structure(Lattice.cubic(3), ["H", "H"], [[0, 0, 0], [0, 0, 0.05]]), "0.150 Å apart"),
    "overlap with an image": (Structure(Lattice.cubic(3), ["H", "H"], [[0, 0, 0], [0, 0, 0.98]]), "0.060 Å apart"),
    "no volume": (Structure([[3, 0, 0], [0, 3, 0], [0, 0, 1e-3]], ["H"], [[0, 0, 0]]), "cell of 0.009"),
    "NaN": (Structure(Lattice.cubic(3), ["H"], [[np.nan, 0, 0]]), "NaN"),
    "partial occupancy": (Structure(Lattice.cubic(3), [{"H": 0.5}], [[0, 0, 0]]), "partially occupied"),
    "dummy": (Structure(Lattice.cubic(3), ["X"], [[0, 0, 0]]), "no elements: X"),
    "ASE without a cell": (Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.7]]), "no periodic cell"),
    "ASE, number zero": (Atoms(numbers=[0], cell=[3, 3, 3], pbc=True), "no elements"),
    "an integer": (3, "got|from int"),
    "a missing file": ("nowhere/POSCAR", "no such structure file"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_structures_get_one_clear_error(case):
    source, message = BAD[case]
    with pytest.raises(StructureError, match=message):
        as_structure(source)


def test_unreadable_file(tmp_path):
    (tmp_path / "POSCAR").write_text("this is\nnot a structure")
    with pytest.raises(StructureError, match="pymatgen cannot read"):
        as_structure(tmp_path / "POSCAR")


def test_a_frame_that_is_not_there(diamond, tmp_path):
    diamond.to(filename=str(tmp_path / "POSCAR"))
    write(tmp_path / "md.traj", [Atoms("H", cell=[3, 3, 3], pbc=True)] * 2)
    for name in ("POSCAR", "md.traj"):
        with pytest.raises(StructureError, match=f"{name} has no frame '5:9'"):
            list(read_structures(tmp_path / name, index="5:9"))


def test_cif_with_several_blocks(diamond, tmp_path):
    other = diamond.copy()
    other.scale_lattice(2 * diamond.volume)
    (tmp_path / "two.cif").write_text(diamond.to(fmt="cif") + "\n" + other.to(fmt="cif").replace("data_C", "data_D"))
    volumes = [s.volume for s in read_structures(tmp_path / "two.cif")]
    assert volumes == pytest.approx([diamond.volume, other.volume])
    assert as_structure(tmp_path / "two.cif").volume == pytest.approx(other.volume)


def test_a_poscar_may_state_its_volume(tmp_path):
    """pymatgen 2025 multiplies Cartesian positions by the negative number itself."""
    text = "x\n{}\n4 0 0\n0 5 0\n0 0 6\nH He\n1 1\nCartesian\n2.03 2.57 1.71\n0.5 0.5 0.5\n"
    for scale, factor in (("1.0", 1.0), ("-120.0", 1.0), (" -960.0 ", 2.0)):
        (tmp_path / "POSCAR").write_text(text.format(scale))
        found = as_structure(tmp_path / "POSCAR")
        np.testing.assert_allclose(found.lattice.abc, factor * np.array([4, 5, 6]))
        np.testing.assert_allclose(found.cart_coords[0], factor * np.array([2.03, 2.57, 1.71]))
    with gzip.open(tmp_path / "POSCAR.gz", "wt") as handle:
        handle.write(text.format("-120.0"))
    np.testing.assert_allclose(as_structure(tmp_path / "POSCAR.gz").cart_coords[0], [2.03, 2.57, 1.71])


def test_charges_and_spins_are_left_behind():
    sodium = Structure(
        Lattice.cubic(4), [Species("Na", 1), Species("H", -1, {"spin": 5})], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    found = as_structure(sodium)
    assert found.species == [Element("Na"), Element("H")]
    np.testing.assert_array_equal(found.frac_coords, sodium.frac_coords)
    assert sodium[0].specie == Species("Na", 1)
    plain = Structure(Lattice.cubic(4), ["Na"], [[0, 0, 0]])
    assert as_structure(plain) is plain


def test_close_but_real_contacts_are_kept():
    squeezed = Structure(Lattice.cubic(3), ["H", "H"], [[0, 0, 0], [0, 0, 0.1]])
    assert as_structure(squeezed) is squeezed


NAMELESS = "LaH10 fm-3m\n1.0\n3 0 0\n0 3 0\n0 0 3\n1 2\nDirect\n0 0 0\n0.5 0.5 0.5\n0.5 0.5 0.2\n"


def test_a_poscar_without_elements_is_not_made_up(tmp_path):
    """pymatgen takes hydrogen and helium for what is not named."""
    path = tmp_path / "POSCAR"
    path.write_text(NAMELESS)
    with pytest.raises(StructureError, match=r"POSCAR: the text names no elements for its 2 kinds .*species="):
        as_structure(path)
    (found,) = read_structures(path, species=["La", "H"])
    assert found.composition.formula == "La1 H2" and found[2].frac_coords[2] == 0.2
    with pytest.raises(StructureError, match=r"species=\['H'\] are 1"):
        next(read_structures(path, species=["H"]))
    path.write_text(NAMELESS.replace("\n1 2\n", "\nLa H\n1 2\n"))
    assert as_structure(path).composition.formula == "La1 H2"
    with pytest.raises(StructureError, match="names its elements, La H; leave out species"):
        next(read_structures(path, species=["La", "H"]))
    path.write_text(NAMELESS.replace("1 2", "1 3").replace("\n1.0\n", "\n1.0\n", 1))
    with pytest.raises(StructureError, match="ends before the coordinates of all atoms"):
        as_structure(path)


@pytest.mark.parametrize("mode", ["Direct", "Cartesian", "Selective dynamics\nCartesian"])
def test_a_poscar_may_have_three_factors(tmp_path, mode):
    """Of x, y and z, as VASP has it; ASE reads them, too."""
    from ase.io import read

    flags = " T F T" if "Sel" in mode else ""
    rows = "".join(f"{x}{flags}\n" for x in ("0 0 0", "0.5 0.4 0.3"))
    path = tmp_path / "POSCAR"
    path.write_text(f"x\n3.0 2.0 2.5\n1 0 0\n0 1 0\n0.5 0 1\nLa H\n1 1\n{mode}\n{rows}")
    found, expected = as_structure(path), read(path, format="vasp")
    np.testing.assert_allclose(found.lattice.matrix, expected.cell[:])
    np.testing.assert_allclose(found.cart_coords, expected.positions)


CIF = """data_x
_chemical_formula_sum '{formula}'
_cell_length_a 5.1
_cell_length_b 5.1
_cell_length_c 5.1
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{sites}
"""


def test_a_cif_without_its_hydrogens_is_refused(tmp_path):
    """As of X-ray diffraction, which hardly sees them."""
    path = tmp_path / "a.cif"
    path.write_text(CIF.format(formula="La H10", sites="La1 La 0 0 0"))
    with pytest.raises(StructureError, match=r"a\.cif: its formula has H, of which it lists no positions"):
        as_structure(path)
    attached = CIF.format(formula="O", sites="O1 O 0 0 0 2").replace(
        "_fract_z\n", "_fract_z\n_atom_site_attached_hydrogens\n"
    )
    path.write_text(attached)
    with pytest.raises(StructureError, match="has hydrogens that are attached to its sites"):
        as_structure(path)
    path.write_text(CIF.format(formula="La D", sites="La1 La 0 0 0\nD1 D 0.5 0.5 0.5"))
    assert len(as_structure(path)) == 2  # an isotope is there


@pytest.mark.parametrize("name", ["mp4_POSCAR", "a.vasp.xz", "POSCAR.bz2"])
def test_a_poscar_by_any_name_names_its_elements(name, tmp_path):
    """ASE would take them from words of the comment."""
    packed = {".xz": lzma.compress, ".bz2": bz2.compress}.get(Path(name).suffix, bytes)
    (tmp_path / name).write_bytes(packed(NAMELESS.replace("LaH10 fm-3m", "POSCAR from NSC").encode()))
    with pytest.raises(StructureError, match="names no elements for its 2 kinds"):
        as_structure(tmp_path / name)
    (found,) = read_structures(tmp_path / name, species=["La", "H"])
    assert found.composition.formula == "La1 H2"


@pytest.mark.parametrize("second", ["-54.0 # volume", "-54.0", "1.259921049894873 ! scale"])
def test_a_remark_behind_the_factor_of_a_poscar(second, tmp_path):
    (tmp_path / "POSCAR").write_text(f"x\n{second}\n3 0 0\n0 3 0\n0 0 3\nH\n1\nCartesian\n1.5 0 0.3\n")
    found = as_structure(tmp_path / "POSCAR")
    np.testing.assert_allclose(found.frac_coords, [[0.5, 0, 0.1]], atol=1e-12)
    assert found.volume == pytest.approx(54.0)


def test_no_symbol_of_a_poscar_is_dropped(tmp_path):
    (tmp_path / "POSCAR").write_text(NAMELESS.replace("\n1 2\n", "\nLa H O\n1 2\n"))
    with pytest.raises(StructureError, match=r"3 symbols \(La H O\), but 2 counts"):
        as_structure(tmp_path / "POSCAR")


def test_packed_cifs_are_looked_at_as_others_are(tmp_path):
    path = tmp_path / "a.cif.bz2"
    path.write_bytes(bz2.compress(CIF.format(formula="La H10", sites="La1 La 0 0 0").encode()))
    with pytest.raises(StructureError, match="its formula has H"):
        as_structure(path)


def test_blocks_of_a_cif(tmp_path):
    """Each has a formula of its own; one that cannot be read does not make its neighbour take its place."""
    first = CIF.format(formula="La H", sites="La1 La 0 0 0\nH1 H 0.5 0.5 0.5")
    second = CIF.format(formula="S", sites="S1 S 0 0 0\nH1 H 0.5 0.5 0.5").replace("data_x", "data_y")
    path = tmp_path / "two.cif"
    path.write_text("data_global\n_journal_year 2026\n" + first + second)
    assert [found.composition.formula for found in read_structures(path)] == ["La1 H1", "H1 S1"]
    overfull = "_fract_z\n_atom_site_occupancy\n"
    broken = second.replace("_fract_z\n", overfull).replace("0 0 0\n", "0 0 0 0.9\nS2 S 0 0 0 0.8\n")
    path.write_text(first + broken.replace("0.5 0.5 0.5", "0.5 0.5 0.5 1"))
    with pytest.raises(StructureError, match="of its 2 blocks with atoms 1 can be read"):
        as_structure(path)


def test_names_with_an_at_sign(tmp_path):
    """ASE takes what follows for a frame of another file."""
    for name, atoms in (("XDATCAR", 2), ("XDATCAR@3", 3)):
        frame = Atoms(f"H{atoms}", positions=np.eye(3)[:atoms], cell=[3, 3, 3], pbc=True)
        write(tmp_path / "XDATCAR.x", [frame] * 2, format="vasp-xdatcar")
        (tmp_path / "XDATCAR.x").rename(tmp_path / name)
    assert len(as_structure(tmp_path / "XDATCAR")) == 2
    assert [len(found) for found in read_structures(tmp_path / "XDATCAR@3")] == [3, 3]
    write(tmp_path / "x.extxyz", frame)
    (tmp_path / "x.extxyz").rename(tmp_path / "H3@150GPa.extxyz")
    assert len(as_structure(tmp_path / "H3@150GPa.extxyz")) == 3


def test_a_broken_frame_is_told_when_it_is_met(tmp_path):
    frame = 'Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3'
    path = tmp_path / "md.extxyz"
    path.write_text("".join(f"1\n{frame}\nH 0 0 {z}\n" for z in ("0", "1", "abc")))
    frames = read_structures(path)
    assert [next(frames)[0].z, next(frames)[0].z] == [0.0, 1.0]
    with pytest.raises(StructureError, match=r"md\.extxyz: after 2 frames the next cannot be read \(ValueError"):
        next(frames)


@pytest.mark.parametrize("name", ["elf.cube", "elf.xsf", "elf.npz", "elf.h5", "ELFCAR"])
def test_the_structure_of_a_field_is_that_of_its_file(name, diamond, tmp_path):
    field = Field(np.linspace(0, 1, 60).reshape(3, 4, 5), diamond)
    field.write(tmp_path / name)
    assert same(as_structure(tmp_path / name), diamond)


def test_the_origin_of_a_cube_moves_the_atoms(diamond, tmp_path):
    """As :func:`elfzoo.read_field` does, so that a prediction on its grid lies on the field."""
    path = Field(np.linspace(0, 1, 60).reshape(3, 4, 5), diamond).write(tmp_path / "elf.cube")
    lines = path.read_text().splitlines()
    lines[2] = f"{len(diamond)} 1.0 0.5 0.25"
    path.write_text("\n".join(lines))
    assert same(as_structure(path), read_field(path).structure) and not same(as_structure(path), diamond)


def test_a_batch_of_structures_is_not_one(skewed_hydride):
    batch = Batch.from_data_list([probe_data(skewed_hydride, np.zeros((1, 3)), dtype=torch.float64)] * 2)
    with pytest.raises(
        StructureError, match=r"cell of shape \(2, 3, 3\); expected one structure, with a cell of \(3, 3"
    ):
        as_structure(batch)
    assert same(as_structure(batch.to_data_list()[1]), skewed_hydride)
