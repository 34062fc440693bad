from itertools import product

import numpy as np
import pytest

from elfzoo.periodic import probe_edges
from elfzoo.transforms.atom_graph import atom_edges, atom_probe_edges

SKEWED = np.array([[2.9, 0.2, -0.1], [2.1, 1.9, 0.3], [-1.2, 0.8, 2.6]])


def _rows(sender, receiver, vectors):
    return sorted(zip(sender.tolist(), receiver.tolist(), *np.round(vectors, 6).T.tolist(), strict=True))


def _brute_force(positions, lattice, r_cut):
    """Every pair and every image in a large block of cells, the atom itself left out."""
    shifts = np.array(list(product(range(-9, 10), repeat=3))) @ lattice
    vectors = positions[:, None, None] + shifts[None, None] - positions[None, :, None]
    length = np.linalg.norm(vectors, axis=-1)
    sender, receiver, _ = np.nonzero((length < r_cut) & (length > 1e-9))
    return _rows(sender, receiver, vectors[(length < r_cut) & (length > 1e-9)])


@pytest.mark.parametrize("r_cut", [0.9, 2.2, 4.5])
def test_atom_edges_equal_brute_force(r_cut, rng):
    """Atoms inside and outside of a skewed cell that is smaller than the cutoff."""
    positions = (rng.random((4, 3)) * 3 - 1) @ SKEWED
    (sender, receiver), shift = atom_edges(positions, SKEWED, r_cut)
    vectors = positions[sender] + shift - positions[receiver]
    assert _rows(sender, receiver, vectors) == _brute_force(positions, SKEWED, r_cut)
    assert (np.diff(sender) >= 0).all()


def test_every_edge_has_its_reverse(rng):
    positions = rng.random((5, 3)) @ SKEWED
    (sender, receiver), shift = atom_edges(positions, SKEWED, 3.0)
    assert _rows(sender, receiver, shift + 0.0) == _rows(receiver, sender, 0.0 - shift)


def test_an_atom_sees_its_own_images_but_not_itself():
    index, shift = atom_edges(np.full((1, 3), 7.3), 2.0 * np.eye(3), 2.9)
    assert index.shape == (2, 6 + 12)
    np.testing.assert_allclose(np.sort((shift**2).sum(axis=1)), [4.0] * 6 + [8.0] * 12)


def test_no_neighbours():
    index, shift = atom_edges(np.zeros((1, 3)), 9.0 * np.eye(3), 3.0)
    assert index.shape == (2, 0)
    assert index.dtype == np.int64
    assert shift.shape == (0, 3)


def test_probe_edges_ordered_by_atom(rng):
    points, positions = rng.random((6, 3)) @ SKEWED, rng.random((4, 3)) @ SKEWED
    atom, probe, shift = atom_probe_edges(points, positions, SKEWED, 2.5)
    assert _rows(atom, probe, shift) == _rows(*probe_edges(points, positions, SKEWED, 2.5))
    assert (np.diff(atom) >= 0).all()


def test_each_atom_may_have_a_cutoff_of_its_own(rng):
    """A pair of atoms has the mean of theirs; a probe point sees an atom within the atom's."""
    positions, points = (rng.random((4, 3)) * 3 - 1) @ SKEWED, rng.random((6, 3)) @ SKEWED
    reach = np.array([1.1, 4.0, 2.3, 0.5])
    (sender, receiver), shift = atom_edges(positions, SKEWED, reach)
    vectors = positions[sender] + shift - positions[receiver]
    pairs = (reach[:, None, None] + reach[None, :, None]) / 2
    assert _rows(sender, receiver, vectors) == _brute_force(positions, SKEWED, pairs)
    atom, probe, shift = atom_probe_edges(points, positions, SKEWED, reach)
    every = [part for i, r in enumerate(reach) for part in _rows_of_one(points, positions, i, r)]
    assert _rows(atom, probe, shift) == sorted(every)
    assert (np.diff(atom) >= 0).all()


def _rows_of_one(points, positions, number, r_cut):
    _, probe, shift = probe_edges(points, positions[number : number + 1], SKEWED, r_cut)
    return _rows(np.full(len(probe), number), probe, shift)


def test_no_atoms():
    assert atom_edges(np.zeros((0, 3)), SKEWED, np.zeros(0))[0].shape == (2, 0)
