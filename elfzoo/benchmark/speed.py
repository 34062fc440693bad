"""The row of a task of speed: seconds for the job, beside a dense peer in the same run, and memory in a fresh process.

Of models whose work can be counted, the row also has operations and bytes, beside the peaks of the machine.

Of a model that is too slow for the whole grid two samples are timed. Of a model of points a sample is some of the
blocks in which it visits the grid, its set-up (atom states, a diagonalisation) being timed apart: its seconds are those
of the set-up, and those of the larger sample in proportion to the points. Whatever else predicts, of which only whole
grids can be asked, gets the same cell with fewer points; its seconds are read off the line through both, and its memory
is not told.

Of a model of points the job is timed once more with the network on every second point along each edge only, and a
spline through its logits (``predict(coarse=...)``); its error is that against the network at some points of the grid.
"""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from pymatgen.core import Lattice, Structure

from elfzoo.benchmark.dense_baseline import BATCH, dense_elf
from elfzoo.benchmark.entrant import Entrant
from elfzoo.benchmark.measure import json_values
from elfzoo.benchmark.memory import peak_rss_gib, reset_peak
from elfzoo.benchmark.plan import Benchmark
from elfzoo.benchmark.roofline import machine_peaks, roofline
from elfzoo.benchmark.speed_task import SpeedTask
from elfzoo.benchmark.task import require_split
from elfzoo.errors import ElfzooError, ElfzooWarning
from elfzoo.grid import Grid
from elfzoo.models import GridMLP, PointModel
from elfzoo.models.base import Evaluator
from elfzoo.progress import progress_bar
from elfzoo.registry import create_model

__all__ = ["Timing", "clock", "sample", "speed_rows", "time_job", "warm_up"]

SHARES = (1 / 512, 1 / 64)  # of the grid: an eighth and a quarter of the points along each edge
FEWEST_TIMES = 3  # as many points in the second sample as in the first
DENSE_BATCHES = 8  # that the dense peer is timed on
STEPS = 7
EVERY = 2  # points along each edge, of which the network computes one where a spline gives the others
CHECKED = 20_000  # points at which the spline is compared with the network
TINY_CELL = Structure(Lattice.cubic(1.35), ["H"], [[0, 0, 0]])  # as dense as what models know
Call = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """How long a job takes.

    Args:
        seconds, cpu_seconds: of the whole job; extrapolated where fewer points were timed.
        points: of the job.
        points_timed: of the largest part of it that was predicted.
    """

    seconds: float
    cpu_seconds: float
    points: int
    points_timed: int

    @classmethod
    def of(cls, times: np.ndarray, points: int, points_timed: int) -> Timing:
        """From (2,) wall and CPU seconds."""
        return cls(float(times[0]), float(times[1]), points, points_timed)


def speed_rows(benchmark: Benchmark, task: SpeedTask, workers: int, progress: bool | None) -> list[dict[str, Any]]:
    """One row, measured anew at every call. All cores belong to the model, whatever ``workers`` says.

    Raises:
        ElfzooError: prediction files, which have no speed, or a split that speed does not have.
    """
    if benchmark.predictions is not None:
        raise ElfzooError(
            f"{benchmark.spec} is known by its prediction files alone, whose making cannot be timed: {benchmark.name} "
            "needs a release, a folder or FILE.py:factory"
        )
    require_split(task, benchmark.split)
    began, entrant = time.perf_counter(), benchmark.entrant
    with progress_bar(f"{entrant.name} on {benchmark.name}", STEPS, progress) as advance:
        found = _measured(benchmark, task, entrant, lambda: advance(1))
    structure = task.structure()
    grid = list(task.grid(structure).shape)
    row = {
        "file": f"{task.atoms} H, {task.points}³ points",
        "formula": structure.composition.formula,
        "atoms": task.atoms,
        "group": None,
        "grid": grid,
        "predicted_grid": grid,
        "speed": found,
        "seconds": found["seconds"],
        "measuring_seconds": time.perf_counter() - began,
        "cpu_seconds": found["cpu_seconds"],
        "peak_rss_gib": peak_rss_gib(),
    }
    return [json_values(row)]


def time_job(entrant: Entrant, structure: Structure, grid: Grid, task: SpeedTask) -> Timing:
    """Seconds of a whole job, after a warm-up: timed, or extrapolated where that would take too long."""
    if isinstance(entrant.model, PointModel):
        warm_up(entrant.predict)  # what is loaded at the first call; the set-up of the job itself may take minutes
        found, n_timed = _from_samples(entrant.model, structure, grid, task)
        if found[0] > task.whole_within:
            return Timing.of(found, grid.size, n_timed)
        return Timing.of(clock(lambda: entrant.predict("", structure, grid), task), grid.size, grid.size)
    few, n_few = sample(entrant, structure, grid, SHARES[0])
    few()
    first = clock(few, task)
    if first[0] > task.whole_within:  # its set-up then counts as if it grew with the points
        return Timing.of(first * grid.size / n_few, grid.size, n_few)
    # as many times the points as can be waited for if there is no set-up; if that is most of it, a second costs little
    times = float(np.clip(task.whole_within / max(first[0], 1e-9), FEWEST_TIMES, SHARES[1] / SHARES[0]))
    many, n_many = sample(entrant, structure, grid, SHARES[0] * times)
    second = clock(many, task)
    more = (second - first) / (n_many - n_few) if n_many > n_few else second / n_many
    found = second + np.maximum(more, 0) * (grid.size - n_many)
    if found[0] > task.whole_within:
        return Timing.of(found, grid.size, n_many)
    return Timing.of(clock(lambda: entrant.predict("", structure, grid), task), grid.size, grid.size)


def sample(entrant: Entrant, structure: Structure, grid: Grid, share: float) -> tuple[Call, int]:
    """A function that predicts a part of a grid, set-up included, and how many points that are."""
    if not isinstance(entrant.model, PointModel):
        nx, ny, nz = (max(1, round(n * np.cbrt(share))) for n in grid.shape)
        coarse = Grid((nx, ny, nz), grid.lattice)
        return lambda: entrant.predict("", structure, coarse), coarse.size
    model = entrant.model
    evaluate_blocks, n_points = _some_blocks(model, grid, share)
    return lambda: evaluate_blocks(model.evaluator(structure)), n_points


def _some_blocks(model: PointModel, grid: Grid, share: float) -> tuple[Callable[[Evaluator], None], int]:
    """What evaluates a share of the blocks of a grid, and how many points that are."""
    blocks = list(islice(grid.blocks(model.block_size), 0, None, round(1 / share)))

    def evaluate_blocks(evaluate: Evaluator) -> None:
        with torch.no_grad():
            for block in blocks:
                model.target.values(evaluate(grid.positions(block)))

    return evaluate_blocks, sum(map(len, blocks))


def _from_samples(model: PointModel, structure: Structure, grid: Grid, task: SpeedTask) -> tuple[np.ndarray, int]:
    """Wall and CPU seconds of the whole grid from those of set-up and samples; points of the larger sample timed."""
    last: list[Evaluator] = []

    def prepare() -> None:
        last[:] = [model.evaluator(structure)]

    set_up = clock(prepare, task, task.whole_within / 10)  # which the whole job takes again
    (evaluate,) = last
    timed: list[tuple[np.ndarray, int]] = []
    for share in SHARES:
        call, n_points = _some_blocks(model, grid, share)
        timed.append((clock(partial(call, evaluate), task), n_points))
        if timed[0][0][0] * SHARES[1] / SHARES[0] > task.whole_within:
            break
    seconds, n_points = timed[-1]
    return set_up + seconds * (grid.size / n_points), n_points


def _measured(benchmark: Benchmark, task: SpeedTask, entrant: Entrant, step: Callable[[], None]) -> dict[str, Any]:
    """Everything that is timed, as raw numbers."""
    dense = _dense_points_per_second(task)
    step()
    once, half, twice = (_timed_cells(entrant, task, *job, step) for job in ((1, 1.0), (1, 0.5), (2, 1.0)))
    spline = _splined(entrant, task, once.seconds)
    step()
    share = once.points_timed / once.points
    told = share == 1 or isinstance(entrant.model, PointModel)  # a smaller grid is not the job
    memory = {"peak_rss_gib": _memory_of_fresh_process(benchmark, share)} if told else {}
    step()
    structure = task.structure()
    limits = roofline(entrant, structure, task.grid(structure), machine_peaks)
    step()
    return {
        "atoms": task.atoms,
        "points_along_edge": task.points,
        "points": once.points,
        "points_timed": once.points_timed,
        "seconds": once.seconds,
        "cpu_seconds": once.cpu_seconds,
        "seconds_half_grid": half.seconds,
        "seconds_two_cells": twice.seconds,
        "dense_points_per_second": dense,
        **memory,
        "threads": torch.get_num_threads(),
        **spline,
        **limits,
    }


def _splined(entrant: Entrant, task: SpeedTask, seconds: float) -> dict[str, float]:
    """The job by a spline through logits, and its error; nothing of what has no points, or would take too long."""
    model = entrant.model
    if not isinstance(model, PointModel) or seconds / EVERY**3 > task.whole_within:
        return {}
    structure = task.structure()
    grid = task.grid(structure)
    spacing = EVERY * max(grid.spacing) * (1 + 1e-9)

    last: list[np.ndarray] = []

    def predict() -> None:
        last[:] = [model.predict(structure, grid=grid, coarse=spacing, progress=False).values.ravel()]

    times, chosen = clock(predict, task), np.random.default_rng(0).choice(grid.size, CHECKED)
    error = np.abs(last[0][chosen] - model.predict(structure, points=grid.frac_coords(chosen), progress=False))
    return {
        "seconds_spline": float(times[0]),
        "cpu_seconds_spline": float(times[1]),
        "spline_mae": float(error.mean()),
        "spline_largest": float(error.max()),
    }


def _timed_cells(entrant: Entrant, task: SpeedTask, cells: int, share: float, step: Callable[[], None]) -> Timing:
    """The job on one or more cells, on a share of its grid along x."""
    structure = task.structure(cells)
    found = time_job(entrant, structure, task.grid(structure, share), task)
    step()
    return found


def _dense_points_per_second(task: SpeedTask) -> float:
    """Of the dense peer, with random weights: their values take no time."""
    model, structure = create_model("grid_mlp"), task.structure()
    assert isinstance(model, GridMLP)
    points = np.random.default_rng(1).random((DENSE_BATCHES * BATCH, 3))
    dense_elf(model, structure, points[:BATCH])
    return len(points) / float(clock(lambda: dense_elf(model, structure, points), task)[0])


def clock(call: Call, task: SpeedTask, within: float | None = None) -> np.ndarray:
    """Wall and CPU seconds of the best of several runs, none of them begun after ``within`` seconds of running; by
    default those within which a whole job is timed.
    """
    times: list[tuple[float, float]] = []
    while len(times) < task.repeat and sum(wall for wall, _ in times) < (within or task.whole_within):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return np.array(min(times))


def warm_up(predict: Callable[[str, Structure, Grid], Any]) -> None:
    """Predict a tiny cell: what is loaded at the first call is then there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ElfzooWarning)  # it is none that a model was trained for
        predict("", TINY_CELL, Grid((4, 4, 4), TINY_CELL.lattice.matrix))


def _memory_of_fresh_process(benchmark: Benchmark, share: float) -> float:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_memory, benchmark, share).result()


def _memory(benchmark: Benchmark, share: float) -> float:
    """GiB that a prediction adds to this process at its peak, the field itself not counted.

    A tiny cell comes first, so that what is loaded at the first call does not count.
    """
    task, entrant = benchmark.definition, benchmark.entrant
    assert isinstance(task, SpeedTask)
    structure = task.structure()
    grid = task.grid(structure)
    warm_up(entrant.predict)
    whole = share == 1
    predict = (lambda: entrant.predict("", structure, grid)) if whole else sample(entrant, structure, grid, share)[0]
    reset_peak()
    before = peak_rss_gib()
    field = predict()
    own = field.values.nbytes / 2**30 if whole else 0.0
    return max(0.0, peak_rss_gib() - before - own)
