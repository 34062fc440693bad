"""Pictures of residuals from their records: ``benchmarks/figures/residuals-TASK-MODEL-WHAT.png``.

    python benchmarks/residual_figures.py [MODEL ...] [--task fluid-h] [--results benchmarks/results/residuals]

``plane`` is Fig. 2 of Wang et al. (2026), panel by panel, the paper's numbers as stars; ``maps`` their Fig. S3, and
below it the same fit to no model at all; ``volume`` what planes cannot tell. Curves are those of the record. Maps are
of the plane z = 0 in the largest cell of the first and the last group, predicted anew by the entrant of the record.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from reference_figures import FIGURES, save
from residual_panels import Row, Shown, groups_of, label
from residual_plane_figures import maps_figure, plane_figure
from residual_volume_figure import volume_figure

from elfzoo.benchmark import Benchmark, record_path
from elfzoo.errors import ElfzooError
from elfzoo.plot import STYLE

RESULTS = Path(__file__).parent / "results" / "residuals"
PICTURES = {"plane": plane_figure, "maps": maps_figure, "volume": volume_figure}


def shown_planes(record: Row, benchmark: Benchmark) -> list[Shown]:
    """Of the first and the last group, the first of the largest cells.

    Raises:
        ElfzooError: the record is of other data or weights than there are now.
    """
    facts = benchmark.entrant.facts
    if (record["data_sha256"], record["weights_sha256"]) != (benchmark.data.data_hash, facts.get("weights_sha256")):
        raise ElfzooError(f"the record of {record['model']} is of other data or weights than there are; make it anew")
    names = list(groups_of(record))
    return [_shown(record["structures"], benchmark, name) for name in dict.fromkeys((names[0], names[-1]))]


def _shown(structures: Sequence[Row], benchmark: Benchmark, group: str) -> Shown:
    rows = [row for row in structures if group in ("all", str(row["group"]))]
    chosen = Path(max(rows, key=lambda row: row["atoms"])["file"])
    structure, reference = benchmark.data[benchmark.data.raw_file_names.index(chosen.name)]
    guess = benchmark.entrant.predict(chosen.stem, structure, reference.grid)
    guess = guess.replace(values=np.clip(guess.values, 0, 1), structure=structure)
    title = f"{label(group, benchmark)}, {len(structure)} atoms, {structure.lattice.a:.1f} Å"
    return Shown(title, reference, guess)


def draw(record: Row, benchmark: Benchmark, folder: Path) -> list[Path]:
    """All pictures of one record."""
    shown, paths = shown_planes(record, benchmark), []
    folder.mkdir(parents=True, exist_ok=True)
    with rc_context(rc=STYLE):
        for what, picture in PICTURES.items():
            paths.append(folder / f"residuals-{record['task']}-{record['model']}-{what}.png")
            save(picture(record, benchmark, shown), paths[-1])
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="names in records; all that have one by default")
    parser.add_argument("--task", default="fluid-h", help="name of a task, or a YAML file")
    parser.add_argument("--data", help="folder of the datasets; $ELFZOO_DATA or the checkout's by default")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args(arguments)
    folder = record_path(args.results, Path(args.task).stem, "any").parent
    for path in [folder / f"{name}.json" for name in args.models] or sorted(folder.glob("*.json")):
        record = json.loads(path.read_text())
        for picture in draw(record, Benchmark(record["spec"], args.task, folder, root=args.data), args.out):
            print(picture)


if __name__ == "__main__":
    main()
