"""The table of invariances: small crystals of the validation split, exact ones exact, approximate ones measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

import elfzoo
from elfzoo.interpolate import spline_interpolate
from elfzoo.testing import enliven, measure_invariances

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import invariances
import render


def test_crystals_are_small_and_of_the_validation_split():
    crystals = invariances.chosen(None)
    assert len(crystals) == 2 * invariances.OF_EACH
    assert {name.split("_")[0] for name in crystals} == {"cubic", "hexagonal"}
    assert all(int(name.split("_")[1]) % 5 == 4 for name in crystals)
    assert max(map(len, crystals.values())) <= invariances.LARGEST


def test_what_is_measured_is_the_change_and_an_exact_invariance_has_none():
    torch.manual_seed(0)
    crystals = list(invariances.chosen(None).values())[::5]
    patches, points = (
        enliven(elfzoo.create_model(name, values), ("H",))
        for name, values in (("patch_cnn", {"patch": {"n_voxels": 4}, "widths": [4, 6]}), ("grid_mlp", None))
    )
    changes = {row.invariance: row for row in measure_invariances(patches, crystals)}
    assert 1e-3 < changes["rotation"].mean < changes["rotation"].largest <= 1
    assert changes["rotation"].declared == "approximate" and changes["basis"].largest < 1e-4
    assert all(row.largest < 1e-4 for row in measure_invariances(points, crystals) if row.declared == "exact")


def test_the_error_on_other_grids_is_measured_on_the_same_snapshots():
    fluids = invariances.snapshots(None)
    assert len(fluids) == 3 and len({field.structure.volume for field in fluids}) == 3
    torch.manual_seed(0)
    values = {"spacing": 0.5, "network": {"widths": [3, 4]}}
    model = enliven(elfzoo.create_model("symmetry_unet", values), ("H",))
    found = invariances.error_by_grid(model, fluids[:1])
    assert set(found) == {"own", "finer", "sheared"} and all(0 < error < 1 for error in found.values())
    cell, grid = model.working_cell(fluids[0].structure)
    logits = model([cell], [grid])[0].detach().numpy()
    points = grid.positions() @ np.linalg.inv(fluids[0].grid.lattice)
    expected = expit(spline_interpolate(logit(np.clip(fluids[0].values, 1e-3, 1 - 1e-3)), points))
    assert found["own"] == pytest.approx(np.abs(expit(logits).ravel() - expected).mean(), abs=1e-4)


def test_the_record_keeps_what_is_not_measured_again_and_is_rendered(tmp_path, monkeypatch, capsys):
    row = {"invariance": "rotation", "declared": "approximate", "largest": 0.25, "mean": 0.0125}
    others = [
        row | {"invariance": name, "declared": "exact"} for name in ("origin", "reflection", "basis", "supercell")
    ]
    monkeypatch.setattr(invariances, "measured", lambda *_: {"crystals": [row, *others], "grids": None})
    out = tmp_path / "invariances.json"
    for name in ("b.one-v1", "a.two-v1"):
        invariances.main([name, "--out", str(out)])
    assert list(json.loads(out.read_text())["models"]) == ["a.two-v1", "b.one-v1"]
    assert "a.two-v1: largest change of ELF {'rotation': '2.5e-01'" in capsys.readouterr().out
    monkeypatch.setattr(render, "RESULTS", tmp_path)
    table = render.rendered("<!-- invariances -->\nold\n<!-- end -->\n")
    assert "| `b.one-v1` | exact | 0.0125 (0.250) | exact | exact | exact |" in table and "old" not in table


@pytest.mark.parametrize("name", elfzoo.list_pretrained())
def test_every_release_is_in_the_record_with_the_weights_that_ship(name):
    if elfzoo.load_pretrained(name).requires:
        pytest.skip("needs an engine: not measured")
    models = json.loads(invariances.RESULTS.read_text())["models"]
    assert models[name]["weights_sha256"] == elfzoo.load_pretrained(name).card.weights_sha256
    assert all(row["largest"] < 2e-5 for row in models[name]["contract"] if row["declared"] == "exact")
