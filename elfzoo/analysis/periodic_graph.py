"""Periodic graphs: which nodes of a cell are one component in the crystal, and how far each component reaches."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

__all__ = ["component_cells", "face_edges", "periodic_components", "winding_rank"]


def component_cells(
    nodes: int, first: Int[np.ndarray, " edges"], second: Int[np.ndarray, " edges"], image: Int[np.ndarray, "edges 3"]
) -> tuple[Int[np.ndarray, " nodes"], Int[np.ndarray, "nodes 3"]]:
    """Connected components of a periodic graph, and where a spanning tree puts their nodes.

    Args:
        nodes: number of nodes in a cell.
        first, second: nodes that an edge joins.
        image: cell of ``second`` relative to that of ``first``.

    Returns:
        ``(component, cell)``: the component of each node, numbered by first node; and the cell in which the tree
        reaches each node from the first one of its component in cell 0.
    """
    _, component = connected_components(
        csr_array((np.ones(len(first)), (first, second)), (nodes, nodes)), directed=False
    )
    entries = np.unique(component, return_index=True)[1]
    root = np.full(len(entries), nodes)  # one more node, joined to one of each component
    start, end = np.concatenate([first, second, root]), np.concatenate([second, first, entries])
    step = np.concatenate([image, -image, np.zeros((len(entries), 3), dtype=int)])
    graph = csr_array((np.ones(len(start)), (start, end)), (nodes + 1, nodes + 1))
    parent = breadth_first_order(graph, nodes)[1]
    parent[nodes] = nodes
    cell, of_tree = np.zeros((nodes + 1, 3), dtype=int), parent[end] == start
    cell[end[of_tree]] = step[of_tree]
    while (parent != nodes).any():  # from relative to the parent, to the grandparent, ..., to the root
        cell, parent = cell + cell[parent], parent[parent]
    return component, cell[:nodes]


def periodic_components(
    nodes: int, first: Int[np.ndarray, " edges"], second: Int[np.ndarray, " edges"], image: Int[np.ndarray, "edges 3"]
) -> tuple[Int[np.ndarray, " nodes"], Int[np.ndarray, "edges 3"]]:
    """Connected components of a periodic graph, and the lattice vector by which each edge winds around the cell.

    Args:
        nodes: number of nodes in a cell.
        first, second: nodes that an edge joins.
        image: cell of ``second`` relative to that of ``first``.

    Returns:
        ``(component, winding)``: the component of each node, numbered by first node; and of each edge the lattice
        vector that leads back to the same node along it and the edges of a spanning tree. It is zero for the tree's
        own edges; those of a component span its translations.
    """
    component, cell = component_cells(nodes, first, second, image)
    return component, cell[first] + image - cell[second]


def winding_rank(winding: Int[np.ndarray, "edges 3"]) -> int:
    """Number of independent directions that winding vectors span, 0 to 3."""
    return int(np.linalg.matrix_rank(np.unique(winding, axis=0))) if len(winding) else 0


def face_edges(
    labels: Int[np.ndarray, "nx ny nz"],
) -> tuple[Int[np.ndarray, " edges"], Int[np.ndarray, " edges"], Int[np.ndarray, "edges 3"]]:
    """Edges between labels on the last plane along an axis and those opposite on the first one, each once.

    Args:
        labels: of the points of one cell, 0 for what is no node.

    Returns:
        ``(first, second, image)``: the label on the last plane, that on the first plane, and the next cell along the
        axis, in which the latter lies.
    """
    rows = []
    for axis, image in enumerate(np.eye(3, dtype=int)):
        pairs = np.stack([labels.take(-1, axis).ravel(), labels.take(0, axis).ravel()], axis=1)
        pairs = np.unique(pairs[(pairs > 0).all(axis=1)], axis=0)
        rows.append(np.column_stack([pairs, np.tile(image, (len(pairs), 1))]))
    edges = np.concatenate(rows)
    return edges[:, 0], edges[:, 1], edges[:, 2:]
