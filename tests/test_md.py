"""φ(t) of a run of ASE: the rows are those of its trajectory, whatever is killed, and a bad step is no end."""

from __future__ import annotations

import csv
import errno
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.calculators.emt import EMT
from ase.io import Trajectory, read, write
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, FIRE, MDMin

from elfzoo import create_model
from elfzoo.analysis import networking, percolation
from elfzoo.errors import ElfzooError, ElfzooWarning, QuantityError, StructureError
from elfzoo.io.tables import RowTable
from elfzoo.md import NetworkingObserver, fingerprint
from elfzoo.models.base import Model

pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")

GRID, COARSE = (10, 11, 12), 0.4
STEPS, INTERVAL, TIMESTEP = 12, 3, 0.5  # fs


def crystal() -> Atoms:
    """Five hydrogens in a skewed cell, the same velocities each time."""
    cell = [[2.6, 0, 0], [0.4, 2.7, 0], [-0.2, 0.3, 2.9]]
    scaled = [[0.05, 0.1, 0.1], [0.3, 0.1, 0.15], [0.5, 0.6, 0.4], [0.1, 0.6, 0.7], [0.7, 0.3, 0.8]]
    atoms = Atoms("H5", scaled_positions=scaled, cell=cell, pbc=True)
    atoms.set_velocities(0.02 * np.random.default_rng(5).normal(size=(5, 3)))
    return atoms


def make_model() -> Model:
    """Untrained, the same each time, with values that vary."""
    torch.manual_seed(3)
    model = create_model("grid_mlp", {"hidden": [8], "descriptor": {"n_radial": 4}})
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Model:
    return make_model()


def run(atoms: Atoms, model: Model, steps: int = STEPS, table: str = "phi.csv", **options: object) -> None:
    """Molecular dynamics that goes on with md.traj, the observer before the trajectory's writer."""
    atoms.calc = EMT()
    with VelocityVerlet(atoms, TIMESTEP * units.fs) as dynamics, Trajectory("md.traj", "a", atoms) as trajectory:
        observer = NetworkingObserver(dynamics, atoms, model, table, GRID, phi_spacing=COARSE, **options)
        dynamics.attach(observer, interval=INTERVAL)
        dynamics.attach(trajectory, interval=INTERVAL)
        dynamics.run(steps)
        observer.close()


def rows(path: str = "phi.csv") -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


def steps_of(table: list[dict[str, str]]) -> list[int]:
    return [int(row["step"]) for row in table]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_rows_are_what_the_trajectory_gives_afterwards(model: Model) -> None:
    run(crystal(), model)
    table, frames = rows(), read("md.traj", ":")
    assert steps_of(table) == [0, 3, 6, 9, 12] and len(frames) == 5
    assert [float(row["time_fs"]) for row in table] == pytest.approx([0, 1.5, 3, 4.5, 6])
    for row, atoms in zip(table, frames, strict=True):
        found = networking(model.predict(atoms, grid=GRID), COARSE)
        for name in ("phi", "phi_1d", "phi_h", "phi_star"):
            assert float(row[name]) == pytest.approx(getattr(found, name), abs=1e-6), name
        assert (row["frame"], row["error"], row["formula"]) == (fingerprint(atoms), "", "H5")
    assert len({row["phi"] for row in table}) == 5


KILLED = """
import os, signal
from elfzoo.io.tables import RowTable
from tests import test_md as md

add = RowTable.add
def add_and_die(self, row):
    add(self, row)
    if len(md.rows()) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

RowTable.add = add_and_die
md.run(md.crystal(), md.make_model())
"""


@pytest.mark.parametrize("torn", [0, 20])
def test_a_killed_run_goes_on_from_its_trajectory(model: Model, torn: int) -> None:
    """Killed after a row and before its frame: no row is lost, and no step is there twice."""
    run(crystal(), model, table="whole.csv")
    Path("md.traj").unlink()
    path = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", KILLED], env=path).returncode == -signal.SIGKILL
    assert steps_of(rows()) == [0, 3, 6] and len(read("md.traj", ":")) == 2
    written = Path("phi.csv").read_bytes()
    Path("phi.csv").write_bytes(written[: len(written) - torn])  # as if killed in the middle of the last row
    run(read("md.traj", "-1"), model, steps=STEPS - 3)
    assert steps_of(rows()) == [0, 3, 6, 9, 12]
    if not torn:
        assert Path("phi.csv").read_bytes().startswith(written)
    for row, expected in zip(rows(), rows("whole.csv"), strict=True):
        assert (row["frame"], row["time_fs"]) == (expected["frame"], expected["time_fs"])
        assert float(row["phi"]) == pytest.approx(float(expected["phi"]), abs=1e-6)


def test_a_frame_that_fails_is_a_row_with_its_reason(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = crystal()
    atoms.calc = EMT()
    dynamics = VelocityVerlet(atoms, TIMESTEP * units.fs)
    observer = NetworkingObserver(dynamics, atoms, model, "phi.csv", GRID, phi_spacing=COARSE)
    observer()
    before = atoms.positions[1].copy()
    atoms.positions[1] = atoms.positions[0] + [0.05, 0, 0]
    dynamics.nsteps = 1
    with pytest.warns(ElfzooWarning, match=r"step 1: no networking value: .*0\.050 Å apart"):
        observer()
    atoms.positions[1] = before + 0.01
    dynamics.nsteps = 2
    observer()
    monkeypatch.setattr(Model, "predict", lambda *_, **__: 1 / 0)  # a fault of a program is one, too
    dynamics.nsteps = 3
    with pytest.warns(ElfzooWarning, match="step 3: no networking value: ZeroDivisionError: division by zero"):
        observer()
    assert steps_of(rows()) == [0, 1, 2, 3]
    good, bad, again, _ = rows()
    assert math.isnan(float(bad["phi"])) and "0.050 Å apart" in bad["error"] and float(bad["time_fs"]) == 0.5
    assert good["error"] == again["error"] == "" and math.isfinite(float(again["phi"]))


def test_where_a_run_goes_on_is_known_or_asked_for(model: Model) -> None:
    run(crystal(), model, steps=3)
    moved = read("md.traj", "-1")
    moved.positions[0] += 0.02
    with pytest.raises(ElfzooError, match=r"phi.csv has steps up to 3, and the present atoms are none .* start=STEP"):
        run(moved, model)
    run(moved, model, steps=3, start=9)
    assert steps_of(rows()) == [0, 3, 9, 12] and float(rows()[-1]["time_fs"]) == 6.0


def test_time_goes_on_from_steps_of_another_length(model: Model) -> None:
    run(crystal(), model, steps=3)  # of 0.5 fs
    moved = read("md.traj", "-1")
    moved.positions[0] += 0.02
    moved.calc = EMT()
    dynamics = VelocityVerlet(moved, units.fs)
    NetworkingObserver(dynamics, moved, model, "phi.csv", GRID, phi_spacing=COARSE, start=5)()
    assert [float(row["time_fs"]) for row in rows()] == [0.0, 1.5, 3.5]


def test_a_step_that_failed_is_tried_again(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = crystal()

    def observe() -> None:
        observer = NetworkingObserver(
            BFGS(atoms, logfile=None), atoms, model, "phi.csv", spacing=0.4, phi_spacing=COARSE
        )
        observer()

    observe()
    atoms.set_cell(atoms.cell * 1.3, scale_atoms=True)
    with monkeypatch.context() as failing, pytest.warns(ElfzooWarning, match="no memory"):
        failing.setattr(
            type(model), "predict", lambda *args, **settings: (_ for _ in ()).throw(MemoryError("no memory"))
        )
        NetworkingObserver(
            BFGS(atoms, logfile=None), atoms, model, "phi.csv", spacing=0.4, phi_spacing=COARSE, start=1
        )()
    observe()
    found = rows()
    assert steps_of(found) == [0, 1, 1] and "no memory" in found[1]["error"] and not found[2]["error"]


def test_another_way_from_an_earlier_frame_stays_beside_the_first(model: Model) -> None:
    run(crystal(), model, steps=6)
    atoms = read("md.traj", "1")
    atoms.calc = EMT()
    dynamics = Langevin(
        atoms, TIMESTEP * units.fs, temperature_K=3000, friction=0.1, fixcm=False, rng=np.random.default_rng(1)
    )
    dynamics.attach(NetworkingObserver(dynamics, atoms, model, "phi.csv", GRID, phi_spacing=COARSE), interval=INTERVAL)
    dynamics.run(6)
    assert steps_of(rows()) == [0, 3, 6, 6, 9]
    assert rows()[2]["frame"] != rows()[3]["frame"]


def test_the_grid_stays_while_the_cell_breathes_and_optimizers_have_no_time(model: Model) -> None:
    atoms = crystal()
    atoms.calc = EMT()
    optimizer = BFGS(atoms, logfile=None)
    observer = NetworkingObserver(optimizer, atoms, model, "phi.csv", spacing=0.3, phi_spacing=COARSE)
    observer()
    atoms.set_cell(atoms.cell * 1.2, scale_atoms=True)
    optimizer.nsteps = 1
    observer()
    first, second = rows()
    assert first["grid"] == second["grid"] == "x".join(map(str, observer.shape))
    assert first["phi"] != second["phi"] and first["time_fs"] == second["time_fs"] == ""


@pytest.mark.parametrize("optimizer", [FIRE, MDMin])
def test_what_optimizers_call_a_timestep_is_no_time(model: Model, optimizer: type) -> None:
    atoms = crystal()
    atoms.calc = EMT()
    steps = optimizer(atoms, logfile=None)
    steps.attach(NetworkingObserver(steps, atoms, model, "phi.csv", GRID, phi_spacing=COARSE))
    steps.run(fmax=1e-9, steps=2)
    assert [row["time_fs"] for row in rows()] == ["", "", ""]


def test_a_full_disk_does_not_end_the_simulation(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    atoms, written = crystal(), RowTable.add
    atoms.calc = EMT()
    dynamics = VelocityVerlet(atoms, TIMESTEP * units.fs)
    full = [False, True, True, False]

    def add(self: RowTable, row: Mapping[str, Any]) -> None:
        if full.pop(0):
            raise OSError(errno.ENOSPC, "No space left on device")
        written(self, row)

    monkeypatch.setattr(RowTable, "add", add)
    with NetworkingObserver(dynamics, atoms, model, "phi.csv", GRID, phi_spacing=COARSE) as observer:
        dynamics.attach(observer)
        with pytest.warns(ElfzooWarning, match="rows from step 1 on are not written yet: No space left"):
            dynamics.run(2)
        assert steps_of(rows()) == [0]
        full[:] = [False, False]
    assert steps_of(rows()) == [0, 1, 2]


def test_frames_are_known_again_and_told_apart(tmp_path: Path) -> None:
    atoms = crystal()
    atoms.positions[0] += 2 * atoms.cell[0] - atoms.cell[2]  # left the cell
    known = fingerprint(atoms)
    for name in ("frame.extxyz", "frame.traj", "POSCAR"):
        write(name, atoms)
        assert fingerprint(read(name)) == known, name
    atoms.wrap()
    assert fingerprint(atoms) == known
    changes = [lambda a: a.translate([0.001, 0, 0]), lambda a: a.set_cell(a.cell * 1.001, scale_atoms=True)]
    for change in (*changes, lambda a: a.set_atomic_numbers([1, 1, 1, 1, 3])):
        other = atoms.copy()
        change(other)
        assert fingerprint(other) != known


def test_what_cannot_work_is_said_before_the_run(model: Model) -> None:
    target = {"quantity": "density", "link": "log", "scale": 0.1}
    density = create_model("grid_mlp", {"hidden": [8], "descriptor": {"n_radial": 4}}, target)
    with pytest.raises(QuantityError, match="the model gives 'density'"):
        run(crystal(), density)
    with pytest.raises(StructureError, match="no periodic cell"):
        run(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]]), model)
    Path("phi.csv").write_text("step,phi\n0,0.5\n")
    with pytest.raises(ElfzooError, match=r"phi.csv has the columns step, phi; expected step, time_fs"):
        run(crystal(), model)
