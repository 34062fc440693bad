"""Rounds of frames, forces and fits, with an engine that answers at once."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from elfzoo.config import parse
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.reference import dynamics, training_frames
from elfzoo.reference.engines import EngineError, Settings
from elfzoo.reference.engines.espresso import EspressoEngine
from elfzoo.reference.molecular import molecular_fluid
from elfzoo.reference.potential import FitConfig, Potential, PotentialConfig, neighbours, one_thread
from elfzoo.reference.training_frames import FramesConfig, Plan, fit_potential, read_frames, read_plan

LABEL = Settings(
    engine="espresso",
    pseudopotential="GTH-PBE-q1",
    cutoff=800.0,
    smearing="fermi-dirac",
    smearing_width=0.1,
    k_mesh=(1, 1, 1),
)
FRAMES = FramesConfig(LABEL, volumes=(2.8, 2.5), atoms=8, rounds=2, per_round=8, runs=4, interval=10.0)
PLAN = Plan(FRAMES, PotentialConfig(r_cut=2.2, n_radial=5, l_max=1, hidden=(8,)), FitConfig(epochs=2, batch=8))


def pair_forces(structure) -> tuple[np.ndarray, float, float]:
    """A soft repulsion: forces, pressure (0) and energy."""
    lattice, positions = structure.lattice.matrix, structure.cart_coords
    x = torch.from_numpy(positions).requires_grad_(True)
    centre, other, shift = neighbours(positions, lattice, 2.0)
    energy = 0.5 * (20 * (1 - (x[other] + shift - x[centre]).norm(dim=1) / 2.0) ** 3).sum() - 13.6 * len(x)
    (gradient,) = torch.autograd.grad(energy, x)
    return -gradient.numpy(), 0.0, float(energy.detach())


class FakeEngine:
    """Counts what it is asked for; fails for the frames named."""

    def __init__(self, fails: tuple[str, ...] = ()):
        self.fails, self.asked, self.settings = fails, [], set()

    def forces(self, structure, settings, folder):
        name = f"{folder.parent.name}/{folder.name.split('.')[0]}"
        self.asked.append(name)
        self.settings.add(settings)
        if name in self.fails:
            raise EngineError(f"the SCF of {name} did not converge in 100 steps")
        return pair_forces(structure)


class Whole(NamedTuple):
    """Two rounds, carried out once."""

    folder: Path
    engine: FakeEngine
    potential: Potential
    errors: list[dict[str, float]]


@pytest.fixture(autouse=True, scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch, one_thread():
        for module in (training_frames, dynamics):
            patch.setattr(module, "molecular_fluid", partial(molecular_fluid, steps=30))
        yield patch


@pytest.fixture(scope="module")
def use(patch):
    def install(engine: FakeEngine) -> FakeEngine:
        patch.setattr(EspressoEngine, "version", lambda self: "fake 1.0")
        patch.setattr(EspressoEngine, "forces", lambda self, *args: engine.forces(*args))
        return engine

    return install


@pytest.fixture(scope="module")
def whole(use, tmp_path_factory) -> Whole:
    folder, engine = tmp_path_factory.mktemp("fit"), use(FakeEngine())
    potential, errors = fit_potential(PLAN, folder, show_progress=False)
    return Whole(folder, engine, potential, errors)


def contents(folder) -> dict[str, object]:
    """What every file says, whatever the bytes of its container."""
    found: dict[str, object] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix == ".npz":
            with np.load(path) as data:
                found[name] = {key: data[key].tolist() for key in data.files}
        else:
            found[name] = path.read_bytes()
    return found


def test_rounds(whole):
    assert whole.potential.config == PLAN.potential
    assert [error["frames"] for error in whole.errors] == [7, 14]  # every eighth validates
    assert sorted(whole.engine.asked) == [f"round{i}/frame{n:03d}" for i in range(2) for n in range(8)]
    assert whole.engine.settings == {LABEL}
    names = {"wanted.npz", "potential.safetensors", "errors.json", *(f"frame{n:03d}.npz" for n in range(8))}
    assert all({p.name for p in (whole.folder / f"round{i}").iterdir()} == names for i in range(2))
    lattices = np.load(whole.folder / "round1" / "wanted.npz")["lattices"]
    volumes = np.linalg.det(lattices).reshape(4, 2) / 8
    np.testing.assert_allclose(volumes, np.array([[2.8], [2.5], [2.8], [2.5]]) * np.ones(2))


def test_any_file_that_is_lost_comes_back_the_same(whole, use, tmp_path):
    before = contents(whole.folder)
    for lost in (
        "round0/wanted.npz",
        "round0/frame003.npz",
        "round0/frame007.npz",
        "round0/errors.json",
        "round0/potential.safetensors",
        "round1/wanted.npz",
        "round1/frame006.npz",
        "round1/errors.json",
        "round1/potential.safetensors",
    ):
        shutil.copytree(whole.folder, tmp_path / "part")
        (tmp_path / "part" / lost).unlink()
        engine = use(FakeEngine())
        fit_potential(PLAN, tmp_path / "part", show_progress=False)
        assert contents(tmp_path / "part") == before, lost
        assert engine.asked == ([lost.removesuffix(".npz")] if "frame" in lost else [])
        shutil.rmtree(tmp_path / "part")


def test_workers_do_not_change_the_result(whole, use, tmp_path):
    use(FakeEngine())
    fit_potential(PLAN, tmp_path, workers=3, show_progress=False)
    assert contents(tmp_path) == contents(whole.folder)


def test_failed_frames_are_left_out_with_their_reason(use, tmp_path):
    engine = use(FakeEngine(fails=("round0/frame003", "round1/frame007")))
    _, errors = fit_potential(PLAN, tmp_path, show_progress=False)
    assert [error["frames"] for error in errors] == [6, 13]
    with np.load(tmp_path / "round0" / "frame003.npz") as data:
        assert "forces" not in data
        assert "frame003 did not converge" in str(data["reason"])
    assert read_frames(tmp_path / "round1")["val"] == []
    fit_potential(PLAN, tmp_path, show_progress=False)
    assert len(engine.asked) == 16  # not tried again


def test_frames_are_split_by_their_number(whole):
    wanted = np.load(whole.folder / "round1" / "wanted.npz")["positions"]
    frames = read_frames(whole.folder / "round1")
    assert [np.flatnonzero((wanted == f.positions).all((1, 2))).tolist() for f in frames["val"]] == [[7]]
    assert len(frames["train"]) == 7
    for frame in (*frames["train"], *frames["val"]):
        assert abs(frame.forces.sum(axis=0)).max() < 1e-9
        assert frame.energy == pytest.approx(-13.6 * 8, rel=0.5)


def test_nothing_left_to_learn_from_is_an_error(use, tmp_path):
    use(FakeEngine(fails=("round0/frame007",)))
    with pytest.raises(ElfzooError, match="got 7 and 0"):
        fit_potential(PLAN, tmp_path, show_progress=False)


def test_a_missing_engine_is_one_error_and_no_failed_frames(monkeypatch, tmp_path):
    def missing(self):
        raise EngineError("there is no pw.x; install it with: apt-get install quantum-espresso")

    monkeypatch.setattr(EspressoEngine, "version", missing)
    with pytest.raises(EngineError, match="apt-get install"):
        fit_potential(PLAN, tmp_path, show_progress=False)
    assert not list(tmp_path.rglob("frame*"))


def test_an_interrupted_round_leaves_whole_files_only(use, monkeypatch, tmp_path):
    engine = use(FakeEngine())

    def interrupted(structure, settings, folder):
        if len(engine.asked) == 5:
            raise KeyboardInterrupt
        return FakeEngine.forces(engine, structure, settings, folder)

    monkeypatch.setattr(engine, "forces", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_potential(PLAN, tmp_path, show_progress=False)
    assert {p.name for p in (tmp_path / "round0").iterdir()} == {
        "wanted.npz",
        *(f"frame{n:03d}.npz" for n in range(5)),
    }


def test_a_run_that_collides_gives_each_frame_once(monkeypatch):
    run = dynamics.Trajectory(np.eye(3) * 3, np.arange(3 * 8 * 3.0).reshape(3, 8, 3), *np.zeros((4, 3)))
    monkeypatch.setattr(training_frames, "run_dynamics", lambda *args, **kwargs: run)
    long = replace(FRAMES, runs=1)
    frames = training_frames._run_frames(long, 1, 0, Potential())
    assert [positions[0, 0] for _, positions in frames] == [0.0, 24.0, 48.0]  # eight were wanted


def test_plans_that_cannot_be_carried_out_are_refused():
    values = {"label": LABEL, "volumes": (2.8,)}
    with pytest.raises(ConfigError, match="multiple of the runs"):
        parse(FramesConfig, {**values, "per_round": 10, "runs": 4})
    with pytest.raises(ConfigError, match="got 0 volumes"):
        parse(FramesConfig, {**values, "volumes": ()})


def test_the_plan_of_elfzoo_covers_the_volumes_of_the_recipe():
    plan = read_plan()
    assert min(plan.frames.volumes) < 1.988 and max(plan.frames.volumes) > 2.61
    assert plan.frames.label.smearing_width == pytest.approx(8.617333e-5 * 1500, rel=1e-4)
