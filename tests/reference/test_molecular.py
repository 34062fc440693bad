"""The classical fluid of molecules: bonds, forces that are a gradient, no trace of the lattice it starts from."""

import itertools

import numpy as np
import pytest

from elfzoo.reference.dynamics import pair_distribution
from elfzoo.reference.molecular import (
    BOLTZMANN,
    BOND,
    DECAY,
    LARGEST,
    MASS,
    REPULSION,
    STIFFNESS,
    _forces,
    _start,
    molecular_fluid,
)


def energy(positions: np.ndarray, edge: float) -> float:
    """Harmonic bonds; between molecules an exponential that goes on straight where its slope is the largest allowed."""
    half, total = len(positions) // 2, 0.0
    for i, j in itertools.combinations(range(len(positions)), 2):
        apart = positions[i] - positions[j]
        r = np.linalg.norm(apart - edge * np.round(apart / edge))
        corner = np.log(REPULSION * DECAY / LARGEST) / DECAY
        if j == i + half:
            total += 0.5 * STIFFNESS * (r - BOND) ** 2
        elif r > corner:
            total += REPULSION * np.exp(-DECAY * r)
        else:
            total += REPULSION * np.exp(-DECAY * corner) + LARGEST * (corner - r)
    return total


@pytest.fixture(scope="module")
def fluid() -> tuple[np.ndarray, np.ndarray]:
    return molecular_fluid(32, 2.61, 1500.0, np.random.default_rng(3))


def bonds(lattice: np.ndarray, positions: np.ndarray) -> np.ndarray:
    half = len(positions) // 2
    apart = positions[:half] - positions[half:]
    return np.linalg.norm(apart - lattice[0, 0] * np.round(apart / lattice[0, 0]), axis=1)


def test_the_cell_is_a_cube_of_the_volume_wanted(fluid):
    lattice, positions = fluid
    np.testing.assert_allclose(lattice, np.eye(3) * (64 * 2.61) ** (1 / 3))
    assert positions.shape == (64, 3)
    assert (positions >= 0).all() and (positions <= lattice[0, 0]).all()


def test_bonds_have_their_length_and_thermal_spread(fluid):
    lengths = bonds(*fluid)
    spread = np.sqrt(BOLTZMANN * 1500 / STIFFNESS)  # 0.06 Å; the neighbours push a little
    assert BOND - 0.1 < lengths.mean() < BOND + 0.03  # the fluid presses on them
    assert 0.5 * spread < lengths.std() < 2 * spread


def test_the_mass_is_that_of_a_proton():
    seconds_per_fs, ev, dalton = 1e-15, 1.602176634e-19, 1.66053907e-27
    assert pytest.approx(1.008 * dalton * 1e-20 / (ev * seconds_per_fs**2), rel=1e-5) == MASS


def test_the_seed_decides():
    runs = [molecular_fluid(4, 2.6, 1500.0, np.random.default_rng(seed), steps=20)[1] for seed in (0, 0, 1)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])


def test_forces_are_the_negative_gradient():
    edge, step = 4.0, 1e-6
    positions = _start(6, edge, np.random.default_rng(0))
    positions += np.random.default_rng(1).normal(scale=0.2, size=positions.shape)
    found = _forces(positions, edge)
    np.testing.assert_allclose(found.sum(axis=0), 0, atol=1e-10)
    for atom, axis in itertools.product((0, 3, 8), range(3)):
        up, down = positions.copy(), positions.copy()
        up[atom, axis] += step
        down[atom, axis] -= step
        assert found[atom, axis] == pytest.approx(-(energy(up, edge) - energy(down, edge)) / (2 * step), abs=1e-5)


def test_atoms_very_close_to_each_other_push_with_the_largest_force_only():
    positions = np.array([[1.0, 1, 1], [3, 3, 3], [1 + BOND, 1, 1], [3, 3, 3 + BOND]])
    positions[1] = positions[0] + [0, 0.05, 0]
    positions[3] = positions[1] + [0, BOND, 0]
    assert np.linalg.norm(_forces(positions, 9.0)[0]) < 3 * LARGEST


def order(lattice: np.ndarray, centres: np.ndarray, side: int) -> float:
    """|structure factor| / N, averaged over the three Bragg peaks of the cubic lattice that it began with."""
    waves = np.exp(2j * np.pi * side * centres / lattice[0, 0]).mean(axis=0)
    return float(np.abs(waves).mean())


def test_nothing_is_left_of_the_lattice(fluid):
    lattice, positions = fluid
    half, edge = 32, lattice[0, 0]
    apart = positions[half:] - positions[:half]
    centres = positions[:half] + 0.5 * (apart - edge * np.round(apart / edge))
    start = _start(64, edge, np.random.default_rng(0))
    assert order(lattice, 0.5 * (start[:64] + start[64:]), 4) == pytest.approx(1)
    assert order(lattice, centres, 4) < 0.4  # 32 places at random: about 0.16
    radius, g = pair_distribution(positions[None], lattice, bins=14)
    assert g[(radius > 0.6) & (radius < 0.85)].max() > 1.5  # the bonds
    assert ((g[radius > 1.4] > 0.5) & (g[radius > 1.4] < 2)).all()
