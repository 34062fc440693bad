"""In what way a structure is unlike what a model was trained on: elements, density, distances, and what it sees."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymatgen.core import Structure

from elfzoo.errors import ElfzooError, ElfzooWarning
from elfzoo.models.base import Model, evaluating
from elfzoo.models.diagonalised import Untrained
from elfzoo.posterior import group_of
from elfzoo.structure import as_structure
from elfzoo.training.domain import nearest_distances
from elfzoo.uncertainty.source import Evaluate, Source, source_of

__all__ = ["DomainReport", "assess", "domain"]

POINTS, SEED = 1000, 0
QUANTILE = "0.99"  # of the distances of validation points
SLACK = 1e-3  # Å and Å³: the card's limits are rounded, and a structure of the training data lies on them


@dataclass(frozen=True)
class DomainReport:
    """How a structure compares with the training data of a model.

    Attributes:
        structure: formula of the cell.
        model: name of the release.
        unknown_elements: symbols that the training data do not have.
        volume_per_atom: Å³.
        nearest_distance: smallest and largest distance of an atom from its nearest neighbour, Å.
        unfamiliar: share of points of the cell whose last-layer features are farther from the training points than
            those of 99 % of the validation points; None where that is not known.
        reasons: in what ways it is outside, in words; empty inside.
        untrained: whether the model learned from no structures at all.
    """

    structure: str
    model: str
    unknown_elements: tuple[str, ...]
    volume_per_atom: float
    nearest_distance: tuple[float, float]
    unfamiliar: float | None
    reasons: tuple[str, ...]
    untrained: bool = False

    @property
    def inside(self) -> bool:
        """Whether nothing was found. It does not say that the prediction is right."""
        return not self.reasons

    def __str__(self) -> str:
        if self.untrained:
            return f"nothing in {self.model} was trained on structures; it takes {self.structure}"
        if self.inside:
            return f"{self.structure} is within the training data of {self.model} as far as can be told"
        return f"{self.structure} is outside of the training data of {self.model}: {'; '.join(self.reasons)}"

    def warn(self) -> None:
        """One :class:`ElfzooWarning` that says all of it, where there is anything to say."""
        if self.reasons:
            warnings.warn(str(self), ElfzooWarning, stacklevel=3)


def domain(model: Model | Source, structure: Any) -> DomainReport:
    """Compare a structure with the training data of a model, and warn, once, of everything that is outside.

    What the card states of the data (elements; volumes and distances, apart of hydrogen, hydrides and other matter
    where there are several) can be said of every model; how far the features at points of the structure are from those
    of the training data, only where there is an uncertainty.

    Args:
        model: any; or an :class:`Ensemble`.
        structure: anything that :func:`elfzoo.structure.as_structure` takes.

    Warns:
        ElfzooWarning: the structure is outside; one sentence says in what ways.
    """
    structure, source = as_structure(structure), _source(model)
    if isinstance(source, Source):
        with evaluating(*source.parts):
            report = assess(source, structure, source.evaluator(structure, 0, 0))
    else:
        report = assess(source, structure, None)
    report.warn()
    return report


def assess(source: Model | Source, structure: Structure, evaluate: Evaluate | None) -> DomainReport:
    """:func:`domain` without its warning, by an evaluator of the source that is there already; None for none."""
    model = source.model if isinstance(source, Source) else source
    return _report(model, structure, _unfamiliar(source, structure, evaluate))


def _source(model: Model | Source) -> Model | Source:
    """The source, where there is one."""
    try:
        return source_of(model)
    except ElfzooError:
        return model


def _report(model: Model, structure: Structure, unfamiliar: tuple[float, float] | None) -> DomainReport:
    card, nearest = model.card, nearest_distances(structure)
    volume, distance = structure.volume / len(structure), (float(nearest.min()), float(nearest.max()))
    elements = () if card is None else card.elements
    unknown = tuple(sorted({site.specie.symbol for site in structure} - set(elements))) if elements else ()
    reasons = [f"elements {', '.join(unknown)} (trained on {', '.join(elements)})"] if unknown else []
    known, group = None if card is None else card.domain, group_of(structure.symbol_set)
    if known is not None and not _within((volume, volume), limits := known.limits("volume_per_atom", group)):
        reasons.append("{:.2f} Å³ per atom (trained on {:.2f} to {:.2f})".format(volume, *limits))
    if known is not None and not _within(distance, limits := known.limits("nearest_distance", group)):
        reasons.append(
            "nearest neighbours at {:.2f} to {:.2f} Å (trained on {:.2f} to {:.2f})".format(*distance, *limits)
        )
    if unfamiliar is not None and unfamiliar[0] > unfamiliar[1]:
        reasons.append(
            "{:.0%} of its points are unfamiliar (in validation structures at most {:.0%})".format(*unfamiliar)
        )
    share = None if unfamiliar is None else unfamiliar[0]
    formula, name = structure.composition.formula, type(model).__name__ if card is None else card.name
    untrained = isinstance(model, Untrained) and not reasons
    return DomainReport(formula, name, unknown, volume, distance, share, tuple(reasons), untrained)


def _within(values: tuple[float, float], limits: tuple[float, float]) -> bool:
    return limits[0] - SLACK <= values[0] and values[1] <= limits[1] + SLACK


def _unfamiliar(source: Model | Source, structure: Structure, evaluate: Evaluate | None) -> tuple[float, float] | None:
    """Share of unfamiliar points, and the largest one in validation structures; None where it is not known."""
    if evaluate is None or not isinstance(source, Source) or QUANTILE not in source.quantiles:
        return None
    points = np.random.default_rng(SEED).random((POINTS, 3)) @ structure.lattice.matrix
    return float((evaluate(points).distance > source.quantiles[QUANTILE]).mean()), source.unfamiliar
