"""Components of periodic graphs and their windings against a search in many cells, and labels across faces."""

import itertools

import networkx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from elfzoo.analysis.periodic_graph import component_cells, face_edges, periodic_components


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_components_and_windings_equal_a_search_in_many_cells(seed):
    """In an open block of cells: which atoms are connected, and to which of its own images an atom is."""
    rng = np.random.default_rng(seed)
    nodes, edges = int(rng.integers(1, 4)), int(rng.integers(0, 6))
    first, second = rng.integers(nodes, size=(2, edges))
    image = rng.integers(-1, 2, size=(edges, 3))
    part, winding = periodic_components(nodes, first, second, image)
    graph, half = networkx.Graph(), 4
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from(zip(first.tolist(), second.tolist(), strict=True))
    expected = list(networkx.connected_components(graph))
    assert {frozenset(np.flatnonzero(part == p).tolist()) for p in range(part.max() + 1)} == {
        frozenset(c) for c in expected
    }
    cells = [c for c in itertools.product(range(-half, half + 1), repeat=3)]
    block = networkx.Graph()
    for i, j, m in zip(first.tolist(), second.tolist(), image.tolist(), strict=True):
        block.add_edges_from(((i, c), (j, tuple(np.add(c, m).tolist()))) for c in cells)
    for p in range(part.max() + 1):
        atom, home = int(np.flatnonzero(part == p)[0]), (0, 0, 0)
        reached = networkx.node_connected_component(block, (atom, home)) if (atom, home) in block else set()
        translations = np.array([cell for node, cell in reached if node == atom] or [home])
        of_part = winding[part[first] == p]
        rank = np.linalg.matrix_rank(of_part) if len(of_part) else 0
        assert rank == np.linalg.matrix_rank(translations)


def test_cells_lead_along_a_chain_from_its_first_node():
    """1 - 3 - 0 through the faces, each step to another cell; 2 is alone."""
    first, second = np.array([3, 3]), np.array([1, 0])
    image = np.array([[0, 1, 0], [-1, 0, 2]])
    component, cell = component_cells(4, first, second, image)
    assert component.tolist() == [0, 0, 1, 0]
    assert cell.tolist() == [[0, 0, 0], [1, 1, -2], [0, 0, 0], [1, 0, -2]]


def test_labels_that_touch_across_a_face():
    labels = np.zeros((3, 4, 5), int)
    labels[2, 1, 1], labels[0, 1, 1] = 1, 2  # the first on the last plane along a, the second on the first
    labels[1, 3, 2:4], labels[1, 0, 2:4] = 3, 3  # twice the same pair along b
    labels[1, 2, 4] = 4  # nothing opposite
    first, second, image = face_edges(labels)
    assert (first.tolist(), second.tolist(), image.tolist()) == ([1, 3], [2, 3], [[1, 0, 0], [0, 1, 0]])
