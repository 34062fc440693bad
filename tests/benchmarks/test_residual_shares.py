"""Shares of a residual: of fields whose parts are known, and of one real snapshot's table."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.field import Field
from elfzoo.transforms.harris.kmesh import KMeshConfig, k_mesh

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from residual_shares import SHARES, TASK, WHOLE, denser, powers, shares, summary, table

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
    assert SHARES == ("k_sampling", "restored", "left") and TASK == "fluid-h"
