"""The record of the fluid's dynamics and its table in the data card, on walks of known kind."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.errors import ElfzooError
from elfzoo.reference.dynamics import Trajectory
from elfzoo.reference.fluid import FluidSource, FluidState

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import card_tables
import fluid_dynamics

SOURCE = FluidSource(
    "fluid", (FluidState(76.0, 3.0),), letters="A", atoms=72, large=(125,), equilibration=100.0, snapshots=3,
    large_snapshots=1, interval=150.0,
)  # fmt: skip
COLDER = 20.0  # K, by which the second half is colder than the first


def walk(atoms: int, length: float) -> Trajectory:
    """Atoms that leave their places by 0.05 Å a frame; every second half is colder."""
    rng, frames = np.random.default_rng(atoms), round(length / 5)
    steps = rng.normal(scale=0.05, size=(frames, atoms, 3))
    time = 5.0 * np.arange(1, frames + 1)
    edge = (3.0 * atoms) ** (1 / 3)
    positions = edge * rng.random((atoms, 3)) + np.cumsum(steps, axis=0)
    temperature = np.where(time > 250, 1500 - COLDER, 1500.0)
    return Trajectory(edge * np.eye(3), positions, time, temperature, np.full(frames, -14.0), 3e-6 * time)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "trajectories").mkdir()
    walk(72, 400).save(tmp_path / "trajectories" / "fluid_76.0GPa_A.npz")
    walk(125, 100).save(tmp_path / "trajectories" / "fluid_76.0GPa_N125.npz")
    structure = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
    for time, pressure in ((100.0, 74.0), (250.0, 77.5)):
        meta = {"group": "fluid_76.0GPa_A", "time_fs": time, "pressure_GPa": pressure}
        elfzoo.Field(np.full((4, 4, 4), 0.5), structure, meta=meta).write(tmp_path / f"fluid_76.0GPa_A_{time:.0f}.npz")
    return tmp_path


def test_every_trajectory_has_its_figures(folder):
    small, large = fluid_dynamics.measure(folder, SOURCE).values()
    assert (small["left_out_fs"], large["left_out_fs"]) == (100.0, 50.0)  # a large cell ends with its one snapshot
    assert (small["frames"], small["atoms"], large["frames"], large["atoms"]) == (60, 72, 10, 125)
    first, second = small["halves"]["temperature"]
    assert (first, first - second) == (pytest.approx(1500), pytest.approx(COLDER))
    assert small["energy_drift"] == pytest.approx(3e-3, rel=1e-4)
    assert small["temperature_std_canonical"] == pytest.approx(small["temperature"] * np.sqrt(2 / 216))
    assert small["dft_pressure_GPa"] == {"100": 74.0, "250": 77.5}
    assert large["dft_pressure_GPa"] == {}
    assert "pair_distribution" not in small


def test_the_card_shows_them(folder, tmp_path):
    rows = fluid_dynamics.measure(folder, SOURCE)
    record = {"equilibration_fs": 100.0, "interval_fs": 150.0, "trajectories": rows}
    path = tmp_path / "fluid-dynamics.json"
    path.write_text(json.dumps(record, allow_nan=False))
    lines = card_tables.dynamics(path)
    (row,) = [line for line in lines if line.startswith("| 76.0GPa_A ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == ["72", "1490 ± 10 (143)", "+3.00"]
    assert cells[-1] == "74.0, 77.5"
    (row,) = [line for line in lines if line.startswith("| 76.0GPa_N125 ")]
    assert row.endswith("| none yet |")
    assert card_tables.dynamics(tmp_path / "nothing.json") == ["Not measured yet."]


def test_a_trajectory_that_is_not_there_is_named(folder):
    (folder / "trajectories" / "fluid_76.0GPa_N125.npz").unlink()
    with pytest.raises(ElfzooError, match=r"no .*fluid_76\.0GPa_N125\.npz; expected the folder of"):
        fluid_dynamics.measure(folder, SOURCE)
