"""Critical points of the reference fields: counts, Morse sums, times, and precision and recall against a dense search.

    python benchmarks/critical_points.py [--tasks fluid-h crystal-h] [--every 1] [--dense 5] [--out FILE.json]

The dense search knows nothing of cells and bounds: Newton's method from many random starts on logit(ELF) interpolated
to a three times finer grid by its Fourier series, then on the exact series itself. A point of it counts for recall
when no point of a neighbouring kind lies close by with a value within the threshold; a point found counts as right
when the dense search has one of its kind within 0.05 Å of it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from elfzoo.analysis import CriticalPoints, critical_points
from elfzoo.analysis.spline import Spline
from elfzoo.field import Field
from elfzoo.interpolate import PeriodicSpline, fourier_resample
from elfzoo.io import read_field
from elfzoo.io.files import write_bytes
from elfzoo.target import Target

DATA = Path(__file__).parent / "data"
FINER, STARTS, STEPS = 3, 60_000, 80
REACH = 0.05  # Å, of a match
NEIGHBOUR = 0.5  # Å, to a point that could cancel another
THRESHOLD = 0.005  # persistence
BLOCK = 64  # points of the exact series at a time
TASKS = ("fluid-h", "crystal-h")
MORSE = {-3: 1, -1: -1, 1: 1, 3: -1}
ELF = Target()  # its link: logit(ELF) and back
WAYS = (("all", "value", 0.0), ("kept", "value", THRESHOLD), ("logit", "logit", THRESHOLD))


class ExactSeries:
    """The Fourier series through gridded values, Nyquist terms as cosines: what the data say between grid points."""

    def __init__(self, values: np.ndarray):
        self.coefficients = np.fft.fftn(values) / values.size
        self.waves = [2 * np.pi * np.fft.fftfreq(n, 1 / n) for n in values.shape]

    def taylor(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values, gradients and Hessians with respect to fractional coordinates."""
        blocks = [self._block(points[i : i + BLOCK]) for i in range(0, len(points), BLOCK)]
        value, gradient, hessian = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return value, gradient, hessian

    def _block(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y, z = (self._factors(points[:, axis], axis) for axis in range(3))
        derivatives: dict[tuple[int, int, int], np.ndarray] = {}
        for c in range(3):
            plane = self.coefficients @ z[c].T  # (nx, ny, points)
            for b in range(3 - c):
                row = np.einsum("xyp,py->xp", plane, y[b])
                for a in range(3 - b - c):
                    derivatives[a, b, c] = np.einsum("xp,px->p", row, x[a]).real
        unit = np.eye(3, dtype=int)
        gradient = np.stack([derivatives[tuple(unit[i])] for i in range(3)], axis=-1)
        second = [np.stack([derivatives[tuple(unit[i] + unit[j])] for j in range(3)], axis=-1) for i in range(3)]
        return derivatives[0, 0, 0], gradient, np.stack(second, axis=-2)

    def _factors(self, x: np.ndarray, axis: int) -> list[np.ndarray]:
        k = self.waves[axis]
        wave = np.exp(1j * np.outer(x, k))
        factors = [wave, 1j * k * wave, -(k**2) * wave]
        if len(k) % 2 == 0:  # the highest wave as a cosine
            n = len(k) // 2
            factors[0][:, n], factors[1][:, n] = np.cos(x * k[n]), -k[n] * np.sin(x * k[n])
            factors[2][:, n] = -(k[n] ** 2) * factors[0][:, n]
        return factors


def newton_steps(gradient: np.ndarray, hessian: np.ndarray, longest: float) -> np.ndarray:
    """Newton's steps of at most a length; those of singular Hessians are left to the pseudo-inverse."""
    step = -np.einsum("pij,pj->pi", np.linalg.pinv(hessian, rcond=1e-10, hermitian=True), gradient)
    return step * np.minimum(1, longest / np.maximum(np.linalg.norm(step, axis=1), 1e-300))[:, None]


def distinct(points: np.ndarray, reach: float) -> np.ndarray:
    """Fractional points of which none is within ``reach`` of another."""
    points = points % 1.0
    points[points >= 1] = 0.0
    again = np.zeros(len(points), bool)
    again[cKDTree(points, boxsize=1.0).query_pairs(reach, output_type="ndarray").max(axis=1, initial=0)] = True
    again[:1] = False
    return points[~again]


def dense_search(values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fractional positions, values and kinds of what Newton's method finds from random starts and all grid points."""
    nx, ny, nz = values.shape
    fine = fourier_resample(values, (FINER * nx, FINER * ny, FINER * nz))
    spline, shape = Spline(PeriodicSpline.through(fine).coefficients), np.array(fine.shape)
    points = rng.random((STARTS, 3)) * shape
    for _ in range(STEPS):
        _, gradient, hessian = spline.taylor(points)
        points = points + newton_steps(gradient, hessian, 1.0)
    gradient = spline.taylor(points)[1]
    near = distinct(points[np.linalg.norm(gradient, axis=1) < 1e-9] / shape, 1e-5)
    series = ExactSeries(values)
    for _ in range(6):
        _, gradient, hessian = series.taylor(near)
        near = near + newton_steps(gradient, hessian, 0.01)
    gradient = series.taylor(near)[1]
    near = distinct(near[np.linalg.norm(gradient, axis=1) < 1e-7], 1e-6)
    value, _, hessian = series.taylor(near)
    return near, value, 2 * (np.linalg.eigvalsh(hessian) > 0).sum(axis=1) - 3


def agreement(field: Field, rng: np.random.Generator) -> dict[str, Any]:
    """Precision and recall at the threshold, and how far matched points are apart; in logit(ELF).

    That is where the reference fields are band-limited, so that spline and series agree between points 0.1 Å apart.
    """
    places, values, kinds = dense_search(ELF.outputs(field.values.astype(np.float64)), rng)
    values = ELF.values(values)
    everything, kept = (critical_points(field, "logit", persistence=p) for p in (0.0, THRESHOLD))
    between = field.structure.lattice.get_all_distances(places, everything.frac_coords)
    between[kinds[:, None] != everything.signatures] = np.inf
    found = between.min(axis=1) < REACH
    right = field.structure.lattice.get_all_distances(kept.frac_coords, places)
    right[kept.signatures[:, None] != kinds] = np.inf
    persistent = ~cancellable(field, places, values, kinds)
    nearest = between.argmin(axis=1)
    gaps = np.abs(everything.values[nearest] - values)[found]
    return {
        "dense": len(places),
        "found": len(everything),
        "dense_persistent": int(persistent.sum()),
        "kept": len(kept),
        "precision": float((right.min(axis=1) < REACH).mean()),
        "recall": float(found[persistent].mean()),
        "recall_all": float(found.mean()),
        "largest_distance": float(between.min(axis=1)[found].max()),
        "median_distance": float(np.median(between.min(axis=1)[found])),
        "median_value_error": float(np.median(gaps)),
        "dense_morse_sum": int(sum(sign * (kinds == kind).sum() for kind, sign in MORSE.items())),
    }


def cancellable(field: Field, places: np.ndarray, values: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Points next to one of the neighbouring kind with a value within the threshold."""
    near = field.structure.lattice.get_all_distances(places, places) < NEIGHBOUR
    close = np.abs(values[:, None] - values) < THRESHOLD
    return (near & close & (np.abs(kinds[:, None] - kinds) == 2)).any(axis=1)


def summary(points: CriticalPoints, seconds: float) -> dict[str, Any]:
    """What the table says of one field."""
    return {
        "counts": list(points.counts.values()),
        "morse_sum": points.morse_sum,
        "cause": points.morse_reason,
        "seconds": round(seconds, 3),
        "dropped": {name: count for name, count in points.dropped.items() if count},
    }


def measure(path: Path) -> dict[str, Any]:
    """Counts and Morse sums of one field, without and with persistence, on values and on logits."""
    field, record = read_field(path), {}
    for name, space, persistence in WAYS:
        start = time.perf_counter()
        points = critical_points(field, space, persistence=persistence)  # type: ignore[arg-type]
        record[name] = summary(points, time.perf_counter() - start)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--every", type=int, default=1, help="take every n-th field")
    parser.add_argument("--dense", type=int, default=5, help="fields to search densely")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    paths = [path for task in args.tasks for path in sorted((DATA / task).glob("*.npz"))[:: args.every]]
    fields = {path.stem: measure(path) for path in paths}
    for name in ("all", "kept", "logit"):
        wrong = [stem for stem, record in fields.items() if record[name]["morse_sum"]]
        seconds = np.mean([record[name]["seconds"] for record in fields.values()])
        print(f"{name}: Morse sum 0 in {len(fields) - len(wrong)} of {len(fields)}, {seconds:.3f} s per field")
        for stem in wrong:
            print(f"  {stem}: {fields[stem][name]['morse_sum']}, {fields[stem][name]['cause']}")
    chosen = paths[:: max(1, len(paths) // max(1, args.dense))][: args.dense]
    dense = {}
    for path in chosen:
        dense[path.stem] = agreement(read_field(path), np.random.default_rng(0))
        print(path.stem, json.dumps(dense[path.stem]))
    if args.out:
        record = {"threshold": THRESHOLD, "fields": fields, "dense": dense}
        write_bytes(args.out, [json.dumps(record, indent=1).encode()])


if __name__ == "__main__":
    main()
