"""From structures to metrics: means, pools, intervals, and what nothing defines."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo import Field
from elfzoo.analysis import field_metrics
from elfzoo.benchmark.measure import PHIS, json_values, measure, pair
from elfzoo.benchmark.summary import grouped, summary
from elfzoo.benchmark.task import Task

CELL = Structure(Lattice.cubic(2.0), ["H"], [[0, 0, 0]])
VOXELS = Task(title="", dataset="crystal-h", data_sha256={}, protocol="", parts=("voxels",))


def pairs(seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Truth and guess of three structures of different sizes."""
    rng = np.random.default_rng(seed)
    shapes = [(4, 4, 4), (8, 8, 8), (4, 8, 16)]
    truths = [rng.uniform(0, 1, shape) for shape in shapes]
    return [(t, np.clip(t + rng.normal(0, 0.1, t.shape), 0, 1)) for t in truths]


def rows(group: float | None = None) -> list[dict]:
    found = [measure(pair(Field(t, CELL), Field(g, CELL), VOXELS), VOXELS) for t, g in pairs()]
    return [row | {"group": group} for row in found]


def points(reference: int, prediction: int, matched: int, moved: float | None) -> dict:
    return {"reference": reference, "prediction": prediction, "matched": matched, "mean_displacement": moved}


def topology(phi: float, delta: float, found: dict, jaccard: float | None = 1.0) -> dict:
    kinds = ("all", "(3,-3)", "(3,-1)", "(3,+1)", "(3,+3)")
    part = {
        "reference": dict.fromkeys(PHIS, phi),
        "delta": dict.fromkeys(PHIS, delta) | {"phi_star": None},
        "points": dict.fromkeys(kinds, found),
        "jaccard_at_phi": jaccard,
        "jaccard_mean": jaccard,
    }
    return {"topology": part, "group": None}


def test_structures_weigh_alike_and_pools_weigh_by_points() -> None:
    found, expected = summary(rows()), [field_metrics(t, g) for t, g in pairs()]
    for name in ("mae", "rmse", "r2", "r2_correlated"):
        assert found[name] == pytest.approx(np.mean([getattr(m, name) for m in expected]), abs=2e-6)
    together = field_metrics(*(np.concatenate([p[i].ravel() for p in pairs()]) for i in (0, 1)))
    for name in ("mae", "rmse", "r2"):
        assert found[f"{name}_pooled"] == pytest.approx(getattr(together, name), abs=2e-5)
    assert found["mae_highest"] == pytest.approx(max(m.mae for m in expected), abs=2e-6)
    assert found["r2_lowest"] == pytest.approx(min(m.r2 for m in expected), abs=2e-6)
    for name in ("mae", "rmse", "r2", "r2_correlated"):
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]
    assert found["elf_spread"] == pytest.approx(np.mean([t.std() for t, _ in pairs()]), abs=2e-6)


def test_networking_values_have_their_spread_beside_them() -> None:
    phis, deltas = [0.2, 0.4, 0.6], [0.01, -0.03, 0.02]
    found = summary([topology(p, d, points(1, 1, 1, 0.0)) for p, d in zip(phis, deltas, strict=True)])
    assert found["phi_mae"] == pytest.approx(0.02) and found["phi_bias"] == pytest.approx(0)
    assert found["phi_spread"] == pytest.approx(np.std(phis), abs=1e-6)
    assert found["phi_r2"] == pytest.approx(1 - np.mean(np.square(deltas)) / np.var(phis), abs=1e-5)
    assert "phi_star_mae" not in found  # no structure has one


def test_equal_networking_values_have_no_r2() -> None:
    """Whose deviation comes out as 1e-17."""
    assert "phi_r2" not in summary([topology(0.1, 0.05, points(1, 1, 1, 0.0)) for _ in range(3)])


def test_critical_points_are_pooled() -> None:
    found = summary([topology(0.5, 0, points(10, 20, 5, 0.1)), topology(0.5, 0, points(30, 20, 15, 0.02), None)])
    assert found["cp_recall"] == found["cp_precision"] == 0.5
    assert found["cp_displacement"] == pytest.approx((5 * 0.1 + 15 * 0.02) / 20)
    assert found["network_jaccard"] == 1  # of the structure that has links
    # of two structures a resample has one twice, the other twice, or both
    assert (found["cp_precision_low"], found["cp_precision_high"]) == (0.25, 0.75)
    assert (found["cp_recall_low"], found["cp_recall_high"]) == (0.5, 0.5)
    assert (found["cp_displacement_low"], found["cp_displacement_high"]) == (0.02, 0.1)
    assert "network_jaccard_low" not in found  # one structure says nothing of others
    assert "phi_r2" not in found  # no variance


def test_a_kind_of_point_that_nobody_has_is_left_out() -> None:
    found = summary([topology(0.5, 0, points(0, 0, 0, None))])
    assert not any(name.startswith("cp") for name in found)


def test_groups_are_summarised_apart() -> None:
    found = grouped([*rows(115.1), *[row | {"group": None} for row in rows()], *rows(76.0)])
    assert list(found) == ["76.0", "115.1"] and found["76.0"] == summary(rows())


def test_a_constant_reference_has_no_r2() -> None:
    flat = Field(np.full((4, 4, 4), 0.5), CELL)
    found = summary([measure(pair(flat, flat, VOXELS), VOXELS)])
    assert found["mae"] == 0 and not any(name.startswith("r2") for name in found)
    assert json_values(found) == found
