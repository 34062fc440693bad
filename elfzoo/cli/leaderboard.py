"""``elfzoo leaderboard``: records to a table, JSON or a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elfzoo.errors import ElfzooError, UnknownNameError

__all__ = ["leaderboard"]

FORMATS = ("table", "json", "html")


def leaderboard(
    results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the records. [default: the source checkout's]")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option("-t", "--task", metavar="TASK", help="Only this task; repeat for more.")
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="table|json|html", help="What to make of them.")] = "table",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="PLACE", help="File of the JSON, or folder of the page.")
    ] = None,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Ratio of the errors of two models, paired by structure."),
    ] = None,
    split: Annotated[str, typer.Option(metavar="test|val", help="Which records.")] = "test",
    work: Annotated[
        Path, typer.Option(metavar="DIR", help="Where runs kept predictions, for the page to show.")
    ] = Path("runs/benchmark"),
    data: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the datasets, for the page. [default: as in elfzoo benchmark]"),
    ] = None,
) -> None:
    """The leaderboard: every record, best first.

    \b
    Examples:
      elfzoo leaderboard
      elfzoo leaderboard -t crystal-h-cubic --compare grid_mlp.smooth-h-v2 grid_mlp.wang2026-h-v2
      elfzoo leaderboard --format json -o leaderboard.json
      elfzoo leaderboard --format html -o site/

    Records are made by elfzoo benchmark. Models are compared within a task only: one recipe, one set of structures.
    """
    from elfzoo.benchmark import find_task, list_tasks
    from elfzoo.benchmark.board import board, comparison, tables
    from elfzoo.benchmark.record import CHECKOUT_RESULTS, read_records
    from elfzoo.benchmark.task import task_name
    from elfzoo.cli.outputs import write_json

    if form not in FORMATS:
        raise UnknownNameError("format of the leaderboard", form, FORMATS)
    for name in task or ():
        find_task(name)
    tasks = [task_name(name) for name in task or list_tasks()]
    records = list(read_records(results or CHECKOUT_RESULTS, tasks, split))
    if not records:
        raise ElfzooError(f"no records of {', '.join(tasks)} in {results or CHECKOUT_RESULTS}; make them with "
                          "elfzoo benchmark")  # fmt: skip
    if compare is not None:
        typer.echo("\n".join(comparison(records, *compare)))
    elif form == "json":
        write_json(board(records), out or Path("-"))
    elif form == "html":
        from elfzoo.site import build_site

        place = out or Path("site")
        page = build_site(
            records, place, {task_name(name): find_task(name) for name in task or list_tasks()}, work, data
        )
        typer.echo(f"wrote {page}")
    else:
        typer.echo("\n".join(tables(records)))
