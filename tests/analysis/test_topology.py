"""What two fields say against each other: matches against brute force, cases with known answers, and real fields."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import cos
from pymatgen.core import Lattice, Structure

from elfzoo.analysis import (
    CriticalPoints,
    FieldTopology,
    can_search,
    compare,
    compare_topology,
    critical_points,
    match_points,
    percolation,
    topology,
)
from elfzoo.errors import ElfzooError, QuantityError, RecipeError, StructureError
from elfzoo.field import Field, Recipe
from elfzoo.interpolate import resample
from elfzoo.io import read_field

pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")

DATA = Path(__file__).parents[2] / "benchmarks" / "data"
LATTICE = Lattice.from_parameters(1.6, 1.9, 1.5, 78, 97, 109)


def points(frac: np.ndarray, signatures: np.ndarray, values: np.ndarray | None = None) -> CriticalPoints:
    n = len(frac)
    return CriticalPoints(
        LATTICE.matrix,
        frac.reshape(-1, 3),
        np.zeros(n) if values is None else values,
        np.zeros(n),
        np.zeros((n, 3)),
        signatures,
        np.full((n, 2), -1),
        np.zeros((n, 2, 3), np.int64),
        np.zeros(n, bool),
    )


def brute_force(a: CriticalPoints, b: CriticalPoints, reach: float) -> tuple[int, float]:
    """Most pairs of one signature, and the least total distance of so many."""
    distance = LATTICE.get_all_distances(a.frac_coords, b.frac_coords)
    distance[a.signatures[:, None] != b.signatures[None]] = np.inf
    distance[distance > reach] = np.inf
    short = distance if len(a) <= len(b) else distance.T
    best = (0, 0.0)
    for places in itertools.permutations(range(short.shape[1]), short.shape[0]):
        picked = short[np.arange(len(short)), places]
        picked = picked[np.isfinite(picked)]
        best = min(best, (-len(picked), float(picked.sum())))
    return -best[0], best[1]


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6), m=st.integers(1, 6), reach=st.floats(0.1, 0.7))
def test_matches_equal_brute_force(seed, n, m, reach):
    rng = np.random.default_rng(seed)
    a, b = (points(rng.random((k, 3)), rng.choice([-3, -1], k), rng.random(k)) for k in (n, m))
    found = match_points(a, b, reach)["all"]
    count, total = brute_force(a, b, reach)
    assert (found.matched, found.reference, found.prediction) == (count, n, m)
    if count:
        assert found.mean_displacement * count == pytest.approx(total)
    else:
        assert math.isnan(found.mean_displacement)


def test_displacements_across_a_face_and_differences_of_value(rng):
    frac = np.array([[0.99, 0.5, 0.01], [0.3, 0.3, 0.3], [0.6, 0.1, 0.8]])
    kinds = np.array([-3, -1, 3])
    step = np.array([0.05, 0.0, 0.0]) @ np.linalg.inv(LATTICE.matrix)
    moved = (frac + step) % 1
    found = match_points(
        points(frac, kinds, np.array([0.9, 0.5, 0.1])), points(moved, kinds, np.array([0.8, 0.5, 0.1]))
    )
    assert found["all"].matched == 3
    assert found["all"].mean_displacement == pytest.approx(0.05)
    assert found["(3,-3)"].value_mae == pytest.approx(0.1)
    assert found["(3,+1)"].recall != found["(3,+1)"].recall  # nan: there is none


def test_points_of_another_kind_do_not_match():
    place = np.array([[0.2, 0.3, 0.4]])
    found = match_points(points(place, np.array([-1])), points(place, np.array([1])))
    assert (found["(3,-1)"].recall, found["(3,+1)"].precision, found["all"].matched) == (0.0, 0.0, 0)


def cosines(amplitudes=(1.0, 0.7, 0.4), shape=(20, 24, 18), species="H") -> Field:
    axes = (2 * np.pi * np.arange(n) / n for n in shape)
    u, v, w = np.meshgrid(*axes, indexing="ij")
    a, b, c = (x / 4.2 for x in amplitudes)
    return Field(0.5 + a * cos(u) + b * cos(v) + c * cos(w), Structure(LATTICE, [species], [[0, 0, 0]]))


def test_a_field_agrees_with_itself_on_another_grid():
    found = compare_topology(cosines(), cosines(shape=(24, 20, 20)))
    assert all(abs(found.delta[name]) < 1e-6 for name in ("phi_1d", "phi_2d", "phi_3d", "phi_h_3d", "phi_star"))
    assert found.points["all"].matched == 8 and found.points["all"].precision == found.points["all"].recall == 1.0
    assert found.points["all"].largest_displacement < 1e-3
    assert found.jaccard_at_phi == 1.0 and set(found.jaccard) == {1.0}
    assert found.morse_sums == (0, 0)


def test_other_recipes_and_spin_channels_are_not_compared():
    field = cosines().replace(recipe=Recipe("A", "PBE", "x"))
    other = field.replace(recipe=Recipe("B", "LDA", "y"))
    with pytest.raises(RecipeError, match="different recipes"):
        compare_topology(field, other)
    assert compare_topology(field, other, mixed_recipes=True).delta["phi_3d"] == 0
    with pytest.raises(ElfzooError, match="spin channels differ"):
        compare_topology(field, field.replace(spin="up"))


def test_networking_values_differ_by_what_the_amplitudes_say():
    found = compare_topology(cosines(), cosines((1.0, 0.7, 0.6)))
    # a+b-c, a-b+c, -a+b+c, each over 4.2
    expected = {"phi_1d": -0.2 / 4.2, "phi_2d": 0.2 / 4.2, "phi_3d": 0.2 / 4.2}
    assert {name: found.delta[name] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_a_topology_serves_several_comparisons_and_is_searched_once(monkeypatch):
    searched = []

    def noting(name):
        search = getattr(topology, name)
        return lambda field, **given: searched.append((name, id(field))) or search(field, **given)

    for name in ("critical_points", "networking", "hydrogen_pairs"):
        monkeypatch.setattr(topology, name, noting(name))
    reference, others = cosines(), [cosines((1.0, 0.7, c)) for c in (0.5, 0.6)]
    known = FieldTopology(reference)
    found = [compare_topology(known, other).to_dict() for other in others]
    assert len(searched) == len(set(searched)) == 3 * 3
    assert found == [compare_topology(reference, FieldTopology(other)).to_dict() for other in others]


def test_without_hydrogen_there_are_no_links():
    found = compare_topology(cosines(species="Li"), cosines(species="Li"))
    assert (found.jaccard, found.jaccard_at_phi, found.delta["phi_star"]) == (None, None, None)
    assert "Jaccard" not in "\n".join(found.table())


def test_real_fields_thinned_agree_and_noise_is_seen(rng):
    field = read_field(DATA / "crystal-h" / "hexagonal_032.npz")
    thinned = resample(field, tuple(n - 6 for n in field.grid.shape))
    found = compare_topology(field, thinned)
    assert found.points["all"].recall > 0.95 and found.points["all"].precision > 0.95
    assert abs(found.delta["phi_3d"]) < 1e-3
    noisy = field.replace(values=np.clip(field.values + 0.1 * rng.standard_normal(field.values.shape), 0, 1))
    assert compare_topology(field, noisy).points["all"].precision < 0.9


def test_compare_takes_it_in_and_its_json_is_plain():
    found = compare(cosines(), cosines((1.0, 0.7, 0.5)), topology=True)
    assert found.topology is not None and "phi_3d" in "\n".join(found.table())
    assert compare(cosines(), cosines()).topology is None
    record = json.loads(json.dumps(found.to_dict()))
    assert record["topology"]["points"]["all"]["matched"] == 8
    json.dumps(found.topology.to_dict(), allow_nan=False)


def test_refusals():
    other = Field(cosines().values, Structure(LATTICE.matrix * 1.1, ["H"], [[0, 0, 0]]))
    with pytest.raises(StructureError, match="lattice vectors differ"):
        compare_topology(cosines(), other)
    with pytest.raises(ElfzooError, match=r"closer than 0\.005, .* 0\.01: make both with the same"):
        compare_topology(cosines(), FieldTopology(cosines(), persistence=0.01))
    for distance in (0.0, -1.0, math.nan):
        with pytest.raises(ElfzooError, match="positive number of Å"):
            match_points(critical_points(cosines()), critical_points(cosines()), distance)


def wide(species: str = "H", shape: tuple[int, int, int] = (20, 24, 18)) -> Field:
    """The same field in a cube of 4 Å, whose atoms see no images of each other."""
    return Field(cosines(shape=shape).values, Structure(Lattice.cubic(4.0), [species], [[0, 0, 0]]))


def test_hydrogens_too_far_apart_share_no_links():
    """To agree about nothing is no merit: a constant would have it."""
    found = compare_topology(wide(), wide())
    assert found.jaccard_at_phi is None and found.jaccard is None
    assert compare_topology(cosines(), cosines()).jaccard_at_phi == 1


def test_an_element_without_a_core_radius_cannot_be_searched():
    assert can_search(wide()) and not can_search(wide("Th"))
    with pytest.raises(ElfzooError, match=r"no core radius of Th.*exclude_cores=False"):
        critical_points(wide("Th"))
    assert len(critical_points(wide("Th"), exclude_cores=False)) == 8


def test_a_density_has_no_logits():
    density = wide().replace(quantity="density")
    with pytest.raises(QuantityError, match="for logits, the field holds the quantity 'density'"):
        critical_points(density, "logit")
    assert len(critical_points(density)) == 8


def test_a_maximum_inside_of_a_core_explains_a_morse_sum():
    found = critical_points(wide("O", (10, 10, 10)))
    assert found.morse_sum != 0 and "inside of cores" in found.morse_reason
