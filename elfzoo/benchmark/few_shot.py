"""The rows of a task of few shots: for each number of shots and each seed, one for what the entrant made of them, one
for its architecture trained on them alone, and one for their mean. A run that was stopped goes on.

A release is fine-tuned (:func:`elfzoo.training.finetune.finetune`). Of a stranger's ``FILE.py:factory`` the factory is
called with the shown (structure, field) pairs.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from elfzoo.analysis import compare_topology, field_metrics
from elfzoo.benchmark.entrant import Entrant, load_entrant
from elfzoo.benchmark.few_shot_kept import diagonalise, spread_over
from elfzoo.benchmark.few_shot_task import FewShotTask, shots_of
from elfzoo.benchmark.measure import json_values, of_reference
from elfzoo.benchmark.plan import Benchmark
from elfzoo.benchmark.pool import each
from elfzoo.benchmark.record import begin, write_json
from elfzoo.benchmark.spent import Meter
from elfzoo.benchmark.task import require_pinned
from elfzoo.config import parse, to_dict
from elfzoo.core_radii import inside_cores
from elfzoo.datasets import FieldDataset, dataset_class, uniform_indices
from elfzoo.errors import ElfzooError, ElfzooWarning
from elfzoo.field import Field
from elfzoo.hub import load_pretrained
from elfzoo.models.base import Model
from elfzoo.models.diagonalised import Diagonalised
from elfzoo.progress import progress_bar
from elfzoo.training.config import DataConfig, TrainConfig
from elfzoo.training.finetune import finetune
from elfzoo.training.loop import train
from elfzoo.transforms.harris.inputs import keeping

__all__ = ["few_shot_rows"]

POINTS_SEED = 11_000_003
# values at some voxels of a field, or at all of them
Predict = Callable[[Field, Int[np.ndarray, " voxels"] | None], Float[np.ndarray, "..."]]
Row = dict[str, Any]
Run = tuple[str, int, int]  # kind, number of shots, seed


def few_shot_rows(benchmark: Benchmark, task: FewShotTask, workers: int, progress: bool | None) -> list[Row]:
    """Measure what is not measured yet, and return all rows.

    Raises:
        ElfzooError: prediction files, which cannot learn; data other than the task's; a split that it does not have.
    """
    if benchmark.predictions is not None:
        raise ElfzooError(
            f"{benchmark.spec} is known by its prediction files alone, which learn nothing from what they are shown: "
            f"{benchmark.name} needs a release, a folder or FILE.py:factory"
        )
    require_pinned(task, benchmark.split, dataset_class(task.dataset)(root=benchmark.root, split=benchmark.split))
    runs = list(_runs(task, benchmark.entrant))
    _prepare(benchmark, task)
    left = [run for run in runs if not _row_path(benchmark, *run).is_file()]
    with keeping(benchmark.place / "diagonalisations"):
        diagonalise(benchmark, task, {run[1:] for run in left if run[0] != "mean"}, workers, progress)
        with progress_bar(f"{benchmark.entrant.name} on {benchmark.name}", len(runs), progress) as advance:
            advance(len(runs) - len(left))
            for _ in each(partial(_measure, benchmark, task), left, workers):
                advance(1)
    return [json.loads(_row_path(benchmark, *run).read_text()) for run in runs]


def _row_path(benchmark: Benchmark, kind: str, shots: int, seed: int) -> Path:
    return benchmark.row_path(f"{kind}-{shots}-{seed}")


def _measure(benchmark: Benchmark, task: FewShotTask, run: Run) -> None:
    """One run, and its row."""
    asked = dataset_class(task.dataset)(root=benchmark.root, split=benchmark.split)
    try:
        row = _run(benchmark, task, asked, *run)
    except ElfzooError as error:
        kind, shots, seed = run
        raise ElfzooError(f"{benchmark.entrant.name}, {kind}, {shots} shots, seed {seed}: {error}") from error
    write_json(_row_path(benchmark, *run), json_values(row))


def _runs(task: FewShotTask, entrant: Entrant) -> Iterator[Run]:
    """The quick ones first."""
    if not entrant.learns:  # of what is given nothing
        yield "tuned", 0, 0
    kinds = ("mean", "tuned", "scratch") if entrant.is_release else ("mean", "tuned")
    for kind in kinds:
        for shots in task.shots:
            for seed in task.seeds:
                yield kind, shots, seed


def _run(benchmark: Benchmark, task: FewShotTask, asked: FieldDataset, kind: str, shots: int, seed: int) -> Row:
    shown = shots_of(dataset_class(task.dataset)(root=benchmark.root, split="train"), shots, seed)
    meter, began = Meter(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ElfzooWarning)  # that elements are unknown is the point
        predict = MAKERS[kind](benchmark, task, shown, seed)
        learned = time.perf_counter()
        elements = {site.specie.symbol for sample in shown for site in sample.structure}
        digest = hashlib.sha256()
        structures = [_measured(predict, sample.field, task, elements, digest) for sample in asked]
        remembered = _remembered(benchmark, predict, task)
    return {
        "file": f"{kind}, {shots} shots, seed {seed}",
        "formula": "".join(sorted({site.specie.symbol for sample in asked for site in sample.structure})),
        "group": None,
        "predicted_grid": [task.points * len(asked), 1, 1],
        "prediction_sha256": digest.hexdigest(),
        "few_shot": {
            "kind": kind,
            "shots": shots,
            "seed": seed,
            "shown": [Path(file).stem for file in shown.raw_file_names],
            "structures": structures,
            "remembered": remembered,
            "learning_seconds": learned - began,
        },
        "seconds": time.perf_counter() - began,
        "measuring_seconds": 0.0,
        **meter.read(),
    }


def _remembered(benchmark: Benchmark, predict: Predict, task: FewShotTask) -> dict[str, float | None]:
    """Errors on what was known before; None of data that the entrant does not take or know the elements of."""
    model = benchmark.entrant.model
    known = None if model is None or model.card is None else set(model.card.elements)
    unsearched, found = replace(task, searched="no file ends like this"), {}
    for name in task.remembered:
        old = dataset_class(name)(root=benchmark.root, split="val")
        fields = [old[i].field for i in spread_over(old)]  # a file that cannot be read is an error
        if known is not None:
            fields = [field for field in fields if {site.specie.symbol for site in field.structure} <= known]
        try:
            errors = [_measured(predict, field, unsearched, set(), hashlib.sha256())["mae"] for field in fields]
        except ElfzooError:  # such as cells that are too large for it
            errors = []
        found[name] = float(np.mean(errors)) if errors else None
    return found


def _measured(predict: Predict, field: Field, task: FewShotTask, elements: set[str], digest: hashlib._Hash) -> Row:
    """Errors of one structure at random voxels; of some, networking value, critical points and links of the whole
    field. ``digest`` takes what was predicted, float32, little-endian.
    """
    name = str(field.meta["file"]).rsplit("/", 1)[-1].removesuffix(".npz")
    flat = uniform_indices(field.values, task.points, np.random.default_rng(POINTS_SEED))
    truth, found = field.values.ravel()[flat], predict(field, flat)
    digest.update(np.asarray(found, "<f4").tobytes())
    outside, errors = ~inside_cores(field.structure, field.grid.frac_coords(flat)), field_metrics(truth, found)
    row: Row = {
        "file": name,
        "known": {site.specie.symbol for site in field.structure} <= elements,
        **{key: getattr(errors, key) for key in ("mae", "rmse", "r2", "r2_correlated")},
        "mae_outside_cores": field_metrics(truth[outside], found[outside]).mae,
    }
    if name.endswith(task.searched):
        both = compare_topology(field, field.replace(values=predict(field, None))).to_dict()
        row |= {"phi": both["reference"]["phi_3d"], "phi_error": both["delta"]["phi_3d"]}
        row |= {"points": both["points"]["all"], "links": both["jaccard_at_phi"]}
    return row


def _tuned(benchmark: Benchmark, task: FewShotTask, shown: FieldDataset, seed: int) -> Predict:
    """What the entrant makes of the shown structures."""
    if not benchmark.entrant.is_release:
        return _of_entrant(load_entrant(benchmark.spec, list(shown)) if len(shown) else benchmark.entrant)
    if not len(shown):
        return _of_model(benchmark.entrant.model)
    files = [shown.raw_dir / file for file in shown.raw_file_names]
    name = f"{benchmark.entrant.name}-{len(shown)}-{seed}"
    options = {"held_out": [], "name": name, "seed": seed, "root": benchmark.root, "progress": False, "report": False}
    report = finetune(benchmark.spec, files, benchmark.place / "tuned", **{**options, **task.tuning})
    return _of_model(load_pretrained(report.release))


def _scratch(benchmark: Benchmark, task: FewShotTask, shown: FieldDataset, seed: int) -> Predict:
    """The entrant's architecture, trained on the shown structures alone."""
    model = benchmark.entrant.model
    assert model is not None and model.card is not None
    files = tuple(str(shown.raw_dir / file) for file in shown.raw_file_names)
    before = parse(TrainConfig, model.card.training["config"])
    points = int(task.tuning.get("points", 4000))
    config = replace(
        before,
        name=f"scratch-{len(shown)}-{seed}",
        model=to_dict(model.config),  # a run that started from another release does not state it
        train=(DataConfig("shown", "train", points, files=files),),
        validate=(DataConfig("shown", "val", 50, "uniform", files=files[:1]),),  # nothing is chosen by it
        validate_on_train=True,
        epochs=task.scratch_epochs,
        batch_size=min(before.batch_size, 2048),
        select_best=False,
        patience=None,
        seed=seed,
        start=None,
    )
    return _of_model(load_pretrained(train(config, benchmark.place / "scratch", progress=False)))


def _mean(benchmark: Benchmark, task: FewShotTask, shown: FieldDataset, seed: int) -> Predict:
    """The mean of the shown fields, everywhere."""
    mean = float(np.mean([sample.field.values.mean() for sample in shown]))
    return lambda field, flat: np.full(field.grid.shape if flat is None else len(flat), mean, dtype=np.float32)


MAKERS: Mapping[str, Callable[[Benchmark, FewShotTask, FieldDataset, int], Predict]] = {
    "tuned": _tuned,
    "scratch": _scratch,
    "mean": _mean,
}


def _of_model(model: Model | None) -> Predict:
    assert model is not None

    def predict(field: Field, flat: np.ndarray | None) -> np.ndarray:
        if isinstance(model, Diagonalised):  # all of its offspring share the diagonalisation of a structure
            places = np.arange(math.prod(field.grid.shape)) if flat is None else flat
            values = model.kept_values(field.structure, field.grid.positions(places))
            return values.reshape(field.grid.shape) if flat is None else values
        if flat is None:
            return model.predict(field.structure, grid=field.grid, symmetry=True, progress=False).values
        return model.predict(field.structure, points=field.grid.frac_coords(flat), progress=False)

    return predict


def _of_entrant(entrant: Entrant) -> Predict:
    def predict(field: Field, flat: np.ndarray | None) -> np.ndarray:
        found = entrant.predict(Path(str(field.meta["file"])).stem, field.structure, field.grid)
        values = of_reference(field, found).values
        return values if flat is None else values.ravel()[flat]

    return predict


def _prepare(benchmark: Benchmark, task: FewShotTask) -> None:
    """Forget the rows of other weights, data, tasks or versions."""
    splits = {task.dataset: (benchmark.split, "train"), **dict.fromkeys(task.remembered, ("val",))}
    data = {
        f"{name}/{split}": dataset_class(name)(root=benchmark.root, split=split).data_hash
        for name, own in splits.items()
        for split in own
    }
    identity = {"entrant": dict(benchmark.entrant.facts), "data_sha256": data, "task": to_dict(task)}
    begin(benchmark.place, identity | {"split": benchmark.split}, ("rows", "tuned", "scratch"))
