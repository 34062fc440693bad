"""A release with seeded random weights, and a way to run commands in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner, Result

from elfzoo import create_model
from elfzoo.cli import app
from elfzoo.hub import save_release


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained grid_mlp whose card says that it knows hydrogen."""
    folder = tmp_path_factory.mktemp("release")
    torch.manual_seed(7)
    model = create_model("grid_mlp")
    for parameter in model.parameters():  # fresh heads are nearly constant; values that vary make order visible
        torch.nn.init.normal_(parameter, std=0.3)
    recipe = {"engine": "Quantum ESPRESSO 6.7", "functional": "PBE", "pseudopotential": "GTH-PBE-q1"}
    save_release(model, folder, name="grid_mlp.test-v0", elements=("H",), **recipe)
    return folder


@pytest.fixture(scope="session")
def density_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained grid_mlp of the difference from superposed densities."""
    folder = tmp_path_factory.mktemp("density")
    torch.manual_seed(7)
    target = {"quantity": "density_difference", "link": "identity", "scale": 0.1}
    model = create_model("grid_mlp", {"hidden": [8], "descriptor": {"n_radial": 4}}, target)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_release(model, folder, name="grid_mlp.density-v0", elements=("H",))
    return folder


@pytest.fixture
def elfzoo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ELFZOO_DEBUG", raising=False)
    return lambda *args: CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def hydrogen() -> Structure:
    """A triclinic cell with an H2 and an H, without symmetry."""
    lattice = Lattice.from_parameters(2.1, 2.4, 2.9, 80, 95, 105)
    return Structure(lattice, ["H"] * 3, [[0.1, 0.2, 0.3], [0.35, 0.25, 0.4], [0.7, 0.8, 0.75]])


@pytest.fixture
def poscar(tmp_path: Path, hydrogen: Structure) -> Path:
    path = tmp_path / "POSCAR"
    hydrogen.to(path, fmt="poscar")
    return path


def error_line(result: Result) -> str:
    """The only line on standard error, of a command that failed with exit code 1."""
    assert result.exit_code == 1, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("elfzoo: error: "), result.stderr
    return lines[0]
