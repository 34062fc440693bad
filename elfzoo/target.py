"""What the outputs of a model stand for: the quantity that is learned, and the link from the network's output to it.

=================== ========= ========================= ==========================================================
quantity            link      value of the output u     learned from, and handed back by ``predict``
=================== ========= ========================= ==========================================================
elf                 logit     1 / (1 + exp(-u))         ELF
density             log       n₀ exp(u), positive       electron density; or, if asked for, what it differs from SAD
density_difference  identity  n₀ u                      electron density, SAD subtracted to learn and added again to
                                                        predict; or, if asked for, the difference as it is learned
=================== ========= ========================= ==========================================================

n₀ is ``scale``, in e/Å³. SAD is that of :mod:`elfzoo.transforms.sad`. With SAD added the density holds no promise of
being positive, nor has any of the three one of holding the right number of electrons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure
from scipy import special
from torch import Tensor

from elfzoo.config import config_class
from elfzoo.errors import ConfigError, QuantityError
from elfzoo.field import Field
from elfzoo.interpolate import CLIP
from elfzoo.quantity import QUANTITIES, Quantity
from elfzoo.transforms.free_atoms import tabulated_valence
from elfzoo.transforms.sad import SuperposedDensity

__all__ = ["Target"]

FLOOR = 1e-4  # of a density, in units of its scale: stored ones hold exact zeros
VALENCE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class _Link:
    """A function from outputs to values in units of the scale, for arrays and tensors, and its inverse."""

    values: Callable[[np.ndarray], np.ndarray]
    tensor: Callable[[Tensor], Tensor]
    outputs: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Kind:
    """What goes with a quantity that is learned.

    Args:
        link: its name.
        scaled: whether it has a scale.
        gives: quantities that can be handed back, and how many times SAD is added for each; the first one is that of
            the reference fields, too.
    """

    link: str
    scaled: bool
    gives: Mapping[str, int]


_LINKS = {
    "logit": _Link(
        lambda u: 1.0 / (1.0 + np.exp(-np.clip(u, -80.0, 80.0))),
        torch.sigmoid,
        lambda v: special.logit(np.clip(v, CLIP, 1 - CLIP)),
    ),
    "log": _Link(lambda u: np.exp(np.minimum(u, 80.0)), torch.exp, lambda v: np.log(np.maximum(v, FLOOR))),
    "identity": _Link(lambda u: u, lambda u: u, lambda v: v),
}
_KINDS = MappingProxyType(
    {
        "elf": _Kind("logit", False, {"elf": 0}),
        "density": _Kind("log", True, {"density": 0, "density_difference": -1}),
        "density_difference": _Kind("identity", True, {"density": 1, "density_difference": 0}),
    }
)


@config_class
class Target:
    """What a model learns and predicts; the default is ELF.

    Args:
        quantity: that is learned.
        link: from output to value; each quantity has one.
        scale: n₀, e/Å³: the density at an output of zero, or the unit of the difference; required of densities, and
            the unit in which their losses are measured. About a typical value. Null for ELF.
        valence: electrons per atom by element symbol, where the reference's pseudopotentials have others than the
            table of free atoms; SAD is scaled to them. For densities alone.
    """

    quantity: Literal["elf", "density", "density_difference"] = "elf"
    link: Literal["logit", "log", "identity"] = "logit"
    scale: float | None = None
    valence: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kind = _KINDS[self.quantity]
        if self.link != kind.link:
            raise ConfigError(f"the target {self.quantity} has the link {kind.link!r}; got {self.link!r}")
        if kind.scaled and (self.scale is None or self.scale <= 0):
            raise ConfigError(f"the target {self.quantity} needs a positive scale in e/Å³; got {self.scale}")
        if not kind.scaled and (self.scale is not None or self.valence):
            raise ConfigError(f"the target {self.quantity} has neither scale nor valence; got {self}")
        if min(self.valence.values(), default=1.0) <= 0:
            raise ConfigError(f"a valence is a positive number of electrons per atom; got {self.valence}")

    @property
    def learned(self) -> Quantity:
        """The quantity of the values that the network is trained on."""
        return QUANTITIES[self.quantity]

    @property
    def given(self) -> str:
        """Name of the quantity of reference fields, and of predictions unless another one is asked for."""
        return next(iter(_KINDS[self.quantity].gives))

    @property
    def unit(self) -> float:
        """What losses are measured in: 1 for ELF, else the scale."""
        return 1.0 if self.scale is None else self.scale

    def values(self, outputs: Float[np.ndarray, "*points"]) -> Float[np.ndarray, "*points"]:
        """Values of the learned quantity from outputs of a network."""
        found = _LINKS[self.link].values(outputs)
        return found if self.scale is None else self.scale * found

    def tensor(self, outputs: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
        """:meth:`values` of a tensor, with gradients."""
        found = _LINKS[self.link].tensor(outputs)
        return found if self.scale is None else self.scale * found

    def slopes(self, outputs: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        """Of the value in its unit, by the output: ELF (1 - ELF) for a model of ELF."""
        with torch.inference_mode(False), torch.enable_grad():  # whatever the caller has switched off
            found = torch.from_numpy(np.asarray(outputs, dtype=np.float64)).requires_grad_()
            (slope,) = torch.autograd.grad(self.tensor(found).sum() / self.unit, found)
        return slope.numpy()

    def outputs(self, values: Float[np.ndarray, "*points"]) -> Float[np.ndarray, "*points"]:
        """The inverse of :meth:`values`; where that is infinite, of the nearest value where it is not."""
        return _LINKS[self.link].outputs(values if self.scale is None else values / self.scale)

    def rounding(self, values: Float[np.ndarray, "*points"]) -> Float[np.ndarray, "*points"]:
        """What a small error of the output makes of the value, at most: 1 for ELF, scale and value for densities."""
        return np.full_like(values, 1.0) if self.scale is None else self.scale + np.abs(values)

    def learned_from(self, reference: Field) -> Field:
        """The field of learned values that a reference field gives.

        Raises:
            QuantityError: a reference of another quantity, or a density of other valence electrons than the target's.
            ElfzooError: an element without a free-atom density.
        """
        reference.require_quantity(self.given, f"the reference for a target {self.quantity!r}")
        self._require_valence(reference)
        sad = self.baseline(reference.structure, self.quantity, learned=self.given)
        if sad is None:
            return reference
        return reference.replace(values=reference.values + sad.on_grid(reference.grid), quantity=self.quantity)

    def baseline(
        self, structure: Structure, asked: str | None = None, learned: str | None = None
    ) -> SuperposedDensity | None:
        """The multiple of SAD that is added to learned values to give the quantity that is asked for, if any is.

        Args:
            structure: any cell.
            asked: name of a quantity; :attr:`given` unless stated.
            learned: of the values that it is added to; the target's own unless stated.

        Raises:
            QuantityError: the target cannot give what is asked for.
            ElfzooError: an element without a free-atom density.
        """
        gives, asked = _KINDS[self.quantity].gives, asked or self.given
        if asked not in gives:
            raise QuantityError(f"a model of {self.quantity!r} can give {' or '.join(gives)}; got {asked!r}")
        times = gives[asked] - gives[learned or self.quantity]
        return SuperposedDensity(structure, self.valence, times) if times else None

    def _require_valence(self, reference: Field) -> None:
        """SAD must hold the electrons of the reference, also where it is only asked for later."""
        for symbol, stated in dict(reference.meta.get("valence") or {}).items():
            assumed = self.valence.get(symbol, tabulated_valence(symbol))
            if assumed is not None and abs(assumed - stated) > VALENCE_TOLERANCE:
                raise QuantityError(
                    f"the reference density has {stated:g} valence electrons per {symbol}, SAD {assumed:g}; "
                    f"state valence: {{{symbol}: {stated:g}}} in the target"
                )
