"""README, cards, records, weights and data say the same."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import elfzoo
from elfzoo.benchmark import find_task, list_tasks, read_records
from elfzoo.benchmark.board import is_hybrid
from elfzoo.benchmark.summary import summary
from elfzoo.card import read_card, shipped_releases
from elfzoo.datasets import FluidHydrogen
from elfzoo.registry import find_architecture

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from few_shot_table import few_shot_rows

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
RECORDS = list(read_records(RESULTS, list_tasks()))
FIELDS = {"fluid-h", "crystal-h-cubic", "crystal-h-hexagonal", "hydrides-zero-shot", "metals"}
NAMES = {"mae", "rmse", "r2", "r2_correlated", "mae_outside_cores", "phi_mae", "phi_r2"}
NAMES |= {"cp_precision", "cp_recall", "cp_displacement", "network_jaccard"}
SPEEDS = {"voxels_per_second", "seconds_500h_192", "ratio_to_dense_baseline", "peak_rss_gib"}


@pytest.mark.parametrize("task", ["fluid-h", "crystal-h-cubic", "crystal-h-hexagonal"])
def test_there_are_records_of_every_release(task):
    """Those that need an engine are for other elements than hydrogen."""
    wanted = {name for name in elfzoo.list_pretrained() if not needs_an_engine(name)}
    assert {r["model"] for r in RECORDS if r["task"] == task} >= wanted


def needs_an_engine(name):
    return bool(find_architecture(read_card(shipped_releases()[name]).architecture).requires)


def test_releases_that_need_an_engine_are_measured_on_hydrides():
    measured = {r["model"] for r in RECORDS if r["task"] in ("hydrides-zero-shot", "hydrides-few-shot")}
    assert measured >= {name for name in elfzoo.list_pretrained() if needs_an_engine(name)}


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r['task']}-{r['model']}")
def test_records_belong_to_the_shipped_weights_and_the_data_of_their_task(record):
    assert record["data_sha256"] == find_task(record["task"]).data_sha256["test"]
    if record["model"] in shipped_releases():
        assert record["weights_sha256"] == read_card(shipped_releases()[record["model"]]).weights_sha256
    else:
        source = ROOT / record["entrant"]["source"].split(":")[0]
        assert record["entrant"]["source_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert summary(record["structures"]) == record["metrics"]  # nothing in it is typed


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r['task']}-{r['model']}")
def test_records_have_every_metric_that_their_task_defines(record):
    few = {f"{name}_{shots}" for name in NAMES for shots in find_task("hydrides-few-shot").shots}
    wanted = dict.fromkeys(FIELDS, NAMES) | {"hydrides-few-shot": few, "speed": SPEEDS}
    undefined = set()
    if record["task"] == "metals":  # their attractors hold no hydrogen, and networks are of hydrogen
        undefined |= {"network_jaccard"}
    if record["model"] == "floor.mean":  # a constant correlates with nothing and has no critical points
        undefined |= {"r2_correlated", "cp_precision", "cp_displacement"}
    there = {name for name, value in record["metrics"].items() if value is not None}
    assert wanted.get(record["task"], set()) - undefined - there == set()


def test_readme_and_cards_are_rendered_from_the_records():
    script = ROOT / "benchmarks" / "render.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", elfzoo.list_pretrained())
def test_cards_say_what_they_must(name):
    card, text = read_card(shipped_releases()[name]), (shipped_releases()[name] / "README.md").read_text()
    assert card.name == name
    for heading in ("Intended use", "Training data", "Results", "Limits", "Licence and citation"):
        assert f"## {heading}" in text
    if not card.training:
        assert name in ("harris.h-v1", "harris_pw.solids-v1")  # nothing in them is trained
        assert card.recipe is None and not list(elfzoo.load_pretrained(name).parameters())
        return
    assert "H" in card.elements
    assert card.domain is not None
    solids = ("hydrides", "metals", "prototypes")
    engines = {"gpaw" if part["dataset"] in solids else "espresso" for part in training_parts(card)}
    assert (card.recipe is None) == (len(engines) > 1)
    assert not any(part["split"] == "test" for part in training_parts(card))


def training_parts(card):
    return card.training["config"]["train"]


def test_a_release_reproduces_a_figure_of_its_record():
    """One snapshot, computed anew."""
    from elfzoo.analysis import field_metrics

    record = json.loads((ROOT / "benchmarks/results/fluid-h/grid_mlp.smooth-h-v3.json").read_text())
    _, field = FluidHydrogen(split="test")[0]
    predicted = elfzoo.load_pretrained("grid_mlp.smooth-h-v3").predict(field.structure, grid=field.grid)
    row = next(r for r in record["structures"] if r["file"] == field.meta["file"])
    assert field_metrics(field.values, predicted.values).mae == pytest.approx(row["voxels"]["mae"], rel=1e-3)


def test_the_rows_of_few_shots():
    """Numbers in their places; what was not measured is empty."""
    metrics = {"mae_outside_cores_0": 0.05, "mae_outside_cores_8": 0.02, "mae_outside_cores_known_8": 0.01}
    metrics |= {"mae_outside_cores_scratch_8": 0.03, "below_scratch_8": 0.01, "below_scratch_8_low": 0.004}
    metrics |= {"below_scratch_8_high": 0.016, "phi_mae_8": 0.123, "forgetting_fluid-h_8": 0.034}
    rows = few_shot_rows("a.b", metrics, (8,), ("fluid-h", "metals"))
    assert [cell.strip() for cell in rows[0].split("|")[1:-1]] == ["`a.b`", "0", "0.0500"] + 9 * [""]
    assert [cell.strip() for cell in rows[1].split("|")[1:-1]] == [
        *("", "8", "0.0200", "0.0100", "", "0.0300", "", "0.0100 (0.0040 to 0.0160)", "", "0.123", "+3.4%", "")
    ]


@pytest.mark.parametrize(
    ("task", "symbols"),
    [
        ("fluid-h", ["H"]),
        ("crystal-h-cubic", ["H"]),
        ("crystal-h-hexagonal", ["H"]),
        ("hydrides-zero-shot", ["H", "La"]),
        ("metals", ["Al"]),
    ],
)
def test_what_is_recommended_is_the_most_accurate_that_sees_the_geometry_alone(task, symbols):
    records = [json.loads(path.read_text()) for path in (ROOT / "benchmarks/results" / task).glob("*.json")]
    errors = {r["model"]: r["metrics"]["mae_outside_cores"] for r in records if not is_hybrid(r)}
    assert min(errors, key=errors.get) == elfzoo.recommend(symbols)
