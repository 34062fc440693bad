"""Diagnostics on motions whose answers are known."""

import itertools
import json

import matplotlib.image
import numpy as np
import pytest

from elfzoo import plot
from elfzoo.errors import ElfzooError
from elfzoo.reference.diagnostics import (
    autocorrelation,
    decay_time,
    diagnose,
    diffusion,
    draw,
    energy_drift,
    integral_time,
    mean_square_displacement,
    molecular_fraction,
    neighbour_numbers,
    overlap,
    same_partner,
)
from elfzoo.reference.dynamics import Trajectory

CUBE = np.eye(3) * 6.0
STEP = 5.0  # fs between frames


def lag(curve: np.ndarray) -> np.ndarray:
    return STEP * np.arange(len(curve))


def ornstein_uhlenbeck(frames: int, atoms: int, time: float, rng: np.random.Generator) -> np.ndarray:
    keep, values = np.exp(-STEP / time), [rng.normal(size=atoms)]
    for _ in range(frames - 1):
        values.append(keep * values[-1] + np.sqrt(1 - keep**2) * rng.normal(size=atoms))
    return np.array(values)


def brownian(frames: int, atoms: int, diffusion: float, rng: np.random.Generator) -> np.ndarray:
    """Å²/ps."""
    steps = rng.normal(scale=np.sqrt(2 * diffusion * STEP / 1000), size=(frames, atoms, 3))
    return 6 * rng.random((atoms, 3)) + np.cumsum(steps, axis=0)


def trajectory(positions: np.ndarray, rng: np.random.Generator, lattice: np.ndarray = CUBE) -> Trajectory:
    count = len(positions)
    time = STEP * np.arange(1, count + 1)
    return Trajectory(lattice, positions, time, 1500 + rng.normal(size=count), -13 + 1e-3 * time, 2e-6 * time - 11)


def test_drift_of_a_straight_line():
    time = 5.0 * np.arange(40)
    assert energy_drift(time, -14.0 + 3e-6 * time) == pytest.approx(3e-3, rel=1e-6)
    assert energy_drift(time, np.full(40, -14.0)) == pytest.approx(0, abs=1e-12)


def test_displacement_of_atoms_that_fly_apart():
    """Velocities v and -v: (v t)², whatever the whole cell does."""
    count, speed = 21, np.array([0.03, -0.01, 0.02])
    flight = np.arange(count)[:, None, None] * np.array([speed, -speed])
    drift = 0.5 * np.arange(count)[:, None, None] * np.ones(3)
    moved = mean_square_displacement(flight + drift)
    np.testing.assert_allclose(moved, (speed @ speed) * np.arange(11) ** 2, atol=1e-12)
    reach = 0.3 / np.linalg.norm(speed)  # frames
    np.testing.assert_array_equal(overlap(flight + drift), (np.arange(11) < reach).astype(float))


def test_diffusion_of_a_straight_line_and_of_a_random_walk(rng):
    times = STEP * np.arange(50)
    assert diffusion(times, 0.7 + 6 * 4.0 * times / 1000) == pytest.approx(4.0)
    moved = mean_square_displacement(brownian(400, 300, 8.0, rng))
    assert diffusion(lag(moved), moved) == pytest.approx(8.0, rel=0.1)


def test_overlap_of_atoms_that_jump():
    """A quarter of the atoms is elsewhere from the middle frame on."""
    positions = np.zeros((20, 8, 3))
    positions[10:, 0, 0], positions[10:, 1, 0] = 1.0, -1.0
    stayed = overlap(positions)
    expected = [1 - 0.25 * min(n, 10, 20 - n) / (20 - n) for n in range(11)]
    np.testing.assert_allclose(stayed, expected)


def test_molecules_are_mutual_and_short(rng):
    centres = 1.5 * np.array(list(itertools.product(range(4), repeat=3)), float)
    half = 0.37 * np.array([0, 0, 1.0])
    molecules = np.concatenate([centres + half, centres - half]) + rng.integers(-2, 3, (128, 3)) * 6.0
    assert molecular_fraction(molecules[None], CUBE) == 1
    assert molecular_fraction(molecules[None], CUBE, bond=0.73) == 0
    assert molecular_fraction(centres[None], CUBE) == 0
    broken = molecules.copy()
    broken[:16] += [0.75, 0.75, 0]  # half of a molecule goes away
    assert molecular_fraction(np.stack([molecules, broken]), CUBE) == pytest.approx((1 + 96 / 128) / 2)
    chain = np.array([[0.0, 0, 0], [0.7, 0, 0], [1.5, 0, 0]])  # the third has a nearest that has a nearer one
    assert molecular_fraction(chain[None], CUBE) == pytest.approx(2 / 3)
    across = np.array([[0.1, 3, 3], [5.5, 3, 3], [3.0, 0, 0]])
    assert molecular_fraction(across[None], CUBE) == pytest.approx(2 / 3)
    assert molecular_fraction(np.array([[[-1e-18, 0, 0], [0.7, 0, 0]]]), CUBE) == 1


def test_partners_that_change_are_counted():
    """Three atoms in a row; the one in the middle goes over to the other side in the last third of the frames."""
    frames = np.array([[[0.0, 0, 0], [0.8, 0, 0], [2.0, 0, 0]]] * 8 + [[[0.0, 0, 0], [1.2, 0, 0], [2.0, 0, 0]]] * 4)
    expected = [1 - min(n, 8, 4, 12 - n) / (12 - n) / 3 for n in range(7)]
    np.testing.assert_allclose(same_partner(frames, CUBE), expected)


def test_neighbours_are_counted_as_by_brute_force(rng):
    positions = 18 * rng.random((3, 20, 3)) - 6
    apart = positions[:, :, None] - positions[:, None]
    distance = np.linalg.norm(apart - 6 * np.round(apart / 6), axis=-1)
    weight = 1 / (1 + np.exp((distance - 1.5) / 0.15))
    expected = np.where((distance > 0) & (distance < 2.25), weight, 0).sum(axis=-1)
    np.testing.assert_allclose(neighbour_numbers(positions, CUBE), expected, atol=1e-9)
    pair = np.array([[[0.0, 0, 0], [1.5, 0, 0]]])
    np.testing.assert_allclose(neighbour_numbers(pair, CUBE), [[0.5, 0.5]])


def test_autocorrelation_of_waves_with_every_phase_is_a_cosine():
    frames, atoms = np.arange(60)[:, None], np.arange(16)
    values = 3 + np.cos(0.2 * frames + 2 * np.pi * atoms / 16)
    np.testing.assert_allclose(autocorrelation(values), np.cos(0.2 * np.arange(31)), atol=1e-12)


def test_times_of_an_exponential():
    times = np.linspace(0, 2000, 4001)
    assert decay_time(times, np.exp(-times / 130)) == pytest.approx(130, rel=1e-4)
    assert integral_time(times, np.exp(-times / 130)) == pytest.approx(130, rel=1e-3)
    assert decay_time(times[:50], np.exp(-times[:50] / 130)) is None
    assert decay_time(np.array([0.0, 10.0]), np.array([1.0, 0.0])) == pytest.approx(10 * (1 - np.exp(-1)))
    assert integral_time(times, np.maximum(1 - times / 100, -0.2)) == pytest.approx(50, rel=1e-3)


def test_times_of_a_random_process(rng):
    curve = autocorrelation(ornstein_uhlenbeck(600, 400, 60.0, rng))
    assert decay_time(lag(curve), curve) == pytest.approx(60, rel=0.1)
    assert integral_time(lag(curve), curve) == pytest.approx(60, rel=0.15)


def test_a_trajectory_has_all_of_it(rng):
    walk = trajectory(brownian(120, 40, 20.0, rng), rng)
    found = diagnose(walk, equilibration=100.0)
    assert (found.frames, found.atoms) == (100, 40)
    assert found.temperature == pytest.approx(1500, abs=1)
    assert found.temperature_std == pytest.approx(1, abs=0.3)
    assert found.potential_energy == pytest.approx(-13 + 1e-3 * walk.time[20:].mean())
    assert found.energy_drift == pytest.approx(2e-3, rel=1e-6)
    assert found.diffusion == pytest.approx(20, rel=0.3)
    assert (
        len(found.lag)
        == len(found.overlap)
        == len(found.structure)
        == len(found.displacement)
        == len(found.partner)
        == 51
    )
    assert found.lag[1] == STEP
    assert found.overlap_decay is not None and found.structure_decay is not None
    assert 0 < found.structure_integral < found.lag[-1]
    assert found.peak[0] < 1
    assert 0 <= found.molecular_fraction <= 1
    again = json.loads(json.dumps(found.to_dict()))
    assert again["overlap"] == list(found.overlap)
    assert again.keys() == vars(found).keys()


def test_the_bond_of_molecules_is_the_peak(rng):
    centres = 1.5 * np.array(list(itertools.product(range(4), repeat=3)), float)
    half = 0.37 * np.ones(3) / np.sqrt(3)
    frames = np.concatenate([centres + half, centres - half]) + 0.02 * rng.normal(size=(20, 128, 3))
    found = diagnose(trajectory(frames, rng))
    assert found.peak[0] == pytest.approx(0.74, abs=0.03)
    assert found.peak[1] > 2
    assert found.molecular_fraction == 1
    assert found.overlap_decay is None and found.partner_decay is None
    assert found.overlap_integral == pytest.approx(found.lag[-1])


def test_what_has_no_answer_is_refused(rng):
    walk = trajectory(brownian(20, 10, 5.0, rng), rng)
    with pytest.raises(ElfzooError, match=r"four frames after 90\.0 fs; got 2"):
        diagnose(walk, equilibration=90.0)
    with pytest.raises(ElfzooError, match="expected a cube"):
        diagnose(trajectory(walk.positions, rng, np.diag([6.0, 6.0, 7.0])))
    with pytest.raises(ElfzooError, match="all the same"):
        autocorrelation(np.ones((10, 3)))
    with pytest.raises(ElfzooError, match=r"twice as wide; got 3\.00"):
        neighbour_numbers(walk.positions, np.eye(3) * 3.0)


def test_the_figure_has_a_column_for_each_state(rng, monkeypatch, tmp_path):
    states = {
        title: {name: trajectory(brownian(40, 10, 20.0, rng), rng) for name in names}
        for title, names in (("76 GPa", "AB"), ("138 GPa", "ABC"))
    }
    figures, save = [], plot.save_figure
    monkeypatch.setattr(plot, "DPI", 50)
    monkeypatch.setattr(plot, "save_figure", lambda figure, path: figures.append(figure) or save(figure, path))
    path = draw(states, tmp_path / "fluid.png", equilibration=50.0)
    assert matplotlib.image.imread(path).ndim == 3
    axes = np.array(figures[0].axes).reshape(4, 2)
    assert [panel.get_title() for panel in axes[0]] == ["76 GPa", "138 GPa"]
    assert [text.get_text() for text in axes[0, 1].get_legend().get_texts()] == ["A", "B", "C"]
    for row, per_trajectory in zip(
        axes, (1, 1, 1, 2), strict=True
    ):  # a line per trajectory, and at most one that marks something
        assert [sum(len(line.get_xdata()) > 2 for line in panel.lines) for panel in row] == [
            2 * per_trajectory,
            3 * per_trajectory,
        ]
    np.testing.assert_array_equal(axes[0, 0].lines[0].get_ydata(), states["76 GPa"]["A"].temperature)
    late = states["76 GPa"]["B"].potential_energy
    np.testing.assert_allclose(axes[1, 0].lines[1].get_ydata(), 1000 * (late - late[10:].mean()), atol=1e-9)
    found = diagnose(states["138 GPa"]["C"], 50.0)
    np.testing.assert_array_equal(axes[2, 1].lines[2].get_ydata(), found.pair_distribution)
    np.testing.assert_array_equal(axes[3, 1].lines[4].get_ydata(), found.overlap)
    (mark,) = axes[2, 0].patches
    assert mark.get_extents().transformed(axes[2, 0].transData.inverted()).intervalx == pytest.approx([0.73, 0.75])


def test_figures_of_nothing_or_of_another_kind_are_refused(tmp_path):
    with pytest.raises(ElfzooError, match="at least one state"):
        draw({}, tmp_path / "fluid.png")
    with pytest.raises(ElfzooError, match="ends in"):
        draw({}, tmp_path / "fluid.jpg")
    assert not list(tmp_path.iterdir())
