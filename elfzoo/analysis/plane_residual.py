"""The residual on one plane of grid points and its two-dimensional Fourier transform, as Wang et al. (2026) show it.

A plane and the whole cell answer different questions. On average over parallel planes, the power at a wave vector in
the plane is that of all waves of the cell with this component in the plane, whatever their component across it: a short
wave that stands steeply on the plane shows as a long one. The spectrum of a plane looks longer-waved than that of its
field, and has a type of its own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import fft

from elfzoo.analysis.residual import Axis, Space, Waves, plane_of, values_in
from elfzoo.analysis.spectra import SHELL_WIDTH, Band, Shells, fluctuation_powers, radial_averages, wavelength_bands
from elfzoo.field import Field
from elfzoo.interpolate import CLIP
from elfzoo.io.json_values import json_values

__all__ = ["PlaneResidual", "Rings", "plane_residual"]


@dataclass(frozen=True, eq=False)
class Rings(Shells):
    """Averages over rings of |G| in a plane; as :class:`Shells`, with d = 2 in ``anisotropy``.

    ``measure`` is (2π)²/A in (rad/Å)², ``density`` in the squared unit of the values times Å², and ``periods``
    is known for square planes.
    """


@dataclass(frozen=True, eq=False)
class PlaneResidual:
    """What :func:`plane_residual` finds; of one plane, and not to be compared with that of a cell.

    Attributes:
        axis: the lattice vector that the plane cuts, ``"x"`` for the first one.
        index: of the plane's grid points along that vector; the plane cuts it at index / number of points.
        space: ``"value"``, or ``"logit"``.
        clip: of logits; None for values.
        edges: the two other lattice vectors, in order, as rows in the plane's own frame, the first along x; Å.
        residual: prediction - reference; point (i, j) sits at i/nu of the first edge and j/nv of the second.
        bias: mean residual of the plane.
        power: of all waves but the constant: mean square residual - bias².
        amplitude: |R_G| of the residual without its mean, in the order of ``waves``; the paper's Fig. 2C.
        nyquist: rad/Å, radius of the Nyquist circle.
        bands: by wavelength in Å, as in :class:`ResidualSpectrum`.
        rings: by |G|; ``rings.amplitude`` is the paper's Fig. 2D.
    """

    axis: Axis
    index: int
    space: Space
    clip: float | None
    edges: Float[np.ndarray, "2 2"]
    residual: Float[np.ndarray, "nu nv"]
    bias: float
    power: float
    amplitude: Float[np.ndarray, "nu nv"]
    nyquist: float
    bands: dict[str, Band]
    rings: Rings

    @property
    def waves(self) -> tuple[Int[np.ndarray, " nu"], Int[np.ndarray, " nv"]]:
        """Periods along the two edges, ascending, for the axes of ``amplitude``; G = periods @ :attr:`reciprocal`."""
        u, v = (np.arange(n) - n // 2 for n in self.residual.shape)
        return u, v

    @property
    def reciprocal(self) -> Float[np.ndarray, "2 2"]:
        """Reciprocal vectors of the two edges as rows, in the plane's own frame, rad/Å."""
        return 2 * np.pi * np.linalg.inv(self.edges).T

    def to_dict(self) -> dict[str, Any]:
        """JSON values under the attributes' names, without the two arrays; ``domain`` is ``"plane"``."""
        values = asdict(self) | {"rings": self.rings.to_dict(), "shape": self.residual.shape}
        del values["residual"], values["amplitude"]
        return json_values({"domain": "plane", **values})


def plane_residual(
    reference: Field,
    prediction: Field,
    axis: Axis = "z",
    index: int = 0,
    space: Space = "value",
    clip: float = CLIP,
    ring_width: float = SHELL_WIDTH,
    mixed_recipes: bool = False,
) -> PlaneResidual:
    """The residual on one plane of grid points, and its Fourier transform (Wang et al. 2026, Fig. 2B to D).

    Args:
        reference: the field that counts as right; in the space of values, of any quantity.
        prediction: a field of the same quantity, structure and grid.
        axis: the lattice vector that the plane cuts, ``"x"`` for the first one, however it points.
        index: which plane of grid points, 0 through the origin.
        space: ``"value"``, or ``"logit"`` for the residual of logit(ELF).
        clip: ELF is moved into [clip, 1 - clip] before its logit is taken.
        ring_width: rad/Å.
        mixed_recipes: take fields of different engines, functionals or pseudopotentials all the same.

    Raises:
        StructureError, RecipeError, QuantityError, ElfzooError: as :func:`elfzoo.analysis.residual_spectrum`; no such
            plane.
    """
    grid, cut = plane_of(reference.grid, axis, index)
    whole = values_in(space, reference, prediction, clip, mixed_recipes)
    truth, guess = (values[cut].reshape(grid.shape) for values in whole)
    bias, power, reference_power = fluctuation_powers(truth, guess)
    powers = (Waves.of(grid, dims=2), power, reference_power)
    return PlaneResidual(
        axis=axis,
        index=index,
        space=space,
        clip=clip if space == "logit" else None,
        edges=grid.lattice[:2, :2],
        residual=(guess - truth)[:, :, 0],
        bias=bias,
        power=float(power.sum()),
        amplitude=fft.fftshift(np.sqrt(power).reshape(grid.shape[:2])),
        nyquist=powers[0].nyquist,
        bands=wavelength_bands(*powers),
        rings=Rings(**radial_averages(*powers, ring_width)),
    )
