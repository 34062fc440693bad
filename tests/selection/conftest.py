"""A small model with a posterior, a release of it, and cells of hydrogen that are not alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from elfzoo import create_model
from elfzoo.card import read_card
from elfzoo.hub import load_pretrained, save_release
from elfzoo.models.base import Model
from elfzoo.posterior import Posterior

SMALL = {"hidden": [8], "descriptor": {"n_radial": 4, "l_max": 1}}
RECIPE = {"engine": "Quantum ESPRESSO 6.7", "functional": "PBE", "pseudopotential": "GTH-PBE-q1"}
H2 = Structure(Lattice.tetragonal(1.9, 2.4), ["H", "H"], [[0, 0, 0.16], [0, 0, -0.16]])
LAH = Structure(Lattice.cubic(3.4), ["H", "La", "H"], [[0.5, 0.5, 0.1], [0, 0, 0], [0.5, 0.1, 0.5]])


def cell(number: int, stretch: float = 1.0) -> Structure:
    """A triclinic cell with an H2 and an H."""
    rng = np.random.default_rng(number)
    lattice = Lattice.from_parameters(2.1 * stretch, 2.4, 2.9, 80, 95, 105)
    moved = np.array([[0.1, 0.2, 0.3], [0.35, 0.25, 0.4], [0.7, 0.8, 0.75]]) + rng.uniform(-0.04, 0.04, (3, 3))
    return Structure(lattice, ["H"] * 3, moved)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a release with random weights and a posterior."""
    folder = tmp_path_factory.mktemp("release")
    torch.manual_seed(7)
    model = create_model("grid_mlp", SMALL)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    save_release(model, folder, name="grid_mlp.test-v0", elements=("H",), **RECIPE)
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.normal(size=(9, 9)))[0]
    Posterior(read_card(folder).weights_sha256, np.logspace(-1, 2, 9), vectors, 0.7, 0.3).write(folder)
    return folder


@pytest.fixture(scope="session")
def model(release: Path) -> Model:
    return load_pretrained(release)
