"""Beside the paper's numbers: what is said of planted records, studies and residuals, and which verdict follows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import paper_crystals
import paper_fluid
import paper_numbers
import paper_studies
import paper_waves
from paper_crystals import CUBIC, HEXAGONAL
from paper_fluid import FLUID
from paper_numbers import AGREES, BETTER, DIFFERS, UNKNOWN, WORSE

from tests.benchmarks.paper_records import (
    BY_ELF,
    CUBIC_ROWS,
    FLUID_METRICS,
    FLUID_ROWS,
    HISTORY,
    crystal_row,
    fluid_row,
    record_of,
    sources,
)

SOURCES = sources()


def verdicts(found: list[paper_numbers.Finding]) -> list[str]:
    return [line.verdict for line in found]


# ---- rules ----


def test_errors_agree_within_a_quarter_and_r2_by_what_it_leaves() -> None:
    ours = (0.8, 1.25, 0.79, 1.26, None)
    assert verdicts([paper_numbers.error("e", 1.0, x) for x in ours]) == [AGREES, AGREES, BETTER, WORSE, UNKNOWN]
    ours = (0.92, 0.876, 0.921, 0.874, None)  # leave 0.08, 0.124, 0.079, 0.126 of 1 where the paper leaves 0.1
    assert verdicts([paper_numbers.r2("r", 0.9, x) for x in ours]) == [AGREES, AGREES, BETTER, WORSE, UNKNOWN]


# ---- findings ----


def test_training_history() -> None:
    end, plateau, overfitting = paper_fluid.training(HISTORY)
    assert (end.verdict, end.measured) == (AGREES, "0.0200, 4 epochs")
    assert (plateau.verdict, plateau.measured) == (AGREES, "loss +0.0 %, MAE +0.0 %")
    assert overfitting.verdict == AGREES
    still_falling = HISTORY | {"loss": [0.4, 0.2, 0.1, 0.05], "mae fluid-h/val": [0.1, 0.01, 0.015, 0.03]}
    assert verdicts(paper_fluid.training(still_falling)) == [WORSE, DIFFERS, DIFFERS]
    assert verdicts(paper_fluid.training({"loss": [0.1], "mae x": [0.019]})) == [AGREES, UNKNOWN, AGREES]


def test_means_are_over_voxels_and_errors_by_elf_are_told() -> None:
    """100 voxels of mean 0.3, 300 of mean 0.5 with a bias of 0.004: 0.45 and 0.453."""
    rows = [
        fluid_row("a", 76.0, 0.02, reference_mean=0.3),
        fluid_row("b", 76.0, 0.02, reference_mean=0.5, points=300, bias=0.004),
    ]
    same, shape = paper_fluid.distribution(record_of(FLUID, rows, FLUID_METRICS))
    assert (same.measured, same.verdict) == ("0.4500 and 0.4530", DIFFERS)
    assert (shape.measured, shape.verdict) == ("0.0200", DIFFERS)
    bias, largest = paper_fluid.by_elf(BY_ELF)
    assert (bias.measured, bias.verdict) == ("up to 0.40", AGREES)
    assert largest.measured == "at 0.625, 3.0 times the smallest" and largest.verdict == AGREES
    shifted = BY_ELF | {"mae": [0.01, 0.02, 0.03, 0.04], "bias": [0.0051, 0, 0, 0]}
    assert verdicts(paper_fluid.by_elf(shifted)) == [DIFFERS, DIFFERS]


def test_fluid_errors_stand_beside_the_papers_model_of_the_same_kind() -> None:
    found = {line.what: line for line in paper_fluid.fluid(SOURCES.found[FLUID])}
    assert [found[f"D: {key}, all voxels"].verdict for key in ("MAE", "RMSE", "R²")] == [AGREES, BETTER, AGREES]
    assert [found[f"D: {key}, even in ELF"].verdict for key in ("MAE", "RMSE", "R²")] == [WORSE, BETTER, WORSE]
    patches = record_of(FLUID, FLUID_ROWS, FLUID_METRICS, entrant={"architecture": "patch_cnn"})
    found = {line.what: line for line in paper_fluid.fluid(patches)}
    assert "D: MAE, all voxels" not in found
    assert (found["D: R², all voxels"].paper, found["D: R², all voxels"].verdict) == ("0.966", BETTER)


def test_snapshots_by_pressure() -> None:
    found = {line.what: line for line in paper_fluid.snapshots(SOURCES.found[FLUID])}
    line = found["76.0 GPa: MAE"]
    assert line.measured == "0.0250 (0.0200 to 0.0300, 2 snapshots)"
    assert (line.paper, line.verdict) == ("0.0194, 0.0197", WORSE)  # 0.0250 / 0.01955 = 1.28
    assert found["138.5 GPa: MAE"].verdict == BETTER and found["115.1 GPa: MAE"].verdict == UNKNOWN


def test_crystals_near_the_middle_and_molecular_ones() -> None:
    """The gap is 0.07 at φ = 0.5, and 0.0005 and 0.01 elsewhere; 1 − R² is 0.001 below 0.3, 0.1 and 0.03 above."""
    mean, gap, molecular, phi = paper_crystals.crystals("cubic", SOURCES.found[CUBIC])
    assert (mean.paper, mean.measured, mean.verdict) == ("0.96", "0.9800", BETTER)
    assert gap.measured == f"0.0700 there, {(0.0005 + 0.01) / 2:.4f} elsewhere" and gap.verdict == AGREES
    assert molecular.measured == "0.0650 there, 0.0010 elsewhere" and molecular.verdict == AGREES
    assert (phi.measured, phi.verdict) == ("0.9200, spread of φ 0.100", AGREES)
    one_sided = record_of(CUBIC, CUBIC_ROWS[:1], {})
    assert verdicts(paper_crystals.crystals("cubic", one_sided)) == [UNKNOWN] * 4
    (worst,) = paper_crystals.worst(SOURCES.found[CUBIC], SOURCES.found[HEXAGONAL])
    assert (worst.measured, worst.verdict) == ("cubic 0.900, hexagonal 0.800", AGREES)
    (worst,) = paper_crystals.worst(SOURCES.found[HEXAGONAL], SOURCES.found[CUBIC])
    assert worst.verdict == DIFFERS


def test_statistics_over_crystals() -> None:
    found = {line.what: line for line in paper_crystals.statistics("cubic", SOURCES.found[CUBIC])}
    assert found["cubic: MAE of ELF"].measured == "0.0385 ± 0.0000"
    assert found["cubic: MAE of ELF"].paper == "0.0385 ± 0.0159"
    spread = np.std([0.01, 0.05, 0.02, 0.0], ddof=1)
    assert found["cubic: MAE of φ"].measured == f"0.0400 ± {spread:.4f}"
    assert found["cubic: RMSE of ELF"].verdict == UNKNOWN  # no such metric in the record


def test_examples_are_chosen_as_the_paper_shows_its_own() -> None:
    found = paper_crystals.chosen(SOURCES.records)
    assert [choice.example.name for choice in found] == ["hexagonal_002", "cubic_002", "hexagonal_001"]
    example = found[1].example
    assert (example.r2, example.r2_correlated, example.phi) == (0.90, 0.97, 0.5)
    assert example.predicted_phi == pytest.approx(0.45)
    one = paper_crystals.chosen({CUBIC: record_of(CUBIC, CUBIC_ROWS[:1], {})})
    assert [choice.why for choice in one] == ["lowest R²"]


def test_temperatures_are_those_of_table_1() -> None:
    printed = [(87, 87), (358, 395), (13, -25)]
    for example, (dft, predicted) in zip(paper_numbers.EXAMPLES, printed, strict=True):
        assert paper_crystals.temperature(example.phi) == pytest.approx(dft, abs=0.51)
        assert paper_crystals.temperature(example.predicted_phi) == pytest.approx(predicted, abs=0.51)
    (line,) = paper_crystals.temperatures(SOURCES.found[CUBIC], SOURCES.found[HEXAGONAL])
    apart = [7.5, 37.5, 15, 0, 75, 0]  # 750 |Δφ|; no fit is negative here
    assert (line.measured, line.verdict) == (f"{np.mean(apart):.1f} K, 6 crystals", AGREES)
    frozen = record_of(CUBIC, [crystal_row("cubic_001", 0.9, 0.9, 0.05, 0.05)], {})
    (line,) = paper_crystals.temperatures(frozen, frozen)
    assert line.measured == "0.0 K, 2 crystals"  # both below zero


def residual_record(after: float, none: float) -> dict[str, Any]:
    """Planes whose errors rise with pressure while the correction does not."""

    def fits(before: float, left: float, size: float) -> dict[str, Any]:
        curve = {"before": {"mae": before, "rmse": 0.03}, "mae": [0.5, left, left, 0.95 * left, 0.92 * left]}
        curve |= {"rmse": [0.6, 2 * left], "elf_size_l2": [0.0, size], "logit_size_l2": [0.0, 0.5]}
        return {"0.001": curve | {"by_elf": {"logit": [0.1, 0.2, None, 0.3], "ratio": [0.1, 0.3, None, 0.2]}}}

    groups = [
        {"group": name, "plane": {"correction": {"model": fits(mae, after, 0.09), "none": fits(0.3, none, 0.9)}}}
        for name, mae in (("all", 9.0), ("138.5", 0.021), ("76.0", 0.018), ("115.1", 0.019))
    ]
    anisotropy = {"residual": 0.5, "chance": 0.3, "chance_highest": 0.4}
    answer = {"above": {"3": {"power": 0.02}}, "correlation_length": 0.8, "anisotropy": anisotropy}
    settings = {"periods_per_11_angstrom": [1.0, 20.0, 24.0, 27.0, 36.0]}
    return {"answers": [answer], "groups": groups, "settings": settings}


def test_waves_of_the_residual() -> None:
    found = {line.what[:24]: line for line in paper_waves.waves(residual_record(0.0047, 0.008))}
    expected = {
        "B to D: long waves domin": ("2.0 %", DIFFERS),
        "B: errors are correlated": ("0.80 Å", AGREES),
        "C: no direction is prefe": ("0.500, noise 0.400", DIFFERS),
        "E: MAE of planes, 138.5 ": ("0.0210", AGREES),
        "E: it rises with pressur": ("0.0180, 0.0190, 0.0210", AGREES),
        "E: RMSE of planes, 76.0 ": ("0.0300", AGREES),
        "E: and after the fit wit": ("0.0094", paper_numbers.NO_VERDICT),  # of MAE and RMSE, the latter
        "E: more waves change not": ("0.92, 0.92, 0.97 times", AGREES),
        "E: the fit shows what th": ("1.7 times", DIFFERS),
        "F: it rises with pressur": ("0.0900, 0.0900, 0.0900", DIFFERS),
        "G: the correction's shar": ("at 0.375", AGREES),
        "G: so is the correction ": ("at 0.875", DIFFERS),
    }
    assert {what: (found[what].measured, found[what].verdict) for what in expected} == expected


def study(axis: str, points: dict[float, tuple[float, float]], seeds: int = 1) -> dict[str, Any]:
    rows = [{"label": f"{x}", "at": {axis: x}, "config_sha256": f"{x}"} for x in points]
    runs = [
        {"config_sha256": f"{x}", "seed": seed, "metrics": {FLUID: {"mae": mae + seed, "rmse": mae, "r2": r2}}}
        for x, (mae, r2) in points.items()
        for seed in range(seeds)
    ]
    return {"axes": {axis: {"title": axis}}, "rows": rows, "runs": runs, "reference": "base"}


def test_studies() -> None:
    scan = study("r_cut", {2.0: (0.02, 0.98), 3.0: (0.0104, 0.99), 4.0: (0.01, 0.99)})
    (line,) = paper_studies.scans(scan)
    assert (line.paper, line.measured, line.verdict) == ("3", "+4.0 % above that at 4", AGREES)
    (line,) = paper_studies.scans(study("r_cut", {2.0: (0.02, 0.98), 3.0: (0.011, 0.99), 4.0: (0.01, 0.99)}))
    assert line.verdict == DIFFERS
    (line,) = paper_studies.scans(study("r_cut", {2.0: (0.02, 0.98)}))
    assert line.verdict == UNKNOWN
    best, there = paper_studies.patch(study("r_cut", {0.5: (0.05, 0.9), 1.5: (0.03, 0.966)}))
    assert (best.measured, best.verdict, there.verdict) == ("1.5 Å of 0.5 to 1.5 Å", DIFFERS, AGREES)
    mae, rmse = paper_studies.seeds(study("x", {1.0: (1.0, 0.99)}, seeds=2))
    assert (mae.measured, mae.verdict, rmse.verdict) == ("1.5000 ± 7.1e-01, 2 models", DIFFERS, AGREES)
