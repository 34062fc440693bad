"""What a study is: runs of one architecture that differ in a few settings, as a typed file."""

from __future__ import annotations

import difflib
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from elfzoo.benchmark import find_task
from elfzoo.config import config_class, parse, read_yaml, to_dict
from elfzoo.errors import ConfigError, ElfzooError, UnknownNameError
from elfzoo.models import FieldModel
from elfzoo.reference.fluid import FluidSource
from elfzoo.reference.recipe import find_recipe, recipe_names
from elfzoo.registry import create_model
from elfzoo.target import Target
from elfzoo.training import DataConfig, TrainConfig
from elfzoo.training.points import choose

__all__ = ["Axis", "Row", "StudyConfig", "expand", "read_study", "structures_of"]

CONFIGS = Path(__file__).parent / "configs"
STUDIES = CONFIGS / "studies"
CURVE = ("structures_per_pressure", "points_per_structure", "total_points")  # of learning curves; no training keys

Count = Callable[[DataConfig], int]
Changes = dict[str, Any]
Value = bool | int | float | str


@config_class
class Axis:
    """Values of one quantity.

    Args:
        title: for tables and pictures, with its unit.
        key: what to set: a dotted path in the training configuration, such as ``model.descriptor.r_cut``, or for
            learning curves ``structures_per_pressure``, ``points_per_structure`` or ``total_points``.
        values: that ``key`` takes.
        changes: instead of key and values: the nested changes that each value stands for.
        log: draw it on a logarithmic axis.
    """

    title: str
    key: str | None = None
    values: tuple[Value, ...] = ()
    changes: dict[Value, Changes] = field(default_factory=dict)
    log: bool = False

    def __post_init__(self) -> None:
        if bool(self.key) != bool(self.values) or bool(self.key) == bool(self.changes):
            raise ConfigError(f"axis {self.title!r} needs either a key with values or changes by value")

    def steps(self) -> dict[Value, Changes]:
        """For each value the nested changes."""
        return dict(self.changes) if self.key is None else {value: _nested(self.key, value) for value in self.values}


@config_class
class StudyConfig:
    """A study. A change of training data keeps the number of optimisation steps: fewer points are seen more often.

    Learning-curve keys may stand wherever changes may: ``structures_per_pressure`` takes as many from each pressure
    of the fluid, ``total_points`` are shared by the structures, ``points_per_structure`` are drawn from each.

    Args:
        title: one line.
        shows: what one learns from it, and where it comes from.
        minutes: of one run on two cores, training and measuring, estimated; for the sum that ``--dry-run`` prints.
        base: a training configuration without a name, or the name of a file in ``benchmarks/configs``.
        changes: to the base, for all runs.
        variants: named changes to the base; null is the base itself.
        axes: scanned quantities.
        combine: ``one_at_a_time`` changes one thing of the base in each run; ``product`` crosses variants and axes.
        reference: label of the row that the others are compared with; by default the base, else the first.
        seeds: of weights, sampled points and their order: a list, or how many from 0 on.
        tasks: what to measure on, names of :func:`elfzoo.benchmark.list_tasks`.
        split: ``val``; a study on ``test`` says so here, and nothing may be chosen by it.
        voxels: drawn uniformly from each structure, the same for all runs; null measures whole fields.
        seen: measure on the training structures too; what a split by voxel would report.
    """

    title: str
    shows: str
    minutes: float
    base: Changes | str
    tasks: tuple[str, ...]
    changes: Changes = field(default_factory=dict)
    variants: dict[str, Changes | None] = field(default_factory=dict)
    axes: dict[str, Axis] = field(default_factory=dict)
    combine: Literal["one_at_a_time", "product"] = "one_at_a_time"
    reference: str | None = None
    seeds: int | tuple[int, ...] = (0,)
    split: Literal["val", "test"] = "val"
    voxels: int | None = None
    seen: bool = False

    @property
    def seed_list(self) -> tuple[int, ...]:
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @property
    def training(self) -> Changes:
        """Values of the base with the common changes."""
        base = _read_base(self.base) if isinstance(self.base, str) else self.base
        return merge({k: v for k, v in base.items() if k not in ("name", "seed")}, self.changes)


@dataclass(frozen=True)
class Row:
    """One row of a study's table: a configuration, trained with every seed.

    Args:
        label: for people.
        at: values on the axes that it belongs to.
        values: the training configuration in full, without name and seed; None where it is refused.
        refused: why.
    """

    label: str
    at: Mapping[str, Value]
    values: Mapping[str, Any] | None
    refused: str | None = None

    @property
    def config_sha256(self) -> str:
        """Names the configuration, whatever the label."""
        return sha256(_decisive(self.values) if self.values is not None else [self.label, self.refused])

    def config(self, name: str, seed: int) -> TrainConfig:
        """A run of it.

        Raises:
            ConfigError: it is refused.
        """
        if self.values is None:
            raise ConfigError(self.refused or "no values")
        return parse(TrainConfig, {**self.values, "name": name, "seed": seed}, where=self.label)


def read_study(name: str | Path) -> tuple[str, StudyConfig]:
    """Name and contents of a study file, or of one in ``configs/studies`` by its name.

    Raises:
        UnknownNameError: no such file, with the nearest names.
        ConfigError: a key that it may not have, with the nearest valid one.
    """
    path = Path(name)
    if not path.is_file():
        path = STUDIES / f"{path.name.removesuffix('.yaml')}.yaml"
    if not path.is_file():
        raise UnknownNameError("study", str(name), [p.stem for p in STUDIES.glob("*.yaml")])
    return path.stem, require_sound(read_yaml(StudyConfig, path))


def require_sound(study: StudyConfig) -> StudyConfig:
    """The study, if its tasks are known and no change has a key that the configuration of the base lacks.

    Raises:
        UnknownNameError, ConfigError: with the nearest valid name.
    """
    if not study.tasks or not study.seed_list or (study.voxels is not None and study.voxels < 1):
        raise ConfigError("a study needs tasks, seeds, and voxels to measure on")
    for name in study.tasks:
        find_task(name)
    architecture = study.training.get("architecture")
    if not isinstance(architecture, str):
        raise ConfigError(f"the base of a study names an architecture; got {architecture!r}")
    known = known_keys(architecture)
    steps = [changes for axis in study.axes.values() for changes in axis.steps().values()]
    require_known(study.training, known)
    for changes in (*study.variants.values(), *steps):
        require_known(changes or {}, known - {"architecture"})  # one study, one architecture
    return study


def expand(study: StudyConfig, count: Count) -> list[Row]:
    """The rows, the base first where it is one; those that a configuration refuses say why.

    Args:
        study: what to do.
        count: structures that a part of the training data has, see :func:`structures_of`.

    Raises:
        ConfigError: the base itself is refused, or two rows have one label.
    """
    base = _row(study.training, "base", {}, {}, count)
    if base.refused is not None:
        raise ConfigError(base.refused)
    rows = [_row(study.training, label, at, changes, count) for label, at, changes in _places(study)]
    labels = [row.label for row in rows]
    if len(set(labels)) < len(labels):
        raise ConfigError(f"two rows of a study have one label: {labels}")
    if study.reference is not None and study.reference not in labels:
        raise UnknownNameError("row of the study", study.reference, labels)
    return rows


def reference_of(study: StudyConfig) -> str:
    """Label of the row that the others are compared with."""
    places = list(_places(study))
    unchanged = [label for label, _, changes in places if not changes]
    return study.reference or (unchanged or [places[0][0]])[0]


def structures_of(root: str | None = None) -> Count:
    """Counts structures in the data folder ``root``, see :class:`elfzoo.datasets.FieldDataset`."""
    return functools.cache(lambda part: len(choose(part, root)[0]))


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Changes:
    """``base`` with nested keys replaced."""
    merged = dict(base)
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(base.get(key, {}), dict)
        merged[key] = merge(base.get(key, {}), value) if nested else value
    return merged


def _decisive(values: Mapping[str, Any]) -> dict[str, Any]:
    """What configurations are told apart by: keys that came later, only where they change something."""
    later = {"target": to_dict(Target()), "validate_on_train": False}  # as it was, whatever the default will be
    data = {role: [_without(part, {"match": None}) for part in values.get(role, ())] for role in ("train", "validate")}
    return _without(values, later) | data


def _without(values: Mapping[str, Any], unless: Mapping[str, Any]) -> dict[str, Any]:
    """The values but those which are as they were before they could be said."""
    return {key: value for key, value in values.items() if key not in unless or value != unless[key]}


def sha256(value: Any) -> str:
    """Of JSON values, whatever the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _places(study: StudyConfig) -> Iterator[tuple[str, dict[str, Any], Changes]]:
    """Label, values on the axes, and changes of every row."""
    steps = {name: axis.steps() for name, axis in study.axes.items()}
    variants = {name: changes or {} for name, changes in study.variants.items()}
    if study.combine == "product":
        for variant, *chosen in itertools.product(variants or {"": {}}, *(s.items() for s in steps.values())):
            changes = variants.get(variant, {})
            for _, more in chosen:
                changes = merge(changes, more)
            at = {name: value for name, (value, _) in zip(steps, chosen, strict=True)}
            yield ", ".join([variant] * bool(variant) + [f"{n} {v}" for n, v in at.items()]) or "base", at, changes
        return
    if all(variants.values()):
        yield "base", {}, {}
    for name, axis in steps.items():
        yield from ((f"{name} {value}", {name: value}, changes) for value, changes in axis.items())
    yield from ((name, {}, changes) for name, changes in variants.items())


def _row(training: Changes, label: str, at: dict[str, Any], changes: Changes, count: Count) -> Row:
    try:
        values = _resolved(training, changes, count)
        config = parse(TrainConfig, {**values, "name": "row"}, where=label)
        model = to_dict(create_model(config.architecture, config.model).config)  # all defaults written out
    except ElfzooError as error:
        return Row(label, at, None, str(error))
    return Row(label, at, {k: v for k, v in to_dict(config).items() if k not in ("name", "seed")} | {"model": model})


def _resolved(training: Changes, changes: Changes, count: Count) -> Changes:
    """A training configuration without learning-curve keys, with as many steps as the base has."""
    values = _with_points(merge(training, changes), count)
    if set(changes) & set(CURVE) and "epochs" not in changes:
        ratio = _steps(_with_points(training, count), count) / _steps(values, count)
        values["epochs"] = max(1, round(values.get("epochs", TrainConfig.epochs) * ratio))
    return values


def _with_points(values: Changes, count: Count) -> Changes:
    """Learning-curve keys turned into structures and points of each part of the training data."""
    values = dict(values)
    per_pressure, each, total = (values.pop(key, None) for key in CURVE)
    if each is not None and total is not None:
        raise ConfigError("points_per_structure and total_points exclude each other")
    parts = [dict(part) for part in values.get("train", ())]
    if per_pressure is not None:
        parts = [_per_pressure(part, per_pressure, count) for part in parts]
    if total is not None:
        each = total // sum(count(parse(DataConfig, part)) for part in parts)
    if each is not None:
        parts = [{**part, "points": each} for part in parts]
    return {**values, "train": parts}


def _per_pressure(part: Changes, number: int, count: Count) -> Changes:
    """As many structures of each pressure: file names sort by pressure, and an even choice takes as many of each."""
    source = find_recipe(part["dataset"]).source if part["dataset"] in recipe_names() else None
    if not isinstance(source, FluidSource):
        raise ConfigError(f"structures_per_pressure is of the fluid's; {part['dataset']} has no states")
    wanted, there = number * len(source.states), count(parse(DataConfig, {**part, "structures": None}))
    if wanted > there:
        raise ConfigError(f"{number} structures per pressure are {wanted}; {part['dataset']} has {there}")
    return {**part, "structures": None if wanted == there else wanted}


def _steps(values: Changes, count: Count) -> float:
    """Optimisation steps of an epoch: batches of points, of points of few structures, or (field models) of cells."""
    config = parse(TrainConfig, {**values, "name": "steps"}, where="base")
    if isinstance(create_model(config.architecture, config.model), FieldModel):
        return sum(map(count, config.train)) / config.batch_size
    if config.structures_per_batch is None:
        return max(1, sum(count(part) * part.points for part in config.train) // config.batch_size)
    share = config.batch_size // config.structures_per_batch
    return sum(count(part) * -(-part.points // share) for part in config.train) / config.structures_per_batch


def known_keys(architecture: str) -> set[str]:
    """Dotted paths that a study may change."""
    keys = set(_paths(TrainConfig)) - {"name", "seed"} | set(CURVE)
    return keys | {f"model.{path}" for path in _paths(type(create_model(architecture).config))}


def _paths(cls: type, prefix: str = "") -> Iterator[str]:
    hints = get_type_hints(cls)
    for item in fields(cls):  # type: ignore[arg-type]
        yield f"{prefix}{item.name}"
        for nested in (hints[item.name], *get_args(hints[item.name])):  # Start | None
            if is_dataclass(nested) and isinstance(nested, type):
                yield from _paths(nested, f"{prefix}{item.name}.")


def require_known(changes: Mapping[str, Any], known: set[str], prefix: str = "") -> None:
    """Refuse keys that no configuration has.

    Raises:
        ConfigError: with the nearest valid one.
    """
    for key, value in changes.items():
        path = f"{prefix}{key}"
        if path not in known:
            near = difflib.get_close_matches(path, sorted(known), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
            raise ConfigError(f"unknown key {path!r}; {hint}")
        if isinstance(value, Mapping):
            require_known(value, known, f"{path}.")


def _nested(path: str, value: Any) -> Changes:
    *outer, last = path.split(".")
    changes: Changes = {last: value}
    for key in reversed(outer):
        changes = {key: changes}
    return changes


def _read_base(name: str) -> Changes:
    path = CONFIGS / f"{name.removesuffix('.yaml')}.yaml"
    if not path.is_file():
        raise UnknownNameError("training configuration", path.stem, [p.stem for p in CONFIGS.glob("*.yaml")])
    return to_dict(read_yaml(TrainConfig, path))
