"""What the untrained diagonalisation owes to its basis, its potential and its k-points, on validation structures.

    python benchmarks/harris_physics.py [--crystals 5] [--only NAME ...]

MAE of ELF of ``harris`` with one thing changed, over small crystals of ``crystal-h/val`` and one snapshot of each
pressure of ``fluid-h/val``. Five of these crystals chose the settings. Resumable: a variant in the record is kept.
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from invariances import snapshots

import elfzoo
from elfzoo.benchmark import environment, write_json
from elfzoo.config import parse, to_dict
from elfzoo.datasets import CrystalHydrogen
from elfzoo.field import Field
from elfzoo.transforms.harris import HarrisConfig

RECORD = Path(__file__).parent / "results" / "harris-physics.json"
LARGEST = 16  # atoms of a crystal


def shells(s: list[float], p: list[float], d: list[float] = []) -> list[dict[str, Any]]:  # noqa: B006
    """Plain values of a basis."""
    return [{"l": l, "zeta": zeta} for l, many in enumerate((s, p, d)) for zeta in many]  # noqa: E741


THREE_TWO = shells([0.4, 1.0, 2.2], [0.6, 1.6])
VARIANTS: dict[str, dict[str, Any]] = {
    "as released (3 s, 2 p; 2.6 Å; LDA)": {},
    "2 s, 1 p": {"basis": {"shells": shells([0.6, 1.5], [1.3])}},
    "2 s, 2 p": {"basis": {"shells": shells([0.6, 1.5], [0.7, 1.7])}},
    "2 s, 1 p, 1 d": {"basis": {"shells": shells([0.6, 1.5], [1.3], [2.0])}},
    "orbitals end at 2.2 Å": {"basis": {"shells": THREE_TWO, "r_cut": 2.2}},
    "orbitals end at 3.2 Å": {"basis": {"shells": THREE_TWO, "r_cut": 3.2}},
    "PBE potential": {"functional": "PBE"},
    "atoms with exponent 1.0": {"atom_exponent": 1.0},
    "atoms with exponent 1.3": {"atom_exponent": 1.3},
    "k-points twice as far apart": {"k_mesh": {"spacing": 0.6, "large_spacing": 1.3}},
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=int, default=5, help="how many")
    parser.add_argument("--snapshots", type=int, default=3, help="how many, one of each pressure")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="variants; all unless stated")
    parser.add_argument("--out", type=Path, default=RECORD, help="where the results go")
    args = parser.parse_args(arguments)
    found = json.loads(args.out.read_text())["variants"] if args.out.is_file() else {}
    fields = {"crystals": small_crystals(args.crystals), "fluid": snapshots(None)[: args.snapshots]}
    for name in args.only or VARIANTS:
        config = to_dict(parse(HarrisConfig, VARIANTS[name]))
        if found.get(name, {}).get("config") != config:
            errors = {kind: [error(field, VARIANTS[name]) for field in some] for kind, some in fields.items()}
            found[name] = {"config": config, **errors}
            write_json(args.out, {"environment": environment(), "variants": found})
            print(table({name: found[name]})[-1])


def small_crystals(count: int) -> list[Field]:
    """Of the validation split, in its order."""
    data = CrystalHydrogen(split="val")
    small = (sample.field for sample in data if len(sample.structure) <= LARGEST)
    return list(islice(small, count))


def error(reference: Field, changes: dict[str, Any]) -> float:
    """MAE of ELF over all voxels."""
    model = elfzoo.create_model("harris", {"harris": changes})
    guess = model.predict(reference.structure, grid=reference.grid, progress=False)
    return float(np.abs(guess.values - reference.values).mean())


def table(variants: dict[str, Any]) -> list[str]:
    """A row for each variant: mean errors."""
    lines = ["| untrained | MAE, crystals | MAE, fluid |", "|---|---|---|"]
    for name, found in variants.items():
        cells = (f"{np.mean(found[kind]):.4f}" if found[kind] else "" for kind in ("crystals", "fluid"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
