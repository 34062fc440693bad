"""Latent functions by the compiled kernel, against the same model's torch path in double precision."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.models.latent_field import LatentField
from elfzoo.native import LEVELS
from elfzoo.transforms import latent_fields
from tests.models.test_latent_field import VARIANTS, make
from tests.transforms.test_probe_fields import CELLS, points_in

EVERY = {
    "small": {},
    **VARIANTS,
    "as released": {
        "fields": "12x0e + 6x1o + 3x2e",
        "orbitals": {"exponents": [[0.7, 1.3, 2.4], [0.9, 1.8], [1.4]], "r_cut": 2.8},
        "hidden": [64, 64],
    },
    "odd scalars, no d functions": {"fields": "5x0e + 2x0o + 1x1o + 1x3o", "orbitals": {"exponents": [[0.8], [1.0]]}},
}

pytestmark = pytest.mark.skipif(not latent_fields.available(make().layout), reason="the kernel was not built")


def assert_close(found: np.ndarray, expected: np.ndarray, to: float = 3e-5) -> None:
    """To a part of the largest value of each feature."""
    assert found.shape == expected.shape
    assert (np.abs(found - expected).max(axis=0) < to * np.abs(expected).max(axis=0) + 1e-7).all()


def fused(model: LatentField, structure: Structure, points: np.ndarray, level: str | None = None) -> np.ndarray:
    return latent_fields.evaluate(model.layout, *model._surroundings(structure), None, points, level)


def exact(model: LatentField, structure: Structure, points: np.ndarray) -> np.ndarray:
    """Through tiles of torch, in double precision, which the kernel does not have."""
    return copy.deepcopy(model).double().reader(structure)(points).numpy()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("variant", EVERY)
def test_features_are_those_of_torch(variant: str, cell: str, rng) -> None:
    model, structure = make(**EVERY[variant]), CELLS[cell]
    points = points_in(structure, 150, rng)
    assert model._fused and not copy.deepcopy(model).double()._fused
    found, expected = fused(model, structure, points), exact(model, structure, points)
    assert found.shape == (150, model.layout.n_features)
    assert_close(found, expected)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("variant", ["as released", "tensors"])
def test_every_instruction_set_agrees(variant: str, level: str, rng) -> None:
    model, structure = make(**EVERY[variant]), CELLS["skewed"]
    points = points_in(structure, 70, rng)
    assert_close(fused(model, structure, points, level), exact(model, structure, points))


@pytest.mark.parametrize("variant", ["as released", "tensors"])
def test_logits_are_those_of_the_head(variant: str, rng) -> None:
    model, structure = make(**EVERY[variant]), CELLS["skewed"]
    model.fit_statistics(torch.from_numpy(exact(model, structure, points_in(structure, 300, rng))).float())
    with torch.no_grad():
        model.slope.fill_(0.7)
    points = points_in(structure, 200, rng)
    expected = copy.deepcopy(model).double().evaluator(structure)(points)
    np.testing.assert_allclose(model.evaluator(structure)(points), expected, atol=2e-4)


def test_fields_on_a_grid_are_those_of_torch() -> None:
    model, structure = make(**EVERY["as released"]), CELLS["skewed"]
    grid = Grid((14, 12, 10), structure.lattice.matrix)
    expected = copy.deepcopy(model).double().predict(structure, grid=grid, progress=False)
    found = model.predict(structure, grid=grid, progress=False)
    np.testing.assert_allclose(found.values, expected.values, atol=2e-5)


def test_threads_share_an_evaluator(rng) -> None:
    model, structure = make(), CELLS["skewed"]
    evaluate, blocks = model.evaluator(structure), np.array_split(points_in(structure, 700, rng), 9)
    expected = [evaluate(block) for block in blocks]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(evaluate, blocks * 5))
    assert all((f == e).all() for f, e in zip(found, expected * 5, strict=True))


def test_what_is_not_a_number_stays_that_and_so_does_an_overflow(rng) -> None:
    model, structure = make(layers=0), CELLS["skewed"]
    points = points_in(structure, 70, rng)
    weight = model.coefficients.weight
    with torch.no_grad():
        weight *= 1e12  # n^(5/3) is beyond single precision
        assert not np.isfinite(model.evaluator(structure)(points)).any()
        weight[0] = torch.nan
    assert np.isnan(model.evaluator(structure)(points)).all()


def test_readers_take_points_outside_of_the_cell(rng) -> None:
    model, structure = make(), CELLS["skewed"]
    points, away = points_in(structure, 20, rng), np.array([3, -2, 1]) @ structure.lattice.matrix
    read = model.reader(structure)
    np.testing.assert_allclose(read(points + away), read(points), atol=2e-4)
    for each in (model, copy.deepcopy(model).double()):
        assert each.features(structure, points[:0]).shape == (0, model.layout.n_features)
        assert each.evaluator(structure)(points[:0]).shape == (0,)


def test_many_atoms_within_reach(rng) -> None:
    """More than the kernel's list has room for at first."""
    structure = Structure(Lattice.cubic(2.2), ["H"] * 12, rng.random((12, 3)))
    model = make(layers=0, orbitals={"exponents": [[0.8, 1.6], [1.0]], "r_cut": 4.5})
    assert len(structure.get_sites_in_sphere([1, 1, 1], 4.5)) > 400
    points = points_in(structure, 90, rng)
    assert_close(fused(model, structure, points), exact(model, structure, points))


def test_far_from_every_atom_and_next_to_a_huge_density(rng) -> None:
    """Where n is ε alone, and where n^(5/3) is large: the logarithms and powers of the kernel at their ends."""
    structure = CELLS["molecule in a box"]
    model = make(layers=0)
    far = np.full((3, 3), 6.0)
    np.testing.assert_allclose(fused(model, structure, far), exact(model, structure, far), atol=2e-5)
    with torch.no_grad():
        model.coefficients.weight *= 1000
    near = 0.3 * rng.random((40, 3))
    np.testing.assert_allclose(fused(model, structure, near), exact(model, structure, near), rtol=3e-4, atol=3e-4)


def test_refusals(rng) -> None:
    model, structure = make(), CELLS["skewed"]
    with pytest.raises(ElfzooError, match="points must be finite"):
        fused(model, structure, np.array([[0, np.nan, 0]]))
    many = {"exponents": [[0.1 * k for k in range(1, 18)]]}
    assert not latent_fields.available(make(orbitals=many).layout)  # more shells than the kernel takes
    with torch.no_grad():
        assert np.isfinite(make(orbitals=many).evaluator(structure)(points_in(structure, 5, rng))).all()
