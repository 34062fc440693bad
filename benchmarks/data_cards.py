"""Write the card of every data set, ``benchmarks/data/SET/README.md``, from its files; nobody types a number.

    python benchmarks/data_cards.py [SET ...] [--check]

Numbers come from the structures and their records (``meta``), from ``SET/failed/*.json`` where a run's failures were
kept, and from the records in ``benchmarks/results/reference``. What the files do not say is "not recorded", what no
record says "not measured yet". With --check nothing is written, and the exit status is 1 if a card is stale.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from card_tables import convergence, dynamics, kind_of, spread, table, two_engines
from pymatgen.core import Element, Structure

import elfzoo
from elfzoo.config import to_dict
from elfzoo.datasets import DATASETS, FieldDataset, FluidHydrogen
from elfzoo.datasets.base import SPLITS
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.io.files import write_bytes
from elfzoo.reference.engines.base import decisive
from elfzoo.reference.recipe import ReferenceRecipe, find_recipe, recipe_names

DATA = Path(__file__).parent / "data"
RESULTS = Path(__file__).parent / "results" / "reference"
NOT_RECORDED = "not recorded"
SETTINGS = {
    "engine": "engine",
    "functional": "functional",
    "pseudopotentials": "pseudopotential",
    "plane-wave cutoff, eV": "cutoff_eV",
    "k-point spacing, rad/Å (2π included)": "k_spacing",
    "k-mesh shifted": "k_shift",
    "smearing": "smearing",
    "smearing width, eV": "smearing_width_eV",
    "SCF tolerance, eV per atom": "scf_tolerance_eV_atom",
    "spin": "spin",
    "temperature of the ions, K": "temperature_K",
    "SHA-256 of the recipe": "recipe_hash",
}
ORIGIN = ("prototype", "source")
TARGETS = ("target_pressure_GPa", "pressure_target")
CHANGES = ("volume_ratio", "strain", "rattle_A")  # of a cell, after which it is no longer at its target pressure
LAYOUTS = {"rotations": "asymmetric unit", "coding": "whole grid, as residuals of a prediction"}
LIMITS = {
    "fluid-h": (
        "Ions move classically: no zero-point motion. Snapshots of one trajectory are not independent: test across "
        "trajectories. Waves longer than the cell are missing from small cells."
    ),
    "cavity-h": (
        "Not a state of matter: molecules are taken out and nothing moves into the hole. For training alone, to show a "
        "model points far from every atom; there is no test split. Ions are at rest."
    ),
    "packing-h": (
        "Not a state of matter: atoms at random places, under forces that would move them at once. For training alone, "
        "to show a model distances and numbers of neighbours that no dense fluid has; there is no test split."
    ),
    "crystal-h": (
        "Random crystals, not phases of hydrogen: most are unstable. Relaxations that ended early leave forces, which "
        "are stated. Electrons have the smearing stated, ions are at rest."
    ),
    "hydrides": (
        "Near the nuclei of other elements than hydrogen an ELF of soft densities shows the pseudopotential: report "
        "errors outside core radii too, and never mix engines. Ions are at rest; superconductors are computed as "
        "normal metals without spin polarisation or spin-orbit coupling."
    ),
    "prototypes": (
        "Not found in nature: structure types filled with elements at random, at random volumes, not relaxed. For "
        "training alone, to show a model an element in many surroundings; there is no test split. The plane-wave "
        "cutoff is lower than that of hydrides and metals (0.001 to 0.003 in ELF on three of them). No spin "
        "polarisation."
    ),
    "metals": (
        "Near the nuclei an ELF of soft densities shows the pseudopotential: report errors outside core radii too, and "
        "never mix engines. No spin polarisation, even where the metal is magnetic, and no spin-orbit coupling."
    ),
}


@dataclass(frozen=True)
class Entry:
    """One stored field, without its values."""

    file: str
    split: str
    size: int
    layout: str
    structure: Structure
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    meta: Mapping[str, Any]


def read_entries(dataset: type[FieldDataset], folder: Path) -> list[Entry]:
    """All fields of a folder, by name.

    Raises:
        ElfzooError: there are none.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise ElfzooError(f"no .npz files in {folder}; expected those of {dataset.name}")
    return [_entry(dataset, path) for path in paths]


def _entry(dataset: type[FieldDataset], path: Path) -> Entry:
    field = elfzoo.read_field(path)
    try:
        split = dataset.split_of(path.name)
    except ElfzooError:  # a card is written before the splits know the files, too
        split = "no split"
    with zipfile.ZipFile(path) as archive:
        members = {Path(name).stem for name in archive.namelist()}
    layout = next((title for key, title in LAYOUTS.items() if key in members), "whole grid")
    shape, spacing, size = field.grid.shape, field.grid.spacing, path.stat().st_size
    return Entry(path.name, split, size, layout, field.structure, shape, spacing, field.meta)


def card(dataset: type[FieldDataset], data: Path = DATA, results: Path = RESULTS) -> str:
    """The text of a data set's card."""
    entries = read_entries(dataset, data / dataset.name)
    recipe = current_recipe(dataset.name, entries)
    sections = {
        "Contents": contents(dataset, entries),
        "Compositions": compositions(entries),
        "Where the structures come from": origins(entries),
        "How the labels were made": settings(entries) + recipe_table(recipe),
        "Pressure": pressures(entries, recipe),
        "Relaxation and forces": forces(entries),
        "Dynamics": dynamics(results / "fluid-dynamics.json") if dataset is FluidHydrogen else [],
        "Computing time": hours(entries),
        "Failures": failures(data / dataset.name / "failed"),
        "Make it again": command(dataset.name, recipe),
        "Convergence": convergence(
            results / f"convergence-{dataset.name}.json", {entry.meta.get("recipe_hash") for entry in entries}
        ),
        "Two engines": two_engines(results / "two-engines.json", dataset.name),
        "Limits": [LIMITS.get(dataset.name, NOT_RECORDED)],
        "Licence": ["That of the repository: [MIT](../../../LICENSE)."],
    }
    title = recipe.title if recipe else f"ELF fields of {', '.join(_ordered(set().union(*map(_symbols, entries))))}"
    text = [f"# {dataset.name}", "", title[0].upper() + title[1:] + ".", ""]
    for heading, lines in sections.items():
        text += [f"## {heading}", "", *lines, ""] if lines else []
    notice = "<!-- written by benchmarks/data_cards.py from the data; do not edit -->"
    return "\n".join([notice, *text]).rstrip() + "\n"


def current_recipe(name: str, entries: Sequence[Entry]) -> ReferenceRecipe | None:
    """The recipe of this name, if it made these files."""
    recipe = find_recipe(name) if name in recipe_names() else None
    made = recipe is not None and {entry.meta.get("recipe_hash") for entry in entries} == {recipe.hash}
    return recipe if made else None


def contents(dataset: type[FieldDataset], entries: Sequence[Entry]) -> list[str]:
    """Counts, sizes and grids of every split, and the numbers of atoms."""
    splits = _splits(entries)
    rows = [[name, *_summary(part)] for name, part in splits.items()] + [["all", *_summary(entries)]]
    head = ["split", "fields", "groups", "atoms per cell", "grid points", "grid spacing, Å", "MB"]
    atoms = {
        n: [sum(len(e.structure) == n for e in part) for part in splits.values()]
        for n in sorted({len(e.structure) for e in entries})
    }
    layouts = Counter(entry.layout for entry in entries)
    rule = " ".join((inspect.getdoc(dataset.split_of) or NOT_RECORDED).replace("``", "`").split())
    return [
        *table(head, rows),
        "",
        f"{_divided(splits)} How files are assigned: {rule}",
        "",
        "Stored as " + ", ".join(f"{title} ({count})" for title, count in sorted(layouts.items())) + "; "
        "every file holds its structure and its record.",
        "",
        *table(["atoms per cell", *splits], [[n, *counts] for n, counts in atoms.items()]),
    ]


def _summary(part: Sequence[Entry]) -> list[str]:
    groups = {entry.meta.get("group") for entry in part}
    return [
        str(len(part)),
        NOT_RECORDED if None in groups else str(len(groups)),
        spread([len(entry.structure) for entry in part]),
        spread([int(np.prod(entry.shape)) for entry in part]),
        spread([round(d, 4) for entry in part for d in entry.spacing]),
        f"{sum(entry.size for entry in part) / 1e6:.2f}",
    ]


def _divided(splits: Mapping[str, Sequence[Entry]]) -> str:
    """Whether any group (trajectory, crystal, composition, chemical system) is on two sides of the split."""
    sides = Counter(group for part in splits.values() for group in {entry.meta.get("group") for entry in part})
    if None in sides:
        return f"Groups (trajectory, crystal, composition, chemical system) are {NOT_RECORDED}."
    divided = sorted(group for group, count in sides.items() if count > 1)
    return f"Groups in more than one split: {', '.join(divided) or 'none'}."


def compositions(entries: Sequence[Entry]) -> list[str]:
    """Elements with their numbers of fields, and the compositions on each side of the split."""
    found = Counter(symbol for entry in entries for symbol in _symbols(entry))
    lines = [f"Elements: {', '.join(f'{symbol} ({found[symbol]})' for symbol in _ordered(found))}.", ""]
    for name, part in _splits(entries).items():
        formulas = Counter(_formula(entry) for entry in part)
        lines.append(f"- {name}: " + ", ".join(f"{formula} ({n})" for formula, n in sorted(formulas.items())))
    return lines


def origins(entries: Sequence[Entry]) -> list[str]:
    """Structure types and the work that they are taken from, where the records name it."""
    rows = {(_formula(e), *(e.meta[key] for key in ORIGIN)) for e in entries if all(key in e.meta for key in ORIGIN)}
    return table(["composition", "structure type", "after"], sorted(rows)) if rows else []


def settings(entries: Sequence[Entry]) -> list[str]:
    """What the records say of the calculations, and the pseudopotentials' hashes."""
    rows = [[title, said(entries, key)] for title, key in SETTINGS.items()]
    hashes: dict[str, set[str]] = {}
    for entry in entries:
        for file, sha256 in (entry.meta.get("pseudopotential_sha256") or {}).items():
            hashes.setdefault(file, set()).add(sha256)
    rows += [[f"SHA-256 of the pseudopotential, {f}", ", ".join(sorted(found))] for f, found in sorted(hashes.items())]
    rows += [] if hashes else [["SHA-256 of the pseudopotentials", NOT_RECORDED]]
    converged = sum(entry.meta.get("scf_converged") is True for entry in entries)
    silent = sum(entry.meta.get("scf_converged") is None for entry in entries)
    rows.append(["SCF converged", f"{converged} of {len(entries)}" + (f", {silent} {NOT_RECORDED}" if silent else "")])
    return table(["from the files", ""], rows)


def recipe_table(recipe: ReferenceRecipe | None) -> list[str]:
    """Every setting of the recipe."""
    if recipe is None:
        return [
            "",
            "These files carry no hash of the recipe of this name: other settings than those above are unknown.",
        ]
    parts = {"label": decisive(recipe.label), "relax": to_dict(recipe.relax) if recipe.relax else {}}
    parts["source"] = to_dict(recipe.source)
    rows = [[f"{part}.{key}", f"`{json.dumps(v)}`"] for part, values in parts.items() for key, v in values.items()]
    return ["", *table([f"recipe {recipe.dataset}", ""], rows)]


def pressures(entries: Sequence[Entry], recipe: ReferenceRecipe | None) -> list[str]:
    """DFT pressure against the pressure aimed at; of fluids the ions' motion is in it."""
    groups: dict[tuple[float, str], list[float]] = {}
    for entry in entries:
        groups.setdefault(_aim(entry, recipe), []).append(entry.meta.get("pressure_GPa", np.nan))
    rows = []
    for (target, kind), values in sorted(groups.items()):
        aimed = "none" if target == np.inf else f"{target:g}"
        rows.append([aimed, kind, len(values), *_moments(np.array(values, dtype=float))])
    return table(["target, GPa", "structures", "fields", "mean ± std, GPa", "lowest", "highest"], rows)


def _aim(entry: Entry, recipe: ReferenceRecipe | None) -> tuple[float, str]:
    """Target pressure, GPa (infinite for none), and how the structure came to be."""
    meta = entry.meta
    relaxed = isinstance(meta.get("relaxation"), Mapping) or "relax_converged" in meta
    target = next((meta[key] for key in TARGETS if meta.get(key) is not None), None)
    if target is None and relaxed and recipe is not None and recipe.relax is not None:
        target = recipe.relax.pressure
    if relaxed:
        kind = "relaxed"
    elif any(meta.get(key) is not None for key in CHANGES):
        kind, target = "at a set volume, strained or rattled", None
    else:
        kind = "frames of dynamics" if meta.get("temperature_K") is not None else "as given"
    return (np.inf if target is None else float(target)), kind


def _moments(values: np.ndarray) -> list[str]:
    known = values[~np.isnan(values)]
    if not known.size:
        return [NOT_RECORDED] * 3
    note = "" if known.size == values.size else f" ({known.size} recorded)"
    spread_of = f" ± {known.std():.2f}" if known.size > 1 else ""
    return [f"{known.mean():.2f}{spread_of}{note}", f"{known.min():.2f}", f"{known.max():.2f}"]


def forces(entries: Sequence[Entry]) -> list[str]:
    """How many relaxations met their tolerances, and what forces are left."""
    flags = {entry.file: flag for entry in entries if (flag := _converged(entry)) is not None}
    parts: dict[str, list[Entry]] = {"relaxed": [], "not relaxed": []}
    for entry in entries:
        parts["relaxed" if entry.file in flags else "not relaxed"].append(entry)
    rows = []
    for title, part in parts.items():
        values = [value for entry in part if (value := entry.meta.get("largest_force_eV_A")) is not None]
        figures = [f"{np.median(values):.3f}", f"{max(values):.3f}"] if values else [NOT_RECORDED] * 2
        rows += [[title, len(part), *figures]] if part else []
    counts = f"Relaxations that met their tolerances: {sum(flags.values())} of {len(flags)}."
    head = ["largest force on an atom, eV/Å", "fields", "median", "highest"]
    return [counts if flags else "None was relaxed.", "", *table(head, rows)]


def _converged(entry: Entry) -> bool | None:
    relaxation = entry.meta.get("relaxation")
    if isinstance(relaxation, Mapping):
        return bool(relaxation.get("converged"))
    found = entry.meta.get("relax_converged")
    return None if found is None else bool(found)


def hours(entries: Sequence[Entry]) -> list[str]:
    """Core hours of what the files record; each calculation runs on one core."""
    seconds = {
        "labels": [entry.meta.get("wall_seconds") for entry in entries],
        "relaxations": [r.get("wall_seconds") for e in entries if isinstance(r := e.meta.get("relaxation"), Mapping)],
    }
    rows, total = [], 0.0
    for title, found in seconds.items():
        known = [value for value in found if value is not None]
        total += sum(known)
        rows.append([title, f"{len(known)} of {len(found)}", f"{sum(known) / 3600:.2f}" if known else NOT_RECORDED])
    rows.append(["together", "", f"{total / 3600:.2f}" if total else NOT_RECORDED])
    return [
        *table(["on one core each", "recorded", "hours"], rows),
        "",
        "Molecular dynamics, failed calculations and relaxations of structures that were not labelled are not in it.",
    ]


def failures(folder: Path) -> list[str]:
    """Candidates that became no field, by reason; numbers in a reason do not make it another one."""
    if not (folder.is_dir() or (folder.parent / "recipe.yaml").is_file()):
        return [f"{NOT_RECORDED.capitalize()}."]
    reasons = Counter(kind_of(json.loads(path.read_text())["reason"]) for path in sorted(folder.glob("*.json")))
    if not reasons:
        return ["None."]
    return table(["reason", "candidates"], [[reason, count] for reason, count in sorted(reasons.items())])


def command(name: str, recipe: ReferenceRecipe | None) -> list[str]:
    """The one command that makes the set."""
    known = f"elfzoo reference run {name} --out runs/{name} --workers 2"
    if recipe is None and name not in recipe_names():
        return [f"{NOT_RECORDED.capitalize()}."]
    older = "These files are older than the recipe; the command makes the set that replaces them." if not recipe else ""
    return ["```", known, "```", *(["", older] if older else [])]


def said(entries: Sequence[Entry], key: str) -> str:
    """What the records say under a key: one value, some, or a range; and in how many it is missing."""
    values = [entry.meta[key] for entry in entries if key in entry.meta]
    missing = len(entries) - len(values)
    if not values:
        return NOT_RECORDED
    return spread(values) + (f" ({NOT_RECORDED} in {missing} of {len(entries)})" if missing else "")


def _splits(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    names = [name for name in (*SPLITS, "no split") if any(entry.split == name for entry in entries)]
    return {name: [entry for entry in entries if entry.split == name] for name in names}


def _symbols(entry: Entry) -> set[str]:
    return {site.specie.symbol for site in entry.structure}


def _ordered(symbols: Iterable[str]) -> list[str]:
    return sorted(symbols, key=lambda symbol: Element(symbol).Z)


def _formula(entry: Entry) -> str:
    """pymatgen calls hydrogen H2."""
    symbols = _symbols(entry)
    return entry.structure.composition.reduced_formula if len(symbols) > 1 else symbols.pop()


def main() -> None:
    known = {d.name: d for d in DATASETS if not d.optional or (DATA / d.name).is_dir()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(known)}; all of them by default")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the records")
    parser.add_argument("--check", action="store_true", help="only say whether the cards are up to date")
    args = parser.parse_args()
    for name in args.sets:
        if name not in known:
            raise UnknownNameError("data set", name, known)
    stale = []
    for name in args.sets or known:
        path, text = args.data / name / "README.md", card(known[name], args.data, args.results)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(f"{name}/{path.name}")
            if not args.check:
                write_bytes(path, [text.encode()])
    print(f"{'stale' if args.check else 'written'}: {', '.join(stale) or 'nothing'}")
    sys.exit(1 if args.check and stale else 0)


if __name__ == "__main__":
    main()
