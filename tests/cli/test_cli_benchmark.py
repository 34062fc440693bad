"""``elfzoo benchmark`` and ``elfzoo leaderboard``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.benchmark.conftest import ENTRANTS, task_file
from tests.cli.conftest import error_line

Run = Callable[..., Result]


@pytest.fixture
def task(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(ENTRANTS)
    return str(task_file(tmp_path / "tiny.yaml", starts_with="cubic_02", parts=["voxels"]))


def test_tasks_are_listed(elfzoo: Run) -> None:
    result = elfzoo("benchmark", "--list")
    assert result.exit_code == 0
    for name in ("fluid-h", "crystal-h-cubic", "hydrides-zero-shot", "metals"):
        assert name in result.stdout


def test_strangers_enter_and_are_compared(elfzoo: Run, task: str) -> None:
    for name in ("half", "waves"):
        result = elfzoo("benchmark", "-m", f"mine.py:{name}", "-t", task, "--out", "results")
        assert result.exit_code == 0 and "MAE 0." in result.stdout and "voxels/s" in result.stdout, result.output
    board = json.loads(elfzoo("leaderboard", "--results", "results", "-t", task, "--format", "json").stdout)
    assert {row["model"] for row in board} == {"mine.half", "waves"}
    assert board[0]["metrics"]["mae"] <= board[1]["metrics"]["mae"]
    found = {row["model"]: row["metrics"] for row in board}
    assert {"mae", "rmse", "r2", "r2_correlated"} <= set(found["waves"])
    assert "r2_correlated" not in found["mine.half"]  # undefined of a constant
    table = elfzoo("leaderboard", "--results", "results", "-t", task).stdout
    assert "mine.half" in table and "waves" in table and "MAE" in table
    ratio = elfzoo("leaderboard", "--results", "results", "-t", task, "--compare", "mine.half", "waves").stdout
    assert "ratio" in ratio and "structures" in ratio


def test_the_stranger_of_the_readme_enters(elfzoo: Run, task: str) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (code,) = (block for block in readme.split("```python\n")[1:] if block.startswith("# my_model.py"))
    Path("my_model.py").write_text(code.split("```")[0])
    result = elfzoo("benchmark", "-m", "my_model.py:make", "-t", task, "--out", "results")
    assert result.exit_code == 0 and "my-constant on tiny" in result.stdout, result.output
    assert len(Path("my_model.py").read_text().splitlines()) <= 20


def test_a_run_that_fails_does_not_end_the_others(elfzoo: Run, task: str) -> None:
    result = elfzoo("benchmark", "-m", "mine.py:broken", "-m", "mine.py:half", "-t", task, "--out", "results")
    assert result.exit_code == 1 and "mine.broken on cubic_02" in result.stderr
    assert [path.name for path in Path("results/tiny").iterdir()] == ["mine.half.json"]


def test_prediction_files_enter(elfzoo: Run, task: str) -> None:
    assert elfzoo("benchmark", "-m", "mine.py:half", "-t", task, "--out", "results", "--work", "work").exit_code == 0
    files = Path("work/mine.half/tiny/predictions")
    result = elfzoo("benchmark", "-m", "outside", "--predictions", files, "-t", task, "--out", "results")
    assert result.exit_code == 0
    first, again = (json.loads(Path(f"results/tiny/{name}.json").read_text()) for name in ("mine.half", "outside"))
    assert first["metrics"] == again["metrics"]


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (("-m", "grid_mlp.smooth-h-v2", "-t", "fluid"), "did you mean fluid-h"),
        (("-m", "grid_mlp.smoth-h-v2", "-t", "fluid-h"), "did you mean grid_mlp.smooth-h-v2"),
        (("-m", "no.py:make", "-t", "fluid-h"), "no such file: no.py"),
        (("-m", "mine", "--predictions", "nowhere", "-t", "fluid-h"), "no folder of predictions nowhere"),
    ],
)
def test_wrong_names_are_one_line(elfzoo: Run, call: tuple[str, ...], part: str) -> None:
    assert part in error_line(elfzoo("benchmark", *call))


def test_wrong_calls_are_explained(elfzoo: Run) -> None:
    assert elfzoo("benchmark").exit_code == 2
    assert elfzoo("benchmark", "-m", "a", "-t", "fluid-h", "--split", "train").exit_code == 2
    assert elfzoo("benchmark", "-m", "a", "-m", "b", "--predictions", ".", "-t", "fluid-h").exit_code == 2
    assert "no folder of records" in error_line(elfzoo("leaderboard", "--results", "nowhere"))
    Path("empty").mkdir()
    assert "make them with elfzoo benchmark" in error_line(elfzoo("leaderboard", "--results", "empty"))
    assert "did you mean json" in error_line(elfzoo("leaderboard", "--format", "jsn"))
