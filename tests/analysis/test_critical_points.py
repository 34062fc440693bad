"""Critical points against closed forms on several lattices, a dense search on Fourier series, and their invariances."""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import cos
from pymatgen.core import Lattice, Structure
from scipy.spatial import cKDTree

from elfzoo.analysis import CriticalPoints, Networking, critical_points, networking, spline
from elfzoo.analysis.plateaus import plateau_cells, plateaus
from elfzoo.analysis.spline import Spline
from elfzoo.core_radii import core_radius
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.interpolate import PeriodicSpline
from elfzoo.io import read_field
from tests.analysis.field_oracle import LATTICES, FourierSeries, counts, dense_search, gyroid, phi, sample

pytestmark = pytest.mark.skipif(not spline.available(), reason="the compiled kernel was not built")

DATA = Path(__file__).parents[2] / "benchmarks" / "data"


@pytest.fixture
def untyped() -> Iterator[None]:
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def distances(points: CriticalPoints, places: np.ndarray) -> np.ndarray:
    """From each place (fractional) to the nearest point, Å."""
    return Lattice(points.lattice).get_all_distances(places, points.frac_coords).min(axis=1)


def cosines(u: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    return cos(u) + 0.7 * cos(v) + 0.4 * cos(w)


@pytest.mark.parametrize("lattice", LATTICES)
def test_cosines_have_one_three_three_one_with_their_places_and_curvatures(lattice, rng):
    shift = rng.random(3)
    found = critical_points(sample(cosines, (36, 40, 33), shift, LATTICES[lattice]))
    assert counts(found) == (1, 3, 3, 1)
    assert (found.morse_sum, found.morse_reason) == (0, None)
    places = np.array(list(itertools.product((0, 0.5), repeat=3)))
    exact = cosines(*(2 * np.pi * places.T))
    assert distances(found, places - shift).max() < 0.001
    assert np.sort(found.values) == pytest.approx(np.sort(exact), abs=1e-5)
    assert found.gradient_norms.max() < 1e-10
    to_cart = np.linalg.inv(LATTICES[lattice].matrix) * 2 * np.pi
    top = np.linalg.eigvalsh(to_cart @ np.diag([-1, -0.7, -0.4]) @ to_cart.T)
    assert found.eigenvalues[0] == pytest.approx(top, rel=0.01)


def test_each_saddle_of_the_cosines_winds_once(rng):
    found = critical_points(sample(cosines, (36, 40, 33), rng.random(3), LATTICES["triclinic"]))
    for signature, order in ((-1, ("0", "1", "2")), (1, ("2", "1", "0"))):
        saddles = found.select(signature)
        assert (found.ends[saddles] == found.select(3 * signature)[0]).all()
        winding = np.abs(found.end_shifts[saddles, 1] - found.end_shifts[saddles, 0])
        # lowering one factor of the product: the weakest wave first among the (3,-1), the strongest last
        axes = np.eye(3, dtype=int)[[2 - int(axis) for axis in order]]
        assert (winding == axes).all()


@pytest.mark.parametrize("lattice", LATTICES)
def test_gyroid(lattice, rng):
    found = critical_points(sample(gyroid, (32, 36, 40), rng.random(3), LATTICES[lattice]))
    assert counts(found) == (8, 12, 12, 8)
    assert found.values[found.select(-3)] == pytest.approx(1.5, abs=1e-4)
    assert found.values[found.select(3)] == pytest.approx(-1.5, abs=1e-4)
    assert found.values[found.select(-1)] == pytest.approx(2**0.5, abs=1e-4)
    saddles = found.select(-1)
    assert (np.bincount(found.ends[saddles].ravel(), minlength=8) == 3).all()
    assert phi(found) == pytest.approx((2**0.5,) * 3, abs=1e-4)


def test_saddles_and_their_ends_give_the_networking_value(rng):
    cases = {
        "cosines": (cosines, (1.3, 0.7, 0.1)),
        "oblique": (lambda u, v, w: 2 * cos(u - v) + 0.5 * cos(w) + 0.1 * cos(u), (2.4, 1.6, -1.4)),
    }
    for function, exact in cases.values():
        field = sample(function, (40, 36, 32), rng.random(3), LATTICES["triclinic"])
        assert phi(critical_points(field, persistence=0)) == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("name", ["crystal-h/hexagonal_027", "crystal-h/cubic_028", "fluid-h/fluid_76.0GPa_A_f03400"])
def test_saddles_of_real_fields_give_the_networking_value(name):
    real = read_field(DATA / f"{name}.npz")
    found = networking(real)
    assert phi(critical_points(real, persistence=0)) == pytest.approx(values_of(found), abs=4e-4)


def values_of(result: Networking) -> tuple[float, float, float]:
    return result.phi_1d, result.phi_2d, result.phi_3d


def gaussians(centring: np.ndarray, width: float, n: int, basis: np.ndarray) -> Field:
    """Normal Gaussians on a lattice of the points ``centring`` in a unit cube, in its primitive cell ``basis``."""
    axes = np.stack(np.meshgrid(*[np.arange(n) / n] * 3, indexing="ij"), axis=-1) @ basis
    values = np.zeros((n, n, n))
    for cell in itertools.product(range(-1, 3), repeat=3):
        for point in centring:
            values += np.exp(-((axes - np.array(cell) - point) ** 2).sum(axis=-1) / (2 * width**2))
    return Field(values, Structure(2 * basis, ["H"], [[0, 0, 0]]))


BCC = (np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]))
FCC = (
    np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]),
    np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
)


@pytest.mark.parametrize(("lattice", "width", "expected"), [(BCC, 0.15, (1, 7, 12, 6)), (FCC, 0.12, (1, 6, 8, 3))])
def test_gaussian_lattices(lattice, width, expected):
    found = critical_points(gaussians(lattice[0], width, 24, lattice[1]), persistence=0)
    assert counts(found) == expected


@pytest.mark.parametrize("lattice", LATTICES)
def test_separable_gaussians_have_products_of_theta_functions(lattice, rng):
    widths, shift = (0.16, 0.2, 0.24), rng.random(3)

    def theta(x: np.ndarray, width: float) -> np.ndarray:
        return sum(np.exp(-((x - n) ** 2) / (2 * width**2)) for n in range(-4, 6))

    def product(u, v, w):
        x = (p / (2 * np.pi) % 1.0 for p in (u, v, w))
        return np.prod([theta(p, width) for p, width in zip(x, widths, strict=True)], axis=0)

    field = sample(product, (48, 40, 36), shift, LATTICES[lattice])  # up to 1.0003, which no ELF is
    found = critical_points(field.replace(quantity="density"), persistence=0)
    assert counts(found) == (1, 3, 3, 1)
    places = np.array(list(itertools.product((0, 0.5), repeat=3)))
    assert np.sort(found.values) == pytest.approx(np.sort(product(*(2 * np.pi * places.T))), abs=1e-4)
    assert distances(found, places - shift).max() < 0.001


def matched(
    points: np.ndarray, kinds: np.ndarray, other: np.ndarray, other_kinds: np.ndarray, reach: float
) -> np.ndarray:
    """Whether each point has one of the other set within reach (fractional) that is of its kind."""
    hit = np.zeros(len(points), bool)
    for kind in np.unique(kinds):
        tree = cKDTree(other[other_kinds == kind] % 1.0, boxsize=1.0)
        hit[kinds == kind] = tree.query(points[kinds == kind] % 1.0)[0] < reach
    return hit


@pytest.mark.parametrize("count", [20, 40, 60])
def test_random_series_against_a_dense_search(count, rng):
    series = FourierSeries.random(rng, count)
    places, values, kinds = dense_search(series, rng.random((4000, 3)))
    field = Field(series.grid((28, 30, 32)), Structure(LATTICES["triclinic"], ["H"], [[0, 0, 0]]))
    found = critical_points(field, persistence=0)
    assert found.morse_sum == 0
    assert matched(places, kinds, found.frac_coords, found.signatures, 0.003).mean() >= 0.95
    assert matched(found.frac_coords, found.signatures, places, kinds, 0.003).mean() >= 0.95
    nearest = cKDTree(places, boxsize=1.0).query(found.frac_coords)[1]
    assert np.median(np.abs(found.values - values[nearest])) < 1e-4
    assert found.dropped["lost lines"] == 0


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32 - 1))
def test_invariances(seed):
    rng = np.random.default_rng(seed)
    series = FourierSeries.random(rng, 30)
    field = Field(series.grid((20, 20, 20)), Structure(LATTICES["triclinic"], ["H"], [[0, 0, 0]]))
    found = critical_points(field, persistence=0)
    assert found.morse_sum == 0
    assert counts(critical_points(tiled(field), persistence=0)) == tuple(4 * n for n in counts(found))
    roll, order = rng.integers(20, size=3), rng.permutation(3)
    lattice = field.structure.lattice.matrix
    turned = Field(
        np.roll(field.values, roll, (0, 1, 2)).transpose(order), Structure(lattice[order], ["H"], [[0, 0, 0]])
    )
    again = critical_points(turned, persistence=0)
    assert counts(again) == counts(found)
    assert distances(again, ((found.frac_coords + roll / 20)[:, order])).max() < 1e-6
    assert np.sort(again.values) == pytest.approx(np.sort(found.values), abs=1e-12)


def tiled(field: Field) -> Field:
    structure = field.structure.copy()
    structure.make_supercell([2, 1, 2])
    return field.replace(values=np.tile(field.values, (2, 1, 2)), structure=structure)


@pytest.mark.parametrize("basis", [[[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [-1, 0, 1], [0, 0, -1]]])
def test_another_basis_of_the_lattice(basis, rng):
    series, lattice = FourierSeries.random(rng, 30), LATTICES["triclinic"]
    basis = np.array(basis)
    other = FourierSeries(series.waves @ basis.T, series.amplitudes, series.phases)
    one, two = (
        critical_points(Field(s.grid((40, 40, 40)), Structure(m, ["H"], [[0, 0, 0]])), persistence=0.005)
        for s, m in ((series, lattice.matrix), (other, basis @ lattice.matrix))
    )
    assert counts(one) == counts(two)
    assert distances(one, two.frac_coords @ basis).max() < 0.005
    assert np.sort(one.values) == pytest.approx(np.sort(two.values), abs=1e-4)


def test_monotone_maps_keep_every_point(rng):
    series = FourierSeries.random(rng, 30)
    values = 1 / (1 + np.exp(-2 * series.grid((36, 36, 36))))
    field = Field(values, Structure(LATTICES["hexagonal"], ["H"], [[0, 0, 0]]))
    plain, logit = (critical_points(field, space, persistence=0.005) for space in ("value", "logit"))
    squared = critical_points(field.replace(values=values**2), persistence=0)
    assert counts(plain) == counts(logit)
    assert distances(logit, plain.frac_coords).max() < 0.005
    assert np.sort(logit.values) == pytest.approx(np.sort(plain.values), abs=1e-4)
    assert logit.eigenvalues[:3] == pytest.approx(plain.eigenvalues[:3], rel=0.02)
    assert distances(squared, plain.frac_coords).max() < 0.005


def plateau_field(n: int = 32) -> Field:
    """ELF like: flat at 1 inside of a sphere that crosses the faces of the cell, flat at 0 far from it."""
    axes = np.stack(np.meshgrid(*[np.arange(n) / n - np.round(np.arange(n) / n)] * 3, indexing="ij"))
    r = np.sqrt((axes**2).sum(axis=0))
    t = np.clip((r - 0.18) / 0.2, 0, 1)
    return Field(1 - t**3 * (10 - 15 * t + 6 * t * t), Structure(4 * np.eye(3), ["H"], [[0, 0, 0]]))


def of_function(function, shape: tuple[int, int, int], edge: float) -> Field:
    x, y, z = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    return Field(function(x, y, z), Structure(Lattice.cubic(edge), ["H"], [[0, 0, 0]]))


@pytest.mark.parametrize("n", [40, 80])
def test_a_clipped_molecule_is_one_maximum_in_one_minimum(n):
    """A spline overshoots at the edge of the cap, by up to 0.02, where there are no maxima."""

    def clipped(x, y, z):
        squares = ((6 * (x - place)) ** 2 + (6 * (y - 0.5)) ** 2 + (6 * (z - 0.5)) ** 2 for place in (0.44, 0.56))
        return np.minimum(1.0, sum(np.exp(-1.2 * square) for square in squares))

    found = critical_points(of_function(clipped, (n, n, n), 6.0))
    assert counts(found) == (1, 0, 0, 1) and found.values[0] == 1


def test_a_saturated_tube_is_one_plateau_and_no_value_exceeds_the_data():
    """In the middle of a tube, whose ridge is flat, no saddle joins it to its image: the Morse sum says so."""

    def tube(x, y, z):
        waves = 2 + np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y)
        return np.clip(0.2 + 0.24 * waves + 0.02 * np.cos(2 * np.pi * z), 0, 1)

    field = of_function(tube, (24, 24, 24), 4.0)
    found = critical_points(field)
    assert counts(found) == (1, 2, 3, 1) and found.on_plateau[0] and found.values[0] == 1
    assert found.values[1:].max() < 0.75 and "flat cells" in found.morse_reason
    net = networking(field)
    assert net.phi_1d == net.phi_star == 1 and not net.exact
    assert net.phi == pytest.approx(0.7, abs=1e-6)


def test_what_is_degenerate_everywhere_is_said_to_be_left_out():
    found = critical_points(of_function(lambda x, y, z: 0.5 + 0.3 * np.cos(2 * np.pi * x) + 0 * y, (10, 10, 10), 1.3))
    assert len(found) == 0 == found.morse_sum and "degenerate" in found.morse_reason


def test_plateaus_become_one_point_each():
    found = critical_points(plateau_field(), persistence=0.01)
    assert found.dropped["plateau cells"] > 1000
    assert counts(found)[0] == 1
    assert len(found) < 20
    top = found.select(-3)[0]
    assert found.values[top] == pytest.approx(1, abs=0.01)


def test_a_plateau_across_the_faces_is_one_region():
    field = plateau_field()
    flat = plateau_cells(field.values, 2e-5, 1e-4)
    found = plateaus(field.values, flat, 2e-5)
    assert sorted(found.signs.tolist()) == [-1, 1]
    top = int(np.argmax(found.signs))
    corners = np.array([[0.5, 0.5, 0.5], [31.5, 0.5, 31.5], [-0.5, 0.5, 32.5]])
    which, cells = found.at(corners)
    assert (which == top).all()
    # the same sphere around the origin, then around the next lattice point along a and c, then along c
    assert (cells - cells[0]).tolist() == [[0, 0, 0], [1, 0, 1], [0, 0, 1]]


def test_a_constant_field_has_no_points():
    found = critical_points(Field(np.full((6, 5, 4), 0.5), Structure(np.eye(3), ["H"], [[0, 0, 0]])))
    assert (len(found), found.morse_sum) == (0, 0)
    assert found.dropped["plateau cells"] == 120


def test_a_ridge_without_isolated_points_is_reported():
    """cos·cos·cos: the saddles at 0 lie on lines that cross."""
    found = critical_points(
        sample(
            lambda u, v, w: cos(u) * cos(v) * cos(w), (16, 16, 16), np.array([0.01, 0.02, 0.03]), LATTICES["hexagonal"]
        )
    )
    assert counts(found)[0] == counts(found)[3] == 4
    assert len(found) < 100


def test_cores_are_left_out():
    field = read_field(DATA / "hydrides" / "CaH6_Im-3m_eq.npz")
    whole, outside = critical_points(field, exclude_cores=False), critical_points(field)
    assert whole.morse_sum == 0
    assert outside.dropped["core cells"] > 0
    metal = np.array([z == 20 for z in field.structure.atomic_numbers])
    away = field.structure.lattice.get_all_distances(outside.frac_coords, field.structure.frac_coords[metal])
    assert away.min() > core_radius(20)
    assert "core" in (outside.morse_reason or "core")
    assert not (outside.ends[np.abs(outside.signatures) == 1] == -1).any()


def test_real_fields_are_consistent():
    for name in ("crystal-h/cubic_003", "crystal-h/hexagonal_027", "fluid-h/fluid_76.0GPa_D_f02000"):
        found = critical_points(read_field(DATA / f"{name}.npz"), persistence=0)
        assert (found.morse_sum, found.dropped["lost lines"], found.dropped["undecided cells"]) == (0, 0, 0)


def test_spline_derivatives(rng):
    values, points = rng.normal(size=(5, 6, 7)), rng.uniform(-9, 9, (20, 3))
    native = Spline(PeriodicSpline.through(values).coefficients)
    value, gradient, hessian = native.taylor(points)
    assert value == pytest.approx(PeriodicSpline.through(values)(points / values.shape), abs=1e-12)
    for axis, step in enumerate(1e-5 * np.eye(3)):
        up, down = native.taylor(points + step), native.taylor(points - step)
        assert gradient[:, axis] == pytest.approx((up[0] - down[0]) / 2e-5, abs=1e-7)
        assert hessian[:, axis] == pytest.approx((up[1] - down[1]) / 2e-5, abs=1e-6)


def test_table_and_json(tmp_path, rng):
    found = critical_points(sample(gyroid, (20, 20, 20), rng.random(3), LATTICES["hexagonal"]))
    record = json.loads(json.dumps(found.to_dict()))
    assert record["counts"] == {"(3,-3)": 8, "(3,-1)": 12, "(3,+1)": 12, "(3,+3)": 8}
    assert len(record["points"]) == 40
    rows = list(csv.DictReader(found.to_csv(tmp_path / "points.csv").open()))
    assert [row["signature"] for row in rows] == [point["signature"] for point in record["points"]]
    assert float(rows[0]["value"]) == pytest.approx(found.values[0], abs=1e-7)
    assert int(rows[8]["end_1"]) in found.select(-3)
    assert "8 (3,-3)" in repr(found)


def test_bad_input_is_refused(untyped):
    field = Field(np.zeros((6, 6, 6)), Structure(np.eye(3), ["H"], [[0, 0, 0]]))
    with pytest.raises(ElfzooError, match="4 or more grid points"):
        critical_points(field.replace(values=np.zeros((6, 3, 6))))
    with pytest.raises(ElfzooError, match="persistence must be zero or more"):
        critical_points(field, persistence=-1.0)
    with pytest.raises(ElfzooError, match="core_scale must be zero or more"):
        critical_points(field, core_scale=-1.0)
    with pytest.raises(ElfzooError, match="interpolation space"):
        critical_points(field, "log")
    broken = np.zeros((6, 6, 6))
    broken[1, 2, 3] = np.nan
    with pytest.raises(ElfzooError, match=r"\[1, 2, 3\] holds nan"):
        critical_points(field.replace(values=broken))
    with pytest.raises(ElfzooError, match="signatures are"):
        critical_points(field).select(0)


def test_without_the_kernel_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(spline, "_library", lambda: None)
    assert not spline.available()
    with pytest.raises(ElfzooError, match="install a C compiler"):
        critical_points(sample(cosines, (8, 8, 8), np.zeros(3), LATTICES["hexagonal"]))
