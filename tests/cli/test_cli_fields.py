"""``elfzoo compare``, ``elfzoo plot`` and ``elfzoo check``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import Result

from elfzoo import Field, Recipe
from elfzoo.examples import example_path, load_example
from elfzoo.io import write_fields
from tests.cli.conftest import error_line

Run = Callable[..., Result]


@pytest.fixture
def fields(tmp_path: Path, hydrogen: Structure) -> tuple[Path, Path]:
    """A reference, and a prediction that is 0.125 too high everywhere."""
    values = np.linspace(0.1, 0.8, 6 * 8 * 10).reshape(6, 8, 10)
    reference = Field(values, hydrogen, recipe=Recipe("VASP 6.4", "PBE", "PAW"))
    return reference.write(tmp_path / "ELFCAR"), reference.replace(values=values + 0.125).write(tmp_path / "elf.npz")


def test_compare_prints_both_kinds_of_figures(elfzoo: Run, fields: tuple[Path, Path]) -> None:
    result = elfzoo("compare", *fields)
    assert result.exit_code == 0, result.output
    rows = {line[:16].strip(): line[16:].split() for line in result.stdout.splitlines()}
    assert rows["MAE"] == ["0.12500", "0.12500"] and rows["bias"] == ["0.12500", "0.12500"]
    assert "primary figures: all voxels" in result.stdout and "secondary: ELF-stratified" in result.stdout


def test_compare_writes_json(elfzoo: Run, fields: tuple[Path, Path]) -> None:
    assert elfzoo("compare", *fields, "--json", "errors.json").exit_code == 0
    written = json.loads(Path("errors.json").read_text())
    assert written["all_voxels"]["mae"] == pytest.approx(0.125, abs=1e-6)
    assert json.loads(elfzoo("compare", *fields, "--json", "-").stdout) == written
    assert "missing" in error_line(elfzoo("compare", *fields, "--json", "missing/errors.json"))


def test_compare_refuses_until_told(elfzoo: Run, fields: tuple[Path, Path], hydrogen: Structure) -> None:
    reference = fields[0]
    values = np.full((6, 8, 12), 0.5)
    Field(values, hydrogen, recipe=Recipe("GPAW 24", "PBE", "setups")).write("other.npz")
    assert "--mixed-recipes" in error_line(elfzoo("compare", reference, "other.npz"))
    assert "--resample" in error_line(elfzoo("compare", reference, "other.npz", "--mixed-recipes"))
    result = elfzoo("compare", reference, "other.npz", "--mixed-recipes", "--resample")
    assert result.exit_code == 0 and "resampled" in result.stdout


def test_spin_channels_are_chosen(elfzoo: Run, fields: tuple[Path, Path], hydrogen: Structure) -> None:
    up = Field(np.full((6, 8, 10), 0.25), hydrogen, spin="up")
    write_fields({"up": up, "down": up.replace(values=up.values * 2, spin="down")}, "ELFCAR.spin")
    assert "--spin up or --spin down" in error_line(elfzoo("compare", "ELFCAR.spin", "ELFCAR.spin"))
    assert elfzoo("compare", "ELFCAR.spin", "ELFCAR.spin", "--spin", "down").exit_code == 0
    assert elfzoo("compare", "ELFCAR.spin", "ELFCAR.spin", "--spin", "sideways").exit_code == 2


def test_species_are_given_to_a_cube_with_indices(elfzoo: Run, release: Path) -> None:
    crystal = Structure(Lattice.cubic(4.0), ["Li", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    Field(np.full((2, 2, 2), 0.5), crystal).write("elf.cube")
    lines = Path("elf.cube").read_text().splitlines()
    lines[0] = "Cubefile created from PWScf calculation"
    lines[6:8] = [f"{index} {line.split(maxsplit=1)[1]}" for index, line in enumerate(lines[6:8], start=1)]
    Path("elf.cube").write_text("\n".join([*lines, ""]))
    assert "--species La,H" in error_line(elfzoo("compare", "elf.cube", "elf.cube"))
    assert "--species La,H" in elfzoo("check", "elf.cube").stdout
    assert "unreadable" not in elfzoo("check", "elf.cube", "--species", "Li,H").stdout
    assert elfzoo("plot", "elf.cube", "--species", "Li,H", "-o", "elf.png").exit_code == 0
    call = ("predict", "elf.cube", "-m", release, "-o", "elf.npz")
    assert "--species La,H" in error_line(elfzoo(*call))
    assert "Li1 H1" in elfzoo(*call, "--species", "Li, H").stdout
    assert elfzoo("compare", "elf.cube", "elf.npz", "--species", "Li,H").exit_code == 0


def test_plot(elfzoo: Run, fields: tuple[Path, Path]) -> None:
    result = elfzoo("plot", fields[0], "-o", "slice.png", "--plane", "1,1,0=1/2")
    assert (result.exit_code, result.stdout) == (0, "wrote slice.png\n"), result.output
    assert Path("slice.png").read_bytes().startswith(b"\x89PNG")
    assert elfzoo("plot", *fields, "-o", "both.pdf").exit_code == 0
    assert Path("both.pdf").read_bytes().startswith(b"%PDF")
    assert "slice.bmp" in error_line(elfzoo("plot", fields[0], "-o", "slice.bmp"))
    assert "missing" in error_line(elfzoo("plot", fields[0], "-o", "missing/slice.png"))


def test_check_of_a_sound_file(elfzoo: Run) -> None:
    result = elfzoo("check", example_path())
    assert result.exit_code == 0 and "error" not in result.stdout


def test_check_fails_on_an_error_in_any_file(elfzoo: Run) -> None:
    field = load_example()
    values = field.values.copy()
    values[1, 2, 3] = 1.5
    field.replace(values=values).write("wrong.npz")
    Path("ELFCAR").write_text("H\n1.0\n")
    result = elfzoo("check", "wrong.npz", example_path(), "ELFCAR")
    assert result.exit_code == 1
    assert result.stdout.count("error") >= 2 and "1.5" in result.stdout and "[unreadable]" in result.stdout


def test_check_as_json(elfzoo: Run) -> None:
    result = elfzoo("check", example_path(), "no.cube", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1 and set(found) == {str(example_path()), "no.cube"}
    assert found["no.cube"][0]["level"] == "error" and found["no.cube"][0]["code"] == "unreadable"
