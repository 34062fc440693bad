"""Killed workers and a killed client, with a real scheduler and worker processes: nothing is lost, little is redone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import elfzoo
from elfzoo import analysis
from elfzoo.analysis import percolation
from elfzoo.screening import ScreenSettings, Work, screen, work_folder
from elfzoo.screening.engines import _Chunks, run_on
from elfzoo.screening.journal import read_journals
from elfzoo.screening.worker import Job, item_of
from tests.screening.conftest import MODEL, read_rows, tiny
from tests.screening.lethal import dies_of_bad

distributed = pytest.importorskip("distributed")
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")

OUT = Path("results.parquet")
COUNT, WORKERS = 12, 2
SLOW = {"spacing": 0.25, "phi_spacing": 0.02}  # tenths of a second each, so that a kill comes in the middle
PATIENCE = 300  # seconds, after which something is wrong


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler, and two worker processes which it starts again when they die."""
    settings = {"n_workers": WORKERS, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": "CRITICAL"}
    with distributed.LocalCluster(**settings) as cluster:
        yield cluster


def records() -> list[dict[str, Any]]:
    return list(read_journals(work_folder(OUT) / "results"))


def finished() -> list[str]:
    """Hashes, as often as they were finished."""
    return [record["hash"] for record in records() if "hash" in record]


def started() -> Counter[str]:
    """Hashes, and how often they were begun."""
    return Counter(record["started"] for record in records() if "started" in record)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def is_right(rows: list[dict[str, Any]]) -> bool:
    """Every structure has its row, and one is compared with what this process finds."""
    number = COUNT // 2
    field = elfzoo.load_pretrained(MODEL).predict(tiny(number), spacing=SLOW["spacing"])
    phi = analysis.networking(field, SLOW["phi_spacing"]).phi
    return (
        len({row["hash"] for row in rows}) == COUNT
        and all(row["status"] == "done" for row in rows)
        and abs(rows[number]["phi"] - phi) < 1e-6
    )


def test_a_killed_worker_costs_one_structure(cluster: Any, folder: Callable[[int], Path]) -> None:
    place, at_kill = folder(COUNT), list[str]()

    def kill_one() -> None:
        wait_for(lambda: len(finished()) >= 2)
        worker = next(record["worker"] for record in records() if "worker" in record)
        at_kill.extend(finished())
        os.kill(int(worker.rpartition("-")[2]), signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    done = screen([place], MODEL, OUT, work=Work(scheduler=cluster.scheduler_address), **SLOW)
    killer.join()
    assert 2 <= len(at_kill) < COUNT and done.computed == COUNT
    assert is_right(read_rows(OUT))
    assert len({record["worker"] for record in records() if "worker" in record}) > WORKERS  # one took its place
    assert set(at_kill) <= set(finished()) and sum(started().values()) <= COUNT + 1


def test_a_killed_client_costs_one_structure_a_worker(cluster: Any, folder: Callable[[int], Path]) -> None:
    place = folder(COUNT)
    call = [sys.executable, "-m", "elfzoo", "screen", str(place), "-m", MODEL, "-o", str(OUT)]
    options = [text for name, value in SLOW.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    client = subprocess.Popen([*call, *options, "--scheduler", cluster.scheduler_address], env=environment)
    wait_for(lambda: len(finished()) >= 2 or client.poll() is not None)
    client.send_signal(signal.SIGKILL)
    at_kill = finished()
    assert client.wait() == -signal.SIGKILL and 2 <= len(at_kill) < COUNT and not OUT.exists()

    done = screen([place], MODEL, OUT, work=Work(scheduler=cluster.scheduler_address), **SLOW)
    assert is_right(read_rows(OUT)) and done.computed <= COUNT - len(at_kill)
    assert all(started()[hash] == 1 for hash in at_kill)
    assert sum(started().values()) <= COUNT + WORKERS


@pytest.mark.parametrize("size", [1, 3])
def test_a_structure_that_kills_its_workers_is_a_failure_and_blames_no_other(
    cluster: Any, folder: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    folder(0)
    job = Job(MODEL, str(work_folder(OUT).resolve()), ScreenSettings(MODEL, ""))
    monkeypatch.setattr("elfzoo.screening.engines.compute_chunk", dies_of_bad)
    monkeypatch.setattr("elfzoo.screening.engines._Chunks._size", lambda self, slots: size)
    # else Dask gives it to four workers, which takes long
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    names = [*"abcd", "bad", *"efgh"]
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        items = (item_of(name, tiny(0)) for name in names)
        found = [(record["hash"], record["status"]) for record in run_on(client, job, items, len(names))]
    assert dict(found) == dict.fromkeys(names, "done") | {"bad": "failed"} and len(found) == len(names)
    (kept,) = [record for record in records() if record["status"] == "failed"]
    assert kept["hash"] == "bad" and "killed" in kept["message"]
    assert Counter(finished()) == Counter(names)  # nothing was computed twice


def test_chunks_take_about_a_second_and_get_smaller_at_the_end() -> None:
    chunks = _Chunks((item_of(str(number), tiny(0)) for number in range(100)), 100)
    assert len(chunks.take(2)) == 1  # nobody knows yet how long one takes
    chunks.learn([{"seconds": 0.1}])
    sizes = [len(chunks.take(2)) for _ in range(50)]
    assert sizes[:3] == [10, 10, 9] and sizes == sorted(sizes, reverse=True) and 1 + sum(sizes) == 100
    assert sizes[-1] == 0 and sizes.count(1) >= 8

    chunks = _Chunks((item_of(str(number), tiny(0)) for number in range(1000)), 1000)
    chunks.learn([{"seconds": 0.0}, {}])
    assert len(chunks.take(1)) == 64
    chunks.learn([{"seconds": 300.0}])
    assert len(chunks.take(1)) == 1
