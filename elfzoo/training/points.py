"""Training of point models: stored features where nothing in them is learned, else batches of probe points."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor, nn
from torch_geometric.data import Batch

from elfzoo.datasets import FieldDataset, base, dataset_class, stratified_indices
from elfzoo.datasets import uniform_indices as uniform
from elfzoo.datasets.files import FieldFiles, find_field_files
from elfzoo.errors import ElfzooError
from elfzoo.field import Field, Recipe
from elfzoo.models.base import PointModel
from elfzoo.probe import probe_data
from elfzoo.progress import progress_bar
from elfzoo.quantity import quantity_of
from elfzoo.target import Target
from elfzoo.training.config import DataConfig, TrainConfig
from elfzoo.training.parallel import ALONE, Ranks
from elfzoo.training.task import Part, Task

__all__ = [
    "FeatureStore",
    "PointSet",
    "PointTask",
    "choose",
    "draw_points",
    "file_hashes",
    "own_files",
    "plan_batches",
    "shared_files",
    "stream_batches",
]

VALIDATION_SEED = 1_000_003  # apart from the training points' seeds, so that sampled voxels do not depend on them
SAMPLERS = {"stratified": stratified_indices, "uniform": uniform}


@dataclass(frozen=True, eq=False)
class PointSet:
    """Points drawn from one structure.

    Args:
        structure: where they lie.
        points: (points, 3) Cartesian, Å, neighbours in space near each other in the list.
        y: (points,) reference values, of the quantity that is learned.
        recipe: of the reference.
        predicted: the reference is a model's, a teacher's.
    """

    structure: Structure
    points: Float[np.ndarray, "points 3"]
    y: Float[np.ndarray, " points"]
    recipe: Recipe | None
    predicted: bool = False

    @property
    def size(self) -> int:
        """Number of points."""
        return len(self.y)


def choose(config: DataConfig, root: str | None = None) -> tuple[list[int], FieldDataset]:
    """The structures that a configuration names: their indices in what matches of the split, and what they are of it.

    Raises:
        ElfzooError: an empty split, or none of its files matches.
    """
    data = FieldFiles(own_files(config), config.spin) if config.files else _stored_split(config, root)
    data = data.subset(_matching(config, data.raw_file_names))
    chosen = _spread(config, len(data))
    return chosen, data.subset(chosen)


def _matching(config: DataConfig, names: Sequence[str]) -> list[int]:
    """Which of the files have names that match."""
    found = [i for i, file in enumerate(names) if re.search(config.match or "", Path(file).name)]
    if names and not found:
        raise ElfzooError(
            f"{config.dataset}, split {config.split}: no file name has {config.match!r} in it; the first of "
            f"{len(names)} is {names[0]}"
        )
    return found


def _spread(config: DataConfig, count: int) -> list[int]:
    """As many numbers below ``count`` as structures are wanted, evenly spread."""
    wanted = count if config.structures is None else min(config.structures, count)
    if wanted < 1:
        raise ElfzooError(f"{config.dataset}, split {config.split}: nothing to use; expected at least one structure")
    return np.linspace(0, count - 1, wanted).round().astype(int).tolist()


def file_hashes(config: DataConfig) -> dict[str, str]:
    """SHA-256 of each file that a configuration names, of a dataset as its splits state them: it need not be there.

    Raises:
        ElfzooError: an empty split, none of its files matches, or one of one's own cannot be read.
    """
    if config.files:
        known = {str(file.resolve()): base.hash_file(file) for file in own_files(config)}
    else:
        name = dataset_class(config.dataset).name
        known = dict(sorted(base.read_manifest(name)["splits"][config.split].items()))
    names = list(known)
    names = [names[i] for i in _matching(config, names)]
    return {names[i]: known[names[i]] for i in _spread(config, len(names))}


def shared_files(config: TrainConfig) -> list[Path]:
    """Files that are validated on and, under whatever name, trained on too: by the SHA-256 of what is in them."""
    learned = {sha256 for part in config.train for sha256 in file_hashes(part).values()}
    return sorted(
        {
            Path(file if part.files else f"{part.dataset}/{file}")
            for part in config.validate
            for file, sha256 in file_hashes(part).items()
            if sha256 in learned
        }
    )


def own_files(config: DataConfig) -> list[Path]:
    """The files, and those in the folders."""
    paths = [Path(path).expanduser() for path in config.files]
    return [file for path in paths for file in (find_field_files(path) if path.is_dir() else [path])]


def _stored_split(config: DataConfig, root: str | None) -> FieldDataset:
    return dataset_class(config.dataset)(root=root, split=config.split)


def draw_points(
    config: DataConfig, seed: int, root: str | None = None, target: Target | None = None
) -> tuple[list[PointSet], str]:
    """Draw the points of a split, with the values that a target learns there; ELF unless stated.

    Returns:
        The points of each structure, and the hash of the data that were used.

    Raises:
        ElfzooError: an empty split.
        QuantityError: a data set of another quantity than the target's.
    """
    chosen, data = choose(config, root)
    learned = (target or Target()).learned_from
    samples = zip(chosen, data, strict=True)
    sets = [_draw(learned(sample.field), config, np.random.default_rng([seed, i])) for i, sample in samples]
    return sets, data.data_hash


def _draw(field: Field, config: DataConfig, rng: np.random.Generator) -> PointSet:
    strata = quantity_of(field.quantity).on_unit_interval(field.values)
    flat = SAMPLERS[config.sampling](strata, config.points, rng)
    position = field.grid.positions(flat)
    order = np.lexsort(np.floor(position).T)  # boxes of 1 Å, so that a block of points shares its neighbours
    values = field.values.ravel()[flat][order]
    y, predicted = values.astype(np.float32), field.is_prediction
    return PointSet(field.structure, position[order], y, field.recipe, predicted)


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
        device = next(model.parameters()).device
        with torch.no_grad():
            parts = [model.head(block.float().to(device)) for block in self.features.split(model.block_size)]
            logits = torch.cat(parts).cpu()
        error = (model.target.tensor(logits) - self.y).abs().double()
        sums = torch.zeros(int(self.structure.max()) + 1, dtype=torch.float64).index_add_(0, self.structure, error)
        return sums / torch.bincount(self.structure)


BatchPlan = list[tuple[PointSet, np.ndarray]]  # structures and the numbers of their points
Plan = list[BatchPlan]


def plan_batches(sets: Sequence[PointSet], size: int, generator: torch.Generator, structures: int | None) -> Plan:
    """Batches of about ``size`` points in random order, each point once.

    Args:
        sets: the points.
        size: of a batch.
        generator: of the order; the number of batches does not depend on it.
        structures: that a batch draws from; None for all of them.
    """
    orders = [torch.randperm(len(s.y), generator=generator).numpy() for s in sets]
    if structures is None:
        steps = max(sum(len(o) for o in orders) // size, 1)
        every = [[(s, o[step::steps]) for s, o in zip(sets, orders, strict=True)] for step in range(steps)]
        return [[(s, chosen) for s, chosen in batch if len(chosen)] for batch in every]
    shares = [-(-len(order) // (size // structures)) for order in orders]
    parts = [(s, order[i::n]) for s, order, n in zip(sets, orders, shares, strict=True) for i in range(n)]
    shuffled = torch.randperm(len(parts), generator=generator).tolist()
    return [[parts[i] for i in shuffled[at : at + structures]] for at in range(0, len(parts), structures)]


def stream_batches(model: PointModel, plan: Plan) -> Iterator[tuple[Batch, Tensor]]:
    """(batch, y) of probe points, as planned."""
    for batch in plan:
        data = Batch.from_data_list([model.transform(probe_data(s.structure, s.points[c], s.y[c])) for s, c in batch])
        yield data, data.y


class PointTask(Task):
    """Points of a data set for a point model.

    Args:
        model: with fresh weights; takes its statistics from the training points.
        config: the run.
        root: folder of the datasets.
        progress: show bars while features are computed.
        ranks: the processes that share the work; each keeps the features of all points.

    Raises:
        ElfzooError: an empty split.
    """

    unit: ClassVar[str] = "points"
    model: PointModel

    def __init__(
        self, model: PointModel, config: TrainConfig, root: str | None, progress: bool | None, ranks: Ranks = ALONE
    ):
        train = [Part(*draw_points(d, config.seed, root, model.target)) for d in config.train]
        self.sets = [s for part in train for s in part.sets]
        validate = [Part(*draw_points(d, VALIDATION_SEED, root, model.target)) for d in config.validate]
        super().__init__(model, config, train, validate, ranks)
        self.criterion = nn.SmoothL1Loss(beta=config.huber_beta)
        self._store = self._stored(self.sets, self.elements, progress)
        stored = max(self.size() // config.batch_size, 1)
        self.steps_per_epoch = len(self._plan(torch.Generator())) if self._store is None else stored
        if config.start is None:  # a trained model has its own
            self._fit_statistics(progress)
        self._validation = self._validation_stores(validate, progress)

    def size(self) -> int:
        return sum(len(s.y) for s in self.sets)

    def plans(self, epoch: int) -> Iterator[BatchPlan | Tensor]:
        """Points in random order, each once: structures and points of them, or which of the stored features.

        Of stored ones a last batch that is not full is left out, unless it is the only one.
        """
        generator = torch.Generator().manual_seed(self.config.seed * 100_003 + epoch)
        if self._store is None:
            return iter(self._plan(generator))
        order, size = torch.randperm(self.size(), generator=generator), self.config.batch_size
        return (order[start : start + size] for start in range(0, max(len(order) - size + 1, 1), size))

    def cut(self, plan: BatchPlan | Tensor, piece: int, pieces: int) -> BatchPlan | Tensor:
        """By structures where there are enough of them, for much of a model's work may be per structure."""
        if isinstance(plan, Tensor) or len(plan) >= pieces:
            return plan[piece::pieces]
        return [(s, chosen[piece::pieces]) for s, chosen in plan if len(chosen) > piece]

    def count(self, plan: BatchPlan | Tensor) -> int:
        return len(plan) if isinstance(plan, Tensor) else sum(len(chosen) for _, chosen in plan)

    def load(self, plan: BatchPlan | Tensor) -> tuple[Any, Tensor]:
        """Features or probe points, and reference values."""
        if isinstance(plan, Tensor):
            assert self._store is not None
            return self._store.features[plan].float(), self._store.y[plan]
        return next(stream_batches(self.model, [plan]))

    def losses(self, batch: tuple[Any, Tensor]) -> Iterator[Tensor]:
        device = next(self.model.parameters()).device
        inputs, y = (part.to(device) for part in batch)
        with self.autocast():
            logits = (self.model.head(inputs) if isinstance(inputs, Tensor) else self.model(inputs)).float()
        target = self.model.target
        yield self.criterion(target.tensor(logits) / target.unit, y / target.unit)

    def validate(self) -> dict[str, float]:
        names = [f"mae {d.dataset}/{d.split}" for d in self.config.validate]
        return {name: self._error(*part) for name, part in zip(names, self._validation, strict=True)}

    def _error(self, count: int, own: Sequence[PointSet], store: FeatureStore | None) -> float:
        """Mean over the structures of a part, of which this process measures its own."""
        errors = torch.zeros(0, dtype=torch.float64)
        if own:
            store = store or FeatureStore.build(self.model, own, "float32", False)
            errors = store.structure_errors(self.model)
        return float(self.ranks.gathered(errors, count).mean())

    def _fit_statistics(self, progress: bool | None) -> None:
        if self._store is not None:
            self.model.fit_statistics(self._store.features)
            return
        sample = [PointSet(s.structure, s.points[::16], s.y[::16], s.recipe) for s in self.sets]
        self.model.fit_statistics(FeatureStore.build(self.model, sample, "float32", progress).features)

    def _plan(self, generator: torch.Generator) -> Plan:
        return plan_batches(self.sets, self.config.batch_size, generator, self.config.structures_per_batch)

    def _stored(self, sets: Sequence[PointSet], elements: Iterable[str], progress: bool | None) -> FeatureStore | None:
        """Features kept for the whole run, where nothing in them is learned."""
        learned_from = self.config.start is None or self.config.start.method in ("full", "low_rank")
        if learned_from and not self.model.encoder_is_constant(elements):
            return None
        return FeatureStore.build(self.model, sets, self.config.feature_precision, progress)

    def _validation_stores(
        self, parts: Sequence[Part[PointSet]], progress: bool | None
    ) -> list[tuple[int, Sequence[PointSet], FeatureStore | None]]:
        """For each part: of how many structures, those of this process, and their features where they are kept."""
        elements = {site.specie.symbol for part in parts for s in part.sets for site in s.structure}
        own = [part.sets[self.ranks.rank :: self.ranks.size] for part in parts]
        kept = [self._stored(sets, elements, progress) if sets else None for sets in own]
        return [(len(part.sets), sets, store) for part, sets, store in zip(parts, own, kept, strict=True)]
