"""The uncertainty of a release travels with it, and belongs to its weights alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import elfzoo
from elfzoo.card import read_card
from elfzoo.errors import WeightsError
from elfzoo.hub import load_release, save_release
from elfzoo.hub.pull import pull
from elfzoo.posterior import UNCERTAINTY, Posterior
from tests.hub.server import Hub


@pytest.fixture
def certain(release: Path) -> Path:
    """The release with an uncertainty."""
    sha256 = read_card(release).weights_sha256
    Posterior(sha256, np.arange(1.0, 6.0), np.eye(5), alpha=0.25, s=0.5, phi_scale=1.5).write(release)
    return release


def asked(hub: Hub) -> list[str]:
    return [request for request in hub.requests if UNCERTAINTY in request]


def test_it_goes_to_the_hub_and_back(hub: Hub, certain: Path, tmp_path: Path) -> None:
    done = elfzoo.push_to_hub(certain, "lab/tiny")
    assert UNCERTAINTY in done.files
    for model in (elfzoo.load_pretrained("lab/tiny"), elfzoo.load_pretrained(pull("lab/tiny", tmp_path / "pulled"))):
        assert model.posterior is not None and model.posterior.alpha == 0.25 and model.posterior.phi_scale == 1.5


def test_the_next_release_does_not_inherit_it(hub: Hub, certain: Path, tmp_path: Path) -> None:
    first = elfzoo.push_to_hub(certain, "lab/tiny")
    save_release(elfzoo.create_model("grid_mlp", {"hidden": [6]}), tmp_path / "other", "grid_mlp.tiny-v1")
    elfzoo.push_to_hub(tmp_path / "other", "lab/tiny")
    assert elfzoo.load_pretrained("lab/tiny").posterior is None
    assert elfzoo.load_pretrained("lab/tiny", revision=first.commit).posterior is not None


def test_it_is_fetched_once(hub: Hub, certain: Path) -> None:
    elfzoo.push_to_hub(certain, "lab/tiny")
    hub.requests.clear()
    elfzoo.load_pretrained("lab/tiny")
    before = len(asked(hub))
    assert before and elfzoo.load_pretrained("lab/tiny").posterior is not None
    assert len(asked(hub)) == before


def test_a_release_without_it_is_not_asked_again(hub: Hub, published: str) -> None:
    assert elfzoo.load_pretrained("lab/tiny", revision=published).posterior is None
    before = len(hub.requests)
    assert elfzoo.load_pretrained("lab/tiny", revision=published).posterior is None
    assert len(hub.requests) == before


def test_models_are_pushed_with_theirs(hub: Hub, certain: Path) -> None:
    done = elfzoo.push_to_hub(load_release(certain), "lab/tiny")
    assert UNCERTAINTY in done.files
    changed = load_release(certain)
    with torch.no_grad():
        changed.last_layer.bias += 1.0  # type: ignore[union-attr]
    assert UNCERTAINTY not in elfzoo.push_to_hub(changed, "lab/other", name="grid_mlp.tiny-v1").files


def test_other_weights_do_not_load_with_it(certain: Path, tmp_path: Path) -> None:
    torch.manual_seed(9)
    other = elfzoo.create_model("grid_mlp", {"hidden": [4], "descriptor": {"n_radial": 3}})
    save_release(other, tmp_path / "other", "grid_mlp.tiny-v1")
    (tmp_path / "other" / UNCERTAINTY).write_bytes((certain / UNCERTAINTY).read_bytes())
    with pytest.raises(WeightsError, match="belongs to other weights"):
        elfzoo.load_pretrained(tmp_path / "other")
    with pytest.raises(WeightsError, match="belongs to other weights"):
        elfzoo.push_to_hub(tmp_path / "other", "lab/other")
    save_release(other, tmp_path / "other", "grid_mlp.tiny-v1")  # what was there before goes
    assert elfzoo.load_pretrained(tmp_path / "other").posterior is None


def test_the_same_weights_once_more_keep_their_uncertainty(certain: Path) -> None:
    """A training that is finished already writes its release again when it is asked for once more."""
    before, model = (certain / UNCERTAINTY).read_bytes(), elfzoo.load_pretrained(certain)
    (certain / "README.md").write_text("# mine")
    model.posterior = None
    assert model.card is not None
    save_release(model, certain, model.card.name)
    assert (certain / UNCERTAINTY).read_bytes() == before and (certain / "README.md").read_text() == "# mine"
    torch.nn.init.ones_(next(model.parameters()))
    save_release(model, certain, model.card.name)
    assert not (certain / UNCERTAINTY).exists() and not (certain / "README.md").exists()
