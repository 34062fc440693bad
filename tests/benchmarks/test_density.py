"""The script of the density models: what it trains, measures and writes down, on three small crystals."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from pymatgen.core import Lattice, Structure

from elfzoo import Field, Grid
from elfzoo.config import read_yaml
from elfzoo.errors import QuantityError
from elfzoo.target import Target
from elfzoo.training import TrainConfig
from elfzoo.transforms.sad import SuperposedDensity

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import density

BENCHMARKS = density.HERE
RECIPE = {"engine": "Quantum ESPRESSO 6.7", "functional": "PBE", "pseudopotential": "GTH-PBE-q1"}


def field(i):
    structure = Structure(Lattice.orthorhombic(2.0, 2.2, 2.3 + 0.1 * i), ["H", "H"], [[0, 0, 0], [0, 0.1 * i, 0.32]])
    grid = Grid.from_spacing(structure.lattice.matrix, 0.15)
    sad = SuperposedDensity(structure).on_grid(grid)
    values = 1.02 * sad**1.1 * sad.mean() / (sad**1.1).mean()
    return Field(values, structure, "density", meta=RECIPE | {"valence": {"H": 1.0}, "valence_electrons": 2.0})


@pytest.fixture
def data(tmp_path, monkeypatch):
    splits = {}
    (tmp_path / "density-h").mkdir()
    for i, split in enumerate(("train", "val", "test")):
        path = field(i).write(tmp_path / "density-h" / f"cubic_{i:03d}.npz")
        splits[split] = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    manifest = {"name": "density-h", "recipe": RECIPE, "splits": splits}
    monkeypatch.setattr("elfzoo.datasets.base.read_manifest", {"density-h": manifest}.__getitem__)
    return tmp_path


@pytest.fixture
def configs(tmp_path):
    """The real configurations, made small."""
    for family, model in (
        ("grid-mlp", {"hidden": [8], "descriptor": {"n_radial": 4, "smooth": True}}),
        ("symmetry-unet", {"spacing": 0.4, "averaging": "none", "network": {"widths": [4, 4], "groups": 2}}),
    ):
        values = yaml.safe_load((BENCHMARKS / "configs" / f"density-{family}.yaml").read_text())
        for part in (*values["train"], *values["validate"]):
            part["points"] = 100
        (tmp_path / f"density-{family}.yaml").write_text(yaml.safe_dump(values | {"model": model, "epochs": 2}))
    return tmp_path


@pytest.mark.parametrize("family", density.FAMILIES)
def test_the_configurations_are_read_and_each_target_has_a_name(family):
    shipped = read_yaml(TrainConfig, BENCHMARKS / "configs" / f"density-{family}.yaml")
    names = {density.configuration(family, target, seed).name for target in density.TARGETS for seed in (0, 1)}
    assert len(names) == 4 and all(name.startswith(shipped.name) for name in names)
    assert shipped.target == Target(**density.TARGETS["log"])
    assert {part.dataset for part in (*shipped.train, *shipped.validate)} == {"density-h"}
    assert "histogram" not in shipped.fields.terms or family == "grid-mlp"


def test_errors_by_hand():
    reference = field(0)
    found = density.errors(reference, reference.values * 1.03)
    electrons = 2 * 1.02
    assert found["nmape"] == pytest.approx(3, abs=1e-4)
    assert found["electron_error_percent"] == pytest.approx(3, abs=1e-4)
    assert found["electron_error"] == pytest.approx(0.03 * electrons, abs=1e-5)
    assert found["mae"] == pytest.approx(0.03 * electrons / reference.structure.volume, abs=1e-5)


def test_everything_is_trained_measured_and_written_down_and_goes_on(data, configs, capsys):
    common = ["--data", str(data), "--configs", str(configs), "--out", str(data / "runs"), "--results", str(data)]
    density.main([*common, "--families", "grid-mlp"])
    first = json.loads((data / "density-h.json").read_text())
    assert list(first["models"]) == ["SAD alone", "grid_mlp.density-h-v1-log", "grid_mlp.density-h-v1-difference"]
    density.main([*common, "--families", "symmetry-unet", "--targets", "difference"])
    record = json.loads((data / "density-h.json").read_text())
    assert list(record["models"])[:3] == list(first["models"]) and len(record["models"]) == 4
    assert record["models"]["grid_mlp.density-h-v1-log"] == first["models"]["grid_mlp.density-h-v1-log"]
    assert (record["task"], record["split"], record["recipe"]) == ("density-h", "test", RECIPE)
    sad = record["models"]["SAD alone"]["metrics"]
    reference = field(2)
    values = SuperposedDensity(reference.structure).on_grid(reference.grid)
    expected = np.abs(values - reference.values).sum() / reference.values.sum()
    assert sad["nmape"] == pytest.approx(100 * expected, abs=1e-3)
    assert sad["electron_error_percent"] == pytest.approx(100 * (1 - 1 / 1.02), abs=1e-3)
    for name in list(record["models"])[1:]:
        found = record["models"][name]
        assert found["model"] == name and len(found["weights_sha256"]) == 64 and found["seed"] == 0
        assert found["target"]["quantity"] == ("density" if name.endswith("log") else "density_difference")
        assert found["structures"][0]["file"] == "density-h/cubic_002.npz" and found["training_seconds"] >= 0
    lines = capsys.readouterr().out.splitlines()[-5:]
    assert "NMAPE" in lines[0] and [line.split()[0] for line in lines[1:]] == ["SAD", *list(record["models"])[1:]]


def test_an_elf_model_is_not_measured_on_densities(data):
    import elfzoo

    model = elfzoo.create_model("grid_mlp", {"hidden": [4], "descriptor": {"n_radial": 3}})
    from elfzoo.hub import load_release, save_release

    save_release(model, data / "r", "grid_mlp.elf-v0", elements=("H",))
    with pytest.raises(QuantityError, match=r"grid_mlp\.elf-v0 holds the quantity 'elf'; expected 'density'"):
        density.predictor(load_release(data / "r"))(field(0))
