"""What ``predict(symmetry=True)`` saves: CPU seconds of the whole grid and of one point per orbit, in the same run.

    python benchmarks/symmetry_speed.py                                  about two minutes on an idle machine
    python benchmarks/symmetry_speed.py --models grid_mlp.smooth-h-v3    one model

Crystals of hydrogen of several space groups on a grid of at most 0.1 Å that suits them; the best of three runs each,
taken in turn. Points on symmetry elements have fewer images, and finding the orbits takes its time too, so the gain is
below the group's order. Results go to ``benchmarks/results/symmetry-speed.json``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.benchmark.record import environment, write_json
from elfzoo.io.json_values import json_values
from elfzoo.models.asymmetric_unit import asymmetric_unit, symmetric_grid
from elfzoo.models.base import Model
from elfzoo.symmetry import space_group_operations

RESULTS = Path(__file__).parent / "results" / "symmetry-speed.json"
MODELS = ("grid_mlp.smooth-h-v3", "probe_graph.h-v1")
SPACING, REPEAT, DIGITS = 0.1, 3, 3
CRYSTALS = {
    "P6_1": Structure.from_spacegroup(169, Lattice.hexagonal(3.0, 4.4), ["H"], [[0.21, 0.33, 0.05]]),
    "P6_3/mmc": Structure.from_spacegroup(194, Lattice.hexagonal(2.2, 3.6), ["H"], [[1 / 3, 2 / 3, 0.25]]),
    "P4_332": Structure.from_spacegroup(212, Lattice.cubic(3.4), ["H"], [[0.06, 0.17, 0.31]]),
    "Fd-3m, primitive": Structure.from_spacegroup(
        227, Lattice.cubic(3.57), ["H"], [[0, 0, 0]]
    ).get_primitive_structure(),
    "Fd-3m": Structure.from_spacegroup(227, Lattice.cubic(3.57), ["H"], [[0, 0, 0]]),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="releases of point models")
    parser.add_argument("--spacing", type=float, default=SPACING, help="of the grids, Å")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results go")
    args = parser.parse_args(arguments)
    rows = []
    for name in args.models:
        model = elfzoo.load_pretrained(name)
        for group, crystal in CRYSTALS.items():
            row = {"model": name, "group": group} | measured(model, crystal, args.spacing)
            rows.append(json_values(row, DIGITS))
    write_json(args.out, {"environment": environment(), "rows": rows})
    print(table(rows))


def measured(model: Model, crystal: Structure, spacing: float) -> dict[str, Any]:
    """Times of both ways, and the largest difference of ELF between them: rounding of the single precision."""
    grid, order = symmetric_grid(crystal, spacing), len(space_group_operations(crystal)[0])
    unit = asymmetric_unit(crystal, grid)
    ways = [lambda symmetry=symmetry: model.predict(crystal, grid, symmetry=symmetry) for symmetry in (False, True)]
    whole, part = (way().values for way in ways)  # a warm-up
    times = np.array([[cpu_seconds(way) for way in ways] for _ in range(REPEAT)]).min(axis=0)
    return {
        "order": order,
        "grid": list(grid.shape),
        "points": grid.size,
        "computed": grid.size if unit is None else len(unit.representatives),
        "cpu_seconds_whole": times[0],
        "cpu_seconds": times[1],
        "gain": times[0] / times[1],
        "largest_difference": float(np.abs(whole - part).max()),
    }


def cpu_seconds(function: Callable[[], object]) -> float:
    began = time.process_time()
    function()
    return time.process_time() - began


def table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    lines = [
        "| model | space group | operations | points | computed | CPU s, whole | CPU s | gain | largest difference |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['model']} | {row['group']} | {row['order']} | {row['points']} | {row['computed']} "
            f"| {row['cpu_seconds_whole']:.2f} | {row['cpu_seconds']:.3f} | {row['gain']:.1f} "
            f"| {row['largest_difference']:.0e} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
