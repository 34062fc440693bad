"""The graph of maxima and saddles: what it says of spanning and meeting, against closed forms, grids and each other."""

import json
from pathlib import Path

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import cos
from pymatgen.core import Lattice, Structure

from elfzoo.analysis import molecularity, networking, percolation
from elfzoo.analysis.hydrogen_network import periodic_components
from elfzoo.analysis.join_graph import join_graph
from elfzoo.core_radii import core_radius
from elfzoo.field import Field
from elfzoo.io import read_field

pytestmark = pytest.mark.skipif(not percolation.available(), reason="the compiled kernel was not built")

DATA = Path(__file__).parents[2] / "benchmarks" / "data"
TRICLINIC = Lattice.from_parameters(2.6, 2.9, 2.5, 78, 97, 109)


def waves(shape: tuple[int, int, int], shift=(0.0, 0.0, 0.0)) -> tuple[np.ndarray, ...]:
    return np.meshgrid(*(2 * np.pi * (np.arange(n) / n + s) for n, s in zip(shape, shift, strict=True)), indexing="ij")


def cosines(shape=(20, 24, 18), lattice: Lattice = TRICLINIC, species=("H",), frac=((0, 0, 0),)) -> Field:
    u, v, w = waves(shape)
    return Field(cos(u) + 0.7 * cos(v) + 0.4 * cos(w), Structure(lattice, species, frac))


def random_field(seed: int, atoms: int = 3) -> Field:
    rng = np.random.default_rng(seed)
    u, v, w = waves((18, 20, 16), rng.random(3))
    values = sum(
        rng.normal() * cos(a * u + b * v + c * w + rng.uniform(0, 2 * np.pi))
        for a in (-1, 0, 1)
        for b in (-1, 0, 1)
        for c in (-1, 0, 1)
    )
    frac = rng.permutation(27)[:atoms, None] // np.array([9, 3, 1]) % 3 / 3
    return Field(values / 4, Structure(TRICLINIC, ["H"] * atoms, frac))


def test_saddles_of_the_cosines_complete_their_directions():
    graph = join_graph(cosines(), np.zeros((1, 3)))
    found = graph.spanning()
    assert graph.sure_above == -np.inf
    assert graph.points.values[list(found.best)] == pytest.approx([1.3, 0.7, 0.1], abs=2e-3)
    assert found.all == found.best
    assert (
        graph.values == pytest.approx([2.1], abs=1e-3) and graph.points.values[graph.tops[0]] >= graph.values[0] - 1e-12
    )


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_graph_and_grid_agree(seed):
    field = random_field(seed)
    found = networking(field, 0.04)
    graph = found.graph
    assert found.exact
    grid = percolation.percolation_thresholds(np.asarray(_finer(field, 0.04)))
    assert graph.points.values[list(graph.spanning().best)] == pytest.approx(grid.best, abs=0.03)
    assert found.phi_star == pytest.approx(molecularity(field, 0.04), abs=2e-3)


def _finer(field: Field, spacing: float) -> np.ndarray:
    from elfzoo.interpolate import spline_resample

    return spline_resample(field.values, field.grid.finer_shape(spacing))


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_graph_library_finds_the_same_regions(seed):
    """Just above φ no component of the NetworkX graph winds in three directions, at φ one does."""
    found = networking(random_field(seed), 0.08)
    graph = found.graph
    last = graph.points.values[graph.spanning().best[2]]
    assert rank(graph.to_networkx(last)) == 3
    assert rank(graph.to_networkx(last + 1e-9)) < 3


def rank(graph: networkx.MultiGraph) -> int:
    """Largest number of independent directions in which a component winds."""
    nodes = {node: i for i, node in enumerate(graph.nodes)}
    edges = [(nodes[min(a, b)], nodes[max(a, b)], *data["image"]) for a, b, data in graph.edges(data=True)]
    table = np.array(edges, dtype=int).reshape(-1, 5)
    part, winding = periodic_components(len(nodes), table[:, 0], table[:, 1], table[:, 2:])
    each = (np.unique(winding[part[table[:, 0]] == p], axis=0) for p in range(part.max() + 1))
    return max((int(np.linalg.matrix_rank(w)) for w in each if len(w)), default=0)


def test_nuclei_below_the_saddle_decide():
    """Two nuclei on the slopes of one maximum meet at the lower one's own value."""
    field = cosines(frac=((0.1, 0, 0), (0.9, 0.15, 0)), species=("H", "H"))
    values = [cos(0.2 * np.pi) + 1.1, cos(0.2 * np.pi) + 0.7 * cos(0.3 * np.pi) + 0.4]
    assert networking(field).phi_star == pytest.approx(min(values), abs=1e-4)


def test_one_nucleus_meets_its_own_image():
    assert networking(cosines()).phi_star == pytest.approx(1.3, abs=1e-5)


def test_without_hydrogen_there_is_no_molecularity():
    assert networking(cosines(species=("Li",))).phi_star is None


@pytest.mark.parametrize(
    "name",
    [
        "fluid-h/fluid_76.0GPa_D_f02700",
        "crystal-h/hexagonal_034",
        "hydrides/LaH10_Fm-3m_eq",
        "metals/LiMg_B2_V1.0",
    ],
)
def test_real_fields(name):
    field = read_field(DATA / f"{name}.npz")
    found = networking(field)
    assert found.exact and found.at_saddle
    assert found.phi_error < 5e-4
    if 1 in field.structure.atomic_numbers:
        assert found.phi_star == pytest.approx(molecularity(field), abs=1e-5)


def test_what_is_lost_below_the_values_does_not_matter_and_above_it_does():
    """Flat cells around a maximum's foot lose lines; the graph says above which value it is sure."""
    u, v, w = waves((24, 24, 24))
    degenerate = Field(cos(u) * cos(v) * cos(w), Structure(2 * np.eye(3), ["H"], [[0, 0, 0]]))
    found = networking(degenerate)
    assert not found.exact and abs(found.phi) < 0.02
    assert found.graph.sure_above > -0.02


# ---- cores ----


def test_a_core_on_the_way_closes_it():
    """The saddles at (0, 0, 1/2), (0, 1/2, 0), (1/2, 0, 0) join one direction each; a metal sits on the last."""
    lattice = Lattice.orthorhombic(6.0, 6.0, 6.0)
    free = networking(cosines((30, 30, 30), lattice, ("H",), ((0, 0, 0),)))
    assert (free.phi_h_1d, free.phi_h_2d, free.phi_h) == (free.phi_1d, free.phi_2d, free.phi)
    blocked = networking(cosines((30, 30, 30), lattice, ("Li",), ((0.5, 0, 0),)))
    assert (blocked.phi_1d, blocked.phi_2d, blocked.phi) == pytest.approx((1.3, 0.7, 0.1), abs=1e-4)
    assert (blocked.phi_h_1d, blocked.phi_h_2d) == pytest.approx((1.3, 0.7), abs=1e-4)
    # around the core, on the plane u = 1/2: the path leaves the axis as far as the radius, along the weakest cosine
    r = 2 * np.pi * core_radius(3) / 6.0
    assert blocked.phi_h == pytest.approx(-1 + 0.7 + 0.4 * cos(r), abs=0.02)


def test_cores_that_leave_no_way_have_no_value():
    field = cosines((12, 12, 12), Lattice.cubic(1.2), ("Li",), ((0, 0, 0),))
    assert networking(field).phi_h is None
    assert json.loads(json.dumps(networking(field).to_dict()))["phi_h"] is None


def test_elements_without_a_core_radius_have_no_value_without_cores():
    found = networking(cosines(species=("Tc",)))
    assert found.phi_h is None and found.phi == pytest.approx(0.1, abs=1e-4)


# ---- result ----


def test_tc_takes_what_was_found():
    field = read_field(DATA / "hydrides" / "H3S_Im-3m_eq.npz")
    found = networking(field)
    assert found.tc(h_dos=0.4).raw == pytest.approx(750 * found.phi * 0.75 * 0.4 ** (1 / 3) - 85)
    assert found.tc().is_upper_bound


def test_table_of_the_result_has_no_structure():
    found = networking(cosines())
    assert not {"graph", "structure"} & set(found.to_dict())
    assert repr(found).startswith("Networking(phi=0.1000 ± ")
