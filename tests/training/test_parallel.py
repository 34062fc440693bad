"""Batches in pieces, of one process one after the other or of several at once: the result is the whole batch's."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pymatgen.core import Lattice, Structure
from torch import distributed, multiprocessing
from torch.nn import functional as F

import elfzoo
from elfzoo import Field, Grid, create_model
from elfzoo.config import parse, to_dict
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.training import TrainConfig, checkpoint, train
from elfzoo.training import loop as loop_module
from elfzoo.training.fields import FieldTask
from elfzoo.training.parallel import ALONE, Ranks, is_first, joined
from elfzoo.training.points import PointTask, draw_points

NETWORK = {"spacing": 0.4, "averaging": "none", "network": {"widths": [4, 6], "norm": "channel"}}
MLP = {"hidden": [8], "descriptor": {"n_radial": 4}}
ROUNDING = 1e-5  # of weights after some steps of AdamW; 1e-7 was found


def write_fields(folder: Path, element: str) -> list[str]:
    """Six crystals of two atoms with Gaussians as their fields."""
    paths = []
    for i in range(6):
        lattice = Lattice.orthorhombic(2.2, 2.4, 2.6 + 0.1 * i)
        structure = Structure(lattice, ["H", element], [[0, 0, 0], [0.5, 0.4, 0.3 + 0.1 * i]])
        grid = Grid((10, 10, 10), lattice.matrix)
        distance = lattice.get_all_distances(grid.frac_coords(), structure.frac_coords)
        values = np.exp(-((distance / 0.8) ** 2)).max(axis=1).reshape(grid.shape)
        paths.append(str(Field(values, structure).write(folder / f"{element}{i}.npz")))
    return paths


def config(name: str, files: list[str], **changes: Any) -> dict[str, Any]:
    """Three structures to learn from, three to validate on: no number that two processes share evenly."""
    part = {"dataset": "mine", "points": 150}
    return {
        "name": name,
        "architecture": "grid_mlp",
        "model": MLP,
        "train": [part | {"split": "train", "files": files[:3]}],
        "validate": [part | {"split": "val", "files": files[3:], "points": 60}],
        "epochs": 3,
        "batch_size": 101,
        "learning_rate": 3e-3,
    } | changes


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("fields")
    hydrogen, hydride = write_fields(folder, "H"), write_fields(folder, "Ca")
    field = {"architecture": "symmetry_unet", "model": NETWORK, "batch_size": 3, "fields": {"bins": 8}}
    made = [
        config("stored", hydrogen, select_best=True),
        config("learned", hydride, schedule="cosine"),
        config("few", hydride, structures_per_batch=1),  # fewer structures in a batch than processes
        config("field", hydrogen, **field),
        config("accumulated", hydrogen, accumulate=2),
    ]
    return {values["name"]: values for values in made}


@pytest.fixture(scope="module")
def alone(configs: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of them."""
    folder = tmp_path_factory.mktemp("alone")
    for values in configs.values():
        train(parse(TrainConfig, values), folder, progress=False)
    return folder


def weights(run: Path) -> dict[str, torch.Tensor]:
    return elfzoo.load_pretrained(run / "release").state_dict()


def log(run: Path) -> list[list[float]]:
    """Losses, errors and scores."""
    with open(run / "log.csv") as file:
        return [[float(v) for k, v in row.items() if k != "seconds"] for row in csv.DictReader(file)]


def require_same(run: Path, expected: Path) -> None:
    np.testing.assert_allclose(log(run), log(expected), rtol=1e-5)
    other = weights(expected)
    for name, value in weights(run).items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=ROUNDING, msg=lambda m, n=name: f"{n}: {m}")


# ---- pieces ----


@pytest.mark.parametrize("name", ["stored", "learned", "few", "field"])
def test_the_pieces_of_all_processes_have_the_gradient_of_the_batch(configs: dict, name: str) -> None:
    """One step, to rounding; in pieces that are shares of 2 processes, of 3, and accumulated."""
    values = parse(TrainConfig, configs[name])
    kind = FieldTask if name == "field" else PointTask

    def gradient(every: list[Ranks], accumulate: int) -> torch.Tensor:
        """And the loss, and the sum of the shares."""
        torch.manual_seed(0)
        model, total, shares = create_model(values.architecture, values.model), 0.0, 0.0
        for ranks in every:
            wanted = parse(TrainConfig, to_dict(values) | {"accumulate": accumulate})
            task = kind(model, wanted, None, False, ranks)
            for piece, share in next(task.batches(0)):
                for loss in task.losses(piece):
                    (loss * share).backward()
                    total += float(loss.detach()) * share
                shares += share
        parts = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        return torch.cat([*parts, torch.tensor([total, shares])])

    whole = gradient([ALONE], 1)
    assert whole[:-2].abs().max() > 1e-3 and whole[-1] == 1
    for every, accumulate in (
        ([Ranks(0, 2), Ranks(1, 2)], 1),
        ([Ranks(i, 3) for i in range(3)], 1),
        ([ALONE], 4),
        ([Ranks(0, 2), Ranks(1, 2)], 2),
    ):
        torch.testing.assert_close(gradient(every, accumulate), whole, rtol=1e-4, atol=1e-6)
    twice_the_same = gradient([Ranks(0, 2), Ranks(0, 2)], 1)
    assert not torch.allclose(twice_the_same[:-2], whole[:-2], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("name", ["stored", "learned", "few"])
def test_accumulated_gradients_train_as_the_whole_batch(configs: dict, alone: Path, tmp_path: Path, name: str) -> None:
    train(parse(TrainConfig, configs[name] | {"accumulate": 3}), tmp_path, progress=False)
    require_same(tmp_path / name, alone / name)


def test_a_batch_of_one_piece_is_the_whole_one(configs: dict) -> None:
    values = parse(TrainConfig, configs["stored"])
    task = PointTask(create_model("grid_mlp", MLP), values, None, False)
    for pieces, plan in zip(task.batches(1), task.plans(1), strict=True):
        ((inputs, y), share), *others = pieces
        assert share == 1.0 and not others and len(y) == 101
        assert torch.equal(inputs, task._store.features[plan]) and torch.equal(y, task._store.y[plan])
    sets, _ = draw_points(values.train[0], values.seed)
    assert task.size() == sum(len(s.y) for s in sets) == 450
    loss = next(task.losses((inputs, y)))
    assert loss.item() == F.smooth_l1_loss(task.model.head(inputs).sigmoid(), y, beta=values.huber_beta).item()


# ---- processes ----


def worker(rank: int, folder: Path, every: list[dict[str, Any]]) -> None:
    """One of two processes; the second one may not write."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    if rank == 1:
        for module in (loop_module, checkpoint):
            module.write_bytes = lambda *_: os._exit(3)  # type: ignore[attr-defined]
        loop_module.save_release = lambda *_, **__: os._exit(4)  # type: ignore[attr-defined]
    for values in every:
        train(parse(TrainConfig, values), folder, progress=rank == 1)
    try:
        train(parse(TrainConfig, every[0]), folder if rank == 0 else folder / "elsewhere")
    except ElfzooError as error:
        (folder / f"said_by_{rank}").write_text(str(error))
    distributed.destroy_process_group()


def test_two_processes_train_as_one(
    configs: dict, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored run goes on from one process's first epoch, so that resuming is tested, too."""
    one_epoch = loop_module._Run.one_epoch

    def interrupted(self: Any) -> None:
        if self.epoch == 1:
            raise KeyboardInterrupt
        one_epoch(self)

    monkeypatch.setattr(loop_module._Run, "one_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(parse(TrainConfig, configs["stored"]), tmp_path, progress=False)
    multiprocessing.spawn(worker, (tmp_path, list(configs.values())), nprocs=2)
    for name in configs:
        require_same(tmp_path / name, alone / name)
        card = json.loads((tmp_path / name / "release" / "config.json").read_text())
        assert card["training"]["processes"] == 2
    assert "processes" not in json.loads((alone / "stored" / "release" / "config.json").read_text())["training"]
    for rank in (0, 1):
        assert "checkpoints of the epochs [3, 0]" in (tmp_path / f"said_by_{rank}").read_text()


def test_torchrun_starts_them(configs: dict, alone: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(configs["stored"]))
    call = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "elfzoo", "train"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *call, "config.yaml", "--out", "runs"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote runs/stored/release") == 1 and done.stdout.count("MAE") == 1
    require_same(tmp_path / "runs" / "stored", alone / "stored")


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for environment in ({}, {"RANK": "3", "WORLD_SIZE": "1"}, {"RANK": "3"}, {"WORLD_SIZE": "8"}):
        for name in ("RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with joined() as ranks:
            assert ranks == ALONE and is_first()


# ---- configurations ----


def test_a_run_from_before_these_keys_goes_on(configs: dict, tmp_path: Path) -> None:
    new = ("accumulate", "precision")
    values = parse(TrainConfig, configs["stored"] | {"epochs": 1})
    stored = loop_module.to_dict
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop_module, "to_dict", lambda c: {k: v for k, v in stored(c).items() if k not in new})
        before = weights(train(values, tmp_path, progress=False).parent)
    after = weights(train(values, tmp_path, progress=False).parent)
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_what_cannot_be_is_refused(configs: dict, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one piece or more; got accumulate: 0"):
        parse(TrainConfig, configs["stored"] | {"accumulate": 0})
    half = parse(TrainConfig, configs["stored"] | {"precision": "bfloat16"})
    with pytest.raises(ConfigError, match=r"bfloat16 is for CUDA devices; on a processor leave it at float32"):
        train(half, tmp_path)
    with pytest.raises(ElfzooError, match="trained on cpu or cuda; got 'tpu'"):
        train(half, tmp_path, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ElfzooError, match="no CUDA device here"):
            train(half, tmp_path, device="cuda")
    assert not list(tmp_path.iterdir())
