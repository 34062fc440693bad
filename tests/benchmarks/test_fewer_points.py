"""The scripts that measure what a coarse grid and symmetry cost and save, and the records that they wrote."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.models.test_coarse import _Waves

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import logit_spline
import symmetry_speed

ROWS = json.loads(logit_spline.RESULTS.read_text())["rows"]


def test_a_band_limited_logit_has_next_to_no_error_and_quintic_splines_less():
    """Waves of at least half an edge on grids of 20 and 40 points per edge: each doubling gains 2^4 and 2^6, about."""
    structure = symmetry_speed.CRYSTALS["Fd-3m"]
    rough, fine = (logit_spline.measured(_Waves(), structure, h, 500) for h in (3.57 / 20, 3.57 / 40))
    for row in (rough, fine):
        assert row["mae"]["logit_quintic"] < row["mae"]["logit_cubic"] < row["largest"]["logit_cubic"] < 5e-3
    assert rough["mae"]["logit_cubic"] / fine["mae"]["logit_cubic"] == pytest.approx(16, rel=0.3)
    assert rough["grid"] == [20, 20, 20] and fine["spacing"] == pytest.approx(3.57 / 40)


def test_rows_that_are_there_are_not_measured_again(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    monkeypatch.setattr(logit_spline, "SPACINGS", (0.5,))
    arguments = ["--models", "grid_mlp.wang2026-h-v2", "--files", "cubic_014.npz", "--points", "50", "--out", str(out)]
    logit_spline.main(arguments)
    first = json.loads(out.read_text())["rows"]
    monkeypatch.setattr(logit_spline, "measured", lambda *args: pytest.fail("measured again"))
    logit_spline.main(arguments)
    assert json.loads(out.read_text())["rows"] == first and len(first) == 1
    assert "| grid_mlp.wang2026-h-v2 | cubic_014 |" in capsys.readouterr().out


def test_what_symmetry_gains_is_measured_in_points():
    row = symmetry_speed.measured(_Waves(), symmetry_speed.CRYSTALS["P6_1"], 0.4)
    assert row["order"] == 6 and row["computed"] == row["points"] / 6
    assert (
        row["largest_difference"] > 0.1
    )  # these waves do not have the crystal's symmetry, and the script would say so


def test_the_record_supports_what_is_said_of_the_option():
    """In predict's docstring: at 0.11 Å a mean error of some 1e-4, the largest some 0.01."""
    close = [row for row in ROWS if row["coarse"] == 0.11]
    assert {row["model"] for row in close} == set(logit_spline.MODELS)
    for row in close:
        assert row["mae"]["logit_quintic"] < 1e-3 and row["largest"]["logit_quintic"] < 0.03
    means = [np.mean([r["mae"][k] for r in ROWS]) for k in ("logit_quintic", "logit_cubic", "elf_quintic")]
    assert means == sorted(means)
