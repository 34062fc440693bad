"""The networking value with an error bar: φ of the field, and how it spreads over the fields of members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from elfzoo.analysis import Networking, networking
from elfzoo.analysis.percolation import percolation_thresholds
from elfzoo.errors import ElfzooError, QuantityError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.interpolate import spline_resample
from elfzoo.models.base import DEFAULT_SPACING, Model
from elfzoo.structure import as_structure
from elfzoo.uncertainty.fields import member_fields
from elfzoo.uncertainty.source import Source, source_of

__all__ = ["MEMBERS", "NetworkingWithError", "networking_with_error"]

MEMBERS = 16  # the error is known to a factor of about 1 ± 1/√(2 · 16)


@dataclass(frozen=True, eq=False)
class NetworkingWithError:
    """What :func:`networking_with_error` finds.

    Attributes:
        networking: of the predicted field, everything but an error of the model.
        sigma: standard deviation of φ: its root mean square change over the members, times the factor that makes it the
            error that φ had on validation structures. The error of the grid, ``networking.phi_error``, and that of the
            DFT labels themselves are not in it.
        members: φ of each member: that of the field, and by how much φ of the member differs on the same grid.
        calibrated: whether that factor is known; else it is 1.
    """

    networking: Networking
    sigma: float
    members: tuple[float, ...]
    calibrated: bool

    @property
    def phi(self) -> float:
        """Of the predicted field."""
        return self.networking.phi

    @property
    def error(self) -> float:
        """Standard deviation of φ with the error of the grid."""
        return float(np.hypot(self.sigma, self.networking.phi_error))

    def __repr__(self) -> str:
        return f"NetworkingWithError(phi={self.phi:.4f} ± {self.error:.4f}, {len(self.members)} members)"


def networking_with_error(
    model: Model | Source,
    structure: Any,
    grid: Grid | Sequence[int] | None = None,
    *,
    spacing: float = DEFAULT_SPACING,
    phi_spacing: float = 0.08,
    members: int = MEMBERS,
    seed: int = 0,
    progress: bool | None = None,
    warn: bool = True,
) -> NetworkingWithError:
    """Networking values of a predicted field, φ with an error bar.

    φ is no mean of values at points, so that errors at points say little of its error: it is found in the field of each
    member. One prediction gives all these fields; their φ are searched on a grid, where that of the prediction is too,
    so that the error of the grid cancels.

    Args:
        model: of ELF: a release with an uncertainty, or an :class:`Ensemble`.
        structure, grid, spacing, progress: as of :meth:`elfzoo.models.Model.predict`.
        phi_spacing: Å, of the cross-check; see :func:`elfzoo.analysis.networking`.
        members: drawn from the posterior, at least 2; at most as many as an ensemble has.
        seed: of the draw.
        warn: whether to warn of a structure outside of the training data.

    Raises:
        QuantityError: a model of something else than ELF.
        ElfzooError: the model has no uncertainty, or fewer than two members.
    """
    structure = as_structure(structure)
    source = source_of(model).for_structure(structure)
    if source.model.quantity != "elf":
        raise QuantityError(f"φ is a networking value of ELF; the model gives {source.model.quantity!r}")
    if members < 2:
        raise ElfzooError(f"a spread needs two members or more; got {members}")
    drawn = member_fields(
        source, structure, grid, spacing=spacing, members=members, seed=seed, progress=progress, warn=warn
    )
    found = networking(drawn.field, phi_spacing)
    centre = _phi(drawn.field, phi_spacing)
    changes = np.array([_phi(field, phi_spacing) - centre for field in drawn.members])
    spread = float(np.sqrt(np.sum(changes**2) / source.freedom(len(changes))))
    return NetworkingWithError(
        found, source.phi_scale * spread, tuple((found.phi + changes).tolist()), source.calibrated
    )


def _phi(field: Field, spacing: float) -> float:
    """φ of the points of a grid."""
    return percolation_thresholds(spline_resample(field.values, field.grid.finer_shape(spacing))).best[2]
