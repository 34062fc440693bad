import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from elfzoo import Grid
from elfzoo.errors import ElfzooError
from elfzoo.symmetry import grid_orbits, space_group_operations, space_group_translations

HEXAGONAL = Lattice.hexagonal(2.4, 3.9).matrix
shapes = st.tuples(*[st.integers(1, 11)] * 3)


def test_points_sit_where_the_definition_says():
    grid = Grid((2, 3, 5), HEXAGONAL)
    frac = grid.frac_coords().reshape(2, 3, 5, 3)
    np.testing.assert_allclose(frac[1, 2, 4], [1 / 2, 2 / 3, 4 / 5])
    np.testing.assert_allclose(grid.positions(np.array([17])), [[1 / 2, 0, 2 / 5] @ HEXAGONAL])
    assert grid.size == 30


@given(shapes, st.integers(1, 400))
def test_blocks_visit_every_point_once(shape, block):
    visited = np.concatenate(list(Grid(shape, HEXAGONAL).blocks(block)))
    np.testing.assert_array_equal(np.sort(visited), np.arange(np.prod(shape)))


def test_blocks_are_bounded_and_made_of_compact_tiles():
    grid = Grid((16, 12, 20), np.eye(3))
    for block in grid.blocks(1000):
        assert len(block) <= 1000
        tiles = np.stack(np.unravel_index(block.reshape(-1, 64), grid.shape), axis=-1)
        assert np.ptp(tiles, axis=1).max() == 3


def test_tiles_that_follow_each_other_lie_close_together():
    """Whoever takes eight or sixty-four tiles at once finds them in a cube, too."""
    (block,) = Grid((32, 32, 32), np.eye(3)).blocks(32**3)
    places = np.stack(np.unravel_index(block, (32, 32, 32)), axis=-1)
    for tiles, edge in ((1, 4), (8, 8), (64, 16)):
        assert (np.ptp(places.reshape(-1, 64 * tiles, 3), axis=1) == edge - 1).all()
    (slab,) = Grid((4, 32, 32), np.eye(3)).blocks(4 * 32**2)
    places = np.stack(np.unravel_index(slab, (4, 32, 32)), axis=-1)
    assert (np.ptp(places.reshape(-1, 512, 3), axis=1) == [3, 7, 15]).all()


@given(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 300)), st.integers(64, 600))
def test_blocks_of_long_cells_are_bounded_boxes_that_start_at_tiles(shape, most):
    grid = Grid(shape, HEXAGONAL)
    for block in grid.blocks(most):
        places = np.stack(np.unravel_index(block, shape))
        assert len(block) <= most and np.prod(np.ptp(places, axis=1) + 1) == len(block)
        assert not (places.min(axis=1) % 4).any()


def test_columns_that_fit_are_not_cut():
    assert [len(block) for block in Grid((8, 4, 60), np.eye(3)).blocks(960)] == [960, 960]
    assert [len(block) for block in Grid((4, 4, 61), np.eye(3)).blocks(960)] == [960, 16]


@pytest.mark.parametrize("shape", [(0, 3, 3), (3, -1, 2)])
def test_impossible_shapes(shape):
    with pytest.raises(ElfzooError, match="three positive whole numbers"):
        Grid(shape, np.eye(3))


def test_flat_lattice():
    with pytest.raises(ElfzooError, match="span a volume"):
        Grid((3, 3, 3), np.diag([1.0, 1.0, 0.0]))


@pytest.mark.parametrize("spacing", [0.05, 0.1, 0.33])
def test_from_spacing_is_fine_enough(spacing):
    grid = Grid.from_spacing(HEXAGONAL, spacing)
    assert max(grid.spacing) <= spacing + 1e-12
    assert max(grid.spacing) > 0.6 * spacing


@pytest.mark.parametrize("spacing", [0.0, -1.0, np.nan])
def test_senseless_spacing(spacing):
    with pytest.raises(ElfzooError, match="positive number"):
        Grid.from_spacing(HEXAGONAL, spacing)


def sixfold_screw() -> Structure:
    return Structure.from_spacegroup(169, Lattice.hexagonal(3.0, 4.4), ["H"], [[0.21, 0.33, 0.05]])


@pytest.mark.parametrize("make", [sixfold_screw, None], ids=["6_1 screw", "diamond glides"])
def test_grid_from_spacing_suits_the_space_group(make, diamond):
    structure = diamond if make is None else make()
    grid = Grid.from_spacing(structure.lattice.matrix, 0.13, space_group_translations(structure))
    representatives, inverse = grid_orbits(structure, grid)
    assert len(representatives) < grid.size / 5
    frac = grid.frac_coords()
    centres = structure.frac_coords
    values = sum(np.cos(2 * np.pi * (frac - c)).sum(-1) for c in centres)  # has the lattice's period only
    distance = np.min([structure.lattice.get_all_distances(frac, c[None])[:, 0] for c in centres], axis=0)
    np.testing.assert_allclose(distance[representatives][inverse], distance, atol=1e-6)
    assert np.ptp(values) > 0


def test_orbits_are_those_of_the_operations(diamond):
    grid = Grid((8, 8, 8), diamond.lattice.matrix)
    _, inverse = grid_orbits(diamond, grid)
    for rotation, translation in zip(*space_group_operations(diamond), strict=True):
        moved = np.round((grid.frac_coords() @ rotation.T + translation) * 8).astype(int) % 8
        np.testing.assert_array_equal(inverse[np.ravel_multi_index(tuple(moved.T), grid.shape)], inverse)


def test_a_grid_that_a_screw_axis_does_not_fit_is_refused():
    with pytest.raises(ElfzooError, match="not mapped onto itself"):
        grid_orbits(sixfold_screw(), Grid((16, 16, 16), sixfold_screw().lattice.matrix))
