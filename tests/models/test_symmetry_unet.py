"""The contract itself runs in test_contract.py; here what is special to this family."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

import elfzoo
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.grid import Grid
from elfzoo.symmetry import space_group_operations
from elfzoo.testing import check_model, enliven
from elfzoo.training.fields import seam_error

SMALL = {"spacing": 0.4, "network": {"widths": [4, 6], "groups": 2}}
LOCAL = {"averaging": "none", "network": {"widths": [3, 4], "norm": "channel"}}
PAPER = {"patch": 8, "averaging": "stages", "transpose_inverse": True, "kernel": "voxel"}
VARIANTS = {
    "none": {"averaging": "none", "metric": True, "kernel": "voxel", "sad": {"blocks": True, "gradient": False}},
    "stages": {"averaging": "stages", "network": {"widths": [2, 3]}},
    "paper": PAPER | {"network": {"widths": [3]}},
}


def make(**changes):
    torch.manual_seed(0)
    return enliven(elfzoo.create_model("symmetry_unet", SMALL | changes)).eval()


@pytest.fixture
def hexagonal():
    return Structure.from_spacegroup("P6_522", Lattice.hexagonal(2.0, 4.4), ["H"], [[0.21, 0.34, 0.07]])


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_keeps_the_contract(variant):
    check_model(make(**VARIANTS[variant]))


@pytest.mark.parametrize("name", ["hexagonal", "diamond"])
def test_own_grid_is_commensurate_with_the_space_group_and_the_stride(name, request):
    model = make()
    cell, grid = model.working_cell(request.getfixturevalue(name))
    grid.operations(*space_group_operations(cell))
    assert all(n % model.stride == 0 for n in grid.shape)
    assert max(grid.spacing) <= 0.4


def test_off_the_symmetry_elements_there_is_still_a_grid(hexagonal):
    hexagonal.translate_sites(range(12), [0.0123, 0.0345, 0.0567])
    model = make()
    _, grid = model.working_cell(hexagonal)
    assert all(n % model.stride == 0 for n in grid.shape)
    assert np.isfinite(model.predict(hexagonal, grid=(4, 4, 4)).values).all()


@pytest.mark.parametrize(("averaging", "symmetric"), [("output", True), ("none", False), ("input", False)])
def test_average_of_the_output_makes_the_field_symmetric_and_of_the_input_does_not(hexagonal, averaging, symmetric):
    """The input has the symmetry already; what breaks it are kernels that know directions."""
    operations = space_group_operations(hexagonal)
    grid = Grid.for_symmetry(hexagonal.lattice.matrix, 0.5, *operations)
    values = make(averaging=averaging).predict(hexagonal, grid=grid).values.ravel()
    representatives, inverse = grid.orbits(*operations)
    deviation = np.abs(values[representatives][inverse] - values).max()
    assert deviation < 2e-5 if symmetric else deviation > 1e-2


def test_average_of_the_input_changes_nothing(hexagonal):
    model, other = make(averaging="none"), make(averaging="input")
    fields = [m.predict(hexagonal, grid=(4, 4, 4)).values for m in (model, other)]
    np.testing.assert_allclose(*fields, atol=1e-4)


def test_repeated_cells_and_shifts_by_the_stride(skewed_hydride):
    """Exact by construction: the working cell need not be tiled to a minimum size."""
    model = make().double()
    grid = Grid((8, 6, 4), skewed_hydride.lattice.matrix)
    shift = np.array([2, -4, 2])
    moved = skewed_hydride.copy()
    moved.translate_sites(range(3), shift / grid.shape)
    tiled = skewed_hydride.make_supercell([1, 2, 1], in_place=False)
    with torch.no_grad():
        once, other, many = model([skewed_hydride, moved, tiled], [grid, grid, Grid((8, 12, 4), tiled.lattice.matrix)])
    torch.testing.assert_close(other, once.roll(shift.tolist(), (0, 1, 2)), atol=1e-9, rtol=0)
    torch.testing.assert_close(many, once.tile(1, 2, 1), atol=1e-9, rtol=0)


def test_kernels_in_angstrom_do_not_know_the_basis():
    """Rows of the lattice in another order, on the transposed grid: the same function of space."""
    lattice = np.array([[2.0, 0, 0], [0.9, 1.8, 0], [0.2, 0.3, 2.4]])
    structure = Structure(lattice, ["H", "H"], [[0.1, 0.2, 0.3], [0.5, 0.7, 0.6]])
    turned = Structure(lattice[[2, 0, 1]], structure.species, structure.frac_coords[:, [2, 0, 1]])
    model, voxels = (make(kernel=k, averaging="none").double() for k in ("cartesian", "voxel"))
    pair = [structure, turned], [Grid((4, 6, 8), lattice), Grid((8, 4, 6), turned.lattice.matrix)]
    with torch.no_grad():
        first, second = model(*pair)
        torch.testing.assert_close(second, first.permute(2, 0, 1), atol=1e-9, rtol=0)
        first, second = voxels(*pair)
    assert (second - first.permute(2, 0, 1)).abs().max() > 1e-3


def test_crops_with_a_halo_are_parts_of_the_whole(skewed_hydride):
    model, grid = make(**LOCAL).double(), Grid((8, 8, 16), skewed_hydride.lattice.matrix)
    assert seam_error(model, skewed_hydride, grid, 8) < 1e-12
    assert seam_error(model, skewed_hydride, grid, 8, halo=2) > 1e-4


@pytest.mark.parametrize("change", [{"averaging": "output"}, {"network": SMALL["network"]}, {"patch": 8}])
def test_what_needs_the_whole_cell_has_no_crops(skewed_hydride, change):
    with pytest.raises(ElfzooError, match="crops need"):
        make(**LOCAL | change).forward_crop(
            skewed_hydride, Grid((8, 8, 8), skewed_hydride.lattice.matrix), (0, 0, 0), 4
        )


def test_crops_off_the_stride(skewed_hydride):
    grid = Grid((8, 8, 8), skewed_hydride.lattice.matrix)
    with pytest.raises(ElfzooError, match="multiples of 2"):
        make(**LOCAL).forward_crop(skewed_hydride, grid, (0, 1, 0), 4)


def test_a_grid_that_is_no_multiple_of_the_stride(skewed_hydride):
    with pytest.raises(ElfzooError, match="multiples of 2; got"):
        make()([skewed_hydride], [Grid((4, 5, 6), skewed_hydride.lattice.matrix)])


def test_a_patch_of_the_size_of_the_cell_is_the_cell(hexagonal):
    """With true inverses; only then do wrapping on the patch and wrapping on the cell agree."""
    shape, options = (12, 12, 12), {"averaging": "stages", "kernel": "voxel"}
    whole, patch = make(**options).double(), make(**options, patch=12).double()
    with torch.no_grad():
        fields = [m([hexagonal], [Grid(shape, hexagonal.lattice.matrix)])[0].sigmoid() for m in (whole, patch)]
    torch.testing.assert_close(*fields, atol=1e-5, rtol=0)


def test_every_weight_learns(skewed_hydride):
    model = make(averaging="stages")
    cell, grid = model.working_cell(skewed_hydride)
    model([cell], [grid])[0].square().sum().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert not idle, idle


@pytest.mark.parametrize("wrong", [{"patch": 9}, {"transpose_inverse": True}, {"spacing": -0.1}])
def test_senseless_configurations_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"patch|inverse|spacing"):
        elfzoo.create_model("symmetry_unet", wrong)
