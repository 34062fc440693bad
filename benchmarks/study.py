"""Run a study: train what its file says, measure every run on its tasks, record, tabulate and draw.

    python benchmarks/study.py STUDY [--only PATTERN] [--seeds 0-9] [--out runs/studies] [--dry-run]

STUDY is a file, or the name of one in configs/studies. Runs that are in the record (results/studies/STUDY.json) with
the same configuration, data and version of elfzoo are skipped, those that failed too unless --retry; the others resume
where they stopped. The record is written after each run. Studies measure on the validation splits unless their file
says otherwise; every voxel of a structure weighs alike, every structure of a task too.

Small networks leave cores idle: two processes with OMP_NUM_THREADS=1 and seeds of their own may share a record.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from study_config import expand, read_study, structures_of
from study_figures import draw, draw_learning_curves
from study_runs import Bench, Record, Run
from study_tables import markdown, one_line

from elfzoo.errors import ConfigError, ElfzooError

RESULTS, FIGURES = Path(__file__).parent / "results" / "studies", Path(__file__).parent / "figures"


def seeds_of(texts: Sequence[str]) -> list[int]:
    """Seeds in order, from numbers and ranges such as 0-9.

    Raises:
        ConfigError: not a number, not a range.
    """
    seeds: list[int] = []
    for text in texts:
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
        if match is None:
            raise ConfigError(f"expected seeds such as 0 1 2 or 0-9; got {text!r}")
        seeds += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(seeds))


def todo(runs: Sequence[Run], record: Record, retry: bool) -> list[Run]:
    """The runs that the record lacks, and with ``retry`` those that failed."""
    return [run for run in runs if run.key not in record.runs or (retry and "failed" in record.runs[run.key])]


def work_through(bench: Bench, runs: Sequence[Run], record: Record) -> None:
    """Every run, recorded as soon as it has ended."""
    for number, run in enumerate(runs, 1):
        print(f"[{number}/{len(runs)}] {run.row.label}, seed {run.seed}", flush=True)
        entry = bench.execute(run)
        record.add(entry, bench.head())
        print(f"    {one_line(entry)}", flush=True)


def show_plan(bench: Bench, runs: Sequence[Run], record: Record, missing: Sequence[Run]) -> None:
    """What would be done, and how long it might take."""
    for run in runs:
        state = "to do" if run in missing else "failed" if "failed" in record.runs[run.key] else "recorded"
        print(f"{run.row.label + f', seed {run.seed}':64s} {run.row.refused or state}")
    minutes = bench.study.minutes * len(missing)
    print(f"{len(runs)} runs, {len(missing)} to do: about {minutes:.0f} minutes on two cores")


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments().parse_args(argv)
    try:
        run(args)
    except ElfzooError as error:
        raise SystemExit(f"error: {error}") from None


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="file, or name of one in configs/studies")
    parser.add_argument("--only", default="", metavar="PATTERN", help="rows whose label has this regular expression")
    parser.add_argument("--seeds", nargs="+", help="instead of the file's: 0 1 2, or 0-9")
    parser.add_argument("--out", type=Path, default=Path("runs/studies"), help="folder of the training runs")
    parser.add_argument("--data", help="folder of the datasets")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the records")
    parser.add_argument("--figures", type=Path, default=FIGURES, help="folder of the pictures")
    parser.add_argument("--retry", action="store_true", help="try failed runs again")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    return parser


def run(args: argparse.Namespace) -> None:
    """The study from its file to its table and picture."""
    name, study = read_study(args.study)
    bench = Bench(name, study, expand(study, structures_of(args.data)), args.out / name, args.data)
    record = Record(args.results / f"{name}.json")
    if stale := record.drop_stale(bench):
        print(f"{stale} recorded runs are of another configuration, other data or another version: not kept")
    seeds = study.seed_list if args.seeds is None else seeds_of(args.seeds)
    runs = list(bench.runs(seeds, args.only))
    missing = todo(runs, record, args.retry)
    if args.dry_run:
        return show_plan(bench, runs, record, missing)
    work_through(bench, missing, record)
    found = bench.head() | {"runs": list(record.runs.values())}
    print(markdown([found]))
    args.figures.mkdir(parents=True, exist_ok=True)
    draw(found, args.figures)
    draw_learning_curves(args.results, args.figures)
    return None


if __name__ == "__main__":
    main()
