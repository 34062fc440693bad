"""The few structures of a task that get a page, and where their fields are: the reference's, and kept predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elfzoo.benchmark.record import kept_prediction, prediction_path, run_folder
from elfzoo.benchmark.task import AnyTask, select
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.site.tables import is_floor

__all__ = ["RULE", "Chosen", "Source", "choose", "mae_of"]

Record = Mapping[str, Any]

RULE = "the structures on which the best model of the task, by MAE, has its smallest, its median and its largest MAE"


@dataclass(frozen=True)
class Chosen:
    """A structure that gets a page.

    Args:
        file: of the reference, as ``dataset/name.npz``.
        why: which place it has, such as ``median``.
        model: the best model of the task.
    """

    file: str
    why: str
    model: str

    @property
    def name(self) -> str:
        return Path(self.file).stem


@dataclass(frozen=True)
class Source:
    """Where the fields of a task come from.

    Args:
        task: its definition.
        split: of the records.
        work: where :func:`elfzoo.benchmark.run` worked and left its predictions.
        root: folder of the datasets, as in :class:`~elfzoo.datasets.FieldDataset`.
    """

    task: AnyTask
    split: str
    work: Path
    root: str | None = None

    def references(self, files: Sequence[str], sha256: str) -> dict[str, Field]:
        """The reference fields of these files.

        Raises:
            ElfzooError: the data are not there, or not those with this hash.
        """
        data = select(self.task, self.split, self.root)
        if data.data_hash != sha256:
            raise ElfzooError(
                f"the data here have the hash {data.data_hash[:12]}…, those of the records {sha256[:12]}…"
            )
        places = {f"{data.name}/{file}": i for i, file in enumerate(data.raw_file_names)}
        return {file: data[places[file]].field for file in files}

    def prediction(self, record: Record, file: str) -> Field:
        """What was measured of an entrant.

        Raises:
            ElfzooError: it was not kept, or what is there is of another run.
        """
        run = run_folder(self.work, record["task"], record["model"], self.split)
        path = prediction_path(run, Path(file).stem)
        measured = {row["file"]: row["prediction_sha256"] for row in record.get("structures", ())}
        return kept_prediction(path, measured.get(file))


def choose(records: Sequence[Record]) -> list[Chosen]:
    """The structures of a task that get a page, by :data:`RULE`; of a task without models, by its best floor."""
    known = [record for record in records if _ranked(record)]
    if not known:
        return []
    best = min(known, key=lambda record: (is_floor(record), record["metrics"]["mae"]))
    rows = _ranked(best)
    places = {"smallest": 0, "median": (len(rows) - 1) // 2, "largest": len(rows) - 1}
    found: dict[str, Chosen] = {}
    for why, place in places.items():
        found.setdefault(rows[place]["file"], Chosen(rows[place]["file"], why, best["model"]))
    return list(found.values())


def mae_of(row: Record) -> float | None:
    """MAE of a structure, where voxels were measured."""
    return row.get("voxels", {}).get("mae")


def _ranked(record: Record) -> list[Record]:
    """Rows of a record with an MAE, the smallest first."""
    rows = [row for row in record.get("structures", ()) if mae_of(row) is not None]
    return sorted(rows, key=lambda row: (mae_of(row), row["file"]))
