"""Compiled orbitals against those of numpy, which finite differences test, on every instruction set; sums by pair."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from elfzoo import native
from elfzoo.grid import Grid
from elfzoo.transforms import fused
from elfzoo.transforms.harris import HarrisConfig, field, harris_densities
from elfzoo.transforms.harris.blocks import blocks, find_pairs
from elfzoo.transforms.harris.box_orbitals import acted, add_by_pair, sloped
from elfzoo.transforms.harris.orbitals import BasisConfig, Shell, orbitals

CELL = Structure(
    Lattice.from_parameters(3.1, 2.7, 3.6, 80, 95, 107), ["H"] * 3, [[0, 0, 0.9], [0.4, 0.5, 0.2], [0.7, 0.1, 0.6]]
)
BASES = {
    "released": BasisConfig(),
    "d shells": BasisConfig((Shell(2, 1.3), Shell(0, 0.7), Shell(1, 2.2), Shell(2, 0.8)), 2.1, 0.3),
}
needs_kernel = pytest.mark.skipif(not fused.available(), reason="no compiled kernel")


def box(basis, number=3):
    grid = Grid.from_spacing(CELL.lattice.matrix, 0.25)
    return blocks(CELL, grid, basis.r_cut)[number]


@needs_kernel
@pytest.mark.parametrize("level", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("name", list(BASES))
def test_the_kernel_against_double_precision(name, level):
    basis = BASES[name]
    block = box(basis)
    n = len(block.points)
    vectors = (block.positions[None] - block.centres[:, None]) / 0.529177210903
    phi, slopes, laplacian = orbitals(vectors, basis)
    potential = np.random.default_rng(0).normal(size=n)
    expected = np.stack([phi, potential * phi - 0.5 * laplacian])
    found = acted(block, basis, potential, level).numpy()
    assert n % 16 and found.shape[2] % 16 == 0 and not found[:, :, n:].any()
    for part, truth in zip(found, expected, strict=True):
        np.testing.assert_allclose(part[:, :n], truth, atol=2e-6 * np.abs(truth).max())
    found = sloped(block, basis, level).numpy()
    assert not found[:, :, n:].any()
    for part, truth in zip(found, [phi, *slopes], strict=True):
        np.testing.assert_allclose(part[:, :n], truth, atol=2e-6 * np.abs(truth).max())


@needs_kernel
def test_without_the_kernel(monkeypatch):
    block, basis = box(BASES["released"]), BASES["released"]
    n, potential = len(block.points), np.linspace(-1, 1, len(block.points))
    compiled = acted(block, basis, potential)[:, :, :n], sloped(block, basis)[:, :, :n]
    monkeypatch.setattr(native, "load", lambda _: None)
    for one, other in zip(compiled, (acted(block, basis, potential), sloped(block, basis)), strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-5)


@needs_kernel
def test_the_defaults_of_torch_change_nothing():
    block, basis = box(BASES["released"]), BASES["released"]
    potential = np.linspace(-1, 1, len(block.points))
    before = acted(block, basis, potential), sloped(block, basis)
    torch.set_default_dtype(torch.float64)
    try:
        after = acted(block, basis, potential), sloped(block, basis)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(
        torch.equal(one, other) and other.dtype == torch.float32 for one, other in zip(before, after, strict=True)
    )


@needs_kernel
def test_pairs_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="pairs below 2"):
        add_by_pair(np.zeros((2, 3, 3)), np.array([[0, 2], [1, 1]]), torch.zeros(6, 6))


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=needs_kernel), False])
def test_sums_by_pair_against_a_loop(monkeypatch, compiled):
    if not compiled:
        monkeypatch.setattr(native, "load", lambda _: None)
    rng, images, m = np.random.default_rng(1), 5, 3
    which, found = rng.integers(0, 7, (images, images)), rng.normal(size=(images * m, images * m)).astype(np.float32)
    total = rng.normal(size=(7, m, m))
    expected = total.copy()
    for i in range(images):
        for j in range(i, images):
            here, turned = (found[x * m : (x + 1) * m, y * m : (y + 1) * m].astype(float) for x, y in ((i, j), (j, i)))
            expected[which[i, j]] += (here + turned.T) / (4 if i == j else 2)
    add_by_pair(total, which, torch.from_numpy(found))
    np.testing.assert_allclose(total, expected, rtol=1e-12)


def test_pairs_are_the_same_however_they_are_collected(monkeypatch):
    grid = Grid.from_spacing(CELL.lattice.matrix, 0.25)
    boxes = blocks(CELL, grid, 2.0)
    marked = find_pairs(boxes, len(CELL))
    monkeypatch.setattr("elfzoo.transforms.harris.blocks.MARKED", 0)
    sorted_ = find_pairs(boxes, len(CELL))
    for name in ("i", "j", "translation", "keys"):
        np.testing.assert_array_equal(getattr(marked, name), getattr(sorted_, name))
    assert len(marked.keys) > 9


def test_states_themselves_and_those_of_each_box_give_the_same_densities(monkeypatch):
    """k-points whose phases are complex and one whose phases are signs; the states are many or few."""
    config = HarrisConfig(BASES["d shells"], spacing=0.25)
    monkeypatch.setattr(field, "MOST_STATES", 10**6)
    whole = harris_densities(CELL, config)
    monkeypatch.setattr(field, "MOST_STATES", 0)
    boxed = harris_densities(CELL, config)
    for name in ("n", "tau", "gradient"):
        one, other = getattr(whole, name), getattr(boxed, name)
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5 * other.max())
