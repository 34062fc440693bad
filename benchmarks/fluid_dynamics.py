"""Is the fluid's molecular dynamics equilibrated, does it keep its energy, are its snapshots independent?

    python benchmarks/fluid_dynamics.py [--from DIR]

DIR is the folder of ``elfzoo reference run fluid-h``: its ``trajectories`` (which that command makes before the first
label) and the DFT pressures of the labels in it. Of every trajectory, after the equilibration: temperature, drift of
the conserved energy, what the first and the second half have on average, how fast its structure forgets itself, and
the DFT pressure at each snapshot. Writes benchmarks/results/reference/fluid-dynamics.json and a picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from reference_convergence import RESULTS
from reference_figures import FIGURES, save

import elfzoo
from elfzoo.benchmark import environment, write_json
from elfzoo.errors import ElfzooError
from elfzoo.progress import progress_bar
from elfzoo.reference.diagnostics import diagnose, picture
from elfzoo.reference.dynamics import Trajectory
from elfzoo.reference.fluid import FluidSource, Run
from elfzoo.reference.recipe import find_recipe

HERE = Path(__file__).parent
CURVES = ("lag", "displacement", "overlap", "structure", "partner", "radius", "pair_distribution")


def halves(trajectory: Trajectory, equilibration: float) -> tuple[Trajectory, Trajectory]:
    """The frames later than ``equilibration`` (fs), cut in the middle."""
    middle = (equilibration + trajectory.time[-1]) / 2
    first = (trajectory.time > equilibration) & (trajectory.time <= middle)
    return _part(trajectory, first), _part(trajectory, trajectory.time > middle)


def _part(trajectory: Trajectory, kept: np.ndarray) -> Trajectory:
    return replace(trajectory, **{k: v[kept] for k, v in vars(trajectory).items() if k != "lattice"})


def figures(trajectory: Trajectory, equilibration: float) -> dict[str, Any]:
    """What one trajectory shows, without the curves."""
    whole = diagnose(trajectory, equilibration).to_dict()
    first, second = (diagnose(half) for half in halves(trajectory, equilibration))
    atoms = whole["atoms"]
    return {
        **{key: value for key, value in whole.items() if key not in CURVES},
        "temperature_std_canonical": float(np.sqrt(2 / (3 * atoms)) * whole["temperature"]),
        "halves": {
            name: [getattr(first, name), getattr(second, name)]
            for name in ("temperature", "potential_energy", "molecular_fraction", "peak")
        },
    }


def pressures(folder: Path) -> dict[str, dict[str, float]]:
    """DFT pressure, GPa, of the labels: trajectory -> time (fs) -> pressure."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted(folder.glob("*.npz")):
        meta = elfzoo.read_field(path).meta
        found.setdefault(meta["group"], {})[f"{meta['time_fs']:.0f}"] = meta["pressure_GPa"]
    return found


def measure(folder: Path, source: FluidSource) -> dict[str, dict[str, Any]]:
    """Figures of every trajectory of the recipe.

    Raises:
        ElfzooError: a trajectory is not there.
    """
    dft, rows = pressures(folder), {}
    with progress_bar("trajectories", len(source.runs())) as advance:
        for run in source.runs():
            begin = left_out(source, run)
            rows[run.name] = {
                "target_pressure_GPa": run.state.pressure,
                "volume_per_atom_A3": run.state.volume,
                "left_out_fs": begin,
                **figures(load(folder, run.name), begin),
                "dft_pressure_GPa": dft.get(run.name, {}),
            }
            advance(1)
    return rows


def left_out(source: FluidSource, run: Run) -> float:
    """fs at the start of a trajectory; of large cells, which end with their one snapshot, half of it."""
    return min(source.equilibration, source.times(run)[-1] / 2)


def load(folder: Path, name: str) -> Trajectory:
    path = folder / "trajectories" / f"{name}.npz"
    if not path.exists():
        raise ElfzooError(f"no {path}; expected the folder of `elfzoo reference run fluid-h --out DIR`")
    return Trajectory.load(path)


def states(folder: Path, source: FluidSource) -> dict[str, dict[str, Trajectory]]:
    """Pressure -> name -> trajectory."""
    found: dict[str, dict[str, Trajectory]] = {}
    for run in source.runs():
        found.setdefault(f"{run.state.pressure} GPa", {})[run.name.rsplit("_", 1)[1]] = load(folder, run.name)
    return found


def line(name: str, row: Mapping[str, Any]) -> str:
    early, late = row["halves"]["molecular_fraction"]
    partner = "longer" if row["partner_decay"] is None else f"{row['partner_decay']:.0f} fs"
    return (
        f"{name}: {row['temperature']:.0f} ± {row['temperature_std']:.0f} K, drift {1000 * row['energy_drift']:+.2f} "
        f"meV/atom/ps, in molecules {early:.2f} then {late:.2f}, partners kept for {partner}, "
        f"DFT {', '.join(f'{p:.1f}' for p in row['dft_pressure_GPa'].values()) or 'none yet'} GPa"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="folder", type=Path, default=HERE / "data" / "fluid-h")
    args = parser.parse_args()
    recipe, began = find_recipe("fluid-h"), time.perf_counter()
    if not isinstance(recipe.source, FluidSource):
        raise ElfzooError("the recipe fluid-h has no trajectories")
    rows = measure(args.folder, recipe.source)
    for name, row in rows.items():
        print(line(name, row))
    record = {
        **environment(),
        "seconds": round(time.perf_counter() - began, 1),
        "recipe_hash": recipe.hash,
        "equilibration_fs": recipe.source.equilibration,
        "interval_fs": recipe.source.interval,
        "trajectories": rows,
    }
    write_json(RESULTS / "fluid-dynamics.json", record)
    begin = min(left_out(recipe.source, run) for run in recipe.source.runs())
    size = save(picture(states(args.folder, recipe.source), begin), FIGURES / "fluid-h-dynamics.png")
    print(f"fluid-h-dynamics.png: {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
