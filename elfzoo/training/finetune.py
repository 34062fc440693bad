"""A trained model made better on a user's own fields, without forgetting what it knew."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from elfzoo.analysis import field_metrics
from elfzoo.check import check_file
from elfzoo.config import checked_name, config_class, parse
from elfzoo.core_radii import has_radii, inside_cores
from elfzoo.datasets import uniform_indices
from elfzoo.datasets.base import hash_file
from elfzoo.datasets.files import FieldFiles, find_field_files
from elfzoo.errors import ConfigError, ElfzooError, ElfzooWarning, RecipeError
from elfzoo.field import Field, Recipe, read_field
from elfzoo.hub import load_pretrained, recommend
from elfzoo.models.base import Model
from elfzoo.models.diagonalised import Diagonalised
from elfzoo.registry import architecture_of
from elfzoo.training.config import DataConfig, Start, TrainConfig, TuneMethod
from elfzoo.training.finetune_report import Change, Group, Report
from elfzoo.training.loop import train
from elfzoo.training.points import VALIDATION_SEED, choose, draw_points, file_hashes
from elfzoo.training.replay import OldData, recipes_of
from elfzoo.transforms.harris.inputs import keeping

__all__ = ["Tuning", "finetune"]

HELD_OUT = 0.25  # of the structures, where there are three or more
FEW = 4  # structures below which all weights are too many
RATES: dict[TuneMethod, float] = {"full": 1e-3, "low_rank": 3e-3, "head": 1e-3, "calibrate": 3e-2}
PATIENCE = 10  # epochs
MEASURED = 4000  # voxels of each structure that the report is about
LOSS = 1.1  # an epoch whose error on what was known is more times the start's is chosen only if there is no other
SEED = 7_000_003
SAME = StructureMatcher(ltol=0.01, stol=0.01, angle_tol=0.5, scale=False, primitive_cell=True)
TAKEN_OVER = ("batch_size", "structures_per_batch", "huber_beta", "weight_decay", "fields")  # from the old training


@config_class
class Tuning:
    """How to fine-tune.

    Args:
        name: of the new release; ``architecture.tuned-v1`` where nothing is said.
        method: what to change of the weights, see :class:`~elfzoo.training.config.Start`; ``auto``: ``low_rank`` for
            fewer than four structures, else ``full``.
        rank: of the changes of ``low_rank``.
        replay: points of the old training data for each new one; 0 for none. Of field models, which learn whole cells,
            all old structures are replayed, or none.
        points: drawn from each new structure, uniform in ELF.
        epochs: at most.
        learning_rate: the highest; by method where nothing is said.
        spin: the channel of ELFCARs whose channels differ.
        mixed_recipes: learn from files of different engines, functionals or pseudopotentials all the same.
        seed: of the split, the points and their order.
    """

    name: str | None = None
    method: Literal["auto", "full", "low_rank", "head", "calibrate"] = "auto"
    rank: int = 4
    replay: float = 4.0
    points: int = 2000
    epochs: int = 25
    learning_rate: float | None = None
    spin: Literal["up", "down"] | None = None
    mixed_recipes: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.rank, self.points, self.epochs) < 1 or not 0 <= self.replay < math.inf:
            raise ConfigError(
                "expected rank, points and epochs of 1 or more, and replay of 0 or more; "
                f"got rank={self.rank}, points={self.points}, epochs={self.epochs}, replay={self.replay}"
            )
        if self.name is not None:
            checked_name(self.name)
        if self.seed < 0:
            raise ConfigError(f"a seed is 0 or above; got {self.seed}")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"a learning rate is positive; got {self.learning_rate}")


def finetune(
    model: str | Path | None,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    held_out: Sequence[str | Path] | None = None,
    root: str | None = None,
    resume: bool = True,
    progress: bool | None = None,
    report: bool = True,
    **tuning: Any,
) -> Report:
    """Go on training from a release, on fields of one's own.

    Three structures or more are split: a quarter is held out, decides when to stop, and tells what came of it. Copies
    of a structure stay on one side. Points of what the model was trained on before are mixed in, where those data sets
    are there, so that it does not forget them; and the weights that are kept are those of the epoch that is best on
    what was held out, of those where the error on no old validation set is above 1.1 times what it was.

    Where what is replayed was calculated by another recipe than the user's files a warning says so: the model then
    learns a mixture of both, and ``replay=0`` does without.

    Args:
        model: the release to go on from: name, folder or repository; None: by :func:`elfzoo.recommend`, for the
            elements of the fields.
        data: a folder with field files, or the files.
        out: folder of runs; the run works in ``out/<name>``, where an interrupted one goes on, and leaves there
            ``release/``, ``report.json`` and ``report.png``.
        held_out: the files to hold out, which are then not in ``data``; none are where the list is empty.
        root: folder of the data sets that the model was trained on.
        resume: go on from a checkpoint that is there.
        progress: show a bar; by default in a terminal.
        report: measure before and after; a harness that does so itself does without.
        tuning: fields of :class:`Tuning`, such as ``method="low_rank"``.

    Raises:
        ElfzooError: no usable field, no such release, one without weights, an unknown setting.
        RecipeError: the files are of different known recipes, and ``mixed_recipes`` is False.
    """
    wanted = parse(Tuning, tuning, where="finetune")
    start = None if model is None else load_pretrained(model)  # a wrong name is told before the fields are checked
    if start is not None and not any(True for _ in start.parameters()):
        raise ElfzooError(f"{model} has no weights to tune: nothing in it is trained; choose another release")
    given = find_field_files(data) if isinstance(data, str | Path) else [Path(file) for file in data]
    quantity = "elf" if start is None else start.target.given  # what is recommended predicts ELF
    learned, left_out = _sound(given, quantity, wanted.spin)
    if start is None or model is None:
        model = recommend({symbol for one in FieldFiles(learned, wanted.spin) for symbol in one.structure.symbol_set})
        start = load_pretrained(model)
    kept: list[Path] = []
    if held_out is None:
        learned, kept = _split(learned, wanted)
    elif held_out:
        kept, others = _sound([Path(file) for file in held_out], quantity, wanted.spin)
        left_out |= others
        apart = {file.resolve() for file in kept}  # a folder, and some of its files, is what one would give
        learned = [file for file in learned if file.resolve() not in apart]
        if not learned:
            raise ElfzooError(f"all {len(kept)} usable files are held out; expected others to learn from")
    recipes = _recipes([*learned, *kept], wanted)
    old = OldData.of(start.card, root)
    files: dict[Group, list[Path]] = {"learned": learned, "held out": kept}
    with keeping(Path(out) / _name(start, wanted) / "diagonalisations"):  # each is asked for several times
        config = _run_config(start, str(model), learned, kept, wanted, old)
        _warn_of_mixing(recipes, config.train[1:], root)
        release = train(config, out, root=root, resume=resume, progress=progress)
        changes = _changes(start, load_pretrained(release), files, wanted, old) if report else []
    name = start.card.name if start.card is not None else str(model)
    found = Report(release, name, _method(wanted, learned), tuple(changes), left_out)
    if report:
        found.save(Path(out) / config.name)
    return found


def _sound(
    files: Sequence[Path], quantity: str, spin: Literal["up", "down"] | None
) -> tuple[list[Path], dict[str, str]]:
    """The files that may be learned from, and why the others may not.

    Raises:
        ElfzooError: none is left.
    """
    good, bad = [], {}
    for file in files:
        if why := _unfit(file, quantity, spin):
            bad[str(file)] = why
            warnings.warn(f"{file} is left out: {why}", ElfzooWarning, stacklevel=3)
        else:
            good.append(file)
    if files and not good:
        raise ElfzooError(f"none of {len(bad)} files is usable: {next(iter(bad.values()))}")
    return good, bad


def _unfit(file: Path, quantity: str, spin: Literal["up", "down"] | None) -> str:
    """What the linter finds wrong, or that the field is no reference of what is learned; empty where nothing is."""
    errors = [finding for finding in check_file(file) if finding.level == "error" and finding.code != "spin"]
    if errors:
        return str(errors[0])
    try:
        field = read_field(file, spin)
    except ElfzooError:  # channels that differ, of which none is chosen: said where the data are read
        return ""
    if field.quantity != quantity:
        return f"it holds the quantity {field.quantity!r}; expected {quantity!r}"
    if field.is_prediction:
        return f"it was predicted by {field.meta['predicted_by']}, and is no reference"
    return ""


def _recipes(files: Sequence[Path], wanted: Tuning) -> set[Recipe]:
    """The known recipes of the user's files, which is one unless mixing them is wanted."""
    first: dict[Recipe, Path] = {}
    for file in files:
        if (recipe := read_field(file, wanted.spin).recipe) is not None:
            first.setdefault(recipe, file)
    if len(first) > 1 and not wanted.mixed_recipes:
        (one, here), (other, there), *_ = first.items()
        raise RecipeError(
            f"files of different recipes: {here} is of {one}, {there} of {other}; a model of both is one of neither. "
            "Say so explicitly (mixed_recipes=True) to learn from them all the same"
        )
    return set(first)


def _warn_of_mixing(recipes: set[Recipe], replayed: Sequence[DataConfig], root: str | None) -> None:
    """Say once that what is replayed was calculated in another way than the user's files."""
    known = {recipe for part in replayed for recipe in recipes_of(choose(part, root)[1])} if recipes else set()
    if known and not recipes <= known:
        new, others = (" and ".join(sorted(map(str, some))) for some in (recipes, known))
        warnings.warn(
            f"the new fields are of {new}; what is replayed against forgetting is of {others}, so the model learns a "
            "mixture of recipes. Without replay (--replay 0, replay=0) it learns the new one alone",
            ElfzooWarning,
            stacklevel=3,
        )


def _split(files: Sequence[Path], wanted: Tuning) -> tuple[list[Path], list[Path]]:
    """Files to learn from and files to hold out; copies of one structure on one side."""
    groups: list[tuple[Structure, list[Path]]] = []
    for file, sample in zip(files, FieldFiles(files, wanted.spin), strict=True):
        same = next((own for other, own in groups if SAME.fit(other, sample.structure)), None)
        if same is None:
            groups.append((sample.structure, [file]))
        else:
            same.append(file)
    if len(groups) < 3:
        return list(files), []
    order = np.random.default_rng(wanted.seed).permutation(len(groups))
    count = max(1, round(HELD_OUT * len(groups)))
    kept = {file for i in order[:count] for file in groups[i][1]}
    return [file for file in files if file not in kept], [file for file in files if file in kept]


def _method(wanted: Tuning, learned: Sequence[Path]) -> TuneMethod:
    if wanted.method != "auto":
        return wanted.method
    return "full" if len(learned) >= FEW else "low_rank"


def _run_config(
    start: Model, release: str, learned: Sequence[Path], kept: Sequence[Path], wanted: Tuning, old: OldData
) -> TrainConfig:
    """The training run that this is."""
    method = _method(wanted, learned)
    replayed = old.replayed(wanted.replay * wanted.points * len(learned), {hash_file(file) for file in kept})
    parts = (_new("train", learned, wanted, old), *replayed)
    watched = old.watched({sha256 for part in parts for sha256 in file_hashes(part).values()}) if kept else []
    facts = {} if old.config is None else {key: getattr(old.config, key) for key in TAKEN_OVER}
    return TrainConfig(
        name=_name(start, wanted),
        architecture=architecture_of(start),
        train=parts,
        validate=(_new("val", kept or learned, wanted, old), *watched),
        validate_on_train=not kept,
        epochs=wanted.epochs,
        learning_rate=wanted.learning_rate or RATES[method],
        schedule="cosine",
        select_best=bool(kept),
        patience=PATIENCE if kept else None,
        seed=wanted.seed,
        start=Start(release, method, wanted.rank, _limits(start, watched, old.root)),
        **facts,
    )


def _name(start: Model, wanted: Tuning) -> str:
    """Of the run."""
    return wanted.name or f"{architecture_of(start)}.tuned-v1"


def _new(split: Literal["train", "val"], files: Sequence[Path], wanted: Tuning, old: OldData) -> DataConfig:
    """The user's files, under a name that no data of earlier trainings has."""
    name = next(name for name in chain(["new"], map("new{}".format, count(2))) if name not in old.names)
    paths = tuple(str(path.resolve()) for path in files)
    sampling: Literal["stratified", "uniform"] = "stratified" if split == "train" else "uniform"
    return DataConfig(name, split, wanted.points, sampling, files=paths, spin=wanted.spin)


def _limits(start: Model, watched: Sequence[DataConfig], root: str | None) -> dict[str, float]:
    """The largest errors on old data that an epoch to be chosen may have."""
    limits = {}
    for part in watched:
        sets, _ = draw_points(part, VALIDATION_SEED, root, start.target)
        errors = [np.abs(_values(start, s.structure, s.points) - s.y).mean() for s in sets]
        limits[f"{part.dataset}/{part.split}"] = round(LOSS * float(np.mean(errors)), 6)
    return limits


def _values(model: Model, structure: Structure, points: np.ndarray) -> np.ndarray:
    """What is predicted at points (Cartesian, Å)."""
    if isinstance(model, Diagonalised):
        return model.kept_values(structure, points)
    return model.target.values(model.evaluator(structure)(points))


def _changes(before: Model, after: Model, files: dict[Group, list[Path]], wanted: Tuning, old: OldData) -> list[Change]:
    fields = [(group, s.field) for group, paths in files.items() if paths for s in FieldFiles(paths, wanted.spin)]
    own = [field.structure for _, field in fields]
    for found in old.reported():
        fields += [("old", s.field) for s in found if not any(SAME.fit(s.structure, other) for other in own)]
    return [_change(before, after, field, group) for group, field in fields]


def _change(before: Model, after: Model, field: Field, group: Group) -> Change:
    flat = uniform_indices(field.values, MEASURED, np.random.default_rng(SEED))
    points, truth = field.grid.frac_coords(flat), field.values.ravel()[flat]
    outside = ~inside_cores(field.structure, points) if has_radii(field.structure) else np.ones(len(flat), bool)
    outside |= not outside.any()  # nothing is left of a cell of cores alone
    found = []
    for model in (before, after):
        guess = _values(model, field.structure, field.grid.positions(flat))
        found.append((field_metrics(truth, guess).mae, field_metrics(truth[outside], guess[outside]).mae))
    (whole_before, outside_before), (whole_after, outside_after) = found
    formula = field.structure.composition.reduced_formula
    return Change(str(field.meta["file"]), formula, group, whole_before, whole_after, outside_before, outside_after)
