"""Runs of a recipe with an engine that computes an ELF by a formula: whole files, resumed after anything."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.field import read_field
from elfzoo.io import files
from elfzoo.reference import runner
from elfzoo.reference.candidate import Candidate
from elfzoo.reference.check import check_folder
from elfzoo.reference.crystals import CrystalSource
from elfzoo.reference.engines import EngineError, Label, Relaxation, RelaxSettings, Settings, k_mesh, label_grid
from elfzoo.reference.engines.process import run_process
from elfzoo.reference.recipe import ReferenceRecipe, Residuals, find_recipe
from elfzoo.reference.runner import Run
from tests.reference.test_process import alive, needs_proc, pid_in, soon

RECIPE = ReferenceRecipe(
    dataset="crystal-h",
    title="cubes",
    source=CrystalSource(kind="crystals", cubic=0, hexagonal=0, sizes=(1,), archetypes={}),
    label=Settings(
        engine="espresso",
        pseudopotential="GTH-PBE-q1",
        cutoff=500.0,
        smearing="fermi-dirac",
        smearing_width=0.1,
        k_spacing=1.0,
    ),
    relax=RelaxSettings(
        pressure=100.0, pseudopotential="x", cutoff=400.0, density_cutoff=1600.0, k_spacing=1.0, smearing_width=0.1
    ),
)
EDGES = {name: 1.3 + 0.1 * i for i, name in enumerate("abcdef")}  # Å; volumes that differ by more than 5 %


class FormulaEngine:
    """ELF = 1/2 + (cos 2πx + cos 2πy + cos 2πz)/6, and ``before`` a label whatever a test wants to happen."""

    def __init__(self):
        self.labelled, self.relaxed, self.before = [], [], {}

    def version(self):
        return "Quantum ESPRESSO 0.1"

    def label(self, structure, settings, folder):
        name = folder.name.rpartition(".")[0]
        (folder / "scratch").write_text("much")
        self.labelled.append(name)
        self.before.get(name, lambda folder: None)(folder)
        grid = label_grid(structure, settings)
        values = 0.5 + np.cos(2 * np.pi * grid.frac_coords()).sum(axis=1).reshape(grid.shape) / 6
        facts = {
            "engine": f"{self.version()} by formula",
            "pseudopotential_sha256": {"H": "00"},
            "k_mesh": list(k_mesh(settings, structure)),
            "wall_seconds": 0.1,
        }
        return Label(values, structure, np.zeros((len(structure), 3)), 99.0, -13.0, facts)

    def relax(self, structure, settings, folder):
        """Everything becomes 10 % longer along its edges."""
        self.relaxed.append((folder.name.rpartition(".")[0], settings.pressure))
        structure = structure.copy()
        structure.scale_lattice(1.1**3 * structure.volume)
        return Relaxation(structure, True, 3, {"engine": "formula"})


def cube(edge, parents=None):
    return Structure(Lattice.cubic(edge), ["H"], [[0, 0, 0]])


def candidate(name, edge=None, **options):
    edge = edge or EDGES[name]
    return Candidate(name=name, group=name, origin="a cube", make=lambda parents: cube(edge), **options)


def child(name, parent, **options):
    """A copy of its parent, 20 % larger in volume."""

    def make(parents):
        structure = parents[parent].copy()
        structure.scale_lattice(1.2 * structure.volume)
        return structure

    return Candidate(name=name, group=parent, origin="a child", make=make, needs=(parent,), **options)


def raises(error):
    def act(folder):
        raise error

    return act


@pytest.fixture
def engine(monkeypatch):
    engine = FormulaEngine()
    monkeypatch.setattr(runner, "make_engine", lambda settings: engine)
    return engine


@pytest.fixture
def source(monkeypatch):
    """Set the candidates of the recipe."""
    monkeypatch.setattr(CrystalSource, "prepare", lambda *args: None)

    def use(*candidates):
        monkeypatch.setattr(CrystalSource, "candidates", lambda self, out: list(candidates))

    use(*map(candidate, EDGES))
    return use


@pytest.fixture
def out(tmp_path, engine, source):
    return tmp_path / "run"


def reasons(run):
    return {name: run.reason(name) for name in run.outcome().failed}


def labels(out):
    return {path.stem: path.stat().st_mtime_ns for path in out.glob("*.npz")}


def assert_nothing_half_written(out):
    for path in out.glob("*.npz"):
        assert read_field(path).meta["recipe_hash"] == RECIPE.hash
    for path in (*out.glob("relaxed/*"), *out.glob("failed/*")):
        json.loads(path.read_text())
    assert not [path for path in out.rglob("*") if path.suffix == ".tmp"]


def test_every_candidate_becomes_a_label(out, engine):
    run = Run(RECIPE, out)
    assert run.outcome().left == tuple(EDGES) and not out.exists()
    outcome = run.execute()
    assert (outcome.done, outcome.failed, outcome.left) == (tuple(EDGES), (), ())
    assert engine.labelled == list(EDGES)
    assert {path.name for path in out.iterdir()} == {
        *(f"{name}.npz" for name in EDGES),
        *("recipe.yaml", "relaxed", "failed", "work", "work.lock"),
    }
    assert not list((out / "work").iterdir()) and not list((out / "failed").iterdir())
    assert check_folder(out) == []
    field = read_field(out / "c.npz")
    x, y, z = np.moveaxis(field.grid.frac_coords().reshape(*field.grid.shape, 3), -1, 0)
    expected = 0.5 + (np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y) + np.cos(2 * np.pi * z)) / 6
    np.testing.assert_allclose(field.values, expected, atol=1e-5)
    assert field.structure.lattice.a == pytest.approx(1.5) and field.meta["group"] == "c"


def test_the_recipe_lies_beside_the_labels(out):
    Run(RECIPE, out).execute()
    assert find_recipe(out / "recipe.yaml") == RECIPE


def test_a_finished_run_does_nothing(out, engine):
    Run(RECIPE, out).execute()
    before = labels(out)
    assert len(Run(RECIPE, out).execute().done) == 6 and len(engine.labelled) == 6 and labels(out) == before


def test_another_recipe_in_the_same_folder_is_refused(out):
    Run(RECIPE, out, only=["a"]).execute()
    before = (out / "recipe.yaml").read_text()
    for other in (
        replace(RECIPE, label=replace(RECIPE.label, cutoff=510.0)),
        replace(RECIPE, relax=replace(RECIPE.relax, pressure=90.0)),
        replace(RECIPE, dataset="hydrides"),
        replace(RECIPE, relax=None),
        replace(RECIPE, source=replace(RECIPE.source, seed=1)),
        replace(RECIPE, source=replace(RECIPE.source, volume_per_atom=9.0)),
    ):
        with pytest.raises(ElfzooError, match=r"holds labels of another recipe .*another (label|relax|dataset|source)"):
            Run(other, out)
    assert (out / "recipe.yaml").read_text() == before


def test_more_structures_are_the_same_recipe(out):
    Run(RECIPE, out, only=["a"]).execute()
    more = replace(RECIPE, source=replace(RECIPE.source, cubic=7))
    assert len(Run(more, out).execute().done) == 6
    assert find_recipe(out / "recipe.yaml").source.cubic == 7
    fewer = replace(RECIPE, title="few", source=replace(RECIPE.source, cubic=1))
    assert len(Run(fewer, out).execute().done) == 6


def test_two_runs_in_one_folder_are_refused(out, engine):
    caught = []

    def start_another(folder):
        with pytest.raises(ElfzooError, match=r"another run is at work in .*run") as error:
            Run(RECIPE, out).execute(retry=True)
        caught.append(error)

    engine.before["b"] = start_another
    assert len(Run(RECIPE, out).execute().done) == 6 and len(caught) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("workers", [1, 3])
def test_stopped_from_a_worker_and_resumed(out, engine, error, workers):
    engine.before["c"] = raises(error)
    with pytest.raises(type(error)):
        Run(RECIPE, out).execute(workers)
    assert_nothing_half_written(out)
    before, run = labels(out), Run(RECIPE, out)
    assert {"a", "b"} <= set(before) or workers > 1
    assert "c" in run.outcome().left and not run.outcome().failed
    engine.before.clear()
    assert run.execute(workers).done == tuple(EDGES)
    assert labels(out).items() >= before.items()
    assert engine.labelled.count("c") == 2 and all(engine.labelled.count(name) == 1 for name in before)


@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_ctrl_c_ends_programs_and_does_not_call_them_failed(out, engine, pause):
    """The second program may start after Ctrl-C came: it is ended too."""

    def interrupt(folder):
        run_process(["true"], folder, "first")
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        time.sleep(pause)
        run_process(["sleep", "60"], folder, "second")

    engine.before |= {"b": interrupt, "c": lambda folder: run_process(["sleep", "60"], folder, "long")}
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Run(RECIPE, out).execute(workers=2)
    assert time.monotonic() - began < 10
    assert_nothing_half_written(out)
    assert not Run(RECIPE, out).outcome().failed and not list((out / "work").iterdir())
    engine.before.clear()
    assert Run(RECIPE, out).execute().done == tuple(EDGES)


def test_a_relaxation_is_not_repeated(out, engine, source):
    source(candidate("a", relax=True), candidate("b", relax=True, pressure=40.0))
    engine.before["b"] = raises(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        Run(RECIPE, out).execute()
    engine.before.clear()
    Run(RECIPE, out).execute()
    assert engine.relaxed == [("a", 100.0), ("b", 40.0)]
    field = read_field(out / "b.npz")
    assert field.structure.lattice.abc == pytest.approx([1.1 * EDGES["b"]] * 3)
    assert field.meta["relaxation"] == {"converged": True, "steps": 3, "engine": "formula"}


@needs_proc
def test_kill_9_and_resumed(out, engine):
    def forever(folder):
        run_process(["sh", "-c", f"echo $$ > {out.parent}/pid; exec sleep 300"], folder, "long")

    engine.before["d"] = forever
    process = multiprocessing.get_context("fork").Process(target=Run(RECIPE, out).execute)
    process.start()
    pid = pid_in(out.parent / "pid")
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert_nothing_half_written(out)
    before = labels(out)
    assert set(before) == {"a", "b", "c"} and list((out / "work").iterdir())
    engine.before.clear()
    assert Run(RECIPE, out).execute().done == tuple(EDGES)
    assert labels(out).items() >= before.items() and not list((out / "work").iterdir())
    with suppress(ProcessLookupError):  # where the system did not end it with its parent
        os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_kill_9_ends_the_program_too(tmp_path):
    """In a fresh interpreter, as a user's run is, not in a fork of this one."""
    code = (
        "from pathlib import Path; from elfzoo.reference.engines.process import run_process; "
        "run_process(['sh', '-c', 'echo $$ > pid; exec sleep 300'], Path('.'), 'long')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    pid = pid_in(tmp_path / "pid")
    assert alive(pid)
    process.kill()
    process.wait()
    assert soon(lambda: not alive(pid))


def test_a_failure_is_recorded_and_tried_again_when_asked(out, engine):
    engine.before |= {"b": raises(EngineError("the SCF did not converge in 200 steps"))}
    outcome = Run(RECIPE, out).execute()
    assert outcome.failed == ("b",) and len(outcome.done) == 5 and not outcome.left
    assert reasons(Run(RECIPE, out)) == {"b": "the SCF did not converge in 200 steps"}
    assert json.loads((out / "failed" / "b.json").read_text())["recipe_hash"] == RECIPE.hash
    engine.before.clear()
    assert Run(RECIPE, out).execute().failed == ("b",)
    assert Run(RECIPE, out, only=["a"]).execute(retry=True).failed == ()
    assert Run(RECIPE, out).outcome().failed == ("b",)  # not asked for
    assert Run(RECIPE, out).execute(retry=True).done == tuple(EDGES)
    assert engine.labelled.count("b") == 2 and engine.labelled.count("a") == 1


def test_a_fault_of_elfzoo_is_recorded_with_its_traceback(out, engine, source):
    engine.before["b"] = raises(ValueError("boom"))
    source(*map(candidate, "abc"), Candidate("bad", "bad", "none", make=lambda parents: {}["x"]))
    run = Run(RECIPE, out)
    assert run.execute(workers=2).done == ("a", "c")
    assert reasons(run) == {"b": "ValueError: boom", "bad": "KeyError: 'x'"}
    record = json.loads((out / "failed" / "b.json").read_text())
    assert "in act" in record["traceback"] and "raise error" in record["traceback"]


def test_structures_that_cannot_be_are_failures(out, source):
    source(candidate("dense", edge=0.5), candidate("a"))
    run = Run(replace(RECIPE, relax=None), out)
    assert run.execute().done == ("a",) and "dense has a cell of" in reasons(run)["dense"]


def test_relaxation_needs_settings(out, source):
    source(candidate("a", relax=True))
    run = Run(replace(RECIPE, relax=None), out)
    run.execute()
    assert reasons(run) == {"a": "a is to be relaxed, and the recipe does not say how"}


def test_parents_that_only_lend_their_structure(out, engine, source):
    source(candidate("a", label=False, relax=True), child("a_v", "a"), child("a_vv", "a_v"), candidate("b"))
    assert Run(RECIPE, out).execute(workers=3).done == ("a", "a_v", "a_vv", "b")
    assert sorted(engine.labelled) == ["a_v", "a_vv", "b"] and not (out / "a.npz").exists()
    volume = read_field(out / "a_vv.npz").structure.volume
    assert volume == pytest.approx(1.2**2 * (1.1 * EDGES["a"]) ** 3)


def test_what_needs_a_failed_structure_fails_too(out, engine, source, monkeypatch):
    source(candidate("a", relax=True), child("a_v", "a"), child("a_vv", "a_v"), candidate("b"))
    relax = engine.relax
    monkeypatch.setattr(engine, "relax", lambda *args: raises(EngineError("the relaxation made no step"))(None))
    run = Run(RECIPE, out)
    outcome = run.execute(workers=2)
    assert outcome.done == ("b",) and not outcome.left
    assert reasons(run) == {
        "a": "the relaxation made no step",
        "a_v": "needs a, which failed",
        "a_vv": "needs a_v, which failed",
    }
    monkeypatch.setattr(engine, "relax", relax)
    assert len(Run(RECIPE, out).execute(retry=True).done) == 4


def test_a_structure_serves_though_its_label_failed(out, engine, source):
    source(candidate("a"), child("a_v", "a"))
    engine.before["a"] = raises(EngineError("no"))
    outcome = Run(RECIPE, out).execute()
    assert outcome.failed == ("a",) and outcome.done == ("a_v",)


def test_a_structure_that_was_deleted(out, source):
    source(candidate("a"), child("a_v", "a"))
    Run(RECIPE, out, only=["a"]).execute()
    (out / "relaxed" / "a.json").unlink()
    run = Run(RECIPE, out)
    assert run.execute().failed == ("a_v",) and reasons(run) == {"a_v": "needs a, which is gone"}


def test_only_brings_what_is_needed(out, source):
    source(candidate("a", label=False), child("a_v", "a", label=False), child("a_vv", "a_v"), candidate("b"))
    run = Run(RECIPE, out, only=["a_vv"])
    assert run.wanted == ["a", "a_v", "a_vv"] and run.execute().done == ("a", "a_v", "a_vv")
    assert set(labels(out)) == {"a_vv"}
    with pytest.raises(UnknownNameError, match=r"no candidate of crystal-h is called 'a_w'; did you mean .*a_v"):
        Run(RECIPE, out, only=["b", "a_w"])


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ([child("a_v", "a"), candidate("a")], "a_v needs a, and no candidate before it is called that"),
        ([candidate("a"), candidate("a")], "two candidates are called a"),
    ],
)
def test_a_source_in_disorder(out, source, candidates, message):
    source(*candidates)
    with pytest.raises(ElfzooError, match=message):
        Run(RECIPE, out)


@pytest.mark.parametrize("name", ["a/b", "", "a b", "ä?"])
def test_names_that_are_no_file_names(name):
    with pytest.raises(ElfzooError, match="is no name for a file"):
        candidate(name, edge=1.0)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_crystal_twice(out, source, workers):
    """Of relaxed structures of different groups, and only where the density is alike too."""
    twin, near, denser = candidate("twin", 1.8, relax=True), candidate("near", 1.801, relax=True), candidate("d", 1.75)
    same_group = replace(candidate("kin", 1.8, relax=True), group="f")
    source(candidate("f", 1.8, relax=True), same_group, replace(denser, relax=True), candidate("fixed", 1.98))
    assert len(Run(RECIPE, out).execute().done) == 4
    source(candidate("f", 1.8, relax=True), twin, near, replace(denser, relax=True))
    run = Run(RECIPE, out)
    run.execute(workers)
    assert reasons(run) == {"twin": "the same crystal as f", "near": "the same crystal as f"}


def test_of_twins_at_work_at_once_one_stays(out, engine, source):
    """Whichever is first; neither both nor none."""
    source(*(candidate(name, 1.8, relax=True) for name in "abc"))
    run = Run(RECIPE, out)
    outcome = run.execute(workers=3)
    (kept,) = outcome.done
    assert set(reasons(run).values()) == {f"the same crystal as {kept}"} and engine.labelled == [kept]


def test_a_twin_takes_the_place_of_one_that_failed(out, engine, source):
    source(*(candidate(name, 1.8, relax=True) for name in "ab"))
    engine.before["a"] = raises(EngineError("no"))
    outcome = Run(RECIPE, out).execute()
    assert outcome.done == ("b",) and outcome.failed == ("a",)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("victim", ["c.npz", "c.json"])
def test_a_full_disk_is_one_error_and_loses_nothing(out, engine, monkeypatch, number, victim):
    write = files._write

    def full(path, chunks, compress):
        if path.name.startswith(f".{victim}."):
            path.write_bytes(b"half")
            raise OSError(number, os.strerror(number))
        write(path, chunks, compress)

    monkeypatch.setattr(files, "_write", full)
    with pytest.raises(ElfzooError, match=rf"cannot write .*{victim}: {os.strerror(number)}"):
        Run(RECIPE, out).execute()
    assert_nothing_half_written(out)
    outcome = Run(RECIPE, out).outcome()
    assert outcome.done == ("a", "b") and not outcome.failed
    monkeypatch.setattr(files, "_write", write)
    assert Run(RECIPE, out).execute().done == tuple(EDGES)


def test_a_missing_engine_is_one_error_before_anything_is_written(out, engine, monkeypatch):
    monkeypatch.setattr(engine, "version", lambda: raises(EngineError("not installed; install it with: x"))(None))
    with pytest.raises(EngineError, match="install it with"):
        Run(RECIPE, out).execute()
    assert not out.exists()


def test_workers_work_at_once_and_are_never_more(out, engine):
    meet, running, most, lock = threading.Barrier(3, timeout=10), set(), [], threading.Lock()

    def act(folder):
        with lock:
            running.add(folder)
            most.append(len(running))
        meet.wait()
        with lock:
            running.remove(folder)

    engine.before = {name: act for name in EDGES}
    assert len(Run(RECIPE, out).execute(workers=3).done) == 6
    assert max(most) == 3


def test_the_bar_counts_every_candidate(out, engine, source, monkeypatch):
    shown = []

    @contextmanager
    def bar(label, total, show):
        shown.append((label, total, counts := []))
        yield counts.append

    monkeypatch.setattr(runner, "progress_bar", bar)
    source(candidate("a"), child("a_v", "a"), candidate("b"), candidate("c", edge=0.1), child("c_v", "c"))
    engine.before["b"] = raises(EngineError("no"))
    Run(RECIPE, out, only=["a"]).execute()
    Run(RECIPE, out).execute(workers=2)
    assert [(label, total, sum(counts)) for label, total, counts in shown] == [("crystal-h", 1, 1), ("crystal-h", 5, 5)]
    assert shown[1][2] == [1, 1, 1, 1, 1]  # one was there, one each for the others


def test_a_relaxation_that_came_to_nothing_is_left_out(out, source):
    """Labels have 99 GPa and no force."""
    source(candidate("a", relax=True), candidate("b", relax=True, pressure=150.0), candidate("c"))
    run = Run(replace(RECIPE, residuals=Residuals(force=0.1, pressure=15.0)), out)
    assert run.execute().done == ("a", "c")
    off = "after its relaxation, forces of 0.00 eV/Å and -51 GPa off; expected at most 0.1 eV/Å and 15 GPa"
    assert reasons(run) == {"b": off}


def test_forces_left_by_a_relaxation_have_a_limit_too(out, source, engine, monkeypatch):
    whole = engine.label
    monkeypatch.setattr(engine, "label", lambda *args: replace(whole(*args), forces=np.array([[0.0, 0.3, 0.4]])))
    source(candidate("a", relax=True), candidate("b"))
    run = Run(replace(RECIPE, residuals=Residuals(force=0.4, pressure=15.0)), out)
    assert run.execute().failed == ("a",) and "forces of 0.50 eV/Å" in run.reason("a")
