"""probe_graph: equivariant messages between atoms, then each probe point reads the atoms around it.

Atoms exchange messages as in NequIP (Batzner et al. 2022, doi:10.1038/s41467-022-29939-5). Probe points receive and
never send, as in DeepDFT and ChargE3Net (Jørgensen & Bhowmik 2022, doi:10.1038/s41524-022-00863-y; Koker et al. 2024,
doi:10.1038/s41524-024-01343-1), so that the atoms are evaluated once per structure, whatever the number of points.

At a point the atoms' fields f_c(r) = Σ_i Σ_nlm D_i[c, nlm] R_n(|x_i|) Y_lm(x_i) add up, x_i = R_i - r, with D_i linear
in the state of atom i. Some are scalars, some are vectors or tensors. A perceptron sees the scalars and the inner
products of the others: with the electron density among the scalars and its gradient among the vectors, these are the
quantities that ELF is made of.
"""

from __future__ import annotations

from functools import cached_property, partial

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float, Int
from pymatgen.core import Structure
from torch import Tensor, nn

from elfzoo.config import config_class
from elfzoo.errors import ConfigError
from elfzoo.grid import Grid
from elfzoo.models.base import EXACT_INVARIANCES, Evaluator, Reader
from elfzoo.models.blocks import to_array
from elfzoo.models.kernel_model import KernelModel
from elfzoo.models.work import Work, count_blocks
from elfzoo.nn import ElementEmbedding, Standardise, mlp
from elfzoo.nn.equivariant import AtomLayer, invariants, n_invariants, normalise, parse_irreps
from elfzoo.nn.messages import ProductMatrices, basis_irreps, collect, edge_basis
from elfzoo.nn.mlp import last_linear
from elfzoo.periodic import CellList, periodic_images, wrap
from elfzoo.probe import ProbeData, add_probe_edges, probe_data
from elfzoo.registry import register
from elfzoo.transforms import fused_work, probe_fields
from elfzoo.transforms.atom_graph import atom_edges, atom_probe_edges
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig, angular_functions, radial_functions
from elfzoo.transforms.probe_fields import AtomTables, FieldLayout, free_atom_columns
from elfzoo.transforms.radial_density import N_FEATURES, sad_features

__all__ = ["ProbeGraph", "ProbeGraphConfig"]

BLOCK = 2048  # points evaluated together: some hundred thousand edges in dense hydrogen, about 100 MB
KERNEL_BLOCK = 2**14  # by the compiled kernel, which stores no edges


@config_class
class ProbeGraphConfig:
    """Configuration of :class:`ProbeGraph`.

    Args:
        layers: rounds of messages between atoms; 0 leaves a superposition of one learned function per element.
        states: features of an atom (e3nn irreps). Scalars alone make an invariant network; l ≤ 1 is about PaiNN.
        fields: what a probe point receives (e3nn irreps).
        r_cut: reach of messages between atoms, Å.
        probe_r_cut: reach of an atom's fields, Å.
        growth: Å by which both grow for every Å that an atom's tabulated radius exceeds hydrogen's; the functions of
            an edge are stretched with it. Between two atoms it is the mean of theirs. With 0, all have hydrogen's: in
            caesium (nearest neighbours at 5 Å) no atom would hear another.
        n_radial: number of radial functions on [0, cutoff], both kinds of edges.
        l_max: highest degree of the harmonics of an edge, 0 to 4.
        softening: Å, how far from a nucleus the harmonics reach their full size.
        radial_hidden: width of the radial network of each round.
        channels: length of the element embedding.
        element_dropout: probability, in training, that an element is known by its tabulated properties alone.
        sad: show the perceptron also the superposed free-atom densities at the point
            (:func:`elfzoo.transforms.radial_density.sad_features`): elements that were never trained on have them too.
        hidden: widths of the hidden layers of the perceptron.
    """

    layers: int = 2
    states: str = "32x0e + 16x1o + 8x2e"
    fields: str = "24x0e + 12x1o + 6x2e"
    r_cut: float = 3.0
    probe_r_cut: float = 3.0
    growth: float = 0.0
    n_radial: int = 10
    l_max: int = 2
    softening: float = 0.3
    radial_hidden: int = 32
    channels: int = 8
    element_dropout: float = 0.0
    sad: bool = False
    hidden: tuple[int, ...] = (128, 128)

    def __post_init__(self) -> None:
        counts = (self.radial_hidden, self.channels, *self.hidden)
        if self.layers < 0 or min(counts) < 1:
            raise ConfigError(f"layers cannot be negative and widths must be positive; got {self}")
        if not 0 <= self.element_dropout <= 1:
            raise ConfigError(f"a probability lies in [0, 1]; got element_dropout: {self.element_dropout}")
        if self.growth < 0:
            raise ConfigError(f"growth of the reach cannot be negative; got {self.growth}")
        _ = parse_irreps(self.states), parse_irreps(self.fields)  # each refuses nonsense, and so do these
        _ = self.between_atoms, self.at_probes

    @property
    def between_atoms(self) -> PowerSpectrumConfig:
        """The functions of an edge between atoms."""
        return self._expansion(self.r_cut)

    @property
    def at_probes(self) -> PowerSpectrumConfig:
        """The functions of an edge from an atom to a probe point."""
        return self._expansion(self.probe_r_cut)

    def _expansion(self, r_cut: float) -> PowerSpectrumConfig:
        return PowerSpectrumConfig(
            r_cut=r_cut, n_radial=self.n_radial, l_max=self.l_max, smooth=True, softening=self.softening
        )


@register("probe_graph")
class ProbeGraph(KernelModel):
    """Logit of ELF at a point from the fields of the atoms around it, which know their own surroundings."""

    config_class = ProbeGraphConfig
    config: ProbeGraphConfig
    invariances = EXACT_INVARIANCES
    costly = True

    def __init__(self, config: ProbeGraphConfig):
        super().__init__(config)
        states, self.fields = parse_irreps(config.states), parse_irreps(config.fields)
        first = o3.Irreps([(states.count("0e"), "0e")])
        self.embedding = ElementEmbedding(config.channels, dropout=config.element_dropout)
        self.lift = nn.Linear(config.channels, first.dim, bias=False)
        sizes = [first] + [states] * config.layers
        self.layers = nn.ModuleList(
            AtomLayer(config.between_atoms, before, states, config.channels, config.radial_hidden)
            for before in sizes[: config.layers]
        )
        self.messages = ProductMatrices(basis_irreps(config.at_probes), sizes[-1], self.fields)
        n_features = n_invariants(self.fields) + N_FEATURES * config.sad
        self.standardise = Standardise(n_features)
        self.network = mlp([n_features, *config.hidden, 1])

    def transform(self, data: ProbeData) -> ProbeData:
        """Add the edges between atoms and those to the probe points, all periodic images counted."""
        positions, lattice = data.pos.double().numpy(), data.cell[0].double().numpy()
        index, shift = atom_edges(positions, lattice, self._reach(data.z, self.config.r_cut))
        data.edge_index = torch.from_numpy(index)
        data.edge_shift = torch.as_tensor(shift, dtype=data.pos.dtype)
        return self._add_probe_edges(data)

    def encode(self, batch: ProbeData) -> Float[Tensor, "points features"]:
        """Invariants of the fields at each probe point, not yet standardised."""
        return self._read(self._atoms(batch), batch)

    def head(self, features: Float[Tensor, "points features"]) -> Float[Tensor, " points"]:
        """Logits from invariants."""
        return self.network(self.standardise(features))[:, 0]

    def fit_statistics(self, features: Float[Tensor, "points features"]) -> None:
        """Standardise with mean and deviation of what the fresh encoder gives on the training set."""
        self.standardise.fit(features)

    @property
    def last_layer(self) -> nn.Linear:
        return last_linear(self.network)

    def evaluator(self, structure: Structure) -> Evaluator:
        """Atoms once, then any number of blocks of points, by the compiled kernel where it applies."""
        if not self._fused:
            read = self.reader(structure)
            return lambda points: to_array(self.head(read(points)))
        surroundings, network = self._surroundings(structure), self._fused_network()
        return lambda points: probe_fields.evaluate(self.layout, *surroundings, network, points)

    @property
    def block_size(self) -> int:
        return KERNEL_BLOCK if self._fused else BLOCK

    def work(self, structure: Structure, grid: Grid) -> Work:
        """Of the compiled kernel where it applies, counted by hand; else of the network, counted by torch."""
        if not self._fused:
            return count_blocks(lambda: self.evaluator(structure), grid, self.block_size)
        reach = np.broadcast_to(
            self._reach(torch.tensor(structure.atomic_numbers), self.config.probe_r_cut), len(structure)
        )
        chosen = [(r_cut, structure.cart_coords[reach == r_cut]) for r_cut in np.unique(reach)]
        pairs = sum(fused_work.n_pairs(positions, grid, float(r_cut)) for r_cut, positions in chosen)
        widths = (self.layout.n_features, *self.config.hidden, 1)
        return Work(
            pairs * fused_work.flops_per_field_pair(self.layout)
            + grid.size * fused_work.flops_per_field_point(self.layout, widths),
            fused_work.bytes_of_fields(self.layout, widths, grid.size, len(structure)),
            fused_work.FIELDS_COUNTED,
        )

    def reader(self, structure: Structure) -> Reader:
        """Atoms once, then any number of blocks of points, without gradients; by the kernel where it applies."""
        if self._fused:
            surroundings, lattice = self._surroundings(structure), structure.lattice.matrix
            return lambda points: torch.from_numpy(
                probe_fields.evaluate(self.layout, *surroundings, None, wrap(points, lattice))
            )
        weight = next(self.parameters())
        matrices = self._matrices(structure)

        def read(points: np.ndarray) -> Tensor:
            data = self._add_probe_edges(probe_data(structure, points, dtype=weight.dtype))
            with torch.no_grad():
                return self._read(matrices, data.to(weight.device))

        return read

    @cached_property
    def layout(self) -> FieldLayout:
        """What a probe point receives, for the compiled kernel."""
        kinds = tuple((mul, ir.dim) for mul, ir in self.fields)
        return FieldLayout(self.config.at_probes, kinds, self.config.sad)

    @property
    def _in_kernel(self) -> bool:
        return probe_fields.available(self.layout)

    def _matrices(self, structure: Structure) -> Float[Tensor, "atoms functions field"]:
        """The fields of each atom, without gradients."""
        weight = next(self.parameters())
        with torch.no_grad():
            atoms = self.transform(probe_data(structure, np.zeros((0, 3)), dtype=weight.dtype))
            return self._atoms(atoms.to(weight.device))

    def _surroundings(self, structure: Structure) -> tuple[AtomTables, Float[np.ndarray, "images 1"]]:
        """Images of the atoms with their tables, and 1 over the stretch of each image."""
        numbers, matrices, layout = torch.tensor(structure.atomic_numbers), self._matrices(structure), self.layout
        stretch = self._stretch(numbers, self.config.probe_r_cut) if self.config.growth else torch.ones(len(numbers))
        reach = self.config.probe_r_cut * float(stretch.max())

        def make(atoms: np.ndarray) -> Tensor:
            if not layout.free_atoms:
                return probe_fields.tables(matrices[atoms], layout, None)
            free = [free_atom_columns(int(numbers[i]), float(stretch[i]), layout) for i in atoms]
            return probe_fields.tables(matrices[atoms], layout, torch.stack(free))

        cells = CellList.build(periodic_images(structure.cart_coords, structure.lattice.matrix, reach))
        inverse = np.ascontiguousarray((1 / stretch.numpy())[cells.atom, None], np.float32)
        return AtomTables(cells, make, reach), inverse

    def _add_probe_edges(self, data: ProbeData) -> ProbeData:
        return add_probe_edges(data, partial(atom_probe_edges, r_cut=self._reach(data.z, self.config.probe_r_cut)))

    def _reach(self, z: Int[Tensor, " atoms"], r_cut: float) -> float | Float[np.ndarray, " atoms"]:
        """Cutoff of each atom, Å; one number where all have the same."""
        return r_cut if self.config.growth == 0 else r_cut * self._stretch(z.cpu(), r_cut).double().numpy()

    def _stretch(self, z: Int[Tensor, " atoms"], r_cut: float) -> Float[Tensor, " atoms"]:
        """Cutoff of each atom over hydrogen's."""
        radii = self.embedding.radii.to(z.device)
        return 1 + self.config.growth / r_cut * (radii[z - 1] - radii[0]).clamp(min=0)

    def _atoms(self, batch: ProbeData) -> Float[Tensor, "atoms functions field"]:
        """The fields of each atom: one matrix D per atom."""
        vectors, expansion = batch.atom_edge_vectors(), self.config.between_atoms
        if self.config.growth:
            vectors = vectors / self._stretch(batch.z, expansion.r_cut)[batch.edge_index].mean(dim=0)[:, None]
        functions = radial_functions(vectors, expansion), angular_functions(vectors, expansion)
        elements = self.embedding(batch.z)
        states = normalise(self.lift(elements))
        for layer in self.layers:
            states = layer(states, elements, *functions, batch.edge_index)
        return self.messages(states)

    def _read(
        self, matrices: Float[Tensor, "atoms functions field"], batch: ProbeData
    ) -> Float[Tensor, "points features"]:
        """Invariants of the sum of all atoms' fields at the probe points, and free-atom densities if asked for."""
        vectors, expansion, n_points = batch.edge_vectors(), self.config.at_probes, len(batch.probe_pos)
        sender, receiver = batch.probe_edge_index
        stretch = self._stretch(batch.z, expansion.r_cut)[sender] if self.config.growth else torch.ones(())
        scaled = vectors / stretch.to(vectors)[..., None]
        basis = edge_basis(radial_functions(scaled, expansion), angular_functions(scaled, expansion))
        found = invariants(collect(matrices, basis, batch.probe_edge_index, n_points), self.fields)
        if not self.config.sad:
            return found
        reach = (expansion.r_cut * stretch).to(vectors)
        return torch.cat([found, sad_features(vectors, batch.z[sender], reach, receiver, n_points)], dim=1)
