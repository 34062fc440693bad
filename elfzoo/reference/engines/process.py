"""Run a program to its end on one core, and leave nothing running when anything goes wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from elfzoo.reference.engines.base import EngineError

__all__ = ["run_process", "stop_all"]

ONE_CORE = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
LAST_LINES = 6
# where there is setpriv (Linux), a program also ends when elfzoo itself is killed
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
_running: set[subprocess.Popen[bytes]] = set()


def run_process(
    command: Sequence[str], folder: Path, name: str, max_seconds: float | None = None, any_code: bool = False
) -> str:
    """Run ``command`` in ``folder`` on one core; its output goes to ``folder/name.out`` and is returned.

    Args:
        command: program and arguments.
        folder: working directory.
        name: of the output file, and of the program in messages.
        max_seconds: of wall time.
        any_code: take any exit code but that of a kill for success; the output tells.

    Raises:
        EngineError: it cannot start, ends with an error, or takes longer than ``max_seconds``; with its last lines.
    """
    output = folder / f"{name}.out"
    with open(output, "wb") as sink:
        try:
            # a session of its own: Ctrl-C reaches this process first, which then ends the whole group
            process = subprocess.Popen(
                [*DIE_WITH_PARENT, *command],
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
        except subprocess.TimeoutExpired:
            raise EngineError(f"{name} took longer than {max_seconds:.0f} s") from None
        finally:
            _kill(process)
    text = output.read_text(errors="replace")
    if code < 0 or (code and not any_code):
        raise EngineError(f"{name} ended with code {code}: {_last_lines(text)}")
    return text


def stop_all() -> None:
    """End every program that is running now; those who wait for one get an EngineError."""
    for process in list(_running):
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    _running.discard(process)


def _last_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip(" %\n")]
    return " | ".join(lines[-LAST_LINES:])[:600]
