"""Work in several processes: what fails, dies or is stopped ends it with one error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from elfzoo.benchmark.pool import DIED, each
from elfzoo.errors import ElfzooError, UnknownNameError


class Stubborn(Exception):
    def __init__(self, one: str, two: str):
        super().__init__(f"{one} {two}")


def touch(folder: Path, number: int) -> None:
    (folder / str(number)).touch()


def fails(folder: Path, kind: str, number: int) -> None:
    if number == 1:
        raise {
            "plain": ValueError("one"),
            "named": UnknownNameError("thing", "on", ["one", "two"]),
            "stubborn": Stubborn("one", "two"),
        }[kind]
    touch(folder, number)
    time.sleep(1.0 if number == 0 else 0.1)


def dies(number: int) -> None:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.1)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_is_done(tmp_path: Path, workers: int) -> None:
    assert len(list(each(partial(touch, tmp_path), range(5), workers))) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == list("01234")
    assert list(each(partial(touch, tmp_path), [], workers)) == []


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("plain", ValueError, "one"),
        ("named", UnknownNameError, "no thing is called 'on'; did you mean one"),
        ("stubborn", ElfzooError, "Stubborn: one two"),
    ],
)
def test_a_failure_ends_the_others_at_once(tmp_path: Path, kind: str, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        list(each(partial(fails, tmp_path, kind), range(40), 2))
    assert len(list(tmp_path.iterdir())) < 10  # the first item takes longer than all of these


def test_a_process_that_dies_is_said() -> None:
    with pytest.raises(ElfzooError, match=DIED):
        list(each(dies, range(4), 2))


PROGRAM = """
import sys, time
from pathlib import Path
from elfzoo.benchmark.pool import each

def slow(number):
    Path(sys.argv[1], str(number)).touch()
    time.sleep(60)

if __name__ == "__main__":
    try:
        list(each(slow, range(6), 2))
    except KeyboardInterrupt:
        print("stopped")
"""


def test_an_interrupt_ends_what_is_under_way(tmp_path: Path) -> None:
    """Of a terminal it goes to all processes; the workers leave it to this one, which does not wait for them."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "begun").mkdir()
    call = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "begun")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    program = subprocess.Popen(call, start_new_session=True, text=True, **pipes)
    until = time.monotonic() + 240
    while len(list((tmp_path / "begun").iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    os.killpg(program.pid, signal.SIGINT)
    output, errors = program.communicate(timeout=50)  # the items take 60 s
    assert output == "stopped\n" and "Traceback" not in errors
    assert len(list((tmp_path / "begun").iterdir())) == 2
