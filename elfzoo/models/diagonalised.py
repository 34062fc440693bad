"""What models behind one diagonalisation share: its logit as it is, and with a learned correction."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import field
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from pymatgen.core import Structure
from torch import Tensor

from elfzoo.config import config_class
from elfzoo.errors import ConfigError
from elfzoo.models.base import Evaluator, PointModel, Reader
from elfzoo.models.blocks import to_array
from elfzoo.nn import Standardise, mlp
from elfzoo.nn.mlp import last_linear
from elfzoo.periodic import probe_edges
from elfzoo.probe import ProbeData, add_probe_edges
from elfzoo.transforms import PowerSpectrumConfig, power_spectrum
from elfzoo.transforms.harris import HarrisInputs
from elfzoo.transforms.harris.inputs import N_INPUTS, add_inputs
from elfzoo.transforms.surroundings import surroundings

__all__ = ["Corrected", "CorrectionConfig", "Diagonalised", "Untrained"]


@config_class
class CorrectionConfig:
    """What decides a correction.

    Args:
        descriptor: power spectrum of the atoms around a point.
        hidden: widths of the hidden layers.
        clamp: largest standardised feature; null for no limit.
        dropout: of the hidden layers, in training.
        start: factor of the last layer's fresh weights: the correction starts small.
    """

    descriptor: PowerSpectrumConfig = field(default_factory=lambda: PowerSpectrumConfig(smooth=True))
    hidden: tuple[int, ...] = (64, 64)
    clamp: float | None = 4.0
    dropout: float = 0.0
    start: float = 0.1

    def __post_init__(self) -> None:
        if min(self.hidden, default=1) < 1 or (self.clamp is not None and self.clamp <= 0) or not 0 <= self.dropout < 1:
            raise ConfigError(f"widths and clamp are positive, dropout lies in [0, 1); got {self}")


class Diagonalised(PointModel):
    """A model of points that solves the structure first."""

    sees = "one diagonalisation"
    costly = True

    @property
    def workers(self) -> int:
        """As many as there are: splines and descriptor let go of the interpreter."""
        return torch.get_num_threads()

    @abstractmethod
    def solve(self, structure: Structure, keep: bool) -> HarrisInputs:
        """What the diagonalisation says.

        Args:
            structure: any that the diagonalisation takes.
            keep: in the folder that ``ELFZOO_HARRIS_CACHE`` names, and to take from it what is kept there. For
                training, which needs the same structures again and again: whoever predicts, and may time it, computes.
        """

    def transform(self, data: ProbeData) -> ProbeData:
        """Solve the structure and add what it says at the probe points."""
        return add_inputs(data, partial(self.solve, keep=True))

    def encoder_is_constant(self, elements: Iterable[str]) -> bool:
        return True

    def kept_values(self, structure: Structure, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, " points"]:
        """What is predicted at points (Cartesian, Å) with a diagonalisation that is kept, see ``keep`` of ``solve``."""
        found = torch.from_numpy(self.features(structure, points))  # has derivatives inside
        with torch.no_grad():
            logits = self.head(found.to(next(self.buffers(), found)))
        return self.target.values(to_array(logits))


class Untrained(Diagonalised):
    """The logit as it is: nothing is trained."""

    def encode(self, batch: ProbeData) -> Float[Tensor, "points inputs"]:
        """Logit, density and gradient at each probe point."""
        return batch.probe_inputs

    def head(self, features: Float[Tensor, "points inputs"]) -> Float[Tensor, " points"]:
        """The logit as it is."""
        return features[:, 0]

    def fit_statistics(self, features: Float[Tensor, "points inputs"]) -> None:
        """Nothing to take."""

    def features(self, structure: Structure, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points n"]:
        """What the diagonalisation says at points (Cartesian, Å)."""
        return self.solve(structure, keep=True).at(points).astype(np.float32)

    def reader(self, structure: Structure) -> Reader:
        """One diagonalisation, then splines, in single precision."""
        inputs = self.solve(structure, keep=False)
        return lambda points: torch.from_numpy(inputs.at(points).astype(np.float32))

    def evaluator(self, structure: Structure) -> Evaluator:
        """One diagonalisation, then splines."""
        inputs = self.solve(structure, keep=False)
        return lambda points: inputs.at(points)[:, 0]


class Corrected(Diagonalised):
    """The logit, corrected by a small network on local invariants: what remains is local."""

    config_class: ClassVar[type]
    config: CorrectionConfig

    def __init__(self, config: CorrectionConfig):
        super().__init__(config)
        n_features = N_INPUTS + config.descriptor.n_features
        self.standardise = Standardise(n_features, config.clamp)
        self.network = mlp([n_features, *config.hidden, 1], config.dropout)
        with torch.no_grad():
            for parameter in self.network[-1].parameters():
                parameter.mul_(config.start)

    @abstractmethod
    def atom_weights(self, numbers: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms channels"]:
        """What tells atoms apart in the descriptor, by atomic number."""

    def transform(self, data: ProbeData) -> ProbeData:
        """Solve the structure; add what it says at the probe points, and the atoms around them."""
        return add_probe_edges(super().transform(data), partial(probe_edges, r_cut=self.config.descriptor.r_cut))

    def encode(self, batch: ProbeData) -> Float[Tensor, "points features"]:
        """What the diagonalisation says at each point, and the power spectrum there."""
        atom, probe = batch.probe_edge_index
        weights = self.atom_weights(batch.z).to(batch.pos)[atom]
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

    def features(self, structure: Structure, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points n"]:
        """The same at points (Cartesian, Å), as an array."""
        return to_array(self._reader(structure, keep=True)(points))

    def reader(self, structure: Structure) -> Reader:
        """One diagonalisation, then any number of blocks of points."""
        return self._reader(structure, keep=False)

    def evaluator(self, structure: Structure) -> Evaluator:
        """One diagonalisation, then any number of blocks of points."""
        read = self.reader(structure)

        def evaluate(points: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return to_array(self.head(read(points)))

        return evaluate

    def _reader(self, structure: Structure, keep: bool) -> Reader:
        inputs, weight = self.solve(structure, keep), self.standardise.mean
        weights = to_array(self.atom_weights(torch.tensor(structure.atomic_numbers, device=weight.device)))
        around = surroundings(structure, self.config.descriptor, weights)
        return lambda points: torch.from_numpy(np.concatenate([inputs.at(points), around(points)], axis=1)).to(weight)
