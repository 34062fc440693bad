"""Tables of the pages: what a column says, how it is written, and the number that it is sorted by.

The number behind a cell is the record's own, whatever digits are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from elfzoo.benchmark.board import COUNTS, HEADLINES
from elfzoo.benchmark.entrant import FLOOR
from elfzoo.site.text import DASH, number, whole

__all__ = [
    "BOARD",
    "Cell",
    "Column",
    "Head",
    "Row",
    "Table",
    "is_floor",
    "learned_from",
    "make_table",
    "metric_columns",
    "without",
]

Item = Mapping[str, Any]
Better = Literal["low", "high", ""]

NOTES = {
    "mae": "mean absolute error of ELF over all voxels of a structure, averaged over structures; below it the 95 % "
    "bootstrap interval over compounds, trajectories or crystals",
    "rmse": "root mean square error of ELF, averaged over structures",
    "r2": "coefficient of determination about the identity line, averaged over structures",
    "r2_correlated": "squared correlation of reference and prediction, averaged over structures",
    "elf_spread": "standard deviation of ELF in the reference, averaged over structures: what R² compares errors with",
    "mae_outside_cores": "MAE outside of the cores of metal atoms, where ELF depends on the pseudopotential",
    "mae_outside_cores_0": "MAE outside of metal cores before any structure is shown",
    "mae_outside_cores_1": "… after one structure",
    "mae_outside_cores_4": "… after four, of as many compositions",
    "mae_outside_cores_8": "… after eight",
    "mae_outside_cores_16": "… after sixteen",
    "mae_outside_cores_known_8": "after eight, of structures all of whose elements are in those eight",
    "mae_outside_cores_unknown_8": "after eight, of the other structures",
    "mae_outside_cores_scratch_8": "the same architecture, trained on the eight structures alone",
    "mae_outside_cores_mean_8": "the mean ELF of the eight, everywhere",
    "phi_mae_8": "mean absolute error of the networking value φ after eight structures",
    "forgetting_fluid-h_8": "growth of the error on fluid hydrogen after eight structures, as a share of it",
    "phi_mae": "mean absolute error of the networking value φ, the highest isovalue at which one region of ELF runs "
    "through the crystal in three directions",
    "phi_spread": "standard deviation of φ over the reference structures: the error of always saying the mean",
    "phi_r2": "coefficient of determination of φ over structures: 1 - (mean squared error) / spread²",
    "cp_recall": "share of the reference's critical points that the prediction has within 0.2 Å",
    "cp_precision": "share of the prediction's critical points that the reference has within 0.2 Å",
    "cp_displacement": "mean distance of a critical point of the reference from that of the prediction, Å",
    "network_jaccard": "shared links over all links (Jaccard) of the hydrogen networks at φ",
    "spearman": "rank correlation of predicted template strengths with those of DFT: the highest ELF at an "
    "interstitial attractor of a metal sublattice",
    "kendall": "rank correlation by pairs (τ_b) of the same strengths",
    "top_5": "share of the five strongest templates of DFT that are among the five strongest predicted",
    "top_10": "share of the ten strongest templates of DFT that are among the ten strongest predicted",
    "strength_mae": "mean absolute error of the strength of a template",
    "strength_spread": "standard deviation of the reference's strengths: the error of always saying the mean",
    "site_recall": "share of the reference's interstitial sites that the prediction has within 0.5 Å",
    "site_precision": "share of the prediction's interstitial sites that the reference has within 0.5 Å",
    "voxels_per_second": "grid points predicted per second",
    "seconds_500h_192": "from a structure of 500 hydrogen atoms to its field on 192³ points, wall time",
    "seconds_500h_192_spline": "the same with the network on every second point along each edge and a spline through "
    "its logits; its error is in the record",
    "ratio_to_dense_baseline": "speed over that of a plain dense PyTorch implementation, timed in the same run",
    "peak_rss_gib": "memory that a prediction adds to a fresh process at its peak, the field itself not counted",
    "doubled_cell_ratio": "time for twice the cell over that for one, at the same density of points",
    "share_timed": "share of the grid that was timed; the rest is extrapolated",
    "gflop_per_second": "floating-point operations that the job needs, 10⁹ per second, where they can be counted",
    "share_of_roof": "these over the most that the machine's measured peaks of arithmetic and memory allow",
}
LOWER = (
    *("mae", "rmse", "mae_outside_cores", "phi_mae", "cp_displacement"),
    *("strength_mae", "seconds_500h_192", "seconds_500h_192_spline", "peak_rss_gib"),
    *(f"mae_outside_cores_{end}" for end in ("0", "1", "4", "8", "16", "known_8", "unknown_8", "scratch_8", "mean_8")),
    *("phi_mae_8", "forgetting_fluid-h_8"),
)
HIGHER = (
    *("r2", "r2_correlated", "phi_r2", "cp_recall", "cp_precision", "network_jaccard"),
    *("spearman", "kendall", "top_5", "top_10", "site_recall", "site_precision"),
    *("voxels_per_second", "ratio_to_dense_baseline"),
)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: above it.
        read: the value of an item, None where there is none.
        show: the value as text.
        about: what it says, in a sentence.
        better: which end is the better one.
        note: more of an item, below its value.
    """

    title: str
    read: Callable[[Item], Any]
    show: Callable[[Any], str] = number
    about: str = ""
    better: Better = ""
    note: Callable[[Item], str] = lambda item: ""

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers rather than words."""
        return self.show is not str


@dataclass(frozen=True)
class Cell:
    """A value, as text and as what it is sorted by (empty for nothing)."""

    text: str
    value: str
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class Head:
    """What a row is of: a name, where it leads, marks such as ``floor``, and whether it competes for the best value."""

    name: str
    href: str = ""
    marks: tuple[str, ...] = ()
    competes: bool = True


@dataclass(frozen=True)
class Row:
    head: Head
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """What a table shows; ``first`` is the title of the column of heads."""

    first: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def without(columns: Sequence[Column], others: Sequence[Column]) -> list[Column]:
    """The columns whose titles the others do not have."""
    return [column for column in columns if column.title not in {other.title for other in others}]


def metric_columns(records: Sequence[Item]) -> list[Column]:
    """The headlines that any of the records has; all metrics of records that have none of them."""
    known = {name for record in records for name in record["metrics"]}
    names = [name for name in HEADLINES if name in known] or sorted(known)
    return [_metric(name) for name in names if not _repeats(name, records)]


def make_table(first: str, columns: Sequence[Column], heads: Sequence[Head], items: Sequence[Item]) -> Table:
    """A table with a row for each item; the best value of a column is marked."""
    values = [[column.read(item) for column in columns] for item in items]
    rows = []
    for head, item, line in zip(heads, items, values, strict=True):
        cells = tuple(_cell(column, value, item) for column, value in zip(columns, line, strict=True))
        rows.append(Row(head, cells))
    return Table(first, tuple(columns), _with_best(columns, rows, values))


def is_floor(record: Item) -> bool:
    """Whether an entrant says what every model has to beat: its name tells."""
    return record["model"].startswith(FLOOR)


def learned_from(record: Item) -> str:
    """Datasets and splits; empty where it is not known."""
    return ", ".join(record.get("entrant", {}).get("trained_on") or ())


def _repeats(name: str, records: Sequence[Item]) -> bool:
    """Whether a metric only says again what another one says: without metal cores, everything is outside of them."""
    plain = name.removesuffix("_outside_cores")
    return plain != name and all(r["metrics"].get(name) in (None, r["metrics"].get(plain)) for r in records)


def _metric(name: str) -> Column:
    def interval(record: Item) -> str:
        ends = [record["metrics"].get(f"{name}_{end}") for end in ("low", "high")]
        return "" if None in ends else f"{number(ends[0])} to {number(ends[1])}"

    better: Better = "low" if name in LOWER else "high" if name in HIGHER else ""
    title, about = HEADLINES.get(name, name), NOTES.get(name, "")
    show = whole if name in COUNTS else number
    return Column(title, lambda record: record["metrics"].get(name), show, about, better, interval)


def _cell(column: Column, value: Any, item: Item) -> Cell:
    if value is None or value == "":
        return Cell(DASH, "")
    return Cell(column.show(value), repr(value) if column.numeric else str(value), column.note(item))


def _with_best(columns: Sequence[Column], rows: list[Row], values: Sequence[Sequence[Any]]) -> tuple[Row, ...]:
    """Marks on the best value of each column, if at least two compete."""
    best: dict[int, Any] = {}
    for i, column in enumerate(columns):
        known = [line[i] for row, line in zip(rows, values, strict=True) if line[i] is not None and row.head.competes]
        if column.better and len(known) > 1:
            best[i] = min(known) if column.better == "low" else max(known)
    return tuple(
        replace(
            row, cells=tuple(replace(cell, best=i in best and line[i] == best[i]) for i, cell in enumerate(row.cells))
        )
        for row, line in zip(rows, values, strict=True)
    )


BOARD = (
    Column(
        "voxels/s",
        lambda record: record.get("speed"),
        whole,
        "grid points predicted per second in the task of speed: one job for all models, on an otherwise idle machine",
        "high",
    ),
    Column(
        "parameters", lambda record: record.get("entrant", {}).get("parameters"), whole, "numbers that were learned"
    ),
    Column("learned from", learned_from, str, "datasets and splits whose fields the entrant was trained on"),
    Column("hardware", lambda record: record.get("hardware"), str, "where the predictions were made"),
)
