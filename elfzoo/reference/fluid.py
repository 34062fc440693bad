"""Fluid hydrogen: independent trajectories at three pressures, run with the fitted potential, labelled by DFT."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from pymatgen.core import Structure

from elfzoo.config import config_class
from elfzoo.progress import progress_bar
from elfzoo.reference.candidate import Candidate, StructureSource
from elfzoo.reference.dynamics import EVERY, STEP, Trajectory, run_dynamics
from elfzoo.reference.potential import Potential

__all__ = ["FluidSource", "FluidState", "Run"]

POTENTIAL = "hydrogen.safetensors"


@config_class
class FluidState:
    """A pressure, GPa, and the volume per atom, Å³, at which DFT gives it on average."""

    pressure: float
    volume: float


@dataclass(frozen=True)
class Run:
    """One trajectory: its name, state, number of atoms and seed."""

    name: str
    state: FluidState
    atoms: int
    seed: int


@config_class
class FluidSource(StructureSource):
    """Which trajectories, and which of their frames become reference data.

    Args:
        states: pressures with their volumes.
        letters: one trajectory of ``atoms`` each, at every pressure; splits go by the letter.
        atoms: in their cells.
        large: numbers of atoms of further cells, one trajectory each at every pressure.
        temperature: K.
        equilibration: fs that are thrown away.
        snapshots: frames per trajectory of a letter.
        large_snapshots: frames per trajectory of a large cell.
        interval: fs between the frames.
        seed: of starts, velocities and thermostats.
    """

    kind: Literal["fluid"]
    states: tuple[FluidState, ...]
    letters: str = "ABCD"
    atoms: int = 128
    large: tuple[int, ...] = (250, 500)
    temperature: float = 1500.0
    equilibration: float = 1000.0
    snapshots: int = 4
    large_snapshots: int = 1
    interval: float = 300.0
    seed: int = 2026

    def runs(self) -> list[Run]:
        """Every trajectory."""
        names = [(letter, self.atoms) for letter in self.letters] + [(f"N{atoms}", atoms) for atoms in self.large]
        return [
            Run(f"fluid_{state.pressure}GPa_{name}", state, atoms, self._seed(f"{state.pressure}/{name}"))
            for name, atoms in names
            for state in self.states
        ]

    def duration(self, run: Run) -> float:
        """Length of a trajectory, fs."""
        return self.equilibration + self.interval * (self._count(run) - 1)

    def prepare(self, out: Path, workers: int = 1, show_progress: bool | None = None) -> None:
        """Run the trajectories that are not in ``out/trajectories`` yet, each in a process of its own."""
        folder = out / "trajectories"
        folder.mkdir(parents=True, exist_ok=True)
        left = [run for run in self.runs() if not (folder / f"{run.name}.npz").exists()]
        if not left:
            return
        with (
            ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
            progress_bar("molecular dynamics", len(left), show_progress) as advance,
        ):
            jobs = [pool.submit(_run, self, run, folder / f"{run.name}.npz") for run in left]
            try:
                for job in jobs:
                    job.result()
                    advance(1)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def candidates(self, out: Path) -> list[Candidate]:
        """The frames to label: every trajectory's first frames first."""
        frames = [(number, run) for run in self.runs() for number in range(self._count(run))]
        return [self._candidate(out, run, number) for number, run in sorted(frames, key=lambda pair: pair[0])]

    def _candidate(self, out: Path, run: Run, number: int) -> Candidate:
        time = self.equilibration + number * self.interval
        frame = round(time / STEP / EVERY) - 1
        return Candidate(
            name=f"{run.name}_f{round(time):05d}",
            group=run.name,
            origin=(
                f"MD of {run.atoms} H at {self.temperature:.0f} K with elfzoo's potential for dense hydrogen "
                f"(sha256 {_potential_hash()[:12]}), from a classical molecular fluid, seed {run.seed}"
            ),
            make=functools.partial(_snapshot, out / "trajectories" / f"{run.name}.npz", frame),
            facts={
                "target_pressure_GPa": run.state.pressure,
                "temperature_K": self.temperature,
                "trajectory": run.name.rsplit("_", 1)[1],
                "time_fs": time,
            },
        )

    def _count(self, run: Run) -> int:
        return self.snapshots if run.atoms == self.atoms else self.large_snapshots

    def _seed(self, name: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{name}".encode()).digest()[:4], "big")


def load_potential() -> Potential:
    """The fitted potential that belongs to this version of elfzoo."""
    with resources.as_file(resources.files("elfzoo.reference").joinpath("tables", POTENTIAL)) as path:
        return Potential.load(path)


@functools.cache
def _potential_hash() -> str:
    content = resources.files("elfzoo.reference").joinpath("tables", POTENTIAL).read_bytes()
    return hashlib.sha256(content).hexdigest()


def _run(source: FluidSource, run: Run, path: Path) -> None:
    duration = source.duration(run)
    run_dynamics(load_potential(), run.atoms, run.state.volume, source.temperature, duration, run.seed).save(path)


def _snapshot(path: Path, frame: int, _: Mapping[str, Any]) -> Structure:
    trajectory = Trajectory.load(path)
    positions = trajectory.positions[frame]
    return Structure(
        trajectory.lattice, ["H"] * len(positions), positions, coords_are_cartesian=True, to_unit_cell=True
    )
