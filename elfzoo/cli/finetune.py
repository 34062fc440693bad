"""``elfzoo finetune``: a trained model and one's own fields in, a better release and a report out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from elfzoo.cli.fields import MixedRecipes
from elfzoo.cli.predict import ModelChoice
from elfzoo.cli.shell import INTERRUPTED, Spin, say

__all__ = ["finetune"]


def finetune(
    data: Annotated[
        Path, typer.Option("--data", metavar="FOLDER", help="Field files as they are: ELFCAR, cube, XSF, npz, HDF5.")
    ],
    model: ModelChoice = None,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="The run works in FOLDER/NAME.")] = Path(
        "runs"
    ),
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the new release. [default: architecture.tuned-v1]")
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="METHOD", help="full, low_rank, head, calibrate; auto: by the number of structures.")
    ] = "auto",
    rank: Annotated[int, typer.Option(metavar="N", help="Of the changes of low_rank.")] = 4,
    replay: Annotated[
        float, typer.Option(metavar="X", help="Points of the old training data for each new one; 0: none.")
    ] = 4.0,
    points: Annotated[int, typer.Option(metavar="N", help="Points drawn from each structure.")] = 2000,
    epochs: Annotated[int, typer.Option(metavar="N", help="At most.")] = 25,
    learning_rate: Annotated[float | None, typer.Option(metavar="X", help="Highest. [default: by method]")] = None,
    spin: Spin = None,
    mixed_recipes: MixedRecipes = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the split, the points and their order.")] = 0,
    old_data: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Datasets to replay. [default: $ELFZOO_DATA, or the source checkout's]"),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start again, even if an interrupted run could go on.")
    ] = False,
) -> None:
    """Make a trained model better on fields of your own, without forgetting what it knew.

    \b
    Examples:
      elfzoo finetune --data my_elfcars/
      elfzoo finetune -m grid_mlp.smooth-h-v3 --data my_elfcars/   hydrogen, faster
      elfzoo finetune --data my_elfcars/ --method calibrate        two numbers: for another engine, a few fields
      elfzoo predict POSCAR -m runs/probe_graph.tuned-v1/release -o ELFCAR

    Every file is checked first (elfzoo check); those with errors are left out. A quarter of the structures is held out:
    it decides when to stop, and its errors before and after tell what you gained. Files are read as they are, whatever
    their grids and sizes. The run writes release/, report.json and report.png; interrupted, the same command goes on.

    Old training data that another engine, functional or pseudopotential made are mixed in with a warning; --replay 0
    leaves them out.

    Methods: full changes all weights; low_rank little (few structures); head what comes after the features;
    calibrate slope and offset of the last layer.
    """
    from elfzoo.training.finetune import finetune as run

    given: dict[str, Any] = {"name": name, "method": method, "rank": rank, "replay": replay, "points": points}
    given |= {"epochs": epochs, "learning_rate": learning_rate, "spin": spin, "seed": seed}
    given |= {"mixed_recipes": mixed_recipes}
    try:
        report = run(model, data, out, root=old_data, resume=not fresh, **given)
    except KeyboardInterrupt:
        say("error", f"interrupted; the same command {'without --fresh ' if fresh else ''}goes on in {out}")
        raise typer.Exit(INTERRUPTED) from None
    typer.echo(report.table())
    held = "" if report.rows("held out") else " (nothing was held out: fewer than three structures)"
    typer.echo(f"\nmethod {report.method}, from {report.start}{held}")
    typer.echo(f"wrote {report.release}, {report.release.parent / 'report.png'}")
    typer.echo(f"try it: elfzoo predict STRUCTURE -m {report.release} -o ELFCAR")
