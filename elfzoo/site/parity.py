"""Predictions against references: a number of every structure, and ELF of every voxel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elfzoo.site.boards import at, predicted_phi
from elfzoo.site.frame import Axis, Figure
from elfzoo.site.squares import Parity, cells, parity
from elfzoo.site.text import number

__all__ = ["parity_figures"]

Record = Mapping[str, Any]
Read = Callable[[Any], float | None]


@dataclass(frozen=True)
class Quantity:
    """A number that a structure has.

    Args:
        name: of its figure.
        title: for people.
        symbol: for the axes.
        reference, prediction: what reads it from the row of a structure.
        metric: prefix of its errors among the metrics of a record.
        score, about: a metric that says how well it is predicted, and what that is.
    """

    name: str
    title: str
    symbol: str
    reference: Read
    prediction: Read
    metric: str
    score: str
    about: str


QUANTITIES = (
    Quantity(
        name="networking",
        title="Networking value φ",
        symbol="φ",
        reference=at("topology", "reference", "phi_3d"),
        prediction=predicted_phi,
        metric="phi",
        score="phi_r2",
        about="R² about the identity line",
    ),
    Quantity(
        name="templates",
        title="Strength of the template",
        symbol="strength",
        reference=at("templates", "reference", "strength"),
        prediction=at("templates", "prediction", "strength"),
        metric="strength",
        score="spearman",
        about="rank correlation",
    ),
)


def parity_figures(record: Record) -> list[Figure]:
    """Of all that a record has both sides of."""
    found = [figure for quantity in QUANTITIES if (figure := _structures(record, quantity)) is not None]
    counts = record.get("curves", {}).get("joint")
    return found if counts is None else [*found, _voxels(counts)]


def _structures(record: Record, quantity: Quantity) -> Figure | None:
    """A point for each structure that has the number; None where none has."""
    read = [(row["file"], quantity.reference(row), quantity.prediction(row)) for row in record.get("structures", ())]
    pairs = [Parity(file, a, b) for file, a, b in read if a is not None and b is not None]
    if not pairs:
        return None
    title, symbol = f"{quantity.title} of {len(pairs)} structures", quantity.symbol
    axes = Axis(f"{symbol} of the reference"), Axis(f"{symbol} of the prediction")
    svg = parity(title, "Predicted against reference; the table below has the numbers.", *axes, pairs)
    metrics = record["metrics"]
    spread = metrics.get(f"{quantity.metric}_spread")
    caption = (
        f"{title}. MAE {number(metrics.get(f'{quantity.metric}_mae'))}, {quantity.about} "
        f"{number(metrics.get(quantity.score))}; the references have the variance {number(spread and spread**2, 5)}, "
        f"the standard deviation {number(spread)}. Dashed: always the mean of the references, which has an R² of 0."
    )
    rows = tuple((p.name, *map(number, (p.reference, p.prediction, p.prediction - p.reference))) for p in pairs)
    return Figure(quantity.name, svg, caption, ("structure", "reference", "prediction", "difference"), rows)


def _voxels(counts: Sequence[Sequence[int]]) -> Figure:
    """Which ELF is predicted where the reference has which."""
    title, told = "Predicted ELF against ELF of the reference", "Numbers of voxels; the table below has them."
    svg = cells(title, told, Axis("ELF of the reference"), Axis("predicted ELF"), counts)
    total, same = sum(map(sum, counts)), sum(row[i] for i, row in enumerate(counts))
    caption = (
        f"{title}: all {total:,} voxels of the task in bins of {1 / len(counts):g}, a shade for each power of ten. "
        f"{100 * same / total:.1f} % are in the bins on the line."
    )
    lower = [f"{i / len(counts):g}" for i in range(len(counts))]
    rows = tuple((low, *(f"{n:,}" for n in row)) for low, row in zip(lower, counts, strict=True))
    return Figure("joint", svg, caption, ("reference from, prediction from", *lower), rows)
