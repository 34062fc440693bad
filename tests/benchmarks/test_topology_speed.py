"""The script that times the topology of a field: what it measures and writes down; no time is judged."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from elfzoo.analysis import percolation, spline
from elfzoo.errors import ElfzooError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import topology_speed
from topology_speed import DATA, PEER, TARGETS, WAYS

pytestmark = pytest.mark.skipif(
    not (percolation.available() and spline.available()), reason="the compiled kernels were not built"
)
needs_gudhi = pytest.mark.skipif(
    importlib.util.find_spec("gudhi") is None, reason="GUDHI is not installed: pip install gudhi"
)
OURS = [way for way in WAYS if way != PEER]


def test_the_field_is_the_stored_one_on_another_grid():
    field, tiled = topology_speed.field_of(DATA, 12), topology_speed.field_of(DATA, 24, cells=2)
    assert (field.values.shape, field.values.dtype) == ((12, 12, 12), np.float64)
    assert 0 <= field.values.min() < 0.3 < 0.7 < field.values.max() <= 1
    assert (tiled.values == np.tile(field.values, (2, 2, 2))).all()
    assert len(tiled.structure) == 8 * len(field.structure)
    assert tiled.grid.spacing == pytest.approx(field.grid.spacing)
    with pytest.raises(ElfzooError, match="multiple of 2 points; got 13"):
        topology_speed.field_of(DATA, 13, cells=2)


@pytest.mark.parametrize("way", [*OURS, pytest.param(PEER, marks=needs_gudhi)])
def test_every_way_is_measured(way):
    row = topology_speed.measure_here(DATA, 12, 1, way)
    assert set(row) == {"seconds", "cpu_seconds", "memory", "found"}
    assert row["seconds"] > 0 and row["cpu_seconds"] > 0 and row["memory"] >= 0
    assert json.loads(json.dumps(row)) == row
    if "values" in row["found"]:
        assert len(row["found"]["values"]) == 3


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak cannot be reset on this system")
def test_the_peak_is_the_memory_that_was_held():
    topology_speed.forget_peak()
    before = topology_speed.peak_bytes()
    np.ones(2**24).sum()
    assert topology_speed.peak_bytes() - before == pytest.approx(2**27, rel=0.05)


@needs_gudhi
def test_other_thresholds_of_gudhi_are_an_error(monkeypatch):
    monkeypatch.setitem(WAYS, PEER, lambda field: {"values": [0.9, 0.8, 0.7]})
    with pytest.raises(ElfzooError, match="finds other thresholds"):
        topology_speed.measure_here(DATA, 12, 1, PEER)


def planted(path: Path, points: int, cells: int, way: str) -> dict:
    """Two seconds with GUDHI and one otherwise, more for larger grids; every call takes a little longer."""
    planted.calls += 1
    seconds = (2.0 if way == PEER else 1.0) * points / 48
    return {"seconds": seconds + planted.calls / 1e3, "cpu_seconds": seconds, "memory": points / 12, "found": {}}


def test_rounds_are_interleaved_and_summed_up(capsys):
    planted.calls = 0
    found = topology_speed.rounds(DATA, [48, 192], [48], 3, 1, planted)
    order = [*((48, way) for way in WAYS), *((192, way) for way in OURS)]
    assert [list(part) for part in found] == [order] * 3
    assert capsys.readouterr().err.count("round 2 of 3") == len(order)
    table = topology_speed.summary(found)
    assert table["48"]["networking"]["seconds"] == {"min": 1.001, "median": round(1.001 + len(order) / 1e3, 5)}
    assert table["48"]["networking"]["ratio_to_gudhi"] == {"min": 0.5, "median": 0.5}
    assert "ratio_to_gudhi" not in table["192"]["networking"]
    verdicts = {row["what"]: row for row in topology_speed.verdicts(table)}
    assert len(verdicts) == sum(n in (48, 192) for _, n, _ in TARGETS) + 2
    assert not verdicts["192³ networking"]["met"]  # 4 s of 3 s
    assert not verdicts["192³ networking + critical_points"]["met"]  # a little more than 8 s
    assert verdicts["192³ networking + critical_points"]["cpu_seconds"] == 8
    assert verdicts["48³ memory / field, percolation_thresholds"]["met"]
    assert not verdicts["192³ memory / field, percolation_thresholds"]["met"]


def test_the_command_writes_its_record(tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "speed.json"
    command = ["topology_speed.py", "--points", "12", "--gudhi-points", "--repeat", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(topology_speed, "measure_apart", topology_speed.measure_here)
    topology_speed.main()
    record = json.loads(out.read_text())
    assert {"data", "data_sha256", "cells", "repeat", "threads", "targets", "points", "hardware"} <= set(record)
    assert {"elfzoo", "numpy", "scipy", "python"} <= set(record)
    assert record["data"] == "benchmarks/data/fluid-h/fluid_115.1GPa_A_f02000.npz"
    assert len(record["data_sha256"]) == 64
    assert "date" not in record
    assert list(record["points"]["12"]) == OURS
    for entry in record["points"]["12"].values():
        assert {"seconds", "cpu_seconds", "memory", "found"} == set(entry)
    assert "12³     networking" in capsys.readouterr().out


def test_a_measurement_in_a_process_of_its_own():
    row = topology_speed.measure_apart(DATA, 12, 1, "percolation_thresholds")
    assert row["found"] == topology_speed.measure_here(DATA, 12, 1, "percolation_thresholds")["found"]
    with pytest.raises(ElfzooError, match="percolation_thresholds on 13 points per axis failed"):
        topology_speed.measure_apart(DATA, 13, 2, "percolation_thresholds")
