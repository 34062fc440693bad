"""Errors of a predicted electron density: the percentage that density models report, and the electrons in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from elfzoo.errors import ElfzooError
from elfzoo.field import Field

__all__ = ["DensityErrors", "density_errors"]


@dataclass(frozen=True)
class DensityErrors:
    """What a density is judged by beside the errors of its voxels.

    Attributes:
        nmape: normalised mean absolute percentage error, 100 ∫|Δn| / ∫|n|, as in DeepDFT (Jørgensen and Bhowmik 2022,
            doi:10.1038/s41524-022-00863-y) and ChargE3Net (Koker et al. 2024, doi:10.1038/s41524-024-01343-1).
        reference_electrons, electrons: integrals of reference and prediction over the cell.
    """

    nmape: float
    reference_electrons: float
    electrons: float

    @property
    def electron_error(self) -> float:
        """Electrons too many, per cell."""
        return self.electrons - self.reference_electrons

    def table(self) -> list[str]:
        """As lines of text."""
        return [
            f"NMAPE {self.nmape:.3f} %",
            f"electrons per cell: reference {self.reference_electrons:.4f}, prediction {self.electrons:.4f} "
            f"({self.electron_error:+.4f})",
        ]


def density_errors(reference: Field, prediction: Float[np.ndarray, "nx ny nz"]) -> DensityErrors:
    """Errors of the values of a predicted density on the grid of its reference, e/Å³.

    Raises:
        QuantityError: the reference holds another quantity.
        ElfzooError: it holds no electrons.
    """
    reference.require_quantity("density", "the reference")
    whole = np.abs(reference.values).sum(dtype=np.float64)
    if whole == 0:
        raise ElfzooError("the reference density is zero everywhere; expected electrons")
    error = np.abs(prediction.astype(np.float64) - reference.values).sum()
    predicted = reference.replace(values=prediction).integral
    return DensityErrors(float(100 * error / whole), reference.integral, predicted)
