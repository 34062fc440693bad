"""``elfzoo select``: what it says and leaves, and how it ends. The choice itself: tests/selection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure
from typer.testing import Result

from elfzoo import Field
from tests.cli.conftest import error_line
from tests.selection.conftest import cell
from tests.selection.conftest import release as uncertain  # noqa: F401

Run = Callable[..., Result]


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """A folder of four structures, a copy and a file that is none."""
    folder = tmp_path / "pool"
    folder.mkdir()
    for number in range(4):
        cell(number, 1 + 0.1 * number).to(str(folder / f"POSCAR_{number}"), fmt="poscar")
    (folder / "POSCAR_copy").write_text((folder / "POSCAR_0").read_text())
    (folder / "bad.cif").write_text("nonsense\n")
    return folder


def test_a_choice_and_its_inputs(elfzoo: Run, uncertain: Path, pool: Path) -> None:  # noqa: F811
    result = elfzoo("select", pool, "-m", uncertain, "-n", "2", "--out", "next", "--points", "50")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == 5 and "all 4 structures" in lines[3] and "README.txt" in lines[4]
    folders = sorted(path.name for path in Path("next").iterdir() if path.is_dir())
    assert [name[:5] for name in folders] == ["01_H3", "02_H3"]
    assert [name.partition("_H3_")[2] in line for name, line in zip(folders, lines[1:3], strict=True)] == [True, True]
    assert sorted(path.name for path in (Path("next") / folders[0]).iterdir()) == [
        "H-GTH-PBE-q1.gth",
        "pp.in",
        "scf.in",
    ]
    left = [line for line in result.stderr.splitlines() if "left out" in line]
    assert len(left) == 2 and "POSCAR_copy: a copy of" in left[0] and "bad.cif" in left[1]
    again = elfzoo("select", pool, "-m", uncertain, "-n", "2", "--out", "next", "--points", "50")
    assert "--force" in error_line(again)


def test_another_program_is_warned_of(elfzoo: Run, uncertain: Path, pool: Path) -> None:  # noqa: F811
    options = ("--points", "50", "-n", "1", "--engine", "vasp", "--k-spacing", "1.5", "--cutoff", "500")
    result = elfzoo("select", pool, "-m", uncertain, "--out", "next", *options)
    assert result.exit_code == 0 and "vasp is not how the labels" in result.stderr
    (folder,) = (path for path in Path("next").iterdir() if path.is_dir())
    assert "ENCUT = 500.0" in (folder / "INCAR").read_text()
    assert elfzoo("select", pool, "-m", uncertain, "--out", "next", "--force", *options).exit_code == 0
    assert Path("next.old", "README.txt").is_file()


def test_known_fields_are_not_chosen_again(elfzoo: Run, uncertain: Path, pool: Path) -> None:  # noqa: F811
    Path("labels").mkdir()
    for number in range(3):
        structure = Structure.from_file(pool / f"POSCAR_{number}")
        Field(np.full((4, 4, 4), 0.5), structure).write(Path("labels", f"{number}.npz"))
    result = elfzoo("select", pool, "-m", uncertain, "--out", "next", "--known", "labels", "--points", "50")
    assert "all 1 structures" in result.stdout and "POSCAR_3" in result.stdout
    assert result.stderr.count("labelled already") == 4


def test_wrong_calls(elfzoo: Run, uncertain: Path, release: Path, pool: Path) -> None:  # noqa: F811
    call = ("select", pool, "-m", uncertain, "--out", "next")
    assert elfzoo(*call, "-n", "0").exit_code == 2
    assert "did you mean espresso" in error_line(elfzoo(*call, "--engine", "espreso"))
    assert "recipe" in error_line(elfzoo(*call, "--recipe", "no-such"))
    assert "gain" in error_line(elfzoo(*call, "--gain", "luck"))
    assert "potentials of its own" in error_line(elfzoo(*call, "--engine", "vasp", "--pseudo", "{element}.upf"))
    assert "without an uncertainty" in error_line(elfzoo("select", pool, "-m", release, "--out", "next"))
    assert "no such file" in error_line(elfzoo("select", "gone", "-m", uncertain, "--out", "next"))
    assert not Path("next").exists()
