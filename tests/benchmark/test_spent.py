"""What a piece of work takes, with the programs that it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

from elfzoo.benchmark.spent import Meter

BUSY = "import time\nwhile time.process_time() < 0.4: pass\nkept = bytearray(300 * 2**20)"


def test_of_a_program_that_it_runs_time_and_memory_count() -> None:
    before = Meter()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    spent = before.read()
    assert spent["cpu_seconds"] >= 0.4 and spent["peak_rss_gib"] > 300 / 1024
    after = Meter().read()  # nothing more of it, and its memory is not that of whoever runs nothing
    assert after["cpu_seconds"] < 0.1 and after["peak_rss_gib"] <= spent["peak_rss_gib"]


def test_of_its_own_time_that_of_the_processor_counts() -> None:
    meter = Meter()
    time.sleep(0.3)
    assert meter.read()["cpu_seconds"] < 0.2
    while sum(os.times()[:2]) - meter._own < 0.2:
        np.ones(1000).sum()
    assert 0.2 <= meter.read()["cpu_seconds"] < 0.5
