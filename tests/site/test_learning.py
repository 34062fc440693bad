"""Learning curves as ``benchmarks/study.py`` records them, and the history of a training, on the page of a model."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from elfzoo.card import HISTORY
from elfzoo.errors import ElfzooError
from elfzoo.site.boards import boards_of
from elfzoo.site.learning import read_studies, training_figures
from elfzoo.site.pages import model_page
from tests.site.records import TASKS, Page, record
from tests.training.conftest import (
    TOY,
    data,  # noqa: F401  (a fixture: small analytic fields)
)

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import study as program
import study_figures
import study_tables

STUDY = {
    "title": "toy",
    "shows": "nothing",
    "minutes": 0.1,
    "base": TOY,
    "axes": {"total_points": {"title": "points", "key": "total_points", "values": [100, 200], "log": True}},
    "seeds": 2,
    "tasks": ["fluid-h"],
    "voxels": 60,
    "seen": True,
}
RELEASE = "grid_mlp.toy-v1"


@pytest.fixture
def studied(tmp_path: Path, data: str) -> Path:  # noqa: F811
    """A folder where a learning curve was run: ``results``, and the ``out`` of its runs."""
    path = tmp_path / "learning-curve-toy.yaml"
    path.write_text(yaml.safe_dump(STUDY, sort_keys=False))
    program.main(
        [str(path), f"--data={data}", *(f"--{name}={tmp_path / name}" for name in ("out", "results", "figures"))]
    )
    (tmp_path / "results" / "studies").mkdir()
    (tmp_path / "results" / "learning-curve-toy.json").rename(tmp_path / "results/studies/learning-curve-toy.json")
    return tmp_path


@pytest.fixture
def release(studied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of the runs as a shipped release."""
    folder = sorted(studied.glob("out/*/*/release"))[0]
    monkeypatch.setattr("elfzoo.site.learning.shipped_releases", lambda: {RELEASE: folder})
    return folder


def test_a_model_page_shows_how_it_learned(studied: Path, release: Path) -> None:
    assert (release / HISTORY).read_bytes() == (release.parent / HISTORY).read_bytes()
    (study,) = read_studies(studied / "results")
    tables = Page(model_page(boards_of([record(RELEASE, [0.1])], TASKS), RELEASE, [study])).tables

    history = [[cell["text"] for cell in line] for line in tables["history"]]
    log = list(csv.DictReader((release / HISTORY).read_text().splitlines()))
    assert history[0] == ["epoch", "loss", "mae fluid-h/val", "seconds"] and len(log) == 2
    assert history[1:] == [[f"{float(row[name]):.4g}" for name in history[0]] for row in log]

    head, *lines = tables["learning-curve-toy-total_points"]
    assert [cell["text"] for cell in head] == ["points", "fluid-h", "structures trained on"]
    points = study_figures.points_of(study_tables.row_runs(study), "total_points", "fluid-h")
    assert [len(values) for _, values in points] == [2, 2]
    told = [[cell["text"] for cell in line[:2]] for line in lines]
    assert told == [[f"{value:g}", study_tables.mean_std(values)] for value, values in points]
    seen = [[run["seen"]["mae"] for run in row.runs] for row in study_tables.row_runs(study) if row.at]
    assert [line[2]["text"] for line in lines] == [study_tables.mean_std(values) for values in seen]

    svg = training_figures(RELEASE, [study])[1].svg
    marks = [tuple(map(float, mark)) for mark in re.findall(r'class="mark main" cx="([\d.]+)" cy="([\d.]+)"', svg)]
    whiskers = [tuple(map(float, w)) for w in re.findall(r'class="whisker main" d="M([\d.]+) ([\d.]+)V([\d.]+)', svg)]
    assert [x for x, _ in marks] == [x for x, *_ in whiskers] and len(marks) == 2
    means = [study_tables.spread(values).mean for _, values in points]
    assert (marks[0][1] < marks[1][1]) == (means[0] > means[1])  # up is more
    assert all(bottom > y > top for (_, y), (_, bottom, top) in zip(marks, whiskers, strict=True))


def test_a_curve_belongs_to_its_configuration_and_is_of_runs_that_ended(studied: Path, release: Path) -> None:
    (study,) = read_studies(studied / "results")
    history, curve = training_figures(RELEASE, [study])
    assert training_figures("a stranger's", [study]) == []
    other = json.loads(json.dumps(study).replace('"hidden": [6]', '"hidden": [7]'))
    without = study | {"runs": [{**run, "failed": "the loss became nan"} for run in study["runs"]]}
    assert training_figures(RELEASE, [other, without]) == [history]
    newer = json.loads(json.dumps(study).replace('"hidden": [6]', '"hidden": [6], "added_later": 0'))
    assert training_figures(RELEASE, [newer]) == [history, curve]
    first = study["runs"][0]
    failed = {key: first[key] for key in ("key", "config_sha256", "config")} | {"seed": 7, "failed": "ElfzooError: nan"}
    assert training_figures(RELEASE, [study | {"runs": [failed, *study["runs"]]}]) == [history, curve]
    (release / HISTORY).unlink()
    assert training_figures(RELEASE, [study]) == [curve]


def test_what_is_no_study_is_named(tmp_path: Path) -> None:
    assert read_studies(tmp_path) == []
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "learning-curve-x.json").write_text("{")
    with pytest.raises(ElfzooError, match=r"learning-curve-x\.json is no record of a study"):
        read_studies(tmp_path)
