"""The untrained field: against brute force, against a plane-wave diagonalisation, against DFT."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.errors import ElfzooError
from elfzoo.examples import example_path
from elfzoo.grid import Grid
from elfzoo.io import read_field
from elfzoo.periodic import periodic_images
from elfzoo.transforms.harris import HarrisConfig, bloch, harris_densities, harris_inputs
from elfzoo.transforms.harris.blocks import blocks, find_pairs
from elfzoo.transforms.harris.inputs import CACHE_VARIABLE, stored_inputs
from elfzoo.transforms.harris.kmesh import KMeshConfig, k_mesh
from elfzoo.transforms.harris.matrices import density_matrix, integrals, occupied_states
from elfzoo.transforms.harris.orbitals import BOHR, BasisConfig, Shell, orbitals
from elfzoo.transforms.harris.potential import effective_potential

SMALL = Structure([[2.2, 0.1, 0.0], [0.7, 1.9, 0.2], [-0.3, 0.4, 2.3]], ["H", "H"], [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
COARSE = HarrisConfig(BasisConfig((Shell(0, 1.0), Shell(1, 1.5)), 2.0, 0.3), KMeshConfig(spacing=1.5), spacing=0.2)
CONFIG = HarrisConfig(spacing=0.15)


def test_densities_against_direct_sums():
    """n, τ and ∇n of every box are those of the density matrix summed over all pairs of images, in double precision."""
    found = harris_densities(SMALL, COARSE)
    grid, basis = found.grid, COARSE.basis
    potential, _ = effective_potential(SMALL.cart_coords, grid, COARSE.atom_exponent, COARSE.functional)
    boxes = blocks(SMALL, grid, basis.r_cut)
    pairs = find_pairs(boxes, len(SMALL))
    matrices = integrals(boxes, grid, potential, basis, pairs)
    mesh = k_mesh(grid.lattice, COARSE.k_mesh)
    p = density_matrix(occupied_states(matrices, pairs, mesh, 2, COARSE.width / 27.211386), pairs, mesh)
    images = periodic_images(SMALL.cart_coords, grid.lattice, basis.r_cut)
    chosen = np.random.default_rng(0).choice(grid.size, 25, replace=False)
    vectors = (grid.positions(chosen)[None] - images.positions[:, None]) / BOHR
    phi, slope, _ = orbitals(vectors, basis)
    lookup = {
        (i, j, *t): part for i, j, t, part in zip(pairs.i, pairs.j, map(tuple, pairs.translation), p, strict=True)
    }
    zero = np.zeros((basis.size, basis.size))
    rows = [
        [lookup.get((a, b, *(t - s)), zero) for b, t in zip(images.atom, images.shift, strict=True)]
        for a, s in zip(images.atom, images.shift, strict=True)
    ]
    full = np.block(rows)
    n = np.einsum("ip,ij,jp->p", phi, full, phi)
    gradient = 2 * np.einsum("xip,ij,jp->xp", slope, full, phi)
    tau = 0.5 * np.einsum("xip,ij,xjp->p", slope, full, slope)
    np.testing.assert_allclose(found.n.ravel()[chosen], n, rtol=1e-5)
    np.testing.assert_allclose(found.gradient.ravel()[chosen], (gradient**2).sum(0), rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(found.tau.ravel()[chosen], tau, rtol=1e-5)


def test_cells_of_one_crystal_agree_however_many_bands_they_need():
    """27 atoms squeezed to 1 Å³ each need more bands than most cells do."""
    mesh = KMeshConfig(spacing=0.7, large_spacing=0.7)  # nine points for the small cell, three for the large one
    config = HarrisConfig(k_mesh=mesh)
    small = Structure(Lattice.cubic(1.0), ["H"], [[0, 0, 0]])
    one, many = (harris_densities(cell, config) for cell in (small, small * (3, 3, 3)))
    nx, ny, nz = one.grid.shape
    np.testing.assert_allclose(many.n[:nx, :ny, :nz], one.n, rtol=2e-3)
    assert many.n.mean() * 27 / BOHR**3 == pytest.approx(27, rel=1e-3)


def test_orbitals_that_depend_on_each_other_at_some_k():
    dense = Structure(Lattice.cubic(0.6 ** (1 / 3)), ["H"], [[0, 0, 0]])
    found = harris_densities(dense, HarrisConfig(k_mesh=KMeshConfig(spacing=0.7)))
    assert found.n.mean() * dense.volume / BOHR**3 == pytest.approx(1, rel=1e-3)
    assert np.isfinite(found.chi()).all()


def test_a_skewed_cell_is_solved_in_one_of_short_edges(tmp_path, monkeypatch):
    short = Structure(Lattice.orthorhombic(1.9, 1.6, 1.7), ["H"], [[0.1, 0.2, 0.3]])
    skewed = Structure(np.array([[1, 0, 0], [4, 1, 0], [4, 4, 1]]) @ short.lattice.matrix, ["H"], [[0, 0, 0]])
    skewed = Structure(skewed.lattice, ["H"], short.cart_coords, coords_are_cartesian=True)
    points = np.random.default_rng(0).normal(size=(20, 3))
    expected = harris_inputs(short, CONFIG, (14.0, 18.0)).at(points)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    for solve in (harris_inputs, stored_inputs, stored_inputs):  # kept, and read again
        np.testing.assert_allclose(solve(skewed, CONFIG, (14.0, 18.0)).at(points), expected, atol=1e-3)


def test_charges_are_no_other_elements():
    charged = Structure(SMALL.lattice, ["H+", "H-"], SMALL.frac_coords)
    np.testing.assert_array_equal(harris_densities(charged, COARSE).n, harris_densities(SMALL, COARSE).n)


def test_electrons_and_bound():
    found = harris_densities(SMALL, CONFIG)
    volume = SMALL.volume / BOHR**3
    assert found.n.mean() * volume == pytest.approx(2, abs=1e-4)
    assert (found.tau - found.gradient / (8 * found.n)).min() > -1e-6
    assert (found.chi() >= 0).all()


def test_energies_are_above_those_of_plane_waves():
    """Variational: no orbital basis is below a converged plane-wave one in the same potential, and this one is near."""
    cell = Structure(Lattice.cubic(1.6), ["H"], [[0.1, 0.2, 0.3]])
    grid = Grid((32, 32, 32), cell.lattice.matrix)
    potential, _ = effective_potential(cell.cart_coords, grid, 1.15, "LDA")
    boxes = blocks(cell, grid, CONFIG.basis.r_cut)
    pairs = find_pairs(boxes, len(cell))
    matrices = integrals(boxes, grid, potential, CONFIG.basis, pairs)
    waves = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    spectrum = np.fft.fftn(potential, norm="forward")
    between = spectrum[tuple(np.moveaxis(waves[:, None] - waves[None], -1, 0) % 32)]
    for k in np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, -0.1, 0.35]]):
        kinetic = 0.5 * (((waves + k) * 2 * np.pi / 1.6 * BOHR) ** 2).sum(axis=1)
        exact = np.linalg.eigvalsh(np.diag(kinetic) + between)[0]
        s, h = next(bloch.at_k([matrices.overlap, matrices.hamiltonian], pairs, k[None]))
        lower = np.linalg.cholesky(s)
        inverse = np.linalg.inv(lower)
        found = np.linalg.eigvalsh(inverse @ h @ inverse.conj().T)[0]
        assert -5e-4 < found - exact < 0.01


@pytest.mark.parametrize("operation", ["rotation", "permutation", "lattice shift"])
def test_the_same_crystal(operation):
    before = harris_densities(SMALL, COARSE)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    other = {
        "rotation": Structure(SMALL.lattice.matrix @ turn, SMALL.species, SMALL.frac_coords),
        "permutation": Structure.from_sites(list(SMALL)[::-1]),
        "lattice shift": Structure(SMALL.lattice, SMALL.species, SMALL.frac_coords + np.array([[1, -2, 0], [0, 3, 1]])),
    }[operation]
    np.testing.assert_allclose(harris_densities(other, COARSE).n, before.n, rtol=1e-5)


def test_near_dft_without_training():
    reference = read_field(example_path())
    found = harris_inputs(reference.structure, HarrisConfig(), (14.0, 18.0))
    logit = found.at(reference.grid.positions())[:, 0].reshape(reference.grid.shape)
    error = 1 / (1 + np.exp(-logit)) - reference.values
    assert np.abs(error).mean() < 0.006
    assert 1 - (error**2).mean() / reference.values.var() > 0.998


def test_kept_in_a_folder(tmp_path, monkeypatch):
    window, folder = (14.0, 15.0), tmp_path / "cache"
    first = stored_inputs(SMALL, COARSE, window)
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    stored = stored_inputs(SMALL, COARSE, window)
    (file,) = folder.iterdir()
    np.save(file, stored.values + 1)
    np.testing.assert_allclose(stored_inputs(SMALL, COARSE, window).values, first.values + 1, atol=1e-5)
    np.testing.assert_allclose(harris_inputs(SMALL, COARSE, window).values, first.values, atol=1e-5)  # always computed
    stored_inputs(SMALL, CONFIG, window)  # another configuration, another file
    lithium = SMALL.copy().replace_species({"H": "Li"})
    with pytest.raises(ElfzooError, match="got Li"):  # not hydrogen's fields
        stored_inputs(lithium, COARSE, window)
    assert len(list(folder.iterdir())) == 2


def test_too_many_atoms_are_refused():
    chain = Structure(
        Lattice.orthorhombic(3.0, 3.0, 2100.0), ["H"] * 2001, np.linspace([0, 0, 0], [0, 0, 1], 2001, endpoint=False)
    )
    with pytest.raises(ElfzooError, match="at most 2000 atoms, got 2001"):
        harris_densities(chain, CONFIG)


def test_other_elements_are_refused_by_name():
    with pytest.raises(ElfzooError, match="of H alone; got Ca, La"):
        harris_densities(Structure(Lattice.cubic(3.0), ["H", "La", "Ca"], np.eye(3) / 2), CONFIG)
