import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from scipy import ndimage

from elfzoo.grid import Grid
from elfzoo.nn.seitz import SeitzGroup, patch_average, patch_frame, seitz_matrices, trilinear
from elfzoo.symmetry import space_group_operations

CRYSTALS = {
    "cubic": ("Pm-3m", Lattice.cubic(2.0), [[0, 0, 0]]),
    "hexagonal": ("P6_522", Lattice.hexagonal(2.4, 5.0), [[0.21, 0.34, 0.07]]),
    "trigonal": ("R-3m", Lattice.hexagonal(2.6, 4.0), [[0, 0, 0.21]]),
}


def crystal(name):
    group, lattice, coords = CRYSTALS[name]
    return Structure.from_spacegroup(group, lattice, ["H"], coords)


def features(*shape):
    return torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def moved(x, rotation, translation):
    """f(R x + t) on the grid, by an independent interpolator."""
    shape = np.array(x.shape[2:])
    points = np.stack(np.unravel_index(np.arange(shape.prod()), shape), axis=1) / shape
    places = ((points @ rotation.T + translation) * shape).T
    found = [ndimage.map_coordinates(c, places, order=1, mode="grid-wrap") for c in x[0].numpy()]
    return torch.from_numpy(np.stack(found)).view_as(x)


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_mean_over_a_group_is_invariant_and_idempotent(name):
    structure = crystal(name)
    operations = space_group_operations(structure)
    shape = Grid.for_symmetry(structure.lattice.matrix, 0.6, *operations).shape
    x, group = features(2, *shape), SeitzGroup(*operations)
    mean = group.average(x)
    assert len(operations[0]) >= 12
    assert (mean - x).abs().max() > 0.1
    for rotation, translation in list(zip(*operations, strict=True))[::5]:
        torch.testing.assert_close(moved(mean, rotation, translation), mean, atol=1e-9, rtol=0)
    torch.testing.assert_close(group.average(mean), mean, atol=1e-12, rtol=0)
    torch.testing.assert_close(mean.mean(dim=(2, 3, 4)), x.mean(dim=(2, 3, 4)), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["cubic", "hexagonal"])
def test_the_papers_inverse_is_right_in_cubic_and_wrong_in_hexagonal_axes(name):
    """On a patch that is the cell, the average with true inverses is the mean over the group, with Rᵀ it is not."""
    structure = crystal(name)
    shape = {"cubic": (4, 4, 4), "hexagonal": (6, 6, 6)}[name]
    x, mean = features(1, *shape), SeitzGroup.of(structure).average(features(1, *shape))
    operators = torch.from_numpy(seitz_matrices(structure))[None]
    mask, extent = torch.ones(operators.shape[:2], dtype=torch.bool), torch.ones(1, 3, dtype=torch.float64)
    true, paper = (patch_average(x, operators, mask, extent, transpose) for transpose in (False, True))
    torch.testing.assert_close(true, mean, atol=1e-9, rtol=0)
    deviation = float((paper - mean).abs().max())
    assert deviation < 1e-9 if name == "cubic" else deviation > 0.1


def test_operations_off_the_grid_are_interpolated():
    structure = crystal("cubic")
    structure.translate_sites([0], [0.113, 0.07, 0.031])
    operations, x = space_group_operations(structure), features(1, 4, 4, 4)
    expected = sum(moved(x, r, t) for r, t in zip(*operations, strict=True)) / len(operations[0])
    torch.testing.assert_close(SeitzGroup(*operations).average(x), expected)


def test_trilinear_interpolation(rng):
    x, points = features(3, 4, 3, 5), rng.normal(size=(20, 3))
    expected = [ndimage.map_coordinates(c, (points * [4, 3, 5]).T, order=1, mode="grid-wrap") for c in x[0].numpy()]
    np.testing.assert_allclose(trilinear(x, torch.from_numpy(points)[None])[0], expected, atol=1e-12)


def test_gradients_pass_through_both_kinds_of_operation():
    structure = crystal("trigonal")
    structure.translate_sites(range(len(structure)), [0, 0, 0.061])
    x = features(1, 2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(SeitzGroup.of(structure).average, x)


def test_operators_in_the_patchs_frame_do_the_same_to_the_same_points(rng):
    operators, origins, points = seitz_matrices(crystal("hexagonal")), rng.random((3, 3)), rng.random((7, 3))
    framed = patch_frame(operators, origins)
    for origin, ops in zip(origins, framed, strict=True):
        for cell, patch in zip(operators, ops, strict=True):
            there = points @ cell[:3, :3].T + cell[:3, 3]
            back = (points - origin) @ patch[:3, :3].T + patch[:3, 3] + origin
            np.testing.assert_allclose((there - back + 0.5) % 1, 0.5, atol=2e-6)


def test_padding_takes_no_part():
    structure, x = crystal("cubic"), features(2, 4, 4, 4)
    operators = torch.from_numpy(seitz_matrices(structure))[None]
    extent = torch.full((1, 3), 0.5, dtype=torch.float64)
    padded = torch.cat([operators, torch.randn(1, 5, 4, 4, dtype=torch.float64)], dim=1)
    mask = torch.arange(padded.shape[1])[None] < operators.shape[1]
    alone = patch_average(x, operators, mask[:, : operators.shape[1]], extent)
    torch.testing.assert_close(patch_average(x, padded, mask, extent), alone)
