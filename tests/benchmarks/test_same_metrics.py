"""Two folders of records against each other."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import same_metrics


def write(folder: Path, **changes: Any) -> Path:
    record = {
        "weights_sha256": "w",
        "data_sha256": "d",
        "metrics": {"mae": 0.1, "phi_r2": math.nan},
        "structures": [{"file": "a", "prediction_sha256": "1"}, {"file": "b", "prediction_sha256": "2"}],
        "cost": {"seconds": 1.0},
    }
    path = folder / "metals" / "a.b.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "told", "status"),
    [
        ({"cost": {"seconds": 9.0}}, "2 metrics, all the same; 2 of 2 predictions are the same to the bit", 0),
        ({"metrics": {"mae": 0.1001, "phi_r2": math.nan}}, "1 of 2 metrics differ, most mae by 0.0001", 1),
        ({"metrics": {"mae": 0.1}}, "1 of 2 metrics differ, most phi_r2 by inf", 1),
        ({"structures": [{"file": "a", "prediction_sha256": "1"}]}, "1 of 2 predictions", 0),
        ({"weights_sha256": "x"}, "not compared, it is of other weights", 1),
        ({"data_sha256": "x"}, "not compared, it is of other data", 1),
    ],
)
def test_what_differs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture, changes, told: str, status: int) -> None:
    write(tmp_path / "here"), write(tmp_path / "there", **changes)
    with pytest.raises(SystemExit) as stop:
        same_metrics.main([str(tmp_path / "there"), "--results", str(tmp_path / "here")])
    assert told in capsys.readouterr().out and stop.value.code == status


def test_a_tolerance_and_a_record_that_is_not_here(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write(tmp_path / "here"), write(tmp_path / "there", metrics={"mae": 0.1001, "phi_r2": math.nan})
    other = tmp_path / "there" / "fluid-h" / "x.json"
    other.parent.mkdir()
    other.write_text("{}")
    common = [str(tmp_path / "there"), "--results", str(tmp_path / "here"), "--tolerance"]
    for tolerance, status in (("0.001", 0), ("0.00001", 1)):
        with pytest.raises(SystemExit) as stop:
            same_metrics.main([*common, tolerance])
        assert stop.value.code == status
    assert "fluid-h/x: not compared, there is none here" in capsys.readouterr().out
