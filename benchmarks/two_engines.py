"""The same structures labelled by Quantum ESPRESSO and by GPAW: below this difference, gains mean nothing across codes.

    python benchmarks/two_engines.py --structures NAME ... --from DIR [DIR ...] [--workers N]

Both labels have the k-mesh, smearing and grid of the recipe that DIR belongs to (its ``recipe.yaml``, else the recipe
with the folder's name); cutoffs and pseudopotentials are those of the recipes crystal-h and hydrides. Each is computed
once without a low-pass and kept under ``--out``; the low-passes are applied to the same two fields, which tells the
ringing of the cutoffs from what the codes disagree about. Differences are GPAW - Quantum ESPRESSO.

Hydrogen has the pseudopotential of its recipe with Quantum ESPRESSO; structures with other elements have CP2K's table
of the same kind (Debian's cp2k-data). A structure with an element that a set lacks is named in the record as not
compared. Give structures whose potentials the cutoff of crystal-h suits: not Mg, whose core is too hard for it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure
from reference_convergence import (
    RESULTS,
    difference,
    find_structure,
    fingerprint,
    in_parallel,
    make_engine,
    settled_row,
    stored_label,
)

import elfzoo
from elfzoo.analysis import networking
from elfzoo.benchmark import environment, write_json
from elfzoo.config import to_dict
from elfzoo.errors import ElfzooError
from elfzoo.reference.engines import EngineError, Settings
from elfzoo.reference.engines.espresso import copy_pseudopotentials
from elfzoo.reference.engines.gpaw import setup_files
from elfzoo.reference.recipe import ReferenceRecipe, find_recipe
from elfzoo.reference.smooth import on_grid

Window = tuple[float, float] | None
MADE_BY = {"espresso": "crystal-h", "gpaw": "hydrides"}  # whose cutoff, pseudopotentials and low-pass an engine has
OTHER_ELEMENTS = "GTH-PBE"  # what Quantum ESPRESSO has for them
BELOW_BOTH = "metals"  # whose low-pass ends below both cutoffs


def engine_settings(base: Settings, structure: Structure) -> dict[str, Settings]:
    """The two engines' settings for one structure, without a low-pass."""
    labels = {engine: find_recipe(name).label for engine, name in MADE_BY.items()}
    if any(site.specie.symbol != "H" for site in structure):
        labels["espresso"] = replace(labels["espresso"], pseudopotential=OTHER_ELEMENTS)
    return {
        engine: replace(base, engine=engine, pseudopotential=a.pseudopotential, cutoff=a.cutoff, low_pass=None)
        for engine, a in labels.items()
    }


def windows() -> dict[str, tuple[Window, Window]]:
    """What is compared: by name, the low-pass of Quantum ESPRESSO's ELF and of GPAW's."""
    espresso, gpaw = (find_recipe(name).label.low_pass for name in MADE_BY.values())
    below = find_recipe(BELOW_BOTH).label.low_pass
    return {
        "as labelled": (espresso, gpaw),
        "no low-pass": (None, None),
        "same low-pass": (espresso, espresso),
        "low-pass below both cutoffs": (below, below),
    }


def recipe_of(folder: Path) -> ReferenceRecipe:
    """The recipe that a folder of structures belongs to."""
    stored = folder / "recipe.yaml"
    return find_recipe(stored if stored.exists() else folder.resolve().name)


def missing_sets(structure: Structure, settings: Mapping[str, Settings]) -> list[str]:
    """Why the structure cannot be compared: one sentence for each engine that lacks an element."""
    ask = {"espresso": copy_pseudopotentials, "gpaw": lambda one, name, _: setup_files(one, name)}
    found = []
    for engine, wanted in settings.items():
        lacking = []
        for element in sorted({site.specie.symbol for site in structure}):
            atom = Structure(Lattice.cubic(9.0), [element], [[0, 0, 0]])
            with tempfile.TemporaryDirectory() as folder:
                try:
                    ask[engine](atom, wanted.pseudopotential, Path(folder))
                except EngineError:
                    lacking.append(element)
        if lacking:
            found.append(f"no {wanted.pseudopotential} for {', '.join(lacking)} with {engine}")
    return found


@dataclass(frozen=True)
class Pair:
    """One structure for both engines; its files are ``folder/ENGINE.npz`` and ``folder/two-engines.json``."""

    name: str
    structure: Structure
    recipe: ReferenceRecipe
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "two-engines.json"

    @property
    def settings(self) -> dict[str, Settings]:
        return engine_settings(self.recipe.label, self.structure)

    @property
    def key(self) -> str:
        return f"{fingerprint(self.structure, *self.settings.values())} {windows()}"

    def row(self) -> dict[str, Any]:
        """Label twice, compare in every way, write down."""
        lacking = missing_sets(self.structure, self.settings)
        if lacking:
            return self.write({"not_compared": "; ".join(lacking)})
        fields = {e: stored_label(self.structure, s, self.folder / f"{e}.npz") for e, s in self.settings.items()}
        found = {
            "pressure_GPa": {engine: round(field.meta["pressure_GPa"], 4) for engine, field in fields.items()},
            "wall_seconds": {engine: field.meta["wall_seconds"] for engine, field in fields.items()},
            "k_mesh": fields["espresso"].meta["k_mesh"],
            "grid": list(fields["espresso"].grid.shape),
        }
        return self.write({**found, "comparisons": comparisons(fields["espresso"], fields["gpaw"])})

    def write(self, found: Mapping[str, Any]) -> dict[str, Any]:
        head = {"structure": self.name, "recipe": self.recipe.dataset, "key": self.key}
        size = {"formula": self.structure.composition.formula, "atoms": len(self.structure)}
        row = {**head, **size, **found}
        write_json(self.path, row)
        return row


def comparisons(espresso: elfzoo.Field, gpaw: elfzoo.Field) -> dict[str, dict[str, Any]]:
    """Differences of the two fields under every pair of low-passes."""
    found = {}
    for name, (first, second) in windows().items():
        reference, other = low_passed(espresso, espresso, first), low_passed(gpaw, espresso, second)
        phi = [networking(field).phi for field in (reference, other)]
        values = {"phi": [round(value, 6) for value in phi], "delta_phi": round(phi[1] - phi[0], 6)}
        found[name] = {**difference(reference, other), **values}
    return found


def low_passed(field: elfzoo.Field, like: elfzoo.Field, window: Window) -> elfzoo.Field:
    """The field on the grid of ``like``, without what varies faster than the window."""
    values = field.values.astype(np.float64)
    return field.replace(values=on_grid(values, like.grid, window))


def compare_engines(pairs: Sequence[Pair], workers: int = 1, retry: bool = False) -> list[dict[str, Any]]:
    """Rows of all structures, in their order."""
    for engine in pairs[0].settings.values():
        make_engine(engine).version()  # a missing one is no failure of a structure
    settled = {pair.name: settled_row(pair.path, pair.key, retry) for pair in pairs}
    rows = {name: row for name, row in settled.items() if row is not None and "not_compared" not in row}
    left = {pair.name: pair for pair in pairs if pair.name not in rows}
    for name, row in in_parallel({n: pair.row for n, pair in left.items()}, workers, "two engines").items():
        rows[name] = left[name].write(row) if "failed" in row else row
    return [rows[pair.name] for pair in pairs]


def means(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each comparison, means over the structures and the largest of the extremes, as rows have them."""
    found: dict[str, dict[str, Any]] = {}
    compared = [row["comparisons"] for row in rows if "comparisons" in row]
    for name in windows() if compared else ():
        part = [row[name] for row in compared]
        phi = [abs(row["delta_phi"]) for row in part]
        found[name] = {
            "structures": len(part),
            "whole": _mean([row["whole"] for row in part]),
            "outside_cores": _mean([row["outside_cores"] for row in part if row["outside_cores"] is not None]),
            "inside_cores": _mean([row["inside_cores"] for row in part if row["inside_cores"] is not None]),
            "delta_phi": {"mean": round(float(np.mean(phi)), 6), "largest": round(max(phi), 6)},
        }
    return found


def _mean(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not parts:
        return None
    mean = {key: round(float(np.mean([part[key] for part in parts])), 7) for key in ("mae", "rmse", "r2")}
    return mean | {"max_error": max(part["max_error"] for part in parts)}


def record(pairs: Sequence[Pair], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Everything that a result needs to be checked and repeated."""
    return {
        "engines": {engine: make_engine(s).version() for engine, s in pairs[0].settings.items()},
        "settings": {
            pair.recipe.dataset: {engine: to_dict(s) for engine, s in pair.settings.items()} for pair in pairs
        },
        "low_pass": windows(),
        "metrics": means(rows),
        "structures": [{k: v for k, v in row.items() if k != "key"} for row in rows],
        **environment(),
    }


def report(result: Mapping[str, Any]) -> None:
    """Print a record as a table."""
    print(f"{'structure':24s} {'comparison':28s} MAE      RMSE     R²        largest  no cores Δφ")
    for row in result["structures"]:
        reason = row.get("failed") or row.get("not_compared")
        if reason:
            print(f"{row['structure']:24s} not compared: {reason}")
        for name, found in row.get("comparisons", {}).items():
            whole, outside = found["whole"], found["outside_cores"]
            values = f"{whole['mae']:.5f}  {whole['rmse']:.5f}  {whole['r2']:.6f}  {whole['max_error']:.5f}"
            apart = "-" if outside is None else f"{outside['mae']:.5f}"
            print(f"{row['structure']:24s} {name:28s} {values}  {apart:8s} {found['delta_phi']:+.5f}")
    for name, mean in result["metrics"].items():
        phi = f"|Δφ| {mean['delta_phi']['mean']:.5f}, largest {mean['delta_phi']['largest']:.5f}"
        print(f"mean of {mean['structures']}, {name}: MAE {mean['whole']['mae']:.5f}, {phi}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--structures", nargs="+", required=True, metavar="NAME")
    parser.add_argument("--from", dest="folders", nargs="+", type=Path, required=True, metavar="DIR")
    parser.add_argument("--workers", type=int, default=1, help="structures at a time, one core each")
    parser.add_argument("--out", type=Path, default=Path("runs/two-engines"))
    parser.add_argument("--retry", action="store_true", help="try again what failed before")
    args = parser.parse_args()
    pairs = []
    for name in args.structures:
        structure, folder = find_structure(name, args.folders)
        recipe = recipe_of(folder)
        pairs.append(Pair(name, structure, recipe, args.out / recipe.dataset / name))
    result = record(pairs, compare_engines(pairs, args.workers, args.retry))
    write_json(RESULTS / "two-engines.json", result)
    report(result)


if __name__ == "__main__":
    try:
        main()
    except ElfzooError as error:
        raise SystemExit(str(error)) from None
