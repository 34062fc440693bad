"""Edges between atoms, and from atoms to probe points: every periodic image, ordered by the atom that sends."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from elfzoo.periodic import probe_edges

__all__ = ["atom_edges", "atom_probe_edges"]

Reach = float | Float[np.ndarray, " atoms"]  # Å


def atom_edges(
    positions: Float[np.ndarray, "atoms 3"], lattice: Float[np.ndarray, "3 3"], r_cut: Reach
) -> tuple[Int[np.ndarray, "2 edges"], Float[np.ndarray, "edges 3"]]:
    """Ordered pairs of atoms within ``r_cut`` (Å). An atom's own images are its neighbours, the atom itself is not.

    Args:
        positions, lattice: Å.
        r_cut: one for all; or that of each atom, of which a pair has the mean.

    Returns:
        ``(index, shift)``: senders in row 0, ascending, and receivers in row 1; the Cartesian translation (Å) such
        that the vector from receiver to sender is ``positions[sender] + shift - positions[receiver]``.
    """
    sender, receiver, shift = atom_probe_edges(positions, positions, lattice, float(np.max(r_cut, initial=0.0)))
    index = np.stack([sender, receiver])
    itself = (sender == receiver) & (np.abs(shift).max(axis=1, initial=0.0) < 1e-6)  # the shift is a lattice vector
    if np.ndim(r_cut):
        vectors = positions[sender] + shift - positions[receiver]
        itself |= np.linalg.norm(vectors, axis=1) > np.asarray(r_cut)[index].mean(axis=0)
    return index[:, ~itself], shift[~itself]


def atom_probe_edges(
    points: Float[np.ndarray, "points 3"],
    positions: Float[np.ndarray, "atoms 3"],
    lattice: Float[np.ndarray, "3 3"],
    r_cut: Reach,
) -> tuple[Int[np.ndarray, " edges"], Int[np.ndarray, " edges"], Float[np.ndarray, "edges 3"]]:
    """:func:`elfzoo.periodic.probe_edges`, atoms in ascending order; ``r_cut`` is one for all, or that of each atom."""
    atom, probe, shift = probe_edges(points, positions, lattice, float(np.max(r_cut, initial=0.0)))
    order = np.argsort(atom, kind="stable")
    if np.ndim(r_cut):
        near = np.linalg.norm(positions[atom] + shift - points[probe], axis=1) <= np.asarray(r_cut)[atom]
        order = order[near[order]]
    return atom[order], probe[order], shift[order]
