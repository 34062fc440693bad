"""A Hub on loopback, an empty cache, and a release to travel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import elfzoo
from elfzoo.hub import save_release
from tests.conftest import HUB_PORT
from tests.hub.server import TOKEN, Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(HUB_PORT) as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no waiting between tries."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))  # for processes that a test starts
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return folder


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A small release with fresh weights."""
    torch.manual_seed(3)
    model = elfzoo.create_model("grid_mlp", {"hidden": [4], "descriptor": {"n_radial": 3}})
    save_release(model, tmp_path / "release", "grid_mlp.tiny-v0", "# Tiny\n\nFor tests.\n", elements=("H",))
    return tmp_path / "release"


@pytest.fixture
def published(hub: Hub, release: Path) -> str:
    """Its commit, in ``lab/tiny``."""
    return hub.repo("lab/tiny").commit({path.name: path.read_bytes() for path in release.iterdir()})
