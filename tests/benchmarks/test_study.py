"""Studies: their files, what they expand to, runs that resume, fail and are measured."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import elfzoo
from elfzoo.card import Card
from elfzoo.config import parse
from elfzoo.datasets import CrystalHydrogen, FluidHydrogen
from elfzoo.errors import ConfigError, ElfzooError, UnknownNameError
from elfzoo.field import Recipe
from elfzoo.training import DataConfig
from elfzoo.training import loop as loop_module
from elfzoo.training.points import choose
from elfzoo.transforms.harris import inputs
from tests.training import conftest as training_data

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import render
import study as program
import study_config
import study_runs
from study_config import StudyConfig, expand, read_study, reference_of, require_sound

data = training_data.data  # a fixture: small analytic fields
BASE = training_data.TOY
SHIPPED = sorted(path.stem for path in study_config.STUDIES.glob("*.yaml"))
RECORDED = sorted(program.RESULTS.glob("*.json"))
FAMILIES = {
    "grid_mlp": {"hidden": [6], "descriptor": {"n_radial": 4}},
    "patch_cnn": {"patch": {"n_voxels": 4}, "widths": [4, 6], "hidden": [4]},
    "probe_graph": {"layers": 1, "states": "4x0e + 2x1o", "fields": "4x0e + 2x1o", "hidden": [6]},
    "symmetry_unet": {"spacing": 0.4, "network": {"widths": [4, 6]}},
}


def study_of(**changes):
    values = {"title": "toy", "shows": "nothing", "minutes": 0.1, "base": BASE, "tasks": ["fluid-h"], "voxels": 60}
    return require_sound(parse(StudyConfig, values | changes))


def eighteen(part):
    """As many snapshots as six of each pressure."""
    return part.structures or 18


def labels(study, count=eighteen):
    return [row.label for row in expand(study, count)]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_study_can_be_run(name):
    found, study = read_study(name)
    rows = expand(study, eighteen)  # builds every model
    assert found == name
    assert [row.refused for row in rows if row.refused] == []
    assert reference_of(study) in [row.label for row in rows]
    assert study.split == "val"
    for row in rows:
        config = row.config("row", study.seed_list[-1])
        assert not any(part.split == "test" for part in (*config.train, *config.validate))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_runs_on_record_are_those_that_the_study_would_do(path):
    """A key that training learns later must not make another configuration of each that was run before."""
    wanted = {row.config_sha256 for row in expand(read_study(path.stem)[1], study_config.structures_of())}
    record = json.loads(path.read_text())
    assert {row["config_sha256"] for row in record["rows"]} <= wanted
    assert record["runs"] and {run["config_sha256"] for run in record["runs"]} <= wanted


def test_the_shipped_studies_scan_what_the_paper_scans():
    axes = read_study("grid-mlp-scans")[1].axes
    assert set(axes) == {"width", "depth", "huber_beta", "r_cut", "n_radial", "l_max"}
    assert read_study("grid-mlp-seeds")[1].seed_list == tuple(range(50))
    cutoffs = read_study("patch-cnn-r-cut")[1].axes["r_cut"].values
    assert (min(cutoffs), max(cutoffs)) == (0.25, 2.5)
    scans = read_study("grid-mlp-scans")[1]
    keys = {row.config_sha256 for row in expand(scans, eighteen)}
    assert len(keys) == 29  # each axis passes through the base, which is trained once


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"titel": "x"}, "did you mean 'title'"),
        ({"axes": {"r": {"title": "r", "key": "model.descriptor.rcut", "values": [1]}}}, "model.descriptor.r_cut"),
        ({"variants": {"a": {"epochz": 3}}}, "did you mean 'epochs'"),
        ({"variants": {"a": {"model": {"hiden": [3]}}}}, "did you mean 'model.hidden'"),
        ({"variants": {"a": {"seed": 3}}}, "unknown key 'seed'"),
        ({"variants": {"a": {"architecture": "patch_cnn"}}}, "unknown key 'architecture'"),
        ({"tasks": ["fluid_h"]}, "did you mean fluid-h"),
        ({"base": "smooth-h-vv"}, "did you mean smooth-h-v"),
        ({"axes": {"r": {"title": "r", "key": "epochs"}}}, "either a key with values or changes"),
        ({"split": "train"}, "split"),
        ({"voxels": 0}, "voxels to measure on"),
        ({"base": {"model": {}}}, "names an architecture"),
    ],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        study_of(**changes)


def test_runs_from_before_there_were_targets_keep_their_names():
    values = {"architecture": "grid_mlp", "epochs": 3}
    default = {"quantity": "elf", "link": "logit", "scale": None, "valence": {}}
    before, after, density = (
        study_config.Row("base", {}, v).config_sha256
        for v in (values, values | {"target": default}, values | {"target": default | {"quantity": "density"}})
    )
    assert before == after != density


def test_a_study_that_is_not_there():
    with pytest.raises(UnknownNameError, match="did you mean grid-mlp-seeds"):
        read_study("grid-mlp-seed")


def test_one_at_a_time_and_product():
    axes = {
        "beta": {"title": "β", "key": "huber_beta", "values": [0.03, 0.1]},
        "depth": {"title": "layers", "changes": {1: {"model": {"hidden": [6]}}, 2: {"model": {"hidden": [6, 6]}}}},
    }
    variants = {"slow": {"learning_rate": 1e-4}}
    single = study_of(axes=axes, variants=variants)
    assert labels(single) == ["base", "beta 0.03", "beta 0.1", "depth 1", "depth 2", "slow"]
    assert len({row.config_sha256 for row in expand(single, eighteen)}) == 4
    crossed = study_of(axes=axes, variants=variants | {"fast": None}, combine="product")
    assert labels(crossed)[0] == "slow, beta 0.03, depth 1"
    assert len(labels(crossed)) == 8
    row = expand(crossed, eighteen)[3]
    assert (row.at, row.values["learning_rate"]) == ({"beta": 0.1, "depth": 2}, 1e-4)
    assert row.values["model"]["hidden"] == [6, 6]


def test_a_variant_without_changes_is_the_base():
    study = study_of(variants={"a": {"epochs": 3}, "b": None})
    assert labels(study) == ["a", "b"]
    assert reference_of(study) == "b"
    assert reference_of(study_of(variants={"a": {"epochs": 3}})) == "base"
    with pytest.raises(UnknownNameError, match="row of the study"):
        expand(study_of(reference="c"), eighteen)


def test_a_refused_row_says_why_and_a_refused_base_refuses_the_study():
    rows = expand(study_of(variants={"bad": {"model": {"hidden": [-1]}}}), eighteen)
    assert "must be positive" in rows[1].refused
    with pytest.raises(ConfigError, match="must be positive"):
        rows[1].config("x", 0)
    with pytest.raises(ConfigError, match="must be positive"):
        expand(study_of(changes={"epochs": 0}), eighteen)


def test_learning_curves_share_points_and_keep_the_number_of_steps():
    axes = {
        key: {"title": key, "key": key, "values": values}
        for key, values in {"structures_per_pressure": [1, 6], "total_points": [900, 1800]}.items()
    }
    rows = {row.label: row.values for row in expand(study_of(axes=axes, changes={"total_points": 1800}), eighteen)}
    first = {"dataset": "fluid-h", "split": "train", "points": 600, "structures": 3}
    assert rows["structures_per_pressure 1"]["train"][0].items() >= first.items()
    assert rows["structures_per_pressure 1"]["epochs"] == 2
    assert rows["total_points 900"]["train"][0]["points"] == 50
    assert rows["total_points 900"]["epochs"] == 4
    assert rows["base"] == rows["structures_per_pressure 6"] == rows["total_points 1800"]


def test_steps_of_field_models_and_of_batches_from_few_structures():
    fields = BASE | {"architecture": "symmetry_unet", "model": FAMILIES["symmetry_unet"], "batch_size": 1}
    axis = {"s": {"title": "s", "key": "structures_per_pressure", "values": [1, 2]}}
    assert [r.values["epochs"] for r in expand(study_of(base=fields, axes=axis), eighteen)] == [2, 12, 6]
    graphs = BASE | {"architecture": "probe_graph", "model": FAMILIES["probe_graph"], "structures_per_batch": 2}
    axis = {"p": {"title": "p", "key": "points_per_structure", "values": [25, 250]}}
    assert [r.values["epochs"] for r in expand(study_of(base=graphs, axes=axis), eighteen)] == [2, 8, 1]


def test_more_snapshots_than_there_are():
    axis = {"s": {"title": "s", "key": "structures_per_pressure", "values": [7]}}
    assert "7 structures per pressure are 21; fluid-h has 18" in expand(study_of(axes=axis), eighteen)[1].refused
    base = BASE | {"train": [{"dataset": "hydrides", "split": "train"}]}
    assert "hydrides has no states" in expand(study_of(base=base, axes=axis), eighteen)[1].refused


@pytest.mark.parametrize("number", [1, 2])
def test_an_even_choice_of_snapshots_has_as_many_of_each_pressure(number):
    _, chosen = choose(DataConfig("fluid-h", "train", structures=3 * number))
    pressures = [field.meta["target_pressure_GPa"] for _, field in chosen]
    assert sorted(pressures.count(p) for p in set(pressures)) == [number] * 3


class Shifted:
    """Predicts the reference and a constant."""

    card = None

    def __init__(self, data, shift):
        self.data, self.shift, self.quantity = data, shift, "elf"

    def predict(self, structure, grid=None, points=None, progress=None):
        field = next(f for s, f in self.data if s == structure)
        if points is None:
            return field.replace(values=field.values + self.shift)
        indices = np.round(points * field.grid.shape).astype(int)
        return field.values[tuple(indices.T)] + self.shift


@pytest.mark.parametrize("voxels", [None, 50])
def test_errors_of_a_planted_shift(data, voxels):
    fluid = FluidHydrogen(root=data, split="train")
    errors, speed = study_runs.measure(Shifted(fluid, 0.125), fluid, voxels)
    assert errors["mae"] == errors["rmse"] == pytest.approx([0.125, 0.125], abs=1e-4)
    assert errors["mae_outside_cores"] == [None, None]
    assert speed > 0
    assert study_runs.averages(errors)["mae"] == pytest.approx(0.125, abs=1e-4)
    assert study_runs.averages(errors)["mae_outside_cores"] is None


def test_seeds_on_the_command_line():
    assert program.seeds_of(["3", "0-2", "2"]) == [3, 0, 1, 2]
    with pytest.raises(ConfigError, match="0-9; got 'x'"):
        program.seeds_of(["x"])


def test_page_of_studies():
    text = render.study_page()
    assert all(f"## {name}: " in text for name in SHIPPED)
    assert render.study("no-such-study") == "Not measured yet.\n"
    assert (
        render.rendered("<!-- study a b -->\nold\n<!-- end -->")
        == "<!-- study a b -->\nNot measured yet.\n<!-- end -->"
    )


@pytest.fixture
def bench(tmp_path, data):
    """A function that runs a study on the small data folder and returns its record."""

    def run(*options, **changes):
        values = {"title": "toy", "shows": "x", "minutes": 0.1, "base": BASE, "tasks": ["fluid-h"], "voxels": 60}
        (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values | changes, sort_keys=False))
        places = [f"--{name}={tmp_path / name}" for name in ("out", "results", "figures")]
        program.main([str(tmp_path / "toy.yaml"), f"--data={data}", *places, *options])
        path = tmp_path / "results" / "toy.json"
        return json.loads(path.read_text()) if path.exists() else None

    return run


VARIANTS = {"variants": {"wide": {"model": {"hidden": [8]}}}}


@pytest.mark.parametrize("family", FAMILIES)
def test_from_file_to_record(family, bench, tmp_path, capsys):
    base = BASE | {"architecture": family, "model": FAMILIES[family], "epochs": 1}
    record = bench(base=base, seen=True, voxels=None if family == "symmetry_unet" else 60)
    (run,) = record["runs"]
    assert run["parameters"] > 0
    assert run["metrics"]["fluid-h"]["mae"] == pytest.approx(np.mean(run["errors"]["fluid-h"]["mae"]), abs=1e-6)
    assert len(run["errors"]["fluid-h"]["mae"]) == len(record["tasks"]["fluid-h"]["files"]) == 1
    assert run["seen"]["mae"] > 0
    assert run["points_per_second"]["fluid-h"] > 0
    assert run["config"]["architecture"] == family
    assert (record["split"], record["rows"][0]["label"]) == ("val", "base")
    assert (tmp_path / "figures" / "study-toy.png").exists()
    assert "| base | 1 |" in capsys.readouterr().out


def test_recorded_runs_are_skipped(bench, monkeypatch, capsys):
    first = bench("--only", "base", **VARIANTS)
    assert len(first["runs"]) == 1
    both = bench(**VARIANTS)
    assert len(both["runs"]) == 2
    assert both["runs"][0] == first["runs"][0]
    monkeypatch.setattr(study_runs, "train", None)
    assert bench(**VARIANTS)["runs"] == both["runs"]
    capsys.readouterr()
    bench("--dry-run", "--seeds", "0-1", **VARIANTS)
    assert "4 runs, 2 to do: about 0 minutes" in capsys.readouterr().out


def test_runs_of_an_older_study_are_not_kept(bench, capsys):
    old = bench(**VARIANTS)
    new = bench(voxels=50, **VARIANTS)
    assert "2 recorded runs are of another configuration" in capsys.readouterr().out
    assert len(new["runs"]) == 2
    assert not {run["key"] for run in old["runs"]} & {run["key"] for run in new["runs"]}


def test_two_processes_may_add_to_one_record(tmp_path):
    path = tmp_path / "record.json"
    first, second = study_runs.Record(path), study_runs.Record(path)
    first.add({"key": "a"}, {"study": "x"})
    second.add({"key": "b"}, {"study": "x"})
    first.add({"key": "c"}, {"study": "x"})
    assert set(study_runs.Record(path).runs) == {"a", "b", "c"}
    assert json.loads(path.read_text())["study"] == "x"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_study_goes_on(bench, monkeypatch, tmp_path):
    train, done = study_runs.train, []

    def interrupted(*args, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return train(*args, **options)

    monkeypatch.setattr(study_runs, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench("--seeds", "0-1", **VARIANTS)
    kept = json.loads((tmp_path / "results" / "toy.json").read_text())["runs"]
    assert [run["seed"] for run in kept] == [0, 0]
    monkeypatch.setattr(study_runs, "train", train)
    assert bench("--seeds", "0-1", **VARIANTS)["runs"][:2] == kept


def test_failures_are_recorded_and_the_rest_goes_on(bench, monkeypatch, capsys):
    step = loop_module._Run._step
    diverge = lambda self, batch: float("nan") if self.config.huber_beta == 0.5 else step(self, batch)  # noqa: E731
    monkeypatch.setattr(loop_module._Run, "_step", diverge)
    variants = {"refused": {"model": {"hidden": [-1]}}, "diverges": {"huber_beta": 0.5}, "good": {"epochs": 1}}
    runs = bench(variants=variants)["runs"]
    reasons = [run.get("failed", "") for run in runs]
    assert [bool(reason) for reason in reasons] == [False, True, True, False]
    assert "must be positive" in reasons[1]
    assert "the loss became nan in epoch 1; lower learning_rate" in reasons[2]
    assert "- diverges: ElfzooError: the loss became nan" in capsys.readouterr().out
    monkeypatch.setattr(loop_module._Run, "_step", step)
    assert bench(variants=variants)["runs"] == runs
    assert sum("failed" in run for run in bench("--retry", variants=variants)["runs"]) == 1


def test_nothing_to_measure_on(bench):
    with pytest.raises(SystemExit, match="nothing to measure on: fluid-h, split test"):
        bench(split="test")


def test_a_model_of_another_recipe_is_not_measured(data):
    field = FluidHydrogen(root=data, split="val")[0].field
    recipes = [Recipe("QE", "PBE", "GTH"), Recipe("GPAW", "PBE", "PAW")]
    model = elfzoo.create_model("grid_mlp", FAMILIES["grid_mlp"])
    model.card = Card("m", "grid_mlp", {}, "", engine="QE", functional="PBE", pseudopotential="GTH")
    assert study_runs.predict(model, field.replace(recipe=recipes[0]), None).shape == (1728,)
    with pytest.raises(ElfzooError, match="different recipes"):
        study_runs.predict(model, field.replace(recipe=recipes[1]), None)


def test_a_study_diagonalises_a_structure_once(monkeypatch, tmp_path):
    """What is kept for training serves measuring, and says the same as a prediction."""
    model, solved = elfzoo.create_model("harris"), []
    field = CrystalHydrogen(split="val")[-1].field
    alone = model.predict(field.structure, points=field.grid.frac_coords(chosen := np.arange(50)), progress=False)
    solve = inputs.harris_inputs
    monkeypatch.setattr(inputs, "harris_inputs", lambda *args: solved.append(1) or solve(*args))
    with inputs.keeping(tmp_path):
        for _ in range(2):
            np.testing.assert_allclose(study_runs.predict(model, field, chosen), alone, atol=1e-5)
    assert len(solved) == 1
