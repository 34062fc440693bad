"""What changes of the code did to the time of a release: the speed records that the repository ever had.

    python benchmarks/speed_history.py        # reads git's history; writes benchmarks/results/speed-history.json
    python benchmarks/render.py               # writes its table into docs/speed.md

Every version of ``benchmarks/results/speed/*.json`` in the history of this branch is a measurement of the same job. A
machine is not the same on two days, so the peer of the same run, a plain dense PyTorch implementation, stands beside
each, and the two are compared as ratios to it, on machines of one kind. Versions of one model of other weights
(``h-v1``, ``h-v2``) are one row where they are of one kind: their kernels do the same work.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from elfzoo.benchmark import write_json
from elfzoo.errors import ElfzooError

ROOT = Path(__file__).parents[1]
FOLDER = "benchmarks/results/speed"
RECORD = ROOT / "benchmarks" / "results" / "speed-history.json"
KEPT = ("seconds_500h_192", "ratio_to_dense_baseline", "dense_baseline_voxels_per_second", "seconds_500h_192_spline")
VERSION = re.compile(r"-v\d+$")

Row = Mapping[str, Any]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=ROOT, help="whose history is read")
    parser.add_argument("--out", type=Path, default=RECORD, help="where the results go")
    args = parser.parse_args(arguments)
    if git(args.repository, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise ElfzooError(f"{args.repository} is a shallow clone, without the history; git fetch --unshallow gets it")
    rows = list(history(args.repository))
    write_json(args.out, {"rows": rows})
    print("\n".join(table(rows)))


def git(repository: Path, *arguments: str) -> str:
    """What a git command prints.

    Raises:
        ElfzooError: it failed; with its message.
    """
    done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ElfzooError(f"git {' '.join(arguments)} in {repository}: {done.stderr.strip()}")
    return done.stdout


def history(repository: Path) -> Iterator[Row]:
    """Every measurement, oldest first."""
    for line in git(repository, "log", "--reverse", "--format=%H %h", "--", FOLDER).splitlines():
        commit, short = line.split()
        changed = ("diff-tree", "--root", "--no-commit-id", "--name-only", "--diff-filter=AM", "-r", commit, FOLDER)
        for path in git(repository, *changed).splitlines():
            record = json.loads(git(repository, "show", f"{commit}:{path}"))
            if "date" in record:  # the first records were of another form, and had other jobs
                facts = {name: record[name] for name in ("model", "date", "hardware")}
                yield facts | {"commit": short} | {k: record["metrics"][k] for k in KEPT if k in record["metrics"]}


def table(rows: Sequence[Row]) -> list[str]:
    """First and last measurement of each kind of model on each kind of machine."""
    kinds: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        kinds.setdefault((VERSION.sub("", row["model"]), row["hardware"]), []).append(row)
    lines = [
        "| model | machine | seconds, first | times the dense peer | seconds, last | times the dense peer | "
        "gain in that ratio |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for (kind, machine), found in sorted(kinds.items()):
        first, last = found[0], found[-1]
        if first["commit"] == last["commit"]:
            continue  # nothing to compare it with, or with another release on the same day
        gain = last["ratio_to_dense_baseline"] / first["ratio_to_dense_baseline"]
        lines.append(f"| `{kind}` | {machine} | {' | '.join(cell(row) for row in (first, last))} | {gain:.1f} |")
    return lines


def cell(row: Row) -> str:
    """Seconds with their origin, and their ratio to the peer."""
    ratio = row["ratio_to_dense_baseline"]
    seconds = row["seconds_500h_192"]
    told = f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"
    told += f" (`{row['model'].split('.', 1)[1]}`, {row['commit']}, {row['date']})"
    return f"{told} | {ratio:,.{0 if ratio >= 10 else 1}f}"


def rendered(_: str | None) -> str:
    """For docs/speed.md."""
    return "\n".join([*table(json.loads(RECORD.read_text())["rows"]), ""])


if __name__ == "__main__":
    main()
