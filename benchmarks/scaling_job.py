"""One measurement of ``benchmarks/scaling.py``: a whole prediction in a fresh process, its seconds and its memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from pymatgen.core import Structure

import elfzoo
from elfzoo.benchmark import SpeedTask
from elfzoo.benchmark.entrant import Entrant
from elfzoo.benchmark.memory import peak_rss_gib, reset_peak
from elfzoo.benchmark.speed import Timing, clock, time_job, warm_up
from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.models.base import Model
from elfzoo.models.stream import check_stream, predict_to

EDGE, ATOMS = 11.0, 500  # Å of the cube that holds so many hydrogen atoms: the density of the task ``speed``
FOREVER = 1e9  # seconds
REFUSALS = (
    ElfzooError,
    MemoryError,
    RuntimeError,
    np.linalg.LinAlgError,
)  # torch says RuntimeError of too little memory


@dataclass(frozen=True)
class Job:
    """A field to be predicted.

    Args:
        model: name of a release.
        atoms: of hydrogen, at one density.
        points: of the grid along each edge.
        whole_within: seconds; of a model of points that takes longer, a part is timed.
        repeat: runs, of which the fastest counts.
        memory: GiB that the process may take.
        check: also read the file and say what is in it.
    """

    model: str
    atoms: int
    points: int
    whole_within: float = 60.0
    repeat: int = 2
    memory: float = 16.0
    check: bool = False

    @property
    def task(self) -> SpeedTask:
        """Cell and grid."""
        limits = {"whole_within": self.whole_within, "repeat": self.repeat}
        return SpeedTask("scaling", "", self.atoms, edge_of(self.atoms), self.points, **limits)


def edge_of(atoms: int) -> float:
    """Edge, Å, of the cube with so many atoms."""
    return EDGE * float(np.cbrt(atoms / ATOMS))


def run_fresh(job: Job, limit: float) -> dict[str, Any]:
    """What :func:`measured` finds in a process of its own, or ``reason``: why it finds nothing.

    Args:
        job: what to predict.
        limit: seconds after which the process is ended.

    Raises:
        ElfzooError: the process failed for no reason that a size can have.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="elfzoo-scaling-") as folder:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(theirs, job, folder))
        process.start()
        theirs.close()
        try:
            if not ours.poll(limit):
                return {"reason": f"took longer than {limit:g} s"}
            return ours.recv()
        except EOFError:
            process.join()
            if process.exitcode is not None and process.exitcode < 0:
                return {"reason": f"its process was killed (signal {-process.exitcode}), as happens without memory"}
            raise ElfzooError(f"{job} failed; its message is above") from None
        finally:
            process.kill()  # nothing where it has ended
            process.join()


def _child(connection: Connection, job: Job, folder: str) -> None:
    with suppress(ValueError, OSError):  # where the system does not know it
        resource.setrlimit(resource.RLIMIT_DATA, (int(job.memory * 2**30), resource.RLIM_INFINITY))
    try:
        found = measured(job, Path(folder))
    except REFUSALS as error:
        found = {"reason": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    connection.send(found)
    connection.close()


def measured(job: Job, folder: Path) -> dict[str, Any]:
    """Seconds of a whole prediction, and the largest resident memory of this process meanwhile.

    A prediction of a tiny cell comes first, so that what is loaded at the first call counts as the process's own.
    """
    model, task = elfzoo.load_pretrained(job.model), job.task
    structure, path = task.structure(), folder / "elf.h5"
    grid, predict = task.grid(structure), prediction(model, path)
    warm_up(predict)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a random structure is none that a model was trained for
        reset_peak()
        before = peak_rss_gib()
        timing = timed(Entrant(job.model, predict, {}, model), structure, grid, task)
        peak = peak_rss_gib()
    row = {
        "edge": edge_of(job.atoms),
        "seconds": timing.seconds,
        "cpu_seconds": timing.cpu_seconds,
        "voxels_per_second": timing.points / timing.seconds,
        "share_timed": timing.points_timed / timing.points,
        "peak_rss_gib": peak,
        "added_gib": peak - before,
        "streamed": streams(model),
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
    }
    return row | (in_file(path) if job.check else {})


def timed(entrant: Entrant, structure: Structure, grid: Grid, task: SpeedTask) -> Timing:
    """Of the whole job. A model of whole fields takes as long for few points, so that no part of it is timed."""
    assert entrant.model is not None
    if streams(entrant.model):
        return time_job(entrant, structure, grid, task)
    return Timing.of(clock(lambda: entrant.predict("", structure, grid), task), grid.size, grid.size)


def prediction(model: Model, path: Path) -> Any:
    """A function that leaves the field in a file: streamed, or by a model of whole fields written at the end."""

    def predict(file: str, structure: Structure, grid: Grid) -> Any:
        if streams(model):
            return predict_to(model, path, structure, grid, progress=False)
        return model.predict(structure, grid, progress=False).write(path)

    return predict


def streams(model: Model) -> bool:
    """Whether the model's fields can be streamed."""
    try:
        check_stream(model, Path("elf.h5"))
    except ElfzooError:
        return False
    return True


def in_file(path: Path) -> dict[str, Any]:
    """Size of a file and the range of its values, read slab by slab."""
    with h5py.File(path) as file:
        values = file["values"]
        ranges = np.array([[slab.min(), slab.max()] for slab in (values[x] for x in range(len(values)))])
        shape = list(values.shape)
    size = path.stat().st_size / 2**20
    return {"shape": shape, "file_mib": size, "lowest": float(ranges.min()), "highest": float(ranges.max())}


if __name__ == "__main__":
    sys.exit("this is a part of benchmarks/scaling.py")
