"""Predicted against true errors: the measures, and that the record is of what ships."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import uncertainty
import uncertainty_figures

import elfzoo
from elfzoo.card import shipped_releases
from elfzoo.uncertainty import LastLayer

RECORD = json.loads(uncertainty.RECORD.read_text())
RELEASES = sorted(set(RECORD["models"]) & set(elfzoo.list_pretrained()))


def test_right_predictions_agree(rng):
    predicted = rng.uniform(0.5, 2.0, 50_000)
    found = uncertainty.agreement(predicted, predicted * rng.normal(size=50_000))
    assert found["within_1"] == pytest.approx(0.6827, abs=0.01) and found["within_2"] == pytest.approx(0.9545, abs=0.01)
    assert found["error_rms"] == pytest.approx(found["predicted_rms"], rel=0.02) and 0.2 < found["rank"] < 0.5
    for part in uncertainty.bins(predicted, predicted * rng.normal(size=50_000)):
        assert part["error"] == pytest.approx(part["predicted"], rel=0.05)
    assert uncertainty.agreement(np.arange(1.0, 9), -(np.arange(1.0, 9) ** 2))["rank"] == pytest.approx(1.0)


def test_structures_are_of_the_test_split_alone():
    for dataset in uncertainty.DATASETS:
        fields = uncertainty.test_fields(dataset)
        assert len({field.meta["file"] for field in fields}) == uncertainty.DATASETS[dataset]
        files = set(elfzoo.datasets.dataset_class(dataset)(split="test").raw_file_names)
        assert {Path(field.meta["file"]).name for field in fields} <= files


@pytest.mark.parametrize("name", RELEASES)
def test_the_record_is_of_the_uncertainty_that_ships(name):
    model = elfzoo.load_pretrained(name)
    facts = json.loads(json.dumps(uncertainty.facts(LastLayer(model))))
    assert RECORD["models"][name]["source"] == facts
    assert (shipped_releases()[name] / "uncertainty.safetensors").stat().st_size < 100_000


def test_every_release_with_an_uncertainty_is_in_the_record():
    have = {name for name, folder in shipped_releases().items() if (folder / "uncertainty.safetensors").is_file()}
    assert have == set(RELEASES) and len(have) >= 4


def test_table_and_pictures_have_every_model(tmp_path, monkeypatch):
    assert len(uncertainty.table(RECORD)) == 2 + sum(len(row["tasks"]) for row in RECORD["models"].values())
    monkeypatch.setattr(uncertainty_figures, "FIGURES", tmp_path)
    for path in uncertainty_figures.draw(RECORD["models"]):
        assert 5_000 < path.stat().st_size < 200_000
