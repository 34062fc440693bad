"""The fields that the figures need: predictions that are those of a record, kept or made anew."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elfzoo.benchmark import Benchmark
from elfzoo.benchmark.measure import subsampled
from elfzoo.benchmark.record import kept_prediction, prediction_path, run_folder
from elfzoo.errors import ElfzooError
from elfzoo.field import Field

__all__ = ["Predicted", "Predictor"]

SAME = 1e-4  # ELF; kept predictions have 16 bits

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Predicted:
    """A structure of a record with both fields, on the reference's grid."""

    row: Row
    reference: Field
    prediction: Field

    @property
    def residual(self) -> Field:
        return self.reference.replace(values=self.prediction.values - self.reference.values.astype(np.float64))


@dataclass(frozen=True)
class Predictor:
    """Gets the predictions that records are of.

    Args:
        data: folder of the datasets; None is the usual one.
        work: where runs of ``elfzoo benchmark`` keep their predictions.
    """

    data: str | None
    work: Path

    def attempt(self, record: Row, rows: Sequence[Row]) -> tuple[list[Predicted], str]:
        """Both fields of some structures; or none, and the sentence that says why."""
        try:
            return [self.predict(record, row) for row in rows], ""
        except ElfzooError as error:
            return [], str(error)

    def predict(self, record: Row, row: Row) -> Predicted:
        """Both fields of one structure.

        Raises:
            ElfzooError: data or entrant cannot be had, or do not give what the record says.
        """
        spec, name = record["entrant"].get("source", record["model"]), Path(row["file"]).name.removesuffix(".npz")
        benchmark = _benchmark(spec, record["task"], self.work, self.data)
        if name not in benchmark.names:
            raise ElfzooError(f"the task {benchmark.name} has no structure {name}; the record is of other data")
        structure, reference = benchmark.data[benchmark.names.index(name)]
        kept = prediction_path(run_folder(self.work, benchmark.name, record["model"]), name)
        try:
            guess = kept_prediction(kept, row["prediction_sha256"])
        except ElfzooError:  # not kept, or of another run
            guess = benchmark.entrant.predict(name, structure, reference.grid)
        values = np.clip(subsampled(guess, reference.grid.shape).values.astype(np.float64), 0, 1)
        found, recorded = float(np.abs(values - reference.values).mean()), row["voxels"]["mae"]
        if abs(found - recorded) > SAME:
            told = f"{record['model']} has an MAE of {found:.4f} on {name}, its record {recorded:.4f}"
            raise ElfzooError(f"{told}; make the record anew")
        return Predicted(row, reference, Field(values, structure))


@functools.cache
def _benchmark(spec: str, task: str, work: Path, root: str | None) -> Benchmark:
    """Made once: it holds the loaded entrant."""
    return Benchmark(spec, task, work, root=root)
