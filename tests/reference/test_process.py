"""Programs on one core: their output, their end, and that nothing of them stays."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from elfzoo.reference.engines import EngineError, process
from elfzoo.reference.engines.process import Stopped, run_process, stop_all

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="there is no /proc to look processes up in"
)


def shell(script: str, folder: Path, **options) -> str:
    return run_process(["sh", "-c", script], folder, "job", **options)


def alive(pid: int) -> bool:
    """A zombie is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def soon(condition, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def pid_in(path: Path) -> int:
    """What a shell's ``echo $! > path`` wrote."""
    assert soon(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def test_output_is_returned_and_kept(tmp_path):
    assert shell("pwd; echo wrong >&2; echo né", tmp_path) == f"{tmp_path}\nwrong\nné\n"
    assert (tmp_path / "job.out").read_text() == f"{tmp_path}\nwrong\nné\n"


def test_output_that_is_no_text(tmp_path):
    assert shell("printf 'a\\377b'", tmp_path) == "a\ufffdb"


def test_one_core_and_no_input(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setenv("MINE", "kept")
    script = "echo $OMP_NUM_THREADS $OPENBLAS_NUM_THREADS $MKL_NUM_THREADS $MINE; cat"
    assert shell(script, tmp_path) == "1 1 1 kept\n"


def test_an_error_has_the_last_lines(tmp_path):
    script = "for i in 1 2 3 4 5 6 7 8; do echo line $i; echo; echo ' %%%%%'; done; exit 3"
    with pytest.raises(EngineError) as error:
        shell(script, tmp_path)
    assert str(error.value) == "job ended with code 3: line 3 | line 4 | line 5 | line 6 | line 7 | line 8"


def test_codes_that_are_no_error(tmp_path):
    assert shell("echo so; exit 3", tmp_path, codes=(0, 3)) == "so\n"
    with pytest.raises(EngineError, match="code 4"):
        shell("exit 4", tmp_path, codes=(0, 3))


def test_a_kill_is_always_an_error(tmp_path):
    with pytest.raises(EngineError, match="job ended with code -9"):
        shell("kill -9 $$", tmp_path, codes=range(256))


def test_a_missing_program(tmp_path):
    with pytest.raises(EngineError, match=r"^cannot start no-such-program: there is no such program$"):
        run_process(["no-such-program"], tmp_path, "job")


def test_a_program_that_cannot_start(tmp_path, monkeypatch):
    def no_memory(*args, **options):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(process.subprocess, "Popen", no_memory)
    with pytest.raises(EngineError, match=r"^cannot start sh: Cannot allocate memory$"):
        shell("true", tmp_path)


@needs_proc
def test_too_long_ends_the_children_too(tmp_path):
    began = time.monotonic()
    with pytest.raises(EngineError, match=r"^job took longer than 1 s$"):
        shell("(sleep 60 & echo $! > grandchild; wait) & wait", tmp_path, max_seconds=0.6)
    assert time.monotonic() - began < 10
    assert soon(lambda: not alive(pid_in(tmp_path / "grandchild")))


@needs_proc
def test_stop_all_is_no_failure_of_the_calculations(tmp_path):
    caught: list[BaseException] = []

    def work(name: str) -> None:
        (tmp_path / name).mkdir()
        try:
            shell("sleep 60 & echo $! > pid; wait", tmp_path / name)
        except BaseException as error:
            caught.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    pids = [pid_in(tmp_path / name / "pid") for name in "ab"]
    stop_all()
    for thread in threads:
        thread.join(10)
    assert [type(error) for error in caught] == [Stopped, Stopped] and not isinstance(caught[0], Exception)
    assert soon(lambda: not any(map(alive, pids)))
    assert shell("echo on", tmp_path) == "on\n"  # what starts afterwards runs


def test_stop_all_without_programs():
    stop_all()
