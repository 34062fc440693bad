"""harris, harris_delta: one diagonalisation in a small basis, alone and with a learned correction of its logit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor

from elfzoo.config import config_class
from elfzoo.errors import ConfigError
from elfzoo.models.base import EXACT_INVARIANCES, Evaluator, Invariance, PointModel, Reader
from elfzoo.nn import Standardise, mlp
from elfzoo.nn.mlp import last_linear
from elfzoo.periodic import probe_edges
from elfzoo.probe import ProbeData, add_probe_edges
from elfzoo.registry import register
from elfzoo.transforms import PowerSpectrumConfig, power_spectrum
from elfzoo.transforms.harris import HarrisConfig, HarrisInputs, harris_inputs
from elfzoo.transforms.harris.inputs import N_INPUTS, add_inputs, stored_inputs
from elfzoo.transforms.surroundings import surroundings

__all__ = ["Harris", "HarrisDelta", "HarrisDeltaConfig", "HarrisModelConfig"]

# k-mesh and grid follow the cell: another origin, or other vectors for the same crystal, get other ones
APPROXIMATE: dict[str, Invariance] = {
    **EXACT_INVARIANCES,
    **dict.fromkeys(("supercell", "basis", "origin"), "approximate"),
}


@config_class
class HarrisModelConfig:
    """Configuration of :class:`Harris`.

    Args:
        harris: of the diagonalisation.
        window: |G|, rad/Å, between which logit(ELF) is faded out, as in the labels.
    """

    harris: HarrisConfig = field(default_factory=HarrisConfig)
    window: tuple[float, float] = (14.0, 18.0)


@register("harris")
class Harris(PointModel):
    """ELF of the occupied states in the potential of superposed atoms; nothing in it is trained.

    The occupied states of one diagonalisation hold what no neighbourhood tells: which states are occupied.
    """

    config_class: ClassVar[type] = HarrisModelConfig
    config: HarrisModelConfig
    invariances = APPROXIMATE
    sees = "one diagonalisation"
    costly = True
    elements = ("H",)

    def transform(self, data: ProbeData) -> ProbeData:
        """Solve the structure and add what it says at the probe points."""
        return add_inputs(data, lambda structure: harris_inputs(structure, self.config.harris, self.config.window))

    def encode(self, batch: ProbeData) -> Float[Tensor, "points inputs"]:
        """Logit, density and gradient at each probe point."""
        return batch.probe_inputs

    def head(self, features: Float[Tensor, "points inputs"]) -> Float[Tensor, " points"]:
        """The logit as it is."""
        return features[:, 0]

    def fit_statistics(self, features: Float[Tensor, "points inputs"]) -> None:
        """Nothing to take."""

    def encoder_is_constant(self, elements: Iterable[str]) -> bool:
        return True

    def features(self, structure: Structure, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points n"]:
        """What the diagonalisation says at points (Cartesian, Å)."""
        return stored_inputs(structure, self.config.harris, self.config.window).at(points).astype(np.float32)

    def evaluator(self, structure: Structure) -> Evaluator:
        """One diagonalisation, then splines."""
        inputs = harris_inputs(structure, self.config.harris, self.config.window)
        return lambda points: inputs.at(points)[:, 0]


@config_class
class HarrisDeltaConfig:
    """Configuration of :class:`HarrisDelta`.

    Args:
        harris: of the diagonalisation.
        window: as in :class:`HarrisModelConfig`.
        descriptor: power spectrum of the atoms around a point.
        hidden: widths of the hidden layers.
        clamp: largest standardised feature; null for no limit.
        dropout: of the hidden layers, in training.
        start: factor of the last layer's fresh weights: the correction starts small.
    """

    harris: HarrisConfig = field(default_factory=HarrisConfig)
    window: tuple[float, float] = (14.0, 18.0)
    descriptor: PowerSpectrumConfig = field(default_factory=lambda: PowerSpectrumConfig(smooth=True))
    hidden: tuple[int, ...] = (64, 64)
    clamp: float | None = 4.0
    dropout: float = 0.0
    start: float = 0.1

    def __post_init__(self) -> None:
        if min(self.hidden, default=1) < 1 or (self.clamp is not None and self.clamp <= 0) or not 0 <= self.dropout < 1:
            raise ConfigError(f"widths and clamp are positive, dropout lies in [0, 1); got {self}")
        if self.descriptor.channels != 1:
            raise ConfigError(f"hydrogen alone needs one channel; got {self.descriptor.channels}")


@register("harris_delta")
class HarrisDelta(PointModel):
    """Logit of the untrained field, corrected by a small network on local invariants: what remains is local."""

    config_class: ClassVar[type] = HarrisDeltaConfig
    config: HarrisDeltaConfig
    invariances = APPROXIMATE
    sees = "one diagonalisation"
    costly = True
    elements = ("H",)

    def __init__(self, config: HarrisDeltaConfig):
        super().__init__(config)
        n_features = N_INPUTS + config.descriptor.n_features
        self.standardise = Standardise(n_features, config.clamp)
        self.network = mlp([n_features, *config.hidden, 1], config.dropout)
        with torch.no_grad():
            for parameter in self.network[-1].parameters():
                parameter.mul_(config.start)

    def transform(self, data: ProbeData) -> ProbeData:
        """Solve the structure; add what it says at the probe points, and the atoms around them."""
        data = add_inputs(data, lambda structure: harris_inputs(structure, self.config.harris, self.config.window))
        return add_probe_edges(data, partial(probe_edges, r_cut=self.config.descriptor.r_cut))

    def encode(self, batch: ProbeData) -> Float[Tensor, "points features"]:
        """What the diagonalisation says at each point, and the power spectrum there."""
        atom, probe = batch.probe_edge_index
        weights = torch.ones(len(atom), 1).to(batch.pos)
        around = power_spectrum(batch.edge_vectors(), weights, probe, len(batch.probe_pos), self.config.descriptor)
        return torch.cat([batch.probe_inputs, around], dim=1)

    def head(self, features: Float[Tensor, "points features"]) -> Float[Tensor, " points"]:
        """Corrected logits."""
        return features[:, 0] + self.network(self.standardise(features))[:, 0]

    def fit_statistics(self, features: Float[Tensor, "points features"]) -> None:
        """Standardise with the training set's mean and deviation."""
        self.standardise.fit(features)

    @property
    def last_layer(self) -> torch.nn.Linear:
        return last_linear(self.network)

    def encoder_is_constant(self, elements: Iterable[str]) -> bool:
        return True

    def features(self, structure: Structure, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points n"]:
        """The same at points (Cartesian, Å), as an array."""
        return self._reader(structure, stored_inputs)(points)

    def evaluator(self, structure: Structure) -> Evaluator:
        """One diagonalisation, then any number of blocks of points."""
        read = self.reader(structure)

        def evaluate(points: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return self.head(read(points)).cpu().numpy()

        return evaluate

    def reader(self, structure: Structure) -> Reader:
        """One diagonalisation, then any number of blocks of points."""
        read, weight = self._reader(structure, harris_inputs), self.standardise.mean
        return lambda points: torch.from_numpy(read(points)).to(weight)

    def _reader(self, structure: Structure, solve: Callable[..., HarrisInputs]) -> Callable[[np.ndarray], np.ndarray]:
        inputs = solve(structure, self.config.harris, self.config.window)
        around = surroundings(structure, self.config.descriptor, np.ones((len(structure), 1)))
        return lambda points: np.concatenate([inputs.at(points), around(points)], axis=1, dtype=np.float32)
