"""symmetry_unet: superposed free-atom densities, a periodic 3D U-Net, and averages over the space group.

After "Symmetry-Aware Prediction of Electron Localization Functions from Superposed Atomic Densities". The paper's
variant cuts the cell into 16³ patches whose convolutions wrap around the patch, which is no period of the crystal; the
default convolves on the torus of the whole primitive cell, with kernels in Å.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from torch import Tensor

from elfzoo.config import config_class
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.grid import Grid
from elfzoo.models.base import EXACT_INVARIANCES, Invariance
from elfzoo.models.field_model import FieldModel
from elfzoo.models.work import Work, count
from elfzoo.nn.periodic_conv import kernel_mix
from elfzoo.nn.seitz import SeitzGroup, patch_average, patch_frame, seitz_matrices
from elfzoo.nn.unet import PeriodicUNet, UNetConfig
from elfzoo.registry import register
from elfzoo.symmetry import primitive_cell, space_group_operations
from elfzoo.transforms.patches import cut, patch_starts, stitch
from elfzoo.transforms.sad_channels import SadConfig, sad_channels

__all__ = ["SymmetryUNet", "SymmetryUNetConfig"]

Average = Callable[[Tensor], Tensor]
METRIC = 6  # three spacings and three cosines


@config_class
class SymmetryUNetConfig:
    """Configuration of :class:`SymmetryUNet`.

    Args:
        spacing: Å, largest distance between points of the model's own grid.
        sad: channels of the superposed densities.
        network: the U-Net.
        kernel: ``cartesian`` kernels are functions of the offset in Å, whatever the cell's axes; those of kind
            ``moments`` besides keep their sum, slopes and curvatures on every grid; ``voxel`` ones have one weight per
            neighbour, as in the paper.
        metric: give the grid's spacings and cosines as six constant channels.
        averaging: over the space group, of the ``input``, of the features after all ``stages``, or of the ``output``.
        patch: null for whole cells; else edge in voxels of the paper's patches, on which convolutions wrap around.
        transpose_inverse: take Rᵀ for R⁻¹ in the average over patches, as the paper does.
    """

    spacing: float = 0.17
    sad: SadConfig = field(default_factory=SadConfig)
    network: UNetConfig = field(default_factory=UNetConfig)
    kernel: Literal["cartesian", "moments", "voxel"] = "cartesian"
    metric: bool = False
    averaging: Literal["none", "input", "stages", "output"] = "output"
    patch: int | None = None
    transpose_inverse: bool = False

    def __post_init__(self) -> None:
        if self.spacing <= 0:
            raise ConfigError(f"spacing must be a positive number of Å; got {self.spacing}")
        if self.patch is not None and (self.patch < 1 or self.patch % self.network.stride):
            raise ConfigError(f"a patch is a multiple of {self.network.stride} voxels; got {self.patch}")
        if self.transpose_inverse and self.patch is None:
            raise ConfigError("transpose_inverse is the paper's patches' alone; whole cells need no inverse")


@register("symmetry_unet")
class SymmetryUNet(FieldModel):
    """Logits of ELF on the grid of the primitive cell, from the densities of free atoms."""

    config_class = SymmetryUNetConfig
    config: SymmetryUNetConfig
    invariances: ClassVar[Mapping[str, Invariance]] = {
        **EXACT_INVARIANCES,
        "origin": "approximate",
        "rotation": "approximate",
        "reflection": "approximate",
    }

    def __init__(self, config: SymmetryUNetConfig):
        super().__init__(config)
        self.network = PeriodicUNet(config.sad.n_channels + METRIC * config.metric, config.network)

    @property
    def stride(self) -> int:
        return self.config.network.stride

    def working_cell(self, structure: Structure) -> tuple[Structure, Grid]:
        """The primitive cell and a grid that its space group maps onto itself, each axis a multiple of the stride.

        So no level of the network can tell one primitive cell from the next, and repeating it would change nothing.
        Where no grid is commensurate (the origin lies off the symmetry elements), averages interpolate.
        """
        cell = primitive_cell(structure)
        rotations, translations = space_group_operations(cell)
        coarse = np.full((1, 3), 1 / self.stride)  # on the grid means: a multiple of the stride
        try:
            rotations = np.concatenate([rotations, np.eye(3, dtype=rotations.dtype)[None]])
            translations = np.concatenate([translations, coarse])
            return cell, Grid.for_symmetry(cell.lattice.matrix, self.config.spacing, rotations, translations)
        except ElfzooError:
            return cell, Grid.from_spacing(cell.lattice.matrix, self.config.spacing, coarse)

    def work(self, structure: Structure, grid: Grid) -> Work:
        """Of one pass of the network, counted by torch; its interpolation to the grid is not in it."""
        cell, own = self.working_cell(structure)
        return count(lambda: self([cell], [own]))

    def encode(self, structure: Structure, grid: Grid) -> Float[Tensor, "channels nx ny nz"]:
        """What the network sees of a cell, on the model's device."""
        channels = sad_channels(structure, grid, self.config.sad)
        if self.config.metric:
            steps = grid.lattice / np.array(grid.shape)[:, None]
            lengths = np.linalg.norm(steps, axis=1)
            cosines = (steps @ steps.T / np.outer(lengths, lengths))[[1, 2, 0], [2, 0, 1]]
            constants = np.concatenate([lengths / self.config.spacing, cosines])
            channels = np.concatenate(
                [channels, np.broadcast_to(constants[:, None, None, None], (METRIC, *grid.shape))]
            )
        return torch.from_numpy(channels).to(self.network.project.weight)

    def forward(self, structures: Sequence[Structure], grids: Sequence[Grid]) -> list[Float[Tensor, "nx ny nz"]]:
        """Logits on each grid, of whichever cells.

        Raises:
            ElfzooError: a grid with an axis that is no multiple of the stride, or a missing free-atom density.
        """
        return [self._whole(s, g) for s, g in zip(structures, grids, strict=True)]

    def forward_crop(
        self, structure: Structure, grid: Grid, start: tuple[int, int, int], size: int, halo: int | None = None
    ) -> Float[Tensor, "size size size"]:
        """Logits in a cube, from a larger one whose ``halo`` of true periodic neighbours is then thrown away.

        Args:
            structure: any cell.
            grid: on its lattice.
            start: first point of the cube, multiples of the stride.
            size: points along its edges, a multiple of the stride.
            halo: grid points; by default no less than the receptive field needs.

        Raises:
            ElfzooError: a group norm or an average over the group, which need the whole cell, or a cube off the stride.
        """
        self._require_local()
        stride, reach = self.stride, self.config.network.receptive_radius
        halo = -(-reach // stride) * stride if halo is None else halo
        if any(n % stride for n in (*start, size, halo)):
            raise ElfzooError(f"crops begin and end at multiples of {stride} voxels; got {start}, {size}, halo {halo}")
        x = cut(self.encode(structure, grid), np.array([start]) - halo, size + 2 * halo)
        inner = slice(halo, halo + size)
        return self.network(x, self._mix(grid))[0, 0, inner, inner, inner]

    def _whole(self, structure: Structure, grid: Grid) -> Tensor:
        if any(n % self.stride for n in grid.shape):
            raise ElfzooError(f"symmetry_unet needs a grid of multiples of {self.stride}; got {grid.shape}")
        if self.config.patch is None:
            group = SeitzGroup.of(structure)
            return self._averaged(self.encode(structure, grid)[None], grid, group.average)[0, 0]
        starts = patch_starts(grid.shape, self.config.patch)
        x = cut(self.encode(structure, grid), starts, self.config.patch)
        logits = self._averaged(x, grid, self._patch_average(structure, grid, starts))
        return stitch(logits[:, 0], starts, grid.shape)

    def _averaged(self, x: Tensor, grid: Grid, average: Average) -> Tensor:
        """The network, with the average where the configuration has it."""
        place, mix = self.config.averaging, self._mix(grid)
        if place == "stages":
            return self.network(x, mix, average)
        logits = self.network(average(x) if place == "input" else x, mix)
        return average(logits) if place == "output" else logits

    def _patch_average(self, structure: Structure, grid: Grid, starts: np.ndarray) -> Average:
        framed = patch_frame(seitz_matrices(structure), starts / np.array(grid.shape))
        operators = torch.from_numpy(framed).to(self.network.project.weight)
        mask = torch.ones(operators.shape[:2], dtype=torch.bool, device=operators.device)
        extent = operators.new_tensor(self.config.patch / np.array(grid.shape)).expand(len(starts), 3)
        return lambda x: patch_average(x, operators, mask, extent, self.config.transpose_inverse)

    def _mix(self, grid: Grid) -> Tensor | None:
        if self.config.kernel == "voxel":
            return None
        steps = torch.from_numpy(grid.lattice / np.array(grid.shape)[:, None])
        return kernel_mix(steps, self.config.spacing, self.config.kernel == "moments").to(self.network.project.weight)

    def _require_local(self) -> None:
        if self.config.network.norm != "channel" or self.config.averaging != "none" or self.config.patch is not None:
            raise ElfzooError("crops need norm: channel, averaging: none and patch: null; the rest sees the whole cell")
