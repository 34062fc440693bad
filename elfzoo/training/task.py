"""What the training loop knows of a model and its data: batches, their loss, and the validation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import torch
from pymatgen.core import Structure
from torch import Tensor, nn

from elfzoo.field import Recipe
from elfzoo.models.base import Model
from elfzoo.training.config import TrainConfig
from elfzoo.training.parallel import Ranks

__all__ = ["Part", "Task"]


@runtime_checkable
class Labelled(Protocol):
    """Reference values in one structure, whatever their form."""

    @property
    def structure(self) -> Structure: ...
    @property
    def recipe(self) -> Recipe | None: ...
    @property
    def predicted(self) -> bool: ...
    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=Labelled, covariant=True)


@dataclass(frozen=True)
class Part(Generic[T]):
    """What was taken from one split, and the hash of the files."""

    sets: Sequence[T]
    sha256: str


class Task(ABC):
    """A model and what it learns from.

    Args:
        model: with fresh weights.
        config: the run.
        train, validate: data in the order of the configuration.
        ranks: the processes that share the work.
    """

    criterion: nn.Module  # its parameters belong to the run, not to the released model
    steps_per_epoch: int
    unit: ClassVar[str]  # what is counted in the facts

    def __init__(
        self,
        model: Model,
        config: TrainConfig,
        train: Sequence[Part[Labelled]],
        validate: Sequence[Part[Labelled]],
        ranks: Ranks,
    ):
        self.model, self.config, self.ranks = model, config, ranks
        sets = [s for part in train for s in part.sets]
        given = zip(config.train, train, strict=True)
        own = [s for data, part in given for s in part.sets if config.start and data.files and not s.predicted]
        calculated = [s for s in sets if not s.predicted] or sets  # what a teacher predicted is nobody's calculation
        self.elements = tuple(sorted({site.specie.symbol for s in sets for site in s.structure}))
        self.recipes = Counter[Recipe | None]()  # points of each
        for s in calculated:
            self.recipes[s.recipe] += s.size
        self.recipe = _stated({s.recipe for s in own}, self.recipes)
        parts = zip(config.part_names, [*train, *validate], strict=True)
        self.data_sha256 = {name: part.sha256 for name, part in parts}

    @abstractmethod
    def size(self) -> int:
        """Number of points that are trained on."""

    def batches(self, epoch: int) -> Iterator[Iterator[tuple[Any, float]]]:
        """Of each batch of an epoch the pieces that this process takes, with their shares of it.

        They are the same whenever the epoch is run, and those of all processes together are the batch.
        """
        pieces = self.ranks.size * self.config.accumulate
        for plan in self.plans(epoch):
            cut = [part for part in (self.cut(plan, i, pieces) for i in range(pieces)) if self.count(part)]
            own, whole = cut[self.ranks.rank :: self.ranks.size], self.count(plan)
            yield ((self.load(part), self.count(part) / whole) for part in own)

    @abstractmethod
    def plans(self, epoch: int) -> Iterator[Any]:
        """What belongs into each batch of an epoch, the same whenever it is run and in every process."""

    @abstractmethod
    def cut(self, plan: Any, piece: int, pieces: int) -> Any:
        """The part of a plan that is one of so many pieces; with one piece, all of it."""

    @abstractmethod
    def count(self, plan: Any) -> int:
        """Number of items that the loss is a mean over."""

    @abstractmethod
    def load(self, plan: Any) -> Any:
        """What :meth:`losses` takes."""

    @abstractmethod
    def losses(self, batch: Any) -> Iterator[Tensor]:
        """Parts of a batch's loss; each is differentiated and let go before the next, the gradients add up."""

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of the network's work in training."""
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(next(self.model.parameters()).device.type, torch.bfloat16)

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """MAE over the points of each structure, averaged over the structures of each validation set."""

    def closing_facts(self) -> dict[str, Any]:
        """What is measured on the trained model for its card."""
        return {}


def _stated(own: set[Recipe | None], points: Counter[Recipe | None]) -> Recipe | None:
    """The recipe that a release states, and that its predictions then bear: the one of all that was learned from.

    A model that goes on from a trained one takes on that of its user's files, unless most of the points are others that
    are replayed: a prediction is then more of theirs than of the user's, and of neither.

    Args:
        own: recipes of the user's files, where the model goes on from a trained one.
        points: of each recipe.
    """
    recipes = own or set(points)
    recipe = next(iter(recipes)) if len(recipes) == 1 else None
    return recipe if 2 * points[recipe] >= points.total() else None
