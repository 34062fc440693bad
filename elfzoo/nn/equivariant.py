"""Layers of equivariant networks: gate, one round of messages between atoms, invariants of the result.

States are features such as ``32x0e + 16x1o + 8x2e``, in the order of :mod:`elfzoo.nn.messages`.
"""

from __future__ import annotations

import torch
from e3nn import o3
from jaxtyping import Float, Int
from torch import Tensor, nn

from elfzoo.errors import ConfigError
from elfzoo.nn.messages import ProductMatrices, basis_irreps, collect, edge_basis
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig

__all__ = ["AtomLayer", "Gate", "invariants", "n_invariants", "normalise", "parse_irreps"]


class Gate(nn.Module):
    """SiLU of the scalars; every other feature times the sigmoid of a scalar of its own.

    e3nn's own gate scales its activations by constants from random numbers, which a release must not depend on.

    Args:
        irreps_out: even scalars first.

    Attributes:
        irreps_in: with one more scalar for each feature that is gated.
    """

    owner: Tensor

    def __init__(self, irreps_out: o3.Irreps):
        super().__init__()
        n_scalars = irreps_out.count("0e")
        gated = o3.Irreps([(mul, ir) for mul, ir in irreps_out if not ir.is_scalar()])
        self.irreps_in = o3.Irreps([(n_scalars + gated.num_irreps, "0e"), *gated])
        self.sizes = [n_scalars, gated.num_irreps, gated.dim]
        gates = torch.arange(gated.num_irreps).split([mul for mul, _ in gated])
        owner = [gate.repeat(ir.dim) for gate, (_, ir) in zip(gates, gated, strict=True)]
        self.register_buffer("owner", torch.cat([torch.arange(0), *owner]), persistent=False)

    def forward(self, x: Float[Tensor, "atoms gates_and_state"]) -> Float[Tensor, "atoms state"]:
        """Gated states."""
        scalars, gates, others = x.split(self.sizes, dim=1)
        return torch.cat([nn.functional.silu(scalars), others * gates.sigmoid()[:, self.owner]], dim=1)


class AtomLayer(nn.Module):
    """States of atoms after hearing their neighbours.

    The radial functions of a layer are given ones plus a small network of them. It has no bias, so that values and
    slopes vanish at the cutoff together with the given ones.

    Args:
        expansion: the functions of an edge that the network starts from.
        irreps_in: of the states that come.
        irreps_out: of the states that leave; even scalars first.
        channels: length of the element embedding.
        radial_hidden: width of the radial network.
    """

    def __init__(
        self,
        expansion: PowerSpectrumConfig,
        irreps_in: o3.Irreps,
        irreps_out: o3.Irreps,
        channels: int,
        radial_hidden: int,
    ):
        super().__init__()
        n = expansion.n_radial
        self.radial = nn.Sequential(
            nn.Linear(n, radial_hidden, bias=False), nn.SiLU(), nn.Linear(radial_hidden, n, bias=False)
        )
        self.gate = Gate(irreps_out)
        self.messages = ProductMatrices(basis_irreps(expansion), irreps_in, self.gate.irreps_in)
        self.own = ProductMatrices(o3.Irreps([(channels, "0e")]), irreps_in, self.gate.irreps_in)

    def forward(
        self,
        states: Float[Tensor, "atoms state"],
        elements: Float[Tensor, "atoms channels"],
        radial: Float[Tensor, "edges n"],
        angular: Float[Tensor, "edges lm"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "atoms new_state"]:
        """New states.

        Args:
            states: of all atoms, of root mean square 1; so are the new ones.
            elements: embeddings of their elements.
            radial, angular: functions of the edges, see :mod:`elfzoo.transforms.power_spectrum`.
            edge_index: see :func:`collect`.
        """
        basis = edge_basis(radial + self.radial(radial), angular)
        heard = collect(self.messages(states), basis, edge_index, len(states))
        own = torch.einsum("ae,aeo->ao", elements, self.own(states))
        return normalise(self.gate(heard + own))


def normalise(states: Float[Tensor, "atoms state"]) -> Float[Tensor, "atoms state"]:
    """States of root mean square 1 over all features together, which a rotation does not change."""
    return nn.functional.rms_norm(states, states.shape[1:], eps=1e-6)


def invariants(fields: Float[Tensor, "points field"], irreps: o3.Irreps) -> Float[Tensor, "points invariants"]:
    """Even scalars as they are, and of every other kind the inner products of all pairs of its features.

    Unchanged by rotation and reflection. The products are means over the components of a feature.
    """
    parts = []
    for (mul, ir), where in zip(irreps, irreps.slices(), strict=True):
        block = fields[:, where].unflatten(1, (ir.dim, mul))
        first, second = torch.triu_indices(mul, mul, device=fields.device)
        parts.append(block[:, 0] if ir.is_scalar() else (block.mT @ block)[:, first, second] / ir.dim)
    return torch.cat(parts, dim=1)


def n_invariants(irreps: o3.Irreps) -> int:
    """How many numbers :func:`invariants` returns per point."""
    return sum(mul if ir.is_scalar() else mul * (mul + 1) // 2 for mul, ir in irreps)


def parse_irreps(text: str) -> o3.Irreps:
    """Irreps with even scalars first (e3nn sorts odd ones before them), then by degree.

    Raises:
        ConfigError: not e3nn's notation, or no even scalars.
    """
    try:
        parts = sorted(o3.Irreps(text), key=lambda part: (not part.ir.is_scalar(), part.ir.l, part.ir.p))
    except ValueError as error:
        raise ConfigError(f"expected irreps such as '32x0e + 16x1o + 8x2e'; got {text!r} ({error})") from None
    irreps = o3.Irreps(parts).simplify()
    if irreps.count("0e") < 1:
        raise ConfigError(f"irreps need even scalars, such as '32x0e'; got {text!r}")
    return irreps
