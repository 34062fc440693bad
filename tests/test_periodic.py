from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elfzoo.periodic import CellList, Images, periodic_images, probe_edges, wrap

matrices = arrays(float, (3, 3), elements=st.floats(-3, 3, width=32))


@given(matrices, st.integers(0, 1000), st.floats(0.5, 4.0))
def test_edges_equal_brute_force(matrix, seed, r_cut):
    """In any cell that spans a volume, atoms and points inside or outside of it."""
    lattice = matrix + 4.0 * np.eye(3)
    if abs(np.linalg.det(lattice)) < 4.0:
        return
    rng = np.random.default_rng(seed)
    positions, points = (rng.random((2, 3)) * 4 - 1.5) @ lattice, (rng.random((3, 3)) * 3 - 1) @ lattice
    reach = int(np.ceil(r_cut * np.linalg.norm(np.linalg.inv(lattice), axis=0).max())) + 6
    shifts = np.array(list(product(range(-reach, reach + 1), repeat=3))) @ lattice
    expected = np.linalg.norm(positions[None, :, None] + shifts[None, None] - points[:, None, None], axis=-1)
    expected = np.sort(expected[expected < r_cut])
    atom, probe, shift = probe_edges(points, positions, lattice, r_cut)
    found = np.sort(np.linalg.norm(positions[atom] + shift - points[probe], axis=1))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    in_cells = shift @ np.linalg.inv(lattice)
    np.testing.assert_allclose(in_cells, np.round(in_cells), atol=1e-6)


def test_shift_leads_from_the_atom_to_its_image(rng):
    lattice = np.array([[2.0, 0, 0], [1.7, 0.9, 0], [0.3, 0.5, 1.5]])
    positions = (rng.random((4, 3)) * 5 - 2) @ lattice
    images = periodic_images(positions, lattice, 2.0)
    np.testing.assert_allclose(positions[images.atom] + images.shift @ lattice, images.positions, atol=1e-9)


def test_the_bins_of_a_vast_box_are_few():
    corners = np.array([[0.0, 0, 0], [5e3, 5e3, 5e3], [1.0, 2.0, 5e3]])
    images = Images(corners, np.arange(3), np.zeros((3, 3), int))
    cells = CellList.build(images)
    assert np.prod(cells.shape) < 10**5 and cells.width > 100
    np.testing.assert_array_equal(np.sort(cells.atom), np.arange(3))
    near = CellList.build(Images(corners % 20, np.arange(3), np.zeros((3, 3), int)))
    assert near.width == 1.5


def test_wrap_moves_by_lattice_vectors_only(rng):
    lattice = np.array([[2.0, 0, 0], [1.7, 0.9, 0], [0.3, 0.5, 1.5]])
    points = rng.normal(size=(50, 3)) * 10
    moved = wrap(points, lattice)
    cells = (moved - points) @ np.linalg.inv(lattice)
    np.testing.assert_allclose(cells, np.round(cells), atol=1e-9)
    frac = moved @ np.linalg.inv(lattice)
    assert frac.min() > -1e-9
    assert frac.max() < 1 + 1e-9


@pytest.mark.parametrize("width", [0.4, 1.5, 30.0])
def test_cell_list_holds_every_image_in_its_bin(width, rng):
    images = periodic_images(rng.random((5, 3)) * 3, np.eye(3) * 3.0, 2.0)
    cells = CellList.build(images, width)
    assert sorted(map(tuple, cells.positions)) == sorted(map(tuple, images.positions))
    flat = np.repeat(np.arange(len(cells.start) - 1), np.diff(cells.start))
    bins = np.stack(np.unravel_index(flat, cells.shape), axis=1)
    np.testing.assert_array_equal(((cells.positions - cells.origin) / width).astype(int), bins)
