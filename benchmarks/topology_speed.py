"""Time and memory of the topology of a field on one core, and of GUDHI's persistent homology of it in the same run.

    python benchmarks/topology_speed.py                          about 3 minutes on an idle machine
    python benchmarks/topology_speed.py --points 72 --repeat 1   a first look, in seconds
    python benchmarks/topology_speed.py --cells 2                the grids over 2 × 2 × 2 cells, as of 1024 atoms

The field is a reference field of hydrogen, Fourier-resampled to N × N × N points and clipped to [0, 1]. Every
measurement is a process of its own with one thread: it imports, warms up on a small field, then does the work once. All
of them are run in turn, and that --repeat times, so that a machine that slows down slows down all; of each the shortest
and the median time are kept, and the largest memory. Memory is what the process holds at its peak beyond what it held
with the field loaded, in multiples of the field in double precision. Ratios to GUDHI are those of CPU seconds within a
round. GUDHI (pip install gudhi) computes the persistence pairs of all dimensions, from which its networking thresholds
are read; they are compared with elfzoo's (6 neighbours) and must be equal. Without GUDHI there are no ratios.

networking() also interpolates to at most 0.08 Å between points, so a small grid costs the time and memory of that one.
Where CPU seconds are much less than seconds, the machine was busy: run it again when it is not.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import elfzoo
from elfzoo.analysis import critical_points, networking, percolation_thresholds
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.interpolate import fourier_resample
from elfzoo.io.files import write_bytes

HERE = Path(__file__).parent
DATA = HERE / "data" / "fluid-h" / "fluid_115.1GPa_A_f02000.npz"
OUT = HERE / "results" / "topology" / "speed.json"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
WARM_UP = 12  # points along each axis
PEER, PEER_POINTS = "gudhi", (72, 96)
Measure = Callable[[Path, int, int, str], dict[str, Any]]
TARGETS = (  # what, points along an axis, seconds at most
    (("networking",), 192, 3.0),
    (("networking", "critical_points"), 192, 8.0),
    (("networking",), 96, 1.0),
)
MOST_FIELDS = 10.0  # peak memory, as multiples of the field


# ---- what is measured ----


def field_of(path: Path, points: int, cells: int = 1) -> Field:
    """The stored field with ``points`` along each axis in double precision, over so many cells along each."""
    stored = elfzoo.read_field(path)
    if points % cells:
        raise ElfzooError(f"{cells} cells need a multiple of {cells} points; got {points}")
    n = points // cells
    structure = stored.structure.copy()
    structure.make_supercell([cells] * 3)
    values = np.clip(fourier_resample(stored.values, (n, n, n)), 0, 1)
    return stored.replace(values=np.tile(values, (cells,) * 3), structure=structure)


def phi(field: Field, spacing: float | None = 0.08) -> dict[str, Any]:
    found = networking(field, spacing)
    return {"values": [found.phi_1d, found.phi_2d, found.phi_3d], "grid": list(found.shape)}


def points_of(field: Field) -> dict[str, Any]:
    return {"counts": critical_points(field).counts}


def thresholds(field: Field) -> dict[str, Any]:
    return {"values": list(percolation_thresholds(field.values).best)}


def gudhi_thresholds(field: Field) -> dict[str, Any]:
    """The births of the three loops that never die, from all persistence pairs."""
    from gudhi import PeriodicCubicalComplex

    cubes = PeriodicCubicalComplex(vertices=-field.values, periodic_dimensions=[True] * 3)
    cubes.compute_persistence()
    born, dead = cubes.persistence_intervals_in_dimension(1).T
    return {"values": sorted((-born[np.isinf(dead)]).tolist(), reverse=True)}


WAYS: dict[str, Callable[[Field], dict[str, Any]]] = {
    "networking": phi,
    "networking, stored points": lambda field: phi(field, None),
    "critical_points": points_of,
    "percolation_thresholds": thresholds,
    PEER: gudhi_thresholds,
}


# ---- one measurement ----


def measure_here(path: Path, points: int, cells: int, way: str) -> dict[str, Any]:
    """Seconds, CPU seconds, peak memory beyond the field in multiples of it, and what was found."""
    WAYS[way](field_of(path, WARM_UP))
    field = field_of(path, points, cells)
    forget_peak()
    before, wall, cpu = peak_bytes(), time.perf_counter(), time.process_time()
    found = WAYS[way](field)
    spent = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    memory = (peak_bytes() - before) / field.values.nbytes
    if way == PEER and found["values"] != list(percolation_thresholds(field.values, 6).all):
        raise ElfzooError(f"GUDHI finds other thresholds on {points} points per axis: {found['values']}")
    return {**spent, "memory": memory, "found": found}


def measure_apart(path: Path, points: int, cells: int, way: str) -> dict[str, Any]:
    """:func:`measure_here` in a fresh process with one thread."""
    command = [sys.executable, __file__, "--data", str(path), "--points", str(points), "--cells", str(cells)]
    done = subprocess.run([*command, "--measure", way], env=os.environ | ONE_THREAD, capture_output=True, text=True)
    if done.returncode:
        raise ElfzooError(f"{way} on {points} points per axis failed:\n{done.stderr}")
    return json.loads(done.stdout)


def forget_peak() -> None:
    """Let the peak start again from what is used now (Linux; elsewhere the imports count as used before)."""
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # freed memory that was kept would be used again, and not be seen
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def peak_bytes() -> int:
    """Largest resident memory of this process so far; not ru_maxrss on Linux, which starts with the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# ---- all of them ----


def rounds(
    path: Path, points: Sequence[int], peer_points: Sequence[int], repeat: int, cells: int, measure: Measure
) -> list[dict[tuple[int, str], dict[str, Any]]]:
    """Measurements by points per axis and way, one dictionary for each round."""
    cases = [(n, way) for n in points for way in WAYS if way != PEER or n in peer_points]
    found = []
    for number in range(1, repeat + 1):
        found.append({})
        for n, way in cases:
            row = found[-1][n, way] = measure(path, n, cells, way)
            spent = f"{row['seconds']:8.3f} s, {row['cpu_seconds']:8.3f} s CPU, {row['memory']:6.1f} × the field"
            print(f"round {number} of {repeat}, {n}³ {way:26s}{spent}", file=sys.stderr, flush=True)
    return found


def summary(found: Sequence[Mapping[tuple[int, str], Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """By points per axis, then way: shortest and median times, largest memory, what was found, ratio to GUDHI."""
    table: dict[str, dict[str, Any]] = {}
    for n, way in found[0]:
        rows = [part[n, way] for part in found]
        entry = {key: spread([row[key] for row in rows]) for key in ("seconds", "cpu_seconds")}
        entry |= {"memory": round(max(row["memory"] for row in rows), 2), "found": rows[0]["found"]}
        if way != PEER and (n, PEER) in found[0]:
            ratios = [part[n, way]["cpu_seconds"] / part[n, PEER]["cpu_seconds"] for part in found]
            entry["ratio_to_gudhi"] = spread(ratios)
        table.setdefault(str(n), {})[way] = entry
    return table


def spread(numbers: Sequence[float]) -> dict[str, float]:
    return {"min": round(min(numbers), 5), "median": round(statistics.median(numbers), 5)}


def verdicts(table: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The project's targets, as far as they were measured, beside the shortest times and the largest memory."""
    rows = []
    for ways, n, limit in TARGETS:
        if str(n) in table:
            seconds, cpu = (sum(table[str(n)][w][key]["min"] for w in ways) for key in ("seconds", "cpu_seconds"))
            rows.append({"what": f"{n}³ {' + '.join(ways)}", "limit": limit, "seconds": seconds, "cpu_seconds": cpu})
            rows[-1]["met"] = seconds <= limit
    for n, entries in table.items():
        memory, way = max((entry["memory"], way) for way, entry in entries.items() if way != PEER)
        rows.append({"what": f"{n}³ memory / field, {way}", "limit": MOST_FIELDS, "memory": memory})
        rows[-1]["met"] = memory <= MOST_FIELDS
    return rows


def record(path: Path, cells: int, repeat: int, table: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Everything that a result needs to be checked and repeated."""
    try:
        place = path.resolve().relative_to(HERE.parent)
    except ValueError:
        place = path
    return {
        "task": "topology_speed",
        "data": place.as_posix(),
        "data_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "cells": cells,
        "repeat": repeat,
        "threads": 1,
        "targets": verdicts(table),
        "points": table,
        "hardware": f"{platform.machine()}, {processor()}, {os.cpu_count()} cores, one used",
        "python": platform.python_version(),
        **{name: version(name) for name in ("elfzoo", "numpy", "scipy", *peers())},
    }


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def peers() -> tuple[str, ...]:
    return (PEER,) if importlib.util.find_spec(PEER) else ()


# ---- what is said ----


def report(result: Mapping[str, Any]) -> None:
    """Print a record as a table, then the targets."""
    print("points  what                         seconds  CPU seconds  × field  CPU time / GUDHI's (medians)")
    for n, entries in result["points"].items():
        for way, entry in entries.items():
            times = f"{entry['seconds']['min']:8.3f}  {entry['cpu_seconds']['min']:11.3f}  {entry['memory']:7.1f}"
            ratio = f"  {entry['ratio_to_gudhi']['median']:.4f}" if "ratio_to_gudhi" in entry else ""
            print(f"{n + '³':7s} {way:26s} {times}{ratio}")
    print("targets")
    for row in result["targets"]:
        figure = f"{row['memory']:.1f}" if "memory" in row else f"{row['seconds']:.2f} s ({row['cpu_seconds']:.2f} CPU)"
        print(f"  {row['what']:50s} {figure:20s} limit {row['limit']:g}: {'met' if row['met'] else 'NOT MET'}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", nargs="+", type=int, default=[72, 96, 192], metavar="N", help="along each axis")
    parser.add_argument(
        "--gudhi-points", nargs="*", type=int, default=list(PEER_POINTS), metavar="N", help="grids that GUDHI gets too"
    )
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--cells", type=int, default=1, help="cells of the stored field along each axis")
    parser.add_argument("--data", type=Path, default=DATA, help="a field that elfzoo reads, its axes about equal")
    parser.add_argument("--out", type=Path, default=OUT, help=f"the record; {OUT.relative_to(HERE.parent)} by default")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if args.measure:
        return print(json.dumps(measure_here(args.data, args.points[0], args.cells, args.measure)))
    if args.repeat < 1:
        raise ElfzooError(f"--repeat takes a number of rounds from 1 on; got {args.repeat}")
    if args.gudhi_points and not peers():
        print("GUDHI is not installed (pip install gudhi): no ratios to it", file=sys.stderr)
    peer_points = args.gudhi_points if peers() else []
    found = rounds(args.data, args.points, peer_points, args.repeat, args.cells, measure_apart)
    result = record(args.data, args.cells, args.repeat, summary(found))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(args.out, [(json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode()])
    report(result)
    return print(f"record: {args.out}")


if __name__ == "__main__":
    try:
        main()
    except ElfzooError as error:
        raise SystemExit(str(error)) from None
