"""``elfzoo reference``: recipes, runs with an engine by formula, checks of a folder."""

from __future__ import annotations

import json

import pytest

from elfzoo.errors import ElfzooError
from elfzoo.field import read_field
from elfzoo.io.symmetric import write_reference
from elfzoo.reference import runner
from elfzoo.reference.crystals import CrystalSource
from elfzoo.reference.engines import EngineError
from tests.cli.conftest import error_line
from tests.reference.test_runner import FormulaEngine, candidate, raises


@pytest.fixture
def engine(monkeypatch):
    """Cubes as candidates of the recipe crystal-h, which DFT need not label."""
    engine = FormulaEngine()
    monkeypatch.setattr(runner, "make_engine", lambda settings: engine)
    monkeypatch.setattr(CrystalSource, "prepare", lambda *args: None)
    monkeypatch.setattr(CrystalSource, "candidates", lambda self, out: [candidate(name) for name in "abc"])
    return engine


def test_help(elfzoo):
    result = elfzoo("reference", "--help")
    assert result.exit_code == 0 and "First steps:" in result.stdout
    assert "   apt-get install quantum-espresso quantum-espresso-data\n" in result.stdout
    for name in ("list", "run", "check", "fit"):
        assert f"  {name} " in result.stdout
        page = elfzoo("reference", name, "--help")
        assert page.exit_code == 0 and (name == "list" or "Example" in page.stdout)
    assert elfzoo("reference").exit_code == 2


def test_list(elfzoo):
    lines = elfzoo("reference", "list").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["cavity-h", "espresso"],
        ["crystal-h", "espresso"],
        ["density-h", "espresso"],
        ["fluid-h", "espresso"],
        ["hydrides", "gpaw"],
        ["metals", "gpaw"],
        ["packing-h", "espresso"],
        ["prototypes", "gpaw"],
    ]
    assert "random cubic and hexagonal crystals" in lines[1]


def test_a_dry_run_says_what_there_is_to_do_and_writes_nothing(elfzoo, engine, tmp_path):
    result = elfzoo("reference", "run", "crystal-h", "--out", "runs/c", "--dry-run")
    assert result.exit_code == 0 and result.stdout == "crystal-h: 0 of 3 done, 0 failed, 3 left, in runs/c\n"
    assert not (tmp_path / "runs").exists() and not engine.labelled


def test_a_run(elfzoo, engine, tmp_path):
    run = ("reference", "run", "crystal-h", "--out", "runs/c")
    engine.before["b"] = raises(EngineError("the SCF did not converge in 200 steps"))
    assert elfzoo(*run, "--only", "a").stdout == "crystal-h: 1 of 1 done, 0 failed, 0 left, in runs/c\n"
    result = elfzoo(*run, "--workers", 2)
    assert result.exit_code == 0 and result.stdout == "crystal-h: 2 of 3 done, 1 failed, 0 left, in runs/c\n"
    assert result.stderr == "elfzoo: failed: b: the SCF did not converge in 200 steps\n"
    engine.before.clear()
    result = elfzoo(*run, "--retry")
    assert result.stdout == "crystal-h: 3 of 3 done, 0 failed, 0 left, in runs/c\n" and not result.stderr
    assert {path.stem for path in (tmp_path / "runs" / "c").glob("*.npz")} == {"a", "b", "c"}
    assert engine.labelled == ["a", "b", "c", "b"] or engine.labelled == ["a", "c", "b", "b"]


def test_ctrl_c(elfzoo, engine):
    engine.before["b"] = raises(KeyboardInterrupt())
    result = elfzoo("reference", "run", "crystal-h", "--out", "c")
    assert result.exit_code == 130 and result.stderr == "elfzoo: error: interrupted\n"
    engine.before.clear()
    assert "3 of 3 done" in elfzoo("reference", "run", "crystal-h", "--out", "c").stdout


def test_errors_of_a_run_are_one_line(elfzoo, engine, monkeypatch, tmp_path):
    run = ("reference", "run", "crystal-h", "--out", "c")
    assert "did you mean crystal-h" in error_line(elfzoo("reference", "run", "cristal-h", "--out", "c"))
    assert "no candidate of crystal-h is called 'd'" in error_line(elfzoo(*run, "--only", "d"))
    (tmp_path / "bad.yaml").write_text("dataset: x\ntitel: y\n")
    assert "did you mean 'title'?" in error_line(elfzoo("reference", "run", "bad.yaml", "--out", "c"))
    (tmp_path / "file").touch()
    assert "file" in error_line(elfzoo("reference", "run", "crystal-h", "--out", "file"))
    assert elfzoo(*run).exit_code == 0
    assert "holds labels of another recipe" in error_line(elfzoo("reference", "run", "hydrides", "--out", "c"))
    monkeypatch.setattr(engine, "version", lambda: raises(EngineError("no pw.x; install it with: apt-get x"))(None))
    assert "install it with: apt-get x" in error_line(elfzoo(*run))


@pytest.mark.parametrize("args", [("run", "crystal-h"), ("run", "--out", "c"), ("check",), ("fit",)])
def test_wrong_calls(elfzoo, args):
    assert elfzoo("reference", *args).exit_code == 2
    assert elfzoo("reference", "run", "crystal-h", "--out", "c", "--workers", 0).exit_code == 2


def test_check(elfzoo, engine, tmp_path):
    elfzoo("reference", "run", "crystal-h", "--out", "c")
    result = elfzoo("reference", "check", "c")
    assert result.exit_code == 0 and result.stdout == "3 files, 0 problems\n"
    planted = tmp_path / "c" / "b.npz"
    field = read_field(planted)
    write_reference(field.replace(meta={**field.meta, "scf_converged": False}), planted)
    result = elfzoo("reference", "check", "c")
    assert result.exit_code == 1 and not result.stderr
    assert result.stdout == "b.npz [scf] scf_converged is False; expected true\n3 files, 1 problems\n"


def test_check_against_the_splits(elfzoo, engine, monkeypatch):
    """Every file needs a split, and names of cubes tell none."""
    elfzoo("reference", "run", "crystal-h", "--out", "c")
    result = elfzoo("reference", "check", "c", "--dataset", "fluid-h")
    assert result.exit_code == 1 and result.stdout.count("[split]") == 3
    assert "did you mean hydrides?" in error_line(elfzoo("reference", "check", "c", "--dataset", "hydride"))


def test_errors_of_a_check_are_one_line(elfzoo, tmp_path):
    assert "no .npz files in" in error_line(elfzoo("reference", "check", "nowhere"))


def test_fit(elfzoo, monkeypatch, tmp_path):
    """What is printed of every round; the fit itself is tested elsewhere."""
    from elfzoo.reference import training_frames

    errors = {"frames": 42, "force_rmse": 0.5, "force_rms": 5.0, "force_correlation": 0.99, "energy_rmse": 0.002}
    monkeypatch.setattr(training_frames, "fit_potential", lambda plan, out, workers: (None, [errors]))
    result = elfzoo("reference", "fit", "--out", "p")
    assert result.exit_code == 0 and result.stdout == (
        "round 0: 42 frames, forces off by 0.500 of 5.000 eV/Å, correlation 0.9900, energies by 2.0 meV per atom\n"
    )

    def fails(plan, out, workers):
        raise ElfzooError("no frames")

    monkeypatch.setattr(training_frames, "fit_potential", fails)
    assert error_line(elfzoo("reference", "fit", "--out", "p")) == "elfzoo: error: no frames"
    (tmp_path / "plan.yaml").write_text(json.dumps({"frame": {}}))
    assert "did you mean 'frames'?" in error_line(elfzoo("reference", "fit", "--out", "p", "--config", "plan.yaml"))
