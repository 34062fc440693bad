"""What ``predict(coarse=...)`` costs in accuracy: a spline through logits of a coarse grid against the network itself.

    python benchmarks/logit_spline.py                                            about ten minutes on an idle machine
    python benchmarks/logit_spline.py --models grid_mlp.smooth-h-v3 --points 2000   a first look

Structures of the validation splits: a snapshot of the fluid, a cubic and a hexagonal crystal; for models that know
their elements, a hydride and a metal. The network is evaluated on grids of at most 0.11, 0.15 and 0.2 Å, and at random
points of the grid with half that spacing, where B-splines through the coarse values, of logits (cubic and quintic) and
of ELF itself (quintic), are compared with it. Seven of eight of these points lie between those of the coarse grid.

Results go to ``benchmarks/results/logit-spline.json``, row by row; rows that are there for the same weights stay.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure
from scipy.special import expit

import elfzoo
from elfzoo.benchmark.record import environment, write_json
from elfzoo.datasets import CrystalHydrogen, FluidHydrogen, Hydrides, Metals
from elfzoo.grid import Grid
from elfzoo.interpolate import spline_interpolate
from elfzoo.io.json_values import json_values
from elfzoo.models.base import Model

RESULTS = Path(__file__).parent / "results" / "logit-spline.json"
MODELS = (
    *("grid_mlp.smooth-h-v3", "grid_mlp.smooth-h-v4", "grid_mlp.wang2026-h-v2", "latent_field.h-v1"),
    *("probe_graph.h-v1", "probe_graph.h-v2", "probe_graph.multi-v5"),
    *("harris.h-v1", "harris_delta.h-v1", "patch_cnn.h-v1"),
)
HYDRIDE, METAL = "CaYH12_Pm-3m_eq.npz", "Cd_hcp_V1.0.npz"
FILES = ("fluid_115.1GPa_C_f02700.npz", "cubic_014.npz", "hexagonal_009.npz", HYDRIDE, METAL)
SPACINGS = (0.11, 0.15, 0.2)
CUBIC, QUINTIC, OF_VALUES = "logit_cubic", "logit_quintic", "elf_quintic"
DIGITS = 3


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="releases of point models of ELF")
    parser.add_argument("--files", nargs="+", default=list(FILES), help="of the validation splits")
    parser.add_argument("--points", type=int, default=20_000, help="at which the network is asked")
    parser.add_argument("--data", help="folder of the datasets")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results go")
    args = parser.parse_args(arguments)
    rows = json.loads(args.out.read_text())["rows"] if args.out.is_file() else []
    for name in args.models:
        model = elfzoo.load_pretrained(name)
        for file in args.files:
            structure = structure_of(file, args.data)
            if not set(structure.symbol_set) <= set(model.card.elements):
                continue
            for spacing in SPACINGS:
                key = {"model": name, "weights_sha256": model.card.weights_sha256, "file": file, "coarse": spacing}
                if any(key.items() <= row.items() and row["points"] == args.points for row in rows):
                    continue
                same = ("model", "file", "coarse")
                rows = [row for row in rows if any(row[k] != key[k] for k in same)]
                rows.append(key | json_values(measured(model, structure, spacing, args.points), DIGITS))
                rows.sort(key=lambda row: [str(row[k]) for k in same])
                write_json(args.out, {"environment": environment(), "rows": rows})
    print(table(rows))


def structure_of(file: str, root: str | None = None) -> Structure:
    """A structure of a validation split."""
    known = {HYDRIDE: Hydrides, METAL: Metals}
    kind = FluidHydrogen if file.startswith("fluid") else known.get(file, CrystalHydrogen)
    data = kind(root, split="val")
    return data[data.raw_file_names.index(file)].structure


def measured(model: Model, structure: Structure, spacing: float, points: int) -> dict[str, Any]:
    """Errors of ELF at points of the grid with half the spacing: mean and largest, of each spline."""
    coarse = Grid.from_spacing(structure.lattice.matrix, spacing)
    fine = Grid(tuple(2 * n for n in coarse.shape), coarse.lattice)
    places = np.random.default_rng(0).choice(fine.size, min(points, fine.size), replace=False)
    frac = fine.frac_coords(np.sort(places))
    exact = model.predict(structure, points=frac)
    logits = model._outputs(structure, coarse, False, None, lambda logits: logits)
    found = {
        CUBIC: expit(spline_interpolate(logits, frac, 3)),
        QUINTIC: expit(spline_interpolate(logits, frac, 5)),
        OF_VALUES: spline_interpolate(expit(logits), frac, 5),
    }
    errors = {name: np.abs(values - exact) for name, values in found.items()}
    return {
        "atoms": len(structure),
        "grid": list(coarse.shape),
        "spacing": max(coarse.spacing),
        "points": points,
        "mae": {name: float(error.mean()) for name, error in errors.items()},
        "largest": {name: float(error.max()) for name, error in errors.items()},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    lines = [
        "| model | structure | spacing, Å | logit, cubic | logit, quintic | ELF, quintic |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        errors = (f"{row['mae'][k]:.1e} ({row['largest'][k]:.1e})" for k in (CUBIC, QUINTIC, OF_VALUES))
        name = row["file"].removesuffix(".npz")
        lines.append(f"| {row['model']} | {name} | {row['spacing']:.3f} | {' | '.join(errors)} |")
    return "\n".join([*lines, "", "Mean error of ELF, and the largest in brackets."])


def summary(rows: list[dict[str, Any]]) -> str:
    """Of the spline that ``coarse`` uses, by model and kind of matter, in Markdown."""
    lines = ["| model | structures | 0.11 Å | 0.15 Å | 0.2 Å |", "|---|---|---|---|---|"]
    kinds = {
        "hydrogen": lambda file: file not in (HYDRIDE, METAL),
        "a hydride": HYDRIDE.__eq__,
        "a metal": METAL.__eq__,
    }
    for name in sorted({row["model"] for row in rows}):
        for kind, belongs in kinds.items():
            own = [row for row in rows if row["model"] == name and belongs(row["file"])]
            cells = []
            for spacing in SPACINGS if own else ():
                chosen = [row for row in own if row["coarse"] == spacing]
                mean, largest = (max(row[key][QUINTIC] for row in chosen) for key in ("mae", "largest"))
                cells.append(f"{mean:.1g}, {largest:.1g}")
            lines += [f"| `{name}` | {kind} | {' | '.join(cells)} |"] if own else []
    return "\n".join(lines) + "\n"


def rendered(_: str | None) -> str:
    """:func:`summary` of the record."""
    return summary(json.loads(RESULTS.read_text())["rows"])


if __name__ == "__main__":
    main()
