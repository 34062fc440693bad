"""One diagonalisation of any elements, on an engine that says something simple (the real one: test_contract)."""

import os

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.config import parse
from elfzoo.datasets import Hydrides
from elfzoo.errors import ConfigError
from elfzoo.hub import save_release
from elfzoo.models.harris_pw import CHANNELS, HarrisPWDeltaConfig
from elfzoo.reference.engines import gpaw
from elfzoo.testing import enliven
from elfzoo.training.finetune import finetune
from elfzoo.transforms import fused

CELL = Structure(Lattice.tetragonal(3.1, 4.2), ["Li", "H", "H"], [[0.1, 0.2, 0.3], [0.6, 0.7, 0.7], [0.1, 0.7, 0.2]])
POINTS = np.random.default_rng(0).random((60, 3))


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    def answer(structure, settings, steps, folder, symmetry):
        wave = np.cos(2 * np.pi * np.arange(6) / 6)[:, None, None] * np.ones((6, 6, 8))
        return 0.05 + 0.02 * wave, 0.04 + 0.01 * wave

    monkeypatch.setattr(gpaw, "one_diagonalisation", answer)


def test_fresh_corrections_are_small():
    torch.manual_seed(0)
    untrained = elfzoo.create_model("harris_pw").predict(CELL, points=POINTS, progress=False)
    corrected = elfzoo.create_model("harris_pw_delta").predict(CELL, points=POINTS, progress=False)
    assert 0 < np.abs(corrected - untrained).max() < 0.05


def test_the_kernel_changes_nothing_and_forward_is_predict(monkeypatch):
    torch.manual_seed(0)
    model = enliven(elfzoo.create_model("harris_pw_delta"))
    fast = model.predict(CELL, points=POINTS, progress=False)
    monkeypatch.setattr(fused, "supports", lambda config: False)
    np.testing.assert_allclose(model.predict(CELL, points=POINTS, progress=False), fast, atol=2e-5)
    cartesian = POINTS @ CELL.lattice.matrix
    np.testing.assert_allclose(
        model.head(torch.from_numpy(model.features(CELL, cartesian))).detach().sigmoid(), fast, atol=2e-5
    )
    data = model.transform(elfzoo.probe.probe_data(CELL, cartesian))
    np.testing.assert_allclose(model(data).detach().sigmoid(), fast, atol=2e-4)


def test_elements_are_told_apart_by_what_they_are_like():
    torch.manual_seed(0)
    model = enliven(elfzoo.create_model("harris_pw_delta"))
    fields = [
        model.predict(CELL.copy().replace_species({"Li": other}), points=POINTS, progress=False)
        for other in ("Li", "Na", "H")
    ]
    assert np.abs(fields[0] - fields[2]).max() > 1e-3 and np.abs(fields[0] - fields[1]).max() > 1e-4
    assert model.species[0].tolist() == [1.0, 0.0, 0.0]  # hydrogen is the reference


def test_channels_are_those_of_the_elements():
    with pytest.raises(ConfigError, match=f"has {CHANNELS} channels; got 2"):
        parse(HarrisPWDeltaConfig, {"descriptor": {"channels": 2}})


def test_fine_tuning_diagonalises_each_structure_once(tmp_path, monkeypatch):
    """For training, limits and report, before and after; the folder of the run keeps them for the next run."""
    solved, answer = [], gpaw.one_diagonalisation

    def counted(structure, *args, **options):
        solved.append(structure.formula)
        return answer(structure, *args, **options)

    monkeypatch.setattr(gpaw, "one_diagonalisation", counted)
    monkeypatch.delenv("ELFZOO_HARRIS_CACHE", raising=False)
    model = elfzoo.create_model("harris_pw_delta", {"hidden": [4]})
    data = Hydrides(split="train")
    files = [data.raw_dir / next(f for f in data.raw_file_names if f.startswith(start)) for start in ("YH6", "TiH2")]
    save_release(model, tmp_path / "start", "harris_pw_delta.few-v0", elements=("H", "Y", "Ti"))
    options = {"held_out": files[1:], "points": 50, "epochs": 1, "progress": False}
    report = finetune(tmp_path / "start", files[:1], tmp_path / "runs", **options)
    assert len(solved) == len(set(solved)) == 2
    assert {change.group for change in report.changes} == {"learned", "held out"}
    assert len(list((tmp_path / "runs" / "harris_pw_delta.tuned-v1" / "diagonalisations").iterdir())) == 2
    finetune(tmp_path / "start", files[:1], tmp_path / "runs", resume=False, **options)
    assert len(solved) == 2 and "ELFZOO_HARRIS_CACHE" not in os.environ
    tuned = elfzoo.load_pretrained(report.release)
    structure, points = data[data.raw_file_names.index(files[0].name)].structure, np.array([[0.1, 0.2, 0.3]])
    kept = tuned.kept_values(structure, points @ structure.lattice.matrix)
    np.testing.assert_allclose(kept, tuned.predict(structure, points=points, progress=False), atol=1e-6)
