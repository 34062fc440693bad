"""Structures per minute of `elfzoo screen` on random crystals of hydrogen, and what a second worker is worth.

    python benchmarks/screening.py                          2 000 crystals, 1 worker, then 2; on an idle machine
    python benchmarks/screening.py --count 20 --workers 1   a first look
    python benchmarks/screening.py --kill                   also with a worker and the client killed on the way

Crystals are drawn from space groups with pymatgen (1 to 24 atoms, 2.3 Å³ per atom, no two atoms closer than 0.6 Å), by
seed, so that everyone has the same ones. Every worker has one thread, in a fresh output; the time is that of the whole
command, start, reading and writing included. Efficiency is the rate of N workers over N times that of one. What the
machine gives N processes at all is measured beside it: "apart" are N commands at once that know nothing of each other,
each with its part of the files. A run that the record has already, of the same crystals, settings and version, is not
made again unless --fresh.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.groups import SpaceGroup

import elfzoo
from elfzoo.card import read_card
from elfzoo.hub.load import locate
from elfzoo.io.files import write_bytes
from elfzoo.screening import structure_hash, work_folder
from elfzoo.screening.journal import read_journals

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "screening"
PLACE = HERE.parent / "runs" / "screening"
MOST_ATOMS, VOLUME, SHORTEST = 24, 2.3, 0.6  # per cell; Å³ per atom; Å
SPECIAL = (0.0, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4)
THRESHOLD = 0.4  # of φ, for the verdicts
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


# ---- crystals ----


def crystals(count: int, seed: int) -> Iterator[Structure]:
    """Different random crystals of hydrogen, always the same ones for a seed; more of them begin with these."""
    rng, seen = np.random.default_rng(seed), set[str]()
    while len(seen) < count:
        structure = random_crystal(rng)
        if structure is None or structure_hash(structure) in seen:
            continue
        seen.add(structure_hash(structure))
        yield structure


def random_crystal(rng: np.random.Generator) -> Structure | None:
    """One draw: a space group, one to three orbits; None where atoms are too many or too close."""
    group = SpaceGroup.from_int_number(int(rng.integers(3, 231)))
    orbits = rng.integers(1, 4)
    special = rng.choice(SPECIAL, (orbits, 3))
    places = np.where(rng.random((orbits, 3)) < 0.5, rng.random((orbits, 3)), special)
    structure = Structure.from_spacegroup(group.symbol, lattice(group.crystal_system, rng), ["H"] * orbits, places)
    if len(structure) > MOST_ATOMS:
        return None
    structure.scale_lattice(VOLUME * len(structure))
    return structure if shortest_distance(structure) >= SHORTEST else None


def lattice(system: str, rng: np.random.Generator) -> Lattice:
    """Of a crystal system, with random ratios of edges and angles."""
    a, b, c = 3.0 * rng.uniform(0.7, 1.4, 3)
    alpha, beta, gamma = rng.uniform(70, 110, 3)
    return {
        "triclinic": lambda: Lattice.from_parameters(a, b, c, alpha, beta, gamma),
        "monoclinic": lambda: Lattice.monoclinic(a, b, c, beta),
        "orthorhombic": lambda: Lattice.orthorhombic(a, b, c),
        "tetragonal": lambda: Lattice.tetragonal(a, c),
        "trigonal": lambda: Lattice.hexagonal(a, c),
        "hexagonal": lambda: Lattice.hexagonal(a, c),
        "cubic": lambda: Lattice.cubic(a),
    }[system]()


def shortest_distance(structure: Structure) -> float:
    """Between two atoms or an atom and its image, Å."""
    distances = structure.distance_matrix + np.diag([np.inf] * len(structure))
    own = structure.lattice.get_lll_reduced_lattice().abc  # the shortest lattice vector is one of these or longer
    return float(min(distances.min(), *own))


def write_crystals(count: int, seed: int) -> Path:
    """A folder with a POSCAR of each."""
    folder = PLACE / f"crystals-{count}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, structure in enumerate(crystals(count, seed)):
        structure.to(str(folder / f"POSCAR_{number:05d}"), fmt="poscar")
    return folder


# ---- runs ----


def command(folder: Path, out: Path, model: str, workers: int) -> list[str]:
    call = [sys.executable, "-m", "elfzoo", "screen", str(folder), "-m", model, "-o", str(out)]
    return [*call, "--threshold", str(THRESHOLD), "--workers", str(workers), "--threads", "1"]


def fresh_output(name: str) -> Path:
    out = PLACE / f"{name}.parquet"
    out.unlink(missing_ok=True)
    shutil.rmtree(work_folder(out), ignore_errors=True)
    return out


def timed(folder: Path, model: str, workers: int) -> dict[str, Any]:
    """One run from nothing; what the table says of it."""
    out = fresh_output(f"workers-{workers}")
    began = time.perf_counter()
    subprocess.run(command(folder, out, model, workers), check=True, env=os.environ | ONE_THREAD)
    seconds = time.perf_counter() - began
    rows = pq.read_table(out).to_pylist()
    computing = [row["seconds"] for row in rows if row["seconds"] is not None]
    return {
        "seconds": round(seconds, 2),
        "structures_per_minute": round(60 * len(rows) / seconds, 2),
        "computing_seconds": round(sum(computing), 2),
        "seconds_per_structure": {
            "median": round(statistics.median(computing), 4),
            "mean": round(statistics.fmean(computing), 4),
            "largest": round(max(computing), 4),
        },
        "statuses": dict(Counter(row["status"] for row in rows)),
        "verdicts": dict(Counter(str(row["verdict"]) for row in rows)),
        "morse_sum_not_zero": sum(row["morse_sum"] != 0 for row in rows if row["morse_sum"] is not None),
        "atoms": round(statistics.fmean(row["atoms"] for row in rows), 2),
        "table_bytes_per_row": round(out.stat().st_size / len(rows), 1),
        "work_bytes_per_row": round(size_of(work_folder(out)) / len(rows), 1),
        "load_average": round(os.getloadavg()[0], 2),
    }


def timed_apart(folder: Path, model: str, parts: int) -> dict[str, Any]:
    """As many commands at once, each with a part of the files and one worker, without anything that hands work out."""
    out, began = fresh_output(f"apart-{parts}"), time.perf_counter()
    calls = [[*command(folder, out, model, 1), "--part", f"{i}/{parts}"] for i in range(1, parts + 1)]
    running = [subprocess.Popen(call, env=os.environ | ONE_THREAD) for call in calls]
    if any([process.wait() for process in running]):
        raise SystemExit("a part failed")
    seconds, count = time.perf_counter() - began, len(list(folder.iterdir()))
    load = round(os.getloadavg()[0], 2)
    return {"seconds": round(seconds, 2), "structures_per_minute": round(60 * count / seconds, 2), "load_average": load}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def killed(folder: Path, model: str, count: int, workers: int) -> dict[str, Any]:
    """A worker killed after a third, the client after two thirds, then the same command again."""
    out, log, began = fresh_output("killed"), list[dict[str, Any]](), time.perf_counter()

    def tell(what: str) -> None:
        lines = list(read_journals(work_folder(out) / "results"))
        begun, done = sum("started" in line for line in lines), sum("hash" in line for line in lines)
        log.append({"seconds": round(time.perf_counter() - began, 1), "event": what, "begun": begun, "finished": done})
        print(json.dumps(log[-1]), flush=True)

    def after(share: float) -> None:
        while sum("hash" in line for line in read_journals(work_folder(out) / "results")) < share * count:
            if client.poll() is not None:
                raise SystemExit("the run ended before it could be killed; take more crystals")
            time.sleep(0.1)

    call, environment = command(folder, out, model, workers), os.environ | ONE_THREAD
    client = subprocess.Popen(call, env=environment)
    after(1 / 3)
    worker = next(line["worker"] for line in read_journals(work_folder(out) / "results") if "worker" in line)
    os.kill(int(worker.rpartition("-")[2]), signal.SIGKILL)
    tell("a worker was killed")
    after(2 / 3)
    client.kill()
    client.wait()
    tell("the client was killed")
    subprocess.run(call, check=True, env=environment)
    tell("the same command was run again")
    rows = pq.read_table(out).to_pylist()
    begun = Counter(line["started"] for line in read_journals(work_folder(out) / "results") if "started" in line)
    lost = count - len({row["hash"] for row in rows if row["status"] == "done"})
    return {"workers": workers, "log": log, "lost": lost, "begun_more_than_once": sum(n > 1 for n in begun.values())}


# ---- record ----


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", default="grid_mlp.smooth-h-v3")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument(
        "--kill", action="store_true", help="also kill a worker and the client of a run with two workers"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what the record has")
    parser.add_argument("--out", type=Path, default=None, help="of the record [results/screening/crystals-COUNT.json]")
    asked = parser.parse_args(arguments)
    path = asked.out or RESULTS / f"crystals-{asked.count}.json"
    found, folder = record(path, asked), write_crystals(asked.count, asked.seed)
    for workers in asked.workers:
        if str(workers) not in found["runs"]:
            found["runs"][str(workers)] = timed(folder, asked.model, workers)
            keep(path, found)
    for workers in asked.workers:
        if workers > 1 and str(workers) not in found.setdefault("apart", {}):
            found["apart"][str(workers)] = timed_apart(folder, asked.model, workers)
            keep(path, found)
    if asked.kill and "killed" not in found:
        found["killed"] = killed(folder, asked.model, asked.count, 2)
        keep(path, found)
    print(json.dumps(found, indent=1))


def record(path: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """The record so far, where it is of the same crystals, model, machine and version."""
    head = {
        "crystals": {"count": asked.count, "seed": asked.seed, "most_atoms": MOST_ATOMS, "volume_per_atom": VOLUME},
        "threshold": THRESHOLD,
        "model": asked.model,
        "weights_sha256": read_card(locate(asked.model)[0]).weights_sha256,
        "elfzoo": elfzoo.__version__,
        "hardware": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    if path.is_file() and not asked.fresh:
        there = json.loads(path.read_text())
        if all(there.get(key) == value for key, value in head.items()):
            return there
    return head | {"runs": {}}


def keep(path: Path, found: dict[str, Any]) -> None:
    """Write the record, with the efficiency of several workers where there is a run of one."""
    runs = found["runs"]
    if "1" in runs:
        alone = runs["1"]["structures_per_minute"]
        for name, others in (("efficiency", runs), ("efficiency_apart", found.get("apart", {}))):
            rates = {n: run["structures_per_minute"] for n, run in others.items() if n != "1"}
            found[name] = {n: round(rate / (int(n) * alone), 3) for n, rate in rates.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, [(json.dumps(found, indent=1) + "\n").encode()])


if __name__ == "__main__":
    main()
