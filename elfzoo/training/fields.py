"""Training of field models: whole cells (or crops of them) on the model's own grid, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from scipy.stats import ortho_group
from torch import Tensor

from elfzoo.field import Field, Recipe
from elfzoo.grid import Grid
from elfzoo.interpolate import spline_interpolate
from elfzoo.models.field_model import FieldModel
from elfzoo.training.config import DataConfig, FieldTraining, TrainConfig
from elfzoo.training.losses import FieldLoss
from elfzoo.training.parallel import ALONE, Ranks
from elfzoo.training.points import VALIDATION_SEED, PointSet, choose, draw_points
from elfzoo.training.task import Part, Task
from elfzoo.transforms.patches import cut, patch_starts, stitch

__all__ = ["FieldSet", "FieldTask", "augment", "field_errors", "seam_error", "sheared"]

GRIDS_SEED, FINEST = 0, 0.8  # of the drawn grids; the finest one's spacing over the model's


@dataclass(frozen=True, eq=False)
class FieldSet:
    """The reference of one structure on a model's own grid.

    Args:
        structure: the model's working cell.
        grid: the model's own.
        target: (nx, ny, nz) reference values there, of the quantity that is learned.
        recipe: of the reference.
        predicted: the reference is a model's, a teacher's.
        others: the same on other grids.
    """

    structure: Structure
    grid: Grid
    target: Float[Tensor, "nx ny nz"]
    recipe: Recipe | None
    predicted: bool = False
    others: tuple[FieldSet, ...] = ()

    @property
    def size(self) -> int:
        """Number of voxels."""
        return self.grid.size

    @classmethod
    def of(cls, model: FieldModel, field: Field, grids: int = 1, rng: np.random.Generator | None = None) -> FieldSet:
        """Bring a field to the model's grid: the spline through its logits, clipped to [0.001, 0.999], point by point.

        Nothing is filtered away, so what the grid cannot hold is aliased, as it is in the logits that the model
        predicts there. For densities, the logits are what the target's link makes of them.

        Args:
            model: that has the grid.
            field: the reference.
            grids: number of grids, see :class:`~elfzoo.training.FieldTraining`.
            rng: draws all but the first of them.
        """
        cell, grid = model.working_cell(field.structure)
        rng = rng or np.random.default_rng(GRIDS_SEED)
        others = [cls.on(model, field, *sheared(cell, grid, model.stride, rng)) for _ in range(grids - 1)]
        return replace(cls.on(model, field, cell, grid), others=tuple(others))

    def drawn(self, rng: np.random.Generator) -> FieldSet:
        """This, or the same on another of its grids."""
        return self if not self.others else (self, *self.others)[rng.integers(1 + len(self.others))]

    @classmethod
    def on(cls, model: FieldModel, field: Field, cell: Structure, grid: Grid) -> FieldSet:
        """On any grid of any cell of the same crystal, in the same place in space."""
        frac_coords = grid.positions() @ np.linalg.inv(field.grid.lattice)
        learned = model.target.learned_from(field).values
        values = model.target.values(spline_interpolate(model.target.outputs(learned), frac_coords))
        target, predicted = torch.from_numpy(values.reshape(grid.shape).astype(np.float32)), field.is_prediction
        return cls(cell, grid, target, field.recipe, predicted)


@dataclass(frozen=True, eq=False)
class _Crop:
    """A cube of a field: its first point and its edge in grid points."""

    sample: FieldSet
    start: tuple[int, int, int]
    size: int


class FieldTask(Task):
    """Fields of a data set for a field model.

    Args:
        model: with fresh weights.
        config: the run.
        root: folder of the datasets.
        progress: taken no notice of: preparing is quick.
        ranks: the processes that share the work.

    Raises:
        ElfzooError: an empty split, or crops of a model that has none.
        ConfigError: a loss term that the target has no use for.
    """

    unit: ClassVar[str] = "voxels"
    model: FieldModel

    def __init__(
        self, model: FieldModel, config: TrainConfig, root: str | None, progress: bool | None, ranks: Ranks = ALONE
    ):
        self.criterion = FieldLoss(config.fields.terms, config.huber_beta, config.fields.bins, model.target)
        train = [_load(model, d, root, config.fields.grids) for d in config.train]
        validate = [Part(*draw_points(d, VALIDATION_SEED, root, model.target)) for d in config.validate]
        super().__init__(model, config, train, validate, ranks)
        self.samples = [s for part in train for s in part.sets]
        self.validation = validate
        self.steps_per_epoch = -(-sum(self._copies(s) for s in self.samples) // config.batch_size)

    def size(self) -> int:
        return sum(s.grid.size for s in self.samples)

    def plans(self, epoch: int) -> Iterator[list[FieldSet | _Crop]]:
        """Every cell once (as many crops of it as fill it), in random order, shifted and turned anew."""
        rng, size = np.random.default_rng([self.config.seed, epoch]), self.config.batch_size
        order = rng.permutation(np.repeat(np.arange(len(self.samples)), [self._copies(s) for s in self.samples]))
        for start in range(0, len(order), size):
            cells = (self.samples[i].drawn(rng) for i in order[start : start + size])
            chosen = [augment(cell, self.config.fields, rng) for cell in cells]
            yield [self._crop(sample, rng) for sample in chosen]

    def cut(self, plan: list[FieldSet | _Crop], piece: int, pieces: int) -> list[FieldSet | _Crop]:
        return plan[piece::pieces]

    def count(self, plan: list[FieldSet | _Crop]) -> int:
        return len(plan)

    def load(self, plan: list[FieldSet | _Crop]) -> list[FieldSet | _Crop]:
        return plan

    def losses(self, batch: list[FieldSet | _Crop]) -> Iterator[Tensor]:
        for item in batch:
            if isinstance(item, FieldSet):
                with self.autocast():
                    logits = self.model([item.structure], [item.grid])[0].float()
                loss = self.criterion(logits, item.target.to(logits), item.grid.spacing)
            else:
                sample, starts = item.sample, np.array([item.start])
                with self.autocast():
                    logits = self.model.forward_crop(sample.structure, sample.grid, item.start, item.size).float()
                target = cut(sample.target[None], starts, item.size)[0, 0]
                loss = self.criterion(logits, target.to(logits), sample.grid.spacing, periodic=False)
            yield loss / len(batch)

    def validate(self) -> dict[str, float]:
        names = [f"mae {d.dataset}/{d.split}" for d in self.config.validate]
        return {name: float(self._errors(part.sets).mean()) for name, part in zip(names, self.validation, strict=True)}

    def _errors(self, sets: Sequence[PointSet]) -> Float[np.ndarray, " structures"]:
        own = field_errors(self.model, sets[self.ranks.rank :: self.ranks.size])
        return self.ranks.gathered(torch.from_numpy(own), len(sets)).numpy()

    def closing_facts(self) -> dict[str, float]:
        """The seam error of the first cell, where crops were trained on."""
        sample, crop = self.samples[0], self.config.fields.crop
        return {} if crop is None else {"seam_error": seam_error(self.model, sample.structure, sample.grid, crop)}

    def _copies(self, sample: FieldSet) -> int:
        crop = self.config.fields.crop
        return 1 if crop is None else max(1, round(sample.grid.size / crop**3))

    def _crop(self, sample: FieldSet, rng: np.random.Generator) -> FieldSet | _Crop:
        size, stride = self.config.fields.crop, self.model.stride
        if size is None:
            return sample
        i, j, k = (int(rng.integers(n // stride)) * stride for n in sample.grid.shape)
        return _Crop(sample, (i, j, k), size)


def augment(sample: FieldSet, config: FieldTraining, rng: np.random.Generator) -> FieldSet:
    """The same field with its origin moved by whole grid points, and turned or mirrored in space: both exact."""
    structure, grid, target = sample.structure, sample.grid, sample.target
    if config.shift:
        moved = rng.integers(0, grid.shape)
        frac = structure.frac_coords + moved / np.array(grid.shape)
        structure, target = Structure(grid.lattice, structure.species, frac), target.roll(moved.tolist(), (0, 1, 2))
    if config.turn:
        lattice = grid.lattice @ ortho_group.rvs(3, random_state=rng)
        structure, grid = Structure(lattice, structure.species, structure.frac_coords), Grid(grid.shape, lattice)
    return replace(sample, structure=structure, grid=grid, target=target)


def sheared(cell: Structure, grid: Grid, stride: int, rng: np.random.Generator) -> tuple[Structure, Grid]:
    """The same crystal on other lattice vectors, two of them plus or minus another one, and a grid that is finer.

    Args:
        cell, grid: of a model.
        stride: the new grid's axes are multiples of it.
        rng: draws the vectors, and a spacing of 0.8 to 1 times the grid's.
    """
    change = np.eye(3)
    for _ in range(2):
        which, added = rng.choice(3, 2, replace=False)
        change[which] += rng.choice((-1, 1)) * change[added]
    lattice, spacing = change @ cell.lattice.matrix, max(grid.spacing) * rng.uniform(FINEST, 1)
    other = Structure(lattice, cell.species, cell.cart_coords, coords_are_cartesian=True)
    return other, Grid.from_spacing(lattice, spacing, np.full((1, 3), 1 / stride))


def field_errors(model: FieldModel, sets: Sequence[PointSet]) -> Float[np.ndarray, " structures"]:
    """MAE of a field model over the points of each set."""
    errors = []
    with torch.no_grad():
        for part in sets:
            values = model.target.values(model.evaluator(part.structure)(part.points))
            errors.append(float(np.abs(values - part.y).mean()))
    return np.array(errors)


def seam_error(model: FieldModel, structure: Structure, grid: Grid, size: int, halo: int | None = None) -> float:
    """Largest difference of values between the whole cell and crops of it put together; rounding if the halo suffices.

    Args:
        model: in ``eval`` mode.
        structure, grid: the cell.
        size: edge of the crops, grid points.
        halo: grid points; by default what the model takes.
    """
    starts = patch_starts(grid.shape, size)
    with torch.no_grad():
        whole = model([structure], [grid])[0]
        crops = [model.forward_crop(structure, grid, (int(i), int(j), int(k)), size, halo) for i, j, k in starts]
        stitched = stitch(torch.stack(crops), starts, grid.shape)
        difference = model.target.tensor(stitched) - model.target.tensor(whole)
    return float(difference.abs().max())


def _load(model: FieldModel, config: DataConfig, root: str | None, grids: int) -> Part[FieldSet]:
    _, data = choose(config, root)
    rng = np.random.default_rng(GRIDS_SEED)
    return Part([FieldSet.of(model, sample.field, grids, rng) for sample in data], data.data_hash)
