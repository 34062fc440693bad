"""Where time goes: shares of functions, kernels beside PyTorch; no figure of time is tested."""

import json
import sys
import time
from pathlib import Path

import pytest

from elfzoo.benchmark.speed_task import SpeedTask

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import profiles

TINY = SpeedTask("tiny", "", atoms=8, edge=2.77, points=16)


def test_own_times_add_up_to_the_whole() -> None:
    def inner() -> None:
        time.sleep(0.02)

    seconds, shares = profiles.own_times(lambda: [inner() for _ in range(3)])
    assert sum(shares.values()) == pytest.approx(1) and next(iter(shares)) == "time.sleep"
    assert seconds >= 0.06 and list(shares.values()) == sorted(shares.values(), reverse=True)


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (("~", 0, "<built-in method torch.conv3d>"), "convolutions"),
        (("~", 0, "<method 'argsort' of 'numpy.ndarray' objects>"), "'argsort' of 'numpy.ndarray' objects"),
        (("/somewhere/probe_fields.py", 7, "evaluate"), "kernel"),
        (("/somewhere/other.py", 7, "f"), "other.py:f"),
    ],
)
def test_functions_have_readable_names(where: tuple[str, int, str], name: str) -> None:
    assert profiles.named(*where) == name


@pytest.mark.parametrize("name", ["grid_mlp.smooth-h-v4", "probe_graph.h-v2", "symmetry_unet.h-v1"])
def test_a_profile_is_of_the_models_own_work(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(profiles, "find_task", lambda _: TINY)
    monkeypatch.setattr(profiles, "SECONDS", 0.01)
    profiles.main([name, "--out", str(tmp_path / "record.json")])
    row = json.loads((tmp_path / "record.json").read_text())["models"][name]
    assert 0 < row["points"] <= 16**3 and 0 < sum(row["shares"].values()) <= 1
    rates = row.get("points_per_second", {})
    assert set(rates) == (set() if name.startswith("symmetry") else {"kernel", "description", "pytorch"})
    assert all(rate > 0 for rate in rates.values())
    assert f"| `{name}` |" in capsys.readouterr().out
