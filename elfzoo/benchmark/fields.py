"""The rows of a task on fields: predict every structure, measure it. Resumable by structure.

A run works in a folder of its own: ``rows/NAME.json`` as soon as a structure is measured, ``predictions/NAME.npz`` what
was measured, to the bit. Interrupted, the same call goes on where it stopped; rows of other weights, data or versions
are never mixed in.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from elfzoo.benchmark.measure import json_values, measure, of_reference, pair
from elfzoo.benchmark.plan import Benchmark
from elfzoo.benchmark.pool import each
from elfzoo.benchmark.record import begin, prediction_path, write_json
from elfzoo.benchmark.spent import Meter
from elfzoo.benchmark.task import Task
from elfzoo.config import to_dict
from elfzoo.errors import ElfzooError
from elfzoo.field import read_field
from elfzoo.io.symmetric import write_reference
from elfzoo.progress import progress_bar

__all__ = ["field_rows", "measure_structure"]


def field_rows(benchmark: Benchmark, task: Task, workers: int, progress: bool | None) -> list[dict[str, Any]]:
    """Measure what is not measured yet, and return the rows of all structures.

    Raises:
        ElfzooError: data, entrant or a prediction that cannot be had (what was measured before stays), or prediction
            files that lie in the run's own folder.
    """
    names = benchmark.names
    _prepare(benchmark, task)
    left = [i for i, name in enumerate(names) if not benchmark.row_path(name).is_file()]
    with progress_bar(f"{benchmark.entrant.name} on {benchmark.name}", len(names), progress) as advance:
        advance(len(names) - len(left))
        for _ in _rows(benchmark, task, left, workers):
            advance(1)
    return [json.loads(benchmark.row_path(name).read_text()) for name in names]


@dataclass(frozen=True)
class Predicted:
    """A prediction in its file, and what it took.

    Args:
        index: of the structure in the data.
        name: of the structure.
        path: of the prediction.
        row: where the measurements go.
        entrant: its name, for errors.
        facts: of the row so far.
    """

    index: int
    name: str
    path: Path
    row: Path
    entrant: str
    facts: dict[str, Any]


def measure_structure(benchmark: Benchmark, task: Task, index: int) -> None:
    """Predict one structure, keep the prediction, and write its row."""
    measure_prediction(benchmark, task, predict_structure(benchmark, index))


def predict_structure(benchmark: Benchmark, index: int) -> Predicted:
    """Predict one structure; the file holds 16 bits of each value: what is measured is what can be shown."""
    structure, reference = benchmark.data[index]
    name = benchmark.names[index]
    meter, began = Meter(), time.perf_counter()
    path = prediction_path(benchmark.place, name)
    try:
        guess = benchmark.entrant.predict(name, structure, benchmark.grid(reference))
        predicted = time.perf_counter()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_reference(of_reference(reference, guess), path, symmetric=False)
    except ElfzooError as error:
        raise _of(benchmark.entrant.name, name, error) from error
    facts = {
        "predicted_grid": list(guess.grid.shape),
        "prediction_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "seconds": predicted - began,
        "storing_seconds": time.perf_counter() - predicted,
        **meter.read(),
    }
    return Predicted(index, name, path, benchmark.row_path(name), benchmark.entrant.name, facts)


def measure_prediction(benchmark: Benchmark, task: Task, found: Predicted) -> None:
    """Measure a prediction in its file, in whatever process, and write its row. The entrant itself is not needed."""
    structure, reference = benchmark.data[found.index]
    meter, began = Meter(), time.perf_counter()
    try:
        measured = measure(pair(reference, read_field(found.path), task), task)
    except ElfzooError as error:
        raise _of(found.entrant, found.name, error) from error
    if not benchmark.keep_predictions:
        found.path.unlink()
    facts, spent = dict(found.facts), meter.read()
    row = {
        "file": reference.meta["file"],
        "formula": structure.composition.formula,
        "atoms": len(structure),
        "group": reference.meta.get(task.group_by) if task.group_by else None,
        "grid": list(reference.grid.shape),
        "predicted_grid": facts["predicted_grid"],
        "prediction_sha256": facts["prediction_sha256"],
        **measured,
        "seconds": facts["seconds"],
        "measuring_seconds": facts["storing_seconds"] + time.perf_counter() - began,
        "cpu_seconds": facts["cpu_seconds"] + spent["cpu_seconds"],
        "peak_rss_gib": max(facts["peak_rss_gib"], spent["peak_rss_gib"]),
    }
    write_json(found.row, json_values(row))


def _of(entrant: str, name: str, error: ElfzooError) -> ElfzooError:
    return ElfzooError(f"{entrant} on {name}: {error}")


def _rows(benchmark: Benchmark, task: Task, left: list[int], workers: int) -> Iterator[None]:
    """Measure structures in this process, or in several that share the cores; the largest first.

    What a factory makes might be another thing in another process: it predicts in this one, and the others measure.
    """
    sizes = {i: -(benchmark.data.raw_dir / benchmark.data.raw_file_names[i]).stat().st_size for i in left}
    order = sorted(left, key=sizes.__getitem__)
    if workers == 1 or not benchmark.is_made:
        return each(partial(measure_structure, benchmark, task), order, workers)
    return each(partial(measure_prediction, benchmark, task), [predict_structure(benchmark, i) for i in order], workers)


def _prepare(benchmark: Benchmark, task: Task) -> None:
    """Forget the rows of other weights, data, tasks or versions."""
    place = benchmark.place
    _spare_given_files(benchmark.predictions, place)
    identity = {
        "entrant": dict(benchmark.entrant.facts),
        "data_sha256": benchmark.data.data_hash,
        "task": {key: value for key, value in to_dict(task).items() if key != "on_request"},
        "predictions": None if benchmark.predictions is None else _fingerprint(benchmark.predictions),
    }
    if not benchmark.entrant.is_known:  # the rows there may be of another thing that the same factory made
        identity["made"] = uuid.uuid4().hex
    begin(place, identity, ("rows", "predictions"))


def _spare_given_files(predictions: Path | None, place: Path) -> None:
    """Refuse prediction files from the folder that the run would clear and write to."""
    if predictions is not None and predictions.resolve().is_relative_to(place.resolve()):
        raise ElfzooError(
            f"the predictions {predictions} lie in the folder of this very run, {place}, which it would overwrite: "
            "give the entrant another name, or the files another place"
        )


def _fingerprint(folder: Path) -> str:
    """Of a folder of prediction files: changed files are measured again."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256(repr([(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]).encode()).hexdigest()
