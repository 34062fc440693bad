"""Which structures to label next: the one that teaches most, then the one that teaches most beside it, and so on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pymatgen.core import Structure

from elfzoo.config import config_class, parse, to_dict
from elfzoo.errors import ConfigError, ElfzooError, ElfzooWarning
from elfzoo.hub import load_pretrained
from elfzoo.models.base import Model
from elfzoo.progress import progress_bar
from elfzoo.selection.gain import deviations, greedy
from elfzoo.selection.pool import Named, known_structures, read_pool, rows_of
from elfzoo.uncertainty import LastLayer, domain

__all__ = ["Chosen", "SelectSettings", "Selection", "select"]

LABELLED_POINTS = 2000.0  # of a structure, where a release does not say how many it learned from


@config_class
class SelectSettings:
    """What decides a choice, besides the structures and the model.

    Args:
        points: drawn from each structure, uniform in its volume.
        seed: of these points.
        gain: what a structure is valued by: ``"variance"``, by how much its label would lower the mean variance over
            all candidates; or ``"information"``, what its label tells of the weights of the last layer.
        labelled_points: training points that a labelled structure stands for; as many as one of the release's
            training structures gave unless stated.
    """

    points: int = 400
    seed: int = 0
    gain: Literal["information", "variance"] = "variance"
    labelled_points: float | None = None

    def __post_init__(self) -> None:
        if self.points < 1 or (self.labelled_points is not None and not self.labelled_points > 0):
            raise ConfigError(f"a structure needs points; got points={self.points}, {self.labelled_points}")


@dataclass(frozen=True, eq=False)
class Chosen:
    """One structure that was valued.

    Attributes:
        file: where it is from.
        frame: in the trajectory, from 0; None where one structure of the file was taken.
        structure: itself.
        order: in which it was chosen, from 1; None where it was not.
        gain: what it was worth when it was chosen, nats or variance of the value; None where it was not.
        before: mean standard deviation of the value (ELF) over the cell, with nothing of the choice labelled.
        after: the same with all of the choice labelled.
        outside: in what ways it lies outside of the training data, in words; only looked at where it was chosen.
    """

    file: str
    frame: int | None
    structure: Structure
    order: int | None
    gain: float | None
    before: float
    after: float
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Selection:
    """What was chosen, and of what.

    Attributes:
        model: name of the release.
        settings: that decided it.
        chosen: in the order of choice.
        others: valued and not chosen, the most uncertain one after the choice first.
        left_out: could not be read, are copies of others, or refused by the model, with the reason.
        known: how many labelled structures were given.
        facts: JSON values: hash of the weights, points that a labelled structure stands for.
        source: what the model is loaded by, where that is not its name.
    """

    model: str
    settings: SelectSettings
    chosen: tuple[Chosen, ...]
    others: tuple[Chosen, ...]
    left_out: tuple[Named, ...]
    known: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    source: str | None = None

    @property
    def before(self) -> float:
        """Mean standard deviation over all candidates, with nothing of the choice labelled."""
        return float(np.mean([item.before for item in (*self.chosen, *self.others)]))

    @property
    def after(self) -> float:
        """The same with all of the choice labelled."""
        return float(np.mean([item.after for item in (*self.chosen, *self.others)]))


def select(
    structures: Iterable[str | Path | Structure],
    model: str | Path | Model,
    n: int = 10,
    *,
    known: Iterable[str | Path | Structure] = (),
    index: str = "-1",
    progress: bool | None = None,
    **settings: Any,
) -> Selection:
    """Choose the structures whose DFT labels would teach a model most.

    The choice is greedy: after each one the posterior of the last layer is what it would be with that structure
    labelled, so near copies of it are worth little. Structures of one hash are taken once. The result does not depend
    on the order of the structures.

    Args:
        structures: files, folders and lists of files (:func:`~elfzoo.screening.find_files`), or structures.
        model: a release with an uncertainty (:mod:`elfzoo.uncertainty`), by name or folder; or a model.
        n: how many to choose; all of them where there are no more.
        known: structures that are labelled and were not trained on: field files, structure files, structures.
        index: frames of trajectories, as ASE counts them.
        progress: show bars; by default in a terminal.
        settings: of :class:`SelectSettings`.

    Raises:
        ElfzooError: nothing that can be read, fewer than one to choose, a known structure that cannot be read, a model
            without uncertainty.
    """
    if n < 1:
        raise ElfzooError(f"at least one structure is to be chosen; got n={n}")
    wanted = parse(SelectSettings, settings, where="select")
    loaded = model if isinstance(model, Model) else load_pretrained(model)
    source = LastLayer(loaded)
    labelled = known_structures(known)
    pool, left_out = read_pool(structures, index, progress, labelled)
    rows, refused = _all_rows(source, pool, wanted, progress)
    pool, left_out = [item for item in pool if item.hash not in refused], [*left_out, *refused.values()]
    stands_for = wanted.labelled_points or _points_of_a_label(source)
    information = _information(source, labelled, wanted, stands_for)
    learned = [stands_for / wanted.points * part.T @ part for part in rows]
    weights = (_weight(source, item.structure) for item in pool)  # type: ignore[arg-type]
    weighed: list[np.ndarray] = [weight * part for weight, part in zip(weights, rows, strict=True)]
    whole = sum(part.T @ part for part in weighed) / sum(map(len, rows))
    steps, after = greedy(information, learned, n, whole, wanted.gain)
    valued = _valued(source, pool, weighed, dict(_orders(steps, source, wanted)), information, after)
    chosen = sorted((item for item in valued if item.order is not None), key=lambda item: item.order or 0)
    others = sorted((item for item in valued if item.order is None), key=lambda item: -item.after)
    facts = {"weights_sha256": source.posterior.weights_sha256, **to_dict(wanted), "labelled_points": stands_for}
    name = type(loaded).__name__ if loaded.card is None else loaded.card.name
    return Selection(name, wanted, tuple(chosen), tuple(others), tuple(left_out), len(labelled), facts)


def _all_rows(
    source: LastLayer, pool: Sequence[Named], wanted: SelectSettings, progress: bool | None
) -> tuple[list[np.ndarray], dict[str, Named]]:
    """Of each structure that the model takes, in order; and by hash those that it refuses, with the reason.

    Raises:
        ElfzooError: it takes none.
    """
    found: list[np.ndarray] = []
    refused: dict[str, Named] = {}
    with progress_bar("valuing structures", len(pool), progress) as advance:
        for item in pool:
            assert item.structure is not None
            try:
                found.append(rows_of(source, item.structure, wanted.points, wanted.seed))
            except ElfzooError as error:
                refused[item.hash] = replace(item, message=str(error))
            advance(1)
    if not found:
        first = next(iter(refused.values()))
        raise ElfzooError(f"the model takes none of {len(refused)} structures; of {first.name}: {first.message}")
    return found, refused


def _weight(source: LastLayer, structure: Structure) -> float:
    """α of structures like this one over that of all: errors in metals are several times those in hydrogen."""
    return source.posterior.of(structure.symbol_set).alpha / source.posterior.alpha


def _points_of_a_label(source: LastLayer) -> float:
    """How many training points one of the training structures gave, on average."""
    card, trained = source.model.card, source.posterior.facts.get("training_points")
    if card is None or card.domain is None or trained is None:
        return LABELLED_POINTS
    return float(trained) / card.domain.structures


def _information(
    source: LastLayer, labelled: Iterable[Structure], wanted: SelectSettings, stands_for: float
) -> Float[np.ndarray, "width width"]:
    """A: of the training data, and of what is labelled since."""
    posterior = source.posterior
    scaled = np.maximum(posterior.eigenvalues, 0.0) + posterior.s**2
    information = (posterior.eigenvectors * scaled) @ posterior.eigenvectors.T
    for structure in labelled:
        rows = rows_of(source, structure, wanted.points, wanted.seed)
        information = information + stands_for / wanted.points * rows.T @ rows
    return (information + information.T) / 2


def _orders(steps: Sequence[Any], source: LastLayer, wanted: SelectSettings) -> Iterable[tuple[int, tuple[int, float]]]:
    """Candidate -> order from 1, and gain; a variance in the unit of the value, squared."""
    unit = source.posterior.alpha**2 if wanted.gain == "variance" else 1.0
    for order, step in enumerate(steps, 1):
        yield step.candidate, (order, unit * step.gain)


def _valued(
    source: LastLayer,
    pool: Sequence[Named],
    rows: Sequence[np.ndarray],
    orders: dict[int, tuple[int, float]],
    information: np.ndarray,
    after: np.ndarray,
) -> list[Chosen]:
    alpha, unit = source.posterior.alpha, source.model.target.unit
    found = []
    for i, (item, part) in enumerate(zip(pool, rows, strict=True)):
        assert item.structure is not None
        order, gain = orders.get(i, (None, None))
        now, then = (alpha * unit * float(deviations(part, matrix).mean()) for matrix in (information, after))
        outside = () if order is None else _outside(source, item.structure)
        found.append(Chosen(item.file, item.frame, item.structure, order, gain, now, then, outside))
    return found


def _outside(source: LastLayer, structure: Structure) -> tuple[str, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ElfzooWarning)  # the result says it
        return domain(source, structure).reasons
