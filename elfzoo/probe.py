"""ProbeData: the one batch type. Every tensor that a point model sees is named, shaped and given its unit here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor
from torch_geometric.data import Data

from elfzoo.periodic import wrap

__all__ = ["ProbeData", "add_probe_edges", "probe_data"]

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # atom, probe point, Cartesian translation of the atom's image


class ProbeData(Data):
    """Probe points in a structure, in PyG's conventions; ``Batch.from_data_list`` joins several structures.

    ================== ================ =====================================================================
    tensor             shape            meaning
    ================== ================ =====================================================================
    pos                (atoms, 3)       Cartesian positions of the atoms, Å
    z                  (atoms,)         atomic numbers
    cell               (graphs, 3, 3)   lattice vectors as rows, Å
    probe_pos          (points, 3)      Cartesian positions of the probe points, Å
    probe_batch        (points,)        which structure of the batch each point belongs to
    y                  (points,)        reference values, where there are any
    edge_index         (2, atom edges)  row 0 sending atoms, row 1 receiving atoms; added by a model's transform
    edge_shift         (atom edges, 3)  Å; the edge's vector is pos[sender] + shift - pos[receiver]
    probe_edge_index   (2, edges)       row 0 atoms, row 1 probe points; added by a model's transform
    probe_edge_shift   (edges, 3)       Å; the edge's vector is pos[atom] + shift - probe_pos[point]
    ================== ================ =====================================================================

    Edges are in the order in which ``transform`` adds them, those of one receiving atom or probe point together: models
    sum over such runs, so that a shuffled list of edges gives something else.
    """

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key == "probe_batch":
            return 1
        if key == "edge_index":
            return self.pos.shape[0]
        if key == "probe_edge_index":
            return torch.tensor([[self.pos.shape[0]], [self.probe_pos.shape[0]]])
        return super().__inc__(key, value, *args, **kwargs)

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key in ("edge_index", "probe_edge_index"):
            return 1
        if key in ("cell", "probe_pos", "probe_batch", "edge_shift", "probe_edge_shift", "y"):
            return 0
        return super().__cat_dim__(key, value, *args, **kwargs)

    def edge_vectors(self) -> Float[Tensor, "edges 3"]:
        """Vectors from probe points to atoms, Å; differentiable in both positions."""
        atom, probe = self.probe_edge_index
        return self.pos[atom] + self.probe_edge_shift - self.probe_pos[probe]

    def atom_edge_vectors(self) -> Float[Tensor, "edges 3"]:
        """Vectors from receiving to sending atoms, Å; differentiable in the positions."""
        sender, receiver = self.edge_index
        return self.pos[sender] + self.edge_shift - self.pos[receiver]


def probe_data(
    structure: Structure,
    points: Float[np.ndarray, "points 3"],
    y: Float[np.ndarray, " points"] | None = None,
    dtype: torch.dtype = torch.float32,
) -> ProbeData:
    """One structure with its probe points (Cartesian, Å) and, for training, the reference values there.

    Atoms are moved into the cell: a long run's may have drifted far out, where single precision is coarse.
    """
    data = ProbeData(
        pos=torch.as_tensor(wrap(structure.cart_coords, structure.lattice.matrix), dtype=dtype),
        z=torch.as_tensor(structure.atomic_numbers, dtype=torch.long),
        cell=torch.as_tensor(structure.lattice.matrix.copy(), dtype=dtype)[None],
        probe_pos=torch.as_tensor(np.ascontiguousarray(points), dtype=dtype),
        probe_batch=torch.zeros(len(points), dtype=torch.long),
    )
    if y is not None:
        data.y = torch.as_tensor(y, dtype=dtype)
    return data


def add_probe_edges(data: ProbeData, find: Callable[[np.ndarray, np.ndarray, np.ndarray], Pairs]) -> ProbeData:
    """Add the pairs of an atom and a probe point that ``find(points, positions, lattice)`` gives, in double precision.

    ``find`` answers as :func:`elfzoo.periodic.probe_edges` does.
    """
    points, positions, lattice = (a.double().numpy() for a in (data.probe_pos, data.pos, data.cell[0]))
    atom, probe, shift = find(points, positions, lattice)
    data.probe_edge_index = torch.from_numpy(np.stack([atom, probe]).astype(np.int64, copy=False))
    data.probe_edge_shift = torch.as_tensor(shift, dtype=data.pos.dtype)
    return data
