from typing import ClassVar

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo import Grid
from elfzoo.config import config_class
from elfzoo.errors import ElfzooError
from elfzoo.models import FieldModel
from elfzoo.testing import TRANSFORMATIONS, check_model, enliven
from elfzoo.transforms import fused


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return enliven(elfzoo.create_model("grid_mlp", {"descriptor": {"smooth": True, "n_radial": 5}, "hidden": [16]}))


def test_grid_and_loose_points_agree_in_the_callers_order(model, skewed_hydride, rng):
    field = model.predict(skewed_hydride, grid=(6, 5, 7))
    order = rng.permutation(field.grid.size)
    loose = model.predict(skewed_hydride, points=field.grid.frac_coords(order))
    np.testing.assert_allclose(loose, field.values.ravel()[order], atol=1e-5)


def test_points_outside_the_cell_are_the_same_points(model, skewed_hydride, rng):
    points = rng.random((30, 3))
    moved = points + rng.integers(-5, 6, size=(30, 3))
    np.testing.assert_allclose(*(model.predict(skewed_hydride, points=p) for p in (points, moved)), atol=1e-5)


def test_default_grid_follows_the_spacing(model, skewed_hydride):
    field = model.predict(skewed_hydride, spacing=0.3)
    assert max(field.grid.spacing) <= 0.3
    assert field.quantity == "elf"
    assert field.structure is skewed_hydride


def test_a_grid_object_is_used_as_it_is(model, skewed_hydride):
    assert model.predict(skewed_hydride, Grid((3, 4, 5), skewed_hydride.lattice.matrix)).values.shape == (3, 4, 5)


def test_symmetry_gives_the_same_field_from_fewer_points(model, diamond, monkeypatch):
    whole = model.predict(diamond, grid=(8, 8, 8))
    visited = []
    evaluator = type(model).evaluator

    def counting(self, structure):
        inner = evaluator(self, structure)
        return lambda points: visited.append(len(points)) or inner(points)

    monkeypatch.setattr(type(model), "evaluator", counting)
    unfolded = model.predict(diamond, grid=(8, 8, 8), symmetry=True)
    np.testing.assert_allclose(unfolded.values, whole.values, atol=2e-6)
    assert sum(visited) < 512 / 10


def test_blocks_and_threads_do_not_matter(model, skewed_hydride, monkeypatch):
    whole = model.predict(skewed_hydride, grid=(9, 8, 7)).values
    monkeypatch.setattr("elfzoo.models.kernel_model.FUSED_BLOCK", 50)
    monkeypatch.setattr("elfzoo.models.kernel_model.TORCH_BLOCK", 50)
    np.testing.assert_allclose(model.predict(skewed_hydride, grid=(9, 8, 7)).values, whole, atol=1e-5)


def test_without_the_compiled_kernel(model, skewed_hydride, monkeypatch):
    with_kernel = model.predict(skewed_hydride, grid=(6, 5, 7)).values
    monkeypatch.setattr(fused, "available", lambda: False)
    assert not model._fused
    np.testing.assert_allclose(model.predict(skewed_hydride, grid=(6, 5, 7)).values, with_kernel, atol=1e-5)


def test_a_grid_of_another_cell(model, skewed_hydride):
    with pytest.raises(ElfzooError, match="is not the structure's"):
        model.predict(skewed_hydride, Grid((3, 4, 5), np.eye(3) * 3.0))


@pytest.mark.parametrize("points", [[[0.0, 0.1]], [[0.1, 0.2, 0.3, 0.4]], np.full((1, 3), np.nan)])
def test_bad_points(model, skewed_hydride, points):
    with pytest.raises(ElfzooError, match="finite fractional coordinates"):
        model.predict(skewed_hydride, points=points)


def test_no_points_at_all(model, skewed_hydride):
    assert model.predict(skewed_hydride, points=np.zeros((0, 3))).shape == (0,)


def test_grid_and_points_together(model, skewed_hydride):
    with pytest.raises(ElfzooError, match="not both"):
        model.predict(skewed_hydride, grid=(2, 2, 2), points=np.zeros((1, 3)))


@config_class
class _WavesConfig:
    """The toy below has nothing to configure but its depth."""

    depth: float = 1.0


class _Waves(FieldModel):
    """A field model whose answer is known: a structure factor with three waves per reciprocal lattice vector."""

    config_class = _WavesConfig
    invariances: ClassVar = dict.fromkeys(TRANSFORMATIONS, "approximate")

    def __init__(self, config):
        super().__init__(config)
        self.depth = torch.nn.Parameter(torch.tensor(config.depth))

    def forward(self, structures, grids):
        return [self.depth * torch.tensor(self.wave(s, g)) for s, g in zip(structures, grids, strict=True)]

    def wave(self, structure, grid):
        delta = grid.positions()[:, None] - structure.cart_coords[None]
        k = 2 * np.pi / 2.0 * np.eye(3)
        return np.cos(delta @ k).sum(axis=(1, 2)).reshape(grid.shape) / len(structure)


def test_field_model_answers_any_cell_grid_and_point(rng):
    """On any basis of the lattice, tiled or not, the interpolated answer is the analytic one."""
    cube = Structure(Lattice.cubic(2.0), ["H"], [[0.1, 0.2, 0.3]])
    model = _Waves(_WavesConfig(depth=0.7))
    skewed, points, _ = TRANSFORMATIONS["basis"](cube, rng.random((40, 3)))
    cell, grid = model.working_cell(skewed)
    assert min(cell.lattice.abc) >= model.min_length
    assert np.allclose(sorted(cell.lattice.abc), 4.0)
    assert max(grid.spacing) <= model.working_spacing
    expected = 1 / (1 + np.exp(-0.7 * np.cos((points @ skewed.lattice.matrix - cube.cart_coords) * np.pi).sum(1)))
    np.testing.assert_allclose(model.predict(skewed, points=points), expected, atol=1e-5)
    field = model.predict(skewed, grid=(3, 5, 4))
    loose = model.predict(skewed, points=field.grid.frac_coords())
    np.testing.assert_allclose(field.values.ravel(), loose, atol=1e-6)


def test_field_model_passes_the_contract_but_for_the_registry(monkeypatch):
    monkeypatch.setattr("elfzoo.testing._check_save_and_load", lambda *args: None)
    found = check_model(_Waves(_WavesConfig(depth=1.5)))
    assert {d.declared for d in found} == {"approximate"}
