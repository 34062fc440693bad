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


Models = Annotated[
    list[str] | None,
    typer.Option("-m", "--model", metavar="ENTRANT", help="Release, folder or FILE.py:factory; repeat for more."),
]
Tasks = Annotated[
    list[str] | None, typer.Option("-t", "--task", metavar="TASK", help="Name of a task, or all; repeat for more.")
]
Predictions = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Measure these prediction files instead; -m is then only a name.")
]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the records. [default: benchmarks/results or results]")
]
Work = Annotated[Path, typer.Option(metavar="DIR", help="Where runs keep rows and predictions.")]
Split = Annotated[str, typer.Option(metavar="test|val", help="Choose models on val, never on test.")]
Workers = Annotated[
    int, typer.Option("-n", "--workers", min=1, metavar="N", help="Structures, or trainings, at a time.")
]
Discard = Annotated[bool, typer.Option("--discard-predictions", help="Keep no prediction files.")]
Data = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Folder of the datasets. [default: $ELFZOO_DATA, or the source checkout's]"),
]
ListAll = Annotated[bool, typer.Option("--list", help="List the tasks and stop.")]


def benchmark(
    model: Models = None,
    task: Tasks = None,
    predictions: Predictions = None,
    out: Out = None,
    work: Work = Path("runs/benchmark"),
    split: Split = "test",
    workers: Workers = 1,
    discard: Discard = False,
    data: Data = None,
    list_all: ListAll = False,
) -> None:
    """Measure models on the tasks of the leaderboard.

    \b
    Examples:
      elfzoo benchmark --list
      elfzoo benchmark -m grid_mlp.smooth-h-v4 -t fluid-h
      elfzoo benchmark -m probe_graph.h-v2 -t all --workers 2
      elfzoo benchmark -m my_model.py:make -t all
      elfzoo benchmark -m my-code --predictions my_fields/ -t crystal-h-cubic
      elfzoo benchmark -m my_model.py:make -t speed

    \b
    all                as a model every release that ships and needs no engine, as a task every task but speed, which
                       wants an otherwise idle machine, hydrides-few-shot, which trains for hours, and parts of other
                       tasks: ask for these by name. A release is not run on a task that has only elements it does not
                       know
    FILE.py:factory    a function of yours that returns an object with predict(structure, grid), or such a function:
                       pymatgen Structure and elfzoo.Grid in, values (nx, ny, nz) or elfzoo.Field out. It is made once,
                       and predicts in one process
    --predictions DIR  a file NAME.npz, .cube, .ELFCAR, .xsf or .h5 for each NAME.npz of the task

    A run that was stopped goes on where it was when the same command is given again.
    """
    from elfzoo.benchmark import Benchmark, find_task

    if list_all:
        return _list_tasks()
    if not model or not task:
        raise typer.BadParameter("give at least one -m and one -t; --list shows the tasks")
    if split not in ("test", "val"):
        raise typer.BadParameter(f"the split is test or val; got {split}", param_hint="--split")
    models, tasks = _named(model, task)
    if predictions is not None:
        _require_one_name(models)
    for name in tasks:
        find_task(name)
    wanted = [
        Benchmark(spec, name, work, split, data, predictions, keep_predictions=not discard)
        for spec in models
        for name in tasks
    ]
    every = ALL in model or ALL in task  # told one by one: loading an entrant may mean training it
    done = [_run(one, out, workers, stop=len(wanted) == 1) for one in wanted if not (every and _is_foreign(one))]
    if not all(done):
        raise typer.Exit(1)
    return None


def _named(models: list[str], tasks: list[str]) -> tuple[list[str], list[str]]:
    """What is meant by the given names, in their order, each once."""
    from elfzoo import list_pretrained
    from elfzoo.benchmark import find_task, list_tasks

    able = list_pretrained(engines=False)
    every = [name for name in list_tasks() if not find_task(name).on_request] if ALL in tasks else []
    named_models = [name for spec in models for name in (able if spec == ALL else [spec])]
    named_tasks = [name for spec in tasks for name in (every if spec == ALL else [spec])]
    return list(dict.fromkeys(named_models)), list(dict.fromkeys(named_tasks))


def _require_one_name(models: list[str]) -> None:
    """Prediction files have one name, and not that of a release, whose records they would replace."""
    from elfzoo import list_pretrained

    if len(models) > 1:
        raise typer.BadParameter("prediction files have one name; give -m once")
    if models[0] in (ALL, *list_pretrained()):
        raise typer.BadParameter(f"{models[0]} means releases; prediction files need a name of their own")


def _is_foreign(wanted: Benchmark) -> bool:
    """Whether a release is not for a task, and says so; what cannot be told yet comes out when it is run."""
    try:
        foreign = wanted.foreign
    except ElfzooError:
        return False
    if foreign:
        known = ", ".join(wanted.entrant.facts["elements"])
        say("note", f"{wanted.task} has no structure of {known} alone, which is what {wanted.spec} knows; left out")
    return foreign


def _run(wanted: Benchmark, out: Path | None, workers: int, stop: bool) -> bool:
    """Whether a record was written; of many runs, one that fails does not end the others."""
    from elfzoo.benchmark import read_record, run
    from elfzoo.benchmark.record import default_results

    try:
        path = run(wanted, out or default_results(), workers)
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
    from elfzoo.benchmark.board import counted

    typer.echo(f"{record['model']} on {record['task']}: {counted(record) or record['structures'][0]['file']}")
    _line("", record["metrics"])
    for group, metrics in record["groups"].items():
        _line(group, metrics)
    cost = record["cost"]
    speed = f" ({cost['voxels_per_second']:,.0f} voxels/s)" if "voxels_per_second" in cost else ""
    typer.echo(
        f"  {cost['seconds']:.1f} s predicting{speed}, {cost['measuring_seconds']:.1f} s measuring, "
        f"{cost['peak_rss_gib']:.2f} GiB; wrote {path}"
    )


def _line(label: str, m: dict[str, float]) -> None:
    from elfzoo.benchmark.board import HEADLINES, shown

    parts = [f"{title} {shown(name, m[name])}" for name, title in HEADLINES.items() if name in m]
    typer.echo(f"  {label + ': ' if label else ''}{', '.join(parts)}")


def _list_tasks() -> None:
    from elfzoo.benchmark import find_task, list_tasks
    from elfzoo.cli.models import print_table

    rows = [(name, task.title, task.measured) for name in list_tasks() for task in [find_task(name)]]
    print_table("Tasks", ("name", "what it asks", "what is measured"), rows)
