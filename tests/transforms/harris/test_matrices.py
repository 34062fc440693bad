"""Meshes, Bloch sums and occupations: both ways of summing agree, sums over a mesh pick translations out."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.config import parse
from elfzoo.errors import ConfigError
from elfzoo.grid import Grid
from elfzoo.transforms.harris import bloch
from elfzoo.transforms.harris.blocks import blocks, find_pairs
from elfzoo.transforms.harris.kmesh import KMesh, KMeshConfig, k_mesh
from elfzoo.transforms.harris.matrices import integrals, occupations
from elfzoo.transforms.harris.orbitals import BasisConfig, Shell

SMALL = Structure([[2.4, 0.3, 0.0], [0.8, 2.1, 0.2], [-0.3, 0.4, 2.7]], ["H", "H"], [[0.1, 0.2, 0.3], [0.6, 0.5, 0.9]])
BASIS = BasisConfig((Shell(0, 1.0), Shell(1, 1.5)), 2.0, 0.3)


@pytest.fixture(scope="module")
def matrices():
    grid = Grid.from_spacing(SMALL.lattice.matrix, 0.15)
    boxes = blocks(SMALL, grid, BASIS.r_cut)
    pairs = find_pairs(boxes, len(SMALL))
    potential = np.cos(2 * np.pi * grid.frac_coords()[:, 0]).reshape(grid.shape)
    return pairs, integrals(boxes, grid, potential, BASIS, pairs)


def test_every_point_is_in_one_block():
    grid = Grid((13, 7, 19), SMALL.lattice.matrix)
    found = np.concatenate([block.points for block in blocks(SMALL, grid, 3.0)])
    np.testing.assert_array_equal(np.sort(found), np.arange(grid.size))


def test_bloch_sums_are_hermitian_and_positive(matrices):
    pairs, found = matrices
    for s, h in bloch.at_k([found.overlap, found.hamiltonian], pairs, np.array([[0.1, 0.25, -0.3], [0.5, 0, 0.5]])):
        np.testing.assert_allclose(s, s.conj().T, atol=1e-12)
        np.testing.assert_allclose(h, h.conj().T, atol=1e-12)
        assert np.linalg.eigvalsh(s).min() > 0
    assert s.dtype == float  # k half a reciprocal vector


def test_the_two_ways_of_summing_agree(matrices, monkeypatch):
    pairs, found = matrices
    points = np.array([[0.1, 0.25, -0.3], [0.5, 0, 0.5], [0, 0, 0.2]])
    dense = list(bloch.at_k([found.hamiltonian], pairs, points))
    back = np.zeros_like(found.hamiltonian)
    bloch.add_back(back, [d[0] for d in dense], [0.5, 0.2, 0.3], pairs, points)
    monkeypatch.setattr(bloch, "DENSE", 0)
    sparse = list(bloch.at_k([found.hamiltonian], pairs, points))
    again = np.zeros_like(found.hamiltonian)
    bloch.add_back(again, [d[0] for d in dense], [0.5, 0.2, 0.3], pairs, points)
    for a, b in zip(dense, sparse, strict=True):
        np.testing.assert_allclose(a[0], b[0], atol=1e-12)
    np.testing.assert_allclose(back, again, atol=1e-12)


def test_a_full_mesh_gives_back_every_translation(matrices):
    """(1/N) Σ_k A(k) exp(-i k R) = A(R) where the mesh is wider than all translations; here with the other sign."""
    pairs, found = matrices
    n = 2 * pairs.reach + 1
    mesh = np.stack(np.meshgrid(*[np.arange(n) / n] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    back = np.zeros_like(found.overlap)
    turned = [m[0].conj() for m in bloch.at_k([found.overlap], pairs, mesh)]
    bloch.add_back(back, turned, np.full(len(mesh), 1 / len(mesh)), pairs, mesh)
    np.testing.assert_allclose(back, found.overlap, atol=1e-10)


def test_overlaps_against_direct_sums(matrices):
    """At Γ the overlap is the integral of periodic functions, however the boxes are cut."""
    from elfzoo.periodic import periodic_images
    from elfzoo.transforms.harris.orbitals import BOHR, orbitals

    pairs, found = matrices
    grid = Grid.from_spacing(SMALL.lattice.matrix, 0.15)
    images = periodic_images(SMALL.cart_coords, SMALL.lattice.matrix, BASIS.r_cut)
    vectors = (grid.positions()[None] - images.positions[:, None]) / BOHR
    phi = orbitals(vectors, BASIS)[0].reshape(len(images.atom), BASIS.size, -1)
    periodic = np.zeros((2, BASIS.size, grid.size))
    np.add.at(periodic, images.atom, phi)
    flat = periodic.reshape(2 * BASIS.size, -1)
    expected = flat @ flat.T * SMALL.lattice.volume / BOHR**3 / grid.size
    (overlap,) = next(bloch.at_k([found.overlap], pairs, np.zeros((1, 3))))
    np.testing.assert_allclose(overlap, expected, atol=2e-5)


@pytest.mark.parametrize(("edge", "counts"), [(3.0, 7), (4.19, 5), (5.0, 5), (6.0, 2), (9.0, 2), (9.7, 1), (11.0, 1)])
def test_mesh_follows_the_rule(edge, counts):
    config = KMeshConfig()
    mesh = k_mesh(np.eye(3) * edge, config)
    shifted = edge**3 >= config.large
    assert mesh.weights.sum() == pytest.approx(1)
    axis = (np.arange(counts) + shifted / 2) / counts
    for k in mesh.points:
        assert np.abs((k[:, None] - axis + 0.5) % 1 - 0.5).min(axis=1).max() < 1e-12
    full = np.round(counts**3 * mesh.weights).astype(int)
    assert full.sum() == counts**3 and set(full) <= {1, 2}


def test_time_reversal_keeps_even_averages():
    """One of k and -k with twice the weight: the same average of every even function of k."""
    lattice = Lattice.hexagonal(2.1, 3.4).matrix
    mesh = k_mesh(lattice, KMeshConfig(spacing=0.5))
    whole = k_mesh(lattice, KMeshConfig(spacing=0.5, large=1e9))
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(lattice), axis=0)
    counts = np.ceil(lengths / 0.5).astype(int)
    full = np.stack(np.meshgrid(*(np.arange(n) / n for n in counts), indexing="ij"), axis=-1).reshape(-1, 3)
    for r in ([1, 0, 0], [2, -1, 1], [0, 0, 3]):
        direct = np.cos(2 * np.pi * full @ r).mean()
        assert mesh.weights @ np.cos(2 * np.pi * mesh.points @ r) == pytest.approx(direct, abs=1e-12)
    assert isinstance(whole, KMesh)


def test_occupations():
    energies = np.random.default_rng(0).normal(size=(5, 12))
    weights = np.full(5, 0.2)
    filled = occupations(energies, weights, 7.3, 0.05)
    assert weights @ filled.sum(axis=1) == pytest.approx(7.3, abs=1e-9)
    order = np.argsort(energies, axis=None)
    assert (np.diff(filled.ravel()[order]) <= 0).all() and filled.max() <= 2


def test_mesh_refused():
    with pytest.raises(ConfigError, match="positive"):
        parse(KMeshConfig, {"spacing": 0.0})
