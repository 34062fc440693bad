"""The training loop. A run interrupted at any time goes on where its last epoch ended, to the same result."""

from __future__ import annotations

import csv
import io
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from elfzoo.config import to_dict
from elfzoo.errors import ElfzooError
from elfzoo.hub import save_release
from elfzoo.io.files import write_bytes
from elfzoo.models.base import PointModel
from elfzoo.progress import progress_bar
from elfzoo.registry import create_model
from elfzoo.training.checkpoint import clone_weights, load_checkpoint, save_checkpoint
from elfzoo.training.config import TrainConfig
from elfzoo.training.points import FeatureStore, PointSet, draw_points, stream_batches

__all__ = ["train"]

WARM_UP = 0.05
VALIDATION_SEED = 1_000_003  # apart from the training points' seeds, so that sampled voxels do not depend on them


def train(
    config: TrainConfig, out: str | Path, *, root: str | None = None, resume: bool = True, progress: bool | None = None
) -> Path:
    """Train a model and write its release.

    Args:
        config: what to do.
        out: folder of runs; the run works in ``out/<name>``: ``log.csv``, ``checkpoint.safetensors``, ``release/``.
        root: folder of the datasets, see :class:`elfzoo.datasets.FieldDataset`.
        resume: go on from a checkpoint that is there; False starts afresh.
        progress: show progress bars; by default in a terminal.

    Returns:
        The folder of the release, which :func:`elfzoo.load_pretrained` takes.

    Raises:
        ElfzooError: an empty split, a model that does not train on points, or a checkpoint of another configuration.
    """
    folder = Path(out) / config.name
    folder.mkdir(parents=True, exist_ok=True)
    run = _start(config, folder, root, resume, progress)
    with progress_bar(f"training {config.name}", config.epochs, progress) as advance:
        advance(run.epoch)
        while run.epoch < config.epochs and not run.exhausted:
            run.one_epoch()
            run.save()
            advance(1)
    return run.release()


@dataclass
class _Run:
    config: TrainConfig
    folder: Path
    model: PointModel
    optimizer: torch.optim.Optimizer
    batches: Callable[[int], Iterator[tuple[Any, Tensor]]]
    validate: Callable[[PointModel], dict[str, float]]
    steps_per_epoch: int
    facts: dict[str, Any]
    recipe: Any
    elements: tuple[str, ...]
    epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    log: list[dict[str, float]] = field(default_factory=list)

    def one_epoch(self) -> None:
        """Every batch once, then validation."""
        began, total, count = time.perf_counter(), 0.0, 0
        self.model.train()
        torch.manual_seed(self.config.seed * 100_003 + self.epoch)  # dropout: the same after a resume
        for step, (inputs, y) in enumerate(self.batches(self.epoch)):
            self._set_rate(self.epoch * self.steps_per_epoch + step)
            loss = self._step(inputs, y)
            total, count = total + loss, count + 1
        if not math.isfinite(total):
            raise ElfzooError(
                f"the loss became {total} in epoch {self.epoch + 1}; lower learning_rate "
                "(the checkpoint of the epoch before is kept)"
            )
        self.epoch += 1
        errors = self._validate()
        score = sum(errors.values()) / len(errors)
        seconds = round(time.perf_counter() - began, 3)
        self.log.append({"epoch": self.epoch, "loss": total / count, **errors, "score": score, "seconds": seconds})
        if score <= min(row["score"] for row in self.log):
            self.best = clone_weights(self.model)

    @property
    def exhausted(self) -> bool:
        """No improvement for ``patience`` epochs."""
        if self.config.patience is None or not self.log:
            return False
        best = min(range(len(self.log)), key=lambda i: self.log[i]["score"])
        return len(self.log) - 1 - best >= self.config.patience

    def save(self) -> None:
        """Checkpoint and log of the epoch that has just ended."""
        weights = {"model": clone_weights(self.model), "best": self.best}
        state = {"epoch": self.epoch, "log": self.log, "config": to_dict(self.config)}
        save_checkpoint(self.folder / "checkpoint.safetensors", weights, self.optimizer, state)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.log[0]))
        writer.writeheader()
        writer.writerows(self.log)
        write_bytes(self.folder / "log.csv", [text.getvalue().encode()])

    def restore(self) -> None:
        """Go on from the checkpoint in the run's folder."""
        path = self.folder / "checkpoint.safetensors"
        weights, state = load_checkpoint(path, self.optimizer)
        if state["config"] != to_dict(self.config):
            raise ElfzooError(f"{path} belongs to another configuration; choose another name, or start afresh")
        self.model.load_state_dict(weights["model"])
        self.best = weights["best"]
        self.epoch, self.log = state["epoch"], state["log"]

    def release(self) -> Path:
        """Write the release with the last or best weights."""
        if self.config.select_best:
            self.model.load_state_dict(self.best)
        facts = self.facts | {"epochs_run": self.epoch, "seconds": round(sum(r["seconds"] for r in self.log), 1)}
        chosen = min(self.log, key=lambda r: r["score"]) if self.config.select_best else self.log[-1]
        facts["validation_mae"] = {k[4:]: round(v, 6) for k, v in chosen.items() if k.startswith("mae ")}
        recipe = {} if self.recipe is None else vars(self.recipe)
        folder = self.folder / "release"
        save_release(self.model, folder, self.config.name, elements=self.elements, training=facts, **recipe)
        return folder

    def _step(self, inputs: Any, y: Tensor) -> float:
        logits = self.model.head(inputs) if isinstance(inputs, Tensor) else self.model(inputs)
        loss = torch.nn.functional.smooth_l1_loss(torch.sigmoid(logits), y, beta=self.config.huber_beta)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def _validate(self) -> dict[str, float]:
        self.model.eval()
        return self.validate(self.model)

    def _set_rate(self, step: int) -> None:
        if self.config.schedule == "constant":
            return
        done = step / (self.steps_per_epoch * self.config.epochs)
        rising = done / WARM_UP if done < WARM_UP else 1.0
        falling = 0.5 * (1 + math.cos(math.pi * max(done - WARM_UP, 0.0) / (1 - WARM_UP)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * max(rising * falling, 1e-3)


def _start(config: TrainConfig, folder: Path, root: str | None, resume: bool, progress: bool | None) -> _Run:
    torch.manual_seed(config.seed)
    model = create_model(config.architecture, config.model)
    if not isinstance(model, PointModel):
        raise ElfzooError(f"{config.architecture} does not learn from points")
    drawn = [draw_points(d, config.seed, root) for d in config.train]
    sets = [s for part, _ in drawn for s in part]
    elements = sorted({site.specie.symbol for s in sets for site in s.structure})
    batches, steps = _training_batches(model, sets, elements, config, progress)
    validation = [draw_points(d, VALIDATION_SEED, root) for d in config.validate]
    validate = _validator(model, config, [part for part, _ in validation], progress)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    parts = zip(config.train + config.validate, drawn + validation, strict=True)
    hashes = {f"{d.dataset}/{d.split}": sha256 for d, (_, sha256) in parts}
    facts = {"config": to_dict(config), "data_sha256": hashes, "points": sum(len(s.y) for s in sets)} | _environment()
    recipes = {s.recipe for s in sets}
    recipe = recipes.pop() if len(recipes) == 1 else None
    run = _Run(config, folder, model, optimizer, batches, validate, steps, facts, recipe, tuple(elements))
    if resume and (folder / "checkpoint.safetensors").exists():
        run.restore()
    return run


def _training_batches(
    model: PointModel, sets: list[PointSet], elements: list[str], config: TrainConfig, progress: bool | None
) -> tuple[Callable[[int], Iterator[tuple[Any, Tensor]]], int]:
    """Batches of an epoch and their number: stored features where nothing in them is learned, else fresh ones."""
    size, count = config.batch_size, sum(len(s.y) for s in sets)

    def generator(epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed(config.seed * 100_003 + epoch)

    if model.encoder_is_constant(elements):
        store = FeatureStore.build(model, sets, config.feature_precision, progress)
        model.fit_statistics(store.features)
        return lambda epoch: store.batches(size, torch.randperm(count, generator=generator(epoch))), max(
            count // size, 1
        )
    sample = [PointSet(s.structure, s.points[::16], s.y[::16], s.recipe) for s in sets]
    model.fit_statistics(FeatureStore.build(model, sample, "float32", progress).features)
    return lambda epoch: stream_batches(model, sets, size, generator(epoch)), max(count // size, 1)


def _validator(
    model: PointModel, config: TrainConfig, parts: list[list[PointSet]], progress: bool | None
) -> Callable[[PointModel], dict[str, float]]:
    """MAE over the points of each structure, averaged over the structures of each validation set."""
    names = [f"mae {d.dataset}/{d.split}" for d in config.validate]
    elements = {site.specie.symbol for part in parts for s in part for site in s.structure}
    if model.encoder_is_constant(elements):
        stores = [FeatureStore.build(model, part, config.feature_precision, progress) for part in parts]
        return lambda m: dict(zip(names, (float(store.structure_errors(m).mean()) for store in stores), strict=True))

    def fresh(m: PointModel) -> dict[str, float]:
        stores = (FeatureStore.build(m, part, "float32", False) for part in parts)
        return dict(zip(names, (float(store.structure_errors(m).mean()) for store in stores), strict=True))

    return fresh


def _environment() -> dict[str, Any]:
    return {"torch": torch.__version__, "python": platform.python_version(), "threads": torch.get_num_threads(),
            "hardware": f"{platform.machine()}, {os.cpu_count()} cores"}  # fmt: skip
