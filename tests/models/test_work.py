"""Operations and bytes of networks made of torch modules, against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor, nn

from elfzoo import Grid, create_model, list_models
from elfzoo.models.work import TORCH_COUNTED, count, count_blocks

CELL = Structure(Lattice.cubic(3.0), ["H", "H"], [[0.1, 0.2, 0.3], [0.6, 0.5, 0.7]])
GRID = Grid((6, 6, 6), CELL.lattice.matrix)


def test_a_linear_layer_and_an_activation() -> None:
    x, layer = torch.zeros(5, 3), nn.Linear(3, 4)
    work = count(lambda: nn.functional.silu(layer(x)))
    assert work.flops == 2 * 5 * 3 * 4
    assert work.bytes == 4 * (5 * 3 + 3 * 4 + 4 + 5 * 4) + 4 * 2 * 5 * 4  # in, weights, bias, out; in and out of SiLU
    assert work.counted == TORCH_COUNTED


def test_views_are_free_and_rows_cost_what_they_are() -> None:
    table, rows = torch.zeros(1000, 8), torch.tensor([3, 5])
    assert count(lambda: table.view(8000)[None].transpose(0, 1)).bytes == 0
    assert count(lambda: torch.empty(1000)).bytes == 0
    assert count(lambda: table.new_zeros(10)).bytes == 40
    assert count(lambda: table[rows]).bytes == 2 * 8 + 2 * 2 * 8 * 4  # two rows, read and written
    assert count(lambda: table.index_add_(0, rows, torch.ones(2, 8))).bytes == 2 * 8 + (3 + 1) * 2 * 8 * 4


def test_the_set_up_counts_once_and_blocks_for_the_whole_grid() -> None:
    a, visited = torch.zeros(7, 7), []

    def make() -> object:
        _ = a @ a

        def evaluate(points: np.ndarray) -> Tensor:
            visited.append(len(points))
            return torch.from_numpy(points) @ torch.zeros(3, 2, dtype=torch.float64)

        return evaluate

    grid = Grid((32, 8, 8), np.eye(3))
    work = count_blocks(make, grid, block_size=256)
    assert len(visited) == 4 and sum(visited) == grid.size / 2
    assert work.flops == 2 * 7**3 + 2 * grid.size * 3 * 2


def test_the_convolutions_of_patch_cnn() -> None:
    """Products of matrices that make the patches come on top: they depend on the neighbours."""
    patch = {"n_voxels": 4, "r_cut": 0.5}
    model = create_model("patch_cnn", {"widths": [2, 3], "hidden": [5], "patch": patch}).eval()
    head = count(lambda: model.head(torch.zeros(10, 4**3)))
    first, second, halving = 64 * 2 * 27, 8 * 3 * 2 * 27, 2 * 16 // 4 * 4 * 2
    assert head.flops == 10 * 2 * (first + second + halving + 3 * 8 * 5 + 5)
    whole = model.work(CELL, GRID)
    assert whole is not None and whole.flops > GRID.size * head.flops / 10


@pytest.mark.parametrize("name", ["probe_graph", "symmetry_unet", "latent_field"])
def test_other_networks_have_work_that_grows_with_the_cell(name: str) -> None:
    model, double = create_model(name).eval(), CELL * (2, 1, 1)
    double.translate_sites([0], [0.03, 0.0, 0.0])  # or the field model would take the primitive cell
    small, large = model.work(CELL, GRID), model.work(double, Grid((12, 6, 6), double.lattice.matrix))
    assert small is not None and large is not None
    assert 1.3 < large.flops / small.flops < 2.7 and small.bytes > 4 * GRID.size


def test_what_is_not_made_of_torch_modules_has_none() -> None:
    assert "harris" in list_models()
    assert create_model("harris").work(CELL, GRID) is None
