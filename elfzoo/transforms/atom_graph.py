"""Edges between atoms, and from atoms to probe points: every periodic image, ordered by the atom that sends."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from elfzoo.periodic import probe_edges

__all__ = ["atom_edges", "atom_probe_edges"]


def atom_edges(
    positions: Float[np.ndarray, "atoms 3"], lattice: Float[np.ndarray, "3 3"], r_cut: float
) -> tuple[Int[np.ndarray, "2 edges"], Float[np.ndarray, "edges 3"]]:
    """Ordered pairs of atoms within ``r_cut`` (Å). An atom's own images are its neighbours, the atom itself is not.

    Returns:
        ``(index, shift)``: senders in row 0, ascending, and receivers in row 1; the Cartesian translation (Å) such
        that the vector from receiver to sender is ``positions[sender] + shift - positions[receiver]``.
    """
    sender, receiver, shift = atom_probe_edges(positions, positions, lattice, r_cut)
    index = np.stack([sender, receiver])
    itself = (sender == receiver) & (np.abs(shift).max(axis=1, initial=0.0) < 1e-6)  # the shift is a lattice vector
    return index[:, ~itself], shift[~itself]


def atom_probe_edges(
    points: Float[np.ndarray, "points 3"],
    positions: Float[np.ndarray, "atoms 3"],
    lattice: Float[np.ndarray, "3 3"],
    r_cut: float,
) -> tuple[Int[np.ndarray, " edges"], Int[np.ndarray, " edges"], Float[np.ndarray, "edges 3"]]:
    """:func:`elfzoo.periodic.probe_edges`, atoms in ascending order."""
    atom, probe, shift = probe_edges(points, positions, lattice, r_cut)
    order = np.argsort(atom, kind="stable")
    return atom[order], probe[order], shift[order]
