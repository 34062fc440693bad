"""Where the uncertainty of a prediction comes from: the last layer of one model, or several models of one kind.

Both answer alike: logits, how far the point is from what was learned, and the logits of members, whose fields are each
a field of its own, smooth and coherent.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor, nn

from elfzoo.errors import ElfzooError
from elfzoo.field import Recipe
from elfzoo.models.base import Model, PointModel
from elfzoo.models.blocks import to_array
from elfzoo.posterior import Posterior

__all__ = ["Ensemble", "Evaluate", "LastLayer", "Outputs", "Source", "head_and_inputs", "last_layer_of", "source_of"]


class Outputs(NamedTuple):
    """What a source says at points.

    Attributes:
        logits: (points,) the prediction.
        distance: (points,) standard deviation of the logits over α: how far the point is from what was learned.
        members: (members, points) logits of members.
    """

    logits: np.ndarray
    distance: np.ndarray
    members: np.ndarray


Evaluate = Callable[[np.ndarray], Outputs]


class Source(ABC):
    """A prediction and how uncertain it is.

    Attributes:
        model: whose card, target and blocks count.
        alpha: by what distances are multiplied to be standard deviations of logits.
        phi_scale: by what the spread of φ over members is multiplied to be its error.
        calibrated: whether ``phi_scale`` was found on validation structures.
        quantiles: of the distance over validation points, by their share; empty where they are not known.
        unfamiliar: largest share of points beyond the quantile 0.99 in any validation structure.
    """

    model: Model
    alpha: float
    phi_scale: float
    calibrated: bool
    quantiles: Mapping[str, float]
    unfamiliar: float

    def for_structure(self, structure: Structure) -> Source:
        """The source as it is calibrated for structures like this one."""
        return self

    def provenance(self) -> dict[str, Any]:
        """What a predicted field says of who predicted it."""
        return self.model._provenance()

    @property
    def parts(self) -> tuple[Model, ...]:
        """The models that predict."""
        return (self.model,)

    def freedom(self, members: int) -> float:
        """By what the sum of squares around the prediction, over so many members, is divided to be a variance."""
        return float(members)

    @property
    def block_size(self) -> int:
        """Points that are evaluated at a time: what the largest features of any model allow."""
        return min(part.block_size for part in self.parts)

    @property
    def workers(self) -> int:
        """Threads that evaluate blocks: as many as the model that allows fewest."""
        return min(part.workers for part in self.parts)

    @property
    def recipe(self) -> Recipe | None:
        """Of the labels that were learned from."""
        return None if self.model.card is None else self.model.card.recipe

    @abstractmethod
    def evaluator(self, structure: Structure, members: int, seed: int) -> Evaluate:
        """A function from points (Cartesian, Å) to outputs, for one structure; may be called from several threads."""


class LastLayer(Source):
    """One model and the posterior of its last layer.

    Args:
        model: of points, ending in a linear layer.
        posterior: of that layer; the model's own unless stated.

    Raises:
        ElfzooError: a model without such a layer, or without a posterior.
    """

    def __init__(self, model: Model, posterior: Posterior | None = None):
        self.model, self.layer = last_layer_of(model)
        found = posterior or model.posterior
        if found is None:
            raise ElfzooError(
                f"{_name(model)} comes without an uncertainty; expected {self.layer.in_features + 1} dimensions of its "
                "last layer in uncertainty.safetensors beside its weights: elfzoo.uncertainty.fit makes it"
            )
        if len(found.eigenvalues) != self.layer.in_features + 1:
            raise ElfzooError(
                f"the posterior has {len(found.eigenvalues)} dimensions; the last layer of {_name(model)} needs "
                f"{self.layer.in_features + 1}"
            )
        self.posterior, self.alpha, self.quantiles = found, found.alpha, found.quantiles
        self.calibrated = found.phi_scale is not None
        self.phi_scale = 1.0 if found.phi_scale is None else found.phi_scale
        self.unfamiliar = found.unfamiliar

    def for_structure(self, structure: Structure) -> Source:
        return LastLayer(self.model, self.posterior.of(structure.symbol_set)) if self.posterior.groups else self

    def evaluator(self, structure: Structure, members: int, seed: int) -> Evaluate:
        assert isinstance(self.model, PointModel)
        model, read, lock = self.model, self.model.reader(structure), threading.Lock()
        factor, changes = self.posterior.factor, self.posterior.draw(members, seed)

        def evaluate(points: np.ndarray) -> Outputs:
            features = read(points)
            with lock:  # the hook that catches the inputs is the layer's, not the thread's
                logits, inputs = head_and_inputs(model, features)
            distance = np.linalg.norm(inputs @ factor.astype(inputs.dtype), axis=1)
            return Outputs(logits, distance, logits + changes.astype(inputs.dtype) @ inputs.T)

        return evaluate


class Ensemble(Source):
    """Models of one target, such as one architecture trained from several seeds: their mean logit and its spread.

    Args:
        models: two or more.
        scale: by what the spread is multiplied; see :func:`elfzoo.uncertainty.spread_scale`.
        phi_scale: by what the spread of φ is multiplied beyond that, from validation structures; None for 1, and for
            error bars of φ that say that they are not calibrated.

    Raises:
        ElfzooError: fewer than two models, different targets, or a scale below 0.
    """

    quantiles: Mapping[str, float] = MappingProxyType({})
    unfamiliar = 1.0

    def __init__(self, models: Sequence[Model], scale: float = 1.0, phi_scale: float | None = None):
        if len(models) < 2 or scale < 0:
            raise ElfzooError(
                f"an ensemble has two models or more and a scale of 0 or above; got {len(models)}, {scale}"
            )
        if any(model.target != models[0].target for model in models):
            raise ElfzooError(f"an ensemble has one target; got {[model.target for model in models]}")
        self.models, self.model, self.alpha = tuple(models), models[0], scale
        self.calibrated, self.phi_scale = phi_scale is not None, 1.0 if phi_scale is None else phi_scale

    def provenance(self) -> dict[str, Any]:
        """All members, for no single one predicts the mean."""
        cards = [model.card for model in self.models]
        names = [_name(model) for model in self.models]
        return {
            "predicted_by": f"mean of {', '.join(names)}",
            "members_sha256": [c and c.weights_sha256 for c in cards],
        }

    @property
    def recipe(self) -> Recipe | None:
        """That of all members, where they have one."""
        first, *others = (None if model.card is None else model.card.recipe for model in self.models)
        return first if all(other == first for other in others) else None

    @property
    def parts(self) -> tuple[Model, ...]:
        """All of them."""
        return self.models

    def freedom(self, members: int) -> float:
        """The prediction is the mean of all models, which lie closer around it than around the truth's."""
        return members * (len(self.models) - 1) / len(self.models)

    def evaluator(self, structure: Structure, members: int, seed: int) -> Evaluate:
        """Members are the models themselves, as many as are asked for and there are; ``seed`` changes nothing."""
        evaluators = [model.evaluator(structure) for model in self.models]

        def evaluate(points: np.ndarray) -> Outputs:
            with torch.no_grad():
                logits = np.stack([evaluate(points) for evaluate in evaluators]).astype(np.float64)
            mean = logits.mean(axis=0)
            around = mean + self.alpha * (logits - mean)
            return Outputs(mean, logits.std(axis=0, ddof=1), around[:members])

        return evaluate


def source_of(model: Model | Source) -> Source:
    """The source itself, or the last layer of a model.

    Raises:
        ElfzooError: a model without a last layer or without a posterior.
    """
    return LastLayer(model) if isinstance(model, Model) else model


def last_layer_of(model: Model) -> tuple[PointModel, nn.Linear]:
    """A model of points and its last layer.

    Raises:
        ElfzooError: it has none.
    """
    layer = model.last_layer if isinstance(model, PointModel) else None
    if layer is None or not isinstance(model, PointModel):
        raise ElfzooError(
            f"{_name(model)} does not end in a linear layer of features at points, so that nothing is known of its "
            "uncertainty; expected a model such as grid_mlp, or an Ensemble"
        )
    return model, layer


def head_and_inputs(
    model: PointModel, features: Tensor
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "points width"]]:
    """Logits, and the inputs of the last layer with a 1 for its offset: the slope of logits in its weights.

    Where a head calls the layer several times for a point and takes the mean, so are its inputs.
    """
    _, layer = last_layer_of(model)
    caught: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        with torch.no_grad():
            logits = model.head(features)
    finally:
        hook.remove()
    times = sum(len(part) for part in caught) // max(len(features), 1)
    groups = [torch.stack(caught[i : i + times]).mean(dim=0) for i in range(0, len(caught), max(times, 1))]
    inputs = torch.cat(groups)
    return to_array(logits), to_array(torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1))


def _name(model: Model) -> str:
    return type(model).__name__ if model.card is None else model.card.name
