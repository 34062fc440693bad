"""GTH potentials: CP2K's table read, pw.x's files written."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.reference.engines import EngineError
from elfzoo.reference.engines.espresso import EspressoEngine, copy_pseudopotentials
from elfzoo.reference.engines.gth import FOLDERS, gth_file, read_gth
from elfzoo.reference.recipe import find_recipe

TABLE = """\
# a comment
H GTH-PBE-q1 GTH-PBE
    1
     0.20000000    2    -4.17890044     0.72446331
    0
#
Ca GTH-PADE-q10 GTH-LDA-q10
    4    6
     0.1    1    -9.0
    0
Ca GTH-PBE-q2
    2
     0.2    1    -1.0
    0
Ca GTH-PBE-q10 GTH-PBE
    4    6
     0.39000000    2    -4.16707222    -1.58379781
    3
     0.28935572    2    20.53187635    -7.12978578
                                        9.20451387
     0.32788206    3     1.0    2.0    3.0
                                 4.0    5.0
                                        6.0
     0.67961713    0
"""


def test_an_entry_is_read_whole():
    found = read_gth(TABLE, "Ca")
    assert (found.name, found.electrons) == ("GTH-PBE-q10", (4, 6))
    assert found.local == (0.39, (-4.16707222, -1.58379781))
    assert found.channels == (
        (0.28935572, ((20.53187635, -7.12978578), (9.20451387,))),
        (0.32788206, ((1.0, 2.0, 3.0), (4.0, 5.0), (6.0,))),
        (0.67961713, ()),
    )
    assert read_gth(TABLE, "Ca", "GTH-PBE-q2").electrons == (2,)


def test_the_file_of_pw():
    assert read_gth(TABLE, "Ca").text().splitlines()[1:] == [
        "20 10 0",
        "10 11 2 4 2001 0",
        "0.39 2 -4.16707222 -1.58379781",
        "3",
        "0.28935572 2 20.53187635 -7.12978578",
        "9.20451387",
        "0.32788206 3 1.0 2.0 3.0",
        *("4.0 5.0", "6.0"),
        *("0.0 0.0 0.0", "0.0 0.0", "0.0"),  # no spin-orbit coupling
        "0.67961713 0",
    ]


def test_hydrogen_is_the_one_that_elfzoo_ships(tmp_path):
    structure = Structure(Lattice.cubic(3.0), ["H"], [[0, 0, 0]])
    copy_pseudopotentials(structure, "GTH-PBE-q1", tmp_path)
    ours = (tmp_path / "H-GTH-PBE-q1.gth").read_text().split("\n", 1)[1].split()
    made = read_gth(TABLE, "H").text().split("\n", 1)[1].split()
    assert [float(x) for i, x in enumerate(ours) if i != 2] == [
        float(x) for i, x in enumerate(made) if i != 2
    ]  # a date


def test_what_is_not_there_is_said(tmp_path, monkeypatch):
    with pytest.raises(EngineError, match="no GTH-PBE pseudopotential for Pu"):
        read_gth(TABLE, "Pu")
    monkeypatch.setattr("elfzoo.reference.engines.gth.FOLDERS", ())
    monkeypatch.setenv("CP2K_DATA_DIR", str(tmp_path))
    with pytest.raises(EngineError, match="apt-get install cp2k-data"):
        gth_file("H")
    (tmp_path / "GTH_POTENTIALS").write_text(TABLE)
    assert gth_file("Ca").decode() == read_gth(TABLE, "Ca").text()


@pytest.mark.skipif(
    shutil.which("pw.x") is None or not any(Path(folder).is_dir() for folder in FOLDERS),
    reason="needs pw.x and cp2k-data",
)
def test_aluminium_is_a_metal_near_its_lattice_constant(tmp_path):
    """Free electrons: P of fcc Al at 4.05 Å within a few GPa of zero, and no force."""
    settings = replace(find_recipe("crystal-h").label, pseudopotential="GTH-PBE", cutoff=300.0, k_spacing=0.4)
    crystal = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.05), ["Al"], [[0, 0, 0]]).get_primitive_structure()
    forces, pressure, _ = EspressoEngine().forces(crystal, settings, tmp_path)
    assert abs(forces).max() < 1e-6
    assert abs(pressure) < 5
