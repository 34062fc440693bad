"""The training loop. A run interrupted at any time goes on where its last epoch ended, to the same result."""

from __future__ import annotations

import csv
import io
import math
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from elfzoo.card import HISTORY, Card, Domain
from elfzoo.config import parse, to_dict
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.hub import load_pretrained, save_release
from elfzoo.io.files import write_bytes
from elfzoo.models.base import Model, PointModel
from elfzoo.models.field_model import FieldModel
from elfzoo.progress import progress_bar
from elfzoo.registry import architecture_of, create_model
from elfzoo.training.checkpoint import clone_weights, load_checkpoint, save_checkpoint
from elfzoo.training.config import TrainConfig
from elfzoo.training.domain import training_domain
from elfzoo.training.fields import FieldTask
from elfzoo.training.memory import keep_freed_memory
from elfzoo.training.parallel import ALONE, Ranks, joined
from elfzoo.training.points import PointTask, shared_files
from elfzoo.training.task import Task
from elfzoo.training.tune import merge, prepare

__all__ = ["train"]

WARM_UP = 0.05
RELEASE = "release"
RANK_SEED = 7_919  # between the random numbers of two processes
CRITERION_SPEED = 10.0  # learning rate of a loss's own parameters: logarithms of small numbers have far to go


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    root: str | None = None,
    resume: bool = True,
    progress: bool | None = None,
    device: str = "cpu",
) -> Path:
    """Train a model and write its release.

    Processes that ``torchrun`` started share every batch, and give the result of one to rounding (dropout apart, whose
    random numbers differ). All of them need the data and the folder of runs; the first one writes.

    Args:
        config: what to do.
        out: folder of runs; the run works in ``out/<name>``: ``log.csv`` (which the release has too),
            ``checkpoint.safetensors``, ``release/``.
        root: folder of the datasets, see :class:`elfzoo.datasets.FieldDataset`.
        resume: go on from a checkpoint that is there; False starts afresh.
        progress: show progress bars; by default in a terminal.
        device: of the network, ``cpu`` or ``cuda``. GPUs were not tested.

    Returns:
        The folder of the release, which :func:`elfzoo.load_pretrained` takes.

    Raises:
        ElfzooError: an empty split, a model that does not fit the configuration, or a checkpoint of another one.
        ConfigError: a precision that the device has not, or files that are both trained and validated on.
    """
    keep_freed_memory()
    place = _device(device, config)
    folder = Path(out) / config.name
    folder.mkdir(parents=True, exist_ok=True)
    with joined() as ranks:
        shown = progress if ranks.first else False
        run = _start(config, folder, root, resume, shown, place, ranks)
        with progress_bar(f"training {config.name}", config.epochs, shown) as advance:
            advance(run.epoch)
            while run.epoch < config.epochs and not run.exhausted:
                run.one_epoch()
                run.save()
                advance(1)
        if ranks.first:
            run.release(training_domain(config.train, root))
        ranks.wait()
    return folder / RELEASE


@dataclass
class _Run:
    config: TrainConfig
    folder: Path
    task: Task
    optimizer: torch.optim.Optimizer
    ranks: Ranks = ALONE
    epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    log: list[dict[str, float]] = field(default_factory=list)

    def one_epoch(self) -> None:
        """Every batch once, then validation."""
        began, total, count = time.perf_counter(), 0.0, 0
        self.task.model.train()
        own = RANK_SEED * self.ranks.rank
        torch.manual_seed(self.config.seed * 100_003 + self.epoch + own)  # dropout: the same after a resume
        for step, pieces in enumerate(self.task.batches(self.epoch)):
            self._set_rate(self.epoch * self.task.steps_per_epoch + step)
            total, count = total + self._step(pieces), count + 1
        total = self.ranks.total(total)
        if not math.isfinite(total):
            raise ElfzooError(
                f"the loss became {total} in epoch {self.epoch + 1}; lower learning_rate "
                "(the checkpoint of the epoch before is kept)"
            )
        self.epoch += 1
        errors = self._validate()
        score = self.config.score(errors)
        if not math.isfinite(score):
            raise ElfzooError(
                f"the validation error became {score} in epoch {self.epoch}; lower learning_rate "
                "(the checkpoint of the epoch before is kept)"
            )
        seconds = round(time.perf_counter() - began, 3)
        self.log.append({"epoch": self.epoch, "loss": total / count, **errors, "score": score, "seconds": seconds})
        if score <= min(row["score"] for row in self.log):
            self.best = clone_weights(self.task.model)

    @property
    def exhausted(self) -> bool:
        """No improvement for ``patience`` epochs."""
        if self.config.patience is None or not self.log:
            return False
        best = min(range(len(self.log)), key=lambda i: self.log[i]["score"])
        return len(self.log) - 1 - best >= self.config.patience

    def save(self) -> None:
        """Checkpoint and log of the epoch that has just ended, by the first process."""
        if not self.ranks.first:
            return
        weights = {"model": clone_weights(self.task.model), "best": self.best}
        weights["criterion"] = clone_weights(self.task.criterion)
        state = {"epoch": self.epoch, "log": self.log, "config": to_dict(self.config)}
        state |= {"data_sha256": self.task.data_sha256}
        save_checkpoint(self.folder / "checkpoint.safetensors", weights, self.optimizer, state)
        write_bytes(self.folder / HISTORY, [self.history()])

    def history(self) -> bytes:
        """The log as CSV."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.log[0]))
        writer.writeheader()
        writer.writerows(self.log)
        return text.getvalue().encode()

    def restore(self) -> None:
        """Go on from the checkpoint in the run's folder."""
        path = self.folder / "checkpoint.safetensors"
        weights, state = load_checkpoint(path, self.optimizer)
        if to_dict(parse(TrainConfig, state["config"], where=str(path))) != to_dict(self.config):
            raise ElfzooError(f"{path} belongs to another configuration; choose another name, or start afresh")
        if (known := state.get("data_sha256", self.task.data_sha256)) != self.task.data_sha256:
            changed = sorted(key for key, value in self.task.data_sha256.items() if known.get(key) != value)
            raise ElfzooError(f"{path} learned from other data: {', '.join(changed)} changed; start afresh")
        self.task.model.load_state_dict(weights["model"])
        self.task.criterion.load_state_dict(weights.get("criterion", {}))
        self.best = weights["best"]
        self.epoch, self.log = state["epoch"], state["log"]

    def release(self, domain: Domain) -> Path:
        """Write the release with the last or best weights."""
        task = self.task
        if self.config.select_best:
            task.model.load_state_dict(self.best)
        merge(task.model.cpu())
        chosen = min(self.log, key=lambda r: r["score"]) if self.config.select_best else self.log[-1]
        facts = {"config": to_dict(self.config), "data_sha256": task.data_sha256, task.unit: task.size()}
        facts |= _environment() | ({} if self.ranks.size == 1 else {"processes": self.ranks.size})
        facts |= task.closing_facts()
        facts |= {"epochs_run": self.epoch, "seconds": round(sum(r["seconds"] for r in self.log), 1)}
        facts["validation_mae"] = {k[4:]: round(v, 6) for k, v in chosen.items() if k.startswith("mae ")}
        if len(task.recipes) > 1:
            facts["recipes"] = [(vars(r) if r else {}) | {task.unit: count} for r, count in task.recipes.items()]
        recipe = {} if task.recipe is None else vars(task.recipe)
        folder = self.folder / RELEASE
        folder.mkdir(exist_ok=True)
        write_bytes(folder / HISTORY, [self.history()])
        told: dict[str, Any] = {"elements": task.elements, "domain": domain, "training": facts}
        if task.model.card is not None:
            told |= _together(task.model.card, told)
        save_release(task.model, folder, self.config.name, **told, **recipe)
        return folder

    def _step(self, pieces: Iterator[tuple[Any, float]]) -> float:
        self.optimizer.zero_grad()
        total = 0.0
        for piece, share in pieces:
            for part in self.task.losses(piece):
                loss = part * share
                loss.backward()
                total += float(loss.detach())
        self.ranks.add_gradients(p for group in self.optimizer.param_groups for p in group["params"])
        self.optimizer.step()
        return total

    def _validate(self) -> dict[str, float]:
        self.task.model.eval()
        return self.task.validate()

    def _set_rate(self, step: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * group["speed"] * self._schedule(step)

    def _schedule(self, step: int) -> float:
        """The learning rate of a step, over the highest."""
        if self.config.schedule == "constant":
            return 1.0
        done = step / (self.task.steps_per_epoch * self.config.epochs)
        rising = done / WARM_UP if done < WARM_UP else 1.0
        falling = 0.5 * (1 + math.cos(math.pi * max(done - WARM_UP, 0.0) / (1 - WARM_UP)))
        return max(rising * falling, 1e-3)


def _device(name: str, config: TrainConfig) -> torch.device:
    """Of several processes on one machine each takes a GPU of its own."""
    if name not in ("cpu", "cuda"):
        raise ElfzooError(f"a network is trained on cpu or cuda; got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ElfzooError("there is no CUDA device here; train on the cpu")
    if name == "cpu" and config.precision != "float32":
        raise ConfigError(f"precision: {config.precision} is for CUDA devices; on a processor leave it at float32")
    return torch.device("cpu" if name == "cpu" else f"cuda:{os.environ.get('LOCAL_RANK', '0')}")


def _start(
    config: TrainConfig,
    folder: Path,
    root: str | None,
    resume: bool,
    progress: bool | None,
    device: torch.device,
    ranks: Ranks,
) -> _Run:
    torch.manual_seed(config.seed)
    model = _model(config).to(device)
    if not config.validate_on_train and (shared := shared_files(config)):
        raise ConfigError(
            f"{config.name} is to validate on what it trains on: {shared[0]} ({len(shared)} files in all, told by "
            "their SHA-256); expected others, or validate_on_train: true where there are too few"
        )
    task = _task(model, config, root, progress, ranks)
    task.criterion.to(device)
    learned = [p for p in task.model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": learned, "speed": 1.0}]
    if own := list(task.criterion.parameters()):
        groups.append({"params": own, "speed": CRITERION_SPEED, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
    run = _Run(config, folder, task, optimizer, ranks)
    if resume and (folder / "checkpoint.safetensors").exists():
        run.restore()
    ranks.start_alike(task.model, run.epoch)
    return run


def _model(config: TrainConfig) -> Model:
    """Fresh weights, or those of a trained model, ready for what the run may change of them.

    Raises:
        ConfigError: the configuration names another architecture than the trained model's, or one without weights.
    """
    if config.start is None:
        fresh = create_model(config.architecture, config.model, config.target)
        if not list(fresh.parameters()):
            raise ConfigError(f"{config.architecture} has nothing to learn; expected an architecture with weights")
        return fresh
    model = load_pretrained(config.start.release)
    if architecture_of(model) != config.architecture:
        raise ConfigError(f"{config.start.release} is a {architecture_of(model)}, the run's {config.architecture}")
    prepare(model, config.start)
    return model


def _task(model: Model, config: TrainConfig, root: str | None, progress: bool | None, ranks: Ranks) -> Task:
    if isinstance(model, PointModel):
        return PointTask(model, config, root, progress, ranks)
    if isinstance(model, FieldModel):
        return FieldTask(model, config, root, progress, ranks)
    raise ElfzooError(f"{config.architecture} learns neither from points nor from fields")


def _together(before: Card, told: dict[str, Any]) -> dict[str, Any]:
    """What a model knows that went on from a trained one: elements of both, and where it comes from."""
    start = {
        "release": before.name,
        "weights_sha256": before.weights_sha256,
        "domain": before.domain and to_dict(before.domain),
    }
    elements = tuple(sorted({*before.elements, *told["elements"]}))
    return {"elements": elements, "training": {**told["training"], "start": start}, "license": before.license}


def _environment() -> dict[str, Any]:
    return {"torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads(),
            "hardware": f"{platform.machine()}, {os.cpu_count()} cores"}  # fmt: skip
