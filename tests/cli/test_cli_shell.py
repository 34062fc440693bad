"""Errors, warnings and exit codes, whatever the command."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner, Result

from elfzoo import __version__
from elfzoo.cli import app
from elfzoo.cli.shell import command, with_options
from elfzoo.errors import ElfzooError, RecipeError, UnknownNameError

FIELDS = ("predict", "networking", "critical-points", "screen", "compare", "plot", "view", "check")
COMMANDS = (*FIELDS, "models", "train", "benchmark", "leaderboard", "demo")
RUN = [sys.executable, "-c", "from elfzoo.cli import main; main()"]


def raising(error: BaseException, *args: str) -> Result:
    """What a command that raises ``error`` does."""
    inner = typer.Typer()

    @inner.command()
    @command
    def fail() -> None:
        raise error

    return CliRunner().invoke(inner, list(args), env={"ELFZOO_DEBUG": None})


@given(st.text(min_size=1))
def test_an_error_is_one_line_whatever_its_message(message: str) -> None:
    result = raising(ElfzooError(message))
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith("elfzoo: error: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ElfzooError("first\n  second"), "first second"),
        (UnknownNameError("architecture", "grid_mpl", ["grid_mlp"]), "did you mean grid_mlp?"),
        (OSError(28, "No space left on device", "ELFCAR"), "ELFCAR: No space left on device"),
        (PermissionError(13, "Permission denied", "runs"), "runs: Permission denied"),
        (MemoryError("Unable to allocate 7 TiB"), "not enough memory: Unable to allocate 7 TiB"),
        (KeyError("z"), "unexpected KeyError: 'z' (a fault of elfzoo; --debug shows where)"),
        (RuntimeError("odd"), "unexpected RuntimeError: odd"),
    ],
)
def test_what_is_said_about_an_error(error: Exception, line: str) -> None:
    result = raising(error)
    assert result.exit_code == 1
    assert line in result.stderr and "Traceback" not in result.stderr


def test_debug_adds_the_traceback() -> None:
    result = raising(ElfzooError("wrong"), "--debug")
    assert result.stderr.startswith("Traceback") and result.stderr.endswith("elfzoo: error: wrong\n")
    assert result.exit_code == 1


def test_an_interrupt_is_one_line_and_its_own_exit_code() -> None:
    result = raising(KeyboardInterrupt())
    assert (result.exit_code, result.stderr) == (130, "elfzoo: error: interrupted\n")


def test_wrong_calls_and_wanted_exit_codes_pass() -> None:
    assert raising(typer.Exit(3)).exit_code == 3
    wrong = raising(typer.BadParameter("no such thing"))
    assert wrong.exit_code == 2 and "no such thing" in wrong.stderr


def test_messages_name_options_in_place_of_arguments() -> None:
    assert with_options("such as species=['La', 'H']") == "such as --species La,H"
    assert with_options("choose spin='up' or spin='down'") == "choose --spin up or --spin down"
    assert "(--mixed-recipes)" in raising(RecipeError("say so (mixed_recipes=True)")).stderr
    assert "(--resample)" in raising(ElfzooError("ask for it (resample=True)")).stderr


def test_warnings_of_elfzoo_are_one_line_once_and_others_are_silent() -> None:
    inner = typer.Typer()

    @inner.command()
    @command
    def warn() -> None:
        seen: dict[str, int] = {}
        for _ in range(2):
            warnings.warn_explicit("an\nextrapolation", UserWarning, "x.py", 1, "elfzoo.cli.predict", seen)
        warnings.warn_explicit("no concern of yours", UserWarning, "x.py", 2, module="pymatgen.core")
        warnings.warn_explicit("later", DeprecationWarning, "x.py", 3, module="elfzoo.cli.predict")

    result = CliRunner().invoke(inner, [])
    assert (result.exit_code, result.stderr) == (0, "elfzoo: warning: an extrapolation\n")


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"elfzoo {__version__}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_a_purpose_an_example_and_no_cut_line(name: str) -> None:
    text = CliRunner().invoke(app, [name, "--help"]).stdout
    assert "Example" in text and f"elfzoo {name}" in text and "--debug" in text
    purpose = next(line for line in text.splitlines()[1:] if line.strip()).strip()
    listing = CliRunner().invoke(app, ["--help"]).stdout
    listed = [" ".join(line.split()) for line in listing.splitlines()]
    assert f"{name} {purpose}" in listed  # whole, not shortened with dots


def test_a_wrong_command_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["predikt"])
    assert result.exit_code == 2 and "predict" in result.stderr


def test_help_needs_nothing_heavy() -> None:
    """The command line's own modules import neither torch nor any other slow package."""
    package = Path(__file__).parents[2] / "elfzoo"
    code = (
        "import sys, types\n"
        "package = types.ModuleType('elfzoo'); package.__path__ = [sys.argv[1]]; sys.modules['elfzoo'] = package\n"
        "import elfzoo.cli\n"
        "print({'torch', 'numpy', 'pymatgen', 'ase', 'scipy', 'matplotlib', 'rich.console'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(package)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_extrapolation_is_one_warning_of_a_process(release: Path, tmp_path: Path) -> None:
    """In a process of its own, where no type checker stands between the caller and the warning."""
    Structure(Lattice.cubic(3.5), ["Li", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]]).to(tmp_path / "LiH.cif")
    call = [*RUN, "predict", "LiH.cif", "-m", str(release), "-o", "elf.npz", "--spacing", "0.7"]
    done = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("elf.npz: Li1 H1")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("elfzoo: warning: grid_mlp.test-v0")
