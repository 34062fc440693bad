"""A coarse grid and a spline through its logits: the same field from fewer points, and where that has no meaning."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from scipy.special import expit

import elfzoo
from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.interpolate import spline_interpolate
from elfzoo.models.base import Model
from elfzoo.target import Target
from elfzoo.testing import enliven

CELLS = {
    "cubic": Lattice.cubic(3.0),
    "hexagonal": Lattice.hexagonal(2.6, 4.0),
    "triclinic": Lattice([[2.9, 0.2, -0.1], [2.1, 1.9, 0.3], [-1.2, 0.8, 2.6]]),
}


class _Waves(Model):
    """Logits that are known everywhere: a few plane waves of the cell."""

    invariances: ClassVar = {}

    def __init__(self):
        super().__init__(None)
        self.asked = 0

    def evaluator(self, structure):
        inverse = np.linalg.inv(structure.lattice.matrix)

        def evaluate(points):
            self.asked += len(points)
            return self.logits(points @ inverse)

        return evaluate

    @staticmethod
    def logits(frac):
        x, y, z = 2 * np.pi * frac.T
        return 2 * np.cos(x) + 1.5 * np.sin(2 * y - x) - np.cos(z + x) + 0.5 * np.sin(2 * z)


@pytest.mark.parametrize("name", CELLS)
def test_against_what_is_known(name):
    """From about an eighth of the points; the cubic cell's spline has 27 points per edge, 13 per shortest wave."""
    structure, model = Structure(CELLS[name], ["H"] * 2, [[0.1, 0.2, 0.3], [0.34, 0.81, 0.62]]), _Waves()
    field = model.predict(structure, spacing=0.06, coarse=0.12)
    expected = expit(model.logits(field.grid.frac_coords())).reshape(field.grid.shape)
    assert model.asked < field.grid.size / 5
    np.testing.assert_allclose(field.values, expected, rtol=0, atol=2e-5)
    assert field.values.dtype == np.float32


def test_it_is_the_quintic_spline_through_the_logits(skewed_hydride):
    torch.manual_seed(0)
    model = enliven(elfzoo.create_model("grid_mlp", {"descriptor": {"smooth": True, "n_radial": 5}, "hidden": [16]}))
    coarse = Grid.from_spacing(skewed_hydride.lattice.matrix, 0.4)
    elf = model.predict(skewed_hydride, coarse).values.astype(np.float64)
    field = model.predict(skewed_hydride, (13, 17, 11), coarse=0.4)
    expected = expit(spline_interpolate(np.log(elf / (1 - elf)), field.grid.frac_coords(), 5))
    np.testing.assert_allclose(field.values.ravel(), expected, rtol=0, atol=1e-5)
    assert np.abs(field.values - model.predict(skewed_hydride, (13, 17, 11)).values).max() > 1e-4


def test_a_density_is_interpolated_in_its_logarithm():
    structure, model = Structure(CELLS["cubic"], ["H"], [[0.1, 0.2, 0.3]]), _Waves()
    model.target = Target("density", "log", 0.5)
    field = model.predict(structure, (50, 50, 50), coarse=0.12)
    expected = 0.5 * np.exp(model.logits(field.grid.frac_coords())).reshape(field.grid.shape)
    np.testing.assert_allclose(field.values, expected, rtol=1e-4)
    assert field.quantity == "density"


def test_symmetry_stays_exact_on_the_finer_grid(diamond):
    """The coarse grid is computed at one point of each orbit; what is handed back has all of the symmetry."""
    torch.manual_seed(0)
    model = enliven(elfzoo.create_model("grid_mlp", {"descriptor": {"smooth": True, "n_radial": 5}, "hidden": [16]}))
    primitive = diamond.get_primitive_structure()
    field = model.predict(primitive, spacing=0.12, coarse=0.24, symmetry=True)
    _, inverse = elfzoo.symmetry.grid_orbits(primitive, field.grid)
    flat = field.values.ravel()
    first = np.unique(inverse, return_index=True)[1]
    np.testing.assert_array_equal(flat[first][inverse], flat)
    whole = model.predict(primitive, field.grid, coarse=0.24)
    np.testing.assert_allclose(flat, whole.values.ravel(), atol=5e-3)


def test_nothing_is_interpolated_where_the_grid_is_not_finer():
    structure = Structure(CELLS["cubic"], ["H"], [[0.1, 0.2, 0.3]])
    exact = _Waves().predict(structure, (12, 12, 12)).values
    np.testing.assert_array_equal(_Waves().predict(structure, (12, 12, 12), coarse=0.2).values, exact)
    partly = _Waves().predict(structure, (12, 12, 60), coarse=0.15)
    np.testing.assert_allclose(
        partly.values, expit(_Waves.logits(partly.grid.frac_coords())).reshape(12, 12, 60), atol=1e-5
    )


def test_where_it_has_no_meaning(diamond):
    with pytest.raises(ElfzooError, match=r"coarse=0\.11 is for whole grids"):
        _Waves().predict(diamond, points=[[0, 0, 0]], coarse=0.11)
    with pytest.raises(ElfzooError, match="spacing must be a positive number of Å; got -1"):
        _Waves().predict(diamond, coarse=-1.0)
    unet = elfzoo.create_model("symmetry_unet", {})
    with pytest.raises(ElfzooError, match=r"SymmetryUNet works on a grid of its own .* interpolates already"):
        unet.predict(diamond, coarse=0.11)
