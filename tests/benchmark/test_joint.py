"""The joint histogram of reference and prediction, from a structure to a record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure

from elfzoo import Field
from elfzoo.benchmark.measure import measure, pair
from elfzoo.benchmark.record import write_json
from elfzoo.benchmark.summary import curves, summary, without_curves
from elfzoo.benchmark.task import Task

CELL = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
PROFILE = Task(title="", dataset="crystal-h", data_sha256={}, protocol="", parts=("profile",))


def test_structures_are_counted_together_and_leave_the_lines(rng: np.random.Generator) -> None:
    values = rng.uniform(0, 1, (3, 2, 6, 6, 6))
    rows = [measure(pair(*(Field(v, CELL) for v in both), PROFILE), PROFILE) for both in values]
    edges = np.linspace(0, 1, 21)
    expected, *_ = np.histogram2d(values[:, 0].ravel(), values[:, 1].ravel(), (edges, edges))
    found = curves(rows)
    assert found["joint"] == expected.tolist() and all(isinstance(n, int) for line in found["joint"] for n in line)
    assert np.sum(found["joint"], axis=1).tolist() == found["by_elf"]["count"]
    kept = [without_curves(row) for row in rows]
    assert all("joint" not in row["profile"] for row in kept) and summary(kept) == summary(rows)
    old = [{"profile": {key: value for key, value in rows[0]["profile"].items() if key != "joint"}}, rows[1]]
    assert "joint" not in curves(old) and curves(old)["by_elf"] == curves(rows[:2])["by_elf"]


def test_a_list_of_numbers_takes_one_line(tmp_path: Path) -> None:
    record = {"text": "[\n 1 ] {", "curves": {"joint": [[1, 2], [3, None]], "k": [0.5, -1e-9], "none": [], "s": ["a"]}}
    write_json(tmp_path / "x.json", record)
    lines = (tmp_path / "x.json").read_text().splitlines()
    assert json.loads("\n".join(lines)) == record
    assert [line.strip() for line in lines if "1, 2" in line or "0.5" in line] == ["[1, 2],", '"k": [0.5, -1e-09],']
