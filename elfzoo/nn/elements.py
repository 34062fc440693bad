"""Element embedding of fixed size: any composition, never grown, so strict loading and fine-tuning live together."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float, Int
from pymatgen.core import Element
from torch import Tensor, nn

__all__ = ["N_ELEMENTS", "ElementEmbedding", "element_properties"]

N_ELEMENTS = 118
BLOCKS = "spdf"
RADIUS, RADIUS_SCALE = 4, 3.0  # where radii stand in the table of properties, and what they are divided by there, Å


class ElementEmbedding(nn.Module):
    """One vector per element: a small network on tabulated properties plus a learned residual that starts at zero.

    Hydrogen is the reference: e(H) = (1, 0, ..., 0) whatever the weights. A model of hydrogen therefore needs no
    training of the embedding, and channels added for other elements leave its predictions for hydrogen alone.

    Args:
        channels: length of each vector.
        hidden: width of the small network.
        dropout: probability, in training, that an element's residual is hidden from a batch: what the network says of
            elements by their properties alone must then be of use, as it has to be for those never trained on.
    """

    properties: Tensor

    def __init__(self, channels: int, hidden: int = 16, dropout: float = 0.0):
        super().__init__()
        # saved with the weights: a later edition of the table must not change a released model
        self.register_buffer("properties", element_properties())
        self.network = nn.Sequential(
            nn.Linear(self.properties.shape[1], hidden), nn.SiLU(), nn.Linear(hidden, channels, bias=False)
        )
        self.residual = nn.Parameter(torch.zeros(N_ELEMENTS, channels))
        self.channels, self.dropout = channels, dropout

    @property
    def radii(self) -> Float[Tensor, " elements"]:
        """Radii of free atoms as tabulated, Å; 0 where the table has none."""
        return self.properties[:, RADIUS] * RADIUS_SCALE

    def forward(self, z: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms channels"]:
        """Vectors of atoms with atomic numbers ``z`` (1 to 118)."""
        residual: Tensor = self.residual
        if self.training and self.dropout:
            residual = residual * (torch.rand_like(residual[:, :1]) >= self.dropout)
        table = self.network(self.properties) + residual
        reference = torch.zeros_like(table[0])
        reference[0] = 1.0
        return reference + table[z - 1] - table[0]


def element_properties() -> Float[Tensor, "118 properties"]:
    """Period, group, electronegativity, radius, first ionisation energy (each over its largest value) and block.

    Source: pymatgen's periodic table; a missing value is 0.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns for every value that is missing
        rows = [_properties(Element.from_Z(z)) for z in range(1, N_ELEMENTS + 1)]
    return torch.tensor(rows)


def _properties(element: Element) -> list[float]:
    radius = element.atomic_radius_calculated or element.atomic_radius
    energies = element.ionization_energies
    scaled = [
        element.Z / 118,
        element.row / 7,
        element.group / 18,
        _finite(element.X) / 4,
        _finite(radius) / RADIUS_SCALE,
    ]
    return [*scaled, _finite(energies[0] if energies else None) / 25, *(float(element.block == b) for b in BLOCKS)]


def _finite(value: float | None) -> float:
    return 0.0 if value is None or value != value else float(value)
