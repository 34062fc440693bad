"""Molecular dynamics of dense hydrogen with the fitted potential, and what shows that it is equilibrated."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.md.velocitydistribution import Stationary
from jaxtyping import Float

from elfzoo.errors import ElfzooError
from elfzoo.io.files import write_bytes
from elfzoo.reference.calculator import PotentialCalculator
from elfzoo.reference.molecular import molecular_fluid, separations
from elfzoo.reference.potential import Potential, one_thread

__all__ = ["Trajectory", "cube_edge", "pair_distribution", "run_dynamics"]

STEP = 0.5  # fs
EVERY = 10  # steps between stored frames
THERMOSTAT = 50.0  # fs
CLOSEST = 0.4  # angstrom; nearer than this the potential knows nothing


@dataclass(frozen=True)
class Trajectory:
    """Frames of one run.

    Attributes:
        lattice: (3, 3), Å.
        positions: (frames, atoms, 3), Å, not wrapped.
        time: (frames,), fs.
        temperature: (frames,), K.
        potential_energy: (frames,), eV per atom.
        conserved: (frames,), eV per atom: total energy less what the thermostat gave; its drift is the integrator's.
    """

    lattice: Float[np.ndarray, "3 3"]
    positions: Float[np.ndarray, "frames atoms 3"]
    time: Float[np.ndarray, " frames"]
    temperature: Float[np.ndarray, " frames"]
    potential_energy: Float[np.ndarray, " frames"]
    conserved: Float[np.ndarray, " frames"]

    def save(self, path: Path) -> None:
        """Write a compressed .npz, whole or not at all."""
        buffer = io.BytesIO()
        small = {k: v.astype(np.float32) for k, v in vars(self).items() if k != "lattice"}
        np.savez_compressed(buffer, lattice=self.lattice, **small)
        write_bytes(path, [buffer.getvalue()])

    @classmethod
    def load(cls, path: Path) -> Trajectory:
        """Read what :meth:`save` wrote.

        Raises:
            ElfzooError: missing, damaged, or not a trajectory.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                return cls(**{key: data[key].astype(np.float64) for key in data.files})
        except OSError as error:
            raise ElfzooError(f"cannot read the trajectory {path}: {error.strerror or error}") from error
        except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise ElfzooError(f"{path} is damaged or no trajectory; delete it and run again: {error}") from error


def run_dynamics(
    potential: Potential,
    atoms: int,
    volume_per_atom: float,
    temperature: float,
    duration: float,
    seed: int,
    stop_at_collision: bool = False,
) -> Trajectory:
    """NVT dynamics with stochastic velocity rescaling (Bussi et al., JCP 126, 014101, 2007) from a molecular fluid.

    Args:
        potential: eV and Å.
        atoms: even number of H in a cube.
        volume_per_atom: Å³.
        temperature: K.
        duration: fs, cut to whole frames, each EVERY steps of STEP after the one before; the first is one of these
            after the start.
        seed: of start, velocities and thermostat.
        stop_at_collision: end there instead of raising: the last frame is then one that the potential should learn.

    Raises:
        ElfzooError: no even number of atoms, a duration shorter than one frame, two atoms that came closer than the
            potential can know about, or forces that are not finite.
    """
    steps = int(duration / STEP / EVERY + 1e-6)
    if atoms < 2 or atoms % 2 or steps < 1:
        raise ElfzooError(
            f"dynamics need an even number of atoms and at least {EVERY * STEP} fs; got {atoms} and {duration} fs"
        )
    rng = np.random.default_rng(seed)
    lattice, positions = molecular_fluid(atoms // 2, volume_per_atom, temperature, rng)
    system = Atoms(f"H{atoms}", positions=positions, cell=lattice, pbc=True, calculator=PotentialCalculator(potential))
    thermal = np.sqrt(system.get_masses() * units.kB * temperature)
    system.set_momenta(rng.standard_normal((atoms, 3)) * thermal[:, None])
    Stationary(system)
    motion = Bussi(system, STEP * units.fs, temperature, THERMOSTAT * units.fs, rng=rng)
    rows: list[tuple[np.ndarray, float, float, float, float]] = []
    with one_thread():
        for _ in range(steps):
            motion.run(EVERY)
            rows.append(_row(system, motion, len(rows)))
            closest = _closest(rows[-1][0], lattice)
            if closest < CLOSEST and stop_at_collision:
                break
            if closest < CLOSEST:
                raise ElfzooError(
                    f"in the dynamics with seed {seed} two atoms came to {closest:.2f} Å after {rows[-1][1]:.0f} fs: "
                    "the potential was not fitted well enough there"
                )
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Trajectory(lattice, *columns)


def cube_edge(lattice: np.ndarray) -> float:
    """Edge of a cubic cell, Å.

    Raises:
        ElfzooError: it is no cube along the axes.
    """
    edge = float(lattice[0, 0])
    if not np.allclose(lattice, edge * np.eye(3), atol=1e-9 * edge):
        raise ElfzooError(f"expected a cube along the axes; got the lattice {lattice.round(4).tolist()}")
    return edge


def pair_distribution(
    frames: Float[np.ndarray, "frames atoms 3"], lattice: Float[np.ndarray, "3 3"], bins: int = 100
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """Radii, Å, up to half the edge of the cube, and g(r) averaged over the frames.

    Raises:
        ElfzooError: the cell is no cube along the axes, there are no frames, or fewer than two atoms.
    """
    edge, atoms = cube_edge(lattice), frames.shape[1]
    if len(frames) == 0 or atoms < 2:
        raise ElfzooError(f"g(r) needs frames of two atoms or more; got {len(frames)} frames of {atoms}")
    edges = np.linspace(0, edge / 2, bins + 1)
    upper = np.triu_indices(atoms, 1)
    counts = np.zeros(bins)
    for frame in frames:
        counts += np.histogram(separations(frame, edge)[1][upper], edges)[0]
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    expected = len(frames) * atoms * (atoms - 1) / 2 * shells / edge**3
    return (edges[1:] + edges[:-1]) / 2, counts / expected


def _row(system: Atoms, motion: Bussi, index: int) -> tuple[np.ndarray, float, float, float, float]:
    atoms = len(system)
    conserved = system.get_total_energy() - motion.transferred_energy
    time = (index + 1) * EVERY * STEP
    energy = system.get_potential_energy()
    return system.get_positions(), time, system.get_temperature(), energy / atoms, conserved / atoms


def _closest(positions: np.ndarray, lattice: np.ndarray) -> float:
    _, distance = separations(positions, cube_edge(lattice))
    np.fill_diagonal(distance, np.inf)
    return float(distance.min())
