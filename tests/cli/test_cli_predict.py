"""``elfzoo predict``: its files are right, others read them, and what cannot work is said before the work."""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.io import write as ase_write
from ase.io.cube import read_cube
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp.outputs import VolumetricData
from typer.testing import Result

from elfzoo import Field, Grid, as_structure, load_pretrained, read_field
from elfzoo.cli.outputs import numbered
from tests.cli.conftest import error_line

Run = Callable[..., Result]
SHAPE = (6, 8, 10)


def expected(release: Path, structure: Structure, points: np.ndarray) -> np.ndarray:
    return load_pretrained(release).predict(structure, points=points)


def at_grid_points(release: Path, structure: Structure, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """ELF at (i/nx, j/ny, k/nz), from loose points written out one by one."""
    points = [[i / shape[0], j / shape[1], k / shape[2]] for i, j, k in np.ndindex(*shape)]
    return expected(release, structure, np.array(points)).reshape(shape)


@pytest.mark.parametrize("name", ["ELFCAR", "ELFCAR.gz", "elf.cube", "elf.xsf", "elf.npz", "elf.h5"])
def test_every_format_holds_the_prediction(elfzoo: Run, release: Path, poscar: Path, name: str) -> None:
    result = elfzoo("predict", poscar, "-m", release, "-o", name, "--grid", *SHAPE)
    assert result.exit_code == 0, result.output
    assert name in result.stdout and "6 x 8 x 10 points" in result.stdout and result.stderr == ""
    field = read_field(name)
    written = Structure.from_file(poscar)
    np.testing.assert_allclose(field.values, at_grid_points(release, written), atol=1e-6)
    assert field.recipe is not None and field.recipe.engine == "Quantum ESPRESSO 6.7"


@pytest.mark.parametrize(("other", "model"), [("H", "probe_graph.h-v2"), ("Li", "probe_graph.multi-v5")])
def test_the_default_model_knows_the_elements(elfzoo: Run, other: str, model: str) -> None:
    structure = Structure(Lattice.cubic(2.0), ["H", other], [[0, 0, 0], [0.5, 0.5, 0.5]])
    structure.to(filename="own.vasp", fmt="poscar")
    result = elfzoo("predict", "own.vasp", "-o", "elf.npz", "--grid", 6, 6, 6)
    assert result.exit_code == 0 and result.stdout.strip().endswith(f"by {model}") and result.stderr == ""
    same = load_pretrained(model).predict(structure, grid=(6, 6, 6))
    np.testing.assert_array_equal(read_field("elf.npz").values, same.values)


def test_frames_of_one_trajectory_have_one_model(elfzoo: Run) -> None:
    """Also where some are there already."""
    frames = [Structure(Lattice.cubic(3.6), ["H", x], [[0, 0, 0], [0.5, 0.5, 0.5]]) for x in ("H", "Li", "H")]
    ase_write("md.traj", [AseAtomsAdaptor.get_atoms(frame) for frame in frames])
    ask = ("predict", "md.traj", "--index", ":", "-o", "elf.npz", "--grid", 6, 6, 6)
    assert elfzoo(*ask).exit_code == 0
    written = [Path(numbered(Path("elf.npz"), i)) for i in range(3)]
    written[0].unlink()
    assert elfzoo(*ask, "--skip-existing").exit_code == 0
    assert {read_field(path).meta["predicted_by"] for path in written} == {"probe_graph.multi-v5"}


def test_pymatgen_and_ase_read_the_same_points(elfzoo: Run, release: Path, poscar: Path) -> None:
    for name in ("ELFCAR", "elf.cube"):
        elfzoo("predict", poscar, "-m", release, "-o", name, "--grid", *SHAPE)
    written = Structure.from_file(poscar)
    truth = at_grid_points(release, written)
    structure, data, _ = VolumetricData.parse_file("ELFCAR")
    np.testing.assert_allclose(data["total"], truth, atol=1e-6)
    np.testing.assert_allclose(structure.structure.lattice.matrix, written.lattice.matrix, atol=1e-6)
    with open("elf.cube") as file:
        cube = read_cube(file)
    np.testing.assert_allclose(cube["data"], truth, atol=1e-6)
    np.testing.assert_allclose(cube["atoms"].cell.array, written.lattice.matrix, atol=1e-4)
    assert list(cube["atoms"].numbers) == [1, 1, 1]


def test_the_grid_follows_the_spacing(elfzoo: Run, release: Path, poscar: Path) -> None:
    lattice = Structure.from_file(poscar).lattice.matrix
    elfzoo("predict", poscar, "-m", release, "-o", "default.npz")
    elfzoo("predict", poscar, "-m", release, "-o", "coarse.npz", "--spacing", 0.3)
    assert read_field("default.npz").grid.shape == Grid.from_spacing(lattice, 0.1).shape
    assert read_field("coarse.npz").grid.shape == Grid.from_spacing(lattice, 0.3).shape


def test_a_field_file_gives_its_structure_and_its_grid(elfzoo: Run, release: Path, poscar: Path) -> None:
    elfzoo("predict", poscar, "-m", release, "-o", "elf.cube", "--grid", *SHAPE)
    elfzoo("predict", "elf.cube", "-m", release, "-o", "again.npz")
    elfzoo("predict", "elf.cube", "-m", release, "-o", "coarse.npz", "--spacing", 1.0)
    again = read_field("again.npz")
    assert again.grid.shape == SHAPE
    np.testing.assert_allclose(again.values, read_field("elf.cube").values, atol=1e-4)
    assert read_field("coarse.npz").grid.shape == Grid.from_spacing(again.grid.lattice, 1.0).shape


def test_symmetry_changes_nothing_but_the_work(elfzoo: Run, release: Path) -> None:
    Structure(Lattice.hexagonal(2.2, 2.6), ["H"] * 2, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]).to("hcp.cif")
    for name, options in (("all.npz", ()), ("some.npz", ("--symmetry",))):
        result = elfzoo("predict", "hcp.cif", "-m", release, "-o", name, "--grid", 12, 12, 8, *options)
        assert result.exit_code == 0, result.output
    np.testing.assert_allclose(read_field("some.npz").values, read_field("all.npz").values, atol=1e-4)


def test_a_coarse_grid_saves_the_network(elfzoo: Run, release: Path, poscar: Path) -> None:
    """The file holds what ``predict`` gives with the same option, which is not what the network gives."""
    for name, options in (("exact.npz", ()), ("spline.npz", ("--coarse", 0.4))):
        result = elfzoo("predict", poscar, "-m", release, "-o", name, "--grid", 12, 14, 16, *options)
        assert result.exit_code == 0, result.output
    found = load_pretrained(release).predict(Structure.from_file(poscar), (12, 14, 16), coarse=0.4).values
    np.testing.assert_allclose(read_field("spline.npz").values, found, atol=1e-6)
    assert np.abs(found - read_field("exact.npz").values).max() > 1e-5


def test_a_line_as_csv_and_npz(elfzoo: Run, release: Path, poscar: Path) -> None:
    structure = Structure.from_file(poscar)
    for name in ("line.csv", "line.npz"):
        assert elfzoo("predict", poscar, "-m", release, "-o", name, "--line", "0,0,0:1/2,1/2,1:5").exit_code == 0
    with open("line.csv") as file:
        rows = list(csv.DictReader(file))
    frac = np.outer(np.arange(5) / 4, [0.5, 0.5, 1.0])
    elf = expected(release, structure, frac)
    positions = structure.lattice.get_cartesian_coords(frac)
    for axis, (a, x) in enumerate(zip("abc", "xyz", strict=True)):
        np.testing.assert_allclose([float(row[f"frac_{a}"]) for row in rows], frac[:, axis], atol=1e-6)
        np.testing.assert_allclose([float(row[f"{x}_angstrom"]) for row in rows], positions[:, axis], atol=1e-6)
    np.testing.assert_allclose([float(row["elf"]) for row in rows], elf, atol=1e-6)
    np.testing.assert_allclose(
        [float(row["distance_angstrom"]) for row in rows], np.linalg.norm(positions, axis=1), atol=1e-6
    )
    with np.load("line.npz") as data:
        np.testing.assert_allclose(data["elf"], elf, atol=1e-6)
        np.testing.assert_allclose(data["positions"], positions, atol=1e-9)
        assert "grid_mlp.test-v0" in str(data["meta"])


def test_a_plane_as_csv_npz_and_picture(elfzoo: Run, release: Path, poscar: Path) -> None:
    plane = ("--plane", "0,0,1/4:1,0,0:0,1,0:3x4")
    for name in ("plane.csv", "plane.npz", "plane.png"):
        result = elfzoo("predict", poscar, "-m", release, "-o", name, *plane)
        assert result.exit_code == 0, result.output
    points = np.array([[i / 3, j / 4, 0.25] for i in range(3) for j in range(4)])
    elf = expected(release, Structure.from_file(poscar), points)
    with np.load("plane.npz") as data:
        assert tuple(data["shape"]) == (3, 4)
        np.testing.assert_allclose(data["frac_coords"], points, atol=1e-12)
        np.testing.assert_allclose(data["elf"], elf, atol=1e-6)
        apart = np.linalg.norm(data["positions"] - data["positions"][0], axis=1)
        np.testing.assert_allclose(np.linalg.norm(data["in_plane"], axis=1), apart, atol=1e-9)
    table = np.genfromtxt("plane.csv", delimiter=",", names=True)
    np.testing.assert_allclose(table["elf"], elf, atol=1e-6)
    assert Path("plane.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def trajectory(tmp_path: Path, hydrogen: Structure) -> Path:
    """Five frames in which the first atom moves along x."""
    frames = []
    for number in range(5):
        atoms = AseAtomsAdaptor.get_atoms(hydrogen)
        atoms.positions[0, 0] += 0.05 * number
        frames.append(atoms)
    ase_write(tmp_path / "md.extxyz", frames)
    return tmp_path / "md.extxyz"


def first_x(name: str) -> float:
    """Where the moved atom of a written frame is, in steps of the trajectory."""
    return float(read_field(name).structure.cart_coords[0, 0])


def test_frames_are_numbered_as_in_the_trajectory(elfzoo: Run, release: Path, trajectory: Path) -> None:
    result = elfzoo("predict", trajectory, "-m", release, "-o", "elf.npz", "--index", "::2", "--spacing", 0.5)
    assert result.exit_code == 0 and "3 frames" in result.stdout, result.output
    assert sorted(p.name for p in Path().glob("*.npz")) == ["elf_0000.npz", "elf_0002.npz", "elf_0004.npz"]
    assert first_x("elf_0004.npz") - first_x("elf_0000.npz") == pytest.approx(0.2)
    call = ("predict", trajectory, "-m", release, "-o", "none.npz", "--index", "5:9")
    assert "md.extxyz has no frame '5:9'" in error_line(elfzoo(*call))
    elfzoo("predict", trajectory, "-m", release, "-o", "ELFCAR", "--index", "-2:", "--spacing", 0.5)
    assert sorted(p.name for p in Path().glob("ELFCAR*")) == ["ELFCAR.0003", "ELFCAR.0004"]
    assert first_x("ELFCAR.0003") == pytest.approx(first_x("elf_0002.npz") + 0.05, abs=1e-6)


def test_one_frame_keeps_the_name_and_the_last_is_the_default(elfzoo: Run, release: Path, trajectory: Path) -> None:
    for name, options in (("last.npz", ()), ("third.npz", ("--index", "2"))):
        assert elfzoo("predict", trajectory, "-m", release, "-o", name, "--spacing", 0.5, *options).exit_code == 0
    assert first_x("last.npz") - first_x("third.npz") == pytest.approx(0.1)


def test_existing_frames_are_left_alone_where_wanted(elfzoo: Run, release: Path, trajectory: Path) -> None:
    Path("elf_0001.npz").write_text("mine")
    call = ("predict", trajectory, "-m", release, "-o", "elf.npz", "--index", ":3", "--spacing", 0.5)
    result = elfzoo(*call, "--skip-existing")
    assert "1 of 3 outputs are there already" in result.stdout
    assert Path("elf_0001.npz").read_text() == "mine" and Path("elf_0002.npz").exists()
    assert elfzoo(*call, "--skip-existing").stdout.strip() == "3 of 3 outputs are there already"
    elfzoo(*call)
    assert read_field("elf_0001.npz").values.size > 0


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("ELFCAR", "ELFCAR.0007"),
        ("ELFCAR.gz", "ELFCAR.0007.gz"),
        ("out/elf.cube", "out/elf_0007.cube"),
        ("elf.cube.GZ", "elf_0007.cube.GZ"),
        ("line.csv", "line_0007.csv"),
    ],
)
def test_numbered(name: str, result: str) -> None:
    assert str(numbered(Path(name), 7)) == result
    assert str(numbered(Path(name), None)) == name


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("-o", "missing/elf.cube"), "there is no folder missing"),
        (("-o", "elf.pdb"), "elfcar"),
        (("-o", "."), "it is a folder"),
        (("-o", "POSCAR"), "is the structure file itself"),
        (("-o", "elf.npz", "--spacing", "-0.1"), "positive number of Å"),
        (("-o", "elf.npz", "--spacing", "nan"), "positive number of Å"),
        (("-o", "elf.npz", "--grid", "0", "4", "4"), "three positive whole numbers"),
        (("-o", "elf.cube", "--plane", "z=0"), ".csv"),
        (("-o", "elf.png", "--line", "0,0,0:1,1,1:5"), ".csv"),
        (("-o", "elf.csv", "--plane", "w=0"), "a plane is"),
        (("-o", "elf.csv", "--line", "0,0,0:1,1:5"), "a line is"),
        (("-o", "elf.npz", "--index", "9"), "POSCAR"),
    ],
)
def test_what_cannot_work_is_one_line(
    elfzoo: Run, release: Path, poscar: Path, options: tuple[str, ...], part: str
) -> None:
    before = poscar.read_bytes()
    assert part in error_line(elfzoo("predict", poscar, "-m", release, *options))
    assert os.listdir() == ["POSCAR"] and poscar.read_bytes() == before


def test_contradictions_are_wrong_calls(elfzoo: Run, poscar: Path) -> None:
    for options in (
        ("--grid", 4, 4, 4, "--plane", "z=0"),
        ("--grid", 4, 4, 4, "--spacing", 0.1),
        ("--line", "0,0,0:1,1,1:5", "--spacing", 0.1),
        ("--plane", "z=0", "--symmetry"),
        ("--line", "0,0,0:1,1,1:5", "--coarse", 0.11),
        ("--index", "first"),
    ):
        assert elfzoo("predict", poscar, "-o", "elf.csv", *options).exit_code == 2, options


def test_models_that_are_not_there(elfzoo: Run, release: Path, poscar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elfzoo.hub.load.shipped_releases", lambda: {"grid_mlp.test-v0": release})
    assert elfzoo("predict", poscar, "-m", "grid_mlp.test-v0", "-o", "elf.npz", "--spacing", 1).exit_code == 0
    line = error_line(elfzoo("predict", poscar, "-m", "grid_mlp.tset-v0", "-o", "elf.npz"))
    assert "did you mean grid_mlp.test-v0?" in line
    Path("empty").mkdir()
    assert "config.json" in error_line(elfzoo("predict", poscar, "-m", "empty", "-o", "elf.npz"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("POSCAR.cut", "H2\n1.0\n3 0 0\n0 3 0\n"),
        ("no.cif", "data_\n_cell_length_a banana\n"),
        ("close.xyz", '2\nLattice="3 0 0 0 3 0 0 0 3"\nH 0 0 0\nH 0 0 0.1\n'),
        ("nan.xyz", '1\nLattice="3 0 0 0 3 0 0 0 3"\nH nan 0 0\n'),
        ("molecule.xyz", "1\n\nH 0 0 0\n"),
        ("binary.traj", "\0\1\2"),
        ("ELFCAR.cut", "H2\n1.0\n3 0 0\n0 3 0\n"),
        ("empty.cube", ""),
    ],
)
def test_broken_structure_files_are_one_line(elfzoo: Run, release: Path, name: str, content: str) -> None:
    Path(name).write_text(content)
    line = error_line(elfzoo("predict", name, "-m", release, "-o", "elf.npz"))
    assert "unexpected" not in line and not Path("elf.npz").exists()


def test_a_missing_structure_file(elfzoo: Run, release: Path) -> None:
    assert "no such structure file: POSCAR" in error_line(elfzoo("predict", "POSCAR", "-m", release, "-o", "e.npz"))


def test_a_full_disk_leaves_nothing_behind(
    elfzoo: Run, release: Path, poscar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.replace", full)
    line = error_line(elfzoo("predict", poscar, "-m", release, "-o", "ELFCAR", "--spacing", 0.5))
    assert "ELFCAR" in line and "No space left on device" in line
    assert os.listdir() == ["POSCAR"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(elfzoo: Run, release: Path, poscar: Path) -> None:
    Path("locked").mkdir(mode=0o500)
    assert "no permission" in error_line(elfzoo("predict", poscar, "-m", release, "-o", "locked/ELFCAR"))


def test_a_streamed_field_is_the_same(elfzoo: Run, release: Path, poscar: Path, trajectory: Path) -> None:
    for name, options in (("whole.h5", ()), ("streamed.h5", ("--stream",))):
        result = elfzoo("predict", poscar, "-m", release, "-o", name, "--grid", *SHAPE, *options)
        assert result.exit_code == 0 and "6 x 8 x 10 points" in result.stdout, result.output
    np.testing.assert_array_equal(read_field("streamed.h5").values, read_field("whole.h5").values)
    elfzoo("predict", "whole.h5", "-m", release, "-o", "again.h5", "--stream")
    assert read_field("again.h5").grid.shape == SHAPE
    elfzoo("predict", trajectory, "-m", release, "-o", "md.h5", "--index", "::4", "--spacing", 0.5, "--stream")
    elfzoo("predict", trajectory, "-m", release, "-o", "all.h5", "--index", "::4", "--spacing", 0.5)
    np.testing.assert_array_equal(read_field("md_0004.h5").values, read_field("all_0004.h5").values)
    line = error_line(elfzoo("predict", poscar, "-m", release, "-o", "elf.cube", "--stream"))
    assert "expected a name that ends in .h5" in line
    assert elfzoo("predict", poscar, "-o", "elf.h5", "--symmetry", "--stream").exit_code == 2


def test_a_field_that_no_model_made_is_not_overwritten(elfzoo: Run, release: Path, poscar: Path) -> None:
    """In a folder of VASP's, ELFCAR is the reference; an earlier prediction may go."""
    call = ("predict", poscar, "-m", release, "-o", "ELFCAR", "--grid", *SHAPE)
    Field(np.full(SHAPE, 0.5), as_structure(poscar)).write("ELFCAR")
    before = Path("ELFCAR").read_bytes()
    assert "does not say that a model predicted it" in error_line(elfzoo(*call))
    assert Path("ELFCAR").read_bytes() == before
    Path("ELFCAR").unlink()
    assert elfzoo(*call).exit_code == 0 and elfzoo(*call).exit_code == 0
