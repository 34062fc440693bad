"""The two bases of every model, and the one place that knows how a field is predicted.

A :class:`PointModel` maps probe points to logits, whatever grid they come from. A :class:`FieldModel` maps whole
periodic grids to logits. Both answer the same :meth:`Model.predict`. "Logit" is the output of a network, unbounded;
what it stands for is the business of :class:`elfzoo.target.Target`: the logit of ELF, unless a target says otherwise.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor, nn

from elfzoo.errors import ElfzooError, ElfzooWarning
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.interpolate import fourier_interpolate, fourier_on_grid, isotropic_refinement
from elfzoo.probe import ProbeData, probe_data
from elfzoo.progress import progress_bar
from elfzoo.structure import as_structure
from elfzoo.symmetry import grid_orbits, primitive_cell, space_group_translations
from elfzoo.target import Target

if TYPE_CHECKING:
    from elfzoo.card import Card

__all__ = ["EXACT_INVARIANCES", "FieldModel", "Invariance", "Model", "PointModel"]

Invariance = Literal["exact", "approximate"]
Evaluator = Callable[[np.ndarray], np.ndarray]

EXACT_INVARIANCES: Mapping[str, Invariance] = {
    "subset": "exact",
    "permutation": "exact",
    "lattice_shift": "exact",
    "supercell": "exact",
    "basis": "exact",
    "origin": "exact",
    "rotation": "exact",
    "reflection": "exact",
}
DEFAULT_SPACING = 0.1  # angstrom; logit(ELF) of hydrogen is resolved, see the README
FUSED_BLOCK, TORCH_BLOCK = 65536, 8192  # points evaluated together; bounds the memory


class Model(nn.Module, ABC):
    """What every model is: a network with a frozen configuration that predicts logits of ELF; ELF = sigmoid(logit).

    Class attributes:
        config_class: frozen dataclass of JSON values.
        invariances: which ones hold exactly and which approximately; see :func:`elfzoo.testing.check_model`.
        costly: each point costs so much that a finer grid is better interpolated than predicted, as
            :mod:`elfzoo.benchmark` does where it searches topology.

    Attributes:
        target: what the logits stand for; ELF unless :func:`elfzoo.registry.create_model` was told otherwise.
        card: of a trained release.
    """

    config_class: ClassVar[type]
    invariances: ClassVar[Mapping[str, Invariance]]
    costly: ClassVar[bool] = False

    def __init__(self, config: Any):
        super().__init__()
        self.config = config
        self.target = Target()
        self.card: Card | None = None

    @property
    def quantity(self) -> str:
        """Name of the quantity that :meth:`predict` hands back unless another one is asked for."""
        return self.target.given

    @abstractmethod
    def evaluator(self, structure: Structure) -> Evaluator:
        """A function from points to logits (n,), for one structure; all set-up is done before it returns.

        The points, (n, 3) in Å, have fractional coordinates in [0, 1], and neighbours in space are near in the list.
        """

    def predict(
        self,
        structure: Any,
        grid: Grid | Sequence[int] | None = None,
        points: Float[np.ndarray, "points 3"] | Sequence[Sequence[float]] | None = None,
        *,
        spacing: float = DEFAULT_SPACING,
        symmetry: bool = False,
        progress: bool | None = None,
        quantity: str | None = None,
    ) -> Any:
        """Predict a field on a grid, or values at loose points.

        Args:
            structure: anything that :func:`elfzoo.structure.as_structure` takes.
            grid: a Grid, or numbers of points (nx, ny, nz); by default the grid with ``spacing``.
            points: (points, 3) fractional coordinates; the answer is then an array in the caller's order.
            spacing: largest distance between grid points, Å, where no grid is given.
            symmetry: compute one point of each orbit under the space group and copy the others.
            progress: show a bar; by default on work longer than a few seconds in a terminal.
            quantity: what is wanted, where a model can give several: ``"density"`` or ``"density_difference"`` (from
                superposed free atoms); the model's own ``quantity`` by default.

        Returns:
            A :class:`~elfzoo.field.Field`, or (points,) float32 values where points were given.

        Raises:
            QuantityError: the model does not give that quantity.
        """
        structure = as_structure(structure)
        sad = self.target.baseline(structure, quantity)
        self._warn_outside_domain(structure)
        if points is not None:
            if grid is not None:
                raise ElfzooError("predict takes a grid or points, not both")
            points = _checked_points(points)
            learned = self._values_at(structure, points, progress)
            return learned if sad is None else (learned + sad.at(points)).astype(np.float32)
        chosen = self._grid(structure, grid, spacing, symmetry)
        values = np.empty(chosen.size, np.float32)
        if symmetry:
            representatives, inverse = grid_orbits(structure, chosen)
            found = self._values_at(structure, chosen.frac_coords(representatives), progress)
            np.take(found, inverse, out=values)
        else:
            self._fill(structure, chosen, values, progress)
        values = values.reshape(chosen.shape)
        if sad is not None:
            values += sad.on_grid(chosen)
        recipe = None if self.card is None else self.card.recipe
        return Field(values, structure, quantity or self.quantity, recipe, meta=self._provenance())

    @property
    def block_size(self) -> int:
        """Points that are evaluated together."""
        return TORCH_BLOCK

    @property
    def workers(self) -> int:
        """Threads that may evaluate blocks at the same time."""
        return 1

    def _grid(self, structure: Structure, grid: Any, spacing: float, symmetry: bool) -> Grid:
        lattice = structure.lattice.matrix
        if isinstance(grid, Grid):
            grid.require_cell_of(structure)
            return grid
        if grid is not None:
            return Grid(tuple(grid), lattice)  # type: ignore[arg-type]
        return Grid.from_spacing(lattice, spacing, space_group_translations(structure) if symmetry else None)

    def _fill(self, structure: Structure, grid: Grid, values: np.ndarray, progress: bool | None) -> None:
        evaluate = self.evaluator(structure)

        def block(indices: np.ndarray) -> int:
            values[indices] = self.target.values(evaluate(grid.positions(indices)))
            return len(indices)

        self._run(block, grid.blocks(self.block_size), grid.size, progress)

    def _values_at(self, structure: Structure, frac: np.ndarray, progress: bool | None) -> np.ndarray:
        evaluate = self.evaluator(structure)
        frac = frac - np.floor(frac)
        positions = frac @ structure.lattice.matrix
        order = _compact_order(positions)
        values = np.empty(len(frac), np.float32)

        def block(indices: np.ndarray) -> int:
            values[indices] = self.target.values(evaluate(positions[indices]))
            return len(indices)

        starts = range(0, len(order), self.block_size)
        self._run(block, (order[i : i + self.block_size] for i in starts), len(order), progress)
        return values

    def _run(
        self, block: Callable[[np.ndarray], int], blocks: Iterable[np.ndarray], total: int, progress: bool | None
    ) -> None:
        with torch.no_grad(), progress_bar("predicting", total, progress) as advance:
            for done in _map(block, blocks, self.workers):
                advance(done)

    def _warn_outside_domain(self, structure: Structure) -> None:
        if self.card is None or not self.card.elements:
            return
        unknown = sorted({s.specie.symbol for s in structure} - set(self.card.elements))
        if unknown:
            warnings.warn(
                f"{self.card.name} was trained on {', '.join(self.card.elements)} only; its field around "
                f"{', '.join(unknown)} is an extrapolation",
                ElfzooWarning,
                stacklevel=3,
            )

    def _provenance(self) -> dict[str, Any]:
        if self.card is None:
            return {"predicted_by": type(self).__name__}
        return {"predicted_by": self.card.name, "weights_sha256": self.card.weights_sha256}


class PointModel(Model):
    """A model of loose points: ``forward(batch) -> logits``, after its own ``transform`` has added what it needs."""

    @abstractmethod
    def transform(self, data: ProbeData) -> ProbeData:
        """Add neighbours, patches or densities to one structure's data; runs in loader workers."""

    @abstractmethod
    def encode(self, batch: ProbeData) -> Tensor:
        """What the head sees of each point, (points, features); may be stored when nothing in it is trained."""

    @abstractmethod
    def head(self, features: Tensor) -> Float[Tensor, " points"]:
        """Logits from the features of each point."""

    @abstractmethod
    def fit_statistics(self, features: Tensor) -> None:
        """Take means and scales from the features of the training set, before the first step."""

    def encoder_is_constant(self, elements: Iterable[str]) -> bool:
        """Whether no parameter takes part in ``encode`` for these elements, so that its output may be stored."""
        return False

    def features(self, structure: Structure, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points n"]:
        """What ``encode`` gives at points (Cartesian, Å), without gradients, in single precision."""
        weight = next(self.parameters())
        data = self.transform(probe_data(structure, points, dtype=weight.dtype))
        with torch.no_grad():
            return self.encode(data.to(weight.device)).float().cpu().numpy()

    def forward(self, batch: ProbeData) -> Float[Tensor, " points"]:
        """Logits of the probe points: unbounded, because corrections add there (paper, eq. 8)."""
        return self.head(self.encode(batch))

    def evaluator(self, structure: Structure) -> Evaluator:
        """Through ``transform`` and ``forward``, on the model's device and in its precision."""
        weight = next(self.parameters())

        def evaluate(points: np.ndarray) -> np.ndarray:
            data = self.transform(probe_data(structure, points, dtype=weight.dtype))
            return self(data.to(weight.device)).detach().cpu().numpy()

        return evaluate


class FieldModel(Model):
    """A model of whole periodic grids, which works on a reduced cell at its own spacing.

    The logits on that grid are Fourier-interpolated to whatever points are asked for.

    Class attributes:
        working_spacing: Å, largest distance between points of the model's own grid.
        min_length: Å, the primitive cell is repeated until each edge is at least this long.
    """

    working_spacing: ClassVar[float] = 0.15
    min_length: ClassVar[float] = 3.0

    @abstractmethod
    def forward(self, structures: Sequence[Structure], grids: Sequence[Grid]) -> list[Float[Tensor, "nx ny nz"]]:
        """Logits on each grid; a list, never padded."""

    def forward_crop(
        self, structure: Structure, grid: Grid, start: tuple[int, int, int], size: int, halo: int | None = None
    ) -> Float[Tensor, "size size size"]:
        """Logits in a cube of ``size``³ grid points whose first one is ``start``, as in the whole field.

        Computed from a larger cube with ``halo`` points of true periodic neighbours on every side, by default as many
        as the model's receptive field needs.

        Raises:
            ElfzooError: the model cannot be evaluated on a part of the cell.
        """
        raise ElfzooError(f"{type(self).__name__} cannot be trained on crops; leave crop empty")

    @property
    def stride(self) -> int:
        """Grid points along each axis by which the origin may be shifted without changing the field; crops start so."""
        return 1

    def working_cell(self, structure: Structure) -> tuple[Structure, Grid]:
        """The primitive cell, where the structure has it, repeated to the minimum size, with the model's own grid."""
        cell = primitive_cell(structure)
        cell.make_supercell([int(np.ceil(self.min_length / length - 1e-9)) for length in cell.lattice.abc])
        return cell, Grid.from_spacing(cell.lattice.matrix, self.working_spacing)

    def evaluator(self, structure: Structure) -> Evaluator:
        """One pass of the network, then Fourier interpolation of its logits."""
        cell, grid = self.working_cell(structure)
        logits = self._logits(cell, grid)
        inverse = np.linalg.inv(grid.lattice)
        return lambda points: fourier_interpolate(logits, points @ inverse)

    def _logits(self, cell: Structure, grid: Grid) -> Float[np.ndarray, "mx my mz"]:
        """Logits on the model's grid; in skewed cells on a finer one, so that interpolation keeps their symmetry."""
        with torch.no_grad():
            logits = self([cell], [grid])[0].cpu().double().numpy()
        return isotropic_refinement(logits, grid.lattice)

    def _fill(self, structure: Structure, grid: Grid, values: np.ndarray, progress: bool | None) -> None:
        """All points at once where the grid's cell holds whole working cells: FFTs instead of points x waves."""
        cell, own = self.working_cell(structure)
        multiple = grid.lattice @ np.linalg.inv(own.lattice)
        if np.abs(multiple - np.round(multiple)).max() > 1e-3:
            super()._fill(structure, grid, values, progress)
        else:
            values[:] = self.target.values(fourier_on_grid(self._logits(cell, own), own.lattice, grid)).ravel()


def _map(function: Callable[[np.ndarray], int], items: Iterable[np.ndarray], workers: int) -> Iterator[int]:
    """``map``, in threads where that helps, with few items waiting so that memory stays bounded."""
    if workers == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting = []
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _compact_order(positions: np.ndarray) -> np.ndarray:
    """An order in which points close in space are close in the list (boxes of 0.5 Å)."""
    boxes = np.floor(positions / 0.5).astype(np.int64)
    return np.lexsort(boxes.T)


def _checked_points(points: Any) -> np.ndarray:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3 or not np.isfinite(array).all():
        raise ElfzooError(f"points must be finite fractional coordinates of shape (points, 3); got {array.shape}")
    return array
