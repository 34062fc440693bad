"""Fields of atoms by the compiled kernel, against the same model's torch path in double precision."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from scipy.interpolate import CubicSpline

from elfzoo.errors import ElfzooError
from elfzoo.models.probe_graph import ProbeGraph
from elfzoo.native import LEVELS
from elfzoo.transforms import probe_fields
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig, radial_functions
from elfzoo.transforms.probe_fields import AtomTables, FieldLayout, n_steps, radial_table
from tests.models.test_probe_graph import VARIANTS, make

WIDE = {
    "l 0": {"l_max": 0, "fields": "7x0e"},
    "l 4, wide": {"layers": 1, "l_max": 4, "fields": "30x0e + 20x1o + 9x2e + 2x4e", "n_radial": 10},
    "as released": {"fields": "24x0e + 12x1o + 6x2e", "n_radial": 10},
}
EVERY = {"small": {}, **VARIANTS, **WIDE}
CELLS = {
    "skewed": Structure(Lattice([[3.0, 0, 0], [1.4, 2.6, 0], [-0.9, 0.8, 3.3]]), ["Mg", "H", "H"], np.eye(3) * 0.31),
    "one atom, flat": Structure(Lattice.orthorhombic(0.9, 4.0, 1.3), ["H"], [[0.1, 0.2, 0.9]]),
    "molecule in a box": Structure(Lattice.cubic(12), ["H", "H"], [[0, 0, 0], [0, 0, 0.06]]),
}

pytestmark = pytest.mark.skipif(not probe_fields.available(make().layout), reason="the kernel was not built")


def points_in(structure: Structure, count: int, rng: np.random.Generator) -> np.ndarray:
    """Anywhere, and at the first nucleus."""
    return np.concatenate([[structure.frac_coords[0] % 1], rng.random((count - 1, 3))]) @ structure.lattice.matrix


def fused(model: ProbeGraph, structure: Structure, points: np.ndarray, level: str | None = None) -> np.ndarray:
    return probe_fields.evaluate(model.layout, *model._surroundings(structure), None, points, level)


def exact(model: ProbeGraph, structure: Structure, points: np.ndarray) -> np.ndarray:
    """Through edges, in double precision, which the kernel does not have."""
    return copy.deepcopy(model).double().reader(structure)(points).numpy()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("variant", EVERY)
def test_features_are_those_of_the_edges(variant: str, cell: str, rng) -> None:
    model, structure = make(**EVERY[variant]), CELLS[cell]
    points = points_in(structure, 150, rng)
    expected = exact(model, structure, points)
    assert model._fused and not copy.deepcopy(model).double()._fused
    found = fused(model, structure, points)
    assert found.shape == expected.shape == (150, model.layout.n_features)
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("variant", ["as released", "l 4, wide", "free-atom densities"])
def test_instruction_sets_agree(variant: str, level: str, rng) -> None:
    model, structure = make(**EVERY[variant]), CELLS["skewed"]
    points = points_in(structure, 70, rng)
    best = fused(model, structure, points)
    np.testing.assert_allclose(fused(model, structure, points, level), best, atol=1e-5 * np.abs(best).max())


@pytest.mark.parametrize("variant", ["as released", "free-atom densities"])
def test_logits_are_those_of_the_head(variant: str, rng) -> None:
    model, structure = make(**EVERY[variant]), CELLS["skewed"]
    model.fit_statistics(torch.from_numpy(exact(model, structure, points_in(structure, 300, rng))).float())
    points = points_in(structure, 200, rng)
    with torch.no_grad():
        expected = copy.deepcopy(model).double().evaluator(structure)(points)
    np.testing.assert_allclose(model.evaluator(structure)(points), expected, atol=2e-4)


def test_readers_take_points_outside_of_the_cell(rng) -> None:
    model, structure = make(), CELLS["skewed"]
    points, away = points_in(structure, 20, rng), np.array([3, -2, 1]) @ structure.lattice.matrix
    read = model.reader(structure)
    np.testing.assert_allclose(read(points + away), read(points), atol=1e-5)
    assert read(points[:0]).shape == (0, model.layout.n_features)


def test_many_atoms_within_reach(rng) -> None:
    """More than the kernel's list has room for at first."""
    structure = Structure(Lattice.cubic(2.2), ["H"] * 12, rng.random((12, 3)))
    model = make(probe_r_cut=4.5)
    assert len(structure.get_sites_in_sphere([1, 1, 1], 4.5)) > 400
    points = points_in(structure, 90, rng)
    expected = exact(model, structure, points)
    assert np.abs(fused(model, structure, points) - expected).max() < 2e-5 * np.abs(expected).max()


def test_beyond_every_atom_there_is_nothing() -> None:
    model, structure = make(probe_r_cut=2.0), CELLS["molecule in a box"]
    assert (fused(model, structure, np.full((3, 3), 6.0)) == 0).all()


def test_tables_are_made_when_they_are_needed_and_forgotten_when_they_are_many(rng) -> None:
    structure = Structure(Lattice.orthorhombic(20, 3, 3), ["H"] * 9, rng.random((9, 3)))
    model, made = make(probe_r_cut=2.0), []
    plenty, inverse = model._surroundings(structure)

    def make_some(atoms: np.ndarray) -> torch.Tensor:
        made.append(len(atoms))
        return plenty._make(atoms)

    points = points_in(structure, 400, rng)
    blocks = np.array_split(points[np.argsort(points[:, 0])], 8)
    expected = [probe_fields.evaluate(model.layout, plenty, inverse, None, block) for block in blocks]
    for memory, total in ((2**31, 9), (1, None)):
        made.clear()
        atoms = AtomTables(plenty.cells, make_some, plenty.reach, memory)
        with ThreadPoolExecutor(4) as pool:
            found = list(
                pool.map(lambda b, a=atoms: probe_fields.evaluate(model.layout, a, inverse, None, b), blocks * 5)
            )
        assert all((f == e).all() for f, e in zip(found, expected * 5, strict=True))
        assert sum(made) == total if total else sum(made) > 9


def test_tables_lie_where_vectors_are_loaded_from() -> None:
    model = make(fields="3x0e + 1x1o")
    addresses, held = model._surroundings(CELLS["skewed"])[0].near(np.zeros((1, 3)))
    assert len(held) == 3 and (addresses % 64 == 0).all() and (addresses > 0).any()


def test_a_spline_goes_through_its_values_with_level_ends() -> None:
    x = np.linspace(0, 1, 9)
    values = np.stack([np.cos(np.pi * x), np.ones_like(x)], axis=1)
    coefficients = radial_table(values)
    np.testing.assert_allclose((coefficients[:-2] + 4 * coefficients[1:-1] + coefficients[2:]) / 6, values, atol=1e-14)
    np.testing.assert_allclose(coefficients[:, 1], 1, atol=1e-14)
    u = 0.3  # of the fourth step
    basis = np.array([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3]) / 6
    spline = CubicSpline(x, values, bc_type="clamped")
    np.testing.assert_allclose(basis @ coefficients[3:7], spline(x[3] + u / 8), atol=1e-14)


@pytest.mark.parametrize("n_radial", [2, 10, 20])
def test_radial_functions_are_tabulated_to_a_part_in_a_million(n_radial: int) -> None:
    config = PowerSpectrumConfig(n_radial=n_radial, smooth=True)
    x, fine = np.linspace(0, 3, n_steps(config) + 1), np.linspace(0, 3, 3001)

    def at(r: np.ndarray) -> np.ndarray:
        return radial_functions(torch.from_numpy(np.stack([r, 0 * r, 0 * r], axis=1)), config).numpy()

    error = CubicSpline(x, at(x), bc_type="clamped")(fine) - at(fine)
    assert np.abs(error).max() < 1e-6


def test_what_the_kernel_does_not_take_is_left_to_torch() -> None:
    smooth = PowerSpectrumConfig(smooth=True)
    assert probe_fields.available(FieldLayout(smooth, ((3, 1),)))
    assert not probe_fields.available(FieldLayout(PowerSpectrumConfig(), ((3, 1),)))
    assert not probe_fields.available(FieldLayout(smooth, ((1, 1),) * 17))
    assert not probe_fields.available(FieldLayout(PowerSpectrumConfig(smooth=True, l_max=0), ((3, 1),), True))


def test_free_atom_densities_near_a_nucleus(rng) -> None:
    """Where they are sharpest; of the gradient, half of the error is that of the table that both are made from."""
    model, structure = make(sad=True, growth=1.5), CELLS["skewed"]
    away = rng.normal(size=(300, 3))
    away *= rng.uniform(0, 0.15, (300, 1)) / np.linalg.norm(away, axis=1, keepdims=True)
    points = structure.cart_coords[rng.integers(3, size=300)] + away
    inside = points - np.floor(points @ np.linalg.inv(structure.lattice.matrix)) @ structure.lattice.matrix
    error = np.abs(fused(model, structure, inside) - exact(model, structure, inside)).max(axis=0)[-6:]
    assert error[1] < 4e-3 and np.delete(error, 1).max() < 1e-4


def test_points_that_are_no_numbers_are_refused() -> None:
    model, structure = make(), CELLS["skewed"]
    points = np.zeros((70, 3))
    points[5, 1] = np.nan
    for bad in (points, np.where(np.isnan(points), np.inf, points)):
        with pytest.raises(ElfzooError, match="finite"):
            fused(model, structure, bad)


def test_a_network_too_deep_for_the_kernel_is_left_to_torch(rng) -> None:
    model, structure = make(hidden=[8] * 8), CELLS["skewed"]
    assert not model._fused and make(hidden=[8] * 7)._fused
    assert np.isfinite(model.predict(structure, grid=(4, 4, 4), progress=False).values).all()


def test_tables_are_of_single_precision_whatever_the_atoms_are() -> None:
    layout = FieldLayout(PowerSpectrumConfig(smooth=True), ((3, 1),))
    matrices = torch.randn(2, 90, 3)
    found = probe_fields.tables(matrices.double(), layout, None)
    assert found.dtype == torch.float32 and (found == probe_fields.tables(matrices, layout, None)).all()
