"""The count of what the kernel does, against countings that share nothing with it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch.utils.flop_counter import FlopCounterMode

from elfzoo import Grid, create_model
from elfzoo.periodic import CellList, periodic_images
from elfzoo.testing import enliven
from elfzoo.transforms import PowerSpectrumConfig, fused, latent_fields, probe_fields
from elfzoo.transforms.fused_work import (
    bytes_of_fields,
    bytes_of_kernel,
    bytes_of_latent,
    flops_per_field_pair,
    flops_per_field_point,
    flops_per_latent_pair,
    flops_per_latent_point,
    flops_per_pair,
    flops_per_point,
    n_pairs,
)
from tests.transforms import counted_kernel
from tests.transforms.counted_kernel import Tally

SKEWED = Structure(
    Lattice([[2.1, 0.2, 0.1], [0.7, 2.6, -0.3], [-0.4, 0.5, 3.0]]),
    ["H"] * 3,
    [[0.1, 0.2, 0.9], [1.6, 0.5, 0.4], [0, 0, 0]],
)
CONFIGS = [
    PowerSpectrumConfig(n_radial=n, l_max=l_max, smooth=smooth, channels=channels)
    for n, l_max, smooth, channels in [
        (10, 2, False, 1),
        (10, 4, True, 1),
        (4, 3, True, 3),
        (5, 0, False, 2),
        (6, 1, True, 1),
    ]
]


@pytest.mark.parametrize("r_cut", [0.5, 2.0, 4.1])
def test_pairs_are_those_that_pymatgen_finds(r_cut: float) -> None:
    grid = Grid((3, 4, 5), SKEWED.lattice.matrix)
    expected = sum(len(SKEWED.get_sites_in_sphere(point, r_cut)) for point in grid.positions())
    assert n_pairs(SKEWED.cart_coords, grid, r_cut) == expected > 0


def test_pairs_of_a_large_cell_follow_from_the_density() -> None:
    positions = np.random.default_rng(0).uniform(0, 9, (20, 3))
    grid = Grid((90, 90, 90), 9 * np.eye(3))
    assert n_pairs(positions, grid, 3.0) == pytest.approx(20 * 4 / 3 * np.pi * 3.0**3 * 10**3, rel=1e-3)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_operations_of_a_pair_are_those_of_the_kernels_own_arithmetic(config: PowerSpectrumConfig) -> None:
    """The transcription gives the kernel's features, so what it counts is what the kernel does."""
    lattice, point = 20.0 * np.eye(3), np.full(3, 10.0)
    atoms = point + np.array([[0.4, -0.3, 0.8], [-1.1, 0.7, 0.2], [0.5, 1.9, -1.2]])
    weights = np.random.default_rng(0).normal(size=(3, config.channels)).astype(np.float32)
    n_a = config.n_radial * config.channels
    coefficients = [[0.0] * (config.l_max + 1) ** 2 for _ in range(n_a)]
    Tally.flops = 0
    for atom, weight in zip(atoms, weights, strict=True):
        counted_kernel.pair(config, atom - point, weight.tolist(), coefficients)
    # the first product of a pair with the constant harmonic of l = 0 is counted like any other
    assert Tally.flops == 3 * flops_per_pair(config)
    Tally.flops = 0
    found = [value.value for value in counted_kernel.spectrum(config, coefficients)]
    assert Tally.flops == flops_per_point(config, [config.n_features]) - 2 * config.n_features
    if fused.supports(config):
        cells = CellList.build(periodic_images(atoms, lattice, config.r_cut))
        kernel = fused.features(config, cells, weights, point[None])[0]
        np.testing.assert_allclose(found, kernel, rtol=1e-4, atol=1e-5 * np.abs(kernel).max())


def test_operations_of_a_network_are_those_of_the_kernels_own_arithmetic() -> None:
    config, rng = PowerSpectrumConfig(n_radial=3, l_max=1), np.random.default_rng(0)
    widths = [config.n_features, 7, 5, 1]
    layers = [(rng.normal(size=(m, n)), rng.normal(size=m)) for n, m in pairwise(widths)]
    features, mean, scale = rng.normal(size=(3, widths[0]))
    Tally.flops = 0
    logit = counted_kernel.network([counted_kernel.Counted(f) for f in features], mean, scale, layers)
    spectrum = flops_per_point(config, widths[:1]) - 2 * widths[0]
    assert Tally.flops == flops_per_point(config, widths) - spectrum
    x = (features - mean) * scale
    for i, (weight, bias) in enumerate(layers):
        x = weight @ (x / (1 + np.exp(-x)) if i else x) + bias
    assert logit == pytest.approx(x[0], rel=1e-5)


def test_products_are_those_that_torch_counts() -> None:
    """Layers, sums over neighbours and contractions as products of matrices, for the points of a small cell."""
    model = create_model("grid_mlp", {"hidden": [16, 8], "descriptor": {"n_radial": 4, "r_cut": 2.0}}).eval()
    config, grid = model.config.descriptor, Grid((3, 3, 2), SKEWED.lattice.matrix)
    n_a, n_y = config.n_radial, (config.l_max + 1) ** 2
    with FlopCounterMode(display=False) as layers:
        model.head(torch.zeros(grid.size, config.n_features))
    with FlopCounterMode(display=False) as sums:
        for point in grid.positions():
            neighbours = len(SKEWED.get_sites_in_sphere(point, config.r_cut))
            torch.zeros(n_a, neighbours) @ torch.zeros(neighbours, n_y)
    bare = PowerSpectrumConfig(n_radial=4, r_cut=2.0)
    activations = (21 + 1 + 4 + 1) * (16 + 8)
    per_point = flops_per_point(bare, (config.n_features, 16, 8, 1)) - flops_per_point(bare, [config.n_features])
    assert layers.get_total_flops() == grid.size * (per_point - activations)
    pairs = n_pairs(SKEWED.cart_coords, grid, config.r_cut)
    assert sums.get_total_flops() == pairs * 2 * n_a * n_y < pairs * flops_per_pair(bare)


def test_the_work_of_a_model_is_made_of_these() -> None:
    model = create_model("grid_mlp", {"hidden": [16, 8]}).eval()
    config, grid = model.config.descriptor, Grid((4, 5, 6), SKEWED.lattice.matrix)
    if not fused.supports(config):
        pytest.skip("the compiled kernel was not built")
    widths = (165, 16, 8, 1)
    work = model.work(SKEWED, grid)
    pairs = n_pairs(SKEWED.cart_coords, grid, 3.0)
    assert work.flops == pairs * flops_per_pair(config) + 120 * flops_per_point(config, widths)
    images = len(periodic_images(SKEWED.cart_coords, SKEWED.lattice.matrix, 3.0).atom)
    weights = 2 * 165 + (165 + 1) * 16 + (16 + 1) * 8 + (8 + 1)
    assert work.bytes == 120 * 28 + images * 28 + 4 * weights == bytes_of_kernel(config, widths, 120, images)


@pytest.mark.parametrize("fields", ["4x0e + 3x1o + 2x2e", "2x0e"])
def test_operations_of_fields_are_those_of_the_kernels_own_arithmetic(fields: str) -> None:
    torch.manual_seed(0)
    model = create_model(
        "probe_graph", {"layers": 1, "fields": fields, "l_max": 2, "growth": 1.0, "hidden": [5]}
    ).eval()
    layout = model.layout
    if not probe_fields.available(layout):
        pytest.skip("the compiled kernel was not built")
    structure = Structure(Lattice.cubic(20), ["H", "Mg", "H"], [[0.5, 0.52, 0.48], [0.53, 0.5, 0.5], [0.49, 0.45, 0.5]])
    point = np.full((1, 3), 10.1)
    atoms, inverse = model._surroundings(structure)
    held = atoms.near(point)[1]  # of atoms 0, 1 and 2, each once: the cell is large
    sums: list = [0.0] * layout.n_columns
    Tally.flops = 0
    for position, atom, scale in zip(atoms.cells.positions, atoms.cells.atom.tolist(), inverse[:, 0], strict=True):
        counted_kernel.field_pair(layout, held[atom].numpy(), position - point[0], 1 / float(scale), sums)
    assert Tally.flops == 3 * flops_per_field_pair(layout)
    Tally.flops = 0
    found = [value.value for value in counted_kernel.field_products(layout, sums)]
    assert Tally.flops == flops_per_field_point(layout, [layout.n_features]) - 2 * layout.n_features
    kernel = probe_fields.evaluate(layout, atoms, inverse, None, point)[0]
    np.testing.assert_allclose(found, kernel, rtol=1e-4, atol=1e-5 * np.abs(kernel).max())
    grid = Grid((4, 5, 6), structure.lattice.matrix)
    work, widths = model.work(structure, grid), (layout.n_features, 5, 1)
    hydrogen, metal = (
        structure.cart_coords[[i for i, z in enumerate(structure.atomic_numbers) if z == n]] for n in (1, 12)
    )
    pairs = n_pairs(hydrogen, grid, 3.0) + n_pairs(metal, grid, 3.0 / float(inverse.min()))
    assert work.flops == pairs * flops_per_field_pair(layout) + 120 * flops_per_field_point(layout, widths)
    table = held[0].numel()
    weights = 2 * widths[0] + (widths[0] + 1) * 5 + 6
    assert work.bytes == 120 * 28 + 4 * (2 * 3 * table + weights) == bytes_of_fields(layout, widths, 120, 3)


@pytest.mark.parametrize(
    ("fields", "exponents"),
    [("4x0e + 3x1o + 2x2e", [[0.8, 1.6], [1.0], [1.4]]), ("2x0e + 1x1e", [[0.7], [1.2, 2.0]])],
)
def test_operations_of_latent_functions_are_those_of_the_kernels_own_arithmetic(fields: str, exponents: list) -> None:
    torch.manual_seed(0)
    given = {"layers": 1, "fields": fields, "orbitals": {"exponents": exponents}, "hidden": [5]}
    model = enliven(create_model("latent_field", given)).eval()
    layout = model.layout
    if not latent_fields.available(layout):
        pytest.skip("the compiled kernel was not built")
    structure = Structure(Lattice.cubic(20), ["H", "Mg", "H"], [[0.5, 0.52, 0.48], [0.53, 0.5, 0.5], [0.49, 0.45, 0.5]])
    point = np.full((1, 3), 10.1)
    cells, coefficients = model._surroundings(structure)
    plain = coefficients.transpose(0, 2, 1, 3).reshape(3, coefficients.shape[2], -1)[:, :, : layout.n_functions]
    sums: list = [[0.0] * layout.n_functions for _ in range(4)]
    Tally.flops = 0
    for position, atom in zip(cells.positions, cells.atom.tolist(), strict=True):
        counted_kernel.latent_pair(layout, plain[atom], point[0] - position, sums)
    assert Tally.flops == 3 * flops_per_latent_pair(layout)
    Tally.flops = 0
    found = [value.value for value in counted_kernel.pauli(layout, sums)]
    slope = 2  # times the functions' logit, plus the network's
    assert Tally.flops == flops_per_latent_point(layout, [layout.n_features]) - 2 * layout.n_features - slope
    kernel = latent_fields.evaluate(layout, cells, coefficients, None, point)[0]
    np.testing.assert_allclose(found, kernel, rtol=1e-4, atol=1e-5 * np.abs(kernel).max())
    grid = Grid((4, 5, 6), structure.lattice.matrix)
    work, widths = model.work(structure, grid), (layout.n_features, 5, 1)
    pairs = n_pairs(structure.cart_coords, grid, 3.0)
    assert work.flops == pairs * flops_per_latent_pair(layout) + 120 * flops_per_latent_point(layout, widths)
    weights = 2 * widths[0] + (widths[0] + 1) * 5 + 6
    assert work.bytes == 120 * 28 + 4 * (plain.size + weights) == bytes_of_latent(layout, widths, 120, 3)
