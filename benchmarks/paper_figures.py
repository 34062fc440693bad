"""The paper's Figs. 1 and 3 for our models, and all its figures and tables beside our records: ``figures/PAPER.md``.

    python benchmarks/paper_figures.py [MODEL ...] [--results DIR] [--data DIR] [--work DIR] [--out DIR]

A MODEL is the name of any entrant that has records; by default all releases that have some. Of each,

- ``paper-fig1-MODEL.png``: distribution of ELF by pressure, history of the training, errors by ELF, parity;
- ``paper-fig3-MODEL.png``: R² of each crystal against its networking value, networking values against DFT;
- ``paper-fig3-examples-MODEL.png``: the crystals that stand for the paper's panels D to F.

Numbers are those of the records; stars and dashed lines are the paper's. Voxels are of kept predictions, where they are
those of the record, or predicted anew on the reference's grid. What cannot be drawn says why. PAPER.md is of all
releases and the given models; that of the releases alone ``render.py`` writes, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from paper_crystals import SYSTEMS
from paper_figure_1 import figure_1
from paper_figure_3 import figure_3, figure_3_examples
from paper_fluid import FLUID
from paper_predictions import Predictor
from paper_report import TASKS, Sources, entrant_sources, releases, whole_page
from reference_figures import FIGURES, save

from elfzoo.errors import UnknownNameError
from elfzoo.io.files import write_bytes
from elfzoo.plot import STYLE

RESULTS = Path(__file__).parent / "results"


def draw(sources: Sources, predictor: Predictor, folder: Path) -> list[Path]:
    """The pictures of one entrant, those that it has records for."""
    crystals, paths = set(SYSTEMS) & set(sources.records), []
    pictures: dict[str, Callable[[], Figure]] = {}
    if FLUID in sources.records:
        pictures["paper-fig1"] = lambda: figure_1(sources, predictor)
    if crystals:
        pictures["paper-fig3"] = lambda: figure_3(sources)
        pictures["paper-fig3-examples"] = lambda: figure_3_examples(sources, predictor)
    with rc_context(rc=STYLE):
        for name, picture in pictures.items():
            paths.append(folder / f"{name}-{sources.name}.png")
            save(picture(), paths[-1])
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="names in records; by default all releases")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the records")
    parser.add_argument("--data", help="folder of the datasets; $ELFZOO_DATA or the checkout's by default")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark"), help="where predictions may be kept")
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args(arguments)
    recorded = sorted({path.stem for task in TASKS for path in (args.results / task).glob("*.json")})
    if unknown := [name for name in args.models if name not in recorded]:
        raise UnknownNameError("entrant with a record", unknown[0], recorded)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.models or releases(args.results):
        for path in draw(entrant_sources(name, args.results), Predictor(args.data, args.work), args.out):
            print(path)
    write_bytes(args.out / "PAPER.md", [whole_page(args.results, args.out, args.models).encode()])
    print(args.out / "PAPER.md")


if __name__ == "__main__":
    main()
