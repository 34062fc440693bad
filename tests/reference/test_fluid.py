"""Fluid hydrogen: which trajectories, seeds and frames there are, and what happens to a run that stops."""

import dataclasses
import json
import re
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from elfzoo.config import parse
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.reference import fluid
from elfzoo.reference.dynamics import Trajectory
from elfzoo.reference.fluid import FluidSource, FluidState
from elfzoo.reference.potential import Potential, PotentialConfig
from elfzoo.reference.recipe import find_recipe

STATES = (FluidState(76.0, 2.61), FluidState(138.5, 1.988))
SOURCE = FluidSource(
    "fluid", STATES, letters="AB", atoms=8, large=(12,), equilibration=20.0, interval=15.0, snapshots=3
)


@pytest.fixture(autouse=True)
def table(monkeypatch, tmp_path_factory):
    """A potential of no worth in the place of elfzoo's own; processes are threads."""
    path = tmp_path_factory.mktemp("tables") / "hydrogen.safetensors"
    torch.manual_seed(0)
    Potential(PotentialConfig(r_cut=2.0, n_radial=3, l_max=0, hidden=(2,))).save(path)
    monkeypatch.setattr(fluid, "_table", lambda: path)
    monkeypatch.setattr(fluid, "ProcessPoolExecutor", lambda workers, mp_context: ThreadPoolExecutor(workers))
    return path


@pytest.fixture
def runs(monkeypatch):
    """What dynamics was asked for; frame n of a run has every atom at n / 10."""
    asked = []

    def fake(potential, atoms, volume, temperature, duration, seed):
        asked.append((atoms, volume, temperature, duration, seed))
        count = round(duration / 5)
        positions = 0.1 * np.arange(1, count + 1)[:, None, None] * np.ones((count, atoms, 3))
        lattice = np.eye(3) * (atoms * volume) ** (1 / 3)
        return Trajectory(lattice, positions, 5.0 * np.arange(1, count + 1), *np.zeros((3, count)))

    monkeypatch.setattr(fluid, "run_dynamics", fake)
    monkeypatch.setattr(fluid, "diagnose", lambda *args: SimpleNamespace(to_dict=dict))
    return asked


def test_runs_and_candidates(tmp_path):
    names = [run.name for run in SOURCE.runs()]
    assert sorted(names) == [f"fluid_{p}GPa_{kind}" for p in (138.5, 76.0) for kind in ("A", "B", "N12")]
    candidates = SOURCE.candidates(tmp_path)
    assert len(candidates) == 2 * (2 * 3 + 1)
    assert len({c.name for c in candidates}) == len(candidates)
    assert {c.group for c in candidates} == set(names)
    for candidate in candidates:
        match = re.fullmatch(r"(fluid_[\d.]+GPa_([A-Z]\d*))_f(\d{5})", candidate.name)
        assert match and match[1] == candidate.group
        assert candidate.facts["trajectory"] == match[2]
        assert candidate.facts["time_fs"] == int(match[3])
        assert candidate.facts["target_pressure_GPa"] == float(match[1].split("_")[1].removesuffix("GPa"))
        assert not candidate.relax and not candidate.needs
    order = [("N" in c.facts["trajectory"], c.facts["time_fs"]) for c in candidates]  # dear ones last
    assert order == sorted(order)
    assert sorted({time for _, time in order}) == [20.0, 35.0, 50.0]


def test_the_recipe_of_elfzoo_has_what_the_benchmark_needs():
    source = find_recipe("fluid-h").source
    assert isinstance(source, FluidSource)
    assert [state.pressure for state in source.states] == [76.0, 115.1, 138.5]
    assert source.atoms >= 128 and set(source.large) == {250, 500}
    assert len(source.letters) >= 4 and source.equilibration >= 1000
    seeds = [run.seed for run in source.runs()]
    assert len(set(seeds)) == len(seeds) == 18


def test_seeds_do_not_depend_on_the_other_entries():
    def seeds(source):
        return {run.name: run.seed for run in source.runs()}

    whole, part = seeds(SOURCE), seeds(dataclasses.replace(SOURCE, states=STATES[1:], letters="BZ", large=(), atoms=10))
    assert len(set(whole.values())) == len(whole)
    assert part["fluid_138.5GPa_B"] == whole["fluid_138.5GPa_B"]
    assert not set(seeds(dataclasses.replace(SOURCE, seed=1)).values()) & set(whole.values())
    assert whole["fluid_76.0GPa_A"] == 715504400  # results of a seed must not change with the code


def test_prepare_runs_every_trajectory_once(runs, tmp_path):
    SOURCE.prepare(tmp_path, workers=2, show_progress=False)
    expected = {(r.atoms, r.state.volume, 1500.0, SOURCE.times(r)[-1], r.seed) for r in SOURCE.runs()}
    assert set(runs) == expected and len(runs) == 6
    assert {duration for atoms, _, _, duration, _ in runs if atoms == 8} == {50.0}
    assert {duration for atoms, _, _, duration, _ in runs if atoms == 12} == {20.0}
    lost = tmp_path / "snapshots" / "fluid_76.0GPa_B.json"
    before = lost.read_text()
    lost.unlink()
    SOURCE.prepare(tmp_path, show_progress=False)
    assert len(runs) == 7
    assert runs[-1] in expected
    assert lost.read_text() == before
    SOURCE.prepare(tmp_path, show_progress=False)
    assert len(runs) == 7


def test_one_that_fails_leaves_the_others_and_says_why(runs, monkeypatch, tmp_path):
    bad = SOURCE.runs()[2].seed
    good = fluid.run_dynamics

    def fails(*args):
        if args[-1] == bad:
            raise ElfzooError("two atoms came to 0.31 Å")
        return good(*args)

    monkeypatch.setattr(fluid, "run_dynamics", fails)
    with pytest.raises(ElfzooError, match=r"0\.31 Å"):
        SOURCE.prepare(tmp_path, show_progress=False)
    monkeypatch.setattr(fluid, "run_dynamics", good)
    SOURCE.prepare(tmp_path, show_progress=False)
    assert sorted(seed for *_, seed in runs) == sorted(run.seed for run in SOURCE.runs())


def test_snapshots_are_the_frames_of_their_times(runs, tmp_path):
    SOURCE.prepare(tmp_path, show_progress=False)
    for candidate in SOURCE.candidates(tmp_path):
        structure, time = candidate.make({}), candidate.facts["time_fs"]
        assert len(structure) == (12 if "_N12_" in candidate.name else 8)
        assert {site.specie.symbol for site in structure} == {"H"}
        edge = structure.lattice.a
        np.testing.assert_allclose(structure.cart_coords, 0.1 * time / 5 % edge, atol=1e-5)
        volume = dict((s.pressure, s.volume) for s in STATES)[candidate.facts["target_pressure_GPa"]]
        assert structure.volume / len(structure) == pytest.approx(volume)


def test_real_dynamics_end_at_the_last_snapshot(monkeypatch, tmp_path):
    source = dataclasses.replace(SOURCE, states=STATES[:1], letters="A", large=())
    monkeypatch.setattr("elfzoo.reference.dynamics.CLOSEST", 0.0)
    monkeypatch.setattr(fluid, "diagnose", lambda found, start: SimpleNamespace(to_dict=lambda: {"from": start}))
    source.prepare(tmp_path, show_progress=False)
    found = Trajectory.load(tmp_path / "trajectories" / "fluid_76.0GPa_A.npz")
    assert found.time[-1] == source.candidates(tmp_path)[-1].facts["time_fs"] == 50.0
    record = json.loads((tmp_path / "snapshots" / "fluid_76.0GPa_A.json").read_text())
    assert record["diagnostics"] == {"from": 20.0}
    np.testing.assert_allclose(record["positions"], found.positions[[3, 6, 9]], atol=1e-5)


def test_a_large_cell_of_the_usual_size_keeps_its_own_number_of_snapshots(tmp_path):
    source = dataclasses.replace(SOURCE, large=(8,), large_snapshots=2)
    names = [c.name for c in source.candidates(tmp_path)]
    assert sum("_N8_" in name for name in names) == 4
    assert sum("_A_" in name for name in names) == 6


def test_without_a_potential_plans_can_be_listed_and_runs_say_what_to_do(table, runs, tmp_path):
    table.unlink()
    (first, *_) = SOURCE.candidates(tmp_path)
    assert "unfitted" in first.origin
    for workers in (1, 2):
        with pytest.raises(ElfzooError, match="`elfzoo reference fit --out DIR`"):
            SOURCE.prepare(tmp_path, workers, show_progress=False)
    assert not runs


def test_trajectories_of_two_potentials_do_not_mix(table, runs, tmp_path):
    SOURCE.prepare(tmp_path, show_progress=False)
    origin = SOURCE.candidates(tmp_path)[0].origin
    torch.manual_seed(1)
    Potential(PotentialConfig(r_cut=2.0, n_radial=3, l_max=0, hidden=(2,))).save(table)
    assert SOURCE.candidates(tmp_path)[0].origin != origin
    with pytest.raises(ElfzooError, match="another potential"):
        SOURCE.prepare(tmp_path, show_progress=False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"letters": "ABA"}, "come once"),
        ({"large": (250, 250)}, "come once"),
        ({"states": (STATES[0], FluidState(76.0, 2.5))}, "come once"),
        ({"interval": 12.0}, "multiples of 5"),
        ({"equilibration": 0.0}, "multiples of 5"),
        ({"equilibration": 1001.0}, "multiples of 5"),
        ({"snapshots": 0}, "one snapshot or more"),
        ({"intervall": 10.0}, "did you mean 'interval'"),
    ],
)
def test_sources_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        parse(FluidSource, {"kind": "fluid", "states": STATES, **values})
