"""How a posterior is made: what the training points leave open, and α, s and the factor of φ from validation data."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar

from elfzoo._version import __version__
from elfzoo.analysis import networking
from elfzoo.card import Card
from elfzoo.config import parse
from elfzoo.errors import ElfzooError, ElfzooWarning
from elfzoo.field import Field
from elfzoo.models.base import Model, PointModel
from elfzoo.posterior import Posterior, group_of
from elfzoo.progress import progress_bar
from elfzoo.target import Target
from elfzoo.training.config import DataConfig, TrainConfig
from elfzoo.training.points import VALIDATION_SEED, PointSet, choose, draw_points, shared_files
from elfzoo.training.replay import OldData
from elfzoo.uncertainty.fields import deviation_of_values
from elfzoo.uncertainty.phi import MEMBERS, networking_with_error
from elfzoo.uncertainty.source import LastLayer, head_and_inputs, last_layer_of

__all__ = ["Checked", "calibrated", "checked_points", "fit", "rigidity", "spread_scale", "with_phi_scales"]

REGULARISERS = np.logspace(-8, 0, 9)  # s² in units of the largest eigenvalue
FLOOR = 1e-4  # of the value's unit: below it stored labels are rounded
LEVELS = (0.5, 0.9, 0.99, 1.0)
VALIDATION_POINTS = 1000
PHI_STRUCTURES, PHI_SPACING = 4, 0.12  # Å


class Checked(NamedTuple):
    """Validation points: what the last layer saw, what came out, what is right, and of which structure they are.

    Attributes:
        inputs: (points, width).
        logits: (points,).
        y: (points,) reference values.
        structure: (points,) numbers of structures.
        groups: of each structure, :func:`elfzoo.posterior.group_of`; all are of one where nothing is said.
    """

    inputs: Float[np.ndarray, "points width"]
    logits: Float[np.ndarray, " points"]
    y: Float[np.ndarray, " points"]
    structure: Int[np.ndarray, " points"]
    groups: tuple[str, ...] = ()


def fit(
    model: Model,
    *,
    root: str | None = None,
    points: int = VALIDATION_POINTS,
    phi_structures: int = PHI_STRUCTURES,
    progress: bool | None = None,
) -> Posterior:
    """The posterior of a release's last layer, from the data that its card says it was trained and validated on.

    Written into the folder of the release (``posterior.write(folder)``) it is loaded with the weights. The training
    points are those of the training; α and s have the highest likelihood of the errors at validation points, and the
    factor of φ comes from whole fields of validation structures. Nothing else of the validation data is kept.

    Args:
        model: a release that ends in a linear layer.
        root: folder of the datasets.
        points: of each validation structure.
        phi_structures: of each validation set, for the factor of φ, evenly spread over it; 0 leaves φ uncalibrated.
        progress: show a bar; by default in a terminal.

    Raises:
        ElfzooError: a model without a last layer, without a card that tells its training, or data that are not there.
    """
    last_layer_of(model)
    card, config = _training(model)
    _require_same_files(card, root)
    eigenvalues, eigenvectors, trained = rigidity(model, _drawn(config.train, config.seed, None, root, model), progress)
    checked = checked_points(model, _drawn(config.validate, VALIDATION_SEED, points, root, model))
    if shared := shared_files(config):
        warnings.warn(
            f"{card.name} was validated on {len(shared)} of the files that it learned from, such as {shared[0].name}: "
            "the errors to be expected come out too small",
            ElfzooWarning,
            stacklevel=2,
        )
    facts = {
        "model": card.name,
        "training_points": trained,
        "validation_points": len(checked.y),
        "validated_on": [f"{part.dataset}/{part.split}" for part in config.validate],
        "elfzoo": __version__,
    }
    found = Posterior(card.weights_sha256, eigenvalues, eigenvectors, alpha=1.0, s=0.0, facts=facts)
    found = calibrated(found, checked, model.target)
    if phi_structures < 1 or model.quantity != "elf":
        return found
    references = _fields(config.validate, phi_structures, root)
    told = {**facts, "phi_structures": len(references)}
    return with_phi_scales(model, found, references, progress).replace(facts=told)


def rigidity(
    model: Model, sets: Sequence[PointSet], progress: bool | None = False
) -> tuple[Float[np.ndarray, " width"], Float[np.ndarray, "width width"], int]:
    """Eigenvalues and eigenvectors of FᵀF over training points, and how many points there were.

    Args:
        model: that ends in a linear layer.
        sets: training points.
        progress: show a bar.
    """
    points, layer = last_layer_of(model)
    total = np.zeros((layer.in_features + 1,) * 2)
    with progress_bar("training points", sum(len(part.y) for part in sets), progress) as advance:
        for part in sets:
            logits, inputs = _last(points, part)
            rows = inputs.astype(np.float64) * model.target.slopes(logits)[:, None]
            total += rows.T @ rows
            advance(len(part.y))
    values, vectors = np.linalg.eigh(total)
    return values, vectors, sum(len(part.y) for part in sets)


def checked_points(model: Model, sets: Sequence[PointSet]) -> Checked:
    """What the last layer sees at points with known values.

    Args:
        model: that ends in a linear layer.
        sets: points of structures that were not trained on.
    """
    points, _ = last_layer_of(model)
    seen = [_last(points, part) for part in sets]
    owner = np.repeat(np.arange(len(sets)), [len(part.y) for part in sets])
    logits, inputs = (np.concatenate([part[i] for part in seen]).astype(np.float64) for i in (0, 1))
    groups = tuple(group_of(part.structure.symbol_set) for part in sets)
    return Checked(inputs, logits, np.concatenate([part.y for part in sets]).astype(np.float64), owner, groups)


def calibrated(posterior: Posterior, checked: Checked, target: Target) -> Posterior:
    """The posterior with α and s of the highest likelihood, α also of each of several groups, and quantiles.

    Args:
        posterior: whose α and s do not count yet.
        checked: validation points.
        target: what the logits stand for.
    """
    along = (checked.inputs @ posterior.eigenvectors) ** 2
    best = (np.inf, 1.0, 0.0)
    for s in np.sqrt(REGULARISERS * posterior.eigenvalues[-1]):
        distance = np.sqrt((along / (np.maximum(posterior.eigenvalues, 0.0) + s**2)).sum(axis=1))
        alpha, score = _scale(checked.logits, distance, checked.y, target)
        best = min(best, (score, alpha, float(s)))
    found = posterior.replace(alpha=best[1], s=best[2])
    distance = found.replace(alpha=1.0).deviation(checked.inputs)
    quantiles = {f"{level:g}": float(np.quantile(distance, level)) for level in LEVELS}
    beyond = distance > quantiles["0.99"]
    shares = np.bincount(checked.structure, beyond) / np.bincount(checked.structure)
    groups = _group_scales(checked, distance, target)
    return found.replace(quantiles=quantiles, unfamiliar=float(shares.max()), groups=groups)


def _group_scales(checked: Checked, distance: np.ndarray, target: Target) -> dict[str, dict[str, float]]:
    """α of each group; nothing where all structures are of one."""
    found: dict[str, dict[str, float]] = {}
    for group in sorted(set(checked.groups)) if len(set(checked.groups)) > 1 else ():
        own = np.array(checked.groups)[checked.structure] == group
        found[group] = {"alpha": _scale(checked.logits[own], distance[own], checked.y[own], target)[0]}
    return found


def spread_scale(
    logits: Float[np.ndarray, " points"],
    spread: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    target: Target | None = None,
) -> float:
    """By what a spread of logits is multiplied to have the highest likelihood of the errors: the scale of an ensemble.

    Args:
        logits: predictions at validation points.
        spread: standard deviation there, before scaling.
        y: reference values.
        target: what the logits stand for; ELF unless stated.
    """
    return _scale(logits, spread, y, target or Target())[0]


def with_phi_scales(
    model: Model, posterior: Posterior, fields: Iterable[Field], progress: bool | None = False
) -> Posterior:
    """The posterior with its factor of φ: the root mean square of φ's errors over that of its spread.

    Of the structures of all reference fields, and of those of each group that the posterior tells apart.

    Args:
        model: of ELF.
        posterior: of its last layer, calibrated at points.
        fields: references of structures that were not trained on.
        progress: show a bar.
    """
    errors: list[float] = []
    spreads: list[float] = []
    bare = {group: {"alpha": own["alpha"]} for group, own in posterior.groups.items()}
    source = LastLayer(model, posterior.replace(phi_scale=None, groups=bare))
    references = list(fields)
    kinds = np.array([group_of(reference.structure.symbol_set) for reference in references])
    with progress_bar("networking values", len(references), progress) as advance:
        for reference in references:
            found = networking_with_error(
                source, reference.structure, spacing=PHI_SPACING, members=MEMBERS, progress=False, warn=False
            )
            errors.append(found.phi - networking(reference).phi)
            spreads.append(found.sigma)
            advance(1)
    squares = np.square([errors, spreads])

    def scale(chosen: np.ndarray) -> float:
        return float(np.sqrt(np.divide(*squares[:, chosen].mean(axis=1))))

    groups = {
        group: {**own, "phi_scale": scale(kinds == group)} if (kinds == group).any() else dict(own)
        for group, own in posterior.groups.items()
    }
    return posterior.replace(phi_scale=scale(kinds == kinds), groups=groups)


def _training(model: Model) -> tuple[Card, TrainConfig]:
    """The card of a release, and how it was trained."""
    card = model.card
    if card is None or "config" not in card.training:
        raise ElfzooError("a posterior needs the training data; expected a release whose card tells how it was trained")
    return card, parse(TrainConfig, card.training["config"], where=f"training of {card.name}")


def _require_same_files(card: Card, root: str | None) -> None:
    """Refuse other files of the names that a release's own were learned from under: nothing else tells them apart."""
    old = OldData.of(card, root)
    assert old.config is not None
    for part in (*old.config.train, *old.config.validate):
        if part.files:
            old.found(part)


def _drawn(parts: Sequence[DataConfig], seed: int, most: int | None, root: str | None, model: Model) -> list[PointSet]:
    """Points of some data sets, at most so many of each structure."""
    fewer = [part if most is None else replace(part, points=min(part.points, most)) for part in parts]
    return [s for part in fewer for s in draw_points(part, seed, root, model.target)[0]]


def _fields(parts: Sequence[DataConfig], most: int, root: str | None) -> list[Field]:
    """Reference fields of some data sets, at most so many of each."""
    fewer = [replace(part, structures=min(most, part.structures or most)) for part in parts]
    return [sample.field for part in fewer for sample in choose(part, root)[1]]


def _last(model: PointModel, part: PointSet) -> tuple[np.ndarray, np.ndarray]:
    weight = next(model.parameters())
    return head_and_inputs(model, torch.from_numpy(model.features(part.structure, part.points)).to(weight))


def _scale(logits: np.ndarray, distance: np.ndarray, y: np.ndarray, target: Target) -> tuple[float, float]:
    """The factor on a distance with the highest likelihood of the errors, and minus twice its logarithm per point."""
    error = (target.values(logits) - y) / target.unit

    def score(log_alpha: float) -> float:
        spread = deviation_of_values(target, logits, np.exp(log_alpha) * distance) / target.unit
        variance = spread**2 + FLOOR**2
        return float(np.mean(error**2 / variance + np.log(variance)))

    found = minimize_scalar(score, bounds=(-12.0, 12.0), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(found.x)), float(found.fun)
