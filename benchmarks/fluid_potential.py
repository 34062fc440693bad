"""Does the fluid of the fitted potential have the structure of DFT's own molecular dynamics?

    python benchmarks/fluid_potential.py [--frames FILE] [--duration 2000] [--seeds 2]

For each pressure: g(r) and the fraction of atoms in molecules from snapshots of Born-Oppenheimer MD (Quantum ESPRESSO,
64 H, Baldereschi point, `benchmarks/reference/potential/dft_md.npz`), and from dynamics with the potential in the same
cells, started elsewhere. Writes benchmarks/results/reference/fluid-potential.json and a picture.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from reference_convergence import RESULTS

from elfzoo.benchmark import environment, write_json
from elfzoo.plot import figure_path, save_figure
from elfzoo.progress import progress_bar
from elfzoo.reference.diagnostics import molecular_fraction
from elfzoo.reference.dynamics import pair_distribution, run_dynamics
from elfzoo.reference.fluid import load_potential

HERE = Path(__file__).parent
TEMPERATURE, EQUILIBRATION, EVERY = 1500.0, 500.0, 10  # K, fs, frames of 5 fs
BINS = 40


def structure(frames: np.ndarray, lattice: np.ndarray) -> dict:
    """g(r) and molecular fraction of frames (frames, atoms, 3)."""
    radius, g = pair_distribution(frames, lattice, bins=BINS)
    bond = (radius > 0.5) & (radius < 1.0)
    return {
        "frames": len(frames),
        "molecular_fraction": molecular_fraction(frames, lattice),
        "peak_A": float(radius[bond][g[bond].argmax()]),
        "radius_A": radius.round(4).tolist(),
        "g": g.round(4).tolist(),
    }


def compare(lattice: np.ndarray, dft: np.ndarray, duration: float, seeds: int) -> dict:
    """DFT's frames and those of the potential in the same cell."""
    volume, potential = float(np.linalg.det(lattice)) / dft.shape[1], load_potential()
    frames = []
    for seed in range(seeds):
        found = run_dynamics(potential, dft.shape[1], volume, TEMPERATURE, duration, seed)
        frames.append(found.positions[found.time > EQUILIBRATION][::EVERY])
    reference, learned = structure(dft, lattice), structure(np.concatenate(frames), lattice)
    difference = float(np.abs(np.subtract(reference["g"], learned["g"])).mean())
    return {"volume_per_atom_A3": volume, "dft": reference, "potential": learned, "mean_difference_of_g": difference}


def draw(states: dict[str, dict], path: Path) -> None:
    """g(r) of both at each pressure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, (pressure, state) in zip(figure.subplots(1, len(states), sharey=True), states.items(), strict=True):
        axes.plot(state["dft"]["radius_A"], state["dft"]["g"], "o", ms=3, color="k", label="DFT MD")
        axes.plot(state["potential"]["radius_A"], state["potential"]["g"], color="tab:blue", label="potential")
        axes.set(title=f"{pressure} GPa", xlabel="r (Å)")
    figure.axes[0].set_ylabel("g(r)")
    figure.axes[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, figure_path(path))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, default=HERE / "reference" / "potential" / "dft_md.npz")
    parser.add_argument("--duration", type=float, default=2000.0, help="fs, of each run")
    parser.add_argument("--seeds", type=int, default=2, help="runs per pressure")
    args = parser.parse_args()
    began, states = time.perf_counter(), {}
    with np.load(args.frames, allow_pickle=False) as data, progress_bar("dynamics", 3) as advance:
        for pressure in sorted({name.split("_")[0] for name in data.files}, key=float):
            lattice, dft = data[f"{pressure}_lattice"], data[f"{pressure}_positions"]
            states[pressure] = compare(lattice, dft, args.duration, args.seeds)
            advance(1)
            line = states[pressure]
            print(
                f"{pressure} GPa: atoms in molecules {line['dft']['molecular_fraction']:.2f} by DFT "
                f"({line['dft']['frames']} frames), {line['potential']['molecular_fraction']:.2f} by the potential; "
                f"mean difference of g(r) {line['mean_difference_of_g']:.3f}"
            )
    errors = json.loads((HERE / "reference" / "potential" / "round2" / "errors.json").read_text())
    record = {
        **environment(),
        "seconds": round(time.perf_counter() - began, 1),
        "temperature_K": TEMPERATURE,
        "fit": errors,
        "states": states,
    }
    write_json(RESULTS / "fluid-potential.json", record)
    draw(states, HERE / "figures" / "fluid-potential.png")


if __name__ == "__main__":
    main()
