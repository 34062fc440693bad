"""How a release learned: the history of its training, and learning curves of its architecture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from elfzoo.card import HISTORY, Card, read_card, read_history, shipped_releases
from elfzoo.config import to_dict
from elfzoo.errors import ElfzooError
from elfzoo.site.charts import Line, lines
from elfzoo.site.frame import Axis, Figure
from elfzoo.site.text import DASH

__all__ = ["read_studies", "training_figures"]

Record = Mapping[str, Any]
Values = Mapping[float, Sequence[float]]  # along an axis, of every seed

STUDIES, PREFIX = "studies", "learning-curve-"
KINDS = ("main", "second", "third", "quiet", "dashed")  # of curves, in the style sheet
SEEN = "structures trained on"


def read_studies(results: Path) -> list[Record]:
    """The records of learning curves below a folder of records, as ``benchmarks/study.py`` writes them.

    Raises:
        ElfzooError: a file that is no JSON.
    """
    found = []
    for path in sorted((results / STUDIES).glob(f"{PREFIX}*.json")):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ElfzooError(f"{path} is no record of a study: {error}") from None
    return found


def training_figures(model: str, studies: Sequence[Record]) -> list[Figure]:
    """What is kept of the training of a shipped release, then the learning curves of its configuration."""
    folder = shipped_releases().get(model)
    if folder is None:
        return []
    card = read_card(folder)
    own = [study for study in studies if _is_of(study, card)]
    curves = [_learning_curve(study, axis) for study in own for axis in study["axes"] if _has_points(study, axis)]
    return [*_history(folder, card), *curves]


def _history(folder: Path, card: Card) -> list[Figure]:
    """Errors on the validation sets after every epoch."""
    path = folder / HISTORY
    if not path.is_file():
        return []
    history = read_history(path)
    names = [name for name in history if name.startswith("mae ")]
    curves = [
        Line(name.removeprefix("mae "), history["epoch"], history[name], kind)
        for name, kind in zip(names, cycle(KINDS), strict=False)
    ]
    summary = "Errors on the validation sets; the table below has the numbers."
    svg = lines("History of the training", summary, Axis("epoch", zero=True), Axis("mean |error|", log=True), curves)
    best = card.training["config"].get("select_best")
    caption = (
        "Mean |error| on points of the validation sets after every epoch. The release has the weights of "
        f"{'the epoch with the smallest mean of these errors' if best else 'the last epoch'}."
    )
    columns = ("epoch", "loss", *names, "seconds")
    told = tuple(tuple(f"{value:.4g}" for value in row) for row in zip(*(history[c] for c in columns), strict=True))
    return [Figure("history", svg, caption, columns, told)]


def _is_of(study: Record, card: Card) -> bool:
    """Whether a study varied the training of this release's configuration."""
    config = next((run["config"] for run in study["runs"] if "failed" not in run), None)
    own = {"architecture": card.architecture, "model": card.config, "target": to_dict(card.target)}
    return config is not None and all(_agree(config[key], value) for key, value in own.items() if key in config)


def _agree(one: Any, other: Any) -> bool:
    """Whether settings are the same; one that only one of them has is newer than the other, and at its default."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(_agree(one[key], other[key]) for key in one.keys() & other.keys())
    return bool(one == other)


def _learning_curve(study: Record, axis: str) -> Figure:
    """MAE on each task along one axis of a study: means over seeds, with their standard deviations."""
    about, found = study["axes"][axis], _errors(study, axis)
    curves = [
        Line(name, list(values), [fmean(v) for v in values.values()], kind, [_spread(v) for v in values.values()])
        for (name, values), kind in zip(found.items(), cycle(KINDS), strict=False)
    ]
    title = f"{study['title'][:1].upper()}{study['title'][1:]}"
    summary = "Mean absolute errors; the table below has the numbers."
    svg = lines(title, summary, Axis(about["title"], log=about["log"]), Axis("MAE of ELF", log=True), curves)
    voxels = "all voxels" if study["voxels"] is None else f"{study['voxels']:,} voxels of each structure"
    caption = (
        f"{title}: MAE over {voxels} of the {study['split']} split against {about['title']}. Means over seeds, with "
        "their standard deviations. Every run takes as many steps: less data are seen more often."
    )
    places = sorted({value for values in found.values() for value in values})
    rows = tuple((f"{x:g}", *(_cell(values.get(x, ())) for values in found.values())) for x in places)
    return Figure(f"{study['study']}-{axis}", svg, caption, (about["title"], *found), rows)


def _has_points(study: Record, axis: str) -> bool:
    return any(_errors(study, axis).values())


def _errors(study: Record, axis: str) -> dict[str, Values]:
    """MAE of every seed by value on the axis, for each task and, where it is known, on what was trained on."""
    found: dict[str, dict[float, list[float]]] = {name: {} for name in (*study["tasks"], SEEN)}
    places = {row["config_sha256"]: row["at"][axis] for row in study["rows"] if axis in row["at"]}
    for run in sorted(study["runs"], key=lambda run: places.get(run["config_sha256"], 0.0)):
        if run["config_sha256"] in places and "failed" not in run:
            errors = {**run["metrics"], **({SEEN: run["seen"]} if "seen" in run else {})}
            for name, metrics in errors.items():
                found[name].setdefault(places[run["config_sha256"]], []).append(metrics["mae"])
    return {name: values for name, values in found.items() if values}


def _spread(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample, None of a single seed."""
    return stdev(values) if len(values) > 1 else None


def _cell(values: Sequence[float]) -> str:
    if not values:
        return DASH
    spread = _spread(values)
    return f"{fmean(values):.4f}" + ("" if spread is None else f" ± {spread:.4f}")
