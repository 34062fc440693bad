"""Fields with their standard deviation, and fields of members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.models.base import DEFAULT_SPACING, Model, evaluating
from elfzoo.progress import progress_bar
from elfzoo.structure import as_structure
from elfzoo.target import Target
from elfzoo.threads import map_in_threads
from elfzoo.uncertainty.domain import assess
from elfzoo.uncertainty.source import Evaluate, Source, source_of

__all__ = ["Members", "deviation_of_values", "deviation_quantity", "member_fields", "predict"]

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


class Members(NamedTuple):
    """What :func:`member_fields` gives.

    Attributes:
        field: the prediction.
        deviation: its standard deviation.
        members: fields of members, each coherent, for anything that is not a value at a point.
    """

    field: Field
    deviation: Field
    members: tuple[Field, ...]


def predict(
    model: Model | Source,
    structure: Any,
    grid: Grid | Sequence[int] | None = None,
    *,
    spacing: float = DEFAULT_SPACING,
    progress: bool | None = None,
) -> tuple[Field, Field]:
    """A field and its standard deviation, the error to be expected at each point.

    One warning says in what way the structure is outside of the training data, if it is (:func:`domain`).

    Args:
        model: a release with an uncertainty, or an :class:`Ensemble`.
        structure, grid, spacing, progress: as of :meth:`elfzoo.models.Model.predict`.

    Returns:
        The field, that of ``model.predict``; and one of the quantity ``"elf_deviation"``, in the same unit.

    Raises:
        ElfzooError: the model has no uncertainty, or a grid of another cell.
    """
    found = member_fields(model, structure, grid, spacing=spacing, members=0, progress=progress)
    return found.field, found.deviation


def member_fields(
    model: Model | Source,
    structure: Any,
    grid: Grid | Sequence[int] | None = None,
    *,
    spacing: float = DEFAULT_SPACING,
    members: int = 16,
    seed: int = 0,
    progress: bool | None = None,
    warn: bool = True,
) -> Members:
    """:func:`predict`, and as many fields of members as are asked for; all of them are held in memory, 4 bytes a point.

    Members of a last layer are drawn from the posterior of its weights; the same seed gives the same ones for every
    structure. Those of an ensemble are its models.

    Args:
        model, structure, grid, spacing, progress: as of :func:`predict`.
        members: how many.
        seed: of the draw.
        warn: whether to warn of a structure outside of the training data.

    Raises:
        ElfzooError: as :func:`predict`.
    """
    structure = as_structure(structure)
    source = source_of(model).for_structure(structure)
    chosen = Grid.wanted(structure, grid, spacing)
    with evaluating(*source.parts):
        evaluate = source.evaluator(structure, members, seed)
        if warn:
            assess(source, structure, evaluate).warn()
        values, deviation, drawn = _evaluated(source, evaluate, chosen, progress)
    sad = source.model.target.baseline(structure)
    added = np.float32(0) if sad is None else sad.on_grid(chosen)
    meta, quantity = source.provenance(), source.model.quantity
    field = Field(values + added, structure, quantity, source.recipe, meta=meta)
    return Members(
        field,
        field.replace(values=deviation, quantity=deviation_quantity(quantity)),
        tuple(field.replace(values=part + added, meta={**meta, "member": i}) for i, part in enumerate(drawn)),
    )


def deviation_quantity(quantity: str) -> str:
    """Name of the quantity of a field's standard deviation."""
    return f"{quantity}_deviation"


def deviation_of_values(
    target: Target, logits: Float[np.ndarray, " points"], deviation: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    """Root mean square change of the value when its logit is normally distributed, by Gauss-Hermite quadrature.

    For small deviations that of the logit times the slope of the value, ELF (1 - ELF); never above 1 for ELF.

    Args:
        target: what the logits stand for.
        logits, deviation: of the points.
    """
    logits = logits.astype(np.float64)
    centre, square = target.values(logits), np.zeros_like(logits)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        square += weight * (target.values(logits + node * deviation) - centre) ** 2
    return np.sqrt(square)


def _evaluated(
    source: Source, evaluate: Evaluate, grid: Grid, progress: bool | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, their standard deviation, and values of members, on a grid."""
    target = source.model.target
    values, deviation = (np.empty(grid.size, np.float32) for _ in range(2))
    count = len(evaluate(np.zeros((1, 3))).members)  # an ensemble may have fewer than were asked for
    drawn = np.empty((count, grid.size), np.float32)

    def block(indices: np.ndarray) -> int:
        found = evaluate(grid.positions(indices))
        values[indices] = target.values(found.logits)
        deviation[indices] = deviation_of_values(target, found.logits, source.alpha * found.distance)
        drawn[:, indices] = target.values(found.members)
        return len(indices)

    with progress_bar("predicting", grid.size, progress) as advance:
        for done in map_in_threads(block, grid.blocks(source.block_size), source.workers):
            advance(done)
    shape = grid.shape
    return values.reshape(shape), deviation.reshape(shape), drawn.reshape(count, *shape)
