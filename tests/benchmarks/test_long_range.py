"""The trial of long waves: what it is by construction, and that it finds them where they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import long_range
from long_range import BOUND, K_MAX, KINDS, LongRange, Seen, half_of_waves, radial, scale_of, seen_by, trained

MODEL = elfzoo.load_pretrained("grid_mlp.smooth-h-v4")


def cell(seed: int = 0, atoms: int = 6) -> Structure:
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(3.1, 3.4, 3.0, 80, 95, 105)
    return Structure(lattice, ["H"] * atoms, rng.random((atoms, 3)), validate_proximity=False)


def seen(structure: Structure, points: np.ndarray) -> Seen:
    return seen_by(MODEL, scale_of(MODEL, [cell()]), structure, points, np.zeros(len(points)))


def lively(kind: str = KINDS[0]) -> LongRange:
    torch.manual_seed(3)
    one = seen(cell(), np.zeros((1, 3)))
    net = LongRange(one.inputs.shape[1], one.atoms.shape[1], kind)
    with torch.no_grad():
        for parameter in net.gates[-1].parameters():
            parameter.normal_(0, 0.3)
    return net.eval()


def change(net: LongRange, structure: Structure, points: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(seen(structure, points)).numpy()


POINTS = np.random.default_rng(5).random((40, 3)) @ cell().lattice.matrix


def test_it_begins_at_nothing_and_is_bounded() -> None:
    fresh = LongRange(128, 10)
    one = seen(cell(), POINTS)
    fresh = LongRange(one.inputs.shape[1], one.atoms.shape[1])
    assert not fresh(one).detach().numpy().any()
    strong = lively()
    with torch.no_grad():
        strong.weights.mul_(1e4)
    assert 0.5 * BOUND < np.abs(change(strong, cell(), POINTS)).max() <= BOUND


def test_a_supercell_another_origin_and_a_rotation_change_nothing() -> None:
    net, before = lively(), change(lively(), cell(), POINTS)
    assert np.abs(before).max() > 0.01
    twice = cell() * (2, 1, 3)
    np.testing.assert_allclose(change(net, twice, POINTS), before, atol=2e-4)
    shift = np.array([0.3, -1.1, 0.7])
    moved = Structure(cell().lattice, cell().species, cell().cart_coords + shift, coords_are_cartesian=True)
    np.testing.assert_allclose(change(net, moved, POINTS + shift), before, atol=2e-4)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    turned = Structure(cell().lattice.matrix @ turn, cell().species, cell().frac_coords)
    np.testing.assert_allclose(change(net, turned, POINTS @ turn), before, atol=2e-4)


def test_half_of_the_waves_stand_for_all() -> None:
    """Against the sum over every wave, atom by atom."""
    net, structure = lively(), cell()
    one = seen(structure, POINTS)
    with torch.no_grad():
        found = net.potentials(one, slice(None)).double().numpy()
        charges, weights = net.charges(one.atoms).double().numpy(), net.weights.double()
    reciprocal = 2 * np.pi * np.linalg.inv(structure.lattice.matrix).T
    index = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    waves = index @ reciprocal
    waves = waves[np.linalg.norm(waves, axis=1) < K_MAX]
    assert len(waves) == 2 * len(half_of_waves(structure.lattice.matrix)) - 1
    scale = (radial(torch.tensor(np.linalg.norm(waves, axis=1))) @ weights).numpy() / structure.volume
    apart = POINTS[:, None] - structure.cart_coords
    expected = np.einsum("pak,kc,ac->pc", np.cos(apart @ waves.T), scale, charges)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_waves_fade_out_where_they_end() -> None:
    assert radial(torch.tensor([K_MAX - 1e-4])).abs().max() < 1e-6
    assert not radial(torch.tensor([K_MAX, 2 * K_MAX])).any()


def test_long_waves_are_found_where_there_are_some() -> None:
    """A residual that one correction made is learned by another, not by the local control."""
    hidden, frames = lively(), []
    for seed in range(6):
        structure = cell(seed, 12)
        points = np.random.default_rng(seed).random((600, 3)) @ structure.lattice.matrix
        one = seen(structure, points)
        with torch.no_grad():
            truth = torch.sigmoid(one.logits + hidden(one))
        frames.append(Seen(**{**vars(one), "truth": truth}))
    before = np.mean(long_range.maes(None, frames))
    after = {kind: np.mean(long_range.maes(trained(kind, frames, 0, 60), frames)) for kind in KINDS}
    assert after[KINDS[0]] < 0.6 * before and after[KINDS[0]] < after[KINDS[1]]


def test_a_small_trial_goes_on_and_leaves_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_range, "POINTS", 50)
    monkeypatch.setattr(long_range, "TASKS", ("crystal-h-cubic",))
    monkeypatch.setattr(
        long_range, "select", lambda task: elfzoo.datasets.CrystalHydrogen(split="val").subset(range(3))
    )
    call = ["--teacher", "grid_mlp.wang2026-h-v2", "--seeds", "0", "1", "--frames", "2", "1", "--atoms", "16"]
    call += [
        "--duration",
        "5",
        "--epochs",
        "1",
        "--voxels",
        "40",
        "--work",
        str(tmp_path),
        "--out",
        str(tmp_path / "r.json"),
    ]
    long_range.main(call)
    record = json.loads((tmp_path / "r.json").read_text())
    made = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    long_range.main(call)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")} == made and len(made) == 3
    again = json.loads((tmp_path / "r.json").read_text())
    assert again["groups"] == record["groups"] and set(record["groups"]) == {
        "fluid of the teacher, unseen",
        "crystal-h-cubic",
    }
    assert all(len(found["mae"]) == 2 for group in record["groups"].values() for found in group.values())
    assert len(long_range.table(record)) == 4
