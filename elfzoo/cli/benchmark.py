"""``elfzoo benchmark``: measure entrants on tasks, one record each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elfzoo.cli.shell import INTERRUPTED, say
from elfzoo.errors import ElfzooError

if TYPE_CHECKING:
    from elfzoo.benchmark import Benchmark

__all__ = ["benchmark"]

ALL = "all"


def benchmark(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            metavar="ENTRANT",
            help="Release, folder or FILE.py:factory; repeat for more.",
        ),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("-t", "--task", metavar="TASK", help="Name of a task, or all; repeat for more.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Measure these prediction files instead; -m is then only a name.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the records. [default: benchmarks/results or results]")
    ] = None,
    work: Annotated[Path, typer.Option(metavar="DIR", help="Where runs keep rows and predictions.")] = Path(
        "runs/benchmark"
    ),
    split: Annotated[str, typer.Option(metavar="test|val", help="Choose models on val, never on test.")] = "test",
    workers: Annotated[int, typer.Option("-n", "--workers", min=1, metavar="N", help="Structures at a time.")] = 1,
    discard: Annotated[bool, typer.Option("--discard-predictions", help="Keep no prediction files.")] = False,
    data: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the datasets. [default: $ELFZOO_DATA, or the source checkout's]"),
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the tasks and stop.")] = False,
) -> None:
    """Measure models on the tasks of the leaderboard.

    \b
    Examples:
      elfzoo benchmark --list
      elfzoo benchmark -m grid_mlp.smooth-h-v2 -t fluid-h
      elfzoo benchmark -m my_model.py:make -t all --workers 2
      elfzoo benchmark -m my-code --predictions my_fields/ -t crystal-h-cubic

    \b
    all                as a model every release that ships, as a task every task
    FILE.py:factory    a function of yours that returns an object with predict(structure, grid), or such a function:
                       pymatgen Structure and elfzoo.Grid in, values (nx, ny, nz) or elfzoo.Field out
    --predictions DIR  a file NAME.npz, .cube, .ELFCAR, .xsf or .h5 for each NAME.npz of the task

    A run that was stopped goes on where it was when the same command is given again.
    """
    from elfzoo import list_pretrained
    from elfzoo.benchmark import Benchmark, find_task, list_tasks

    if list_all:
        return _list_tasks()
    if not model or not task:
        raise typer.BadParameter("give at least one -m and one -t; --list shows the tasks")
    if predictions is not None and len(model) > 1:
        raise typer.BadParameter("prediction files have one name; give -m once")
    if split not in ("test", "val"):
        raise typer.BadParameter(f"the split is test or val; got {split}", param_hint="--split")
    tasks = list_tasks() if ALL in task else task
    models = [name for spec in model for name in (list_pretrained() if spec == ALL else [spec])]
    for name in tasks:
        find_task(name)
    wanted = [
        Benchmark(spec, name, work, split, data, predictions, keep_predictions=not discard)
        for spec in models
        for name in tasks
    ]
    done = [_run(one, out, workers, stop=len(wanted) == 1) for one in wanted]
    if not all(done):
        raise typer.Exit(1)
    return None


def _run(wanted: Benchmark, out: Path | None, workers: int, stop: bool) -> bool:
    """Whether a record was written; of many runs, one that fails does not end the others."""
    from elfzoo.benchmark import read_record, run
    from elfzoo.benchmark.record import CHECKOUT_RESULTS

    folder = out or (CHECKOUT_RESULTS if CHECKOUT_RESULTS.is_dir() else Path("results"))
    try:
        path = run(wanted, folder, workers)
    except KeyboardInterrupt:
        say("error", f"interrupted; the same command goes on where {wanted.task} stopped")
        raise typer.Exit(INTERRUPTED) from None
    except ElfzooError as error:
        if stop:
            raise
        say("error", f"{wanted.spec} on {wanted.task}: {error}")
        return False
    _report(read_record(path), path)
    return True


def _report(record: dict[str, Any], path: Path) -> None:
    """The figures that people ask for first."""
    typer.echo(f"{record['model']} on {record['task']}: {len(record['structures'])} structures")
    _line("", record["metrics"])
    for group, metrics in record["groups"].items():
        _line(group, metrics)
    cost = record["cost"]
    typer.echo(
        f"  {cost['seconds']:.1f} s predicting ({cost['voxels_per_second']:,.0f} voxels/s), "
        f"{cost['measuring_seconds']:.1f} s measuring, {cost['peak_rss_gib']:.2f} GiB; wrote {path}"
    )


def _line(label: str, m: dict[str, float]) -> None:
    from elfzoo.benchmark.board import HEADLINES

    parts = [f"{title} {m[name]:.4f}" for name, title in HEADLINES.items() if name in m]
    typer.echo(f"  {label + ': ' if label else ''}{', '.join(parts)}")


def _list_tasks() -> None:
    from elfzoo.benchmark import find_task, list_tasks
    from elfzoo.cli.models import print_table

    rows = [(name, task.title, ", ".join(task.parts)) for name in list_tasks() for task in [find_task(name)]]
    print_table("Tasks", ("name", "what it asks", "what is measured"), rows)
