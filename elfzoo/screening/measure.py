"""What is computed of one structure. An error is a result too: it is recorded, and the next structure follows."""

from __future__ import annotations

import time
import warnings
from typing import Any

from pymatgen.core import Structure

from elfzoo.analysis import critical_points, networking
from elfzoo.errors import ElfzooError, ElfzooWarning
from elfzoo.field import Field
from elfzoo.io.json_values import json_values
from elfzoo.models.base import Model
from elfzoo.screening.settings import ScreenSettings
from elfzoo.uncertainty import networking_with_error
from elfzoo.uncertainty.domain import assess

__all__ = ["failure", "measure"]

PHIS = ("phi", "phi_error", "phi_1d", "phi_2d", "phi_h", "phi_star", "exact", "at_saddle", "uncertainty")
COUNTS = ("maxima", "bond_saddles", "ring_saddles", "minima")


def measure(model: Model, structure: Structure, settings: ScreenSettings) -> dict[str, Any]:
    """JSON values: networking values, critical points, ``uncertainty``, ``outside``, ``status``, ``message``, seconds.

    ``status`` is ``"done"``; ``"partial"`` where critical points could not be had but φ could; or ``"failed"``.
    ``message`` says why it is not ``"done"``.
    """
    began = time.perf_counter()
    try:
        field = _field(model, structure, settings)
        found = networking(field, settings.phi_spacing).to_dict() | _uncertainty(model, structure, settings)
    except Exception as error:  # whatever goes wrong with one structure must not stop the others
        return failure(_text(error)) | {"seconds": time.perf_counter() - began}
    row = {name: found[name] for name in PHIS} | {"grid": "x".join(map(str, field.grid.shape))}
    row["outside"] = _outside(model, structure)
    row |= {"status": "done", "message": None} | _critical_points(field, settings)
    return json_values(row | {"seconds": time.perf_counter() - began})


def failure(message: str) -> dict[str, Any]:
    """The record of a structure that gave nothing."""
    return {"status": "failed", "message": " ".join(message.split())}


def _field(model: Model, structure: Structure, settings: ScreenSettings) -> Field:
    with warnings.catch_warnings():  # unknown elements have a column of their own
        warnings.simplefilter("ignore", ElfzooWarning)
        return model.predict(structure, spacing=settings.spacing, symmetry=settings.symmetry, progress=False)


def _uncertainty(model: Model, structure: Structure, settings: ScreenSettings) -> dict[str, float | None]:
    """The model's error of φ, where it is asked for."""
    if not settings.members:
        return {"uncertainty": None}
    spacing, phi_spacing, members = settings.spacing, settings.phi_spacing, settings.members
    found = networking_with_error(
        model, structure, spacing=spacing, phi_spacing=phi_spacing, members=members, progress=False, warn=False
    )
    return {"uncertainty": found.sigma}


def _outside(model: Model, structure: Structure) -> str | None:
    """In what ways volume and distances are beyond those of the training data, as the card states them."""
    try:
        report = assess(model, structure, None)
    except Exception:  # such as too little memory for the neighbours of a lonely atom: the row matters more
        return None
    return "; ".join(report.reasons[bool(report.unknown_elements) :]) or None  # elements have a column of their own


def _critical_points(field: Field, settings: ScreenSettings) -> dict[str, Any]:
    try:
        found = critical_points(field, persistence=settings.persistence)
    except Exception as error:  # φ stays good
        return {"status": "partial", "message": f"critical points: {_text(error)}"}
    counts = dict(zip(COUNTS, found.counts.values(), strict=True))
    return {**counts, "morse_sum": found.morse_sum, "morse_reason": found.morse_reason}


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, ElfzooError) else f"{type(error).__name__}: {error}"
