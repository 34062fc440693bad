"""Models of densities on the command line: named and counted as such, and not taken for ELF."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure
from typer.testing import Result

from elfzoo import load_pretrained, read_field
from elfzoo.transforms.sad import SuperposedDensity
from tests.cli.conftest import error_line

Run = Callable[..., Result]
SHAPE = (6, 8, 10)


@pytest.mark.parametrize("name", ["n.cube", "n.npz", "n.vasp"])
def test_the_total_density_is_written_unless_the_difference_is_asked_for(
    elfzoo: Run, density_release: Path, poscar: Path, name: str
) -> None:
    result = elfzoo("predict", poscar, "-m", density_release, "-o", name, "--grid", *SHAPE)
    assert result.exit_code == 0 and "electron density " in result.stdout and "e/Å³" in result.stdout, result.output
    total = read_field(name)
    asked = ("--quantity", "density_difference")
    assert elfzoo("predict", poscar, "-m", density_release, "-o", f"d{name}", "--grid", *SHAPE, *asked).exit_code == 0
    difference = read_field(f"d{name}")
    assert (total.quantity, difference.quantity) == ("density", "density_difference")
    sad = SuperposedDensity(total.structure).on_grid(total.grid)
    np.testing.assert_allclose(total.values - difference.values, sad, atol=2e-5)


def test_tables_and_pictures_name_the_quantity(elfzoo: Run, density_release: Path, poscar: Path) -> None:
    line = ("--line", "0,0,0:1/2,1/2,1/2:20")
    result = elfzoo("predict", poscar, "-m", density_release, *line, "-o", "n.csv")
    assert result.exit_code == 0 and "electron density" in result.stdout, result.output
    with open("n.csv") as handle:
        rows = list(csv.DictReader(handle))
    points = np.array([[float(row[f"frac_{axis}"]) for axis in "abc"] for row in rows])
    expected = load_pretrained(density_release).predict(Structure.from_file(poscar), points=points)
    np.testing.assert_allclose([float(row["density"]) for row in rows], expected, atol=1e-5)
    assert elfzoo("predict", poscar, "-m", density_release, "--plane", "z=0", "-o", "n.png").exit_code == 0


def test_what_a_model_does_not_give_is_refused(elfzoo: Run, release: Path, density_release: Path, poscar: Path) -> None:
    wrong = elfzoo("predict", poscar, "-m", release, "-o", "n.cube", "--quantity", "density")
    assert "a model of 'elf' can give elf; got 'density'" in error_line(wrong)
    wrong = elfzoo("predict", poscar, "-m", density_release, "-o", "n.cube", "--quantity", "elf")
    assert "can give density or density_difference; got 'elf'" in error_line(wrong)


def test_densities_are_compared_with_densities(elfzoo: Run, density_release: Path, release: Path, poscar: Path) -> None:
    for name, model in (("n.npz", density_release), ("elf.npz", release)):
        elfzoo("predict", poscar, "-m", model, "-o", name, "--grid", *SHAPE)
    result = elfzoo("compare", "n.npz", "n.npz")
    assert result.exit_code == 0 and "NMAPE 0.000 %" in result.stdout and "stratified" not in result.stdout
    assert "no ELF" in result.stderr
    wrong = elfzoo("compare", "n.npz", "elf.npz")
    assert "the prediction holds the quantity 'elf'; expected 'density'" in error_line(wrong)
    assert elfzoo("plot", "n.npz", "-o", "n.png").exit_code == 0


def test_networking_values_are_of_elf(elfzoo: Run, density_release: Path, poscar: Path) -> None:
    wrong = elfzoo("networking", poscar, "-m", density_release)
    assert wrong.exit_code != 0
    assert "for networking values, the field holds the quantity 'density'; expected 'elf'" in wrong.stderr
