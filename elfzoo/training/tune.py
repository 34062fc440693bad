"""Which weights of a trained model a run changes, and how far."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor, nn
from torch.nn.utils import parametrize

from elfzoo.errors import ElfzooError
from elfzoo.models.base import Model, PointModel
from elfzoo.nn import ElementEmbedding
from elfzoo.probe import probe_data
from elfzoo.training.config import Start, TuneMethod

__all__ = ["LowRank", "last_layer", "merge", "prepare"]


class LowRank(nn.Module):
    """A matrix of weights plus a product of two thin ones that starts at zero (Hu et al. 2021, arXiv:2106.09685).

    Args:
        weight: the matrix, or a convolution's kernel as a matrix of one row for each output channel.
        rank: at most that of the matrix.
    """

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        rows, columns = weight.flatten(1).shape
        rank = min(rank, rows, columns)
        self.left = nn.Parameter(torch.zeros(rows, rank))
        self.right = nn.Parameter(torch.randn(rank, columns) / math.sqrt(columns))

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weights."""
        return weight + (self.left @ self.right).view_as(weight)


class Slope(nn.Module):
    """Weights of the last layer times a learned positive number."""

    def __init__(self, log_slope: nn.Parameter):
        super().__init__()
        self.log_slope = log_slope

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weights."""
        return weight * self.log_slope.exp()


class Offset(Slope):
    """The bias of the last layer times the same number, plus another one."""

    def __init__(self, log_slope: nn.Parameter):
        super().__init__(log_slope)
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, weight: Tensor) -> Tensor:
        """The changed bias."""
        return super().forward(weight) + self.offset


def prepare(model: Model, start: Start) -> None:
    """Leave to learn what the method says, and nothing else, and silence no unit at random.

    A network that goes on learning with dropout gives up more of what it knew, and learns less: from eight hydrides of
    yttrium, all weights free, ``grid_mlp.smooth-h-v3`` came to 0.0145 on three others, and 0.0179 on fluid-h/val, with
    it; to 0.0121 and 0.0172 without. What a model hides of its input, such as degrees or elements, stays hidden. The
    configuration keeps the rates.

    Raises:
        ElfzooError: a model that the method does not know how to treat.
    """
    METHODS[start.method](model, start.rank)
    for part in model.modules():
        if isinstance(part, nn.Dropout | nn.Dropout3d):
            part.p = 0.0


def merge(model: Model) -> None:
    """Make what was added part of the weights: from now on it is a model like any other."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[union-attr,arg-type]
                parametrize.remove_parametrizations(module, str(name), leave_parametrized=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def last_layer(model: Model) -> nn.Linear | nn.Conv3d:
    """The layer whose one output is the logit.

    Raises:
        ElfzooError: there is none, or several that could be.
    """
    found = [m for m in _layers(model) if len(m.weight) == 1 and m.bias is not None]
    if len(found) != 1:
        raise ElfzooError(
            f"{type(model).__name__} has {len(found)} layers with one output; expected the last one alone"
        )
    return found[0]


def _full(model: Model, rank: int) -> None:
    pass


def _low_rank(model: Model, rank: int) -> None:
    _freeze(model)
    for module in list(_layers(model)):
        parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank))
    for part in model.modules():
        if isinstance(part, ElementEmbedding):
            part.residual.requires_grad_(True)


def _head(model: Model, rank: int) -> None:
    chosen = list(_head_parameters(model)) if isinstance(model, PointModel) else list(last_layer(model).parameters())
    _freeze(model)
    for parameter in chosen:
        parameter.requires_grad_(True)


def _calibrate(model: Model, rank: int) -> None:
    layer = last_layer(model)
    _freeze(model)
    slope = nn.Parameter(torch.zeros(()))
    parametrize.register_parametrization(layer, "weight", Slope(slope))
    parametrize.register_parametrization(layer, "bias", Offset(slope))


METHODS: Mapping[TuneMethod, Callable[[Model, int], None]] = {
    "full": _full,
    "low_rank": _low_rank,
    "head": _head,
    "calibrate": _calibrate,
}


def _layers(model: Model) -> Iterator[nn.Linear | nn.Conv3d]:
    return (m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv3d))


def _freeze(model: Model) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(False)


def _head_parameters(model: PointModel) -> Iterator[nn.Parameter]:
    """Those that ``head`` uses, whatever they are called: the ones that get a gradient from it."""
    atom = Structure(Lattice.cubic(3.0), ["H"], [[0, 0, 0]])
    with torch.no_grad():
        features = model.encode(model.transform(probe_data(atom, np.array([[0.5, 0.4, 0.3]]))))
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(model.head(features).sum(), parameters, allow_unused=True)
    return (p for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None)
