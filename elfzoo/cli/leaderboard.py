"""``elfzoo leaderboard``: records to a table, JSON or a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elfzoo.errors import ElfzooError, UnknownNameError

__all__ = ["leaderboard"]

FORMATS = ("table", "json", "html")


Results = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the records. [default: those of a checkout, else results]")
]
Tasks = Annotated[
    list[str] | None, typer.Option("-t", "--task", metavar="TASK", help="Only this task; repeat for more.")
]
Form = Annotated[str, typer.Option("--format", metavar="table|json|html", help="What to make of them.")]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="PLACE", help="File of the JSON, or folder of the page.")
]
Compare = Annotated[
    tuple[str, str] | None,
    typer.Option(metavar="A B", help="Ratio of the errors of two models, paired by structure."),
]
Split = Annotated[str, typer.Option(metavar="test|val", help="Which records.")]
Work = Annotated[Path, typer.Option(metavar="DIR", help="Where runs kept predictions, for the page to show.")]
Data = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Folder of the datasets, for the page. [default: as in elfzoo benchmark]"),
]


def leaderboard(
    results: Results = None,
    task: Tasks = None,
    form: Form = "table",
    out: Out = None,
    compare: Compare = None,
    split: Split = "test",
    work: Work = Path("runs/benchmark"),
    data: Data = None,
) -> None:
    """The leaderboard: every record, best first.

    \b
    Examples:
      elfzoo leaderboard
      elfzoo leaderboard -t crystal-h-cubic --compare grid_mlp.smooth-h-v4 grid_mlp.wang2026-h-v2
      elfzoo leaderboard --format json -o leaderboard.json
      elfzoo leaderboard --format html -o site/

    Records are made by elfzoo benchmark. Models are compared within a task only: one recipe, one set of structures.
    """
    from elfzoo.benchmark import find_task, list_tasks
    from elfzoo.benchmark.board import board, tables
    from elfzoo.benchmark.ceiling import ceilings
    from elfzoo.benchmark.pairs import comparison
    from elfzoo.benchmark.record import default_results, read_records
    from elfzoo.benchmark.speed_task import SpeedTask
    from elfzoo.benchmark.task import task_name
    from elfzoo.cli.outputs import write_json

    if form not in FORMATS:
        raise UnknownNameError("format of the leaderboard", form, FORMATS)
    if split not in ("test", "val"):
        raise typer.BadParameter(f"the split is test or val; got {split}", param_hint="--split")
    if compare is not None and form != "table":
        raise typer.BadParameter(f"--compare prints lines; it has no --format {form}")
    if out is not None and form == "table":
        raise typer.BadParameter("-o is for --format json or html; the table is printed")
    tasks, folder = {task_name(name): find_task(name) for name in task or list_tasks()}, results or default_results()
    if form == "html":  # beside its error each entrant has its speed
        tasks |= {name: found for name in list_tasks() if isinstance(found := find_task(name), SpeedTask)}
    records = list(read_records(folder, list(tasks), split))
    if not records:
        raise ElfzooError(f"no records of {', '.join(tasks)} in {folder}; make them with elfzoo benchmark")
    if compare is not None:
        typer.echo("\n".join(comparison(records, *compare)))
    elif form == "json":
        write_json(board(records), out or Path("-"))
    elif form == "html":
        from elfzoo.site import build_site
        from elfzoo.site.learning import read_studies

        page = build_site(
            records, out or Path("site"), tasks, work, data, read_studies(folder), ceilings(folder, tasks)
        )
        typer.echo(f"wrote {page}")
    else:
        typer.echo("\n".join(tables(records, ceilings(folder, tasks))))
