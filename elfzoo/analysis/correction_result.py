"""What a band-limited correction does to a predicted ELF: of a whole cell, or of one plane."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from elfzoo.analysis.metrics import Metrics
from elfzoo.analysis.residual import Axis
from elfzoo.io.json_values import json_values

__all__ = ["BandCorrection", "ElfProfile", "PlaneCorrection", "RelativeSize"]


@dataclass(frozen=True)
class RelativeSize:
    """Norm of one field over that of another: ``l2`` of root mean squares, ``l1`` of mean absolute values."""

    l1: float
    l2: float


@dataclass(frozen=True, eq=False)
class ElfProfile:
    """The correction by ELF of the reference, in bins of 0.05 from 0 to 1; nan in bins without points.

    Attributes:
        points: number of points.
        logit: mean |u_lr|.
        elf: mean |y - y_loc|. One change of the logit moves ELF most at 0.5, where its slope y(1 - y) is 1/4.
        ratio: median of |u_lr / u_tot|, the paper's u_r/u_tot of Fig. 2G. Its denominator is zero at ELF = 0.5, so it
            peaks there whatever the correction; ``logit`` says where the correction is.
    """

    points: Int[np.ndarray, " bins"]
    logit: Float[np.ndarray, " bins"]
    elf: Float[np.ndarray, " bins"]
    ratio: Float[np.ndarray, " bins"]


@dataclass(frozen=True, eq=False)
class _Correction:
    k_max: float
    periods: float | None
    coefficients: int
    clip: float
    reference_clipped: float
    prediction_clipped: float
    before: Metrics
    after: Metrics
    logit_captured: float
    logit_size: RelativeSize
    elf_size: RelativeSize
    by_elf: ElfProfile

    @property
    def shortest_wavelength(self) -> float:
        """2π / k_max, Å."""
        return 2 * math.pi / self.k_max

    @property
    def delta_mae(self) -> float:
        """Change of the mean absolute error of ELF, negative where the correction helps."""
        return self.after.mae - self.before.mae

    @property
    def delta_rmse(self) -> float:
        """Change of the root mean square error of ELF, negative where the correction helps."""
        return self.after.rmse - self.before.rmse

    @property
    def elf_captured(self) -> float:
        """Share of the squared L2 norm of the ELF residual that is gone, 1 - (RMSE after / before)².

        Below zero where the correction does harm, nan where there was no residual.
        """
        return 1 - (self.after.rmse / self.before.rmse) ** 2 if self.before.rmse else math.nan

    def _to_dict(self, domain: str, left_out: tuple[str, ...] = ()) -> dict[str, Any]:
        derived = ("shortest_wavelength", "delta_mae", "delta_rmse", "elf_captured")
        values = asdict(self) | {name: getattr(self, name) for name in derived}
        return json_values({"domain": domain, **{k: v for k, v in values.items() if k not in left_out}})


@dataclass(frozen=True, eq=False)
class BandCorrection(_Correction):
    """A correction of the whole cell, not to be compared with that of a plane.

    Attributes:
        k_max: rad/Å.
        periods: the paper's k_max, in periods along the edge of a cubic cell; None for other cells.
        coefficients: number of independent real coefficients that were fitted; :attr:`after` has the number of points.
        clip: ELF was moved into [clip, 1 - clip] before its logit was taken.
        reference_clipped, prediction_clipped: shares of the points that this moved.
        before: errors of ELF as predicted, against the reference as it is, neither of them clipped.
        after: errors of the corrected ELF, which lies between the clips where the fit is complete.
        logit_captured: share of the squared L2 norm of the logit residual, ‖u_lr‖² / ‖logit(y_ref) - u_loc‖², constant
            included; as a fit, also 1 - ‖what it leaves‖² / ‖…‖². nan where there is no residual.
        logit_size: of u_lr, relative to u_tot.
        elf_size: of y - y_loc, relative to y; the paper's Fig. 2F shows these two sizes without saying in which norm.
        by_elf: where on the scale of ELF the correction is.
    """

    def to_dict(self) -> dict[str, Any]:
        """JSON values under the attributes' names; an undefined number is None. ``domain`` is ``"volume"``."""
        return self._to_dict("volume")


@dataclass(frozen=True, eq=False)
class PlaneCorrection(_Correction):
    """A correction of one plane of grid points alone, as in the paper; not to be compared with that of a cell.

    Other attributes as of :class:`BandCorrection`, all of the plane; ``periods`` is known for square planes.

    Attributes:
        axis, index: the plane, as in :func:`elfzoo.analysis.plane_residual`.
        correction: u_lr.
        corrected: y, ELF.
    """

    axis: Axis
    index: int
    correction: Float[np.ndarray, "nu nv"]
    corrected: Float[np.ndarray, "nu nv"]

    def to_dict(self) -> dict[str, Any]:
        """JSON values under the attributes' names, without the two arrays; ``domain`` is ``"plane"``."""
        return self._to_dict("plane", left_out=("correction", "corrected"))
