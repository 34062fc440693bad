"""latent_field: ELF of a few smooth functions that play the part of occupied orbitals, without a diagonalisation.

The ELF of Kohn and Sham is a functional of the occupied orbitals: n = Σ|ψ|², and D, the kinetic energy density that the
exclusion principle adds. Here a few latent functions take their place,

    f_k(r) = Σ_i Σ_nlm c_i[k, nlm] r_i^l F_nl(r_i²) Y_lm,   r_i = r - R_i,   all periodic images i,

with coefficients c_i linear in the state of atom i, which has exchanged equivariant messages with its neighbours. Some
are scalars; some are vectors or tensors, whose components count as functions each. Their ELF is that of
:mod:`elfzoo.nn.pauli`, with analytic gradients; a narrow network corrects its logit with what else they say at the
point. The work is linear in the number of atoms and in that of points.
"""

from __future__ import annotations

from dataclasses import field
from functools import cached_property, partial

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor, nn

from elfzoo.config import config_class
from elfzoo.errors import ConfigError
from elfzoo.grid import Grid
from elfzoo.models.base import EXACT_INVARIANCES, Evaluator, Reader
from elfzoo.models.blocks import largest_array, to_array
from elfzoo.models.kernel_model import KernelModel
from elfzoo.models.work import Work, count_blocks
from elfzoo.nn import ElementEmbedding, Standardise, mlp
from elfzoo.nn.equivariant import AtomLayer, normalise, parse_irreps
from elfzoo.nn.messages import ProductMatrices, collect
from elfzoo.nn.mlp import last_linear
from elfzoo.nn.pauli import n_pauli_features, pauli_features
from elfzoo.periodic import CellList, Images, periodic_images, wrap
from elfzoo.probe import ProbeData, add_probe_edges, probe_data
from elfzoo.registry import register
from elfzoo.transforms import fused_work, latent_fields
from elfzoo.transforms.atom_graph import atom_edges, atom_probe_edges
from elfzoo.transforms.atomic_orbitals import BOHR, OrbitalConfig, orbital_values
from elfzoo.transforms.latent_fields import LatentLayout
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig, angular_functions, radial_functions
from elfzoo.transforms.tiles import TILE, Tiles, neighbour_tiles

__all__ = ["LatentField", "LatentFieldConfig"]

LARGEST_ARRAY = 2**22  # elements of the largest intermediate array, about: bounds the memory
NEIGHBOURS = 100  # of a tile, about
AMPLITUDE = 0.05  # of fresh coefficients: gives about the density of dense hydrogen, and logits of order 1


@config_class
class LatentFieldConfig:
    """Configuration of :class:`LatentField`.

    Args:
        layers: rounds of messages between atoms; 0 leaves the same coefficients to all atoms of an element.
        states: features of an atom (e3nn irreps).
        fields: latent functions (e3nn irreps).
        orbitals: the functions of an atom that they are superposed from; its cutoff is their reach.
        edges: functions of an edge between atoms.
        radial_hidden: width of the radial network of each round.
        channels: length of the element embedding.
        hidden: widths of the hidden layers of the network at a point.
        clamp: largest standardised feature; null for no limit.
        start: factor of that network's fresh last layer: at first ELF is that of the functions.
    """

    layers: int = 2
    states: str = "32x0e + 16x1o + 8x2e"
    fields: str = "16x0e + 8x1o + 4x2e"
    orbitals: OrbitalConfig = field(default_factory=OrbitalConfig)
    edges: PowerSpectrumConfig = field(default_factory=lambda: PowerSpectrumConfig(smooth=True))
    radial_hidden: int = 32
    channels: int = 8
    hidden: tuple[int, ...] = (64, 64)
    clamp: float | None = 6.0
    start: float = 0.1

    def __post_init__(self) -> None:
        counts = (self.radial_hidden, self.channels, *self.hidden)
        if self.layers < 0 or min(counts) < 1 or self.start <= 0:
            raise ConfigError(f"layers cannot be negative; widths and start are positive; got {self}")
        if self.clamp is not None and self.clamp <= 0:
            raise ConfigError(f"a clamp is positive, or null; got {self.clamp}")
        if self.edges.channels != 1:
            raise ConfigError(
                f"elements enter by the states of atoms; expected edges.channels: 1, got {self.edges.channels}"
            )
        _ = parse_irreps(self.states), parse_irreps(self.fields)  # each refuses nonsense


@register("latent_field")
class LatentField(KernelModel):
    """Logit of the ELF of latent functions of the atoms around a point, corrected by a narrow network."""

    config_class = LatentFieldConfig
    config: LatentFieldConfig
    invariances = EXACT_INVARIANCES

    def __init__(self, config: LatentFieldConfig):
        super().__init__(config)
        states, self.fields = parse_irreps(config.states), parse_irreps(config.fields)
        first = o3.Irreps([(states.count("0e"), "0e")])
        self.embedding = ElementEmbedding(config.channels)
        self.lift = nn.Linear(config.channels, first.dim, bias=False)
        sizes = [first] + [states] * config.layers
        self.layers = nn.ModuleList(
            AtomLayer(config.edges, before, states, config.channels, config.radial_hidden)
            for before in sizes[: config.layers]
        )
        self.coefficients = ProductMatrices(config.orbitals.irreps, sizes[-1], self.fields)
        n_features = n_pauli_features(self.fields)
        self.standardise = Standardise(n_features, config.clamp)
        self.slope = nn.Parameter(torch.ones(()))
        self.network = mlp([n_features, *config.hidden, 1])
        with torch.no_grad():
            for parameter in self.network[-1].parameters():
                parameter.mul_(config.start)

    def transform(self, data: ProbeData) -> ProbeData:
        """Add the edges between atoms and those to the probe points, all periodic images counted."""
        positions, lattice = data.pos.double().numpy(), data.cell[0].double().numpy()
        index, shift = atom_edges(positions, lattice, self.config.edges.r_cut)
        data.edge_index = torch.from_numpy(index)
        data.edge_shift = torch.as_tensor(shift, dtype=data.pos.dtype)
        return add_probe_edges(data, partial(atom_probe_edges, r_cut=self.config.orbitals.r_cut))

    def encode(self, batch: ProbeData) -> Float[Tensor, "points features"]:
        """What the latent functions say at each probe point, not yet standardised."""
        sender, receiver = batch.probe_edge_index
        values = orbital_values(-batch.edge_vectors().T / BOHR, self.config.orbitals)
        rows = values.permute(2, 0, 1).flatten(0, 1)  # four for each edge: a value and three derivatives
        four = torch.arange(4, device=sender.device)
        index = torch.stack([sender.repeat_interleave(4), (4 * receiver[:, None] + four).flatten()])
        summed = collect(self._atoms(batch), rows, index, 4 * len(batch.probe_pos))
        return pauli_features(summed.unflatten(0, (-1, 4)).permute(1, 2, 0), self.fields).T

    def head(self, features: Float[Tensor, "points features"]) -> Float[Tensor, " points"]:
        """Logits: of the latent functions' ELF, corrected."""
        return self.slope * features[:, 0] + self.network(self.standardise(features))[:, 0]

    def fit_statistics(self, features: Float[Tensor, "points features"]) -> None:
        """Standardise with mean and deviation of what the fresh encoder gives on the training set."""
        self.standardise.fit(features)

    @property
    def last_layer(self) -> nn.Linear:
        return last_linear(self.network)

    def reader(self, structure: Structure) -> Reader:
        """Atoms once, then any number of blocks of points, as :meth:`evaluator` but anywhere."""
        read, lattice = self._reader(structure), structure.lattice.matrix
        return lambda points: read(wrap(points, lattice))

    def evaluator(self, structure: Structure) -> Evaluator:
        """Atoms once, then any number of blocks of points, by the compiled kernel where it applies."""
        if self._fused:
            network, surroundings = (self._fused_network(), float(self.slope.detach())), self._surroundings(structure)
            return lambda points: latent_fields.evaluate(self.layout, *surroundings, network, points)
        read = self._reader(structure)

        def evaluate(points: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return to_array(self.head(read(points)))

        return evaluate

    def work(self, structure: Structure, grid: Grid) -> Work:
        """Of the compiled kernel where it applies, counted by hand; else of the network, counted by torch."""
        if not self._fused:
            return count_blocks(lambda: self.evaluator(structure), grid, self.block_size)
        pairs = fused_work.n_pairs(structure.cart_coords, grid, self.config.orbitals.r_cut)
        widths = (self.layout.n_features, *self.config.hidden, 1)
        return Work(
            pairs * fused_work.flops_per_latent_pair(self.layout)
            + grid.size * fused_work.flops_per_latent_point(self.layout, widths),
            fused_work.bytes_of_latent(self.layout, widths, grid.size, len(structure)),
            fused_work.LATENT_COUNTED,
        )

    @cached_property
    def layout(self) -> LatentLayout:
        """What is superposed from what, for the compiled kernel."""
        kinds = tuple((mul, ir.dim) for mul, ir in self.fields)
        return LatentLayout(self.config.orbitals, kinds, self.fields.count("0e"))

    @property
    def _in_kernel(self) -> bool:
        return latent_fields.available(self.layout)

    def _matrices(self, structure: Structure) -> Float[Tensor, "atoms functions fields"]:
        """Coefficients of each atom, without gradients."""
        weight = self.standardise.mean
        with torch.no_grad():
            atoms = self.transform(probe_data(structure, np.zeros((0, 3)), dtype=weight.dtype))
            return self._atoms(atoms.to(weight.device))

    def _surroundings(self, structure: Structure) -> tuple[CellList, np.ndarray]:
        """Images of the atoms, and coefficients, as the compiled kernel takes them."""
        images = periodic_images(structure.cart_coords, structure.lattice.matrix, self.config.orbitals.r_cut)
        return CellList.build(images), latent_fields.packed(self._matrices(structure), self.layout)

    def _reader(self, structure: Structure) -> Reader:
        """A function from points (Å) of the cell to features, without gradients, by the kernel where it applies; else
        tile by tile in dense matrices.
        """
        if self._fused:
            surroundings = self._surroundings(structure)
            return lambda points: torch.from_numpy(latent_fields.evaluate(self.layout, *surroundings, None, points))
        weight, reach = self.standardise.mean, self.config.orbitals.r_cut
        images = periodic_images(structure.cart_coords, structure.lattice.matrix, reach)
        largest = largest_array(weight.device, LARGEST_ARRAY)
        step = max(1, largest // (TILE * NEIGHBOURS * 4 * self.config.orbitals.irreps.dim))
        matrices = self._matrices(structure).mT.contiguous()

        def read(points: np.ndarray) -> Tensor:
            if not len(points):
                return weight.new_zeros(0, self.layout.n_features)
            with torch.no_grad():
                tiles = neighbour_tiles(points, images, reach, step)
                return torch.cat([self._of_tiles(part, images, matrices) for part in tiles])

        return read

    def _of_tiles(
        self, tiles: Tiles, images: Images, matrices: Float[Tensor, "atoms fields functions"]
    ) -> Float[Tensor, "points features"]:
        """:meth:`encode` of tiles: a product of one matrix of all neighbours' coefficients and their functions."""
        place = partial(torch.as_tensor, dtype=matrices.dtype, device=matrices.device)
        vectors = place(tiles.points).mT[:, None] - place(tiles.images)[..., None]
        values = orbital_values(vectors / BOHR, self.config.orbitals).flatten(2, 3)
        near = matrices[torch.as_tensor(images.atom[tiles.chosen], device=matrices.device)]
        fields = near.transpose(1, 2).flatten(2) @ values
        return pauli_features(fields.transpose(1, 2).flatten(2), self.fields).T[: tiles.n_points]

    def _atoms(self, batch: ProbeData) -> Float[Tensor, "atoms functions fields"]:
        """Coefficients of each atom: a matrix from its functions to the latent ones."""
        vectors, edges = batch.atom_edge_vectors(), self.config.edges
        functions = radial_functions(vectors, edges), angular_functions(vectors, edges)
        elements = self.embedding(batch.z)
        states = normalise(self.lift(elements))
        for layer in self.layers:
            states = layer(states, elements, *functions, batch.edge_index)
        return AMPLITUDE * self.coefficients(states)
