"""The command line: ``elfzoo predict POSCAR -o ELFCAR`` and what belongs to it.

Nothing heavy is imported before a command runs, so that help and usage errors come at once.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from elfzoo._version import __version__
from elfzoo.cli.benchmark import benchmark
from elfzoo.cli.demo import demo
from elfzoo.cli.fields import check, compare, plot
from elfzoo.cli.finetune import finetune
from elfzoo.cli.hub import app as hub
from elfzoo.cli.leaderboard import leaderboard
from elfzoo.cli.models import card, models
from elfzoo.cli.predict import predict
from elfzoo.cli.reference import app as reference
from elfzoo.cli.screen import screen
from elfzoo.cli.select import select
from elfzoo.cli.shell import command
from elfzoo.cli.topology import critical_points, networking
from elfzoo.cli.train import train
from elfzoo.cli.view import view

__all__ = ["app", "main"]

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"elfzoo {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Predict the electron localization function (ELF) of a structure from its geometry alone.

    \b
    First steps:
      elfzoo demo                        predict the shipped example and compare it with DFT
      elfzoo predict POSCAR -o ELFCAR    predict your own structure
      elfzoo networking ELFCAR           what a field says: networking value, molecules, Tc
      elfzoo predict --help              what else it can do

    Lengths are in Å, coordinates of planes and lines in fractions of the lattice vectors, ELF from 0 to 1.

    Exit codes: 0 done, 1 an error (one line on standard error), 2 a wrong call, 130 interrupted.
    """


FIELDS = (predict, networking, critical_points, screen, select, compare, plot, view, check)
MODELS = (models, card, train, finetune, benchmark, leaderboard, demo)
for _function in (*FIELDS, *MODELS):
    app.command()(command(_function))
app.add_typer(hub, name="hub")
app.add_typer(reference, name="reference")


def main() -> None:
    """Entry point of the ``elfzoo`` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Å or ² still gets its numbers
    app(prog_name="elfzoo")
