"""Records side by side: the leaderboard as JSON values and as text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pymatgen.core import Composition

from elfzoo.benchmark.plan import is_foreign
from elfzoo.card import read_card, shipped_releases
from elfzoo.errors import ElfzooError
from elfzoo.registry import find_architecture

__all__ = [
    "COUNTS",
    "HEADLINES",
    "absent",
    "board",
    "counted",
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
    "r2_correlated": "R² correlated",
    "elf_spread": "spread of ELF",
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
    "cp_displacement": "moved, Å",
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
        learns = any("few_shot" in row for row in structures)  # of elements that it does not know
        for name in sorted(set(releases) - {record["model"] for record in own}):
            known = releases[name]
            packages = (needs or {}).get(name)
            why = f"needs {packages[0]}; not measured yet" if packages else "not measured yet"
            why = f"knows {', '.join(known)} alone" if is_foreign(known, asked) and not learns else why
            found.setdefault(task, {}).setdefault(why, []).append(name)
    return found


def place(record: Record) -> float:
    """What the records of a task are sorted by, smallest first: MAE, also that of 8 shots; else minus ρ or speed."""
    metrics = record["metrics"]
    return next((sign * metrics[name] for name, sign in RANKED_BY.items() if name in metrics), float("inf"))


def shown(name: str, value: float) -> str:
    """A metric as tables show it."""
    return f"{value:,.0f}" if name in COUNTS else f"{value:.4f}"


def tables(records: Iterable[Record], notes: Mapping[str, str] | None = None) -> list[str]:
    """A table of text for each task; ``notes`` are sentences below those of some tasks."""
    lines: list[str] = []
    records = list(records)
    found, missing = board(records), absent(records)
    for task in dict.fromkeys(record["task"] for record in found):
        rows = [record for record in found if record["task"] == task]
        columns = {name: title for name, title in HEADLINES.items() if any(name in r["metrics"] for r in rows)}
        width = max(len(row["model"]) for row in rows) + 2
        lines += ["", task, " " * width + "".join(f"{title:>{_wide(title)}}" for title in columns.values())]
        lines += [row["model"].ljust(width) + _cells(row["metrics"], columns) + _note(row) for row in rows]
        lines += [notes[task]] if notes and task in notes else []
        lines += [f"no record of {', '.join(names)}: {why}" for why, names in missing.get(task, {}).items()]
    return lines[1:]


def counted(record: Record) -> str:
    """How much was measured, in words; empty of a record without rows, and of one job."""
    rows = record.get("structures", ())
    if rows and "few_shot" in rows[0]:
        return f"{len(rows[0]['few_shot']['structures'])} structures, {len(rows)} runs"
    return f"{len(rows)} structures" if len(rows) > 1 else ""


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
