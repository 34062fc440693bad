"""Shares of a residual: of fields whose parts are known, and of one real snapshot's table."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.field import Field
from elfzoo.transforms.harris.kmesh import KMeshConfig, k_mesh

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import residual_shares
from residual_shares import CORRECTED, UNTRAINED, WHOLE, denser, powers, shares, summary, table

EDGE, POINTS = 8.0, 16
STRUCTURE = Structure(Lattice.cubic(EDGE), ["H"], [[0, 0, 0]])


def wave(periods: int, amplitude: float, axis: int = 0) -> np.ndarray:
    x = np.arange(POINTS) / POINTS
    found = amplitude * np.cos(2 * np.pi * periods * x)
    return np.broadcast_to(found.reshape([-1 if i == axis else 1 for i in range(3)]), (POINTS,) * 3)


def test_powers_are_by_wavelength() -> None:
    reference = Field(np.full((POINTS,) * 3, 0.5) + wave(2, 0.3, 1), STRUCTURE)
    found = powers(reference, wave(1, 0.1) + wave(4, 0.2) + 0.05)  # 8 and 2 Å
    assert found == pytest.approx({WHOLE: 0.025, ">6": 0.005, "3-6": 0.0, "1.5-3": 0.02, "<1.5": 0.0}, abs=1e-12)


def test_shares_of_a_residual_whose_parts_are_known() -> None:
    """E = -K + B + L of waves that do not overlap: a model that is right but for K, a phase B, and what all miss."""
    reference = Field(np.full((POINTS,) * 3, 0.5) + wave(2, 0.3, 1), STRUCTURE)
    sampling, phase, left = wave(1, 0.1), wave(1, 0.3, 1), wave(1, 0.2, 2)
    residual = -sampling + phase + left
    row = {
        "model": powers(reference, residual),
        "model_without_k": powers(reference, residual + sampling),
        "left": powers(reference, left),
    }
    assert shares(row)[WHOLE] == pytest.approx({"k_sampling": 1 / 14, "restored": 9 / 14, "left": 4 / 14})
    line = {"mae": 0.1, "mae_without_k": 0.09, "correlation": 0.3, **row}
    rows = [
        {"group": group, "mae_of_k_sampling": 0.02, "mae_left": 0.05, "models": {"some.model": line}}
        for group in ("115.1", "76.0")
    ]
    found = summary(rows)["some.model"]
    assert list(found) == ["all", "76.0", "115.1"] and found["all"]["structures"] == 2
    assert found["all"]["shares"][WHOLE] == pytest.approx(shares(row)[WHOLE])
    text = table({"models": summary(rows)})
    assert len(text) == 5 and "| `some.model` | 0.1000 | 0.0200 | 0.0900 | 0.0500 | 7, 64, 29 % |" in text[2]


def test_denser_meshes_are_the_labels_rule_with_more_points() -> None:
    config = KMeshConfig(**denser(2)["harris"]["k_mesh"])
    for edge in (3.0, 7.0, 11.0):
        own, more = (k_mesh(edge * np.eye(3), rule) for rule in (KMeshConfig(), config))
        assert len(more.points) > 3 * len(own.points)


def test_a_structure_is_measured_on_the_grid_of_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small crystal whose label is the untrained field itself: what is left is k-sampling and what was added."""
    molecule = Structure(Lattice.cubic(2.4), ["H", "H"], [[0.35, 0.5, 0.5], [0.65, 0.5, 0.5]])
    own = elfzoo.create_model("harris").predict(molecule, grid=(24, 24, 24), progress=False)
    reference = own.replace(meta={"file": "h2.npz", "target_pressure_GPa": 76.0})
    finer = Field(np.repeat(np.repeat(np.repeat(own.values, 2, 0), 2, 1), 2, 2) + 0.01, molecule)
    guesses = {UNTRAINED: own, CORRECTED: own, "some.model": finer}
    monkeypatch.setattr(residual_shares, "guess_of", lambda benchmark, index, kept: guesses[benchmark.name])
    benchmarks = {name: SimpleNamespace(name=name, data=[(molecule, reference)]) for name in guesses}
    row = residual_shares.measured(benchmarks, 0, Path("nowhere"), check=True)
    found = row["models"]["some.model"]
    assert found["mae"] == pytest.approx(0.01, abs=1e-6) and row["mae_left"] == 0
    assert found["model"][WHOLE] == pytest.approx(0, abs=1e-12)  # a constant is no wave
    assert found["model_without_k"][WHOLE] == pytest.approx(row["k_sampling"][WHOLE], rel=1e-5) and row["check"] > 0
