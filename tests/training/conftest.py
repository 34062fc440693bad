import hashlib

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo import Field

FILES = {"fluid-h": ("H", "fluid_{}GPa_{}_f0001.npz"), "hydrides": ("Ca", "{}{}_x.npz")}
TOY = {  # a configuration that trains on them in a moment
    "architecture": "grid_mlp",
    "model": {"hidden": [6], "descriptor": {"n_radial": 4}},
    "train": [{"dataset": "fluid-h", "split": "train", "points": 100}],
    "validate": [{"dataset": "fluid-h", "split": "val", "points": 50, "sampling": "uniform"}],
    "epochs": 2,
    "batch_size": 50,
    "learning_rate": 1e-2,
}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of analytic fields with splits to match."""
    manifest = {}
    for name, (element, pattern) in FILES.items():
        splits = {"train": {}, "val": {}, "test": {}}
        for i, split in enumerate(("train", "train", "val")):
            structure = Structure(
                Lattice.orthorhombic(2.2, 2.4, 2.6 + 0.1 * i), ["H", element], [[0, 0, 0], [0.5, 0.4, 0.3 + 0.1 * i]]
            )
            path = tmp_path / name / pattern.format(i, split)
            path.parent.mkdir(exist_ok=True)
            grid = Field(np.zeros((12, 12, 12)), structure).grid
            distance = structure.lattice.get_all_distances(grid.frac_coords(), structure.frac_coords)
            width = [0.8 if site.specie.symbol == "H" else 0.3 for site in structure]
            values = np.exp(-((distance / width) ** 2)).max(axis=1).reshape(grid.shape)
            Field(values, structure).write(path)
            splits[split][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        manifest[name] = {
            "name": name,
            "recipe": {"engine": "", "functional": "", "pseudopotential": ""},
            "splits": splits,
        }
    monkeypatch.setattr("elfzoo.datasets.base.read_manifest", manifest.__getitem__)
    return str(tmp_path)
