"""The roofline: arithmetic by hand, peaks of this machine, and records with and without."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo import Field, Grid, create_model
from elfzoo.benchmark import tables
from elfzoo.benchmark.entrant import Entrant
from elfzoo.benchmark.roofline import Peaks, machine_peaks, roofline, roofline_metrics
from elfzoo.benchmark.summary import speed, summary

CELL = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
GRID = Grid((4, 4, 4), CELL.lattice.matrix)
PEAKS = Peaks(100e9, 10e9)
JOB = {
    **{"atoms": 20, "points_along_edge": 16, "points": 4096, "points_timed": 4096, "seconds": 2.0, "cpu_seconds": 2.0},
    **{"seconds_half_grid": 1.0, "seconds_two_cells": 2.0, "dense_points_per_second": 512.0, "peak_rss_gib": 0.1},
}


def found(flops: float, moved: float) -> dict:
    return {
        "flops": flops,
        "bytes": moved,
        "counted": "x",
        "peaks": {"flops_per_second": 1e11, "bytes_per_second": 1e10},
    }


def test_a_job_that_computes_is_held_to_the_processor() -> None:
    metrics = roofline_metrics(found(flops=80e9, moved=1e9), seconds=2.0)
    assert (metrics["gflop"], metrics["gbyte"], metrics["flop_per_byte"]) == pytest.approx((80, 1, 80))
    assert (metrics["gflop_per_second"], metrics["balance_flop_per_byte"]) == pytest.approx((40, 10))
    assert metrics["share_of_peak"] == metrics["share_of_roof"] == pytest.approx(0.4)


def test_a_job_that_moves_data_is_held_to_the_memory() -> None:
    metrics = roofline_metrics(found(flops=8e9, moved=4e9), seconds=1.0)  # its roof: 2 FLOP/byte of 10 GB/s
    assert metrics["flop_per_byte"] < metrics["balance_flop_per_byte"]
    assert (metrics["share_of_peak"], metrics["share_of_roof"]) == pytest.approx((0.08, 0.4))


def test_peaks_are_of_what_was_done() -> None:
    """A product of matrices does more operations per second than bytes are copied: true of every machine."""
    peaks = machine_peaks(channels=32, copied=2**20)
    assert peaks.flops_per_second > 1e8 and peaks.bytes_per_second > 1e7


def test_an_entrant_whose_work_is_not_counted_has_none_and_no_peak_is_measured() -> None:
    def forbidden() -> Peaks:
        raise AssertionError("measured")

    def predict(file: str, structure: Structure, grid: Grid) -> Field:
        return Field(np.zeros(grid.shape), structure)

    assert roofline(Entrant("any", predict), CELL, GRID, forbidden) == {}
    assert roofline(Entrant("any", predict, model=create_model("harris")), CELL, GRID, forbidden) == {}


def test_the_row_holds_work_and_peaks_and_the_record_what_follows() -> None:
    model = create_model("grid_mlp", {"hidden": [8], "descriptor": {"n_radial": 4}}).eval()
    part = roofline(Entrant("any", model, model=model), CELL, GRID, lambda: PEAKS)
    work = model.work(CELL, GRID)
    assert work is not None and part["roofline"]["flops"] == work.flops and part["roofline"]["counted"] == work.counted
    part = json.loads(json.dumps(part))
    metrics = summary([{"speed": JOB | part, "group": None}])
    assert metrics["gflop_per_second"] == pytest.approx(work.flops / 2e9, rel=1e-4)
    assert metrics["peak_gflop_per_second"] == 100 and metrics["peak_gbyte_per_second"] == 10


def test_records_without_stay_readable(tmp_path: Path) -> None:
    old, new = speed([JOB]), speed([JOB | {"roofline": found(80e9, 1e9)}])
    assert "share_of_roof" not in old and {k: new[k] for k in old} == old
    records = [
        {"model": name, "task": "speed", "data_sha256": "0", "metrics": metrics, "structures": []}
        for name, metrics in (("old", old), ("new", new))
    ]
    lines = {line.split()[0]: line.split() for line in tables(records)[2:] if line.split()[0] in ("old", "new")}
    assert lines["old"][-2:] == ["-", "-"] and lines["new"][-2:] == ["40.0000", "0.4000"]
