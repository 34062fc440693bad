"""A task of the smallest crystals, and entrants that know the answer or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from elfzoo.benchmark.task import Task, find_task, select

ENTRANTS = '''
"""Entrants as a stranger would write them."""
import numpy as np


def half():
    """A function of structure and grid."""
    return lambda structure, grid: np.full(grid.shape, 0.5)


class Waves:
    name = "waves"

    def predict(self, structure, grid):
        x, y, z = (2 * np.pi * np.arange(n) / n for n in grid.shape)
        return 0.5 + 0.1 * (np.cos(x)[:, None, None] + np.cos(y)[:, None] + np.cos(z))


def waves():
    return Waves()


def mean(training):
    """A factory that asks for the training data."""
    value = np.mean([field.values.mean() for _, field in training])
    return lambda structure, grid: np.full(grid.shape, value)


def flat():
    return lambda structure, grid: np.zeros(3)


def broken():
    return lambda structure, grid: np.full(grid.shape, np.nan)


def nothing():
    return 7


NUMBER = 3
'''


def task_file(path: Path, **values: Any) -> Path:
    """A task, on hydrogen crystals where nothing else is said, pinned to what is there."""
    common = {"title": path.stem, "train": ["crystal-h"], "dataset": "crystal-h", "protocol": "none"}
    values = {**common, **values, "data_sha256": {}}
    path.write_text(yaml.safe_dump(values))
    data = select(find_task(str(path)), pinned=False)
    path.write_text(yaml.safe_dump(values | {"data_sha256": {"test": data.data_hash}}))
    return path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some small crystals, their voxels alone."""
    return task_file(tmp_path_factory.mktemp("task") / "tiny.yaml", starts_with="cubic_02", parts=["voxels"])


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest crystal of all, with its topology."""
    parts = ["voxels", "topology"]
    return task_file(tmp_path_factory.mktemp("task") / "single.yaml", starts_with="cubic_027", parts=parts)


@pytest.fixture
def tiny_task(tiny: Path) -> Task:
    return find_task(str(tiny))


@pytest.fixture
def single_task(single: Path) -> Task:
    return find_task(str(single))


@pytest.fixture
def entrants(tmp_path: Path) -> Path:
    path = tmp_path / "strangers.py"
    path.write_text(ENTRANTS)
    return path
