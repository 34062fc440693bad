"""Metrics of the records anew from the rows that they hold, after ``elfzoo.benchmark.summary`` has changed.

    python benchmarks/refresh_metrics.py [RECORD.json ...]

Nothing is measured: rows, hashes, costs, date and versions stay as they are. All records by default.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from elfzoo.benchmark import list_tasks, read_record, record_path, write_json
from elfzoo.benchmark.record import CHECKOUT_RESULTS
from elfzoo.benchmark.summary import grouped, summary


def refreshed(record: dict[str, Any]) -> dict[str, Any]:
    """The record with today's metrics."""
    rows = record["structures"]
    return record | {"metrics": summary(rows), "groups": grouped(rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="*", type=Path, metavar="RECORD.json")
    args = parser.parse_args()
    folders = [record_path(CHECKOUT_RESULTS, task, "any").parent for task in list_tasks()]
    for path in args.records or [path for folder in folders for path in sorted(folder.glob("*.json"))]:
        before = read_record(path)
        after = refreshed(before)
        if after != before:
            write_json(path, after)
            print(f"{path}: {len(after['metrics'])} metrics, before {len(before['metrics'])}")


if __name__ == "__main__":
    main()
