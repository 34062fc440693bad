"""How every command ends: errors and warnings are one line each on standard error, tracebacks are for ``--debug``."""

from __future__ import annotations

import functools
import inspect
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from elfzoo.errors import ElfzooError

__all__ = ["INTERRUPTED", "Species", "Spin", "command", "say", "split_species", "with_options"]

INTERRUPTED = 130  # what shells report for a process ended by Ctrl-C

Debug = Annotated[
    bool, typer.Option("--debug", envvar="ELFZOO_DEBUG", show_envvar=True, help="Show the traceback of an error.")
]
Spin = Annotated[str | None, typer.Option(metavar="up|down", help="Channel of a spin-polarised ELFCAR.")]
Species = Annotated[
    str | None,
    typer.Option(metavar="H,La,...", help="Elements by species index, for a file that does not name them (QE's cube)."),
]

# messages of the library name its arguments; on the command line these are options
OPTIONS = {
    r"mixed_recipes=True": "--mixed-recipes",
    r"resample=True": "--resample",
    r"resume=True": "--resume",
    r"exclude_cores=False": "--cores",
    r"give fermi_energy in eV": "give --fermi-energy in eV",
    r"spin='(up|down)'": r"--spin \1",
}


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a function a command: it gains ``--debug``, and what it raises becomes one line and an exit code."""
    signature = inspect.signature(function, eval_str=True)

    @functools.wraps(function)
    def run(*args: Any, debug: bool = False, **kwargs: Any) -> None:
        with _errors_as_lines(debug), _warnings_as_lines():
            function(*args, **kwargs)

    option = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    run.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()} | {"debug": Debug}
    return run


def say(kind: str, message: object) -> None:
    """One line on standard error: ``elfzoo: warning: ...``."""
    typer.echo(f"elfzoo: {kind}: {' '.join(str(message).split())}", err=True)


def split_species(text: str | None) -> list[str] | None:
    """``"H,La"`` as a list of symbols."""
    return None if text is None else [symbol.strip() for symbol in text.split(",")]


def with_options(message: str) -> str:
    """A message of the library with the names of options in place of arguments."""
    message = re.sub(r"species=\[([^\]]*)\]", lambda match: "--species " + re.sub(r"['\" ]", "", match[1]), message)
    for pattern, option in OPTIONS.items():
        message = re.sub(pattern, option, message)
    return message


@contextmanager
def _errors_as_lines(debug: bool) -> Iterator[None]:
    """One line and exit code 1 for every error; 130 for Ctrl-C. What typer raises itself (wrong calls) passes."""
    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        say("error", "interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        say("error", _describe(error))
        raise typer.Exit(1) from None


def _describe(error: Exception) -> str:
    if isinstance(error, ElfzooError):
        return with_options(str(error))
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}"
    return f"unexpected {type(error).__name__}: {error} (a fault of elfzoo; --debug shows where)"


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Show what elfzoo warns of, once each; other packages' warnings tell a user of the command line nothing."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say("warning", message)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", category=UserWarning, module=r"elfzoo(\.|$)")
        warnings.showwarning = show
        yield
