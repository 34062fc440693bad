"""``--uncertainty`` of predict, ``--members`` of networking and screen."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Structure
from typer.testing import Result

from elfzoo import create_model, read_field
from elfzoo.analysis import percolation
from elfzoo.card import read_card
from elfzoo.hub import load_pretrained, save_release
from elfzoo.posterior import Posterior
from elfzoo.uncertainty import networking_with_error
from elfzoo.uncertainty import predict as predict_both
from tests.cli.conftest import error_line

Run = Callable[..., Result]
needs_kernel = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")


@pytest.fixture(scope="session")
def uncertain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained release whose last layer may be anything near what it is."""
    folder = tmp_path_factory.mktemp("uncertain")
    torch.manual_seed(7)
    model = create_model("grid_mlp", {"hidden": [8], "descriptor": {"n_radial": 4}})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_release(model, folder, name="grid_mlp.test-v0", elements=("H",))
    Posterior(read_card(folder).weights_sha256, np.ones(9), np.eye(9), 0.1, 0.0, phi_scale=2.0).write(folder)
    return folder


def test_a_second_field_is_the_deviation(elfzoo: Run, uncertain: Path, poscar: Path, hydrogen: Structure) -> None:
    call = ("predict", poscar, "-m", uncertain, "--grid", 6, 7, 8, "-o", "elf.npz", "--uncertainty", "d.npz")
    result = elfzoo(*call)
    assert result.exit_code == 0, result.output
    assert "standard deviation of ELF" in result.stdout
    field, deviation = predict_both(load_pretrained(uncertain), hydrogen, (6, 7, 8))
    np.testing.assert_allclose(read_field("elf.npz").values, field.values, atol=1e-6)
    np.testing.assert_allclose(read_field("d.npz").values, deviation.values, atol=1e-6)


def test_both_files_are_written_and_neither_over_the_other(elfzoo: Run, uncertain: Path, poscar: Path) -> None:
    call = ("predict", poscar, "-m", uncertain, "--grid", 6, 7, 8, "-o", "elf.npz", "--uncertainty")
    result = elfzoo(*call, "./elf.npz")
    assert result.exit_code == 2 and "are one file" in " ".join(result.output.split())
    assert elfzoo(*call, "d.npz").exit_code == 0
    Path("d.npz").unlink()
    assert elfzoo(*call, "d.npz", "--skip-existing").exit_code == 0 and Path("d.npz").is_file()
    before = Path("d.npz").stat().st_mtime_ns
    assert "1 of 1 outputs are there already" in elfzoo(*call, "d.npz", "--skip-existing").stdout
    assert Path("d.npz").stat().st_mtime_ns == before


def test_models_without_one_say_so(elfzoo: Run, release: Path, poscar: Path) -> None:
    call = ("predict", poscar, "-m", release, "-o", "elf.npz", "--uncertainty", "d.npz")
    assert "grid_mlp.test-v0 comes without an uncertainty" in error_line(elfzoo(*call))
    assert not Path("elf.npz").exists()


@pytest.mark.parametrize("option", [("--symmetry",), ("--plane", "z=0"), ("--coarse", "0.2"), ("--stream",)])
def test_it_is_of_whole_fields(elfzoo: Run, uncertain: Path, poscar: Path, option: tuple[str, ...]) -> None:
    name = "elf.h5" if option == ("--stream",) else "elf.npz"
    result = elfzoo("predict", poscar, "-m", uncertain, "-o", name, "--uncertainty", "d.npz", *option)
    assert result.exit_code == 2 and "--uncertainty and" in result.stderr


@needs_kernel
def test_phi_has_the_error_of_the_model(elfzoo: Run, uncertain: Path, poscar: Path, hydrogen: Structure) -> None:
    call = ("networking", poscar, "-m", uncertain, "--members", "3", "--spacing", "0.2", "--csv", "phi.csv")
    result = elfzoo(*call)
    assert result.exit_code == 0, result.output
    found = networking_with_error(load_pretrained(uncertain), hydrogen, phi_spacing=0.2, members=3)
    head, line = result.stdout.splitlines()
    assert head.split()[-2:] == ["±model", "file"] and line.split()[-2] == f"{found.sigma:.4f}"
    (row,) = csv.DictReader(Path("phi.csv").read_text().splitlines())
    assert float(row["phi_sigma"]) == pytest.approx(found.sigma, rel=1e-4) and found.sigma > 0


def test_members_are_of_models(elfzoo: Run, poscar: Path) -> None:
    result = elfzoo("networking", poscar, "--members", "3")
    assert result.exit_code == 2 and "--members needs -m" in result.stderr


@needs_kernel
def test_a_screening_abstains_within_the_error(elfzoo: Run, uncertain: Path, poscar: Path, hydrogen: Structure) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    coarse = ("-o", "r.parquet", "--spacing", "0.25", "--phi-spacing", "0.25", "--members", "3")
    result = elfzoo("screen", poscar, "-m", uncertain, *coarse)
    assert result.exit_code == 0, result.output
    found = networking_with_error(load_pretrained(uncertain), hydrogen, spacing=0.25, phi_spacing=0.25, members=3)
    (row,) = pq.read_table("r.parquet").to_pylist()
    assert row["uncertainty"] == pytest.approx(found.sigma, rel=1e-4) and row["phi"] == pytest.approx(
        found.phi, abs=1e-6
    )
    bar = row["phi_error"] + 2 * row["uncertainty"]
    for threshold, verdict in ((row["phi"] - 1.1 * bar, "pass"), (row["phi"] + 1.1 * bar, "fail")):
        assert (
            0 < threshold < 1
            and f"1 {verdict}" in elfzoo("screen", poscar, "-m", uncertain, *coarse, "--threshold", threshold).stdout
        )
    for threshold in (row["phi"] - 0.9 * bar, row["phi"] + 0.9 * bar):
        again = elfzoo("screen", poscar, "-m", uncertain, *coarse, "--threshold", threshold)
        assert "1 abstain" in again.stdout and "0 computed now" in again.stdout


def test_a_screening_refuses_members_of_models_without(elfzoo: Run, release: Path, poscar: Path) -> None:
    pytest.importorskip("pyarrow.parquet")
    result = elfzoo("screen", poscar, "-m", release, "-o", "r.parquet", "--members", "3")
    assert "grid_mlp.test-v0 comes without an uncertainty" in error_line(result)
