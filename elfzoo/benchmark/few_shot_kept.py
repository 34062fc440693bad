"""Diagonalisations that the runs of a task of few shots share, made first, several structures at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from elfzoo.benchmark.few_shot_task import FewShotTask, shots_of
from elfzoo.benchmark.plan import Benchmark
from elfzoo.benchmark.pool import each
from elfzoo.benchmark.record import write_json
from elfzoo.benchmark.spent import Meter
from elfzoo.datasets import FieldDataset, dataset_class
from elfzoo.errors import ElfzooError
from elfzoo.io import read_field
from elfzoo.models.diagonalised import Diagonalised
from elfzoo.progress import progress_bar
from elfzoo.training.replay import OldData

__all__ = ["diagonalise", "spent_on_diagonalisations", "spread_over"]


def diagonalise(
    benchmark: Benchmark, task: FewShotTask, shots: Iterable[tuple[int, int]], workers: int, progress: bool | None
) -> None:
    """Keep what the runs will ask for, see :func:`elfzoo.transforms.harris.inputs.keeping`; nothing of other models.

    One run after the other would make them singly, while the other cores wait.

    Args:
        shots: numbers of shots and seeds of the runs.
    """
    if not isinstance(benchmark.entrant.model, Diagonalised):
        return
    train = dataset_class(task.dataset)(root=benchmark.root, split="train")
    parts = [dataset_class(task.dataset)(root=benchmark.root, split=benchmark.split)]
    parts += [shots_of(train, count, seed) for count, seed in shots]
    for name in task.remembered:
        old = dataset_class(name)(root=benchmark.root, split="val")
        parts.append(old.subset(spread_over(old)))
    if task.tuning.get("replay") != 0:
        parts += _learned_before(benchmark)
    files = list(dict.fromkeys(part.raw_dir / file for part in parts for file in part.raw_file_names))
    with progress_bar(f"{benchmark.entrant.name}: diagonalisations", len(files), progress) as advance:
        for _ in each(partial(_diagonalise, benchmark), files, workers):
            advance(1)


def spread_over(old: FieldDataset, most: int = 6) -> list[int]:
    """Indices of a few structures from first to last: what was known before is measured on them."""
    return np.linspace(0, len(old) - 1, min(most, len(old))).round().astype(int).tolist()


def _learned_before(benchmark: Benchmark) -> list[FieldDataset]:
    """What the entrant was trained on and may be replayed, without what is not at hand."""
    model, found = benchmark.entrant.model, []
    assert model is not None
    old = OldData.of(model.card, benchmark.root)
    assert old.config is not None
    for part in old.config.train:
        try:
            found.append(old.found(part))
        except ElfzooError:  # fine-tuning warns of it
            continue
    return found


def spent_on_diagonalisations(benchmark: Benchmark) -> list[dict[str, float]]:
    """``seconds``, ``cpu_seconds`` and ``peak_rss_gib`` of each that was made for this entrant; none of other models.

    One that was found made, in the folder that ``ELFZOO_HARRIS_CACHE`` names, took next to nothing.
    """
    return [json.loads(path.read_text()) for path in sorted(_costs(benchmark).glob("*.json"))]


def _costs(benchmark: Benchmark) -> Path:
    return benchmark.place / "diagonalisation-costs"


def _diagonalise(benchmark: Benchmark, file: Path) -> None:
    spent = _costs(benchmark) / f"{file.parent.name}-{file.stem}.json"
    meter, began = Meter(), time.perf_counter()
    _solve(benchmark, file)
    if not spent.is_file():  # else it is the one of an earlier try that counts
        write_json(spent, {"seconds": time.perf_counter() - began, **meter.read()})


def _solve(benchmark: Benchmark, file: Path) -> None:
    model = benchmark.entrant.model
    assert isinstance(model, Diagonalised)
    try:
        model.solve(read_field(file).structure, keep=True)
    except ElfzooError:  # such as a cell too large for it; the run that asks for it says so, or does without
        return
