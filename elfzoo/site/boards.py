"""The records of a task side by side, and which of its structures get a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elfzoo.benchmark.board import counted, is_hybrid, place, require_same_data
from elfzoo.benchmark.task import AnyTask
from elfzoo.errors import ElfzooError
from elfzoo.site.chosen import Chosen, choose
from elfzoo.site.tables import BOARD, Column, Head, Table, is_floor, make_table, metric_columns, without
from elfzoo.site.text import slug, words

__all__ = ["Board", "at", "board_table", "boards_of", "groups_table", "predicted_phi", "rows_of", "structures_table"]

Record = Mapping[str, Any]
SPEED = "voxels_per_second"


@dataclass(frozen=True)
class Board:
    """A task and its records, the best first.

    Args:
        name: of the task.
        task: its definition.
        records: at least one.
        chosen: structures that get a page.
        ceiling: what two DFT codes leave between them, in a sentence.
    """

    name: str
    task: AnyTask
    records: tuple[Record, ...]
    chosen: tuple[Chosen, ...]
    ceiling: str = ""

    @property
    def split(self) -> str:
        return str(self.records[0]["split"])

    @property
    def counted(self) -> str:
        """How much was measured, in words."""
        return counted(self.records[0])


def boards_of(
    records: Iterable[Record], tasks: Mapping[str, AnyTask], ceilings: Mapping[str, str] | None = None
) -> list[Board]:
    """A board for each task that has records, in the order of ``tasks``; each record has its entrant's ``speed``.

    Raises:
        ElfzooError: records of one task that are of different data, or of a task that is not among these.
    """
    found: dict[str, list[Record]] = {name: [] for name in tasks}
    for record in records:
        if record["task"] not in found:
            raise ElfzooError(f"a record of {record['model']} is of the task {record['task']}, which was not asked for")
        found[record["task"]].append(record)
    speeds = {
        record["model"]: record["metrics"][SPEED]
        for rows in found.values()
        for record in rows
        if SPEED in record["metrics"]
    }
    return [
        _board(name, tasks[name], [_with_speed(row, speeds) for row in rows], (ceilings or {}).get(name, ""))
        for name, rows in found.items()
        if rows
    ]


def _with_speed(record: Record, speeds: Mapping[str, float]) -> Record:
    """With what its entrant's record of a task of speed says: those of other runs are of however many processes."""
    return {**record, "speed": speeds.get(record["model"])}


def board_table(board: Board, root: str = "") -> Table:
    """All entrants of a task."""
    metrics = metric_columns(board.records)
    heads = [_head(record, root) for record in board.records]
    return make_table("model", [*metrics, *without(BOARD, metrics)], heads, board.records)


def groups_table(board: Board, record: Record) -> Table:
    """The metrics of one entrant for each group of structures, such as those of one pressure."""
    items = [{"metrics": metrics} for metrics in record["groups"].values()]
    heads = [Head(name, competes=False) for name in record["groups"]]
    return make_table(words(board.task.group_by or "group"), metric_columns(items), heads, items)


def structures_table(board: Board, record: Record, root: str) -> Table:
    """The structures of a task, one by one, as one entrant predicts them."""
    paged = {chosen.file: f"{root}structures/{slug(board.name)}/{slug(chosen.name)}.html" for chosen in board.chosen}
    rows = record["structures"]
    columns = [Column("formula", at("formula"), str), *((_GROUP,) if board.task.group_by else ()), *STRUCTURE]
    heads = [Head(row["file"], paged.get(row["file"], ""), competes=False) for row in rows]
    return make_table("structure", [c for c in columns if any(c.read(row) is not None for row in rows)], heads, rows)


def rows_of(board: Board, file: str) -> dict[str, Record]:
    """The measurements of one structure by entrant, of those whose records have them."""
    rows = {record["model"]: record.get("structures", ()) for record in board.records}
    return {model: row for model, found in rows.items() for row in found if row["file"] == file}


def at(*keys: str) -> Any:
    """A function that reads what lies under nested keys; None where one is missing."""

    def read(item: Any) -> Any:
        for key in keys:
            item = item.get(key) if isinstance(item, Mapping) else None
        return item

    return read


def predicted_phi(row: Record) -> float | None:
    """The predicted networking value."""
    reference, delta = at("topology", "reference", "phi_3d")(row), at("topology", "delta", "phi_3d")(row)
    return None if reference is None or delta is None else reference + delta


def _board(name: str, task: AnyTask, records: Sequence[Record], ceiling: str) -> Board:
    require_same_data(records)
    ranked = sorted(records, key=lambda record: (place(record), record["model"]))
    return Board(name, task, tuple(ranked), tuple(choose(ranked)), ceiling)


def _head(record: Record, root: str) -> Head:
    unknown = record.get("unknown_elements") or ()
    marks = ("floor",) * is_floor(record) + ("one diagonalisation",) * is_hybrid(record)
    marks += (f"never saw {', '.join(unknown)}",) * bool(unknown)
    return Head(record["model"], f"{root}models/{slug(record['model'])}.html", marks, not is_floor(record))


_GROUP = Column("group", at("group"), lambda value: f"{value}")
STRUCTURE = (
    Column("MAE", at("voxels", "mae"), better="low"),
    Column("RMSE", at("voxels", "rmse"), better="low"),
    Column("R²", at("voxels", "r2"), better="high"),
    Column("largest error", at("voxels", "max_error"), better="low"),
    Column("φ", predicted_phi, about="predicted networking value"),
    Column("φ, reference", at("topology", "reference", "phi_3d")),
    Column("points found", at("topology", "points", "all", "recall"), better="high"),
    Column("points real", at("topology", "points", "all", "precision"), better="high"),
    Column("links shared", at("topology", "jaccard_at_phi"), better="high"),
)
