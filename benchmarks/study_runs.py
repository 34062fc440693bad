"""One run of a study: train, then measure each structure of the tasks; and the record that runs are kept in."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from study_config import Row, StudyConfig, reference_of, sha256

import elfzoo
from elfzoo.analysis import field_metrics
from elfzoo.benchmark import environment, find_task, select
from elfzoo.config import parse
from elfzoo.core_radii import has_cores, outside_cores
from elfzoo.datasets import FieldDataset, uniform_indices
from elfzoo.errors import ElfzooError, ElfzooWarning
from elfzoo.io.files import write_bytes
from elfzoo.models import Model
from elfzoo.models.diagonalised import Diagonalised
from elfzoo.progress import progress_bar
from elfzoo.training import DataConfig, TrainConfig, train
from elfzoo.training.points import choose

__all__ = ["Bench", "Record", "Run", "measure"]

METRICS = ("mae", "rmse", "r2", "mae_outside_cores")
VOXEL_SEED = 0  # of the voxels that are measured: the same for every run, so that runs can be compared in pairs
DIGITS = 6


@dataclass(frozen=True)
class Run:
    """A row with one seed; ``key`` names configuration, data, what is measured, and the version of elfzoo."""

    row: Row
    seed: int
    key: str

    @property
    def name(self) -> str:
        """Of its folder and release; other data or another configuration never meet its checkpoint."""
        slug = "".join(c if c.isalnum() or c in ".-" else "-" for c in self.row.label)
        return f"{slug}-seed{self.seed}-{self.key[:8]}"


@dataclass(frozen=True)
class Bench:
    """Where a study is run.

    Args:
        name: of the study.
        study: what to do.
        rows: what it expands to.
        out: folder of the training runs.
        root: folder of the datasets, see :class:`elfzoo.datasets.FieldDataset`.
    """

    name: str
    study: StudyConfig
    rows: Sequence[Row]
    out: Path
    root: str | None = None

    @functools.cached_property
    def tests(self) -> dict[str, FieldDataset]:
        """The structures of each task."""
        found = {name: select(find_task(name), self.study.split, self.root, pinned=False) for name in self.study.tasks}
        if empty := [name for name, data in found.items() if not len(data)]:
            raise ElfzooError(f"nothing to measure on: {', '.join(empty)}, split {self.study.split}, has no structure")
        return found

    def runs(self, seeds: Sequence[int], only: str = "") -> Iterator[Run]:
        """Every run once, seed by seed, so that what is interrupted has whole tables; rows may share runs.

        Args:
            seeds: of each row.
            only: regular expression that the labels of the rows contain.
        """
        seen = set()
        for seed in seeds:
            for row in (row for row in self.rows if re.search(only, row.label)):
                run = self.run(row, seed)
                if run.key not in seen:
                    seen.add(run.key)
                    yield run

    def run(self, row: Row, seed: int) -> Run:
        """A row with a seed."""
        return Run(row, seed, sha256([row.config_sha256, seed, self._data(row), self._measured_on, elfzoo.__version__]))

    @functools.cached_property
    def _measured_on(self) -> list[Any]:
        return [{task: data.data_hash for task, data in self.tests.items()}, self.study.voxels, self.study.seen]

    def _data(self, row: Row) -> list[str]:
        """Hash of each part of the data that a row trains on."""
        values = row.values or {}
        parts = (*values.get("train", ()), *values.get("validate", ()))
        return [self._data_hash(parse(DataConfig, part)) for part in parts]

    @functools.cached_property
    def _data_hash(self) -> Callable[[DataConfig], str]:
        return functools.cache(lambda part: choose(part, self.root)[1].data_hash)

    def execute(self, run: Run) -> dict[str, Any]:
        """Train, measure, and say what came of it; a run that fails says why."""
        entry = {"key": run.key, "config_sha256": run.row.config_sha256, "seed": run.seed, "config": run.row.values}
        entry |= surroundings()
        began, cpu = time.perf_counter(), time.process_time()
        try:
            entry |= self._measured(run.row.config(run.name, run.seed))
        except (ElfzooError, MemoryError) as error:
            entry["failed"] = f"{type(error).__name__}: {error}"
        seconds = {"run": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        return entry | {f"{name}_seconds": round(value, 1) for name, value in seconds.items()}

    def head(self) -> dict[str, Any]:
        """What the record says besides its runs."""
        study, tests = self.study, self.tests.items()
        return {
            "study": self.name,
            "title": study.title,
            "shows": study.shows,
            "architecture": study.training["architecture"],
            "split": study.split,
            "voxels": study.voxels,
            "combine": study.combine,
            "reference": reference_of(study),
            "axes": {name: {"title": axis.title, "log": axis.log} for name, axis in study.axes.items()},
            "tasks": {
                name: {"title": find_task(name).title, "data_sha256": data.data_hash, "files": data.raw_file_names}
                for name, data in tests
            },
            "rows": [{"label": r.label, "at": dict(r.at), "config_sha256": r.config_sha256} for r in self.rows],
        }

    def _measured(self, config: TrainConfig) -> dict[str, Any]:
        model = elfzoo.load_pretrained(train(config, self.out, root=self.root))
        found = {task: measure(model, data, self.study.voxels) for task, data in self.tests.items()}
        if self.study.seen:
            trained = [choose(part, self.root)[1] for part in config.train]
            errors = [measure(model, data, self.study.voxels)[0] for data in trained]
            seen = averages({name: [x for part in errors for x in part[name]] for name in METRICS})
        return {
            "weights_sha256": model.card.weights_sha256,
            "data_sha256": model.card.training["data_sha256"],
            "parameters": sum(p.numel() for p in model.parameters()),
            "train_seconds": model.card.training["seconds"],
            "points_per_second": {task: speed for task, (_, speed) in found.items()},
            "metrics": {task: averages(errors) for task, (errors, _) in found.items()},
            "errors": {task: errors for task, (errors, _) in found.items()},
            **({"seen": seen} if self.study.seen else {}),
        }


class Record:
    """The runs of a study, written whole after each of them; several processes may add to one record.

    Args:
        path: of the JSON file; what it holds already is kept.
    """

    def __init__(self, path: Path):
        self.path = path
        self.runs = self._stored()
        self._dropped: set[str] = set()

    def drop_stale(self, bench: Bench) -> int:
        """Forget runs of other configurations, data or versions than the study has now; returns their number."""
        rows = {row.config_sha256: row for row in bench.rows}
        for key, entry in self.runs.items():
            row = rows.get(entry["config_sha256"])
            if row is None or bench.run(row, entry["seed"]).key != key:
                self._dropped.add(key)
        self.runs = {key: entry for key, entry in self.runs.items() if key not in self._dropped}
        return len(self._dropped)

    def add(self, entry: dict[str, Any], head: Mapping[str, Any]) -> None:
        """Keep a run and write the record, one line for each run."""
        others = {key: entry for key, entry in self._stored().items() if key not in self._dropped}
        self.runs = others | self.runs | {entry["key"]: entry}
        body = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
        lines = ",\n".join(json.dumps(run, ensure_ascii=False, allow_nan=False) for run in self.runs.values())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self.path, [f'{body},\n "runs": [\n{lines}\n]}}\n'.encode()])

    def _stored(self) -> dict[str, dict[str, Any]]:
        """Runs in the file."""
        stored = json.loads(self.path.read_text()) if self.path.exists() else {"runs": []}
        return {entry["key"]: entry for entry in stored["runs"]}


def measure(model: Model, data: FieldDataset, voxels: int | None) -> tuple[dict[str, list[float | None]], float]:
    """Errors of each structure, and how many points are predicted in a second.

    Args:
        model: in evaluation mode.
        data: the structures.
        voxels: drawn uniformly from each; None predicts the whole field.

    Returns:
        For each of METRICS a list over the structures (None where it is undefined), and points per second.
    """
    rows, points, seconds = [], 0, 0.0
    with progress_bar(f"measuring on {data.name}", len(data)) as advance:
        for _, field in data:
            chosen, began = voxels_of(field, voxels), time.perf_counter()
            guess = predict(model, field, None if voxels is None else chosen)
            seconds, points = seconds + time.perf_counter() - began, points + len(chosen)
            rows.append(errors_of(field, chosen, guess))
            advance(1)
    return {name: [row[name] for row in rows] for name in METRICS}, round(points / seconds)


def voxels_of(field: elfzoo.Field, voxels: int | None) -> np.ndarray:
    """Flat indices of what is measured."""
    if voxels is None:
        return np.arange(field.values.size)
    return uniform_indices(field.values, voxels, np.random.default_rng(VOXEL_SEED))


def predict(model: Model, field: elfzoo.Field, chosen: np.ndarray | None) -> np.ndarray:
    """ELF at the chosen voxels, or on the whole grid.

    Raises:
        QuantityError: the model is of another quantity than the reference.
        RecipeError: it learned from another recipe.
    """
    field.require_quantity(model.quantity, "the reference")
    if model.card is not None and model.card.recipe is not None:
        field.require_same_recipe(field.replace(recipe=model.card.recipe))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ElfzooWarning
        )  # elements that no training structure has are what some tasks ask
        if chosen is None:
            return model.predict(field.structure, grid=field.grid, progress=False).values.ravel()
        if isinstance(model, Diagonalised):  # one diagonalisation serves every run of a study
            return model.kept_values(field.structure, field.grid.positions(chosen))
        return model.predict(field.structure, points=field.grid.frac_coords(chosen), progress=False)


def errors_of(field: elfzoo.Field, chosen: np.ndarray, guess: np.ndarray) -> dict[str, float | None]:
    """METRICS of one structure; outside of cores where it has some, since labels depend on the engine inside."""
    truth = field.values.ravel()[chosen]
    found = field_metrics(truth, guess)
    row = {"mae": found.mae, "rmse": found.rmse, "r2": found.r2, "mae_outside_cores": float("nan")}
    if has_cores(field.structure):
        outside = outside_cores(field.structure, field.grid).ravel()[chosen]
        row["mae_outside_cores"] = field_metrics(truth[outside], guess[outside]).mae
    return {name: rounded(value) for name, value in row.items()}


def averages(errors: Mapping[str, Sequence[float | None]]) -> dict[str, float | None]:
    """Means over the structures where a metric is defined."""
    known = {name: [x for x in values if x is not None] for name, values in errors.items()}
    return {name: rounded(np.mean(values)) if values else None for name, values in known.items()}


def rounded(value: float) -> float | None:
    return round(float(value), DIGITS) if np.isfinite(value) else None


def surroundings() -> dict[str, Any]:
    """Code and machine; the load tells whether times are of an idle one."""
    return {
        **environment(),
        "code_sha256": code_hash(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
    }


@functools.cache
def code_hash() -> str:
    """SHA-256 over elfzoo's Python files: the version alone does not tell one commit from the next."""
    root = Path(elfzoo.__file__).parent
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.py"))
    return sha256([[name, hashlib.sha256((root / name).read_bytes()).hexdigest()] for name in names])
