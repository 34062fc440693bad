"""Speed and memory against size: whole predictions of dense hydrogen, of 50 to 4000 atoms and 48³ to 256³ points.

    python benchmarks/scaling.py                             all releases that take hydrogen and need no engine: hours
    python benchmarks/scaling.py -m grid_mlp.smooth-h-v3     one model: a few minutes
    python benchmarks/scaling.py --frame 5000                one frame of 5000 atoms by one fast model: a minute
    python benchmarks/scaling.py --quick                     tiny sizes, to see that it works; leaves no record
    python benchmarks/scaling.py --draw                      only the tables and the picture of the record

Two series. In one, atoms grow at the density of the task ``speed`` (500 in a cube of 11 Å) on a grid of one spacing; in
the other, the grid of 500 atoms gets finer. Each job is a whole prediction, from a structure to a file, streamed by
models of points and written at the end by models of whole fields, in a fresh process of its own, whose largest resident
memory is recorded, and also what the job added to it. Of a model of points that takes longer than --whole-within a part
of the grid is timed, as the record's ``share_timed`` says. A size that a model refuses, that needs more than --memory
or takes longer than --limit has the reason instead; larger cells of that model are then not tried.

Each measurement goes at once to ``benchmarks/results/scaling.json``. The same command again does what the record lacks,
for the weights of now; on other hardware or with other versions the record is begun anew. Then
``python benchmarks/render.py`` writes the tables of docs/speed.md. Times count on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling_job import ATOMS, FOREVER, Job, edge_of, run_fresh
from scaling_table import FIGURE, draw, table

import elfzoo
from elfzoo.benchmark.record import environment, write_json
from elfzoo.card import read_card, shipped_releases
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.io.json_values import json_values
from elfzoo.progress import progress_bar

RECORD = Path(__file__).parent / "results" / "scaling.json"
FRAME_MODEL, QUICK_MODELS = "grid_mlp.smooth-h-v3", ("grid_mlp.smooth-h-v3", "symmetry_unet.h-v1")
SPACING, DIGITS = 0.1, 6  # Å
SIZE = ("model", "atoms", "points")
SIZES, POINTS = (50, 128, 500, 1000, 2000, 4000), (48, 96, 128, 192, 256)
QUICK_SIZES, QUICK_POINTS, QUICK_ATOMS = (8, 16, 32), (8, 12), 16
Sizes = Sequence[tuple[int, int]]  # atoms, points along each edge
Record = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    args = checked(parser().parse_args(arguments))
    with tempfile.TemporaryDirectory() as scratch:
        quick = Path(scratch) if args.quick else None
        path = args.out or (quick / "scaling.json" if quick else RECORD)
        figure = args.figure or (quick / FIGURE.name if quick else FIGURE)
        record = recorded(path) if args.draw else opened(path, chosen_series(args.quick))
        if not args.draw:
            measure(record, path, args)
        print("\n".join(table(record)))
        if record and record["entries"]:
            print(draw(record, figure))


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("-m", "--models", nargs="+", metavar="NAME", help="releases [all that take hydrogen]")
    found.add_argument("--frame", type=int, metavar="ATOMS", help="only one frame of so many atoms, whole")
    found.add_argument("--whole-within", type=float, default=60.0, metavar="S", help="else a part is timed [60]")
    found.add_argument("--repeat", type=int, default=2, metavar="N", help="runs, of which the fastest counts [2]")
    found.add_argument(
        "--limit", type=float, default=1800.0, metavar="S", help="longest that a process may take [1800]"
    )
    found.add_argument("--memory", type=float, default=16.0, metavar="GiB", help="most that a process may take [16]")
    found.add_argument("--retry", action="store_true", help="try again what has a reason instead of a figure")
    found.add_argument("--quick", action="store_true", help="tiny sizes")
    found.add_argument("--draw", action="store_true", help="measure nothing")
    found.add_argument("--out", type=Path, metavar="FILE", help="of the record [benchmarks/results/scaling.json]")
    found.add_argument("--figure", type=Path, metavar="FILE", help="of the picture [benchmarks/figures/scaling.png]")
    return found


def checked(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments, numbers below 1 refused."""
    wrong = [name for name in ("frame", "repeat") if getattr(args, name) is not None and getattr(args, name) < 1]
    if wrong:
        raise ElfzooError(f"--{wrong[0]} takes a number from 1 on; got {getattr(args, wrong[0])}")
    return args


def chosen_series(quick: bool) -> dict[str, Sizes]:
    """Atoms and points along each edge of the jobs of both series."""
    sizes, points, atoms = (QUICK_SIZES, QUICK_POINTS, QUICK_ATOMS) if quick else (SIZES, POINTS, ATOMS)
    return {"atoms": [(n, points_of(n)) for n in sizes], "points": [(atoms, n) for n in points]}


def points_of(atoms: int) -> int:
    """Points along each edge at the one spacing, whatever numbers Fourier transforms like."""
    return round(edge_of(atoms) / SPACING)


def hydrogen_models() -> list[str]:
    """The releases that ship, take hydrogen and need no engine."""
    cards = {name: read_card(folder) for name, folder in shipped_releases().items()}
    return [name for name in elfzoo.list_pretrained(engines=False) if "H" in (cards[name].elements or ("H",))]


def versions() -> dict[str, str]:
    """What a time belongs to."""
    return {key: value for key, value in environment().items() if key != "date"}


def recorded(path: Path) -> Record:
    """The record as it is; empty where there is none."""
    return json.loads(path.read_text()) if path.is_file() else {}


def opened(path: Path, series: Mapping[str, Sizes]) -> Record:
    """The record so far; an empty one, with a word of it, where other versions or other hardware measured."""
    found, now = recorded(path), versions()
    if found and found["versions"] != now:
        print(f"{path} is of {found['versions']}; begun anew for {now}", file=sys.stderr)
        found = {}
    sizes = {name: [list(size) for size in part] for name, part in series.items()}
    head = {"task": "scaling", "date": datetime.date.today().isoformat(), "spacing": SPACING, "versions": now}
    return head | {"series": sizes} | {part: found.get(part, []) for part in ("entries", "frames")}


def measure(record: Record, path: Path, args: argparse.Namespace) -> None:
    """Do what the record lacks, and write it after each measurement."""
    part, jobs = ("frames", frame(args)) if args.frame else ("entries", list(series_jobs(record, args)))
    with progress_bar("speed against size", len(jobs)) as advance:
        for job in jobs:
            key = key_of(job)
            there = [row for row in record[part] if key.items() <= row.items()]
            if not there or (args.retry and "reason" in there[0]):
                rest = [row for row in record[part] if any(row[name] != key[name] for name in SIZE)]
                found = refused(rest, key) or run_fresh(job, args.limit)
                record[part] = in_order([*rest, key | json_values(found, DIGITS)])
                write_json(path, record)
            advance(1)


def series_jobs(record: Record, args: argparse.Namespace) -> Iterator[Job]:
    """All jobs of both series, once each, the smaller first."""
    known = hydrogen_models()
    for model in args.models or (QUICK_MODELS if args.quick else known):
        if model not in known:
            raise UnknownNameError("release that takes hydrogen and needs no engine", model, known)
        for atoms, points in sorted({tuple(size) for part in record["series"].values() for size in part}):
            yield Job(model, atoms, points, args.whole_within, args.repeat, args.memory)


def frame(args: argparse.Namespace) -> list[Job]:
    """One frame, predicted whole."""
    models = args.models or [FRAME_MODEL]
    points = points_of(args.frame)
    return [Job(model, args.frame, points, FOREVER, 1, args.memory, check=True) for model in models]


def key_of(job: Job) -> dict[str, Any]:
    """What an entry is found by."""
    weights = read_card(shipped_releases()[job.model]).weights_sha256
    return {"model": job.model, "atoms": job.atoms, "points": job.points, "weights_sha256": weights}


def refused(rows: Sequence[Mapping[str, Any]], key: Mapping[str, Any]) -> dict[str, str] | None:
    """The reason why a smaller job of the same model failed, with no more atoms and no more points; None: none did."""
    for row in rows:
        smaller = row["model"] == key["model"] and row["atoms"] <= key["atoms"] and row["points"] <= key["points"]
        if smaller and "reason" in row:
            return {"reason": f"not tried: {row['atoms']} atoms on {row['points']}³ points failed already"}
    return None


def in_order(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: [row[name] for name in SIZE])


if __name__ == "__main__":
    try:
        main()
    except ElfzooError as error:
        sys.exit(str(error))
