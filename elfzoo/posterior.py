"""What training data leave open of the last layer of a model: its posterior, and the file that keeps it.

Beside ``config.json`` and ``model.safetensors`` a release may have ``uncertainty.safetensors``, which belongs to
exactly those weights. :mod:`elfzoo.uncertainty` makes it and says what it is good for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from elfzoo.errors import WeightsError
from elfzoo.io.files import write_bytes

__all__ = ["UNCERTAINTY", "Posterior", "find_posterior", "group_of", "read_posterior"]

UNCERTAINTY = "uncertainty.safetensors"
VERSION, GROUPED = 1, 2  # of files without groups, and with them
ARRAYS = ("eigenvalues", "eigenvectors")


def group_of(elements: Iterable[str]) -> str:
    """What structures of these elements are calibrated with: ``hydrogen`` alone, ``hydrides``, or ``others``."""
    symbols = set(elements)
    return "hydrogen" if symbols == {"H"} else "hydrides" if "H" in symbols else "others"


@dataclass(frozen=True, eq=False)
class Posterior:
    """Normal distribution of the last layer's weights: covariance α² (FᵀF + s² 1)⁻¹.

    F has a row for each training point: the inputs of the last layer and a 1 for its offset, times the slope of the
    learned value with respect to the logit, as the loss weights them: last-layer prediction rigidity (Bigi, Chong,
    Ceriotti & Grasselli 2024, doi:10.1088/2632-2153/ad805f).

    Args:
        weights_sha256: of the weights that it belongs to.
        eigenvalues: (width,) of FᵀF, ascending.
        eigenvectors: (width, width), in columns.
        alpha: α, calibrated on validation data.
        s: calibrated on validation data.
        quantiles: of √(fᵀ (FᵀF + s² 1)⁻¹ f) over validation points, by their share, ascending; the last is the largest.
        unfamiliar: largest share of points beyond the quantile 0.99 in any validation structure.
        phi_scale: by what the spread of φ over members is multiplied to be its error, calibrated on validation
            structures; None where that was not done.
        groups: α (``alpha``) and the factor of φ (``phi_scale``) for structures of a group (:func:`group_of`), where
            validation structures are of several: errors in metals are several times those in hydrogen.
        facts: how it was made, JSON values.
    """

    weights_sha256: str
    eigenvalues: Float[np.ndarray, " width"]
    eigenvectors: Float[np.ndarray, "width width"]
    alpha: float
    s: float
    quantiles: Mapping[str, float] = field(default_factory=dict)
    unfamiliar: float = 1.0
    phi_scale: float | None = None
    groups: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def factor(self) -> Float[np.ndarray, "width width"]:
        """B, with (FᵀF + s² 1)⁻¹ = B Bᵀ: |fᵀB| is how far f is from the training points."""
        return self.eigenvectors / np.sqrt(np.maximum(self.eigenvalues, 0.0) + self.s**2)

    def deviation(self, inputs: Float[np.ndarray, "points width"]) -> Float[np.ndarray, " points"]:
        """Standard deviation of the logit."""
        return self.alpha * np.linalg.norm(inputs @ self.factor, axis=1)

    def draw(self, members: int, seed: int = 0) -> Float[np.ndarray, "members width"]:
        """Changes of the last layer's weights (its offset last), drawn from the distribution."""
        normal = np.random.default_rng(seed).standard_normal((members, len(self.eigenvalues)))
        return self.alpha * normal @ self.factor.T

    def of(self, elements: Iterable[str]) -> Posterior:
        """The posterior for structures of these elements: with α and the factor of φ of their group, if it has any."""
        return self.replace(**self.groups.get(group_of(elements), {}))

    def replace(self, **changes: Any) -> Posterior:
        """A copy with some attributes changed."""
        return replace(self, **changes)

    def write(self, folder: str | Path) -> Path:
        """Write :data:`UNCERTAINTY` into the folder of its release; it appears whole or not at all."""
        arrays = {"eigenvalues": self.eigenvalues.astype("<f8"), "eigenvectors": self.eigenvectors.astype("<f4")}
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ARRAYS}
        if not self.groups:
            del told["groups"]
        told |= {"version": GROUPED if self.groups else VERSION, "arrays_sha256": _hash(arrays)}
        path = Path(folder) / UNCERTAINTY
        write_bytes(path, [save(arrays, {"posterior": json.dumps(told)})])
        return path


def find_posterior(folder: str | Path, weights_sha256: str) -> Posterior | None:
    """The posterior in the folder of a release, if it has one.

    Raises:
        WeightsError: it belongs to other weights, or is damaged.
    """
    path = Path(folder) / UNCERTAINTY
    return read_posterior(path, weights_sha256) if path.is_file() else None


def read_posterior(path: Path, weights_sha256: str) -> Posterior:
    """A posterior from its file.

    Args:
        path: of the file.
        weights_sha256: of the weights that it must belong to.

    Raises:
        WeightsError: it belongs to other weights, is truncated or changed, or was written by a later elfzoo.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            told = json.loads((file.metadata() or {})["posterior"])
            arrays = {name: file.get_tensor(name) for name in ARRAYS}
        version, sha256 = told.pop("version"), told.pop("arrays_sha256")
        if version not in (VERSION, GROUPED):
            raise WeightsError(f"{path} has the format {version}; this elfzoo reads {VERSION} and {GROUPED}")
        found = Posterior(**told, **{name: part.astype(np.float64) for name, part in arrays.items()})
    except (SafetensorError, json.JSONDecodeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"{path} is damaged, or no posterior of elfzoo: {reason}; fetch or make it again") from None
    if _hash(arrays) != sha256:
        raise WeightsError(f"{path} is changed: its arrays do not have the SHA-256 it states; fetch or make it again")
    if found.weights_sha256 != weights_sha256:
        raise WeightsError(
            f"{path} belongs to other weights (sha256 {found.weights_sha256[:12]}…, those here "
            f"{weights_sha256[:12]}…); remove it, or make it for these"
        )
    return found


def _hash(arrays: Mapping[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(arrays[name]).tobytes() for name in ARRAYS)).hexdigest()
