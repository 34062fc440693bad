"""Fit the potential of the fluid: rounds of dynamics, DFT forces on what it visited, and a new fit.

The first round starts from classical molecular fluids, some of them shaken; every later one from the dynamics of the
potential so far, half of it hotter than the fluid that is wanted. A frame of DFT forces is one file, so the work goes
on where it stopped.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from elfzoo.config import config_class, read_yaml
from elfzoo.errors import ConfigError
from elfzoo.io.files import write_bytes
from elfzoo.progress import progress_bar
from elfzoo.reference.dynamics import run_dynamics
from elfzoo.reference.engines import Settings
from elfzoo.reference.engines.espresso import EspressoEngine
from elfzoo.reference.engines.process import stop_all_until
from elfzoo.reference.molecular import molecular_fluid
from elfzoo.reference.potential import FitConfig, Frame, Potential, PotentialConfig, fit

__all__ = ["FramesConfig", "Plan", "fit_potential", "read_frames", "read_plan"]

SHAKE = 0.12  # angstrom


@config_class
class FramesConfig:
    """Where the potential learns.

    Args:
        label: how forces are computed.
        volumes: Å³ per atom, those of the fluid and beyond on both sides.
        atoms: in the cube.
        rounds: of dynamics, forces and fit.
        per_round: frames of one round, a multiple of ``runs``; every eighth validates.
        runs: of dynamics in one round, each at one of the volumes, every other set of volumes hot.
        temperature: K, of the fluid.
        hot: K, of every second run.
        interval: fs, between the frames that are taken from a run.
        seed: of everything.
    """

    label: Settings
    volumes: tuple[float, ...]
    atoms: int = 64
    rounds: int = 4
    per_round: int = 48
    runs: int = 12
    temperature: float = 1500.0
    hot: float = 3000.0
    interval: float = 100.0
    seed: int = 7

    def __post_init__(self) -> None:
        if self.label.engine != "espresso":
            raise ConfigError(f"forces of training frames come from the engine 'espresso'; got {self.label.engine!r}")
        if not (self.volumes and self.rounds >= 1 and self.runs >= 1 and self.per_round % self.runs == 0):
            raise ConfigError(
                "frames need volumes, at least one round, and as many frames per round as make a multiple of the runs; "
                f"got {len(self.volumes)} volumes, {self.rounds} rounds, {self.per_round} frames, {self.runs} runs"
            )


@config_class
class Plan:
    """How the potential is made: frames to learn from, its shape, and the fit."""

    frames: FramesConfig
    potential: PotentialConfig
    fit: FitConfig


def read_plan(path: Path | None = None) -> Plan:
    """The plan in a YAML file; elfzoo's own by default."""
    if path is not None:
        return read_yaml(Plan, path)
    with resources.as_file(resources.files("elfzoo.reference").joinpath("tables", "potential.yaml")) as own:
        return read_yaml(Plan, own)


def fit_potential(
    plan: Plan, out: Path, workers: int = 1, show_progress: bool | None = None
) -> tuple[Potential, list[dict[str, float]]]:
    """Carry out all rounds; what is in ``out`` already is taken from there.

    Returns:
        The potential of the last round, and the errors of every round on its validation frames.

    Raises:
        EngineError: the engine is not installed.
        ElfzooError: so many calculations failed that no frames are left to train or to validate.
    """
    EspressoEngine().version()  # else every frame would be recorded as a failure
    config = plan.frames
    errors = []
    potential: Potential | None = None
    for index in range(config.rounds):
        folder = out / f"round{index}"
        folder.mkdir(parents=True, exist_ok=True)
        _compute_forces(config, _frames_wanted(config, index, potential, folder), folder, workers, show_progress)
        weights, found_errors = folder / "potential.safetensors", folder / "errors.json"
        if not (weights.exists() and found_errors.exists()):
            frames = [read_frames(out / f"round{i}") for i in range(index + 1)]
            train, val = ([f for part in frames for f in part[which]] for which in ("train", "val"))
            found, error = fit(train, val, plan.potential, plan.fit, show_progress=show_progress)
            write_bytes(found_errors, [json.dumps({"frames": len(train), **error}).encode()])
            found.save(weights)
        errors.append(json.loads(found_errors.read_text()))
        potential = Potential.load(weights)
    assert potential is not None
    return potential, errors


def read_frames(folder: Path) -> dict[str, list[Frame]]:
    """The frames of one round, ``"train"`` and ``"val"``; failed ones are left out."""
    frames: dict[str, list[Frame]] = {"train": [], "val": []}
    for path in sorted(folder.glob("frame*.npz")):
        with np.load(path, allow_pickle=False) as data:
            if "forces" not in data:
                continue
            frame = Frame(data["positions"], data["lattice"], float(data["energy"]), data["forces"])
        frames["val" if int(path.stem.removeprefix("frame")) % 8 == 7 else "train"].append(frame)
    return frames


def _frames_wanted(
    config: FramesConfig, index: int, potential: Potential | None, folder: Path
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(lattice, positions) of the frames of a round, kept in a file so that a resumed run has the same."""
    path = folder / "wanted.npz"
    if not path.exists():
        frames = [frame for run in range(config.runs) for frame in _run_frames(config, index, run, potential)]
        buffer = io.BytesIO()
        np.savez(buffer, lattices=np.array([f[0] for f in frames]), positions=np.array([f[1] for f in frames]))
        write_bytes(path, [buffer.getvalue()])
    with np.load(path, allow_pickle=False) as data:
        return list(zip(data["lattices"], data["positions"], strict=True))


def _run_frames(
    config: FramesConfig, index: int, run: int, potential: Potential | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames of one run: classical ones in the first round, then those that the dynamics visits."""
    volume = config.volumes[run % len(config.volumes)]
    hot = run // len(config.volumes) % 2 == 1
    temperature = config.hot if hot else config.temperature
    count = config.per_round // config.runs
    seed = config.seed + 1000 * index + run
    if potential is None:
        return [_classical_frame(config, volume, temperature, hot, 100 * seed + number) for number in range(count)]
    duration = count * config.interval
    visited = run_dynamics(potential, config.atoms, volume, temperature, duration, seed, stop_at_collision=True)
    chosen = np.linspace(0, len(visited.time) - 1, count + 1).round().astype(int)[1:]
    return [(visited.lattice, visited.positions[frame]) for frame in np.unique(chosen)]  # fewer after a collision


def _classical_frame(
    config: FramesConfig, volume: float, temperature: float, shaken: bool, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lattice, positions = molecular_fluid(config.atoms // 2, volume, temperature, rng)
    return lattice, positions + shaken * rng.normal(scale=SHAKE, size=positions.shape)


def _compute_forces(
    config: FramesConfig,
    wanted: Sequence[tuple[np.ndarray, np.ndarray]],
    folder: Path,
    workers: int,
    show_progress: bool | None,
) -> None:
    left = [i for i in range(len(wanted)) if not (folder / f"frame{i:03d}.npz").exists()]
    pool = ThreadPoolExecutor(workers)
    with progress_bar(f"DFT forces, {folder.name}", len(wanted), show_progress) as advance:
        advance(len(wanted) - len(left))
        frames = [pool.submit(_one, config, *wanted[i], folder / f"frame{i:03d}.npz") for i in left]
        try:
            for frame in frames:
                frame.result()
                advance(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all_until(lambda: all(frame.done() for frame in frames))
            raise
        finally:
            pool.shutdown(wait=True)


def _one(config: FramesConfig, lattice: np.ndarray, positions: np.ndarray, path: Path) -> None:
    """Forces of one frame into one file; a failure is a file too, with its reason."""
    from elfzoo.reference.engines import EngineError

    structure = Structure(lattice, ["H"] * len(positions), positions, coords_are_cartesian=True)
    content: dict[str, Any] = {"lattice": lattice, "positions": positions}
    with tempfile.TemporaryDirectory(prefix=f"{path.stem}.", dir=path.parent) as scratch:
        try:
            forces, pressure, energy = EspressoEngine().forces(structure, config.label, Path(scratch))
            content |= {"forces": forces, "energy": energy, "pressure": pressure}
        except EngineError as error:
            content["reason"] = str(error)
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    write_bytes(path, [buffer.getvalue()])
