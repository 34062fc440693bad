"""Messages from atoms, to each other and to probe points, as equivariant tensor products (e3nn).

A message is the tensor product of the sender's state with radial functions times harmonics of the edge, each path with
weights of its own (Thomas et al. 2018, arXiv:1802.08219; Batzner et al. 2022, doi:10.1038/s41467-022-29939-5). It is
linear in the functions of the edge. So the product is evaluated once per sender, where it gives a matrix, and an edge
costs one product of its functions with that matrix. Atoms are few and edges many: about fifty per probe point.

States are equivariant features such as e3nn's ``32x0e + 16x1o + 8x2e``. Within a kind the components lie apart and the
copies together, (component, copy) in C order, the transpose of e3nn's own order: long rows of copies are what matrix
products are fast on. cuEquivariance calls it ``ir_mul``.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from elfzoo.transforms.power_spectrum import PowerSpectrumConfig

__all__ = ["ProductMatrices", "basis_irreps", "collect", "edge_basis"]


def basis_irreps(expansion: PowerSpectrumConfig) -> o3.Irreps:
    """How the functions of an edge transform: ``n_radial`` copies of each degree, harmonics of a vector."""
    return o3.Irreps([(expansion.n_radial, (degree, (-1) ** degree)) for degree in range(expansion.l_max + 1)])


def edge_basis(
    radial: Float[Tensor, "edges n"], angular: Float[Tensor, "edges lm"]
) -> Float[Tensor, "edges functions"]:
    """Each radial function times each harmonic, in the order of :func:`basis_irreps`.

    Args:
        radial: functions of the edge's length.
        angular: real harmonics of all degrees, orthonormal on the sphere; scaled here to e3nn's "component"
            normalisation, which its products expect.

    Returns:
        (component, n) in C order; in memory the edges of one function lie together, which is how they are made fastest.
    """
    angular = (angular * math.sqrt(4 * math.pi)).T.contiguous()
    return (angular[:, None] * radial.T.contiguous()).flatten(0, 1).T


class _Path(NamedTuple):
    """One way to couple block i of x with block j of the states to block k of the product."""

    i: int
    j: int
    k: int
    degrees: tuple[int, int, int]
    shape: tuple[int, int, int]

    @property
    def wigner(self) -> str:
        """Name of the buffer with the coupling coefficients."""
        return "wigner_{}_{}_{}".format(*self.degrees)


def _paths(x: o3.Irreps, state: o3.Irreps, out: o3.Irreps) -> list[_Path]:
    blocks = product(enumerate(x), enumerate(state), enumerate(out))
    return [
        _Path(i, j, k, (a.ir.l, b.ir.l, c.ir.l), (a.mul, b.mul, c.mul))
        for (i, a), (j, b), (k, c) in blocks
        if c.ir in a.ir * b.ir
    ]


class ProductMatrices(nn.Module):
    """The fully connected tensor product x ⊗ state → out as one matrix from x to out for each state.

    Weights and normalisation are those of e3nn's ``FullyConnectedTensorProduct``, whose ``right`` is the same function.
    It is written out here because the code that e3nn generates keeps its constants among the weights, under names that
    differ between a model and its copy.

    Args:
        x: irreps of x, such as :func:`basis_irreps`.
        state: irreps of the states.
        out: irreps of the product; kinds that cannot be reached are zero.
    """

    def __init__(self, x: o3.Irreps, state: o3.Irreps, out: o3.Irreps):
        super().__init__()
        self.x, self.state, self.out = x, state, out
        self.paths = _paths(x, state, out)
        self.weight = nn.Parameter(torch.randn(sum(math.prod(path.shape) for path in self.paths)))
        for path in self.paths:
            self.register_buffer(path.wigner, o3.wigner_3j(*path.degrees), persistent=False)

    def forward(self, states: Float[Tensor, "states state"]) -> Float[Tensor, "states x out"]:
        """One matrix per state; x @ matrix is the product."""
        parts = states.split([mul * ir.dim for mul, ir in self.state], dim=1)
        inputs = [part.unflatten(1, (ir.dim, mul)) for (mul, ir), part in zip(self.state, parts, strict=True)]
        weights = self.weight.split([math.prod(path.shape) for path in self.paths])
        groups: dict[tuple[int, int], list[tuple[_Path, Tensor]]] = {}
        for path, weight in zip(self.paths, weights, strict=True):
            groups.setdefault((path.i, path.k), []).append((path, weight))
        columns = range(len(self.out))
        rows = [[self._block(i, k, groups.get((i, k), []), inputs) for k in columns] for i in range(len(self.x))]
        return torch.cat([torch.cat(row, dim=2) for row in rows], dim=1)

    def _block(
        self, i: int, k: int, paths: list[tuple[_Path, Tensor]], inputs: list[Tensor]
    ) -> Float[Tensor, "states x_i out_k"]:
        """The matrices' block from kind i of x to kind k of the product: couple components, then mix copies."""
        a, c = self.x[i], self.out[k]
        if not paths:
            return inputs[0].new_zeros(len(inputs[0]), a.dim, c.dim)
        scale = self._scale(k)
        coupled = [torch.einsum("ijk,zjv->zikv", scale * self.get_buffer(p.wigner), inputs[p.j]) for p, _ in paths]
        mixing = torch.cat([weight.view(path.shape).transpose(0, 1) for path, weight in paths])
        mixed = torch.cat(coupled, dim=3) @ mixing.flatten(1)
        return mixed.unflatten(3, (a.mul, c.mul)).transpose(2, 3).reshape(-1, a.dim, c.dim)

    def _scale(self, k: int) -> float:
        """What makes the variance of the product one where that of x, states and weights is."""
        terms = sum(path.shape[0] * path.shape[1] for path in self.paths if path.k == k)
        return math.sqrt(self.out[k].ir.dim / terms)


def collect(
    matrices: Float[Tensor, "senders functions message"],
    basis: Float[Tensor, "edges functions"],
    edge_index: Int[Tensor, "2 edges"],
    n_receivers: int,
) -> Float[Tensor, "receivers message"]:
    """Sum over the edges of a receiver of the edge's functions times the sender's matrix.

    Args:
        matrices: of each sender, from :class:`ProductMatrices`.
        basis: of each edge, from :func:`edge_basis`.
        edge_index: senders in row 0, ascending; receivers in row 1.
        n_receivers: a receiver without edges gets zeros.
    """
    sender, receiver = edge_index
    counts = torch.bincount(sender, minlength=len(matrices)).tolist()
    received = basis.new_zeros(n_receivers, matrices.shape[2])
    for part, matrix, to in zip(basis.split(counts), matrices, receiver.split(counts), strict=True):
        received.index_add_(0, to, part @ matrix)
    return received
