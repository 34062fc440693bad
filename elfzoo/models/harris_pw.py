"""harris_pw, harris_pw_delta: one diagonalisation in plane waves, of any elements, alone and with a correction."""

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
from elfzoo.nn.elements import N_ELEMENTS, RADIUS, RADIUS_SCALE, element_properties
from elfzoo.nn.mlp import last_linear
from elfzoo.periodic import probe_edges
from elfzoo.probe import ProbeData, add_probe_edges
from elfzoo.registry import register
from elfzoo.transforms import PowerSpectrumConfig, power_spectrum
from elfzoo.transforms.harris.inputs import N_INPUTS, HarrisInputs, add_inputs
from elfzoo.transforms.harris.plane_waves import PlaneWaveConfig, plane_wave_inputs, stored_plane_wave_inputs
from elfzoo.transforms.surroundings import surroundings

__all__ = ["HarrisPW", "HarrisPWConfig", "HarrisPWDelta", "HarrisPWDeltaConfig"]

# the grid has its origin where the cell has it; the primitive cell is one for all cells that describe the crystal
APPROXIMATE: dict[str, Invariance] = {**EXACT_INVARIANCES, "origin": "approximate", "rotation": "approximate"}
APPROXIMATE["reflection"] = "approximate"  # the primitive cell's vectors are chosen by their directions
ENGINE = ("gpaw", "gpaw_data")
CHANNELS = 3  # see _species


@config_class
class HarrisPWConfig:
    """Configuration of :class:`HarrisPW`.

    Args:
        plane_waves: of the diagonalisation.
        window: |G|, rad/Å, between which logit(ELF) is faded out, as in the labels; null keeps all waves.
    """

    plane_waves: PlaneWaveConfig = field(default_factory=PlaneWaveConfig)
    window: tuple[float, float] | None = None


@register("harris_pw")
class HarrisPW(PointModel):
    """ELF of the occupied plane-wave states in the potential of superposed atoms, of any elements, untrained."""

    config_class: ClassVar[type] = HarrisPWConfig
    config: HarrisPWConfig
    invariances = APPROXIMATE
    sees = "one diagonalisation"
    costly = True
    requires = ENGINE

    def transform(self, data: ProbeData) -> ProbeData:
        """Solve the structure and add what it says at the probe points."""
        return add_inputs(
            data, lambda structure: stored_plane_wave_inputs(structure, self.config.plane_waves, self.config.window)
        )

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
        found = stored_plane_wave_inputs(structure, self.config.plane_waves, self.config.window)
        return found.at(points).astype(np.float32)

    def evaluator(self, structure: Structure) -> Evaluator:
        """One diagonalisation, then splines."""
        inputs = plane_wave_inputs(structure, self.config.plane_waves, self.config.window)
        return lambda points: inputs.at(points)[:, 0]


@config_class
class HarrisPWDeltaConfig:
    """Configuration of :class:`HarrisPWDelta`.

    Args:
        plane_waves: of the diagonalisation.
        window: as in :class:`HarrisPWConfig`.
        descriptor: power spectrum of the atoms around a point, each with 1, its electronegativity and its radius.
        hidden: widths of the hidden layers.
        clamp: largest standardised feature; null for no limit.
        dropout: of the hidden layers, in training.
        start: factor of the last layer's fresh weights: the correction starts small.
    """

    plane_waves: PlaneWaveConfig = field(default_factory=PlaneWaveConfig)
    window: tuple[float, float] | None = None
    descriptor: PowerSpectrumConfig = field(
        default_factory=lambda: PowerSpectrumConfig(r_cut=4.0, n_radial=6, l_max=0, smooth=True, channels=CHANNELS)
    )
    hidden: tuple[int, ...] = (64, 64)
    clamp: float | None = 4.0
    dropout: float = 0.0
    start: float = 0.1

    def __post_init__(self) -> None:
        if self.descriptor.channels != CHANNELS:
            raise ConfigError(f"what tells elements apart has {CHANNELS} channels; got {self.descriptor.channels}")
        if min(self.hidden, default=1) < 1 or (self.clamp is not None and self.clamp <= 0) or not 0 <= self.dropout < 1:
            raise ConfigError(f"widths and clamp are positive, dropout lies in [0, 1); got {self}")


@register("harris_pw_delta")
class HarrisPWDelta(PointModel):
    """Logit of the untrained plane-wave field, corrected by a small network on local invariants."""

    config_class: ClassVar[type] = HarrisPWDeltaConfig
    config: HarrisPWDeltaConfig
    invariances = APPROXIMATE
    sees = "one diagonalisation"
    costly = True
    requires = ENGINE

    species: Tensor

    def __init__(self, config: HarrisPWDeltaConfig):
        super().__init__(config)
        n_features = N_INPUTS + config.descriptor.n_features
        # saved with the weights, as the embedding's table is; fixed, for a dozen compositions teach no embedding, and
        # features in which nothing is trained are computed once
        self.register_buffer("species", _species())
        self.standardise = Standardise(n_features, config.clamp)
        self.network = mlp([n_features, *config.hidden, 1], config.dropout)
        with torch.no_grad():
            for parameter in self.network[-1].parameters():
                parameter.mul_(config.start)

    def transform(self, data: ProbeData) -> ProbeData:
        """Solve the structure; add what it says at the probe points, and the atoms around them."""
        data = add_inputs(
            data, lambda structure: stored_plane_wave_inputs(structure, self.config.plane_waves, self.config.window)
        )
        return add_probe_edges(data, partial(probe_edges, r_cut=self.config.descriptor.r_cut))

    def encode(self, batch: ProbeData) -> Float[Tensor, "points features"]:
        """What the diagonalisation says at each point, and the power spectrum there."""
        atom, probe = batch.probe_edge_index
        weights = self.species[batch.z - 1][atom]
        around = power_spectrum(batch.edge_vectors(), weights, probe, len(batch.probe_pos), self.config.descriptor)
        return torch.cat([batch.probe_inputs, around], dim=1)

    def head(self, features: Float[Tensor, "points features"]) -> Float[Tensor, " points"]:
        """Corrected logits."""
        return features[:, 0] + self.network(self.standardise(features))[:, 0]

    def fit_statistics(self, features: Float[Tensor, "points features"]) -> None:
        """Standardise with the training set's mean and deviation."""
        self.standardise.fit(features)

    def encoder_is_constant(self, elements: Iterable[str]) -> bool:
        return True

    def features(self, structure: Structure, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points n"]:
        """The same at points (Cartesian, Å), as an array."""
        return self._reader(structure, stored_plane_wave_inputs)(points).cpu().numpy()

    @property
    def last_layer(self) -> torch.nn.Linear:
        return last_linear(self.network)

    def evaluator(self, structure: Structure) -> Evaluator:
        """One diagonalisation, then any number of blocks of points."""
        read = self.reader(structure)

        def evaluate(points: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return self.head(read(points)).cpu().numpy()

        return evaluate

    def reader(self, structure: Structure) -> Reader:
        """One diagonalisation, then any number of blocks of points."""
        return self._reader(structure, plane_wave_inputs)

    def _reader(self, structure: Structure, solve: Callable[..., HarrisInputs]) -> Reader:
        inputs = solve(structure, self.config.plane_waves, self.config.window)
        weight, config = self.standardise.mean, self.config.descriptor
        around = surroundings(structure, config, self.species.cpu().numpy()[np.array(structure.atomic_numbers) - 1])
        return lambda points: torch.from_numpy(np.concatenate([inputs.at(points), around(points)], axis=1)).to(weight)


def _species() -> Float[Tensor, "elements 3"]:
    """What tells elements apart: 1; Pauling's electronegativity over hydrogen's, and radius over 2 Å, both 0 for H."""
    table = element_properties()
    electronegativity, radius = table[:, 3], table[:, RADIUS] * RADIUS_SCALE
    return torch.stack(
        [torch.ones(N_ELEMENTS), electronegativity / electronegativity[0] - 1, (radius - radius[0]) / 2], dim=1
    )
