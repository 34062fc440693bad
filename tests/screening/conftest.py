"""Tiny crystals of hydrogen, no two alike, and a table of results as rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

MODEL = "grid_mlp.wang2026-h-v2"
COARSE = {"spacing": 0.25, "phi_spacing": 0.25}  # a few hundredths of a second for each structure


def tiny(number: int) -> Structure:
    """A triclinic cell with an H2 and an H."""
    rng = np.random.default_rng(number)
    lattice = Lattice.from_parameters(2.1, 2.4, 2.9, 80, 95, 105)
    moved = np.array([[0.1, 0.2, 0.3], [0.35, 0.25, 0.4], [0.7, 0.8, 0.75]]) + rng.uniform(-0.04, 0.04, (3, 3))
    return Structure(lattice, ["H"] * 3, moved)


def read_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """Write a number of structures to a folder, in an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def write(count: int) -> Path:
        place = tmp_path / "crystals"
        place.mkdir(exist_ok=True)
        for number in range(count):
            tiny(number).to(str(place / f"POSCAR_{number:02d}"), fmt="poscar")
        return place

    return write
