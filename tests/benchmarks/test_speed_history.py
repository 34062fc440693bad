"""The record of speeds in the history of the repository; no time is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from elfzoo.errors import ElfzooError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import speed_history

WHO = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]


def commit(repository: Path, **records: dict | None) -> str:
    """A commit that writes these records (in the place of ``.`` stands ``__``), or removes them."""
    folder = repository / speed_history.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, record in records.items():
        path = folder / f"{name.replace('__', '.').replace('_v', '-v')}.json"
        path.unlink() if record is None else path.write_text(json.dumps(record))
    for arguments in (["add", "-A"], [*WHO, "commit", "-qm", "records"]):
        subprocess.run(["git", "-C", str(repository), *arguments], check=True)
    return speed_history.git(repository, "rev-parse", "--short", "HEAD").strip()


def record(model: str, seconds: float, ratio: float, date: str) -> dict:
    metrics = {"seconds_500h_192": seconds, "ratio_to_dense_baseline": ratio, "peak_rss_gib": 1.0}
    return {"model": model, "date": date, "hardware": "a machine", "metrics": metrics}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path / "repository")], check=True)
    return tmp_path / "repository"


def test_every_version_of_a_record_is_a_measurement(repository: Path, tmp_path: Path) -> None:
    old = {"metrics": {"seconds_500h_192": 1.0}}  # of a form that had no date
    first = commit(repository, a__h_v1=record("a.h-v1", 200.0, 0.5, "2026-01-01"), b__h_v1=old)
    second = commit(repository, a__h_v1=None, a__h_v2=record("a.h-v2", 4.0, 25.0, "2026-01-02"))
    commit(repository, c__h_v1=record("c.h-v1", 3.0, 30.0, "2026-01-03"))
    out = tmp_path / "history.json"
    speed_history.main(["--repository", str(repository), "--out", str(out)])
    rows = json.loads(out.read_text())["rows"]
    assert [(row["commit"], row["model"], row["seconds_500h_192"]) for row in rows[:2]] == [
        (first, "a.h-v1", 200.0),
        (second, "a.h-v2", 4.0),
    ]
    assert [row["model"] for row in rows] == ["a.h-v1", "a.h-v2", "c.h-v1"] and "peak_rss_gib" not in rows[0]
    elsewhere = {**rows[0], "hardware": "another machine"}
    (row,) = speed_history.table([*rows, elsewhere])[2:]  # c has nothing to be compared with, nor has the last
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "`a.h`",
        "a machine",
        f"200 (`h-v1`, {first}, 2026-01-01)",
        "0.5",
        f"4 (`h-v2`, {second}, 2026-01-02)",
        "25",
        "50.0",
    ]


def test_a_clone_without_history_is_refused(repository: Path, tmp_path: Path) -> None:
    for seconds in (2.0, 1.0):
        commit(repository, a__h_v1=record("a.h-v1", seconds, 1.0, "2026-01-01"))
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{repository}", str(shallow)], check=True)
    with pytest.raises(ElfzooError, match="shallow clone"):
        speed_history.main(["--repository", str(shallow), "--out", str(tmp_path / "history.json")])
    assert not (tmp_path / "history.json").exists()


def test_a_folder_that_is_no_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(ElfzooError, match="not a git repository"):
        list(speed_history.history(tmp_path))
