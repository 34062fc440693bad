"""Input files: read back by pymatgen and ASE to the same structure, and run where Quantum ESPRESSO is installed."""

from __future__ import annotations

import csv
import json
import py_compile
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Incar, Kpoints, Poscar

import elfzoo
from elfzoo.card import Card, read_card
from elfzoo.check import check_file
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.models.base import Model
from elfzoo.reference.engines import Label, k_mesh
from elfzoo.reference.engines.espresso import BOHR, EspressoEngine
from elfzoo.screening.identity import structure_hash
from elfzoo.selection import Selection, calculation_for, collect, select, write_inputs
from elfzoo.selection.espresso import espresso_files
from elfzoo.selection.pool import read_pool
from elfzoo.selection.vasp import vasp_files
from elfzoo.structure import as_structure, require_same_structure
from tests.selection.conftest import H2, LAH, cell

needs_espresso = pytest.mark.skipif(
    not (shutil.which("pw.x") and shutil.which("pp.x")), reason="Quantum ESPRESSO is not installed"
)
SHIPPED = Path(elfzoo.__file__).parents[1] / "model_cards"


@pytest.fixture(scope="module")
def selection(model: Model) -> Selection:
    return select([H2, LAH, cell(0)], model, 2, points=50, progress=False)


@pytest.fixture(scope="module")
def card(release: Path) -> Card:
    return read_card(release)


def rows(folder: Path, name: str = "selected.csv") -> list[dict[str, str]]:
    with open(folder / name, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


# ---- what is written for each program ----


@pytest.mark.parametrize("structure", [H2, LAH, cell(1)], ids=["H2", "LaH2", "triclinic"])
def test_espresso_is_read_back_by_ase(card: Card, structure: Structure, tmp_path: Path) -> None:
    calculation = calculation_for(card, "espresso", [structure])
    files, note = espresso_files(structure, calculation)
    (tmp_path / "scf.in").write_bytes(files["scf.in"])
    require_same_structure(structure, AseAtomsAdaptor.get_structure(read(tmp_path / "scf.in", format="espresso-in")))
    text = files["scf.in"].decode()
    assert "ecutwfc=99.99" in text and "smearing='fd'" in text and note == ""
    mesh = " ".join(map(str, k_mesh(calculation.settings, structure)))
    assert f"K_POINTS automatic\n {mesh} 0 0 0" in text
    assert "plot_num=8" in files["pp.in"].decode() and "elf.cube" in files["pp.in"].decode()
    hydrogen = {"H-GTH-PBE-q1.gth"} if "La" not in structure.symbol_set else set()
    assert hydrogen <= set(files)


def test_charges_are_no_species(card: Card) -> None:
    charged = Structure(H2.lattice, ["H+", "H-"], H2.frac_coords)
    calculation = calculation_for(card, "espresso", [charged])
    assert espresso_files(charged, calculation)[0]["scf.in"] == espresso_files(H2, calculation)[0]["scf.in"]


def test_espresso_with_potentials_of_ones_own(card: Card) -> None:
    calculation = calculation_for(card, "espresso", [LAH], pseudopotential="{element}_ONCV.upf", cutoff=900.0)
    files, _ = espresso_files(LAH, calculation)
    assert set(files) == {"scf.in", "pp.in"}
    text = files["scf.in"].decode()
    assert " H 1.0079 H_ONCV.upf" in text and " La 138.9055 La_ONCV.upf" in text
    assert float(re.search(r"ecutwfc=([\d.]+)", text)[1]) == pytest.approx(900.0 / 13.605693, rel=1e-6)  # type: ignore[index]
    assert not calculation.same


@pytest.mark.parametrize("structure", [H2, LAH, cell(1)], ids=["H2", "LaH2", "triclinic"])
def test_vasp_is_read_back_by_pymatgen(card: Card, structure: Structure) -> None:
    calculation = calculation_for(card, "vasp", [structure])
    files, _ = vasp_files(structure, calculation)
    poscar = Poscar.from_str(files["POSCAR"].decode())
    require_same_structure(structure, poscar.structure)
    potentials = files["POTCAR.spec"].decode().split()
    assert [name.partition("_")[0] for name in potentials] == poscar.site_symbols
    incar = Incar.from_str(files["INCAR"].decode())
    assert incar["LELF"] is True and incar["NPAR"] == 1 and incar["PREC"] == "Accurate"
    assert "NCORE" not in incar and incar["LAECHG"] is False
    assert (incar["ISMEAR"], incar["SIGMA"]) == (-1, pytest.approx(0.12926))
    spacing = np.array(structure.lattice.abc) / [incar["NGX"], incar["NGY"], incar["NGZ"]]
    assert spacing.max() <= 0.1 + 1e-9  # π / (2 G_max) is 0.108 Å at 800 eV
    assert [incar[f"NG{x}F"] for x in "XYZ"] == [2 * incar[f"NG{x}"] for x in "XYZ"]
    points = Kpoints.from_str(files["KPOINTS"].decode())
    assert tuple(points.kpts[0]) == k_mesh(calculation.settings, structure)
    step = np.array(structure.lattice.reciprocal_lattice.abc) / points.kpts[0]
    assert step.max() <= calculation.settings.k_spacing + 1e-6


def test_vasp_is_told_of_a_shifted_mesh(card: Card) -> None:
    calculation = calculation_for(card, "vasp", [H2], recipe="fluid-h")
    assert calculation.settings.k_shift
    points = Kpoints.from_str(vasp_files(H2, calculation)[0]["KPOINTS"].decode())
    assert tuple(points.kpts_shift) == (0.5, 0.5, 0.5)
    assert "ISYM" not in Incar.from_str(vasp_files(H2, calculation)[0]["INCAR"].decode())
    one = H2 * (6, 6, 6)  # one point: Baldereschi's, whose star under the symmetry is no part of it
    assert tuple(Kpoints.from_str(vasp_files(one, calculation)[0]["KPOINTS"].decode()).kpts_shift) == (0.25,) * 3
    assert Incar.from_str(vasp_files(one, calculation)[0]["INCAR"].decode())["ISYM"] == -1


def test_the_script_of_gpaw_has_the_structure_and_writes_its_label(
    selection: Selection, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_inputs(selection, calculation_for(card, "gpaw"), tmp_path / "next")
    values = np.full((4, 5, 6), 0.25)

    def label(self: object, structure: Structure, settings: object, scratch: Path) -> Label:
        facts = {"engine": "GPAW 26.7.0 plane waves"}
        return Label(values, structure, np.zeros((len(structure), 3)), 1.0, -2.0, facts)

    monkeypatch.setattr("elfzoo.reference.engines.gpaw.GpawEngine.label", label)
    for row, item in zip(rows(folder), selection.chosen, strict=True):
        script = folder / row["folder"] / "label.py"
        py_compile.compile(str(script), cfile=str(tmp_path / "compiled"), doraise=True)
        names = runpy.run_path(str(script))
        require_same_structure(item.structure, names["structure"]())
        monkeypatch.chdir(script.parent)
        names["main"]()
    found = collect(folder)
    assert not found.left and len(found.labels) == 2
    field = elfzoo.read_field(found.labels[0])
    np.testing.assert_array_equal(field.values, values)
    assert field.recipe == elfzoo.Recipe("GPAW 26.7.0", "PBE", "gpaw-data")


def test_an_origin_off_the_symmetry_elements_is_mended_and_said(card: Card, tmp_path: Path, model: Model) -> None:
    """No grid is mapped onto itself by glide planes and screw axes at places such as 0.0417."""
    diamond = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.0), ["H"], [[0.125, 0.125, 0.125]])
    moved = Structure(diamond.lattice, diamond.species, diamond.frac_coords + np.array([0.0417, 0.0231, 0.0119]))
    chosen = select([moved], model, 1, points=20, progress=False)
    folder = write_inputs(chosen, calculation_for(card, "espresso", [moved]), tmp_path / "next")
    name = rows(folder)[0]["folder"]
    assert f"{name} is in its standard primitive cell" in (folder / "README.txt").read_text()
    read_back = AseAtomsAdaptor.get_structure(read(folder / name / "scf.in", format="espresso-in"))
    assert 4 * len(read_back) == len(moved) and read_back.volume == pytest.approx(moved.volume / 4)
    assert read_back.get_space_group_info()[0] == "Fd-3m"
    assert "nr1=" in (folder / name / "scf.in").read_text()


# ---- the recipe ----


def test_the_recipe_is_that_of_the_labels_with_the_densest_mesh() -> None:
    fluid = read_card(SHIPPED / "grid_mlp.smooth-h-v3")  # learned from cells of 128 H and more, with few k-points
    found = calculation_for(fluid, "espresso", [H2])
    assert (found.settings.k_spacing, found.settings.k_shift, found.settings.pseudopotential) == (
        0.3,
        False,
        "GTH-PBE-q1",
    )
    assert found.settings.low_pass == (14.0, 18.0) and found.same
    assert calculation_for(fluid, "espresso", [LAH]).settings.pseudopotential == "GTH-PBE"
    other = calculation_for(fluid, "gpaw", [H2])
    assert (other.settings.cutoff, other.settings.low_pass, other.same) == (800.0, (12.0, 14.0), False)
    assert not calculation_for(fluid, "vasp", [H2]).same
    several = read_card(SHIPPED / "probe_graph.multi-v5")  # learned from both programs' labels
    assert calculation_for(several, "gpaw", [LAH]).same and calculation_for(several, "espresso", [H2]).same
    # hydrogen's labels are by the one program, all others by the other: neither made both
    for program, structures in (("espresso", [LAH]), ("gpaw", [H2]), ("gpaw", [H2, LAH]), ("espresso", [H2, LAH])):
        assert not calculation_for(several, program, structures).same
    assert calculation_for(several, "espresso", [LAH]).settings.smearing_width == 0.1  # as of the labels of hydrides
    assert any("hydrides" in way and "GPAW" in way for way in calculation_for(several, "gpaw").labels)


def test_what_is_asked_for_goes_before_the_recipe(card: Card) -> None:
    found = calculation_for(card, "espresso", [H2], recipe="fluid-h", cutoff=500.0, k_spacing=1.0)
    assert (found.settings.cutoff, found.settings.k_spacing, found.settings.k_shift) == (500.0, 1.0, False)
    assert calculation_for(None, "gpaw").labels == ()
    with pytest.raises(UnknownNameError, match="espresso"):
        calculation_for(card, "espreso")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="fluid-h"):
        calculation_for(card, "espresso", recipe="fluidh")
    for options, message in (
        ({"cutoff": -100.0}, r"cutoff is a positive number of eV; got -100"),
        ({"cutoff": float("nan")}, r"cutoff is a positive number of eV; got nan"),
        ({"k_spacing": 0.0}, r"k_spacing is a positive number of rad/Å; got 0"),
        ({"pseudopotential": "{symbol}.upf"}, r"a pattern such as '\{element\}.upf'; got '\{symbol\}.upf'"),
    ):
        with pytest.raises(ElfzooError, match=message):
            calculation_for(card, "espresso", **options)
    with pytest.raises(ElfzooError, match=r"potentials of its own.*upf"):
        calculation_for(card, "vasp", pseudopotential="{element}.upf")


# ---- the folder ----


def test_the_folder_lists_and_explains(selection: Selection, card: Card, tmp_path: Path) -> None:
    folder = write_inputs(selection, calculation_for(card, "vasp"), tmp_path / "next")
    for row, item in zip(rows(folder), selection.chosen, strict=True):
        assert row["order"] == str(item.order) and row["folder"].startswith(f"{item.order:02d}_")
        assert float(row["std_before"]) == pytest.approx(item.before, abs=1e-6)
        assert float(row["std_after"]) == pytest.approx(item.after, abs=1e-6) and (folder / row["folder"]).is_dir()
    assert [row["file"] for row in rows(folder, "candidates.csv")] == [item.file for item in selection.others]
    facts = json.loads((folder / "select.json").read_text())
    assert (facts["model"], facts["points"], facts["labelled_points"]) == ("grid_mlp.test-v0", 50, 2000.0)
    text = (folder / "README.txt").read_text()
    assert "WARNING" in text and "--method calibrate" in text and "Quantum ESPRESSO, PBE, GTH-PBE-q1" in text
    same = write_inputs(selection, calculation_for(card, "espresso"), tmp_path / "same")
    assert "WARNING" not in (same / "README.txt").read_text()


def test_what_is_missing_is_named(selection: Selection, card: Card, tmp_path: Path) -> None:
    calculation = calculation_for(card, "espresso", pseudopotential="{element}.upf")
    folder = write_inputs(selection, calculation, tmp_path / "next")
    assert re.search(r"NOT HERE.*H\.upf, La\.upf", (folder / "README.txt").read_text().replace("\n", " "))


def test_a_folder_is_not_overwritten(selection: Selection, card: Card, tmp_path: Path) -> None:
    calculation, out = calculation_for(card, "vasp"), tmp_path / "next"
    write_inputs(selection, calculation, out)
    (out / "result").write_text("weeks of work")
    with pytest.raises(ElfzooError, match="there already"):
        write_inputs(selection, calculation, out)
    write_inputs(selection, calculation, out, force=True)
    assert (tmp_path / "next.old" / "result").read_text() == "weeks of work" and not (out / "result").exists()
    with pytest.raises(ElfzooError, match=r"next\.old is there"):
        write_inputs(selection, calculation, out, force=True)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ElfzooError, match="no folder of elfzoo select"):
        write_inputs(selection, calculation, other, force=True)
    with pytest.raises(ElfzooError, match="no folder"):
        write_inputs(selection, calculation, tmp_path / "gone" / "next")


def test_a_folder_appears_whole_or_not_at_all(
    selection: Selection, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("elfzoo.selection.inputs.readme", fails)
    with pytest.raises(ElfzooError, match="No space left"):
        write_inputs(selection, calculation_for(card, "vasp"), tmp_path / "next")
    assert not list(tmp_path.iterdir())


# ---- the way back ----


@needs_espresso
def test_espresso_runs_and_comes_back_as_the_label_of_elfzoo(model: Model, card: Card, tmp_path: Path) -> None:
    """Through the command of README.txt, against the engine that makes elfzoo's own labels."""
    chosen = select([H2], model, 1, points=20, progress=False)
    calculation = calculation_for(card, "espresso", [H2], cutoff=500.0, k_spacing=2.0)
    folder = write_inputs(chosen, calculation, tmp_path / "next")
    assert list(collect(folder).left.values()) and not collect(folder).labels
    command = re.search(r"^    (for .*)$", (folder / "README.txt").read_text(), re.M)[1]  # type: ignore[index]
    subprocess.run(["bash", "-c", command], cwd=folder, check=True, timeout=300)
    cube = elfzoo.read_field(folder / rows(folder)[0]["folder"] / "elf.cube")
    assert 0 <= cube.values.min() < 0.5 < cube.values.max() <= 1.001
    require_same_structure(H2, cube.structure)
    found = collect(folder)
    assert not found.left and "1 labels, 0 calculations left" in str(found)
    label = EspressoEngine().label(H2, calculation.settings, tmp_path)
    field = elfzoo.read_field(found.labels[0])
    assert field.values.shape == label.values.shape
    np.testing.assert_allclose(field.values, label.values, atol=2e-4)  # a cube has five digits
    assert field.recipe is not None and field.recipe.engine.startswith("Quantum ESPRESSO 6.7")
    assert structure_hash(field.structure) == structure_hash(H2)
    assert not [finding for finding in check_file(found.labels[0]) if finding.level == "error"]


def test_elements_of_a_cube_with_indices_come_from_the_input(card: Card, model: Model, tmp_path: Path) -> None:
    chosen = select([LAH], model, 1, points=20, progress=False)
    folder = write_inputs(chosen, calculation_for(card, "espresso", [LAH]), tmp_path / "next")
    place = folder / rows(folder)[0]["folder"]
    values = np.random.default_rng(0).uniform(0.1, 0.9, (34, 34, 34))
    elfzoo.Field(values, LAH).write(place / "elf.cube")
    lines = (place / "elf.cube").read_text().splitlines()
    lines[0] = "Cubefile created from PWScf calculation"
    lines[6:9] = [re.sub(r"^ +(\d+)", lambda m: f"{1 if m[1] == '1' else 2:5d}", line) for line in lines[6:9]]
    (place / "elf.cube").write_text("\n".join(lines) + "\n")
    done = "Program PWSCF v.7.2 starts\nconvergence has been achieved in 9 iterations\nJOB DONE.\n"
    (place / "scf.out").write_text(done)
    (place / "pp.out").write_text("JOB DONE.\n")
    found = collect(folder)
    assert not found.left
    require_same_structure(LAH, elfzoo.read_field(found.labels[0]).structure)
    label = elfzoo.read_field(found.labels[0])
    assert label.meta["engine"].startswith("Quantum ESPRESSO 7.2, ELF mended") and label.recipe is not None
    assert label.recipe.engine == "Quantum ESPRESSO 7.2"
    assert "qe-elf" not in [finding.code for finding in check_file(found.labels[0])]
    before = found.labels[0].read_bytes()
    (place / "elf.cube").write_text("")
    assert collect(folder).labels == found.labels and found.labels[0].read_bytes() == before  # it stays as it is
    found.labels[0].unlink()
    assert "a file is damaged" in next(iter(collect(folder).left.values()))
    (place / "scf.out").write_text(done.replace("JOB DONE.", ""))
    assert "JOB DONE" in next(iter(collect(folder).left.values()))


def end_espresso(place: Path, version: str = "7.2", said: str = "") -> np.ndarray:
    """What pw.x and pp.x leave behind, with an ELF at random; a cube has six digits of the voxels, in bohr."""
    given = as_structure(place / "scf.in")
    values = np.random.default_rng(0).uniform(0.1, 0.9, (30, 36, 41))
    voxels = np.round(given.lattice.matrix / BOHR / np.array(values.shape)[:, None], 6)
    printed = Lattice(voxels * np.array(values.shape)[:, None] * BOHR)
    positions = np.round(given.cart_coords / BOHR, 6) * BOHR
    rounded = Structure(printed, given.species, positions, coords_are_cartesian=True)
    elfzoo.Field(values, rounded).write(place / "elf.cube")
    lines = (place / "elf.cube").read_text().splitlines()
    lines[:2] = ["Cubefile created from PWScf calculation", "Contains the selected quantity on a FFT grid"]
    (place / "elf.cube").write_text("\n".join(lines) + "\n")
    done = f"Program PWSCF v.{version} starts\n{said}\nconvergence has been achieved in 9 iterations\nJOB DONE.\n"
    (place / "scf.out").write_text(done)
    (place / "pp.out").write_text("JOB DONE.\n")
    return values


def edit(path: Path, *changes: tuple[str, str]) -> None:
    for old, new in changes:
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))


@pytest.fixture
def espresso_folder(card: Card, model: Model, tmp_path: Path) -> Path:
    """Of one structure, by the recipe of the release's labels."""
    chosen = select([LAH], model, 1, points=20, progress=False)
    return write_inputs(chosen, calculation_for(card, "espresso", [LAH]), tmp_path / "next")


def forget_inputs(folder: Path) -> None:
    """As elfzoo wrote the folder before it kept what the inputs say; of a recipe whose labels are not filtered."""
    facts = json.loads((folder / "select.json").read_text()) | {"same_recipe": False}
    del facts["folders"]
    (folder / "select.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("scf.in", "ecutwfc=99.999999", "ecutwfc=60.0", r"scf\.in \(ecutwfc is 60\.0, was 99\.999999\)"),
        ("scf.in", "input_dft='PBE'", "input_dft='PBESOL'", "input_dft is PBESOL, was PBE"),
        ("scf.in", "&system", "&system\n nspin=2, starting_magnetization(1)=0.5,", "nspin is 2, was not set"),
        ("scf.in", "degauss=0.0", "degauss=0.1", "degauss is 0.1"),
        ("scf.in", "K_POINTS automatic\n", "K_POINTS automatic\n1", "K_POINTS is automatic; 1"),
        ("scf.in", "H 0.500000000000 0.500000000000", "H 0.510000000000 0.5", "ATOMIC_POSITIONS is another"),
        ("pp.in", "plot_num=8", "plot_num=0", r"pp\.in \(plot_num is 0, was 8\)"),
    ],
)
def test_a_label_states_no_recipe_that_was_not_run(
    espresso_folder: Path, file: str, old: str, new: str, reason: str
) -> None:
    name = rows(espresso_folder)[0]["folder"]
    end_espresso(espresso_folder / name)
    edit(espresso_folder / name / file, (old, new))
    found = collect(espresso_folder)
    assert not found.labels and re.search(reason, found.left[name]), found.left
    assert "state its recipe yourself" in found.left[name]


def test_what_decides_no_result_may_be_changed_and_other_potentials_are_stated(espresso_folder: Path) -> None:
    place = espresso_folder / rows(espresso_folder)[0]["folder"]
    values = end_espresso(place, "6.7")
    edit(
        place / "scf.in",
        ("pseudo_dir='.'", "pseudo_dir = '/home/me/upf' ! mine"),
        ("outdir='scratch'", "outdir='/scratch/me'"),
        ("mixing_beta=0.5", "mixing_beta = 0.2"),
        ("H-GTH-PBE.gth", "H_ONCV-1.2.upf"),
        ("La-GTH-PBE.gth", "La_ONCV-1.2.upf"),
        ("ecutwfc=99.999999", "\n ecutwfc = 99.9999990"),
    )
    label = elfzoo.read_field(collect(espresso_folder).labels[0])
    assert label.recipe == elfzoo.Recipe("Quantum ESPRESSO 6.7", "PBE", "{element}_ONCV-1.2.upf")
    assert label.meta["cutoff_eV"] == pytest.approx(1360.5693)
    np.testing.assert_allclose(label.values, values, atol=1e-6)
    edit(place / "scf.in", ("La_ONCV-1.2.upf", "lanthanum.upf"))
    (espresso_folder / "labels" / f"{place.name}.npz").unlink()
    label = elfzoo.read_field(collect(espresso_folder).labels[0])
    assert label.meta["pseudopotential"] == "H_ONCV-1.2.upf, lanthanum.upf"


@pytest.mark.parametrize(
    ("edits", "said", "mended"),
    [
        ([("&system", "&system\n nspin=2,")], "", False),
        ([], "     total magnetization       =     1.00 Bohr mag/cell", False),
        ([], "", True),
    ],
)
def test_the_elf_of_a_calculation_with_spin_is_not_mended(
    espresso_folder: Path, edits: list[tuple[str, str]], said: str, mended: bool
) -> None:
    """Also in a folder that does not know what was written into it."""
    forget_inputs(espresso_folder)
    place = espresso_folder / rows(espresso_folder)[0]["folder"]
    values = end_espresso(place, "7.2", said)
    edit(place / "scf.in", *edits)
    label = elfzoo.read_field(collect(espresso_folder).labels[0])
    assert (np.abs(label.values - values).max() > 0.1) == mended == ("mended" in label.meta["engine"])
    assert label.meta.get("spin_polarised", False) != mended and "selected_hash" not in label.meta


def test_another_structure_than_that_of_the_input_is_left(espresso_folder: Path) -> None:
    forget_inputs(espresso_folder)
    place = espresso_folder / rows(espresso_folder)[0]["folder"]
    end_espresso(place)
    edit(place / "scf.in", ("H 0.500000000000 0.500000000000", "H 0.510000000000 0.5"))
    assert "scf.in has another structure than what was computed" in collect(espresso_folder).left[place.name]


def test_what_was_collected_is_known(card: Card, model: Model, tmp_path: Path) -> None:
    """Though a cube rounds the cell, and though the label is in another cell than the structure that was selected."""
    diamond = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.0), ["H"], [[0.125, 0.125, 0.125]])
    moved = Structure(diamond.lattice, diamond.species, diamond.frac_coords + np.array([0.0417, 0.0231, 0.0119]))
    pool = [moved, LAH, *(cell(number, 1 + 0.1 * number) for number in range(4))]
    chosen = select(pool, model, 6, points=20, progress=False)
    folder = write_inputs(chosen, calculation_for(card, "espresso", pool), tmp_path / "next")
    for row in rows(folder):
        end_espresso(folder / row["folder"])
    rounded = [elfzoo.read_field(folder / row["folder"] / "elf.cube").structure for row in rows(folder)]
    labels = collect(folder).labels
    assert len(labels) == 6
    hashes = [structure_hash(item.structure) for item in chosen.chosen]
    assert sum(structure_hash(one) != found for one, found in zip(rounded, hashes, strict=True)) >= 4
    for label, item in zip(labels, chosen.chosen, strict=True):
        field = elfzoo.read_field(label)
        assert field.meta["selected_hash"] == structure_hash(item.structure)
        assert (structure_hash(field.structure) == structure_hash(item.structure)) == (len(item.structure) < 16)
    found = select([*pool, H2], model, 2, known=[folder / "labels"], points=20, progress=False)
    assert [item.structure for item in found.chosen] == [H2] and found.known == 6
    assert [item.message for item in found.left_out] == ["labelled already"] * 6
    # of structures alone, those that were computed as they were selected
    kept, _ = read_pool([*pool, H2], known=[elfzoo.read_field(label).structure for label in labels])
    assert {len(item.structure) for item in kept if item.structure is not None} == {2, 16}


def test_vasp_with_other_inputs_or_potentials_is_left(selection: Selection, card: Card, tmp_path: Path) -> None:
    folder = write_inputs(selection, calculation_for(card, "vasp"), tmp_path / "next")
    place, item = folder / rows(folder)[0]["folder"], selection.chosen[0]
    elfzoo.Field(np.full((4, 4, 4), 0.5), item.structure).write(place / "ELFCAR")
    (place / "OUTCAR").write_text(" vasp.6.3.2\n aborting loop because EDIFF is reached\n General timing")
    written = {file: (place / file).read_text() for file in ("INCAR", "KPOINTS", "POSCAR")}
    for file, old, new, reason in (
        ("INCAR", "ENCUT = 800.0", "ENCUT = 500.0", r"INCAR \(ENCUT is 500\.0, was 800\.0\)"),
        ("INCAR", "GGA = Pe", "GGA = Ps", "GGA is Ps, was Pe"),
        ("INCAR", "NPAR = 1", "NCORE = 4", "NCORE is 4, was not set, NPAR is not set, was 1"),
        ("KPOINTS", "Gamma", "Monkhorst", r"KPOINTS \(content is 0; Monkhorst"),
        ("POSCAR", "0.000000000000", "0.010000000000", r"POSCAR \(content is another\)"),
    ):
        (place / file).write_text(written[file].replace(old, new, 1))
        assert re.search(reason, collect(folder).left[place.name]), collect(folder).left
        (place / file).write_text(written[file])
    edit(place / "INCAR", ("ALGO = Normal", "ALGO = All\nKPAR = 2 ! of 8 cores"))
    symbols = [name.partition("_")[0] for name in (place / "POTCAR.spec").read_text().split()]
    for titles in ([f"PAW {x} 01Jan2000" for x in symbols], ["PAW_PBE Xe 07Sep2000"], ["PAW_PBE H 15Jun2001"] * 3):
        (place / "POTCAR").write_text("".join(f"   TITEL  = {title}\n" for title in titles))
        assert "expected one PAW_PBE potential each of" in collect(folder).left[place.name]
    (place / "POTCAR").write_text("".join(f"   TITEL  = PAW_PBE {x}_h 01Jan2000\n" for x in symbols))
    label = elfzoo.read_field(collect(folder).labels[0])
    assert label.recipe == elfzoo.Recipe("VASP 6.3.2", "PBE", "PBE PAW")
    assert label.meta["selected_hash"] == structure_hash(item.structure) == structure_hash(label.structure)


def test_a_script_of_gpaw_with_another_structure_is_left(selection: Selection, card: Card, tmp_path: Path) -> None:
    folder = write_inputs(selection, calculation_for(card, "gpaw"), tmp_path / "next")
    place, item = folder / rows(folder)[0]["folder"], selection.chosen[0]
    elfzoo.Field(np.full((4, 4, 4), 0.5), item.structure).write(place / "elf.npz")
    edit(place / "label.py", ("NUMBERS = [", "NUMBERS = [1, "))
    assert re.search(r"label\.py \(NUMBERS is \[1, ", collect(folder).left[place.name])
    edit(place / "label.py", ("NUMBERS = [1, ", "NUMBERS = ["), ("'cutoff': 800.0", "'cutoff': 500.0"))
    assert elfzoo.read_field(collect(folder).labels[0]).meta["selected_hash"] == structure_hash(item.structure)


def test_vasp_comes_back_when_it_has_converged(selection: Selection, card: Card, tmp_path: Path) -> None:
    folder = write_inputs(selection, calculation_for(card, "vasp"), tmp_path / "next")
    first, second = (folder / row["folder"] for row in rows(folder))
    for place, item in zip((first, second), selection.chosen, strict=True):
        elfzoo.Field(np.full((4, 4, 4), 0.5), item.structure).write(place / "ELFCAR")
    ended = (
        " vasp.6.3.2 27Jun22 (build) complex\n aborting loop because EDIFF is reached\n General timing and accounting"
    )
    (first / "OUTCAR").write_text(ended)
    (second / "OUTCAR").write_text(ended.replace("EDIFF is reached", "NELM"))
    found = collect(folder)
    assert [path.stem for path in found.labels] == [first.name]
    assert "EDIFF" in found.left[second.name]
    assert elfzoo.read_field(found.labels[0]).recipe == elfzoo.Recipe("VASP 6.3.2", "PBE", "PBE PAW")
    with pytest.raises(ElfzooError, match="no folder of elfzoo select"):
        collect(tmp_path)
