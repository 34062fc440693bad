"""``elfzoo hub`` and ``elfzoo card``, against a Hub on loopback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from elfzoo.card import read_card
from tests.cli.conftest import error_line
from tests.hub.conftest import cache, hub  # noqa: F401  (fixtures)
from tests.hub.server import Hub

Run = Callable[..., Result]


def test_push_verify_pull(elfzoo: Run, hub: Hub, release: Path) -> None:  # noqa: F811
    pushed = elfzoo("hub", "push", release, "lab/mine", "--private", "-m", "first")
    assert pushed.exit_code == 0, pushed.output
    commit = hub.repo("lab/mine").branches["main"]
    assert f'load_pretrained("lab/mine", revision="{commit}")' in pushed.stdout
    assert hub.repo("lab/mine").private
    verified = elfzoo("hub", "verify", "lab/mine", "--revision", commit)
    assert "loads and predicts" in verified.stdout and read_card(release).weights_sha256 in verified.stdout
    assert elfzoo("hub", "pull", "lab/mine").exit_code == 0
    assert Path("mine/model.safetensors").read_bytes() == (release / "model.safetensors").read_bytes()
    assert "mine exists" in error_line(elfzoo("hub", "pull", "lab/mine"))
    assert elfzoo("predict", "mine/none", "-m", "lab/mine", "-o", "x.npz").exit_code == 1


def test_a_shipped_release_and_its_records_travel(elfzoo: Run, hub: Hub) -> None:  # noqa: F811
    assert elfzoo("hub", "push", "grid_mlp.smooth-h-v3", "lab/smooth").exit_code == 0
    files = hub.repo("lab/smooth").commits[hub.repo("lab/smooth").branches["main"]]
    assert b"model-index" in files["README.md"] and b"crystal-h-cubic" in files[".eval_results/elfzoo.yaml"]
    shown = elfzoo("card", "lab/smooth")
    assert "Intended use" in shown.stdout and "52,279 parameters" in shown.stdout


def test_data_sets(elfzoo: Run, hub: Hub, tmp_path: Path) -> None:  # noqa: F811
    data = Path(__file__).parents[2] / "benchmarks" / "data" / "hydrides"
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "LiH.npz").write_bytes(next(data.glob("LiH*.npz")).read_bytes())
    assert elfzoo("hub", "push", "some", "lab/some", "--dataset").exit_code == 0
    assert "wrote again" in elfzoo("hub", "pull", "lab/some", "--dataset", "-o", "again").stdout
    assert "1 files have the SHA-256" in elfzoo("hub", "verify", "again", "--dataset").stdout


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (("hub", "pull", "lab/none"), "no model lab/none that you may see"),
        (("hub", "push", "nowhere", "lab/x"), "nowhere is no release"),
        (("hub", "push", "grid_mlp.smooth-h-v3", "x"), "expected organisation/name"),
        (("hub", "verify", "grid_mlp.smoth-h-v3"), "did you mean grid_mlp.smooth-h-v3"),
        (("card", "nothing"), "no shipped release, folder or repository"),
    ],
)
def test_errors_are_one_line(elfzoo: Run, hub: Hub, call: tuple[str, ...], part: str) -> None:  # noqa: F811
    assert part in error_line(elfzoo(*call))


def test_the_card_of_a_shipped_release(elfzoo: Run) -> None:
    shown = elfzoo("card", "probe_graph.h-v1").stdout
    for part in ("probe_graph.h-v1", "Å³ per atom, nearest neighbours at", "Limits", "Licence and citation"):
        assert part in shown
    assert "<!--" not in shown and "library_name" not in shown
