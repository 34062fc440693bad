"""Averages of periodic features over space-group operations {R | t}: of whole cells, and of patches as in the paper.

For a group the mean over f({R | t} x) and that over the inverses are one and the same; an operation is a permutation of
the grid points where it maps the grid onto itself, and trilinear interpolation is used where it does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pymatgen.core import Structure
from torch import Tensor

from elfzoo.grid import Grid
from elfzoo.symmetry import space_group_operations

__all__ = ["SeitzGroup", "patch_average", "patch_frame", "seitz_matrices", "trilinear"]

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class SeitzGroup:
    """The operations of a space group on fractional coordinates, x' = R x + t, and what they do to grids.

    Args:
        rotations: rotation parts; integers, not orthogonal in hexagonal axes.
        translations: translation parts.
    """

    rotations: Int[np.ndarray, "ops 3 3"]
    translations: Float[np.ndarray, "ops 3"]
    _tables: dict[tuple[Shape, torch.device], list[Tensor]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, structure: Structure) -> SeitzGroup:
        """The space group of a structure in its own cell."""
        return cls(*space_group_operations(structure))

    def average(self, x: Float[Tensor, "batch channels nx ny nz"]) -> Float[Tensor, "batch channels nx ny nz"]:
        """Mean of f(R x + t) over the operations; exactly invariant where the grid is commensurate with all of them."""
        if len(self.rotations) == 1:
            return x
        flat, total = x.flatten(2), torch.zeros_like(x).flatten(2)
        for image in self._images((x.shape[2], x.shape[3], x.shape[4]), x.device):
            exact = image.dim() == 1
            total = total + (flat[..., image] if exact else trilinear(x, image.to(x.dtype).expand(len(x), -1, -1)))
        return (total / len(self.rotations)).view_as(x)

    def _images(self, shape: Shape, device: torch.device) -> list[Tensor]:
        """For each operation the flat index (points,) of every point's image, or its fractional coordinates."""
        if (shape, device) not in self._tables:
            self._tables[shape, device] = [image.to(device) for image in self._make_images(shape)]
        return self._tables[shape, device]

    def _make_images(self, shape: Shape) -> list[Tensor]:
        grid = Grid(shape, np.eye(3))
        points, images = np.stack(np.unravel_index(np.arange(grid.size), shape), axis=1), []
        for rotation, translation in zip(self.rotations, self.translations, strict=True):
            if grid.is_mapped_by(rotation, translation):
                (matrix,), (shift,) = grid.operations(rotation[None], translation[None])
                image = np.ravel_multi_index(tuple((points @ matrix.T + shift).T % np.array(shape)[:, None]), shape)
            else:
                image = points / shape @ rotation.T + translation
            images.append(torch.from_numpy(image))
        return images


def trilinear(
    x: Float[Tensor, "batch channels nx ny nz"], frac_coords: Float[Tensor, "batch points 3"]
) -> Float[Tensor, "batch channels points"]:
    """Periodic trilinear interpolation; value (i, j, k) sits at fractional (i/nx, j/ny, k/nz)."""
    shape = torch.tensor(x.shape[2:], device=x.device)
    place = frac_coords * shape
    corner, flat = torch.floor(place), x.flatten(2)
    result = x.new_zeros(())
    for step in product((0, 1), repeat=3):
        offset = torch.tensor(step, device=x.device)
        weight = (1 - (place - corner - offset).abs()).prod(dim=-1)
        i, j, k = ((corner.long() + offset) % shape).unbind(-1)
        index = (i * shape[1] + j) * shape[2] + k
        result = result + weight[:, None] * flat.gather(2, index[:, None].expand(-1, x.shape[1], -1))
    return result


def seitz_matrices(structure: Structure) -> Float[np.ndarray, "ops 4 4"]:
    """The space group as 4×4 matrices on fractional coordinates."""
    rotations, translations = space_group_operations(structure)
    matrices = np.tile(np.eye(4), (len(rotations), 1, 1))
    matrices[:, :3, :3], matrices[:, :3, 3] = rotations, translations
    return matrices


def patch_frame(
    operators: Float[np.ndarray, "ops 4 4"], origins: Float[np.ndarray, "patches 3"]
) -> Float[np.ndarray, "patches ops 4 4"]:
    """Operators on coordinates counted from each patch's origin o: t' = (R o + t - o) mod 1.

    Args:
        operators: {R | t} on fractional coordinates of the cell.
        origins: fractional.
    """
    moved = np.einsum("rij,pj->pri", operators[:, :3, :3], origins) + operators[:, :3, 3] - origins[:, None]
    framed = np.tile(operators, (len(origins), 1, 1, 1))
    framed[..., :3, 3] = np.round(moved, 6) % 1.0  # rounding errors of either sign: 0, not sometimes almost 1
    return framed


def patch_average(
    x: Float[Tensor, "batch channels n n n"],
    operators: Float[Tensor, "batch ops 4 4"],
    mask: Bool[Tensor, "batch ops"],
    extent: Float[Tensor, "batch 3"],
    transpose: bool = True,
) -> Float[Tensor, "batch channels n n n"]:
    """Symmetry average on patches, as in the paper (appendix, SymmAvg3D): f(S⁻¹ R⁻¹ (S ζ - t')), wrapped on the patch.

    What a patch does not hold is read at a wrapped place in it, which is another place of the crystal; only where the
    patch is the cell is this the mean over the group. The paper's R⁻¹ = Rᵀ is wrong in hexagonal axes.

    Args:
        x: features on the patches.
        operators: in each patch's frame, padded to the same number.
        mask: which operators are not padding.
        extent: edges of the patches in fractional coordinates of the cell, the paper's S.
        transpose: take Rᵀ for R⁻¹, as the paper does.
    """
    n, total = x.shape[-1], torch.zeros_like(x).flatten(2)
    axis = torch.arange(n, device=x.device, dtype=x.dtype) / n
    inside = torch.cartesian_prod(axis, axis, axis)
    for op in range(operators.shape[1]):
        rotation, translation = operators[:, op, :3, :3], operators[:, op, :3, 3]
        inverse = rotation.mT if transpose else torch.linalg.inv(rotation)
        source = (inside * extent[:, None] - translation[:, None]) @ inverse.mT / extent[:, None]
        total = total + mask[:, op, None, None] * trilinear(x, source)
    return (total / mask.sum(dim=1)[:, None, None]).view_as(x)
