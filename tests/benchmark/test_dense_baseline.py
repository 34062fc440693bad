"""The peer that speed is measured against computes the same thing, where one image is enough."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.benchmark.dense_baseline import dense_elf
from elfzoo.errors import ElfzooError
from elfzoo.testing import enliven


def test_equals_the_model_in_a_cell_twice_the_cutoff(rng):
    torch.manual_seed(0)
    model = enliven(elfzoo.create_model("grid_mlp"))
    structure = Structure(Lattice.cubic(6.5), ["H"] * 40, rng.random((40, 3)), validate_proximity=False)
    structure.merge_sites(0.3, mode="delete")
    points = rng.random((1500, 3))
    np.testing.assert_allclose(dense_elf(model, structure, points), model.predict(structure, points=points), atol=2e-5)


def test_differs_in_a_small_cell(rng):
    torch.manual_seed(0)
    model = enliven(elfzoo.create_model("grid_mlp"))
    structure = Structure(Lattice.hexagonal(2.2, 3.0), ["H"], [[0.1, 0.2, 0.3]])
    points = rng.random((200, 3))
    assert np.abs(dense_elf(model, structure, points) - model.predict(structure, points=points)).max() > 0.05


def test_another_descriptor_is_refused():
    model = elfzoo.create_model("grid_mlp", {"descriptor": {"smooth": True}})
    with pytest.raises(ElfzooError, match="the paper's descriptor only"):
        dense_elf(model, Structure(Lattice.cubic(3.0), ["H"], [[0, 0, 0]]), np.zeros((1, 3)))
