"""Records side by side: the leaderboard as JSON values and as text, and two entrants compared in pairs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from pymatgen.core import Composition

from elfzoo.analysis import paired_bootstrap
from elfzoo.benchmark.plan import is_foreign
from elfzoo.card import read_card, shipped_releases
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.registry import find_architecture

__all__ = [
    "COUNTS",
    "HEADLINES",
    "absent",
    "board",
    "comparison",
    "is_hybrid",
    "place",
    "require_same_data",
    "shown",
    "tables",
]

Record = Mapping[str, Any]

# metric -> column of the short tables
HEADLINES = {
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "mae_outside_cores": "MAE outside cores",
    "mae_outside_cores_0": "MAE, no shots",
    "mae_outside_cores_1": "1 shot",
    "mae_outside_cores_4": "4",
    "mae_outside_cores_8": "8",
    "mae_outside_cores_16": "16",
    "mae_outside_cores_known_8": "8, known elements",
    "mae_outside_cores_unknown_8": "8, others",
    "mae_outside_cores_scratch_8": "8 alone",
    "mae_outside_cores_mean_8": "their mean",
    "phi_mae_8": "φ MAE, 8",
    "forgetting_fluid-h_8": "fluid forgotten",
    "phi_mae": "φ MAE",
    "phi_spread": "spread of φ",
    "phi_r2": "φ R²",
    "cp_recall": "points found",
    "cp_precision": "points real",
    "network_jaccard": "links shared",
    "spearman": "Spearman ρ",
    "kendall": "Kendall τ",
    "top_5": "top 5 shared",
    "top_10": "top 10 shared",
    "strength_mae": "MAE of strength",
    "strength_spread": "spread of strength",
    "site_recall": "sites found",
    "site_precision": "sites real",
    "voxels_per_second": "voxels/s",
    "seconds_500h_192": "seconds",
    "seconds_500h_192_spline": "by a spline",
    "ratio_to_dense_baseline": "× dense peer",
    "peak_rss_gib": "GiB",
    "doubled_cell_ratio": "cell doubled",
    "share_timed": "share timed",
    "gflop_per_second": "GFLOP/s",
    "share_of_roof": "of the roof",
}
COUNTS = ("voxels_per_second",)  # shown without decimals
NARROWEST = 7  # characters, of -0.0117
# the first that a record has; -1: the largest is best
RANKED_BY = {"mae": 1, "mae_outside_cores_8": 1, "spearman": -1, "voxels_per_second": -1}
PAIRED: Mapping[
    str, tuple[str, Callable[[Any], float]]
] = {  # part of a structure's row -> what is compared, and the error of the structure
    "voxels": ("MAE", lambda part: part["mae"]),
    "templates": ("MAE of strength", lambda part: abs(part["prediction"]["strength"] - part["reference"]["strength"])),
}
KEPT = (
    *("model", "task", "split", "metrics", "groups", "cost", "entrant", "unknown_elements"),
    *("data_sha256", "weights_sha256", "date", "elfzoo", "torch", "hardware"),
)


def board(records: Iterable[Record]) -> list[dict[str, Any]]:
    """All records without their structures, the best first within each task.

    Raises:
        ElfzooError: records of one task that are of different data.
    """
    records = list(records)
    require_same_data(records)
    kept = [{key: record[key] for key in KEPT if key in record} for record in records]
    order = list(dict.fromkeys(record["task"] for record in kept))
    return sorted(kept, key=lambda record: (order.index(record["task"]), place(record)))


def require_same_data(records: Iterable[Record]) -> None:
    """Records are compared with those of the same structures alone.

    Raises:
        ElfzooError: records of one task that are of different data.
    """
    first: dict[str, Record] = {}
    for record in records:
        other = first.setdefault(record["task"], record)
        if other["data_sha256"] != record["data_sha256"]:
            raise ElfzooError(
                f"the records of {other['model']} and {record['model']} on {record['task']} are of different data "
                f"({other['data_sha256'][:12]}… and {record['data_sha256'][:12]}…): measure the older one again with "
                "elfzoo benchmark"
            )


def absent(
    records: Iterable[Record],
    releases: Mapping[str, Collection[str]] | None = None,
    needs: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, dict[str, list[str]]]:
    """Releases that a task with records has none of: for each task the reasons, with the releases.

    That a release was not trained on some element of every structure is a reason.

    Args:
        records: of any tasks, with their structures.
        releases: name and elements of each release; those that ship by default.
        needs: the packages that a release requires, where it does; by default those of the releases that ship.
    """
    if releases is None:
        cards = {name: read_card(folder) for name, folder in shipped_releases().items()}
        releases = {name: card.elements for name, card in cards.items()}
        needs = {name: find_architecture(card.architecture).requires for name, card in cards.items()}
    found: dict[str, dict[str, list[str]]] = {}
    by_task: dict[str, list[Record]] = {}
    for record in records:
        by_task.setdefault(record["task"], []).append(record)
    for task, own in by_task.items():
        structures = own[0].get("structures", ())
        asked = [{e.symbol for e in Composition(row["formula"])} for row in structures if "formula" in row]
        for name in sorted(set(releases) - {record["model"] for record in own}):
            known = releases[name]
            packages = (needs or {}).get(name)
            why = f"needs {packages[0]}; not measured yet" if packages else "not measured yet"
            why = f"knows {', '.join(known)} alone" if is_foreign(known, asked) else why
            found.setdefault(task, {}).setdefault(why, []).append(name)
    return found


def place(record: Record) -> float:
    """What the records of a task are sorted by, smallest first: MAE, also that of 8 shots; else minus ρ or speed."""
    metrics = record["metrics"]
    return next((sign * metrics[name] for name, sign in RANKED_BY.items() if name in metrics), float("inf"))


def shown(name: str, value: float) -> str:
    """A metric as tables show it."""
    return f"{value:,.0f}" if name in COUNTS else f"{value:.4f}"


def tables(records: Iterable[Record]) -> list[str]:
    """A table of text for each task."""
    lines: list[str] = []
    records = list(records)
    found, missing = board(records), absent(records)
    for task in dict.fromkeys(record["task"] for record in found):
        rows = [record for record in found if record["task"] == task]
        columns = {name: title for name, title in HEADLINES.items() if any(name in r["metrics"] for r in rows)}
        width = max(len(row["model"]) for row in rows) + 2
        lines += ["", task, " " * width + "".join(f"{title:>{_wide(title)}}" for title in columns.values())]
        lines += [row["model"].ljust(width) + _cells(row["metrics"], columns) + _note(row) for row in rows]
        lines += [f"no record of {', '.join(names)}: {why}" for why, names in missing.get(task, {}).items()]
    return lines[1:]


def comparison(records: Iterable[Record], first: str, second: str) -> list[str]:
    """Ratio of the errors of two entrants with its 95 % interval, a line for each task that both have a record of.

    Tasks without an error of each structure, such as speed, are left out.

    Raises:
        UnknownNameError: an entrant without records.
        ElfzooError: no task is left, or their records are of different data.
    """
    found = list(records)
    for name in (first, second):
        if name not in (known := {record["model"] for record in found}):
            raise UnknownNameError("entrant with records", name, known)
    lines = []
    for task in dict.fromkeys(record["task"] for record in found):
        both = [r for name in (first, second) for r in found if (r["task"], r["model"]) == (task, name)]
        part = next(
            (part for part in PAIRED if all(part in row for r in both for row in r.get("structures", ({},)))), None
        )
        if len(both) == 2 and part is not None:
            lines.append(_pair(task, both, part))
    if not lines:
        raise ElfzooError(f"no task has records of both {first} and {second} with the errors of each structure")
    return lines


def _pair(task: str, both: Sequence[Record], part: str) -> str:
    require_same_data(both)
    title, error = PAIRED[part]
    a, b = ([error(row[part]) for row in record["structures"]] for record in both)
    ratio = paired_bootstrap(a, b).ratio
    means = f"{title} {sum(a) / len(a):.4f} against {sum(b) / len(b):.4f}"
    return f"{task}: {means}, ratio {ratio.estimate:.3f} ({ratio.low:.3f} to {ratio.high:.3f}), {len(a)} structures"


def is_hybrid(record: Record) -> bool:
    """Whether an entrant diagonalises: a class apart from those that see the geometry alone."""
    return record.get("entrant", {}).get("sees", "geometry") != "geometry"


def _note(row: Record) -> str:
    """A class of its own, and elements that the entrant never saw."""
    unknown = row.get("unknown_elements")
    return ("   one diagonalisation" if is_hybrid(row) else "") + (
        f"   never saw {', '.join(unknown)}" if unknown else ""
    )


def _cells(metrics: Mapping[str, float], columns: Mapping[str, str]) -> str:
    texts = [shown(name, metrics[name]) if name in metrics else "-" for name in columns]
    return "".join(f"{text:>{_wide(title)}}" for text, title in zip(texts, columns.values(), strict=True))


def _wide(title: str) -> int:
    """Characters of a column: room for its title and for any figure."""
    return max(len(title), NARROWEST) + 3
