"""Voxel percolation against brute force over every isovalue, exact cases, and the properties that follow.

Also against GUDHI's persistent homology, which knows nothing of windings: the loops of a superlevel set X span as many
directions together as the image of H1(X) in H1(torus) has dimensions, and a class of H1 that never dies is born where
that image grows. So the three births are the thresholds of all components together. A complex with the field on its
vertices has the edges along the axes, 6 neighbours; one with it on closed cubes joins cubes that share a corner, 26.
"""

import importlib.util
import itertools
from collections.abc import Iterator
from fractions import Fraction

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elfzoo.analysis import percolation
from elfzoo.analysis.percolation import Thresholds, percolation_thresholds
from elfzoo.errors import ElfzooError

pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")

CONNECTIVITIES = (6, 14, 26)
shapes = st.tuples(*[st.integers(1, 4)] * 3)
seeds = st.integers(0, 2**32 - 1)
connectivities = st.sampled_from(CONNECTIVITIES)
needs_gudhi = pytest.mark.skipif(
    importlib.util.find_spec("gudhi") is None, reason="GUDHI is not installed: pip install gudhi"
)
# over a field of p elements, windings whose determinants are multiples of p count as dependent: for p = 997 that takes
# far longer loops than these grids have room for (and a larger p takes GUDHI seconds to set up)
PRIME = 997


@pytest.fixture
def untyped() -> Iterator[None]:
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def offsets(connectivity: int) -> list[tuple[int, ...]]:
    """Neighbours, written down from the definition."""
    faces = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    half = {6: faces, 14: [*faces, (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1)]}.get(connectivity)
    if half is None:
        return [d for d in itertools.product((-1, 0, 1), repeat=3) if any(d)]
    return [tuple(sign * x for x in d) for d in half for sign in (1, -1)]


def exact_rank(vectors: set[tuple[int, ...]]) -> int:
    rows, rank = [[Fraction(x) for x in vector] for vector in vectors], 0
    for column in range(3):
        pivot = next((row for row in rows[rank:] if row[column]), None)
        if pivot is not None:
            rows.remove(pivot)
            rows.insert(rank, pivot)
            for row in rows[rank + 1 :]:
                factor = row[column] / pivot[column]
                row[:] = [x - factor * y for x, y in zip(row, pivot, strict=True)]
            rank += 1
    return rank


def winding_vectors(region: np.ndarray, start: tuple[int, ...], steps: list[tuple[int, ...]]):
    """Walk a component through all its cells: what it covers, and the cells in which it meets itself again."""
    cell_of, queue, windings = {start: (0, 0, 0)}, [start], set()
    for point in queue:
        for step in steps:
            target = [p + d for p, d in zip(point, step, strict=True)]
            there = tuple(t % n for t, n in zip(target, region.shape, strict=True))
            if region[there]:
                moved = zip(cell_of[point], target, region.shape, strict=True)
                cell = tuple(c + t // n for c, t, n in moved)
                if there not in cell_of:
                    cell_of[there] = cell
                    queue.append(there)
                windings.add(tuple(a - b for a, b in zip(cell, cell_of[there], strict=True)))
    return set(cell_of), windings


def brute_force(values: np.ndarray, connectivity: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    best, every, steps = [-np.inf] * 3, [-np.inf] * 3, offsets(connectivity)
    for threshold in np.unique(values)[::-1]:
        region, pooled = values >= threshold, set()
        left, ranks = {tuple(p) for p in np.argwhere(region).tolist()}, [0]
        while left:
            covered, windings = winding_vectors(region, next(iter(left)), steps)
            left -= covered
            ranks.append(exact_rank(windings))
            pooled |= windings
        for results, rank in ((best, max(ranks)), (every, exact_rank(pooled))):
            results[:rank] = [max(old, threshold) for old in results[:rank]]
    return tuple(best), tuple(every)


def cosines(shape: tuple[int, int, int], *amplitudes: float) -> np.ndarray:
    axes = [a * np.cos(2 * np.pi * np.arange(n) / n) for a, n in zip(amplitudes, shape, strict=True)]
    return axes[0][:, None, None] + axes[1][:, None] + axes[2]


@given(shape=shapes, seed=seeds, connectivity=connectivities, levels=st.sampled_from([3, 1000]))
def test_equals_brute_force(shape, seed, connectivity, levels):
    values = np.random.default_rng(seed).integers(0, levels, shape).astype(np.float32)
    found = percolation_thresholds(values, connectivity)
    assert (found.best, found.all) == brute_force(values, connectivity)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 2), (2, 1, 6), (7, 1, 1), (2, 2, 2), (4, 3, 5)])
@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_equals_brute_force_on_odd_shapes(shape, connectivity, rng):
    for _ in range(2):
        values = rng.normal(size=shape)
        found = percolation_thresholds(values, connectivity)
        assert (found.best, found.all) == brute_force(values, connectivity)


def test_one_point_spans_everything():
    assert percolation_thresholds(np.full((1, 1, 1), -0.25)) == Thresholds(
        (-0.25,) * 3, (-0.25,) * 3, (0, 0, 0), (0, 0, 0)
    )


@pytest.mark.parametrize("permutation", list(itertools.permutations((1.0, 0.7, 0.4))))
@pytest.mark.parametrize("connectivity", [6, 14])
def test_separable_cosines(permutation, connectivity):
    values = cosines((8, 12, 16), *permutation)
    assert percolation_thresholds(values, connectivity).best == pytest.approx((1.3, 0.7, 0.1), abs=1e-12)


def test_disjoint_rods_span_more_together_than_each():
    values = np.zeros((8, 8, 8), np.float32)
    values[:, 1, 2], values[4, :, 5], values[6, 4, :] = 0.9, 0.8, 0.7
    values[:, 7, 1] = 0.85  # another along x adds nothing
    found = percolation_thresholds(values)
    assert found.best == (np.float32(0.9), 0.0, 0.0)
    assert found.all == tuple(np.float32([0.9, 0.8, 0.7]).tolist())


def test_one_chain_along_the_body_diagonal_spans_one_direction():
    values = np.zeros((5, 5, 5), np.float32)
    values[range(5), range(5), range(5)] = 1
    assert percolation_thresholds(values, 14).best == (1.0, 0.0, 0.0)
    assert percolation_thresholds(values, 6).best == (0.0, 0.0, 0.0)
    assert percolation_thresholds(values[::-1], 14).best == (0.0, 0.0, 0.0)  # not an edge of the triangulation
    assert percolation_thresholds(values[::-1], 26).best == (1.0, 0.0, 0.0)


def test_helix_winds_in_its_own_direction_only():
    """It passes twelve cells along x for each period of z, which is still one direction."""
    n = 12
    values, t = np.zeros((3, 3, 3 * n), np.float32), np.arange(3 * n)
    values[t % 3, 0, t] = 1
    assert percolation_thresholds(values, 14).best == (1.0, 0.0, 0.0)
    assert percolation_thresholds(np.roll(values, 5, axis=2), 14).best == (1.0, 0.0, 0.0)


@given(shape=shapes, seed=seeds, connectivity=connectivities)
def test_thresholds_are_ordered_and_sit_on_their_points(shape, seed, connectivity):
    values = np.random.default_rng(seed).normal(size=shape)
    found = percolation_thresholds(values, connectivity)
    assert values.max() >= found.best[0] >= found.best[1] >= found.best[2] >= values.min()
    assert found.all[0] == found.best[0]
    assert all(every >= best for every, best in zip(found.all, found.best, strict=True))
    assert tuple(values.ravel()[list(found.best_points)]) == found.best
    assert tuple(values.ravel()[list(found.all_points)]) == found.all


@given(shape=st.tuples(*[st.integers(1, 8)] * 3), seed=seeds, connectivity=connectivities)
def test_rolls_axis_permutations_inversion_and_supercells_change_nothing(shape, seed, connectivity):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape)
    found = percolation_thresholds(values, connectivity)
    changed = [
        np.roll(values, rng.integers(-9, 9, 3), axis=(0, 1, 2)),
        values.transpose(rng.permutation(3)),
        values[::-1, ::-1, ::-1],
    ]
    for other in changed:
        again = percolation_thresholds(other, connectivity)
        assert (again.best, again.all) == (found.best, found.all)
    tiled = percolation_thresholds(np.tile(values, rng.integers(1, 4, 3)), connectivity)
    assert (tiled.best, tiled.all) == (found.best, found.all)


@given(seed=seeds)
def test_another_basis_changes_nothing_where_it_keeps_the_neighbours(seed):
    """a' = −a, b' = a + b, c' = c maps the two in-plane edges and their diagonal onto each other, for one z layer."""
    values = np.random.default_rng(seed).normal(size=(6, 6, 1))
    i, j = np.meshgrid(np.arange(6), np.arange(6), indexing="ij")
    changed = values[(j - i) % 6, j]
    assert percolation_thresholds(changed).best == percolation_thresholds(values).best


@given(shape=st.tuples(*[st.integers(1, 9)] * 3), seed=seeds, connectivity=connectivities)
def test_monotone_maps_map_thresholds_exactly(shape, seed, connectivity):
    values = np.random.default_rng(seed).random(shape)
    found, mapped = percolation_thresholds(values, connectivity), percolation_thresholds(values**3 - 2, connectivity)
    assert mapped.best == tuple(x**3 - 2 for x in found.best)
    assert mapped.all == tuple(x**3 - 2 for x in found.all)


@given(shape=st.tuples(*[st.integers(1, 9)] * 3), seed=seeds, connectivity=connectivities)
def test_thresholds_move_by_no_more_than_the_field(shape, seed, connectivity):
    rng = np.random.default_rng(seed)
    values, other = rng.integers(0, 2**20, (2, *shape)) / 2**20  # differences of these are exact
    a, b = percolation_thresholds(values, connectivity), percolation_thresholds(other, connectivity)
    largest = np.abs(values - other).max()
    assert np.abs(np.subtract(a.best, b.best)).max() <= largest
    assert np.abs(np.subtract(a.all, b.all)).max() <= largest


@given(shape=st.tuples(*[st.integers(1, 9)] * 3), seed=seeds)
def test_more_neighbours_never_lower_a_threshold(shape, seed):
    values = np.random.default_rng(seed).random(shape)
    faces, edges, all_of_them = (percolation_thresholds(values, c) for c in CONNECTIVITIES)
    assert (np.array(faces.best) <= edges.best).all() and (np.array(edges.best) <= all_of_them.best).all()


def test_both_precisions_and_any_memory_layout(rng):
    single = rng.normal(size=(9, 10, 11)).astype(np.float32)
    found = percolation_thresholds(single)
    for same in (single.astype(np.float64), np.asfortranarray(single), np.repeat(single, 2, axis=2)[:, :, ::2]):
        assert percolation_thresholds(same) == found
    tiny = 1 + 1e-12 * rng.random((4, 4, 4))  # equal in single precision
    assert percolation_thresholds(tiny).best == brute_force(tiny, 14)[0]


def test_signs_zeros_and_subnormal_numbers_are_ordered():
    values = np.array([1e-310, -1e-310, 0.0, -0.0, -5.0, 7.0, -1e300, 1e300]).reshape(2, 2, 2)
    assert (percolation_thresholds(values, 6).best, percolation_thresholds(values, 6).all) == brute_force(values, 6)


def test_bad_input_is_refused(untyped, rng):
    values = rng.random((3, 4, 5))
    with pytest.raises(ElfzooError, match="three-dimensional"):
        percolation_thresholds(values[0])
    with pytest.raises(ElfzooError, match="three-dimensional"):
        percolation_thresholds(np.zeros((0, 2, 2)))
    with pytest.raises(ElfzooError, match="connectivity=18"):
        percolation_thresholds(values, 18)
    values[1, 2, 3] = np.nan
    with pytest.raises(ElfzooError, match=r"\[1, 2, 3\] holds nan"):
        percolation_thresholds(values)


def test_without_the_kernel_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(percolation, "_library", lambda: None)
    with pytest.raises(ElfzooError, match="install a C compiler"):
        percolation_thresholds(np.zeros((2, 2, 2)))


def undying_births(values: np.ndarray, connectivity: int, dimension: int = 1, prime: int = PRIME) -> tuple[float, ...]:
    """Highest isovalues at which one, two, three classes of the torus are in the superlevel sets, by GUDHI."""
    from gudhi import PeriodicCubicalComplex

    cells = {6: "vertices", 26: "top_dimensional_cells"}[connectivity]
    cubes = PeriodicCubicalComplex(**{cells: -values}, periodic_dimensions=[True] * 3)
    cubes.compute_persistence(homology_coeff_field=prime)
    born, dead = cubes.persistence_intervals_in_dimension(dimension).T
    return tuple((-np.sort(born[np.isinf(dead)])).tolist())


@needs_gudhi
@pytest.mark.parametrize("connectivity", [6, 26])
@pytest.mark.parametrize("shape", [(3, 3, 3), (3, 7, 4), (5, 5, 5), (9, 4, 6), (8, 11, 13), (16, 16, 16)])
def test_all_thresholds_are_births_of_undying_loops(shape, connectivity, rng):
    rough, (a, b, c) = rng.normal(size=shape), (n // 2 for n in shape)
    smooth = sum(np.roll(rough, shift, axis) for axis in range(3) for shift in (-1, 1))
    rods = rough.copy()
    rods[:, 0, 0], rods[0, :, c], rods[a, b, :] = rods[:, 0, 0] + 9, rods[0, :, c] + 8, rods[a, b, :] + 7
    for values in (rough, smooth, rods):
        found = percolation_thresholds(values, connectivity)
        assert found.all == undying_births(values, connectivity)
    assert found.all != found.best or min(shape) == 3  # the rods are apart


@needs_gudhi
@settings(max_examples=15)
@given(shape=st.tuples(*[st.integers(3, 6)] * 3), seed=seeds, levels=st.sampled_from([2, 5, 1000]))
def test_undying_loops_and_walls_of_small_grids(shape, seed, levels):
    """A wall (class of H2) is born where the rest, with the other neighbours, loses a direction to go through it.

    Axes of one or two points, whose cells meet themselves or each other twice, are left to the brute force above:
    GUDHI's documentation promises nothing for them.
    """
    values = np.random.default_rng(seed).integers(0, levels, shape).astype(np.float64)
    for connectivity, other in ((6, 26), (26, 6)):
        found, rest = percolation_thresholds(values, connectivity), percolation_thresholds(-values, other)
        assert found.all == undying_births(values, connectivity)
        assert tuple(-x for x in reversed(rest.all)) == undying_births(values, connectivity, dimension=2)


@needs_gudhi
@pytest.mark.parametrize("connectivity", [6, 26])
def test_directions_that_are_one_modulo_two(connectivity):
    """A rod along x and, apart from it, a staircase once along x and twice along y: the same class of H1 over Z2."""
    values, x = np.zeros((8, 4, 4)), np.arange(8)
    values[:, 0, 0] = 1
    values[x, x % 4, 2] = values[x, (x - 1) % 4, 2] = 1
    found = percolation_thresholds(values, connectivity)
    assert (found.best, found.all) == ((1.0, 0.0, 0.0), (1.0, 1.0, 0.0))
    assert undying_births(values, connectivity) == found.all
    assert undying_births(values, connectivity, prime=2) == (1.0, 0.0, 0.0)
