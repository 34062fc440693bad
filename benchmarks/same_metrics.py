"""Do two folders of records say the same? After `make leaderboard` in another checkout, for example.

    python benchmarks/same_metrics.py OTHER/benchmarks/results [--results DIR] [--tolerance 0]

Every record of the other folder is held against the one of the same name here: weights, data, every metric and the hash
of every prediction. Times, dates and hardware may differ, and so may what is measured in seconds (the tasks of speed).
The exit status is 1 if a metric differs by more than the tolerance, or if nothing could be compared.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elfzoo.benchmark import list_tasks

RESULTS = Path(__file__).parent / "results"
TIMED = ("speed", "speed-md")


@dataclass(frozen=True)
class Comparison:
    """One record in two folders.

    Args:
        name: ``TASK/MODEL``.
        other: why the two cannot be compared; empty where they can.
        metrics: how many were compared.
        differences: the metrics that differ, and by how much; infinite where one of the two lacks it.
        predictions: how many structures have the same prediction to the bit, and of how many.
    """

    name: str
    other: str = ""
    metrics: int = 0
    differences: Mapping[str, float] | None = None
    predictions: tuple[int, int] = (0, 0)

    def largest(self) -> float:
        """Of the differences."""
        return max((self.differences or {"": 0.0}).values())

    def __str__(self) -> str:
        if self.other:
            return f"{self.name}: not compared, {self.other}"
        same, of = self.predictions
        bits = f"; {same} of {of} predictions are the same to the bit" if of else ""
        if not self.differences:
            return f"{self.name}: {self.metrics} metrics, all the same{bits}"
        worst = max(self.differences, key=self.differences.__getitem__)
        told = f"{len(self.differences)} of {self.metrics} metrics differ, most {worst} by {self.largest():.3g}"
        return f"{self.name}: {told}{bits}"


def comparisons(first: Path, second: Path) -> Iterator[Comparison]:
    """Of every record that the second folder has."""
    for task in list_tasks():
        for path in sorted((second / task).glob("*.json")) if task not in TIMED else ():
            yield compared(f"{task}/{path.stem}", first / task / path.name, path)


def compared(name: str, first: Path, second: Path) -> Comparison:
    """Two files."""
    if not first.is_file():
        return Comparison(name, other="there is none here")
    a, b = (json.loads(path.read_text()) for path in (first, second))
    for key, words in (("weights_sha256", "weights"), ("data_sha256", "data")):
        if a.get(key) != b.get(key):
            return Comparison(name, other=f"it is of other {words}")
    left, right = a["metrics"], b["metrics"]
    gaps = {key: difference(left.get(key), right.get(key)) for key in {*left, *right}}
    hashes = [{row["file"]: row.get("prediction_sha256") for row in record["structures"]} for record in (a, b)]
    known = [file for file, digest in hashes[0].items() if digest is not None]
    same = sum(hashes[0][file] == hashes[1].get(file) for file in known)
    return Comparison(name, "", len(gaps), {key: gap for key, gap in gaps.items() if gap}, (same, len(known)))


def difference(a: Any, b: Any) -> float:
    """Absolute; of two undefined numbers none, of a number and no number infinite."""
    numbers = [isinstance(x, int | float) and not math.isnan(x) for x in (a, b)]
    if all(numbers):
        return abs(a - b)
    return math.inf if any(numbers) or type(a) is not type(b) else 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="folder of records, with a folder for each task")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the records they are held against")
    parser.add_argument("--tolerance", type=float, default=0.0, help="largest difference of a metric that is none")
    args = parser.parse_args(arguments)
    found = list(comparisons(args.results, args.other))
    for one in found:
        print(one)
    made = [one for one in found if not one.other]
    bad = [one.name for one in made if one.largest() > args.tolerance]
    print(f"{len(made)} records compared, {len(bad)} differ by more than {args.tolerance:g}")
    sys.exit(1 if bad or not made else 0)


if __name__ == "__main__":
    main()
