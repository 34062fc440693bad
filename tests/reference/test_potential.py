"""The potential: exact neighbours in any cell, forces that are its gradient, whole files, a fit that learns."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from elfzoo.errors import ElfzooError, WeightsError
from elfzoo.reference.fluid import load_potential
from elfzoo.reference.potential import (
    COULOMB,
    SCREENING,
    ZBL,
    FitConfig,
    Frame,
    Potential,
    PotentialConfig,
    evaluate,
    fit,
    neighbours,
    nuclear_repulsion,
    one_thread,
)
from elfzoo.reference.training_frames import read_frames
from elfzoo.transforms.power_spectrum import power_spectrum

SMALL = PotentialConfig(r_cut=2.5, n_radial=5, l_max=3, hidden=(12,))
CELLS = {
    "large": np.diag([6.0, 6.5, 7.0]),
    "cube below the cutoff": np.eye(3) * 1.9,
    "skewed, below the cutoff": np.array([[2.0, 0, 0], [1.7, 1.2, 0], [0.3, 0.5, 1.6]]),
}


@pytest.fixture(autouse=True)
def one_core():
    with one_thread():
        yield


def make(config: PotentialConfig = SMALL, seed: int = 0) -> Potential:
    torch.manual_seed(seed)
    return Potential(config).double()


def random_positions(lattice: np.ndarray, atoms: int, seed: int = 0) -> np.ndarray:
    """Anywhere, some outside of the cell, no two closer than 0.45 Å."""
    rng = np.random.default_rng(seed)
    while True:
        positions = (3 * rng.random((atoms, 3)) - 1) @ lattice
        distances = all_vectors(positions, lattice, 0.45)
        if not distances:
            return positions


def all_vectors(positions: np.ndarray, lattice: np.ndarray, r_cut: float) -> list[tuple[int, int, tuple]]:
    """(centre, other, vector) by brute force over images."""
    images, found = np.array(list(itertools.product(range(-4, 5), repeat=3))), []
    for i, j in itertools.product(range(len(positions)), repeat=2):
        home = np.round((positions[j] - positions[i]) @ np.linalg.inv(lattice))
        vectors = positions[j] - positions[i] + (images - home) @ lattice
        lengths = np.linalg.norm(vectors, axis=1)
        found += [(i, j, tuple(vector)) for vector in vectors[(lengths > 1e-9) & (lengths < r_cut)]]
    return found


def energy(potential: Potential, positions: np.ndarray, lattice: np.ndarray) -> float:
    return float(potential(torch.from_numpy(positions), *neighbours(positions, lattice, 2.9)).sum().detach())


def forces(potential: Potential, positions: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(positions).requires_grad_(True)
    (gradient,) = torch.autograd.grad(potential(x, *neighbours(positions, lattice, 2.9)).sum(), x)
    return -gradient.numpy()


@pytest.mark.parametrize("cell", CELLS)
def test_neighbours_are_those_of_brute_force(cell):
    lattice, positions = CELLS[cell], random_positions(CELLS[cell], 4)
    centre, other, shift = (part.numpy() for part in neighbours(positions, lattice, 2.5))
    vectors = positions[other] + shift - positions[centre]
    expected = all_vectors(positions, lattice, 2.5)
    found = list(zip(centre, other, map(tuple, vectors), strict=True))
    assert len(found) == len(expected) > 0
    rounded = lambda edges: sorted((i, j, *np.round(v, 6) + 0.0) for i, j, v in edges)  # noqa: E731
    np.testing.assert_allclose(rounded(found), rounded(expected), atol=2e-6)
    assert (np.diff(centre) >= 0).all()


@pytest.mark.parametrize("cell", CELLS)
def test_features_and_their_gradient_are_those_of_the_readable_power_spectrum(cell):
    lattice, positions, potential = CELLS[cell], random_positions(CELLS[cell], 4), make()
    edges = neighbours(positions, lattice, 2.9)  # some of them beyond the cutoff
    weights = torch.randn(4, SMALL.descriptor.n_features, dtype=torch.float64)
    results = []
    for fast in (True, False):
        x = torch.from_numpy(positions).requires_grad_(True)
        vectors = x[edges[1]] + edges[2] - x[edges[0]]
        ones = torch.ones(len(vectors), 1, dtype=torch.float64)
        features = (
            potential.features(*potential.near(x, *edges), len(x))
            if fast
            else power_spectrum(vectors, ones, edges[0], len(x), SMALL.descriptor)
        )
        results.append((features.detach(), torch.autograd.grad((weights * features).sum(), x)[0]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("cell", CELLS)
def test_forces_are_the_negative_gradient(cell):
    lattice, positions, potential, step = CELLS[cell], random_positions(CELLS[cell], 4), make(), 1e-5
    found = forces(potential, positions, lattice)
    for atom, axis in itertools.product(range(4), range(3)):
        shifted = [positions.copy(), positions.copy()]
        shifted[0][atom, axis] += step
        shifted[1][atom, axis] -= step
        up, down = (energy(potential, x, lattice) for x in shifted)
        assert found[atom, axis] == pytest.approx(-(up - down) / (2 * step), rel=1e-5, abs=1e-6)
    assert np.abs(found).max() > 1e-4
    np.testing.assert_allclose(found.sum(axis=0), 0, atol=1e-10)


def test_invariances():
    lattice, potential, rng = CELLS["skewed, below the cutoff"], make(), np.random.default_rng(1)
    positions = random_positions(lattice, 4)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))  # may also reflect
    order = rng.permutation(4)
    shifts = rng.integers(-2, 3, size=(4, 3)) @ lattice
    here, pull = energy(potential, positions, lattice), forces(potential, positions, lattice)
    for moved, cell, expected in (
        (positions + rng.normal(size=3), lattice, pull),
        (positions + shifts, lattice, pull),
        (positions @ turn, lattice @ turn, pull @ turn),
        (positions[order], lattice, pull[order]),
        (positions, np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]]) @ lattice, pull),
    ):
        assert energy(potential, moved, cell) == pytest.approx(here, rel=1e-10)
        np.testing.assert_allclose(forces(potential, moved, cell), expected, atol=1e-9)


def test_a_supercell_has_twice_the_energy_and_the_same_forces():
    lattice, potential = CELLS["cube below the cutoff"], make()
    positions = random_positions(lattice, 3)
    double = np.concatenate([positions, positions + lattice[0]])
    large = np.diag([2, 1, 1]) @ lattice
    assert energy(potential, double, large) == pytest.approx(2 * energy(potential, positions, lattice), rel=1e-12)
    expected = np.tile(forces(potential, positions, lattice), (2, 1))
    np.testing.assert_allclose(forces(potential, double, large), expected, atol=1e-10)


def test_energy_and_forces_go_through_the_cutoff_without_a_step():
    potential, lattice = make(), np.eye(3) * 12.0
    pairs = [np.array([[1.0, 1, 1], [1 + SMALL.r_cut + d, 1, 1]]) for d in (-1e-4, 1e-4)]
    inside, outside = (energy(potential, pair, lattice) for pair in pairs)
    assert inside == pytest.approx(outside, abs=1e-7)
    pulls = [forces(potential, pair, lattice) for pair in pairs]
    np.testing.assert_allclose(pulls[0], pulls[1], atol=1e-3)
    assert not pulls[1].any()
    nearer = energy(potential, np.array([[1.0, 1, 1], [2.5, 1, 1]]), lattice)
    assert abs(nearer - outside) > 1e-4


def test_a_lone_atom_has_an_energy_and_no_force():
    potential, lattice, positions = make(), np.eye(3) * 9.0, np.array([[1.0, 2, 3]])
    expected = float(potential.network(torch.zeros(1, SMALL.descriptor.n_features, dtype=torch.float64))[0, 0].detach())
    assert energy(potential, positions, lattice) == pytest.approx(expected)
    assert not forces(potential, positions, lattice).any()


def test_nuclei_repel_each_other_as_screened_charges():
    assert sum(a for a, _ in ZBL) == pytest.approx(1, abs=1e-4)
    assert pytest.approx(27.211386 * 0.529177, rel=1e-6) == COULOMB
    r = torch.tensor([1e-4, 0.1, 0.3, 0.499, 0.5], dtype=torch.float64)
    screened = COULOMB / r * sum(a * torch.exp(-b * r / SCREENING) for a, b in ZBL)
    torch.testing.assert_close(2 * nuclear_repulsion(r), screened)  # each of the two edges of a pair has one half
    beyond = torch.tensor([1.0, 1.5, 9.0], dtype=torch.float64, requires_grad=True)
    nuclear_repulsion(beyond).sum().backward()
    assert not nuclear_repulsion(beyond).detach().any()
    assert not beyond.grad.any()
    steps = torch.linspace(0.2, 1.1, 2000, dtype=torch.float64)
    assert (nuclear_repulsion(steps).diff() <= 0).all()


def test_saving_and_loading_is_bitwise(tmp_path):
    before = make(PotentialConfig(r_cut=2.2, n_radial=4, l_max=1, hidden=(5, 7))).float()
    before.offset.fill_(-14.5)
    before.save(tmp_path / "p.safetensors")
    after = Potential.load(tmp_path / "p.safetensors")
    assert after.config == before.config
    assert not after.training
    states = before.state_dict(), after.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert [p.name for p in tmp_path.iterdir()] == ["p.safetensors"]


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, length):
    path = tmp_path / "p.safetensors"
    make().save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match=r"p\.safetensors is truncated"):
        Potential.load(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="cannot read the potential"):
        Potential.load(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("hello, this is a text and no potential" * 9)
    with pytest.raises(WeightsError, match="no safetensors file"):
        Potential.load(tmp_path / "text")
    foreign = {
        "plain": (make().state_dict(), None),
        "wrong shape": ({"mean": torch.zeros(3)}, {"config": '{"r_cut": 2.5}'}),
        "unknown key": (make().state_dict(), {"config": '{"r_cute": 2.5}'}),
        "no JSON": (make().state_dict(), {"config": "r_cut"}),
    }
    for name, (tensors, metadata) in foreign.items():
        save_file(tensors, tmp_path / name, metadata)
        with pytest.raises(WeightsError, match="is no potential"):
            Potential.load(tmp_path / name)


def morse_frames(count: int, seed: int) -> list[Frame]:
    """Ten atoms, few of them nearer than 1 Å, with a Morse potential faded out at 2.4 Å."""
    rng, lattice, frames = np.random.default_rng(seed), np.eye(3) * 3.6, []
    sites = np.stack(np.meshgrid(*[[0.0, 1.2, 2.4]] * 3, indexing="ij"), -1).reshape(-1, 3)
    for _ in range(count):
        positions = rng.permutation(sites)[:10] + rng.normal(scale=0.06, size=(10, 3))
        x = torch.from_numpy(positions).requires_grad_(True)
        centre, other, shift = neighbours(positions, lattice, 2.4)
        r = (x[other] + shift - x[centre]).norm(dim=1)
        total = 0.5 * (((1 - torch.exp(-2 * (r - 1.2))) ** 2 - 1) * (1 - r / 2.4) ** 2).sum() - 10.0
        (gradient,) = torch.autograd.grad(total, x)
        frames.append(Frame(positions, lattice, float(total.detach()), -gradient.numpy()))
    return frames


QUICK = PotentialConfig(r_cut=2.5, n_radial=8, l_max=1, hidden=(16,))


def test_a_fit_learns_a_pair_potential():
    train, val = morse_frames(16, 0), morse_frames(5, 1)
    found, errors = fit(train, val, QUICK, FitConfig(epochs=40, learning_rate=1e-2), show_progress=False)
    assert errors["force_rmse"] < 0.25 * errors["force_rms"]  # no force at all would be 1
    assert errors["force_correlation"] > 0.97
    assert errors["energy_rmse"] < 0.5 * np.std([f.energy / 10 for f in val])
    assert evaluate(found, val) == errors  # the weights that were kept are those that were measured
    assert float(found.offset) == pytest.approx(np.mean([f.energy / 10 for f in train]), rel=1e-6)


def test_a_fit_is_decided_by_its_seed():
    train, val = morse_frames(6, 0), morse_frames(2, 1)
    fits = [fit(train, val, QUICK, FitConfig(epochs=3, seed=seed), show_progress=False) for seed in (0, 0, 1)]
    weights = [found.network[0].weight for found, _ in fits]
    assert torch.equal(weights[0], weights[1])
    assert fits[0][1] == fits[1][1]
    assert not torch.equal(weights[0], weights[2])


def test_a_fit_needs_frames_on_both_sides():
    frames = morse_frames(1, 0)
    for train, val in ((frames, []), ([], frames)):
        with pytest.raises(ElfzooError, match=f"got {len(train)} and {len(val)}"):
            fit(train, val, QUICK, FitConfig(), show_progress=False)


def test_errors_are_what_they_say():
    frames = morse_frames(3, 0)
    off = [
        Frame(f.positions, f.lattice, 10 * e, 2 * np.ones((10, 3)) * sign)
        for f, e, sign in zip(frames, (1.0, 2.0, 3.0), (1, -1, 1), strict=True)
    ]
    some = make(QUICK)
    some.network[-1].weight.data *= 100
    guess = np.concatenate([forces(some, f.positions, f.lattice) for f in frames]).ravel()
    truth = np.concatenate([f.forces for f in off]).ravel()
    own = [energy(some, f.positions, f.lattice) / 10 - e for f, e in zip(frames, (1, 2, 3), strict=True)]
    errors = evaluate(some.float(), off)
    assert errors["force_rms"] == pytest.approx(2)
    assert errors["force_rmse"] == pytest.approx(np.sqrt(np.mean((guess - truth) ** 2)), rel=1e-5)
    assert errors["force_correlation"] == pytest.approx(np.corrcoef(guess, truth)[0, 1], abs=1e-5)
    assert errors["energy_rmse"] == pytest.approx(np.std(own), rel=1e-4)  # a common offset does not count


def test_the_shipped_potential_has_the_error_that_the_record_states():
    """On frames of DFT that its own dynamics visited and that it was not fitted to."""
    folder = Path(__file__).parents[2] / "benchmarks" / "reference" / "potential"
    frames = [frame for index in range(3) for frame in read_frames(folder / f"round{index}")["val"]]
    found = evaluate(load_potential(), frames)
    stated = json.loads((folder / "round2" / "errors.json").read_text())
    for key in ("force_rmse", "force_correlation", "energy_rmse"):
        assert found[key] == pytest.approx(stated[key], rel=1e-3)
    assert found["force_rmse"] < 0.4 and found["energy_rmse"] < 0.015
