"""Run an entrant on a task: predict every structure, measure it, write the record. Resumable by structure.

A run works in a folder of its own: ``rows/NAME.json`` as soon as a structure is measured, ``predictions/NAME.npz`` what
was measured, to the bit. Interrupted, the same call goes on where it stopped; rows of other weights, data or versions
are never mixed in.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Composition

from elfzoo._version import __version__
from elfzoo.benchmark.entrant import Entrant, load_entrant, prediction_files
from elfzoo.benchmark.measure import fine_shape, json_values, measure, pair
from elfzoo.benchmark.record import environment, record_path, write_json
from elfzoo.benchmark.summary import curves, grouped, summary, without_curves
from elfzoo.benchmark.task import Task, find_task, select, task_name
from elfzoo.config import to_dict
from elfzoo.datasets import FieldDataset, Sample
from elfzoo.errors import ElfzooError
from elfzoo.field import Field, read_field
from elfzoo.grid import Grid
from elfzoo.io.symmetric import write_reference
from elfzoo.progress import progress_bar
from elfzoo.training.points import dataset_class

__all__ = ["Benchmark", "run"]


@dataclass(frozen=True)
class Samples:
    """The (structure, field) pairs of several datasets, as often as they are asked for."""

    parts: tuple[FieldDataset, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Sample]:
        return chain.from_iterable(self.parts)


@dataclass(frozen=True)
class Benchmark:
    """What is to be measured on what.

    Args:
        spec: of the entrant, see :func:`~elfzoo.benchmark.entrant.load_entrant`; with ``predictions`` its name alone.
        task: name of the task, or a YAML file.
        folder: where the run works; entrants and tasks have folders in it.
        split: ``"test"``, or ``"val"`` to choose by.
        root: folder of the datasets.
        predictions: folder of prediction files to measure instead of a model.
        keep_predictions: leave the predictions in the run's folder.
    """

    spec: str
    task: str
    folder: Path
    split: str = "test"
    root: str | None = None
    predictions: Path | None = None
    keep_predictions: bool = True

    @property
    def name(self) -> str:
        """Of the task, in records and folders."""
        return task_name(self.task)

    @cached_property
    def definition(self) -> Task:
        return find_task(self.task)

    @cached_property
    def data(self) -> FieldDataset:
        return select(self.definition, self.split, self.root)

    @cached_property
    def names(self) -> list[str]:
        """Of the structures: their files' names without the suffix (there are other dots in them)."""
        return [file.removesuffix(".npz") for file in self.data.raw_file_names]

    @cached_property
    def entrant(self) -> Entrant:
        if self.predictions is not None:
            return prediction_files(self.predictions, self.spec)
        training = [dataset_class(name)(root=self.root, split="train") for name in self.definition.train]
        return load_entrant(self.spec, Samples(tuple(training)))

    @property
    def place(self) -> Path:
        """Folder of this run."""
        return self.folder / self.entrant.name / (self.name if self.split == "test" else f"{self.name}-{self.split}")

    def row_path(self, name: str) -> Path:
        """Where the measurements of a structure go; ``name`` as in :attr:`names`."""
        return self.place / "rows" / f"{name}.json"


def run(benchmark: Benchmark, results: Path, workers: int = 1, progress: bool | None = None) -> Path:
    """Measure what is not measured yet, write the record and return its path.

    Args:
        benchmark: what to measure.
        results: folder of the records.
        workers: structures at a time; the cores are shared among them.
        progress: show a bar; by default in a terminal.

    Raises:
        ElfzooError: data, entrant or a prediction that cannot be had; what was measured before stays.
    """
    task, names = benchmark.definition, benchmark.names
    _prepare(benchmark)
    left = [i for i, name in enumerate(names) if not benchmark.row_path(name).is_file()]
    with progress_bar(f"{benchmark.entrant.name} on {benchmark.name}", len(names), progress) as advance:
        advance(len(names) - len(left))
        for _ in _rows(benchmark, left, workers):
            advance(1)
    rows = [json.loads(benchmark.row_path(name).read_text()) for name in names]
    found = _head(benchmark, rows) | {
        "metrics": summary(rows),
        "groups": grouped(rows),
        "cost": _cost(rows, workers),
        "curves": curves(rows),
        "protocol": task.protocol,
        "structures": [without_curves(row) for row in rows],
    }
    path = record_path(results, benchmark.name, benchmark.entrant.name, benchmark.split)
    write_json(path, found)
    return path


def measure_structure(benchmark: Benchmark, index: int) -> None:
    """Predict one structure, keep the prediction, and write its row."""
    task, (structure, reference) = benchmark.definition, benchmark.data[index]
    name = benchmark.names[index]
    began, cpu = time.perf_counter(), time.process_time()
    grid = Grid(fine_shape(reference, task), structure.lattice.matrix)
    try:
        guess = benchmark.entrant.predict(name, structure, grid)
        predicted = time.perf_counter()
        stored, digest = _stored(guess.replace(structure=structure), benchmark, name)
        measured = measure(pair(reference, stored, task), task)
    except ElfzooError as error:
        raise ElfzooError(f"{benchmark.entrant.name} on {name}: {error}") from error
    row = {
        "file": reference.meta["file"],
        "formula": structure.composition.formula,
        "atoms": len(structure),
        "group": reference.meta.get(task.group_by) if task.group_by else None,
        "grid": list(reference.grid.shape),
        "predicted_grid": list(guess.grid.shape),
        "prediction_sha256": digest,
        **measured,
        "seconds": predicted - began,
        "measuring_seconds": time.perf_counter() - predicted,
        "cpu_seconds": time.process_time() - cpu,
        "peak_rss_gib": _peak_rss_gib(),
    }
    write_json(benchmark.row_path(name), json_values(row))


def _stored(guess: Field, benchmark: Benchmark, name: str) -> tuple[Field, str]:
    """The prediction as its file holds it (16 bits), and the file's SHA-256: what is measured is what can be shown."""
    folder = benchmark.place / "predictions"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    plain = Field(np.clip(guess.values, 0, 1), guess.structure, guess.quantity, guess.recipe)
    write_reference(plain, path, symmetric=False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    stored = read_field(path)
    if not benchmark.keep_predictions:
        path.unlink()
    return stored, digest


def _peak_rss_gib() -> float:
    """Of this process so far; kernels report KiB, macOS bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2 ** (30 if sys.platform == "darwin" else 20)


def _rows(benchmark: Benchmark, left: list[int], workers: int) -> Iterator[None]:
    """Measure structures in this process, or in several that share the cores; the largest first."""
    sizes = {i: -(benchmark.data.raw_dir / benchmark.data.raw_file_names[i]).stat().st_size for i in left}
    order = sorted(left, key=sizes.__getitem__)
    if workers == 1 or len(order) < 2:
        for index in order:
            measure_structure(benchmark, index)
            yield
        return
    context = multiprocessing.get_context("spawn")  # forked threads of torch hang
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(workers, context, _start_worker, (replace(benchmark), threads)) as pool:
        futures = [pool.submit(_work, index) for index in order]
        try:
            for future in futures:
                future.result()
                yield
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_BENCHMARK: list[Benchmark] = []  # of a worker process


def _start_worker(benchmark: Benchmark, threads: int) -> None:
    torch.set_num_threads(threads)
    _BENCHMARK[:] = [benchmark]


def _work(index: int) -> None:
    measure_structure(_BENCHMARK[0], index)


def _head(benchmark: Benchmark, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What was computed, with what, on what."""
    facts = dict(benchmark.entrant.facts)
    asked = {element.symbol for row in rows for element in Composition(row["formula"]).elements}
    return {
        "model": benchmark.entrant.name,
        "task": benchmark.name,
        "split": benchmark.split,
        "data_sha256": benchmark.data.data_hash,
        "weights_sha256": facts.pop("weights_sha256", None),
        "entrant": facts,
        "unknown_elements": sorted(asked - set(facts["elements"])) if facts.get("elements") else [],
        **environment(),
    }


def _cost(rows: list[dict[str, Any]], workers: int) -> dict[str, float]:
    """Seconds summed over structures, and the largest memory of a process, measuring included."""
    total = {name: sum(row[name] for row in rows) for name in ("seconds", "measuring_seconds", "cpu_seconds")}
    voxels = sum(math.prod(row["predicted_grid"]) for row in rows)
    return json_values(
        total
        | {
            "voxels_per_second": voxels / max(total["seconds"], 1e-9),
            "peak_rss_gib": max(row["peak_rss_gib"] for row in rows),
            "workers": workers,
        }
    )


def _prepare(benchmark: Benchmark) -> None:
    """Forget the rows of other weights, data, tasks or versions."""
    place = benchmark.place
    identity = {
        "entrant": dict(benchmark.entrant.facts),
        "data_sha256": benchmark.data.data_hash,
        "task": to_dict(benchmark.definition),
        "predictions": None if benchmark.predictions is None else _fingerprint(benchmark.predictions),
        "elfzoo": __version__,
    }
    path, identity = place / "run.json", json_values(identity)
    if path.is_file() and json.loads(path.read_text()) == identity:
        return
    shutil.rmtree(place / "rows", ignore_errors=True)
    shutil.rmtree(place / "predictions", ignore_errors=True)
    write_json(path, identity)


def _fingerprint(folder: Path) -> str:
    """Of a folder of prediction files: changed files are measured again."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256(repr([(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]).encode()).hexdigest()
