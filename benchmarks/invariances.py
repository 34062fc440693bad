"""How invariant the shipped releases are: the contract's check, and the same measured on crystals of the val split.

    python benchmarks/invariances.py                    # every release
    python benchmarks/invariances.py patch_cnn.h-v1     # one

Exact invariances hold to rounding, or the check raises; those that an architecture declares approximate are what the
table is for. They are measured at 60 random points of the first crystals of either system, which have up to twelve
atoms: a rotation by random angles, a reflection, an origin elsewhere, other lattice vectors, a supercell.

A field model works on a grid of its own. How far its answer depends on that is the MAE on one fluid snapshot of each
pressure (val) when the same cell is given on its own grid, on a finer one, and on one of sheared lattice vectors.

Results go to ``benchmarks/results/invariances.json``, releases that are not measured keep theirs; the README's table is
made of them by ``benchmarks/render.py``.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure

import elfzoo
from elfzoo.benchmark.record import environment, write_json
from elfzoo.card import read_card, shipped_releases
from elfzoo.datasets import CrystalHydrogen, FluidHydrogen
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.io.json_values import json_values
from elfzoo.models.field_model import FieldModel
from elfzoo.testing import check_model, measure_invariances
from elfzoo.training.fields import FieldSet

RESULTS = Path(__file__).parent / "results" / "invariances.json"
LARGEST, OF_EACH = 12, 3  # atoms, and crystals of either system
FINER = 0.8  # spacing of the finer grid over that of the model's own
DIGITS = 3


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="releases; all unless stated")
    parser.add_argument("--data", help="folder of the datasets")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results go")
    args = parser.parse_args(arguments)
    found = json.loads(args.out.read_text())["models"] if args.out.is_file() else {}
    crystals, fluids = chosen(args.data), snapshots(args.data)
    for name in args.models or elfzoo.list_pretrained(engines=False):
        found[name] = measured(name, crystals, fluids)
        write_json(args.out, {"crystals": sorted(crystals), "models": dict(sorted(found.items()))})
        told = {row["invariance"]: f"{row['largest']:.1e}" for row in found[name]["crystals"]}
        print(f"{name}: largest change of ELF {told}")


def chosen(root: str | None) -> dict[str, Structure]:
    """Small crystals of both systems, by name."""
    data = CrystalHydrogen(root, split="val")
    files = [(i, Path(file).stem) for i, file in enumerate(data.raw_file_names)]
    picked: dict[str, Structure] = {}
    for system in ("cubic", "hexagonal"):
        crystals = ((name, data[i].structure) for i, name in files if name.startswith(system))
        small = (item for item in crystals if len(item[1]) <= LARGEST)
        picked |= dict(islice(small, OF_EACH))
    return picked


def snapshots(root: str | None) -> list[Field]:
    """One of each pressure."""
    data = FluidHydrogen(root, split="val")
    first = {file.split("_")[1]: place for place, file in reversed(list(enumerate(data.raw_file_names)))}
    return [data[place].field for place in sorted(first.values())]


def error_by_grid(model: FieldModel, fluids: Sequence[Field]) -> dict[str, float]:
    """MAE on the model's own grid, on one of at most 0.8 times its spacing, and on sheared lattice vectors."""
    errors: dict[str, list[float]] = {"own": [], "finer": [], "sheared": []}
    for field in fluids:
        own = FieldSet.of(model, field, grids=2)
        finer = Grid.from_spacing(own.grid.lattice, FINER * max(own.grid.spacing), np.full((1, 3), 1 / model.stride))
        parts = {"own": own, "finer": FieldSet.on(model, field, own.structure, finer), "sheared": own.others[0]}
        for name, part in parts.items():
            with torch.no_grad():
                logits = model([part.structure], [part.grid])[0]
            errors[name].append(float((model.target.tensor(logits) - part.target).abs().mean()))
    return {name: float(np.mean(found)) for name, found in errors.items()}


def measured(name: str, crystals: dict[str, Structure], fluids: Sequence[Field]) -> dict[str, Any]:
    """Both measurements of one release; the contract has structures of its own, of hydrogen and calcium."""
    model, card, began = elfzoo.load_pretrained(name), read_card(shipped_releases()[name]), time.perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is an extrapolation")
        contract = [asdict(row) for row in check_model(model)]
    real = [asdict(row) for row in measure_invariances(model, crystals.values())]
    found = {
        "architecture": card.architecture,
        "weights_sha256": card.weights_sha256,
        "environment": environment(),
        "contract": contract,
        "crystals": real,
        "grids": error_by_grid(model, fluids) if isinstance(model, FieldModel) else None,
        "seconds": time.perf_counter() - began,
    }
    rounded: dict[str, Any] = json_values(found, DIGITS)
    return rounded


if __name__ == "__main__":
    main()
