"""``elfzoo screen``: many structures through a model, and what their fields say, as one table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elfzoo.cli.frames import FrameIndex
from elfzoo.cli.predict import DEFAULT_OF_ALL, ModelName
from elfzoo.cli.shell import INTERRUPTED, say

if TYPE_CHECKING:
    from elfzoo.screening import Part, Screening

__all__ = ["screen"]


def screen(
    structures: Annotated[
        list[Path],
        typer.Argument(metavar="STRUCTURE", help="Files, trajectories, folders, or lists of files (.txt, .lst)."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The table, which ends in .parquet.")],
    model: ModelName = DEFAULT_OF_ALL,
    threshold: Annotated[
        float | None, typer.Option(metavar="ELF", help="Structures pass with φ at or above it. [default: no verdict]")
    ] = None,
    margin: Annotated[
        float, typer.Option(metavar="ELF", help="Added to φ's error in the verdict, such as the model's error of φ.")
    ] = 0.0,
    index: FrameIndex = "-1",
    spacing: Annotated[float, typer.Option(metavar="Å", help="Of the predicted fields.")] = 0.1,
    phi_spacing: Annotated[float, typer.Option(metavar="Å", help="Of the grid that cross-checks φ.")] = 0.08,
    persistence: Annotated[
        float, typer.Option(metavar="ELF", help="Critical points closer in value than this are noise.")
    ] = 0.001,
    symmetry: Annotated[
        bool, typer.Option("--symmetry", help="Compute one point of each orbit of the space group, copy the others.")
    ] = False,
    members: Annotated[
        int,
        typer.Option(metavar="N", show_default="not estimated", help="Fields drawn for the model's error of φ, as 16."),
    ] = 0,
    workers: Annotated[int, typer.Option(metavar="N", help="Processes on this machine; they share its cores.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a Dask scheduler, tcp://HOST:PORT; its workers compute.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Of each worker. [default: its share of the cores; on a cluster 1]")
    ] = None,
    part: Annotated[
        str, typer.Option(metavar="I/N", help="Only every N-th file from the I-th on, into a table of its own.")
    ] = "1/1",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Compute again what failed before.")] = False,
) -> None:
    """Networking values of many structures, resumable.

    \b
    Examples:
      elfzoo screen POSCAR md.traj --index ::10 -o results.parquet
      elfzoo screen structures/ -m grid_mlp.smooth-h-v4 --threshold 0.6 --workers 4 -o results.parquet
      elfzoo screen structures/ --threshold 0.6 --members 16 -o results.parquet
      elfzoo screen list.txt --threshold 0.6 --margin 0.03 --scheduler tcp://node7:8786 -o results.parquet

    \b
    Then:
      python -c "import pandas; print(pandas.read_parquet('results.parquet'))"

    A row for each structure: phi and its error, phi*, numbers of critical points, Morse sum, and a verdict:

    \b
    pass, fail   phi is above or below --threshold by more than its error
    abstain      it is not, or the structure holds elements that the model was not trained on
    (none)       it failed; status and message say why, and the others go on

    phi's error is that of the grid. The model's own is in the column uncertainty, if --members asks for it and the
    model comes with one; the verdict then adds it twice. Without, --margin is the place for it.

    The same command again goes on where it was stopped or killed, takes in new structures and computes nothing twice:
    neither what is finished nor copies (atoms in another order, moved by lattice vectors, the cell turned). What is
    done is kept in FILE.work, which workers on other machines must see. --threshold and --margin may change.
    """
    from elfzoo.screening import Work
    from elfzoo.screening import screen as run

    work = Work(workers, scheduler, threads, _part(part), retry_failed)
    options = {"spacing": spacing, "phi_spacing": phi_spacing, "persistence": persistence, "symmetry": symmetry}
    options["members"] = members
    try:
        done = run(
            structures, model, out, index=index, threshold=threshold, margin=margin, work=work, **options  # type: ignore[arg-type]
        )  # fmt: skip
    except KeyboardInterrupt:
        say("error", f"interrupted; the same command goes on from {out}.work")
        raise typer.Exit(INTERRUPTED) from None
    _tell(done, threshold)


def _part(text: str) -> Part:
    from elfzoo.errors import ElfzooError
    from elfzoo.screening import Part

    match = re.fullmatch(r"(\d+)/(\d+)", text)
    try:
        if match is not None:
            return Part(int(match[1]), int(match[2]))
    except ElfzooError:
        pass
    raise typer.BadParameter(f"{text!r} is no part; expected I/N with I from 1 to N, such as 3/8", param_hint="--part")


def _tell(done: Screening, threshold: float | None) -> None:
    """What came of it; an error only where every structure failed, for single failures are rows of the result."""
    copies = f", {done.duplicates} of them copies of others" if done.duplicates else ""
    typer.echo(f"{done.path}: {done.rows} structures{copies}; {done.computed} computed now")
    typer.echo("status   " + ", ".join(f"{count} {name}" for name, count in sorted(done.statuses.items())))
    if threshold is not None:
        found = ", ".join(f"{done.verdicts.get(name, 0)} {name}" for name in ("pass", "fail", "abstain"))
        typer.echo(f"verdict  {found}")
    if done.statuses.get("failed") == done.rows:
        say("error", f"every structure failed; the column message of {done.path} says why")
        raise typer.Exit(1)
