"""Write into each task file which data it is made of, after the data changed on purpose.

    python benchmarks/pin_tasks.py [--check]

Records of the old data then no longer belong to the task: measure again. With --check nothing is written, and the exit
status is 1 if a task is of other data than those that are there.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import yaml

from elfzoo.benchmark import select
from elfzoo.benchmark.task import parse_task

TASKS = Path(__file__).parents[1] / "elfzoo" / "benchmark" / "tasks"
BLOCK = re.compile(r"^data_sha256:\n(?:  .*\n)+", re.M)


def pinned(text: str) -> str:
    """The task file with the hashes of the data that are there; as it is, where the task is not of a dataset."""
    values = yaml.safe_load(text)
    if "dataset" not in values:
        return text
    task = parse_task(values | {"data_sha256": {}}, "task")
    hashes = {split: select(task, split, pinned=False).data_hash for split in ("test", "val")}
    block = "data_sha256:\n" + "".join(f"  {split}: {value}\n" for split, value in hashes.items())
    return BLOCK.sub("", text) + block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    stale = []
    for path in sorted(TASKS.glob("*.yaml")):
        text = path.read_text()
        if (new := pinned(text)) != text:
            stale.append(path.stem)
            if not args.check:
                path.write_text(new)
    print(f"{'stale' if args.check else 'pinned'}: {', '.join(stale) or 'none'}")
    sys.exit(args.check and bool(stale))


if __name__ == "__main__":
    main()
