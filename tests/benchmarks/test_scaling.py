"""The script that measures speed against size: its jobs, its record, its tables; no time is judged."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import scaling
import scaling_job
import scaling_table
from scaling_job import Job, edge_of, measured, run_fresh

import elfzoo
from elfzoo import read_field
from elfzoo.errors import ElfzooError, UnknownNameError

MODEL = "grid_mlp.smooth-h-v3"
DONE = {"voxels_per_second": 1e5, "share_timed": 1.0, "peak_rss_gib": 0.5, "added_gib": 0.01}


def entry(atoms: int, points: int, model: str = "a", **values: object) -> dict:
    return {"model": model, "atoms": atoms, "points": points, **(values if "reason" in values else DONE | values)}


def record(*entries: dict, frames: tuple = ()) -> dict:
    return {
        "date": "2026-01-01",
        "series": {"atoms": [[8, 10], [16, 13], [64, 20]], "points": [[16, 13], [16, 26]]},
        "versions": scaling.versions(),
        "entries": list(entries),
        "frames": list(frames),
    }


# ---- jobs ----


def test_cells_have_one_density_and_grids_one_spacing() -> None:
    for atoms, points in scaling.chosen_series(quick=False)["atoms"]:
        task = Job("any", atoms, points).task
        structure = task.structure()
        assert len(structure) == atoms and structure.volume / atoms == pytest.approx(11**3 / 500)
        assert task.grid(structure).spacing == pytest.approx((0.1,) * 3, rel=0.01)


def test_models_are_those_that_take_hydrogen_and_need_no_engine() -> None:
    found = scaling.hydrogen_models()
    assert MODEL in found and "probe_graph.base-v1" in found and "harris_pw.solids-v1" not in found
    with pytest.raises(UnknownNameError, match="release that takes hydrogen and needs no engine"):
        scaling.main(["--quick", "-m", "harris_pw.solids-v1"])


@pytest.mark.parametrize(("name", "streamed"), [(MODEL, True), ("symmetry_unet.h-v1", False)])
def test_a_job_is_a_whole_prediction_that_ends_in_a_file(tmp_path: Path, name: str, streamed: bool) -> None:
    job = Job(name, 8, 12, whole_within=60.0 if streamed else 1e-9, repeat=1, check=True)
    found, structure = measured(job, tmp_path), job.task.structure()
    expected = elfzoo.load_pretrained(name).predict(structure, grid=(12, 12, 12)).values
    np.testing.assert_allclose(read_field(tmp_path / "elf.h5").values, expected, atol=1e-6)
    assert (found["share_timed"], found["streamed"], found["shape"]) == (1, streamed, [12, 12, 12])
    assert found["seconds"] * found["voxels_per_second"] == pytest.approx(12**3)
    assert (found["lowest"], found["highest"]) == pytest.approx((expected.min(), expected.max()), abs=1e-6)
    assert found["peak_rss_gib"] > 0.1 and found["peak_rss_gib"] > found["added_gib"] >= 0


def test_a_refusal_is_a_reason_and_so_is_a_job_without_end() -> None:
    assert run_fresh(Job("grid_mlp.smooth-h-v99", 8, 8), 300)["reason"].startswith(
        "UnknownNameError: no shipped release"
    )
    assert run_fresh(Job(MODEL, 8, 8), 0.01) == {"reason": "took longer than 0.01 s"}


def test_a_process_that_fails_for_another_reason_is_no_refusal() -> None:
    with pytest.raises(ElfzooError, match="failed; its message is above"):
        run_fresh(Job(None, 8, 8), 300)  # type: ignore[arg-type]


# ---- the record ----


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that were run; seconds are a power of the atoms."""
    jobs: list[Job] = []

    def run(job: Job, limit: float) -> dict:
        jobs.append(job)
        if job.atoms == 32:
            return {"reason": "too large"}
        return DONE | {"seconds": 0.01 * job.atoms**1.5, "file_mib": 1.0}

    monkeypatch.setattr(scaling, "run_fresh", run)
    return jobs


def arguments(folder: Path) -> list[str]:
    return ["--quick", "-m", MODEL, "--out", str(folder / "scaling.json"), "--figure", str(folder / "scaling.png")]


def test_what_the_record_has_is_not_measured_again(tmp_path: Path, asked: list[Job], capsys) -> None:
    scaling.main(arguments(tmp_path))
    first = json.loads((tmp_path / "scaling.json").read_text())
    sizes = [(job.atoms, job.points) for job in asked]
    assert sizes == [(8, 28), (16, 8), (16, 12), (16, 35), (32, 44)]
    assert [(row["atoms"], row["points"]) for row in first["entries"]] == sizes
    assert first["versions"]["hardware"] and (tmp_path / "scaling.png").stat().st_size > 5000
    shown = capsys.readouterr().out
    assert f"| `{MODEL}` | 0.226 | 0.64 | - |" in shown and f"| `{MODEL}` | 32 | 44³ | too large |" in shown
    scaling.main(arguments(tmp_path))
    assert len(asked) == 5 and json.loads((tmp_path / "scaling.json").read_text()) == first
    scaling.main([*arguments(tmp_path), "--retry"])
    assert [job.atoms for job in asked[5:]] == [32]


def test_each_measurement_is_kept_at_once(tmp_path: Path, asked: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    run = scaling.run_fresh

    def interrupted(job: Job, limit: float) -> dict:
        if len(asked) == 2:
            raise KeyboardInterrupt
        return run(job, limit)

    monkeypatch.setattr(scaling, "run_fresh", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scaling.main(arguments(tmp_path))
    assert len(json.loads((tmp_path / "scaling.json").read_text())["entries"]) == 2


def test_other_versions_begin_the_record_anew(tmp_path: Path, asked: list[Job], capsys) -> None:
    scaling.main(arguments(tmp_path))
    path = tmp_path / "scaling.json"
    path.write_text(path.read_text().replace('"hardware": "', '"hardware": "another, '))
    scaling.main(arguments(tmp_path))
    assert len(asked) == 10 and "begun anew" in capsys.readouterr().err
    path.write_text(path.read_text().replace('"hardware": "', '"hardware": "another, '))
    scaling.main([*arguments(tmp_path), "--draw"])  # a drawing takes the record as it is
    assert len(asked) == 10 and "Measured on another, " in capsys.readouterr().out


def test_larger_cells_than_one_that_failed_are_not_tried() -> None:
    rows = [entry(16, 20, reason="no memory"), entry(8, 10, seconds=1.0)]
    assert scaling.refused(rows, {"model": "a", "atoms": 32, "points": 20}) == {
        "reason": "not tried: 16 atoms on 20³ points failed already"
    }
    for other in ({"model": "b", "atoms": 32, "points": 20}, {"model": "a", "atoms": 32, "points": 19}):
        assert scaling.refused(rows, other) is None


@pytest.mark.parametrize("option", ["--frame", "--repeat"])
def test_numbers_below_one_are_refused(option: str) -> None:
    with pytest.raises(ElfzooError, match=f"{option} takes a number from 1 on; got 0"):
        scaling.main(["--quick", option, "0"])


def test_a_frame_is_predicted_whole(tmp_path: Path, asked: list[Job], capsys) -> None:
    scaling.main(["--frame", "8", "--out", str(tmp_path / "scaling.json")])
    (job,) = asked
    assert (job.atoms, job.points, job.check, job.repeat) == (8, round(edge_of(8) / 0.1), True, 1)
    assert job.whole_within == scaling_job.FOREVER
    assert "peak resident memory of the whole process 0.50 GiB" in capsys.readouterr().out


# ---- tables ----


def test_the_exponent_of_a_power_law_is_its_power() -> None:
    rows = [{"atoms": n, "seconds": 3.7 * n**1.25} for n in (50, 128, 4000)]
    assert scaling_table.exponent(rows, "atoms") == pytest.approx(1.25)
    assert scaling_table.exponent(rows[:2], "atoms") is None


def test_tables_say_what_was_extrapolated_and_what_is_missing() -> None:
    rows = [entry(8, 10, seconds=2.0), entry(16, 13, seconds=4.0, share_timed=0.1), entry(64, 20, seconds=16.0)]
    text = "\n".join(scaling_table.table(record(*rows, entry(16, 26, reason="a | b"))))
    assert "| `a` | 2 | ~ 4 | 16 | 1.00 | 0.01 to 0.01 |" in text
    assert "| `a` | ~ 100,000 | - | 0.01 |" in text and "| `a` | 16 | 26³ | a / b |" in text
    lines = text.splitlines()
    assert all(len(line) <= 120 for line in lines if not line.startswith("|"))  # of a page of the documentation


def test_without_a_record_there_is_a_sentence() -> None:
    assert scaling_table.table({}) == scaling_table.table(None) == [scaling_table.ABSENT]
