"""The benchmark of residuals on planted waves: what is found, what fits undo, how it is averaged, how it goes on."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from pymatgen.core import Lattice, Structure
from scipy.special import expit, logit

from elfzoo.analysis import compare_topology, percolation, spline
from elfzoo.benchmark import Benchmark
from elfzoo.benchmark.measure import Pair
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.io import write_field
from tests.benchmark.conftest import ENTRANTS, task_file

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import residual_figures
import residual_measure
import residual_table
import residual_volume_figure
import residuals
from residual_measure import CLIPS, LIMITS, NAMED, PAPER, USUAL, mean_of

EDGE, POINTS = 8.0, 20
CELL = Structure(Lattice.cubic(EDGE), ["H", "H"], [[0.1, 0.2, 0.3], [0.6, 0.5, 0.8]])
K_MAXES = residuals.wanted_k([])
needs_kernels = pytest.mark.skipif(
    not (percolation.available() and spline.available()), reason="the compiled kernels were not built"
)


def wave(*h: int) -> np.ndarray:
    """cos(G·r + phase) of so many periods along each edge."""
    x, y, z = np.meshgrid(*[2 * np.pi * np.arange(POINTS) / POINTS] * 3, indexing="ij")
    return np.cos(h[0] * x + h[1] * y + h[2] * z + 0.3)


def bumps() -> np.ndarray:
    """A logit with a dozen of critical points in the cell, and values of ELF from 0.1 to 0.9."""
    return 0.7 * (wave(1, 0, 0) + wave(0, 1, 0) + 0.8 * wave(0, 0, 2) + 0.3 * wave(1, 1, 1))


def pair_of(reference: np.ndarray, prediction: np.ndarray) -> Pair:
    fields = Field(reference, CELL), Field(prediction, CELL)
    return Pair(*fields, fine=fields)


def measured(reference: np.ndarray, prediction: np.ndarray, searched: bool = False) -> dict[str, Any]:
    return residual_measure.measure(pair_of(reference, prediction), K_MAXES, searched)


def shares(found: dict[str, Any], key: str = "power") -> list[float]:
    """Above 6, 3 and 1.5 Å."""
    return [found[limit][key] for limit in LIMITS]


# ---- waves ----


def test_planted_waves_are_found_at_their_wavelengths() -> None:
    """4 Å with a share of 9 / 10, and 2 Å; the bias has no wavelength."""
    reference = 0.5 + 0.1 * wave(1, 0, 0)
    found = measured(reference, reference + 0.05 + 0.03 * wave(0, 2, 0) + 0.01 * wave(0, 0, 4))
    answer = residuals.answer(found, K_MAXES)
    assert shares(answer["above"]) == pytest.approx([0, 0.9, 1], abs=1e-6)
    assert shares(answer["above"], "reference_power") == pytest.approx([1, 1, 1])
    assert shares(answer["above"], "relative_power") == pytest.approx([0, 0.09, 0.1], abs=1e-6)
    assert (answer["half_wavelength"], answer["reference_half_wavelength"]) == pytest.approx((EDGE / 2, EDGE))
    assert answer["mostly_above_3"] is True
    value = found["volume"]["spectra"]["value"]
    assert (value["bias"], value["power"]) == (pytest.approx(0.05), pytest.approx((9e-4 + 1e-4) / 2, rel=1e-5))
    h = np.array([n for n in product(range(-9, 11), repeat=3) if any(n)])
    lengths = EDGE / np.linalg.norm(h, axis=1)
    expected = [(lengths > limit).mean() for limit in LIMITS.values()]
    assert shares(answer["above"], "waves") == pytest.approx(expected, rel=1e-5)


def test_half_of_the_power() -> None:
    k, power = np.array([0.0, 3.0, 1.0, 2.0]), np.array([9.0, 1.0, 2.0, 1.0])
    assert residual_measure.half_wavelength(k, power) == pytest.approx(2 * math.pi)
    assert residual_measure.half_wavelength(k, np.array([9.0, 1.0, 0.0, 1.5])) == pytest.approx(math.pi)
    assert residual_measure.half_wavelength(k, np.array([1.0, 0, 0, 0])) is None


def test_planes_see_a_steep_short_wave_as_a_long_one() -> None:
    """(1, 0, 4) has 1.9 Å in the cell; on z = 0 it has 8 Å, and on the two other planes it stays short."""
    reference = 0.5 + 0.1 * wave(1, 1, 0)
    answer = residuals.answer(measured(reference, reference + 0.01 * wave(1, 0, 4)), K_MAXES)
    assert shares(answer["above"]) == pytest.approx([0, 0, 1], abs=1e-6)
    assert shares(answer["plane_above"]) == pytest.approx([1 / 3, 1 / 3, 1], rel=1e-5)


def test_a_direction_is_told_from_chance(rng: np.random.Generator) -> None:
    reference = Field(0.5 + 0.1 * wave(1, 0, 0), CELL)
    one = residual_measure.anisotropy(reference, reference.replace(values=reference.values + 0.1 * wave(0, 0, 3)))
    assert one["residual"] == pytest.approx(1) and one["residual"] > 3 * one["chance_highest"]
    noise = residual_measure.anisotropy(reference, reference.replace(values=rng.normal(size=reference.grid.shape)))
    assert noise["residual"] < 1.2 * noise["chance_highest"] and noise["chance"] < noise["chance_highest"]
    assert residual_measure.anisotropy(reference, reference)["residual"] is None


# ---- fits ----


def test_all_waves_give_the_reference_back_with_and_without_a_model(rng: np.random.Generator) -> None:
    both = pair_of(rng.uniform(0.05, 0.95, (POINTS,) * 3), rng.uniform(0.05, 0.95, (POINTS,) * 3))
    k_maxes = residuals.wanted_k([100.0])
    found = residual_measure.measure(both, k_maxes, False)
    for domain, clips in (("volume", CLIPS), ("plane", [USUAL])):
        for name, clip in product(("model", "none"), clips):
            curve = found[domain]["correction"][name][clip]
            assert curve["mae"][-1] == pytest.approx(0, abs=1e-9)
            assert (curve["logit_captured"][-1], curve["coefficients_per_point"][-1]) == pytest.approx((1, 1))
            assert len(curve["rmse"]) == len(k_maxes) and curve["clipped"]["reference"] == 0
    before = found["volume"]["correction"]["model"][USUAL]["before"]
    assert before["mae"] == pytest.approx(np.abs(both.prediction.values - both.reference.values).mean(), rel=1e-5)


def test_a_fit_takes_the_wave_away_that_its_limit_allows() -> None:
    """A wave of 4 Å in the logit: nothing changes above 6 Å, nothing is left above 3 Å; clips do not matter here."""
    local = bumps()
    found = measured(expit(local), expit(local + 0.4 * wave(0, 2, 0)))
    answer = residuals.answer(found, K_MAXES)
    assert shares(answer["logit_above"]) == pytest.approx([0, 1, 1], abs=1e-6)
    mae = {name: part["mae"] for name, part in answer["after"].items()}
    assert mae["6"] == pytest.approx(answer["before"]["mae"]) and mae["3"] == pytest.approx(0, abs=1e-9)
    coefficients = 1 + sum(0 < sum(x * x for x in h) <= (EDGE / 3) ** 2 for h in product(range(-3, 4), repeat=3))
    assert answer["after"]["3"]["coefficients_per_point"] == pytest.approx(coefficients / POINTS**3, rel=1e-5)
    fits = found["volume"]["correction"]["model"]
    assert fits["0.01"]["mae"] == fits["0.0001"]["mae"]


def test_random_phases_keep_the_power_of_every_wave(rng: np.random.Generator) -> None:
    local, change = bumps(), 0.2 * wave(1, 0, 0) + 0.1 * wave(1, 2, 0) + 0.05
    prediction, corrected = (Field(expit(values), CELL) for values in (local, local + change))
    found = logit(residual_measure.with_random_phases(prediction, corrected, rng).values) - local
    power = np.abs(np.fft.fftn(found)), np.abs(np.fft.fftn(change))
    np.testing.assert_allclose(*power, atol=1e-8)
    assert np.sqrt((found**2).mean()) == pytest.approx(np.sqrt((change**2).mean()))
    assert np.abs(found - change).max() > 0.1


@needs_kernels
def test_what_a_wave_moves_is_undone_with_it() -> None:
    """All of the residual is one wave of 4 Å, so that fits above 6 Å change nothing and above 3 Å everything."""
    local = bumps()
    both = pair_of(expit(local), expit(local + 0.4 * wave(0, 2, 0)))
    found = measured(both.reference.values, both.prediction.values, searched=True)["topology"]
    answer = {name: residuals.quotients(counts) for name, counts in found.items()}
    direct = compare_topology(both.reference, both.prediction)
    before = answer["before"]
    assert before["delta_phi"] == pytest.approx(direct.delta["phi_3d"], abs=1e-5) and before["abs_delta_phi"] > 0.01
    assert before["recall"] == pytest.approx(direct.points["all"].recall)
    assert before["precision"] == pytest.approx(direct.points["all"].precision)
    exact = {"abs_delta_phi": 0, "recall": 1, "precision": 1, "displacement": 0}
    for unchanged, undone in (("6 corrected", "3 corrected"), ("3 alone", "6 alone"), ("6 random", "1.5 corrected")):
        assert answer[unchanged] == pytest.approx(before, abs=1e-4)
        assert {key: answer[undone][key] for key in exact} == pytest.approx(exact, abs=1e-4)
    assert answer["3 random"] != pytest.approx(before, abs=1e-3)


# ---- means ----


def test_means_key_by_key_and_place_by_place() -> None:
    parts = [{"a": 1, "b": [1, None, 5], "c": {"d": None}}, {"a": None, "b": [3, None], "c": {"d": 4}}, None]
    assert mean_of(parts) == {"a": 1, "b": [2, None, 5], "c": {"d": 4}}
    assert mean_of([None, None]) is None


def test_groups_are_in_order_and_pooled() -> None:
    rows = [{"group": group, "n": n} for n, group in enumerate((115.1, 76.0, None, 76.0, "b"))]
    found = {name: [row["n"] for row in part] for name, part in residuals.grouped(rows).items()}
    assert found == {"all": [0, 1, 2, 3, 4], "76.0": [1, 3], "115.1": [0], "b": [4]}
    names = (">6", "3-6", "1.5-3", "<1.5")
    large, small = ({n: {"power": p, "reference_power": 1, "waves": 1} for n in names} for p in (3, 0))
    small[">6"]["power"] = 4
    pooled = residuals.above(mean_of([large, small]))
    assert shares(pooled) == pytest.approx([7 / 16, 10 / 16, 13 / 16])
    counts = ({"reference": 10, "prediction": 5, "matched": 5, "moved": 1.0}, {"reference": 0, "prediction": 0})
    parts = [{"delta_phi": sign * 0.1, "abs_delta_phi": 0.1} for sign in (1, -1)]
    some = mean_of([parts[0] | counts[0], parts[1] | {"matched": 0, "moved": 0.0} | counts[1]])
    assert residuals.quotients(some) == {
        "delta_phi": 0, "abs_delta_phi": pytest.approx(0.1), "recall": 0.5, "precision": 1, "displacement": 0.2,
    }  # fmt: skip


def test_k_in_both_units() -> None:
    found = residuals.settings(residuals.wanted_k(None))
    periods = found["periods_per_11_angstrom"]
    assert set(residuals.PERIODS) <= {round(value, 4) for value in periods} and periods == sorted(periods)
    assert NAMED["3"] == pytest.approx(2 * math.pi / 3) and NAMED[PAPER] * 11 / (2 * math.pi) == pytest.approx(20)
    assert set(NAMED.values()) <= set(residuals.wanted_k([5.0]))


# ---- runs ----


@pytest.fixture(scope="module")
def row() -> dict[str, Any]:
    local = bumps()
    return measured(expit(local), expit(local + 0.1 * wave(0, 2, 0)))


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    path = tmp_path / "strangers.py"
    path.write_text(ENTRANTS)
    return path


def test_a_stopped_run_goes_on(
    tmp_path: Path, strangers: Path, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, asked = task_file(tmp_path / "tiny.yaml", starts_with="cubic_02", parts=["voxels"]), []

    def planted(both: Pair, k_maxes: list[float], searched: bool) -> dict[str, Any]:
        if len(asked) == 2 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt
        asked.append(searched)
        return row

    monkeypatch.setattr(residuals, "measure", planted)
    benchmark = Benchmark(f"{strangers}:waves", str(task), tmp_path / "work")
    with pytest.raises(KeyboardInterrupt):
        residuals.run(benchmark, tmp_path / "results", K_MAXES, progress=False)
    assert not (tmp_path / "results").exists()
    path = residuals.run(benchmark, tmp_path / "results", K_MAXES, progress=False)
    record = json.loads(path.read_text())
    files = [f"crystal-h/{file}" for file in benchmark.data.raw_file_names]
    assert [found["file"] for found in record["structures"]] == files
    assert asked == [False] * len(files)  # each once
    assert path == tmp_path / "results" / "tiny" / "waves.json"
    assert (record["answers"][0]["group"], record["answers"][0]["structures"]) == ("all", len(files))
    assert record["answers"][0]["above"] == record["structures"][0]["above"]
    residuals.run(benchmark, tmp_path / "results", K_MAXES, progress=False)
    assert len(asked) == len(files)  # all is there


def test_rows_of_other_settings_or_entrants_are_not_mixed_in(tmp_path: Path, strangers: Path) -> None:
    task = task_file(tmp_path / "tiny.yaml", starts_with="cubic_027", parts=["voxels"])
    benchmark = Benchmark(f"{strangers}:waves", str(task), tmp_path / "work")
    file = benchmark.data.raw_file_names[0]
    path = residuals.row_path(benchmark, file, K_MAXES)
    assert path == residuals.row_path(Benchmark(benchmark.spec, str(task), benchmark.folder), file, K_MAXES)
    assert path != residuals.row_path(benchmark, file, residuals.wanted_k([5.0]))
    strangers.write_text(strangers.read_text().replace("0.1 *", "0.15 *"))
    other = Benchmark(benchmark.spec, str(task), benchmark.folder)
    assert path != residuals.row_path(other, file, K_MAXES)


def test_the_command_measures_answers_and_its_pictures_are_drawn(
    tmp_path: Path, strangers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = task_file(tmp_path / "single.yaml", starts_with="cubic_027", parts=["voxels"])
    folder = tmp_path / "out"
    common = ["--task", str(task), "--out", str(folder), "--work", str(tmp_path / "work")]
    residuals.main([f"{strangers}:waves", *common, "--k-max", "2", "12"])
    said, path = capsys.readouterr().out, folder / "single" / "waves.json"
    record = json.loads(path.read_text())
    answer = record["answers"][0]
    assert f"MAE {answer['before']['mae']:.4f}" in said and "not searched" in said
    assert f"Half of it is above {answer['half_wavelength']:.3g} Å" in said
    assert {"elfzoo", "date", "hardware"} <= set(record) and len(record["entrant"]["source_sha256"]) == 64
    assert record["settings"]["k_max"] == pytest.approx(residuals.wanted_k([2, 12]), rel=1e-5)
    figures = ["--task", str(task), "--results", str(folder), "--out", str(tmp_path / "figures")]
    residual_figures.main(figures)
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert drawn == [f"residuals-single-waves-{what}.png" for what in ("maps", "plane", "volume")]
    path.write_text(json.dumps(record | {"data_sha256": "0"}))
    with pytest.raises(ElfzooError, match="of other data or weights"):
        residual_figures.main(figures)


def test_bars_of_topology_are_its_numbers() -> None:
    states = [f"{limit} {state}" for limit in LIMITS for state in residual_volume_figure.STATES]
    topology = {name: {"recall": 0.1 * number} for number, name in enumerate(["before", *states])}
    axes = Figure().add_subplot()
    residual_volume_figure.topology_bars(axes, topology, "recall")
    heights = [bar.get_height() for bars in axes.containers for bar in bars]
    assert heights == pytest.approx([0.1, 0.4, 0.7, 0.2, 0.5, 0.8, 0.3, 0.6, 0.9])  # state by state


def test_the_table_says_what_the_record_says():
    """Shares and quotients by hand: 2 of 10 units of the residual's power above 3 Å, 5 of the reference's 100."""
    above = {
        "6": {"power": 0.1, "reference_power": 0.01, "waves": 1e-5, "relative_power": 1.0},
        "3": {"power": 0.2, "reference_power": 0.05, "waves": 1e-4, "relative_power": 0.4},
        "1.5": {"power": 0.5, "reference_power": 0.5, "waves": 1e-3, "relative_power": 0.1},
    }
    fit = {"mae": 0.01, "rmse": 0.02, "mae_of_none": 0.2, "coefficients_per_point": 0.001}
    found = {"delta_phi": 0.0, "abs_delta_phi": 0.012, "recall": None, "precision": 0.9, "displacement": 0.05}
    answer = {
        **{"group": "all", "structures": 2, "above": above, "plane_above": above, "half_wavelength": 1.5},
        **{"correlation_length": 0.44, "before": {"mae": 0.02, "rmse": 0.03}, "topology": {"before": found}},
        "after": dict.fromkeys(("6", "3", "1.5", "paper"), fit),
    }
    assert residual_table.power_cells(answer) == [
        *("0.0200", "10 %", "20 %", "50 %", "5 %", "20 %", "5 %", "40 %, 10 %", "1.50", "0.44")
    ]
    curves = {"0.001": {"mae": [0.019, 0.018, 0.005]}}
    whole = {"group": "all", "volume": {"correction": {"model": curves}}}
    record = {"model": "a.b", "settings": {"k_max": [1.0, 2.8, 9.0]}, "groups": [whole]}
    lines = residual_table.table([record | {"answers": [answer, {**answer, "group": "76.0"}]}])
    assert "| `a.b` | 0.0200 | 0.0100 | 0.0100 | 0.0180 | 0.0100 | 0.0100 | 0.2000 | 0.2000 | 0.2000 |" in lines
    assert sum(line.startswith("| `a.b` |") for line in lines) == 3 and "| at 76.0 |" in "\n".join(lines)
    assert "| `a.b` | as predicted | 0.012 |  | 0.900 | 0.050 |" in lines
    assert residual_table.table([record | {"answers": [{**answer, "topology": None}]}])[-1].startswith("|---")
    assert residual_table.table([]) == [residual_table.ABSENT]
    assert "above 3 Å lower it" in residual_table.gains([record | {"answers": [answer]}])


def test_a_kept_prediction_counts_where_it_is_that_of_the_record(tmp_path: Path) -> None:
    """Of these weights and data, to the bit; else the entrant is asked."""
    reference = Field(np.zeros((4, 4, 4)), CELL, meta={"file": "tiny/cell.npz"})
    anew, kept = reference.replace(values=np.full((4, 4, 4), 0.25)), reference.replace(values=np.full((4, 4, 4), 0.5))
    entrant = SimpleNamespace(name="a.b", facts={"weights_sha256": "w"}, predict=lambda name, structure, grid: anew)
    benchmark: Any = SimpleNamespace(
        name="tiny", split="test", names=["cell"], entrant=entrant, grid=lambda field: None
    )
    benchmark.data = type("Data", (), {"data_hash": "d", "__getitem__": lambda self, i: (CELL, reference)})()
    path = tmp_path / "runs" / "a.b" / "tiny" / "predictions" / "cell.npz"
    path.parent.mkdir(parents=True)
    write_field(kept, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "tiny").mkdir()

    def guessed(weights: str = "w", data: str = "d", sha256: str = digest) -> float:
        rows = [{"file": "tiny/cell.npz", "prediction_sha256": sha256}]
        record = {"weights_sha256": weights, "data_sha256": data, "structures": rows}
        (tmp_path / "tiny" / "a.b.json").write_text(json.dumps(record))
        return residuals.guess_of(benchmark, 0, tmp_path / "runs", tmp_path).values.mean()

    assert guessed() == pytest.approx(0.5, abs=1e-4)
    assert guessed(weights="x") == guessed(data="x") == guessed(sha256="0") == 0.25
    path.unlink()
    assert guessed() == 0.25
