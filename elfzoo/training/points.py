"""From datasets to what a training step sees: stored features, or batches of probe points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor
from torch_geometric.data import Batch

from elfzoo.datasets import CrystalHydrogen, FieldDataset, FluidHydrogen, Hydrides, Metals, stratified_indices
from elfzoo.datasets import uniform_indices as uniform
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.field import Field, Recipe
from elfzoo.models.base import PointModel
from elfzoo.probe import probe_data
from elfzoo.progress import progress_bar
from elfzoo.training.config import DataConfig

__all__ = ["FeatureStore", "PointSet", "dataset_class", "draw_points", "stream_batches"]

CLASSES: dict[str, type[FieldDataset]] = {c.name: c for c in (FluidHydrogen, CrystalHydrogen, Hydrides, Metals)}
SAMPLERS = {"stratified": stratified_indices, "uniform": uniform}


def dataset_class(name: str) -> type[FieldDataset]:
    """The dataset with this folder name."""
    if name not in CLASSES:
        raise UnknownNameError("dataset", name, CLASSES)
    return CLASSES[name]


@dataclass(frozen=True, eq=False)
class PointSet:
    """Points drawn from one structure.

    Args:
        structure: where they lie.
        points: (points, 3) Cartesian, Å, neighbours in space near each other in the list.
        y: (points,) reference values.
        recipe: of the reference.
    """

    structure: Structure
    points: Float[np.ndarray, "points 3"]
    y: Float[np.ndarray, " points"]
    recipe: Recipe | None


def draw_points(config: DataConfig, seed: int, root: str | None = None) -> tuple[list[PointSet], str]:
    """Draw the points of a split.

    Returns:
        The points of each structure, and the hash of the data that were used.

    Raises:
        ElfzooError: an empty split.
    """
    data = dataset_class(config.dataset)(root=root, split=config.split)
    wanted = len(data) if config.structures is None else min(config.structures, len(data))
    if wanted < 1:
        raise ElfzooError(f"{config.dataset}, split {config.split}: nothing to use; expected at least one structure")
    chosen = np.linspace(0, len(data) - 1, wanted).round().astype(int).tolist()
    sets = [_draw(data[i].field, config, np.random.default_rng([seed, i])) for i in chosen]
    return sets, data.subset(chosen).data_hash


def _draw(field: Field, config: DataConfig, rng: np.random.Generator) -> PointSet:
    flat = SAMPLERS[config.sampling](field.values, config.points, rng)
    position = field.grid.positions(flat)
    order = np.lexsort(np.floor(position).T)  # boxes of 1 Å, so that a block of points shares its neighbours
    values = field.values.ravel()[flat][order]
    return PointSet(field.structure, position[order], values.astype(np.float32), field.recipe)


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """Features of all points, for models whose encoder has nothing to learn.

    Args:
        features: (points, features), float16 or float32.
        y: (points,) reference values.
        structure: (points,) which structure each point belongs to.
    """

    features: Tensor
    y: Tensor
    structure: Tensor

    @classmethod
    def build(cls, model: PointModel, sets: Sequence[PointSet], precision: str, progress: bool | None) -> FeatureStore:
        """Compute the features of ``sets`` once."""
        dtype = getattr(torch, precision)
        total = sum(len(s.y) for s in sets)
        features, done = None, 0
        with progress_bar("features", total, progress) as advance:
            for part in sets:
                block = torch.from_numpy(model.features(part.structure, part.points))
                if features is None:
                    features = torch.empty((total, block.shape[1]), dtype=dtype)
                features[done : done + len(block)] = block.to(dtype)
                done += len(block)
                advance(len(block))
        assert features is not None
        if not torch.isfinite(features).all():
            raise ElfzooError(f"features leave the range of {precision}; use feature_precision: float32")
        y = torch.from_numpy(np.concatenate([s.y for s in sets]))
        owner = torch.repeat_interleave(torch.arange(len(sets)), torch.tensor([len(s.y) for s in sets]))
        return cls(features, y, owner)

    def structure_errors(self, model: PointModel) -> Float[Tensor, " structures"]:
        """MAE of ``model`` over the points of each structure, in double precision."""
        with torch.no_grad():
            logits = torch.cat([model.head(block.float()) for block in self.features.split(65536)])
        error = (torch.sigmoid(logits) - self.y).abs().double()
        sums = torch.zeros(int(self.structure.max()) + 1, dtype=torch.float64).index_add_(0, self.structure, error)
        return sums / torch.bincount(self.structure)

    def batches(self, size: int, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """(features, y) in this order; a last batch smaller than ``size`` is left out unless it is the only one."""
        for start in range(0, max(len(order) - size + 1, 1), size):
            chosen = order[start : start + size]
            yield self.features[chosen].float(), self.y[chosen]


def stream_batches(
    model: PointModel, sets: Sequence[PointSet], size: int, generator: torch.Generator
) -> Iterator[tuple[Batch, Tensor]]:
    """(batch, y) of probe points from all structures, in random order, each point once."""
    orders = [torch.randperm(len(s.y), generator=generator).numpy() for s in sets]
    steps = max(sum(len(o) for o in orders) // size, 1)
    for step in range(steps):
        data = []
        for part, order in zip(sets, orders, strict=True):
            chosen = order[step::steps]
            if len(chosen):
                data.append(model.transform(probe_data(part.structure, part.points[chosen], part.y[chosen])))
        batch = Batch.from_data_list(data)
        yield batch, batch.y
