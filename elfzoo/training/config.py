"""What a training run is: everything that decides its result, in one frozen configuration."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Any, Literal

from elfzoo.config import checked_name, config_class
from elfzoo.errors import ConfigError
from elfzoo.target import Target

__all__ = ["DataConfig", "FieldTraining", "Start", "TrainConfig", "TuneMethod"]

TuneMethod = Literal["full", "low_rank", "head", "calibrate"]
LossTerm = Literal["voxel", "gradient", "histogram"]
EXCESS = 10.0  # weight in a score of an error above its limit


@config_class
class DataConfig:
    """Structures of one split of a dataset, and the points drawn from each.

    A field model trains on the whole field of each structure: points and sampling then matter in validation alone.

    Args:
        dataset: folder name of the dataset, such as ``fluid-h``; for files of one's own what they are called.
        split: ``train`` or ``val``; ``test`` is refused.
        points: points drawn from each structure.
        sampling: ``stratified`` (uniform in ELF, as in the paper; for other targets uniform in the learned value, in
            equal bins from each field's smallest to its largest) or ``uniform`` (in space).
        structures: how many structures to use, evenly spread over the split; null for all.
        match: use only the structures in whose file name this regular expression is found, such as ``^CaH6_``: a split
            that has grown since then still holds what a release was trained on.
        files: field files of one's own in place of a dataset's: their paths, or those of folders that hold them.
        spin: the channel of such files whose channels differ, ``up`` or ``down``.
    """

    dataset: str
    split: Literal["train", "val"]
    points: int = 50_000
    sampling: Literal["stratified", "uniform"] = "stratified"
    structures: int | None = None
    match: str | None = None
    files: tuple[str, ...] = ()
    spin: Literal["up", "down"] | None = None

    def __post_init__(self) -> None:
        if self.points < 1:
            raise ConfigError(f"points are drawn from each structure; got points={self.points}")
        try:
            re.compile(self.match or "")
        except re.error as error:
            raise ConfigError(f"match is a regular expression; got {self.match!r}: {error}") from None


@config_class
class Start:
    """Where a run starts that does not start from fresh weights, and what of them it changes.

    Args:
        release: name, folder or repository of the trained model.
        method: ``full``: all weights. ``low_rank``: to every matrix of weights, and to every convolution as a matrix, a
            product of two thin ones is added (Hu et al. 2021, arXiv:2106.09685), and the residuals of the element
            embedding. ``head``: what comes after the features of a point; of field models the last layer.
            ``calibrate``: slope and offset of the last layer, two numbers: what another engine or pseudopotential
            shifts.
        rank: of the thin matrices.
        limits: how large the error of a validation set may become, by its name, such as ``fluid-h/val``: what the
            trained model knows is not to be given up. See :meth:`TrainConfig.score`.
    """

    release: str
    method: TuneMethod = "full"
    rank: int = 4
    limits: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"the rank of a change is at least 1; got {self.rank}")


@config_class
class FieldTraining:
    """How field models are trained: on whole cells, or on crops with a halo of true neighbours.

    Args:
        terms: of the loss, see :class:`elfzoo.training.losses.FieldLoss`.
        bins: of the soft histogram.
        shift: move the origin by a random number of grid points, anew in every epoch.
        turn: turn and mirror the cell in space at random; only kernels in Å notice.
        crop: null for whole cells; else edge of random cubes, in grid points. An epoch has as many as fill the cell.
        grids: on how many grids each cell is prepared, of which every epoch draws one: the model's own, and others of
            sheared lattice vectors and 0.8 to 1 times its spacing, or the next finer that FFTs like. Cells of a fluid
            are cubic, primitive cells of crystals are not; a network does the same on both only if it was taught to.
    """

    terms: tuple[LossTerm, ...] = ("voxel", "gradient", "histogram")
    bins: int = 32
    shift: bool = True
    turn: bool = True
    crop: int | None = None
    grids: int = 1

    def __post_init__(self) -> None:
        if self.grids < 1:
            raise ConfigError(f"a cell is prepared on one grid or more; got {self.grids}")
        if not self.terms or len(set(self.terms)) < len(self.terms):
            raise ConfigError(f"a loss needs at least one term, each once; got {list(self.terms)}")
        if self.bins < 2 or (self.crop is not None and self.crop < 1):
            raise ConfigError(f"a histogram needs two bins, a crop one point; got {self.bins}, {self.crop}")


@config_class
class TrainConfig:
    """A training run. Defaults are the paper's (Methodology; batch 4096, AdamW, 80 epochs).

    Args:
        name: of the release that the run writes.
        architecture: registry name.
        model: configuration of the architecture.
        target: what is learned; ELF unless stated.
        train: what to train on.
        validate: what to measure after every epoch; never trained on. Their mean MAE decides where ``select_best``.
        validate_on_train: let files of ``train`` be in ``validate`` too, where there are too few to hold any out: the
            errors then tell nothing of other structures. Otherwise that is an error.
        epochs, batch_size, learning_rate, weight_decay: of AdamW; a batch is of points, for field models of cells.
        accumulate: into how many pieces a batch is cut, whose gradients are added up before a step: the same result to
            rounding, for less memory. Of no account for field models, which take a batch cell by cell.
        structures_per_batch: that the points of a batch come from; null for all of them. Few where a model's work per
            structure is large. Of no account where features are stored, and for field models.
        schedule: ``constant``, or ``cosine`` with a linear warm-up over the first 5 % of the steps.
        huber_beta: where the loss turns from quadratic to linear, in ELF, or for densities in units of the target's
            scale.
        select_best: release the epoch with the lowest validation error instead of the last.
        patience: stop after so many epochs without improvement; null for never.
        precision: of the network in training: ``float32``, or ``bfloat16`` where PyTorch's autocast allows it, on CUDA
            devices alone. Weights, losses and the optimizer stay in float32.
        feature_precision: precision in which stored features are kept.
        fields: how field models are trained; point models take no notice.
        seed: of weights, sampled points and their order.
        start: a trained model to go on from, whose architecture, configuration and target then hold.
    """

    name: str
    architecture: str
    train: tuple[DataConfig, ...]
    validate: tuple[DataConfig, ...]
    validate_on_train: bool = False
    model: dict[str, Any] = field(default_factory=dict)
    target: Target = field(default_factory=Target)
    epochs: int = 80
    batch_size: int = 4096
    accumulate: int = 1
    structures_per_batch: int | None = None
    learning_rate: float = 3e-4
    weight_decay: float = 1e-6
    schedule: Literal["constant", "cosine"] = "constant"
    huber_beta: float = 0.03
    select_best: bool = False
    patience: int | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    feature_precision: Literal["float16", "float32"] = "float32"
    fields: FieldTraining = field(default_factory=FieldTraining)
    seed: int = 0
    start: Start | None = None

    def __post_init__(self) -> None:
        if not self.train or not self.validate:
            raise ConfigError("a training run needs data to train on and data to validate on")
        checked_name(self.name)
        watched = [f"{part.dataset}/{part.split}" for part in self.validate]
        if twice := sorted({name for name in watched if watched.count(name) > 1}):
            raise ConfigError(f"each validation set has a name of its own; got {', '.join(twice)} more than once")
        if self.seed < 0 or self.weight_decay < 0 or (self.patience is not None and self.patience < 1):
            raise ConfigError(
                "seed and weight_decay are 0 or more, patience 1 or more; "
                f"got {self.seed}, {self.weight_decay}, {self.patience}"
            )
        if min(self.epochs, self.batch_size, self.learning_rate, self.huber_beta) <= 0:
            raise ConfigError("epochs, batch_size, learning_rate and huber_beta must be positive")
        if self.accumulate < 1:
            raise ConfigError(f"a batch is cut into one piece or more; got accumulate: {self.accumulate}")
        if self.structures_per_batch is not None and not 1 <= self.structures_per_batch <= self.batch_size:
            raise ConfigError(f"a batch has points of at least one structure; got {self.structures_per_batch}")

    @property
    def part_names(self) -> list[str]:
        """Names of the parts of ``train`` and then of ``validate``, by which a card lists the hashes of their data."""
        names: list[str] = []
        for part in self.train + self.validate:
            name, number = f"{part.dataset}/{part.split}", 1
            while name in names:  # several parts of one dataset
                number += 1
                name = f"{part.dataset}/{part.split} ({number})"
            names.append(name)
        return names

    def score(self, errors: dict[str, float]) -> float:
        """What decides which epoch is best, the lowest: the mean of the validation errors.

        Of sets with a limit there counts instead, ten times, by how much they are above it.

        Args:
            errors: by ``mae dataset/split``.
        """
        limits = {} if self.start is None else {f"mae {name}": limit for name, limit in self.start.limits.items()}
        free = [error for name, error in errors.items() if name not in limits]
        above = [max(errors[name] - limit, 0.0) for name, limit in limits.items() if name in errors]
        return sum(free) / max(len(free), 1) + EXCESS * sum(above)
