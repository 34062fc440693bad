"""How far a recipe's labels are from converged: each label again with one setting changed at a time.

    python benchmarks/reference_convergence.py RECIPE --structures NAME ... --from DIR [DIR ...] [--workers N]

DIR is the folder of a run (its ``relaxed/NAME.json``) or of stored fields (``NAME.npz``). Every label appears as one
file under ``--out`` and is never computed twice, so the same command goes on after a stop; calculations that failed
are kept as failed unless ``--retry`` is given. The record goes to ``benchmarks/results/reference``.

A label on another grid is Fourier-interpolated (its logit) onto the recipe's; networking values are those of each
label's own grid. The variant without the low-pass shows what the recipe takes away, and is no test of convergence.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

import elfzoo
from elfzoo.analysis import field_metrics, networking
from elfzoo.benchmark import environment, write_json
from elfzoo.config import to_dict
from elfzoo.core_radii import outside_cores
from elfzoo.errors import ElfzooError
from elfzoo.progress import progress_bar
from elfzoo.reference.engines import Settings, k_mesh, label_grid
from elfzoo.reference.engines.base import decisive, k_spacing
from elfzoo.reference.engines.process import stop_all
from elfzoo.reference.recipe import ReferenceRecipe, find_recipe, make_engine
from elfzoo.reference.smooth import on_grid

RESULTS = Path(__file__).parent / "results" / "reference"
MAE_LIMIT, PHI_LIMIT = 0.002, 0.01
RECIPE, NOT_JUDGED = "recipe", ("no-low-pass",)
FINER = 1.5  # of the k-mesh
STEP = 0.8  # of the grid spacing


def variants(settings: Settings, structure: Structure) -> dict[str, Settings]:
    """The recipe's settings, and those with one of them changed; every change is one for this structure."""
    changes: dict[str, dict[str, Any]] = {
        RECIPE: {},
        "cutoff-1.3": {"cutoff": 1.3 * settings.cutoff},
        "cutoff-1.7": {"cutoff": 1.7 * settings.cutoff},
        "finer-k-mesh": {"k_spacing": None, "k_mesh": finer_mesh(settings, structure)},
        "half-smearing": {"smearing_width": settings.smearing_width / 2},
        "tighter-scf": {"convergence": settings.convergence / 100},
        "finer-grid": {"grid_spacing": finer_spacing(settings, structure)},
    }
    if settings.low_pass is not None:
        changes["no-low-pass"] = {"low_pass": None}
    return {name: replace(settings, **change) for name, change in changes.items()}


def finer_mesh(settings: Settings, structure: Structure) -> tuple[int, int, int]:
    """The mesh of a spacing smaller by 1.5, and at least one more point along every axis."""
    mesh = k_mesh(settings, structure)
    spacing = (settings.k_spacing or k_spacing(settings, structure)) / FINER
    finer = k_mesh(replace(settings, k_spacing=spacing, k_mesh=None), structure)
    a, b, c = (max(n, m + 1) for n, m in zip(finer, mesh, strict=True))
    return a, b, c


def finer_spacing(settings: Settings, structure: Structure) -> float:
    """0.8 of the spacing (0.08 Å for 0.10 Å), or less where the space group would have the same grid again."""
    spacing = STEP * settings.grid_spacing
    while label_grid(structure, settings, spacing).shape == label_grid(structure, settings).shape:
        spacing *= STEP
    return spacing


def find_structure(name: str, folders: Sequence[Path]) -> tuple[Structure, Path]:
    """The structure of this name as it is labelled, and the folder that has it.

    Raises:
        ElfzooError: no folder has it.
    """
    for folder in folders:
        relaxed, stored = folder / "relaxed" / f"{name}.json", folder / f"{name}.npz"
        if relaxed.exists():
            found = json.loads(relaxed.read_text())
            return Structure(found["lattice"], found["numbers"], found["frac_coords"]), folder
        if stored.exists():
            return elfzoo.read_field(stored).structure, folder
    places = ", ".join(map(str, folders))
    raise ElfzooError(f"no structure {name} in {places}; expected relaxed/{name}.json or {name}.npz")


def stored_label(structure: Structure, settings: Settings, path: Path) -> elfzoo.Field:
    """The field of a label, from ``path`` where an earlier run left the one of this structure and these settings."""
    key = fingerprint(structure, settings)
    if path.exists() and (field := elfzoo.read_field(path)).meta.get("key") == key:
        return field
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{path.stem}.", dir=path.parent))
    try:
        label = make_engine(settings).label(structure, settings, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    meta = {**label.facts, "key": key, "pressure_GPa": label.stress_pressure}
    elfzoo.Field(label.values, label.structure, meta=meta).write(path)
    return elfzoo.read_field(path)


def fingerprint(structure: Structure, *settings: Settings) -> str:
    """SHA-256 of a structure and the settings it is labelled with."""
    cell = [structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), list(structure.atomic_numbers)]
    return hashlib.sha256(json.dumps([cell, *map(decisive, settings)], sort_keys=True).encode()).hexdigest()


def difference(reference: elfzoo.Field, other: elfzoo.Field) -> dict[str, Any]:
    """Errors of ``other`` against ``reference``: everywhere, outside and inside of cores (None without cores)."""
    truth = reference.values.astype(np.float64)
    values = on_grid(other.values.astype(np.float64), reference.grid, None)
    outside = outside_cores(reference.structure, reference.grid)
    masked = outside.any() and not outside.all()
    return {
        "whole": figures(truth, values),
        "outside_cores": figures(truth[outside], values[outside]) if masked else None,
        "inside_cores": figures(truth[~outside], values[~outside]) if masked else None,
    }


def figures(truth: np.ndarray, values: np.ndarray) -> dict[str, float | None]:
    found = dataclasses.asdict(field_metrics(truth, values))
    return {k: None if math.isnan(found[k]) else round(found[k], 7) for k in ("mae", "rmse", "r2", "max_error", "bias")}


def in_parallel(
    tasks: Mapping[str, Callable[[], dict]], workers: int, label: str, show_progress: bool | None = None
) -> dict[str, dict]:
    """Rows by name; of a task that fails, its reason. Stopped from outside, it ends the programs that are running."""
    rows: dict[str, dict] = {}
    with ThreadPoolExecutor(workers) as pool, progress_bar(label, len(tasks), show_progress) as advance:
        futures = {pool.submit(task): name for name, task in tasks.items()}
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error is not None and not isinstance(error, ElfzooError):
                    raise error
                rows[futures[future]] = future.result() if error is None else {"failed": str(error)}
                advance(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all()
            raise
    return rows


def settled_row(path: Path, key: str, retry: bool) -> dict | None:
    """What an earlier run found, if it is of this key and need not be tried again."""
    row = json.loads(path.read_text()) if path.exists() else {}
    return row if row.get("key") == key and not (retry and "failed" in row) else None


@dataclass(frozen=True)
class Case:
    """One structure and one variant of the recipe's settings; its files are ``folder/VARIANT.npz`` and ``.json``."""

    name: str
    structure: Structure
    base: Settings
    variant: str
    settings: Settings
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / f"{self.variant}.json"

    @property
    def key(self) -> str:
        return fingerprint(self.structure, self.base, self.settings)

    def settled(self, retry: bool) -> dict | None:
        return settled_row(self.path, self.key, retry)

    def row(self) -> dict[str, Any]:
        """Label, compare with the recipe's label, write down."""
        base = stored_label(self.structure, self.base, self.folder / f"{RECIPE}.npz")
        field = stored_label(self.structure, self.settings, self.folder / f"{self.variant}.npz")
        found = {**self.head(), **measured(field)}
        if self.variant != RECIPE:
            before, there = measured(base), difference(base, field)
            found |= there | {
                "delta_phi": round(found["phi"] - before["phi"], 6),
                "delta_pressure_GPa": round(found["pressure_GPa"] - before["pressure_GPa"], 4),
                "passes": self.judge(there["whole"]["mae"], found["phi"] - before["phi"]),
            }
        write_json(self.path, found)
        return found

    def fail(self, reason: str) -> dict[str, Any]:
        found = {**self.head(), "failed": reason}
        write_json(self.path, found)
        return found

    def head(self) -> dict[str, Any]:
        changed = {k: v for k, v in to_dict(self.settings).items() if v != to_dict(self.base)[k]}
        return {"structure": self.name, "variant": self.variant, "changed": changed, "key": self.key}

    def judge(self, mae: float, delta_phi: float) -> bool | None:
        return None if self.variant in NOT_JUDGED else bool(mae < MAE_LIMIT and abs(delta_phi) < PHI_LIMIT)


def measured(field: elfzoo.Field) -> dict[str, Any]:
    """What a label says by itself."""
    net = networking(field)
    return {
        "phi": round(net.phi, 6),
        "phi_error": round(net.phi_error, 6),
        "pressure_GPa": round(field.meta["pressure_GPa"], 4),
        "wall_seconds": field.meta["wall_seconds"],
        "k_mesh": field.meta["k_mesh"],
        "grid": list(field.grid.shape),
    }


def converge(
    recipe: ReferenceRecipe,
    structures: Mapping[str, Structure],
    out: Path,
    workers: int = 1,
    retry: bool = False,
    only: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of all structures and variants, structure by structure; first the recipe's labels, then what changes."""
    make_engine(recipe.label).version()  # a missing one is no failure of a structure
    cases = [
        Case(name, structure, recipe.label, variant, settings, out / recipe.dataset / name)
        for name, structure in structures.items()
        for variant, settings in variants(recipe.label, structure).items()
        if only is None or variant in (RECIPE, *only)
    ]
    first = settle([case for case in cases if case.variant == RECIPE], workers, retry)
    good = [c for c in cases if c.variant != RECIPE and "failed" not in first[f"{c.name}/{RECIPE}"]]
    rows = first | settle(good, workers, retry)
    return [rows[name] for name in (f"{c.name}/{c.variant}" for c in cases) if name in rows]


def settle(cases: Sequence[Case], workers: int, retry: bool) -> dict[str, dict]:
    """Rows by ``structure/variant``."""
    by_name = {f"{case.name}/{case.variant}": case for case in cases}
    rows = {name: row for name, case in by_name.items() if (row := case.settled(retry)) is not None}
    new = in_parallel({n: case.row for n, case in by_name.items() if n not in rows}, workers, "convergence")
    return rows | {n: by_name[n].fail(row["failed"]) if "failed" in row else row for n, row in new.items()}


def record(
    recipe: ReferenceRecipe, structures: Mapping[str, Structure], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Everything that a result needs to be checked and repeated."""
    return {
        "recipe": recipe.dataset,
        "recipe_hash": recipe.hash,
        "settings": to_dict(recipe.label),
        "limits": {"mae": MAE_LIMIT, "delta_phi": PHI_LIMIT},
        "metrics": worst(rows),
        "structures": {name: {"formula": s.composition.formula, "atoms": len(s)} for name, s in structures.items()},
        "rows": [{k: v for k, v in row.items() if k != "key"} for row in rows],
        "engine": make_engine(recipe.label).version(),
        **environment(),
    }


def worst(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each variant, the largest changes on any structure."""
    found: dict[str, dict[str, float]] = {}
    for row in (row for row in rows if "whole" in row):
        entry = found.setdefault(row["variant"], {"mae": 0.0, "max_error": 0.0, "delta_phi": 0.0})
        for key, value in (*row["whole"].items(), ("delta_phi", abs(row["delta_phi"]))):
            if key in entry:
                entry[key] = max(entry[key], value)
    return found


def report(result: Mapping[str, Any]) -> None:
    """Print a record as a table."""
    print(f"{'structure':24s} {'variant':14s} MAE      largest  R²        no cores Δφ        ΔP, GPa  seconds")
    for row in result["rows"]:
        print(f"{row['structure']:24s} {row['variant']:14s} {_cells(row)}")
    limits = result["limits"]
    print(f"passes: MAE below {limits['mae']} and |Δφ| below {limits['delta_phi']} against the recipe's own label")


def _cells(row: Mapping[str, Any]) -> str:
    if "failed" in row:
        return f"failed: {row['failed']}"
    if "whole" not in row:
        values = f"φ {row['phi']:.4f} ± {row['phi_error']:.4f}, {row['pressure_GPa']:.2f} GPa"
        return f"{values:54s} {row['wall_seconds']:7.1f}"
    whole, outside = row["whole"], row["outside_cores"]
    r2 = "-" if whole["r2"] is None else f"{whole['r2']:.6f}"
    apart = "-" if outside is None else f"{outside['mae']:.5f}"
    changes = f"{row['delta_phi']:+.5f}  {row['delta_pressure_GPa']:+8.3f} {row['wall_seconds']:7.1f}"
    verdict = {True: "passes", False: "FAILS", None: "not judged"}[row["passes"]]
    return f"{whole['mae']:.5f}  {whole['max_error']:.5f}  {r2:9s} {apart:8s} {changes}  {verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a recipe of elfzoo, or a YAML file")
    parser.add_argument("--structures", nargs="+", required=True, metavar="NAME")
    parser.add_argument("--from", dest="folders", nargs="+", type=Path, required=True, metavar="DIR")
    parser.add_argument("--workers", type=int, default=1, help="calculations at a time, one core each")
    parser.add_argument("--out", type=Path, default=Path("runs/convergence"))
    parser.add_argument("--variants", nargs="+", metavar="VARIANT", help="only these; all of them by default")
    parser.add_argument("--retry", action="store_true", help="try again what failed before")
    args = parser.parse_args()
    recipe = find_recipe(args.recipe)
    structures = {name: find_structure(name, args.folders)[0] for name in args.structures}
    rows = converge(recipe, structures, args.out, args.workers, args.retry, args.variants)
    result = record(recipe, structures, rows)
    write_json(RESULTS / f"convergence-{recipe.dataset}.json", result)
    report(result)


if __name__ == "__main__":
    try:
        main()
    except ElfzooError as error:
        raise SystemExit(str(error)) from None
