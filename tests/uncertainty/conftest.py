"""A small model with a posterior from points of a few cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.models import PointModel
from elfzoo.posterior import Posterior
from elfzoo.testing import enliven
from elfzoo.training.points import PointSet
from elfzoo.uncertainty.fit import Checked, calibrated, checked_points, rigidity

SMALL = {"hidden": [6], "descriptor": {"n_radial": 4, "l_max": 1, "smooth": True}}


def make(seed: int = 0) -> PointModel:
    torch.manual_seed(seed)
    model = elfzoo.create_model("grid_mlp", SMALL)
    assert isinstance(model, PointModel)
    return enliven(model, ("H",)).eval()  # type: ignore[return-value]


def cell(seed: int, scale: float = 1.0) -> Structure:
    """Four H, without symmetry."""
    rng = np.random.default_rng(seed)
    lattice = Lattice.from_parameters(2.3 * scale, 2.5 * scale, 2.8 * scale, 85, 95, 100)
    places = np.array([[0.1, 0.1, 0.1], [0.6, 0.2, 0.5], [0.2, 0.7, 0.6], [0.7, 0.6, 0.1]])
    return Structure(lattice, ["H"] * 4, places + rng.uniform(-0.05, 0.05, (4, 3)))


def points(model: PointModel, seed: int, noise: float, count: int = 200) -> PointSet:
    """Random points of a cell, labelled by the model and normally distributed errors of ELF."""
    rng, structure = np.random.default_rng(seed), cell(seed)
    places = rng.random((count, 3))
    y = model.predict(structure, points=places, progress=False) + rng.normal(scale=noise, size=count)
    return PointSet(structure, places @ structure.lattice.matrix, y.astype(np.float32), None)


def fitted(model: PointModel, noise: float = 0.02) -> tuple[Posterior, Checked]:
    values, vectors, count = rigidity(model, [points(model, seed, noise) for seed in range(3)])
    assert count == 600
    checked = checked_points(model, [points(model, seed, noise) for seed in (10, 11)])
    return calibrated(Posterior("ab" * 32, values, vectors, 1.0, 0.0), checked, model.target), checked


@pytest.fixture(scope="module")
def model() -> PointModel:
    made = make()
    made.posterior = fitted(made)[0]
    return made
