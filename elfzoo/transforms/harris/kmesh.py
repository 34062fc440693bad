"""Meshes of k-points, by the rule of the labels of hydrogen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from elfzoo.config import config_class
from elfzoo.errors import ConfigError

__all__ = ["KMesh", "KMeshConfig", "k_mesh"]


@config_class
class KMeshConfig:
    """How dense a mesh is.

    The labels of crystals and packings have a mesh around Γ of at most 0.3 rad/Å; those of the fluid, in large cells
    without order, one of at most 0.65 rad/Å, shifted by half a step.

    Args:
        spacing: largest distance of k-points along a reciprocal vector, rad/Å (2π included), around Γ.
        large_spacing: the same of cells that are large; these meshes are shifted.
        large: volume from which a cell counts as large, Å³.
    """

    spacing: float = 0.3
    large_spacing: float = 0.65
    large: float = 200.0

    def __post_init__(self) -> None:
        if min(self.spacing, self.large_spacing, self.large) <= 0:
            raise ConfigError(f"spacings and volume of a k-mesh are positive; got {self}")


@dataclass(frozen=True, eq=False)
class KMesh:
    """Points of a mesh, one of k and -k.

    Args:
        points: (k, 3) fractional.
        weights: (k,) that sum to 1.
    """

    points: Float[np.ndarray, "k 3"]
    weights: Float[np.ndarray, " k"]


def k_mesh(lattice: Float[np.ndarray, "3 3"], config: KMeshConfig) -> KMesh:
    """The mesh of a cell.

    Args:
        lattice: (3, 3) rows, Å.
        config: the rule.
    """
    large = abs(np.linalg.det(lattice)) >= config.large
    spacing = config.large_spacing if large else config.spacing
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(lattice), axis=0)
    counts = np.maximum(np.ceil(lengths / spacing - 1e-5).astype(int), 1)
    steps = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), axis=-1).reshape(-1, 3)
    doubled = 2 * steps + int(large)  # in half steps, as integers: k and -k are told exactly
    opposite = -doubled % (2 * counts)
    flat, turned = (np.ravel_multi_index(tuple(d.T), tuple(2 * counts)) for d in (doubled, opposite))
    kept = flat <= turned
    weights = np.where(flat == turned, 1.0, 2.0)[kept]
    return KMesh(doubled[kept] / (2 * counts), weights / weights.sum())
