"""The script that times φ(t): what it measures and writes down; no time is judged."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from elfzoo.analysis import percolation

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import md_speed

pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")


def test_frames_move_a_little_and_the_same_way_each_time() -> None:
    first, second = (list(md_speed.trajectory(md_speed.DATA, 2)) for _ in range(2))
    assert len(first[0]) == 128
    np.testing.assert_array_equal(first[1].positions, second[1].positions)
    assert np.std(first[1].positions - first[0].positions) == pytest.approx(md_speed.STEP, rel=0.2)


def test_frames_per_second_are_those_of_the_median() -> None:
    rows = {part: [{"seconds": s, "cpu_seconds": s / 2} for s in (0.1, 0.5, 4.0)] for part in md_speed.PARTS}
    table = md_speed.summary(rows)
    assert table["row"] == {"seconds": 0.5, "cpu_seconds": 0.25, "frames_per_s": 2.0, "frames_per_cpu_s": 4.0}
    assert set(table[md_speed.PARTS[0]]) == {"seconds", "cpu_seconds"}


def test_the_command_writes_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = ["md_speed.py", "--points", "12", "--frames", "2", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", call)
    md_speed.main()
    found = json.loads((tmp_path / f"{md_speed.MODEL}.json").read_text())
    assert (found["atoms"], found["points"], found["frames"]) == (128, [12, 12, 12], 2)
    assert set(found["parts"]) == set(md_speed.PARTS)
    assert all(part["cpu_seconds"] > 0 for part in found["parts"].values())
