"""The base of every model, the one place that knows how a field is predicted, and the base of models of points.

A :class:`PointModel` maps probe points to logits, whatever grid they come from. A
:class:`~elfzoo.models.field_model.FieldModel` maps whole periodic grids to logits. Both answer the same
:meth:`Model.predict`. "Logit" is the output of a network, unbounded;
what it stands for is the business of :class:`elfzoo.target.Target`: the logit of ELF, unless a target says otherwise.
"""

from __future__ import annotations

import importlib.util
import reprlib
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor, nn

from elfzoo.errors import ElfzooError, ElfzooWarning
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.interpolate import spline_resample
from elfzoo.models.asymmetric_unit import asymmetric_unit, coarser_grid, symmetric_grid
from elfzoo.models.blocks import compact_order, to_array
from elfzoo.models.work import Work
from elfzoo.posterior import group_of
from elfzoo.probe import ProbeData, probe_data
from elfzoo.progress import progress_bar
from elfzoo.structure import as_structure
from elfzoo.target import Target
from elfzoo.threads import map_in_threads

if TYPE_CHECKING:
    from elfzoo.card import Card
    from elfzoo.posterior import Posterior

__all__ = ["EXACT_INVARIANCES", "Evaluator", "Invariance", "Link", "Model", "PointModel", "evaluating"]

Invariance = Literal["exact", "approximate"]
Evaluator = Callable[[np.ndarray], np.ndarray]
Reader = Callable[[np.ndarray], Tensor]
Link = Callable[[np.ndarray], np.ndarray]  # from logits to what is stored: values, or the logits themselves

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
DEFAULT_SPACING = 0.1  # angstrom; logit(ELF) of hydrogen is resolved
FAR = 1.25  # times the largest volume per atom of the training data, or below the smallest: no field is known there
FUSED_BLOCK, TORCH_BLOCK = 65536, 8192  # points evaluated together; bounds the memory

_EVALUATED: dict[nn.Module, int] = {}  # how many :func:`evaluating` hold each module that was in training
_EVALUATED_LOCK = threading.Lock()


class Model(nn.Module, ABC):
    """What every model is: a network with a frozen configuration that predicts logits of ELF; ELF = sigmoid(logit).

    Class attributes:
        config_class: frozen dataclass of JSON values.
        invariances: which ones hold exactly and which approximately; see :func:`elfzoo.testing.check_model`.
        sees: what a prediction rests on: ``geometry`` alone, or ``one diagonalisation``; classes apart on the board.
        elements: symbols of the only elements that it can be given; empty where any will do.
        requires: optional packages without which it predicts nothing, by the names under which they are imported.
        costly: each point costs so much that a finer grid is better interpolated than predicted, as
            :mod:`elfzoo.benchmark` does where it searches topology.

    Attributes:
        target: what the logits stand for; ELF unless :func:`elfzoo.registry.create_model` was told otherwise.
        card: of a trained release.
        posterior: of the weights of its last layer, where the release has one; see :mod:`elfzoo.uncertainty`.
    """

    config_class: ClassVar[type]
    invariances: ClassVar[Mapping[str, Invariance]]
    sees: ClassVar[Literal["geometry", "one diagonalisation"]] = "geometry"
    elements: ClassVar[tuple[str, ...]] = ()
    requires: ClassVar[tuple[str, ...]] = ()
    costly: ClassVar[bool] = False

    def __init__(self, config: Any):
        super().__init__()
        self.config = config
        self.target = Target()
        self.card: Card | None = None
        self.posterior: Posterior | None = None

    @classmethod
    def missing_packages(cls) -> tuple[str, ...]:
        """Of those that it requires, what is not installed."""
        return tuple(name for name in cls.requires if importlib.util.find_spec(name) is None)

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
        coarse: float | None = None,
    ) -> Any:
        """Predict a field on a grid, or values at loose points.

        Args:
            structure: anything that :func:`elfzoo.structure.as_structure` takes.
            grid: a Grid, or numbers of points (nx, ny, nz); by default the grid with ``spacing``.
            points: (points, 3) fractional coordinates; the answer is then an array in the caller's order.
            spacing: largest distance between grid points, Å, where no grid is given.
            symmetry: compute one point of each orbit under the space group and copy the others: the field of the
                structure with its symmetry made exact. Nothing is gained without symmetry, as in frames of molecular
                dynamics. Off, with a warning, where an atom would have to move by more than 1e-5 Å, or where no
                operation maps the given grid onto itself.
            progress: show a bar; by default on work longer than a few seconds in a terminal.
            quantity: what is wanted, where a model can give several: ``"density"`` or ``"density_difference"`` (from
                superposed free atoms); the model's own ``quantity`` by default.
            coarse: Å; on a finer grid, run the network only on one of this largest spacing, and put a quintic spline
                through its logits, for whole grids of point models. At 0.11 Å instead of 0.055 an eighth of the work;
                the mean error of ELF is some 1e-4, the largest some 0.01; by model in ``docs/speed.md``
                (``benchmarks/logit_spline.py``).

        Returns:
            A :class:`~elfzoo.field.Field`, or (points,) float32 values where points were given.

        Raises:
            QuantityError: the model does not give that quantity.
            ElfzooError: a grid and points, a grid of another cell, points that are none, or ``coarse`` where it has
                no meaning.
        """
        structure = as_structure(structure)
        sad = self.target.baseline(structure, quantity)
        self._warn_outside_domain(structure)
        with evaluating(self):
            if points is not None:
                if grid is not None:
                    raise ElfzooError("predict takes a grid or points, not both")
                if coarse is not None:
                    raise ElfzooError(f"coarse={coarse} is for whole grids; leave it out for loose points")
                points = _checked_points(points)
                learned = self._values_at(structure, points, progress, self.target.values)
                return learned if sad is None else (learned + sad.at(points)).astype(np.float32)
            chosen = self._grid(structure, grid, spacing, symmetry)
            values = self._on_grid(structure, chosen, symmetry, coarse, progress)
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

    def work(self, structure: Structure, grid: Grid) -> Work | None:
        """Operations and bytes of a prediction on a grid, for :mod:`elfzoo.benchmark.roofline`; None: not counted."""
        return None

    def _grid(self, structure: Structure, grid: Any, spacing: float, symmetry: bool) -> Grid:
        if grid is None and symmetry:
            return symmetric_grid(structure, spacing)
        return Grid.wanted(structure, grid, spacing)

    def _on_grid(
        self, structure: Structure, grid: Grid, symmetry: bool, coarse: float | None, progress: bool | None
    ) -> Float[np.ndarray, "nx ny nz"]:
        """Values on a grid, by the network on all of its points or on fewer."""
        computed = grid if coarse is None else self._computed_grid(structure, grid, coarse, symmetry)
        if computed.shape == grid.shape:
            return self._outputs(structure, grid, symmetry, progress, self.target.values)
        logits = self._outputs(structure, computed, symmetry, progress, _as_they_are)
        values = self.target.values(spline_resample(logits, grid.shape, order=5, dtype=np.float32))
        unit = asymmetric_unit(structure, grid) if symmetry else None  # a spline along skewed axes is not symmetric
        return values if unit is None else unit.unfold(values.ravel()[unit.representatives])

    def _computed_grid(self, structure: Structure, grid: Grid, coarse: float, symmetry: bool) -> Grid:
        """The grid on which the network is evaluated when ``grid`` is wanted."""
        return coarser_grid(structure, grid, coarse, symmetry)

    def _outputs(
        self, structure: Structure, grid: Grid, symmetry: bool, progress: bool | None, link: Link
    ) -> Float[np.ndarray, "nx ny nz"]:
        """What ``link`` makes of the logits on a grid."""
        unit = asymmetric_unit(structure, grid) if symmetry else None
        if unit is not None:
            return unit.unfold(self._at_some(unit.structure, grid, unit.representatives, progress, link))
        values = np.empty(grid.size, np.float32)
        self._fill(structure, grid, values, progress, link)
        return values.reshape(grid.shape)

    def _fill(self, structure: Structure, grid: Grid, values: np.ndarray, progress: bool | None, link: Link) -> None:
        evaluate = self.evaluator(structure)

        def block(indices: np.ndarray) -> int:
            values[indices] = link(evaluate(grid.positions(indices)))
            return len(indices)

        self._run(block, grid.blocks(self.block_size), grid.size, progress)

    def _at_some(
        self, structure: Structure, grid: Grid, indices: np.ndarray, progress: bool | None, link: Link
    ) -> np.ndarray:
        """At some points of a grid."""
        return self._values_at(structure, grid.frac_coords(indices), progress, link)

    def _values_at(self, structure: Structure, frac: np.ndarray, progress: bool | None, link: Link) -> np.ndarray:
        evaluate = self.evaluator(structure)
        frac = frac - np.floor(frac)
        positions = frac @ structure.lattice.matrix
        order = compact_order(positions)
        values = np.empty(len(frac), np.float32)

        def block(indices: np.ndarray) -> int:
            values[indices] = link(evaluate(positions[indices]))
            return len(indices)

        starts = range(0, len(order), self.block_size)
        self._run(block, (order[i : i + self.block_size] for i in starts), len(order), progress)
        return values

    def _run(
        self, block: Callable[[np.ndarray], int], blocks: Iterable[np.ndarray], total: int, progress: bool | None
    ) -> None:
        with torch.no_grad(), progress_bar("predicting", total, progress) as advance:
            for done in map_in_threads(block, blocks, self.workers):
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
        domain = self.card.domain
        if domain is None or unknown:
            return
        volume = structure.volume / len(structure)
        limits = domain.limits("volume_per_atom", group_of(structure.symbol_set))
        if not limits[0] / FAR <= volume <= limits[1] * FAR:
            warnings.warn(
                f"{self.card.name} was trained on {limits[0]:.2f} to {limits[1]:.2f} Å³ per atom; at {volume:.2f} its "
                "field is an extrapolation",
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

    @property
    def last_layer(self) -> nn.Linear | None:
        """The layer that ``head`` ends in, whose output is the logit or is added to it; None where there is no such.

        :mod:`elfzoo.uncertainty` asks what the training data leave open of its weights.
        """
        return None

    def reader(self, structure: Structure) -> Reader:
        """A function from points (Cartesian, Å) to what ``encode`` gives; all set-up is done before it returns."""
        weight = next(self.parameters())

        def read(points: np.ndarray) -> Tensor:
            data = self.transform(probe_data(structure, points, dtype=weight.dtype))
            with torch.no_grad():
                return self.encode(data.to(weight.device))

        return read

    def encoder_is_constant(self, elements: Iterable[str]) -> bool:
        """Whether no parameter takes part in ``encode`` for these elements, so that its output may be stored."""
        return False

    def features(self, structure: Structure, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points n"]:
        """What ``encode`` gives at points (Cartesian, Å), in single precision; points in blocks."""
        read = self.reader(structure)
        blocks = np.array_split(points, max(1, -(-len(points) // self.block_size)))
        return np.concatenate([read(block).float().cpu().numpy() for block in blocks])

    def forward(self, batch: ProbeData) -> Float[Tensor, " points"]:
        """Logits of the probe points: unbounded, because corrections add there (paper, eq. 8)."""
        return self.head(self.encode(batch))

    def evaluator(self, structure: Structure) -> Evaluator:
        """Through ``transform`` and ``forward``, on the model's device and in its precision."""
        weight = next(self.parameters())

        def evaluate(points: np.ndarray) -> np.ndarray:
            data = self.transform(probe_data(structure, points, dtype=weight.dtype))
            return to_array(self(data.to(weight.device)))

        return evaluate


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Meanwhile no dropout, no random orientation and no statistics of a batch: models that are being trained predict
    what they will predict. Several threads may be inside with the same model; the last one to leave puts it back.
    """
    held = _hold(module for model in models for module in model.modules())
    try:
        yield
    finally:
        _release(held)


def _hold(modules: Iterable[nn.Module]) -> list[nn.Module]:
    """Put modules into evaluation; those that are there by nobody's hold are frozen parts, and left out."""
    with _EVALUATED_LOCK:
        held = [module for module in modules if module.training or module in _EVALUATED]
        for module in held:
            _EVALUATED[module] = _EVALUATED.get(module, 0) + 1
            module.training = False
    return held


def _release(held: Iterable[nn.Module]) -> None:
    """Put back into training what nobody else holds."""
    with _EVALUATED_LOCK:
        for module in held:
            _EVALUATED[module] -= 1
            if not _EVALUATED[module]:
                del _EVALUATED[module]
                module.training = True


def _as_they_are(logits: np.ndarray) -> np.ndarray:
    return logits


def _checked_points(points: Any) -> np.ndarray:
    expected = "points must be finite fractional coordinates of shape (points, 3)"
    try:
        array = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # the last one of tensors with gradients
        raise ElfzooError(f"{expected}; got {reprlib.repr(points)} ({error})") from error
    if array.ndim != 2 or array.shape[1] != 3 or not np.isfinite(array).all():
        raise ElfzooError(f"{expected}; got {array.shape}")
    return array
