"""harris, harris_delta: one diagonalisation in a small basis, alone and with a learned correction of its logit."""

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
from elfzoo.registry import register
from elfzoo.transforms.harris import HarrisConfig, HarrisInputs, harris_inputs
from elfzoo.transforms.harris.inputs import stored_inputs

__all__ = ["Harris", "HarrisDelta", "HarrisDeltaConfig", "HarrisModelConfig"]

# k-mesh and grid follow the cell: another origin, or other vectors for the same crystal, get other ones
APPROXIMATE: dict[str, Invariance] = {
    **EXACT_INVARIANCES,
    **dict.fromkeys(("supercell", "basis", "origin"), "approximate"),
}


@config_class
class HarrisModelConfig:
    """Configuration of :class:`Harris`.

    Args:
        harris: of the diagonalisation.
        window: |G|, rad/Å, between which logit(ELF) is faded out, as in the labels.
    """

    harris: HarrisConfig = field(default_factory=HarrisConfig)
    window: tuple[float, float] = (14.0, 18.0)


def _solve(structure: Structure, config: HarrisModelConfig | HarrisDeltaConfig, keep: bool) -> HarrisInputs:
    return (stored_inputs if keep else harris_inputs)(structure, config.harris, config.window)


@register("harris")
class Harris(Untrained):
    """ELF of the occupied states in the potential of superposed atoms; nothing in it is trained.

    The occupied states of one diagonalisation hold what no neighbourhood tells: which states are occupied.
    """

    config_class: ClassVar[type] = HarrisModelConfig
    config: HarrisModelConfig
    invariances = APPROXIMATE
    elements = ("H",)

    def solve(self, structure: Structure, keep: bool) -> HarrisInputs:
        """In the small basis."""
        return _solve(structure, self.config, keep)


@config_class
class HarrisDeltaConfig(CorrectionConfig):
    """Configuration of :class:`HarrisDelta`; what is not told here is as in
    :class:`~elfzoo.models.diagonalised.CorrectionConfig`.

    Args:
        harris: of the diagonalisation.
        window: as in :class:`HarrisModelConfig`.
    """

    harris: HarrisConfig = field(default_factory=HarrisConfig)
    window: tuple[float, float] = (14.0, 18.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.descriptor.channels != 1:
            raise ConfigError(f"hydrogen alone needs one channel; got {self.descriptor.channels}")


@register("harris_delta")
class HarrisDelta(Corrected):
    """Logit of the untrained field, corrected by a small network on local invariants: what remains is local."""

    config_class: ClassVar[type] = HarrisDeltaConfig
    config: HarrisDeltaConfig
    invariances = APPROXIMATE
    elements = ("H",)

    def solve(self, structure: Structure, keep: bool) -> HarrisInputs:
        """In the small basis."""
        return _solve(structure, self.config, keep)

    def atom_weights(self, numbers: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms 1"]:
        """All are alike."""
        return torch.ones(len(numbers), 1)
