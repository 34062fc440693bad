"""A classical fluid of H2 molecules: where molecular dynamics of dense hydrogen starts.

Harmonic bonds and an exponential repulsion between the atoms of different molecules, Langevin dynamics. It is no model
of dense hydrogen; a picosecond of it takes a second and leaves no trace of the lattice that it began with, so that
every trajectory starts from molecules at random places and directions.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

__all__ = ["molecular_fluid", "separations"]

BOLTZMANN = 8.617333262e-5  # eV/K
MASS = 1.008 * 103.642697  # eV fs²/Å²
BOND, STIFFNESS = 0.745, 36.0  # Å, eV/Å²
REPULSION, DECAY, LARGEST = 60.0, 2.9, 30.0  # eV, 1/Å, eV/Å
STEP, FRICTION = 0.5, 0.02  # fs, 1/fs


def molecular_fluid(
    molecules: int, volume_per_atom: float, temperature: float, rng: np.random.Generator, steps: int = 2000
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "atoms 3"]]:
    """Lattice (3, 3) of a cube and positions (2 x molecules, 3), Å; atoms i and i + molecules are bonded.

    Args:
        molecules: number of H2.
        volume_per_atom: Å³.
        temperature: K.
        rng: source of randomness.
        steps: of 0.5 fs.
    """
    edge = (2 * molecules * volume_per_atom) ** (1 / 3)
    positions = _start(molecules, edge, rng)
    thermal = BOLTZMANN * temperature / MASS
    velocities = rng.normal(size=positions.shape) * np.sqrt(thermal)
    forces, keep = _forces(positions, edge), np.exp(-FRICTION * STEP)
    for _ in range(steps):
        velocities += 0.5 * STEP * forces / MASS
        positions += 0.5 * STEP * velocities
        velocities = keep * velocities + np.sqrt((1 - keep**2) * thermal) * rng.normal(size=positions.shape)
        positions += 0.5 * STEP * velocities
        forces = _forces(positions, edge)
        velocities += 0.5 * STEP * forces / MASS
    return np.eye(3) * edge, positions % edge


def separations(
    positions: Float[np.ndarray, "atoms 3"], edge: float
) -> tuple[Float[np.ndarray, "atoms atoms 3"], Float[np.ndarray, "atoms atoms"]]:
    """Vectors from the second atom to the nearest image of the first in a cube, and their lengths, Å."""
    apart = positions[:, None] - positions[None]
    apart -= edge * np.round(apart / edge)
    return apart, np.sqrt((apart**2).sum(-1))


def _start(molecules: int, edge: float, rng: np.random.Generator) -> np.ndarray:
    side = int(np.ceil(molecules ** (1 / 3)))
    sites = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    centres = (rng.permutation(sites)[:molecules] + 0.5) * edge / side
    directions = rng.normal(size=(molecules, 3))
    half = 0.5 * BOND * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return np.concatenate([centres + half, centres - half])


def _forces(positions: np.ndarray, edge: float) -> np.ndarray:
    count = len(positions) // 2
    first, second = np.arange(count), np.arange(count) + count
    apart, distance = separations(positions, edge)
    np.fill_diagonal(distance, np.inf)
    distance[first, second] = distance[second, first] = np.inf
    size = np.minimum(REPULSION * DECAY * np.exp(-DECAY * distance), LARGEST)
    forces = ((size / distance)[..., None] * apart).sum(1)
    bonds = apart[first, second]
    length = np.linalg.norm(bonds, axis=1, keepdims=True)
    pull = -STIFFNESS * (length - BOND) / length * bonds
    forces[first] += pull
    forces[second] -= pull
    return forces
