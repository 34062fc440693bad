"""Networking values against closed forms on several lattices, their convergence, invariances and real crystals."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import cos, sin
from pymatgen.core import Lattice, Structure

from elfzoo.analysis import Networking, networking, percolation, percolation_thresholds
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.interpolate import resample
from elfzoo.io import read_field

pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")

CRYSTALS = Path(__file__).parents[2] / "benchmarks" / "data" / "crystal-h"
LATTICES = {
    "orthorhombic": Lattice.orthorhombic(1.6, 1.9, 1.3),
    "hexagonal": Lattice.hexagonal(1.7, 1.4),
    "triclinic": Lattice.from_parameters(1.6, 1.9, 1.5, 78, 97, 109),
}
Function = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
EXACT: dict[str, tuple[Function, tuple[float, float, float]]] = {
    "cosines": (lambda u, v, w: cos(u) + 0.7 * cos(v) + 0.4 * cos(w), (1.3, 0.7, 0.1)),
    "gyroid": (lambda u, v, w: sin(u) * cos(v) + sin(v) * cos(w) + sin(w) * cos(u), (2**0.5,) * 3),
    "oblique": (lambda u, v, w: 2 * cos(u - v) + 0.5 * cos(w) + 0.1 * cos(u), (2.4, 1.6, -1.4)),
    "diamond": (lambda u, v, w: cos(u) * cos(v) * cos(w), (0.0, 0.0, 0.0)),
}
MORSE = ("cosines", "gyroid", "oblique")


@pytest.fixture
def untyped() -> Iterator[None]:
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def sample(
    function: Function, shape: tuple[int, ...], shift: np.ndarray, lattice: Lattice, basis: np.ndarray | None = None
) -> Field:
    """The function of 2π × fractional coordinates on a grid; basis: rows of another cell in terms of the lattice's."""
    basis = np.eye(3) if basis is None else basis
    axes = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    u, v, w = 2 * np.pi * (np.tensordot(basis.T, np.stack(axes), 1) + np.reshape(shift, (3, 1, 1, 1)))
    return Field(function(u, v, w), Structure(basis @ lattice.matrix, ["H"], [[0, 0, 0]]))


def values_of(result: Networking) -> tuple[float, float, float]:
    return result.phi_1d, result.phi_2d, result.phi_3d


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("name", MORSE)
def test_closed_forms_on_shifted_origins(name, lattice, rng):
    function, exact = EXACT[name]
    for shape in ((20, 24, 18), (25, 25, 25)):
        found = networking(sample(function, shape, rng.random(3), LATTICES[lattice]))
        assert found.at_saddle
        assert values_of(found) == pytest.approx(exact, abs=1e-5)
        assert (found.phi_1d_all, found.phi_2d_all, found.phi_3d_all) == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("name", EXACT)
def test_error_of_the_grid_alone_falls_with_the_square_of_the_spacing(name, rng):
    function, exact = EXACT[name]
    shifts = rng.random((8, 3))
    errors = []
    for n in (12, 24, 48):
        fields = (sample(function, (n, n, n), shift, LATTICES["triclinic"]) for shift in shifts)
        errors.append(max(np.abs(np.subtract(values_of(networking(f, None)), exact)).max() for f in fields))
    assert errors[0] < 0.3
    assert errors[1] < errors[0] / 2.5
    assert errors[2] < errors[1] / 2.5


@pytest.mark.parametrize("name", EXACT)
def test_the_error_estimate_covers_the_error_of_the_grid(name, rng):
    function, exact = EXACT[name]
    for shift in rng.random((6, 3)):
        field = sample(function, (30, 30, 30), shift, LATTICES["orthorhombic"])
        for found in (networking(field, None), networking(field)):
            assert abs(found.phi - exact[2]) <= 3 * found.phi_error + 1e-5


def test_a_degenerate_saddle_errs_by_its_estimate():
    """φ = 0 lies on planes that cross: no saddle is isolated."""
    found = networking(sample(EXACT["diamond"][0], (24, 24, 24), np.array([0.01, 0.02, 0.03]), LATTICES["hexagonal"]))
    assert abs(found.phi) <= 0.01


def rods(n: int, thickness: float) -> Field:
    """Ridges along x, y and z that pass each other at half a period, of heights 0.9, 0.8, 0.7 and one profile."""
    u, v, w = np.meshgrid(*[2 * np.pi * np.arange(n) / n] * 3, indexing="ij")

    def ridge(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return np.exp(thickness * (cos(p) + cos(q) - 2))

    heights = (0.9 * ridge(v, w - np.pi / 2), 0.8 * ridge(w + np.pi / 2, u), 0.7 * ridge(u - np.pi, v - np.pi))
    return Field(np.maximum.reduce(heights), Structure(2 * np.eye(3), ["H"], [[0, 0, 0]]))


def test_disjoint_rods_differ_between_one_region_and_all():
    found = networking(rods(40, 8.0))
    assert found.phi_1d == pytest.approx(0.9, abs=1e-6)
    assert (found.phi_1d_all, found.phi_2d_all, found.phi_3d_all) == pytest.approx((0.9, 0.8, 0.7), abs=1e-6)
    assert found.phi_3d <= found.phi_2d < 0.2


@pytest.mark.parametrize(
    "basis",
    [[[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [-1, 0, 1], [0, 0, -1]], [[1, 0, 0], [0, 1, 0], [1, -1, 1]]],
)
def test_another_basis_of_the_lattice(basis, rng):
    for name in MORSE:
        field = sample(EXACT[name][0], (32, 32, 32), rng.random(3), LATTICES["triclinic"], np.array(basis, float))
        assert values_of(networking(field)) == pytest.approx(EXACT[name][1], abs=2e-5)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_rolls_supercells_and_axis_permutations_of_random_fields(seed):
    rng = np.random.default_rng(seed)
    waves = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    amplitude, phase = rng.normal(size=(2, len(waves)))

    def function(u, v, w):
        return sum(a * cos(k[0] * u + k[1] * v + k[2] * w + p) for a, k, p in zip(amplitude, waves, phase, strict=True))

    field = sample(function, (16, 20, 18), rng.random(3), LATTICES["triclinic"])
    found, order = networking(field, 0.08), rng.permutation(3)
    turned = field.replace(
        values=np.roll(field.values, rng.integers(20, size=3), (0, 1, 2)).transpose(order),
        structure=Structure(field.structure.lattice.matrix[order], ["H"], [[0, 0, 0]]),
    )
    doubled = field.structure.copy()
    doubled.make_supercell([2, 1, 1])
    for other in (turned, field.replace(values=np.tile(field.values, (2, 1, 1)), structure=doubled)):
        again = networking(other, 0.08)
        assert abs(again.phi - found.phi) <= 1e-4 + found.phi_error + again.phi_error


def test_stored_points_alone_are_exact_and_bounded(rng):
    field = sample(EXACT["gyroid"][0], (9, 10, 11), rng.random(3), LATTICES["hexagonal"])
    found = networking(field, None)
    assert values_of(found) == percolation_thresholds(field.values).best
    assert (found.shape, found.at_saddle) == ((9, 10, 11), False)
    cubed = networking(field.replace(values=field.values**3), None)
    assert values_of(cubed) == tuple(x**3 for x in values_of(found))


def test_a_constant_field_spans_at_its_value():
    field = Field(np.full((3, 1, 2), 0.5), Structure(np.eye(3), ["H"], [[0, 0, 0]]))
    found = networking(field)
    assert values_of(found) == pytest.approx((0.5,) * 3, abs=1e-12)
    assert found.phi_error <= 1e-12


@pytest.mark.parametrize("name", ["cubic_027", "hexagonal_032", "cubic_003"])
def test_real_crystals_do_not_depend_on_the_grid(name):
    field = read_field(CRYSTALS / f"{name}.npz")
    found = networking(field)
    assert found.at_saddle
    assert networking(field, 0.03).phi == pytest.approx(found.phi, abs=1e-5)
    a, b, c = (int(np.ceil(length / 0.08)) for length in field.structure.lattice.abc)
    thinned = resample(field, (a, b, c))
    assert networking(thinned).phi == pytest.approx(found.phi, abs=1e-3)


def test_result_is_json_and_shape_is_the_grid_of_the_spacing():
    field = Field(np.cos(np.arange(24.0)).reshape(2, 3, 4), Structure(np.diag([2.0, 0.6, 0.4]), ["H"], [[0, 0, 0]]))
    found = networking(field, 0.1)
    assert found.shape == (20, 6, 4)
    record = json.loads(json.dumps(found.to_dict()))
    assert record["phi"] == record["phi_3d"] == found.phi
    assert record["shape"] == [20, 6, 4]


def test_bad_input_is_refused(untyped):
    field = Field(np.zeros((2, 2, 2)), Structure(np.eye(3), ["H"], [[0, 0, 0]]))
    for spacing in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ElfzooError, match="grid spacing"):
            networking(field, spacing)
    broken = np.zeros((2, 3, 4))
    broken[1, 2, 3] = np.nan
    with pytest.raises(ElfzooError, match=r"\[1, 2, 3\] holds nan"):
        networking(field.replace(values=broken))
