"""Dynamics with potentials that are known in closed form, and g(r) of gases and lattices that are."""

import itertools

import numpy as np
import pytest
import torch

from elfzoo.errors import ElfzooError
from elfzoo.reference import dynamics
from elfzoo.reference.dynamics import EVERY, STEP, Trajectory, pair_distribution, run_dynamics
from elfzoo.reference.molecular import BOND, STIFFNESS, molecular_fluid
from elfzoo.reference.potential import Potential, PotentialConfig, neighbours

SHORT = PotentialConfig(r_cut=2.4, n_radial=2, l_max=0, hidden=(1,))


class Molecules(Potential):
    """Harmonic bonds between atoms i and i + N/2, and a soft repulsion that ends smoothly at the cutoff."""

    def forward(self, positions, centre, other, shift):
        r = (positions[other] + shift - positions[centre]).norm(dim=1)
        bonded = ((centre - other).abs() == len(positions) // 2) & (r < 1.4)
        pairs = torch.where(bonded, STIFFNESS / 2 * (r - BOND) ** 2, 20 * (1 - r / 2.4).clamp(min=0) ** 3)
        return torch.zeros_like(positions[:, 0]).index_add(0, centre, 0.5 * pairs)


class Attraction(Potential):
    """Atoms fall onto each other."""

    def forward(self, positions, centre, other, shift):
        r = (positions[other] + shift - positions[centre]).norm(dim=1)
        return torch.zeros_like(positions[:, 0]).index_add(0, centre, -40 * (1 - r / 2.4).clamp(min=0) ** 2)


@pytest.fixture(autouse=True)
def short_start(monkeypatch):
    monkeypatch.setattr(dynamics, "molecular_fluid", lambda *args: molecular_fluid(*args, steps=300))


@pytest.fixture(scope="module")
def run() -> Trajectory:
    return run_dynamics(Molecules(SHORT), 32, 2.8, 1500.0, 400.0, seed=5)


def test_frames_and_their_times(run):
    assert run.positions.shape == (80, 32, 3)
    np.testing.assert_allclose(run.time, EVERY * STEP * np.arange(1, 81))
    np.testing.assert_allclose(run.lattice, np.eye(3) * (32 * 2.8) ** (1 / 3))
    steps = np.linalg.norm(np.diff(run.positions, axis=0), axis=-1)
    assert steps.max() < 1.5  # never wrapped


def test_the_potential_energy_is_that_of_the_stored_frame(run):
    for frame in (0, 40, 79):
        x = torch.from_numpy(run.positions[frame])
        expected = float(Molecules(SHORT)(x, *neighbours(run.positions[frame], run.lattice, 2.4)).sum()) / 32
        assert run.potential_energy[frame] == pytest.approx(expected, abs=1e-5)


def test_energy_is_conserved_but_for_what_the_thermostat_gave(run):
    """Bonds of 0.83 rad/fs swing by a few 1e-4 eV with the integrator's (omega dt)^2 / 8, and nothing drifts."""
    kinetic = 1.5 * 8.617333e-5 * run.temperature
    exchanged = (run.potential_energy + kinetic).std()
    assert run.conserved.std() < 1.5e-3  # eV per atom
    assert exchanged > 10 * run.conserved.std()
    assert abs(np.polyfit(run.time, run.conserved, 1)[0]) * 1000 < 3e-3  # eV per atom and ps


def test_the_temperature_is_that_of_the_thermostat(run):
    late = run.temperature[20:]
    spread = 1500 * np.sqrt(2 / (3 * 32))
    assert late.mean() == pytest.approx(1500, abs=4 * spread / np.sqrt(300 / 100))
    assert 0.4 * spread < late.std() < 2 * spread


def test_the_seed_decides():
    runs = [run_dynamics(Molecules(SHORT), 8, 2.8, 1500.0, 20.0, seed=seed) for seed in (1, 1, 2)]
    for name in vars(runs[0]):
        assert np.array_equal(getattr(runs[0], name), getattr(runs[1], name))
    assert not np.allclose(runs[0].positions, runs[2].positions)


def test_threads_are_left_as_they_were():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    run_dynamics(Molecules(SHORT), 8, 2.8, 1500.0, 5.0, seed=0)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_a_collision_is_an_error_or_the_end():
    with pytest.raises(ElfzooError, match=r"seed 3 two atoms came to 0\.\d\d Å after \d+ fs: .* not fitted well"):
        run_dynamics(Attraction(SHORT), 16, 2.8, 1500.0, 200.0, seed=3)
    run = run_dynamics(Attraction(SHORT), 16, 2.8, 1500.0, 200.0, seed=3, stop_at_collision=True)
    closest = [dynamics._closest(frame, run.lattice) for frame in run.positions]
    assert 1 <= len(run.time) < 40
    assert closest[-1] < dynamics.CLOSEST
    assert all(distance >= dynamics.CLOSEST for distance in closest[:-1])


def test_durations_that_are_no_binary_fractions_lose_no_frame():
    assert len(run_dynamics(Molecules(SHORT), 4, 2.8, 1500.0, 5 * 3 * (0.1 * 3 / 0.3), seed=0).time) == 3
    assert len(run_dynamics(Molecules(SHORT), 4, 2.8, 1500.0, 14.9999999, seed=0).time) == 3
    assert len(run_dynamics(Molecules(SHORT), 4, 2.8, 1500.0, 14.0, seed=0).time) == 2


@pytest.mark.parametrize(("atoms", "duration"), [(7, 20.0), (0, 20.0), (8, 4.0)])
def test_what_cannot_be_run_is_refused(atoms, duration):
    with pytest.raises(ElfzooError, match=f"got {atoms} and {duration} fs"):
        run_dynamics(Molecules(SHORT), atoms, 2.8, 1500.0, duration, seed=0)


def test_saving_and_loading(run, tmp_path):
    run.save(tmp_path / "t.npz")
    found = Trajectory.load(tmp_path / "t.npz")
    assert np.array_equal(found.lattice, run.lattice)
    for name in ("positions", "time", "temperature", "potential_energy", "conserved"):
        assert getattr(found, name).dtype == np.float64
        np.testing.assert_allclose(getattr(found, name), getattr(run, name), rtol=1e-6)
    assert [p.name for p in tmp_path.iterdir()] == ["t.npz"]


def test_files_that_are_no_trajectory_are_refused(run, tmp_path):
    path = tmp_path / "t.npz"
    with pytest.raises(ElfzooError, match="cannot read the trajectory"):
        Trajectory.load(path)
    run.save(path)
    for content in (path.read_bytes()[:-100], path.read_bytes()[:300], b"PK\x03\x04", b"text", b""):
        path.write_bytes(content)
        with pytest.raises(ElfzooError, match="no trajectory"):
            Trajectory.load(path)
    np.savez(path, elf=np.zeros(3))
    with pytest.raises(ElfzooError, match="no trajectory"):
        Trajectory.load(path)


def test_g_of_an_ideal_gas_is_one(rng):
    edge = 5.0
    frames = edge * rng.random((60, 80, 3)) + edge * rng.integers(-2, 3, (60, 80, 3))  # wherever atoms have gone
    radius, g = pair_distribution(frames, np.eye(3) * edge, bins=20)
    assert radius[0] == pytest.approx(edge / 80)
    assert radius[-1] == pytest.approx(edge / 2 - edge / 80)
    pairs = 60 * 80 * 79 / 2 * 4 * np.pi * radius**2 * (edge / 40) / edge**3
    late = pairs > 50
    assert (np.abs(g - 1)[late] < 5 / np.sqrt(pairs[late])).all()


def test_g_of_a_lattice_has_its_shells():
    """Simple cubic: 6, 12, 8, 6, 24, 24 neighbours at a, √2 a, √3 a, 2 a, √5 a, √6 a."""
    a, side = 1.1, 5
    sites = a * np.array(list(itertools.product(range(side), repeat=3)), float)
    radius, g = pair_distribution(sites[None] + 0.3, np.eye(3) * a * side, bins=97)
    width = radius[1] - radius[0]
    shells = 4 / 3 * np.pi * ((radius + width / 2) ** 3 - (radius - width / 2) ** 3)
    neighbours_at = g * shells * (side**3 - 1) / (a * side) ** 3
    found = {round(float(r), 2): round(float(n), 6) for r, n in zip(radius, neighbours_at, strict=True) if n > 0}
    assert list(found.values()) == [6, 12, 8, 6, 24, 24]
    np.testing.assert_allclose(list(found), a * np.sqrt([1, 2, 3, 4, 5, 6]), atol=width)


def test_g_is_for_cubes_with_atoms():
    with pytest.raises(ElfzooError, match="expected a cube"):
        pair_distribution(np.zeros((1, 2, 3)), np.diag([3.0, 3.0, 4.0]))
    with pytest.raises(ElfzooError, match="0 frames of 2"):
        pair_distribution(np.zeros((0, 2, 3)), np.eye(3))
    with pytest.raises(ElfzooError, match="1 frames of 1"):
        pair_distribution(np.zeros((1, 1, 3)), np.eye(3))
