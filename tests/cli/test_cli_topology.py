"""``elfzoo networking`` and ``elfzoo critical-points``, and the tables that grow."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.io import write
from pymatgen.core import Structure
from typer.testing import Result

from elfzoo.analysis import critical_points, networking, percolation
from elfzoo.errors import ElfzooError
from elfzoo.examples import example_path, load_example
from elfzoo.field import Field
from elfzoo.io.tables import RowTable
from tests.cli.conftest import error_line

pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")

Run = Callable[..., Result]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A field of 12³ points with two atoms."""
    u, v, w = np.meshgrid(*[2 * np.pi * np.arange(12) / 12] * 3, indexing="ij")
    values = 0.5 + (np.cos(u) + 0.7 * np.cos(v) + 0.4 * np.cos(w)) / 4.2
    return Field(values, Structure(1.4 * np.eye(3), ["H", "Li"], [[0, 0, 0], [0.5, 0.5, 0.5]])).write(
        tmp_path / "elf.cube"
    )


def rows(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize(("other", "model"), [("H", "probe_graph.h-v2"), ("Ca", "probe_graph.multi-v5")])
def test_a_structure_alone_is_told_which_model_would_predict_it(elfzoo: Run, other: str, model: str) -> None:
    Structure(2.4 * np.eye(3), ["H", other], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(filename="crystal.cif")
    said = error_line(elfzoo("networking", "crystal.cif"))
    assert f"crystal.cif holds a structure and no field; -m {model} would predict one" in said
    whole = Path(load_example().write("whole.xsf")).read_text().splitlines()
    Path("cut.xsf").write_text("\n".join(whole[: len(whole) // 2]))
    assert "the file ends here" in error_line(elfzoo("networking", "cut.xsf"))
    Path("notes.txt").write_text("nothing")
    assert "tells no field file format" in error_line(elfzoo("networking", "notes.txt"))


def test_networking_of_the_example(elfzoo: Run) -> None:
    result = elfzoo("networking", example_path(), "--h-dos", "1.0", "--json", "phi.json")
    assert result.exit_code == 0, result.output
    found = networking(load_example())
    header, line = result.stdout.splitlines()
    assert header.split()[:2] == ["phi", "±"] and line.split()[0] == f"{found.phi:.4f}"
    (row,) = json.loads(Path("phi.json").read_text())
    assert row["phi"] == found.phi and row["tc_is_upper_bound"] is False
    assert row["file"] == str(example_path()) and row["frame"] is None


def test_a_bad_file_does_not_stop_the_others(elfzoo: Run, small: Path) -> None:
    Path("broken.cube").write_text("nothing\n")
    result = elfzoo("networking", "broken.cube", small, "--csv", "phi.csv")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1 and "broken.cube" in result.stderr
    (row,) = rows("phi.csv")
    assert float(row["phi"]) == pytest.approx(0.5 + 0.1 / 4.2, abs=1e-4)
    assert row["file"] == str(small) and row["tc_is_upper_bound"] == "true"


def test_a_table_goes_on(elfzoo: Run, small: Path) -> None:
    assert elfzoo("networking", small, "--csv", "phi.csv").exit_code == 0
    assert "--resume" in error_line(elfzoo("networking", small, "--csv", "phi.csv"))
    before = Path("phi.csv").read_text()
    other = small.with_name("other.cube")
    other.write_bytes(small.read_bytes())
    result = elfzoo("networking", small, other, "--csv", "phi.csv", "--resume")
    assert result.exit_code == 0 and str(small) not in result.stdout
    assert Path("phi.csv").read_text().startswith(before)
    assert [row["file"] for row in rows("phi.csv")] == [str(small), str(other)]


def test_a_table_goes_on_with_the_same_settings_alone(elfzoo: Run, small: Path) -> None:
    assert elfzoo("networking", small, "--csv", "phi.csv", "--h-dos", "0.5").exit_code == 0
    before = Path("phi.csv").read_bytes()
    assert rows("phi.csv")[0]["h_dos"] == "0.5" and rows("phi.csv")[0]["tc_fit"] == "belli2021"
    call = ("networking", small, "--csv", "phi.csv", "--resume")
    assert "made with h_dos 0.5, not 1; choose another name" in error_line(elfzoo(*call, "--h-dos", "1"))
    assert "with molecular_isovalue 0.85, not 0.3" in error_line(elfzoo(*call, "--h-dos", "0.5", "--isovalue", "0.3"))
    assert elfzoo(*call, "--h-dos", "0.5", "--json", "a.json").exit_code == 2  # which would lack what was there
    assert Path("phi.csv").read_bytes() == before and elfzoo(*call, "--h-dos", "0.5").exit_code == 0


def test_names_in_any_bytes(elfzoo: Run, small: Path) -> None:
    odd = os.fsdecode(b"elf\xff.cube")
    Path(odd).write_bytes(small.read_bytes())
    assert elfzoo("networking", odd, small, "--csv", "phi.csv").exit_code == 0
    assert b"elf\xff.cube" in Path("phi.csv").read_bytes()
    assert elfzoo("networking", odd, small, "--csv", "phi.csv", "--resume").exit_code == 0
    assert len(Path("phi.csv").read_bytes().splitlines()) == 3


def test_frames_of_a_trajectory_are_predicted(elfzoo: Run, release: Path, hydrogen: Structure) -> None:
    from pymatgen.io.vasp import Xdatcar

    moved = hydrogen.copy()
    moved.translate_sites([0], [0.05, 0.0, 0.0])
    text = Xdatcar.__new__(Xdatcar)
    text.structures, text.comment = [hydrogen, moved, hydrogen], "three frames"
    text.write_file("XDATCAR")
    result = elfzoo("networking", "XDATCAR", "--index", "::2", "-m", release, "--json", "-")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [row["frame"] for row in found] == [0, 2]
    assert found[0]["phi"] == pytest.approx(found[1]["phi"], abs=1e-6)


def test_a_frame_that_cannot_be_is_no_end_of_the_others(elfzoo: Run, release: Path, hydrogen: Structure) -> None:
    frames = [hydrogen.to_ase_atoms() for _ in range(3)]
    frames[1].positions[1] = frames[1].positions[0] + 0.05
    write("md.extxyz", frames)
    call = ("networking", "md.extxyz", "--index", ":", "-m", release, "--csv", "t.csv", "--spacing", 0.4)
    result = elfzoo(*call)
    assert result.exit_code == 1 and "Å apart; expected at least 0.2 Å" in result.stderr
    assert [row["frame"] for row in rows("t.csv")] == ["0", "2"]


def test_no_field_is_overwritten(elfzoo: Run, small: Path) -> None:
    before = small.read_bytes()
    calls = (("networking", "--json", small, small), ("critical-points", small, "--csv", small))
    for call in (*calls, ("compare", small, small, "--json", small)):
        assert "is read, and would be overwritten" in error_line(elfzoo(*call)), call
    Path("ELFCAR.other").write_text("somebody's")
    call = ("networking", small, "--json", "ELFCAR.other")  # as of a shell that took --json for a flag
    assert "by its name a field" in error_line(elfzoo(*call))
    assert small.read_bytes() == before and Path("ELFCAR.other").read_text() == "somebody's"


def test_frames_asked_for_one_by_one_are_told_apart(elfzoo: Run, release: Path, hydrogen: Structure) -> None:
    frames = [hydrogen.to_ase_atoms() for _ in range(3)]
    write("md.extxyz", frames)
    call = ("networking", "md.extxyz", "-m", release, "--csv", "t.csv", "--spacing", 0.4, "--resume", "--index")
    for index in (1, 2, 2, -1):
        assert elfzoo(*call, index).exit_code == 0
    assert [row["frame"] for row in rows("t.csv")] == ["1", "2", ""]
    assert {row["model"] for row in rows("t.csv")} == {str(release)}


def test_dos_share_may_be_a_file(elfzoo: Run, small: Path) -> None:
    assert "no such" in error_line(elfzoo("networking", small, "--h-dos", "missing/vasprun.xml"))
    assert "0 to 1" in elfzoo("networking", small, "--h-dos", "1.5").stderr
    assert "belli2021" in elfzoo("networking", small, "--formula", "nothing").stderr


def test_pictures_have_names_that_tell_them_apart(elfzoo: Run, small: Path) -> None:
    assert elfzoo("networking", small, "--picture", "net.png").exit_code == 0
    assert Path("net.png").read_bytes().startswith(b"\x89PNG")
    other = small.with_name("other.cube")
    other.write_bytes(small.read_bytes())
    assert elfzoo("networking", small, other, "--picture", "net.png").exit_code == 0
    assert Path("net_elf.png").exists() and Path("net_other.png").exists()
    assert ".png" in elfzoo("networking", small, "--picture", "net.txt").stderr
    for folder in ("a", "b"):
        Path(folder).mkdir()
        Path(folder, "elf.cube").write_bytes(small.read_bytes())
    assert elfzoo("networking", "a/elf.cube", "b/elf.cube", "--picture", "two.png").exit_code == 0
    assert Path("two_a_elf.cube.png").exists() and Path("two_b_elf.cube.png").exists()


def test_a_picture_that_cannot_be_drawn_loses_no_numbers(elfzoo: Run, small: Path, monkeypatch) -> None:
    def refused(*_, **__):
        raise ElfzooError("no surface")

    monkeypatch.setattr("elfzoo.isosurface.plot_isosurface", refused)
    result = elfzoo("networking", small, "--picture", "net.png", "--csv", "phi.csv")
    assert result.exit_code == 1 and "no surface" in result.stderr and len(rows("phi.csv")) == 1


def test_wrong_calls(elfzoo: Run, small: Path) -> None:
    assert elfzoo("networking").exit_code == 2
    assert elfzoo("networking", small, "--spin", "sideways").exit_code == 2
    assert "grid spacing" in elfzoo("networking", small, "--spacing", "0").stderr


def test_critical_points(elfzoo: Run, small: Path) -> None:
    result = elfzoo("critical-points", small, "--cores", "--csv", "points.csv", "--json", "points.json")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [(line[0], line[1]) for line in lines[:4]] == [
        ("(3,-3)", "1"), ("(3,-1)", "3"), ("(3,+1)", "3"), ("(3,+3)", "1"),
    ]  # fmt: skip
    assert "Morse sum     0" in result.stdout
    assert len(rows("points.csv")) == len(json.loads(Path("points.json").read_text())["points"]) == 8
    everything = json.loads(elfzoo("critical-points", small, "--cores", "--json", "-").stdout)
    assert everything["morse_sum"] == 0


def test_cores_are_left_out_unless_wanted(elfzoo: Run, small: Path) -> None:
    from elfzoo.io import read_field

    result = elfzoo("critical-points", small)
    assert "core" in result.stdout
    kept = critical_points(read_field(small))
    assert f"(3,+3){kept.counts['(3,+3)']:>9}" in result.stdout
    assert "interpolation space" in error_line(elfzoo("critical-points", small, "--space", "cubic"))


def test_compare_tells_the_topology(elfzoo: Run, small: Path) -> None:
    result = elfzoo("compare", small, small)
    assert result.exit_code == 0 and "phi_3d" in result.stdout and "critical points" in result.stdout
    assert "phi_3d" not in elfzoo("compare", small, small, "--no-topology").stdout


# ---- tables ----


def test_a_row_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    table = RowTable(path, ["name", "x"], ["name"], resume=False)
    table.add({"name": "a", "x": 1.5})
    table.add({"name": "b", "x": None})
    path.write_text(path.read_text()[:-2])  # killed in the middle of a line
    table = RowTable(path, ["name", "x"], ["name"], resume=True)
    assert table.has({"name": "a"}) and not table.has({"name": "b"})
    table.add({"name": "b", "x": [1, 2]})
    assert rows(str(path)) == [{"name": "a", "x": "1.5"}, {"name": "b", "x": "[1, 2]"}]


def test_tables_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("one,two\n1,2\n")
    with pytest.raises(ElfzooError, match="columns one, two; expected name"):
        RowTable(path, ["name"], ["name"], resume=True)
    with pytest.raises(ElfzooError, match=r"ends in \.csv"):
        RowTable(tmp_path / "t.txt", ["name"], ["name"], resume=False)
