"""Run a program to its end on one core, and leave nothing running when anything goes wrong."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from elfzoo.native import THREAD_VARIABLES
from elfzoo.reference.engines.base import EngineError

__all__ = ["Stopped", "run_process", "stop_all", "stop_all_until"]

ONE_CORE = dict.fromkeys(THREAD_VARIABLES, "1")
LAST_LINES = 6
_running: set[subprocess.Popen[bytes]] = set()


class Stopped(BaseException):
    """:func:`stop_all` ended the program: no word about the calculation, and never to be recorded as its failure."""


def run_process(
    command: Sequence[str], folder: Path, name: str, max_seconds: float | None = None, codes: Container[int] = (0,)
) -> str:
    """Run ``command`` in ``folder`` on one core; its output goes to ``folder/name.out`` and is returned.

    Args:
        command: program and arguments.
        folder: working directory.
        name: of the output file, and of the program in messages.
        max_seconds: of wall time.
        codes: exit codes that are no error.

    Raises:
        EngineError: it cannot start, ends with an error, or takes longer than ``max_seconds``; with its last lines.
        Stopped: :func:`stop_all` was called meanwhile.
    """
    if shutil.which(command[0]) is None:
        raise EngineError(f"cannot start {command[0]}: there is no such program")
    output = folder / f"{name}.out"
    with open(output, "wb") as sink:
        try:
            # a session of its own: Ctrl-C reaches this process first, which then ends the whole group
            process = subprocess.Popen(
                [*_dies_with_parent(), *command],
                cwd=folder,
                env={**os.environ, **ONE_CORE},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"cannot start {command[0]}: {error.strerror or error}") from error
        _running.add(process)
        try:
            code = process.wait(timeout=max_seconds)
            if process not in _running:
                raise Stopped(f"{name} was stopped")
        except subprocess.TimeoutExpired:
            raise EngineError(f"{name} took longer than {max_seconds:.0f} s") from None
        finally:
            _kill(process)
    text = output.read_text(errors="replace")
    if code not in codes:
        raise EngineError(f"{name} ended with code {code}: {_last_lines(text)}")
    return text


def stop_all() -> None:
    """End every program that is running now; those who wait for one get :class:`Stopped`."""
    for process in list(_running):
        _running.discard(process)  # first, for the one who waits to know
        _kill(process)


def stop_all_until(done: Callable[[], bool]) -> None:
    """:func:`stop_all` over and over: whoever waits for a program may be about to start the next one."""
    while not done():
        stop_all()
        time.sleep(0.05)


@functools.cache
def _dies_with_parent() -> tuple[str, ...]:
    """Where there is setpriv (Linux), a program also ends when elfzoo itself is killed."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL") if setpriv else ()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    _running.discard(process)


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip(" %\n")]
    return " | ".join(lines[-LAST_LINES:])[:600]
