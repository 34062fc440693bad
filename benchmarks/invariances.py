"""How invariant the shipped releases are: the contract's check, and the same measured on crystals of the val split.

    python benchmarks/invariances.py                    # every release
    python benchmarks/invariances.py patch_cnn.h-v1     # one

Exact invariances hold to rounding, or the check raises; those that an architecture declares approximate are what the
table is for. They are measured at 60 random points of the first crystals of either system, which have up to twelve
atoms: a rotation by random angles, a reflection, an origin elsewhere, other lattice vectors, a supercell. Results go
to ``benchmarks/results/invariances.json``, releases that are not measured keep theirs; ``benchmarks/render.py`` puts
them into the README.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

import elfzoo
from elfzoo.benchmark.record import environment, write_json
from elfzoo.datasets import CrystalHydrogen
from elfzoo.io.json_values import json_values
from elfzoo.testing import check_model, measure_invariances

RESULTS = Path(__file__).parent / "results" / "invariances.json"
LARGEST, OF_EACH = 12, 3  # atoms, and crystals of either system
DIGITS = 3


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="releases; all unless stated")
    parser.add_argument("--data", help="folder of the datasets")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results go")
    args = parser.parse_args(arguments)
    found = json.loads(args.out.read_text())["models"] if args.out.is_file() else {}
    crystals = chosen(args.data)
    for name in args.models or elfzoo.list_pretrained():
        found[name] = measured(name, crystals)
        write_json(args.out, {"crystals": sorted(crystals), "models": dict(sorted(found.items()))})
        told = {row["invariance"]: f"{row['largest']:.1e}" for row in found[name]["crystals"]}
        print(f"{name}: largest change of ELF {told}")


def chosen(root: str | None) -> dict[str, Structure]:
    """Small crystals of both systems, by name."""
    data = CrystalHydrogen(root, split="val")
    names = [Path(file).stem for file in data.raw_file_names]
    picked: dict[str, Structure] = {}
    for system in ("cubic", "hexagonal"):
        places = (i for i, name in enumerate(names) if name.startswith(system))
        small = ((names[i], data[i].structure) for i in places if len(data[i].structure) <= LARGEST)
        picked |= dict(islice(small, OF_EACH))
    return picked


def measured(name: str, crystals: dict[str, Structure]) -> dict[str, Any]:
    """Both measurements of one release; the contract has structures of its own, of hydrogen and calcium."""
    model, began = elfzoo.load_pretrained(name), time.perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is an extrapolation")
        contract = [asdict(row) for row in check_model(model)]
    real = [asdict(row) for row in measure_invariances(model, crystals.values())]
    found = {
        "architecture": model.card.architecture if model.card is not None else "",
        "weights_sha256": model.card.weights_sha256 if model.card is not None else "",
        "environment": environment(),
        "contract": contract,
        "crystals": real,
        "seconds": time.perf_counter() - began,
    }
    rounded: dict[str, Any] = json_values(found, DIGITS)
    return rounded


if __name__ == "__main__":
    main()
