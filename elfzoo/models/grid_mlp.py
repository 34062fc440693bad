"""grid_mlp: power spectrum of the neighbour density at a point, then a multilayer perceptron (Wang et al. 2026)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor

from elfzoo.config import config_class
from elfzoo.errors import ConfigError
from elfzoo.grid import Grid
from elfzoo.models.base import EXACT_INVARIANCES, Evaluator, Reader
from elfzoo.models.blocks import to_array
from elfzoo.models.kernel_model import KernelModel
from elfzoo.models.work import Work, count_blocks
from elfzoo.nn import DegreeDropout, ElementEmbedding, Standardise, mlp
from elfzoo.nn.mlp import last_linear
from elfzoo.periodic import CellList, periodic_images, probe_edges, wrap
from elfzoo.probe import ProbeData, add_probe_edges
from elfzoo.registry import register
from elfzoo.transforms import PowerSpectrumConfig, fused, fused_work, power_spectrum
from elfzoo.transforms.tiles import tiled_power_spectrum

__all__ = ["GridMLP", "GridMLPConfig"]


@config_class
class GridMLPConfig:
    """Configuration of :class:`GridMLP`; the defaults are the paper's.

    Args:
        descriptor: the power spectrum.
        hidden: widths of the hidden layers.
        clamp: largest standardised feature; null for no limit, as in the paper.
        dropout: of the hidden layers, in training.
        degree_dropout: probability of hiding all features of l = 0, 1, ... of a point, in training.
    """

    descriptor: PowerSpectrumConfig = field(default_factory=PowerSpectrumConfig)
    hidden: tuple[int, ...] = (128, 128)
    clamp: float | None = None
    dropout: float = 0.0
    degree_dropout: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        rates = (self.dropout, *self.degree_dropout)
        if min(rates) < 0 or max(rates) >= 1 or len(self.degree_dropout) > self.descriptor.l_max + 1:
            raise ConfigError(f"dropout rates lie in [0, 1), at most one per degree; got {rates}")
        if min(self.hidden, default=1) < 1 or (self.clamp is not None and self.clamp <= 0):
            raise ConfigError(f"hidden widths and clamp must be positive; got {self.hidden}, {self.clamp}")


@register("grid_mlp")
class GridMLP(KernelModel):
    """Logit of ELF at a point from the power spectrum of the atoms around it, periodic images exact."""

    config_class = GridMLPConfig
    config: GridMLPConfig
    invariances = EXACT_INVARIANCES

    def __init__(self, config: GridMLPConfig):
        super().__init__(config)
        n_features = config.descriptor.n_features
        self.embedding = ElementEmbedding(config.descriptor.channels)
        self.standardise = Standardise(n_features, config.clamp)
        degrees = config.descriptor.l_max + 1
        self.degree_dropout = DegreeDropout([n_features // degrees] * degrees, config.degree_dropout)
        self.network = mlp([n_features, *config.hidden, 1], config.dropout)

    def transform(self, data: ProbeData) -> ProbeData:
        """Add the pairs of an atom and a probe point within the cutoff, all periodic images counted."""
        return add_probe_edges(data, partial(probe_edges, r_cut=self.config.descriptor.r_cut))

    def encode(self, batch: ProbeData) -> Float[Tensor, "points features"]:
        """Power spectrum of each probe point, not yet standardised."""
        atom, probe = batch.probe_edge_index
        weights = self.embedding(batch.z)[atom]
        return power_spectrum(batch.edge_vectors(), weights, probe, len(batch.probe_pos), self.config.descriptor)

    def head(self, features: Float[Tensor, "points features"]) -> Float[Tensor, " points"]:
        """Logits from power spectra."""
        return self.network(self.degree_dropout(self.standardise(features)))[:, 0]

    def evaluator(self, structure: Structure) -> Evaluator:
        """The compiled kernel where it applies (processor, single precision), else dense tiles on any device."""
        if not self._fused:
            return self._tiled_evaluator(structure)
        cells, weights = self._surroundings(structure)
        network = self._fused_network()
        descriptor = self.config.descriptor
        return lambda points: fused.logits(descriptor, cells, weights, network, points)

    def _tiled_evaluator(self, structure: Structure) -> Evaluator:
        descriptor = self.config.descriptor
        images = periodic_images(structure.cart_coords, structure.lattice.matrix, descriptor.r_cut)
        weights = self.embedding(torch.tensor(structure.atomic_numbers, device=self.standardise.mean.device)).detach()

        def evaluate(points: np.ndarray) -> np.ndarray:
            parts = tiled_power_spectrum(points, images, weights, descriptor)
            with torch.no_grad():
                return to_array(torch.cat([self.head(features) for features in parts]))

        return evaluate

    def features(self, structure: Structure, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points n"]:
        """Power spectra at points (Cartesian, Å), by the kernel where it applies."""
        if not self._fused:
            return super().features(structure, points)
        cells, weights = self._surroundings(structure)
        return fused.features(self.config.descriptor, cells, weights, wrap(points, structure.lattice.matrix))

    def reader(self, structure: Structure) -> Reader:
        """Power spectra, by the kernel where it applies."""
        if not self._fused:
            return super().reader(structure)
        lattice, config = structure.lattice.matrix, self.config.descriptor
        cells, weights = self._surroundings(structure)
        return lambda points: torch.from_numpy(fused.features(config, cells, weights, wrap(points, lattice)))

    def fit_statistics(self, features: Float[Tensor, "points features"]) -> None:
        """Standardise with the training set's mean and deviation."""
        self.standardise.fit(features)

    @property
    def last_layer(self) -> torch.nn.Linear:
        return last_linear(self.network)

    def encoder_is_constant(self, elements: Iterable[str]) -> bool:
        """True for hydrogen alone, whose embedding is (1, 0, ...) by construction."""
        return set(elements) == {"H"}

    def work(self, structure: Structure, grid: Grid) -> Work:
        """Of the compiled kernel where it applies, counted by hand; else of the tiles, counted by torch."""
        if not self._fused:
            return count_blocks(lambda: self.evaluator(structure), grid, self.block_size)
        config, widths = self.config.descriptor, (self.config.descriptor.n_features, *self.config.hidden, 1)
        pairs = fused_work.n_pairs(structure.cart_coords, grid, config.r_cut)
        images = len(self._surroundings(structure)[0].atom)
        flops = pairs * fused_work.flops_per_pair(config) + grid.size * fused_work.flops_per_point(config, widths)
        return Work(flops, fused_work.bytes_of_kernel(config, widths, grid.size, images), fused_work.COUNTED)

    @property
    def _in_kernel(self) -> bool:
        return fused.supports(self.config.descriptor)

    def _surroundings(self, structure: Structure) -> tuple[CellList, np.ndarray]:
        images = periodic_images(structure.cart_coords, structure.lattice.matrix, self.config.descriptor.r_cut)
        cells = CellList.build(images)
        with torch.no_grad():
            weights = self.embedding(torch.tensor(structure.atomic_numbers)).numpy()
        return cells, weights
