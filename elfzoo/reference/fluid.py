"""Fluid hydrogen: independent trajectories at three pressures, run with the fitted potential, labelled by DFT."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar, Literal

from pymatgen.core import Structure

from elfzoo.config import config_class
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.io.files import write_bytes
from elfzoo.progress import progress_bar
from elfzoo.reference.candidate import Candidate, StructureSource
from elfzoo.reference.diagnostics import diagnose
from elfzoo.reference.dynamics import EVERY, STEP, run_dynamics
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
    """One trajectory: its name, state, number of atoms, snapshots that are taken from it, and seed."""

    name: str
    state: FluidState
    atoms: int
    snapshots: int
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
        interval: fs between the frames; like ``equilibration`` a multiple of the time between stored frames, 5 fs.
        seed: of starts, velocities and thermostats. Every trajectory has its own, which depends on this number, its
            pressure and its letter or size, and on nothing else.
    """

    only_choose: ClassVar[tuple[str, ...]] = ("letters", "large")
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

    def __post_init__(self) -> None:
        names = [run.name for run in self.runs()]
        if len(set(names)) < len(names):
            raise ConfigError(f"every pressure, letter and large size may come once; got the trajectories {names}")
        if min(self.snapshots, self.large_snapshots) < 1:
            raise ConfigError(f"a trajectory gives one snapshot or more; got {self.snapshots}, {self.large_snapshots}")
        frame = STEP * EVERY
        if not (self.equilibration >= frame and all(_whole(t / frame) for t in (self.equilibration, self.interval))):
            raise ConfigError(
                f"equilibration and interval must be multiples of {frame} fs, the time between stored frames; "
                f"got {self.equilibration} and {self.interval} fs"
            )

    def runs(self) -> list[Run]:
        """Every trajectory."""
        kinds = [(letter, self.atoms, self.snapshots) for letter in self.letters]
        kinds += [(f"N{atoms}", atoms, self.large_snapshots) for atoms in self.large]
        return [
            Run(f"fluid_{state.pressure}GPa_{name}", state, atoms, count, self._seed(f"{state.pressure}/{name}"))
            for name, atoms, count in kinds
            for state in self.states
        ]

    def times(self, run: Run) -> list[float]:
        """When the snapshots of a trajectory are taken, fs; it ends with the last."""
        return [self.equilibration + number * self.interval for number in range(run.snapshots)]

    def prepare(self, out: Path, workers: int = 1, show_progress: bool | None = None) -> None:
        """Run the trajectories whose snapshots are not in ``out/snapshots`` yet, each in a process of its own.

        The whole trajectories are left in ``out/trajectories``; nothing but their diagnosis needs them.

        Raises:
            ElfzooError: there is no potential, another one made the trajectories that are there, or it failed.
        """
        for folder in ("snapshots", "trajectories"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        _claim_potential(out / "snapshots")
        left = [run for run in self.runs() if not _snapshots(out, run).exists()]
        if not left:
            return
        with (
            ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
            progress_bar("molecular dynamics", len(left), show_progress) as advance,
        ):
            jobs = [pool.submit(_run, self, run, out) for run in left]
            try:
                for job in jobs:
                    job.result()
                    advance(1)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def candidates(self, out: Path) -> list[Candidate]:
        """The frames to label: small cells first, and of each size every trajectory's first frames first."""
        frames = [(number, run) for run in self.runs() for number in range(run.snapshots)]
        frames.sort(key=lambda pair: (pair[1].atoms, pair[0]))
        return [self._candidate(out, run, number) for number, run in frames]

    def _candidate(self, out: Path, run: Run, number: int) -> Candidate:
        time = self.times(run)[number]
        return Candidate(
            name=f"{run.name}_f{round(time):05d}",
            group=run.name,
            origin=(
                f"MD of {run.atoms} H at {self.temperature:.0f} K with elfzoo's potential for dense hydrogen "
                f"(sha256 {_potential_hash()[:12]}), from a classical molecular fluid, seed {run.seed}"
            ),
            make=functools.partial(_snapshot, _snapshots(out, run), number),
            facts={
                "target_pressure_GPa": run.state.pressure,
                "temperature_K": self.temperature,
                "trajectory": run.name.rsplit("_", 1)[1],
                "time_fs": time,
            },
        )

    def _seed(self, name: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{self.seed}/{name}".encode()).digest()[:4], "big")


def load_potential() -> Potential:
    """The fitted potential that belongs to this version of elfzoo.

    Raises:
        ElfzooError: none has been fitted yet.
    """
    with resources.as_file(_table()) as path:
        if not path.exists():
            raise ElfzooError(
                f"this elfzoo has no potential for dense hydrogen, which fluid trajectories are run with; make it with "
                f"`elfzoo reference fit --out DIR` and copy the last round's potential.safetensors to {path}"
            )
        return Potential.load(path)


def _table() -> Traversable:
    return resources.files("elfzoo.reference").joinpath("tables", POTENTIAL)


def _potential_hash() -> str:
    """SHA-256 of the potential; a word where there is none yet, for plans can be listed without it."""
    return hashlib.sha256(_table().read_bytes()).hexdigest() if _table().is_file() else "unfitted"


def _claim_potential(folder: Path) -> None:
    """Trajectories of two potentials must not come together in one folder."""
    load_potential()
    path, mine = folder / "potential.sha256", _potential_hash()
    if not path.exists():
        write_bytes(path, [mine.encode()])
    elif path.read_text() != mine:
        raise ElfzooError(
            f"the trajectories in {folder} were run with another potential (sha256 {path.read_text()[:12]}, now "
            f"{mine[:12]}): take another folder, or delete this one to run them anew"
        )


def _whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-6


def _snapshots(out: Path, run: Run) -> Path:
    return out / "snapshots" / f"{run.name}.json"


def _run(source: FluidSource, run: Run, out: Path) -> None:
    times = source.times(run)
    found = run_dynamics(load_potential(), run.atoms, run.state.volume, source.temperature, times[-1], run.seed)
    found.save(out / "trajectories" / f"{run.name}.npz")
    frames = [round(time / STEP / EVERY) - 1 for time in times]
    record = {
        "lattice": found.lattice.tolist(),
        "times_fs": times,
        "positions": found.positions[frames].round(6).tolist(),
        "diagnostics": diagnose(found, min(source.equilibration, times[-1] / 2)).to_dict(),
    }
    write_bytes(_snapshots(out, run), [json.dumps(record).encode()])


def _snapshot(path: Path, number: int, _: Mapping[str, Any]) -> Structure:
    record = json.loads(path.read_text())
    positions = record["positions"][number]
    return Structure(record["lattice"], ["H"] * len(positions), positions, coords_are_cartesian=True, to_unit_cell=True)
