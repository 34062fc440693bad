"""README, cards, records, weights and data say the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import elfzoo
from elfzoo.card import read_card, shipped_releases
from elfzoo.datasets import FluidHydrogen

ROOT = Path(__file__).parents[2]
TASKS = ("fluid-h", "crystal-h-cubic", "crystal-h-hexagonal")
RECORDS = sorted(path for task in TASKS for path in (ROOT / "benchmarks" / "results" / task).glob("*.json"))


def test_there_are_records_of_every_release():
    assert {p.stem for p in RECORDS} == set(elfzoo.list_pretrained())
    assert len(RECORDS) == 3 * len(elfzoo.list_pretrained())


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_records_belong_to_the_shipped_weights_and_the_test_split(path):
    record = json.loads(path.read_text())
    assert record["split"] == "test"
    assert record["weights_sha256"] == read_card(shipped_releases()[record["model"]]).weights_sha256
    if record["task"] == "fluid-h":
        assert record["data_sha256"] == FluidHydrogen(split="test").data_hash
    mean = sum(row["all_voxels"]["mae"] for row in record["structures"]) / len(record["structures"])
    assert record["metrics"]["mae"] == pytest.approx(mean, abs=1e-6)


def test_readme_and_cards_are_rendered_from_the_records():
    script = ROOT / "benchmarks" / "render.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", elfzoo.list_pretrained())
def test_cards_say_what_they_must(name):
    card, text = read_card(shipped_releases()[name]), (shipped_releases()[name] / "README.md").read_text()
    assert card.name == name
    assert card.elements == ("H",)
    assert card.recipe is not None
    for heading in ("Intended use", "Training data", "Results", "Limits", "Licence and citation"):
        assert f"## {heading}" in text
    assert not any(part["split"] == "test" for part in card.training["config"]["train"])


def test_a_release_reproduces_a_figure_of_its_record():
    """One snapshot, computed anew."""
    from elfzoo.analysis import field_metrics

    record = json.loads((ROOT / "benchmarks/results/fluid-h/grid_mlp.smooth-h-v2.json").read_text())
    _, field = FluidHydrogen(split="test")[0]
    predicted = elfzoo.load_pretrained("grid_mlp.smooth-h-v2").predict(field.structure, grid=field.grid)
    row = next(r for r in record["structures"] if r["file"] == field.meta["file"])
    assert field_metrics(field.values, predicted.values).mae == pytest.approx(row["all_voxels"]["mae"], rel=1e-3)
