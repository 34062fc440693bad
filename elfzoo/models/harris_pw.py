"""harris_pw, harris_pw_delta: one diagonalisation in plane waves, of any elements, alone and with a correction."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from pymatgen.core import Structure
from torch import Tensor

from elfzoo.config import config_class
from elfzoo.errors import ConfigError
from elfzoo.models.base import EXACT_INVARIANCES, Invariance
from elfzoo.models.diagonalised import Corrected, CorrectionConfig, Untrained
from elfzoo.nn.elements import N_ELEMENTS, RADIUS, RADIUS_SCALE, element_properties
from elfzoo.registry import register
from elfzoo.transforms import PowerSpectrumConfig
from elfzoo.transforms.harris import HarrisInputs
from elfzoo.transforms.harris.plane_waves import PlaneWaveConfig, plane_wave_inputs, stored_plane_wave_inputs

__all__ = ["HarrisPW", "HarrisPWConfig", "HarrisPWDelta", "HarrisPWDeltaConfig"]

# the grid has its origin where the cell has it; the primitive cell is one for all cells that describe the crystal
APPROXIMATE: dict[str, Invariance] = {**EXACT_INVARIANCES, "origin": "approximate", "rotation": "approximate"}
APPROXIMATE["reflection"] = "approximate"  # the primitive cell's vectors are chosen by their directions
ENGINE = ("gpaw", "gpaw_data")
CHANNELS = 3  # see _species


@config_class
class HarrisPWConfig:
    """Configuration of :class:`HarrisPW`.

    Args:
        plane_waves: of the diagonalisation.
        window: |G|, rad/Å, between which logit(ELF) is faded out, as in the labels; null keeps all waves.
    """

    plane_waves: PlaneWaveConfig = field(default_factory=PlaneWaveConfig)
    window: tuple[float, float] | None = None


def _solve(structure: Structure, config: HarrisPWConfig | HarrisPWDeltaConfig, keep: bool) -> HarrisInputs:
    return (stored_plane_wave_inputs if keep else plane_wave_inputs)(structure, config.plane_waves, config.window)


@register("harris_pw")
class HarrisPW(Untrained):
    """ELF of the occupied plane-wave states in the potential of superposed atoms, of any elements, untrained."""

    config_class: ClassVar[type] = HarrisPWConfig
    config: HarrisPWConfig
    invariances = APPROXIMATE
    requires = ENGINE

    def solve(self, structure: Structure, keep: bool) -> HarrisInputs:
        """In plane waves."""
        return _solve(structure, self.config, keep)


@config_class
class HarrisPWDeltaConfig(CorrectionConfig):
    """Configuration of :class:`HarrisPWDelta`; what is not told here is as in
    :class:`~elfzoo.models.diagonalised.CorrectionConfig`.

    Args:
        plane_waves: of the diagonalisation.
        window: as in :class:`HarrisPWConfig`.
        descriptor: power spectrum of the atoms around a point, each with 1, its electronegativity and its radius.
    """

    plane_waves: PlaneWaveConfig = field(default_factory=PlaneWaveConfig)
    window: tuple[float, float] | None = None
    descriptor: PowerSpectrumConfig = field(
        default_factory=lambda: PowerSpectrumConfig(r_cut=4.0, n_radial=6, l_max=0, smooth=True, channels=CHANNELS)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.descriptor.channels != CHANNELS:
            raise ConfigError(f"what tells elements apart has {CHANNELS} channels; got {self.descriptor.channels}")


@register("harris_pw_delta")
class HarrisPWDelta(Corrected):
    """Logit of the untrained plane-wave field, corrected by a small network on local invariants."""

    config_class: ClassVar[type] = HarrisPWDeltaConfig
    config: HarrisPWDeltaConfig
    invariances = APPROXIMATE
    requires = ENGINE

    species: Tensor

    def __init__(self, config: HarrisPWDeltaConfig):
        super().__init__(config)
        # saved with the weights, as the embedding's table is; fixed, for a dozen compositions teach no embedding, and
        # features in which nothing is trained are computed once
        self.register_buffer("species", _species())

    def solve(self, structure: Structure, keep: bool) -> HarrisInputs:
        """In plane waves."""
        return _solve(structure, self.config, keep)

    def atom_weights(self, numbers: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms 3"]:
        """What the elements are like."""
        return self.species[numbers - 1]


def _species() -> Float[Tensor, "elements 3"]:
    """What tells elements apart: 1; Pauling's electronegativity over hydrogen's, and radius over 2 Å, both 0 for H."""
    table = element_properties()
    electronegativity, radius = table[:, 3], table[:, RADIUS] * RADIUS_SCALE
    return torch.stack(
        [torch.ones(N_ELEMENTS), electronegativity / electronegativity[0] - 1, (radius - radius[0]) / 2], dim=1
    )
