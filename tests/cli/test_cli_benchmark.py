"""``elfzoo benchmark`` and ``elfzoo leaderboard``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from elfzoo import list_pretrained
from elfzoo.benchmark import Benchmark, list_tasks
from elfzoo.cli.benchmark import _is_foreign, _named
from tests.benchmark.conftest import ENTRANTS, task_file
from tests.cli.conftest import error_line
from tests.markdown import blocks

Run = Callable[..., Result]
VOIDS = '''

def voids():
    """Highest in the middle of the cell, and the higher the smaller the cell is, as in copper."""
    def predict(structure, grid):
        x, y, z = (2 * np.pi * np.arange(n) / n for n in grid.shape)
        return 0.4 - 0.5 / structure.volume * (np.cos(x)[:, None, None] + np.cos(y)[:, None] + np.cos(z))
    return predict
'''


@pytest.fixture
def task(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(ENTRANTS)
    return str(task_file(tmp_path / "tiny.yaml", starts_with="cubic_02", parts=["voxels"]))


def test_tasks_are_listed(elfzoo: Run) -> None:
    result = elfzoo("benchmark", "--list")
    assert result.exit_code == 0
    for name in ("fluid-h", "crystal-h-cubic", "hydrides-zero-shot", "metals", "template-ranking", "speed"):
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
    readme = blocks(Path(__file__).parents[2] / "README.md")
    (code,) = (block.code for block in readme if block.code.startswith("# my_model.py"))
    Path("my_model.py").write_text(code)
    result = elfzoo("benchmark", "-m", "my_model.py:make", "-t", task, "--out", "results")
    assert result.exit_code == 0 and "my-constant on tiny" in result.stdout, result.output
    assert len(Path("my_model.py").read_text().splitlines()) <= 20


def test_a_run_that_fails_does_not_end_the_others(elfzoo: Run, task: str) -> None:
    result = elfzoo("benchmark", "-m", "mine.py:broken", "-m", "mine.py:half", "-t", task, "--out", "results")
    assert result.exit_code == 1 and "mine.broken on cubic_02" in result.stderr
    assert [path.name for path in Path("results/tiny").iterdir()] == ["mine.half.json"]


@pytest.mark.parametrize(
    ("model", "task", "foreign"),
    [
        ("grid_mlp.smooth-h-v3", "metals", True),
        ("grid_mlp.smooth-h-v3", "hydrides-few-shot", False),  # it learns them
        ("grid_mlp.smooth-h-v3", "fluid-h", False),
        ("grid_mlp.smooth-h-v3", "speed", False),
        ("symmetry_unet.multi-v1", "metals", False),
        ("benchmarks/floors.py:mean", "metals", False),
        ("no such model", "metals", False),  # comes out when it is run
    ],
)
def test_a_release_is_left_out_of_tasks_of_other_elements(
    model: str, task: str, foreign: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = model.replace("benchmarks", str(Path(__file__).parents[2] / "benchmarks"))
    assert _is_foreign(Benchmark(spec, task, tmp_path)) is foreign
    assert ("has no structure of H alone" in capsys.readouterr().err) is foreign


def test_prediction_files_enter(elfzoo: Run, task: str) -> None:
    assert elfzoo("benchmark", "-m", "mine.py:half", "-t", task, "--out", "results", "--work", "work").exit_code == 0
    files = Path("work/mine.half/tiny/predictions")
    result = elfzoo("benchmark", "-m", "outside", "--predictions", files, "-t", task, "--out", "results")
    assert result.exit_code == 0
    first, again = (json.loads(Path(f"results/tiny/{name}.json").read_text()) for name in ("mine.half", "outside"))
    assert first["metrics"] == again["metrics"]


def test_what_takes_an_idle_machine_or_hours_is_measured_by_name_alone() -> None:
    models, tasks = _named(["all", "mine.py:half"], ["all"])
    able = [name for name in list_pretrained() if not name.startswith("harris_pw")]  # these need an engine
    assert models == [*able, "mine.py:half"]
    asked_for = {"speed", "hydrides-few-shot", "metals-cubic", "metals-hexagonal"}  # the last two are in metals
    assert set(list_tasks()) - set(tasks) == asked_for
    assert _named(["all", able[0]], ["speed", "all", "metals"]) == (able, ["speed", *tasks])


def test_templates_are_ranked_and_rendered(elfzoo: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ENTRANTS + VOIDS)
    task = task_file(tmp_path / "tiny.yaml", dataset="metals", starts_with="Cu_fcc", parts=["templates"])
    for name in ("half", "voids"):
        result = elfzoo("benchmark", "-m", f"mine.py:{name}", "-t", task, "--out", "results")
        assert result.exit_code == 0 and "MAE of strength 0." in result.stdout, result.output
    found = json.loads(elfzoo("leaderboard", "--results", "results", "-t", task, "--format", "json").stdout)
    metrics = {row["model"]: row["metrics"] for row in found}
    assert metrics["mine.half"]["templates_lost"] == metrics["mine.half"]["templates"] == 3
    assert metrics["mine.half"]["strength_mae"] == pytest.approx(0.318, abs=0.01)  # of copper in DFT
    assert metrics["mine.voids"]["spearman"] == 1 and found[0]["model"] == "mine.voids"
    assert metrics["mine.voids"]["site_recall"] == 0  # in the octahedral voids; copper has them in the tetrahedral ones
    assert "Spearman ρ" in elfzoo("leaderboard", "--results", "results", "-t", task).stdout
    page = elfzoo("leaderboard", "--results", "results", "-t", task, "--format", "html", "-o", "site")
    assert page.exit_code == 0 and "Spearman ρ" in Path("site/index.html").read_text(), page.output


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (("-m", "grid_mlp.smooth-h-v3", "-t", "fluid"), "did you mean fluid-h"),
        (("-m", "grid_mlp.smoth-h-v3", "-t", "fluid-h"), "did you mean grid_mlp.smooth-h-v3"),
        (("-m", "no.py:make", "-t", "fluid-h"), "no such file: no.py"),
        (("-m", "mine", "--predictions", "nowhere", "-t", "fluid-h"), "no folder of predictions nowhere"),
        (("-m", "mine", "--predictions", ".", "-t", "speed"), "known by its prediction files alone"),
    ],
)
def test_wrong_names_are_one_line(elfzoo: Run, call: tuple[str, ...], part: str) -> None:
    assert part in error_line(elfzoo("benchmark", *call))


def test_wrong_calls_are_explained(elfzoo: Run) -> None:
    assert elfzoo("benchmark").exit_code == 2
    assert elfzoo("benchmark", "-m", "a", "-t", "fluid-h", "--split", "train").exit_code == 2
    assert elfzoo("benchmark", "-m", "a", "-m", "b", "--predictions", ".", "-t", "fluid-h").exit_code == 2
    for name in ("all", "grid_mlp.smooth-h-v3"):  # whose records would be replaced
        assert elfzoo("benchmark", "-m", name, "--predictions", ".", "-t", "fluid-h").exit_code == 2
    assert "no . first" in error_line(elfzoo("benchmark", "-m", "..", "--predictions", ".", "-t", "fluid-h"))
    Path("fluid-h.yaml").write_text("title: mine\ndataset: fluid-h\nprotocol: none\ndata_sha256: {}\n")
    assert "is not elfzoo's fluid-h" in error_line(elfzoo("benchmark", "-m", "a", "-t", "fluid-h.yaml"))
    for call in (("--split", "train"), ("-o", "x.json"), ("--compare", "a", "b", "--format", "json")):
        assert elfzoo("leaderboard", *call).exit_code == 2
    assert "no folder of records" in error_line(elfzoo("leaderboard", "--results", "nowhere"))
    Path("empty").mkdir()
    assert "make them with elfzoo benchmark" in error_line(elfzoo("leaderboard", "--results", "empty"))
    assert "did you mean json" in error_line(elfzoo("leaderboard", "--format", "jsn"))
