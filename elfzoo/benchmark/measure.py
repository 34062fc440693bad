"""What is measured of one prediction, part by part, as JSON values.

``voxels``: errors over all points of the reference's grid, and ELF-stratified. ``profile``: percentiles, errors outside
metal cores, by ELF and by distance from the nearest nucleus, joint histogram of both fields. ``spectrum``: residual
power by wavelength and its correlation length. ``topology``: networking values, critical points, hydrogen links, both
fields searched alike. ``templates``: the interstitial attractors of a metal sublattice, found in both fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from elfzoo.analysis import (
    autocorrelation,
    compare_topology,
    error_profile,
    field_metrics,
    histogram_distance,
    residual_spectrum,
    stratified_weights,
)
from elfzoo.analysis.joint import joint_histogram
from elfzoo.benchmark.task import Task
from elfzoo.benchmark.templates import compare_templates
from elfzoo.errors import ElfzooError, RecipeError
from elfzoo.field import Field
from elfzoo.interpolate import resample
from elfzoo.io.json_values import json_values as plain_values
from elfzoo.structure import require_same_structure

__all__ = ["PHIS", "Pair", "fine_shape", "json_values", "measure", "of_reference", "pair", "subsampled"]

DIGITS = 6
SEARCHED = {"topology", "templates"}
PHIS = ("phi_1d", "phi_2d", "phi_3d", "phi_h_3d", "phi_star")
Shape = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Pair:
    """A reference and what an entrant says of it.

    Args:
        reference: as stored.
        prediction: on the grid of the reference.
        fine: both, on the grid that critical points are searched on.
    """

    reference: Field
    prediction: Field
    fine: tuple[Field, Field]


def fine_shape(reference: Field, task: Task) -> Shape:
    """The grid that a task asks predictions on: the reference's, or finer where critical points are searched."""
    nx, ny, nz = reference.grid.shape
    factor = task.refine if SEARCHED & set(task.parts) else 1
    return factor * nx, factor * ny, factor * nz


def of_reference(reference: Field, found: Field) -> Field:
    """What an entrant predicted, in the cell of the reference and within [0, 1], once it is certain to be of the same.

    Raises:
        QuantityError: another quantity.
        StructureError: another cell, or other atoms in it.
        RecipeError: a prediction that states another recipe than the reference's.
        ElfzooError: one spin channel where the reference is of both together, or the other way round.
    """
    found.require_quantity(reference.quantity, "the prediction")
    if found.spin != reference.spin:
        channels = [field.spin or "both together" for field in (found, reference)]
        raise ElfzooError(f"the prediction is of the spin channel {channels[0]}; the task's references: {channels[1]}")
    require_same_structure(reference.structure, found.structure)
    if None not in (found.recipe, reference.recipe) and found.recipe != reference.recipe:
        raise RecipeError(
            f"the prediction states the recipe {found.recipe}; the references are of {reference.recipe}. A model that "
            "learned from others may leave its recipe out"
        )
    values = np.clip(found.values, 0, 1)
    return Field(values, reference.structure, found.quantity, found.recipe, found.spin)


def pair(reference: Field, prediction: Field, task: Task) -> Pair:
    """Both fields on both grids.

    The reference is refined by the Fourier series of logit(ELF), in which references are band-limited: on the stored
    0.1 Å the spline through the values has weak critical points of its own. So is a prediction that comes on the
    coarse grid; one on the fine grid is taken as it is, and its points on the coarse grid are a part of it.

    Raises:
        ElfzooError: a prediction on another grid.
        QuantityError, RecipeError: a prediction of something else.
    """
    prediction.require_quantity(reference.quantity, "the prediction")
    reference.require_same_recipe(prediction)
    coarse = subsampled(prediction, reference.grid.shape)
    shape = fine_shape(reference, task)
    if shape == reference.grid.shape:
        return Pair(reference, coarse, (reference, coarse))
    refined = prediction if prediction.grid.shape == shape else resample(coarse, shape, "fourier", "logit")
    return Pair(reference, coarse, (resample(reference, shape, "fourier", "logit"), refined))


def measure(both: Pair, task: Task) -> dict[str, Any]:
    """Every part that the task asks for, under its name."""
    return {part: json_values(PARTS[part](both)) for part in task.parts}


def voxels(both: Pair) -> dict[str, Any]:
    """Errors over all voxels (as in :class:`~elfzoo.analysis.Metrics`), and ELF-stratified."""
    truth, guess = (field.values.astype(np.float64) for field in (both.reference, both.prediction))
    stratified = field_metrics(truth, guess, weights=stratified_weights(truth))
    return {
        **dataclasses.asdict(field_metrics(truth, guess)),
        **{f"{name}_stratified": getattr(stratified, name) for name in ("mae", "rmse", "r2")},
        "histogram_distance": histogram_distance(truth, guess),
        "reference_mean": truth.mean(),
        "reference_variance": truth.var(),
    }


def profile(both: Pair) -> dict[str, Any]:
    """Where the errors are (:func:`~elfzoo.analysis.error_profile`), and what is predicted where the reference has what
    (:func:`~elfzoo.analysis.joint.joint_histogram`)."""
    truth, guess = (field.values.astype(np.float64) for field in (both.reference, both.prediction))
    joint = joint_histogram(truth, guess)
    return error_profile(both.reference, both.prediction).to_dict() | {"joint": joint.tolist()}


def spectrum(both: Pair) -> dict[str, Any]:
    """On which waves the errors are (:func:`~elfzoo.analysis.residual_spectrum`), and how far they are correlated.

    The density of power, in ELF² Å³, is that of whole shells of 0.5 rad/Å; it does not depend on the size of the cell.
    """
    found = residual_spectrum(both.reference, both.prediction)
    shells, whole = found.shells, found.shells.isotropic
    return {
        "power": found.power,
        "bands": {name: dataclasses.asdict(band) for name, band in found.bands.items()},
        "correlation_length": autocorrelation(both.reference, both.prediction).correlation_length,
        "k": shells.k[whole].tolist(),
        "density": shells.density[whole].tolist(),
        "reference_density": shells.reference_density[whole].tolist(),
    }


def topology(both: Pair) -> dict[str, Any]:
    """What of :func:`~elfzoo.analysis.compare_topology` fits into a record."""
    found = compare_topology(*both.fine).to_dict()
    curve = found["jaccard"]
    return {
        "reference": {name: found["reference"][name] for name in (*PHIS, "phi_error", "exact")},
        "delta": {name: found["delta"][name] for name in PHIS},
        "points": found["points"],
        "morse_sums": found["morse_sums"],
        "jaccard_at_phi": found["jaccard_at_phi"],
        "jaccard_mean": None if curve is None else float(np.mean(curve)),
    }


def templates(both: Pair) -> dict[str, Any]:
    """Interstitial attractors of a metal sublattice (:mod:`elfzoo.benchmark.templates`)."""
    return compare_templates(*both.fine)


def json_values(value: Any) -> Any:
    """JSON values with six digits; what is not a finite number is None."""
    return plain_values(value, DIGITS)


def subsampled(prediction: Field, shape: Shape) -> Field:
    """The points of a prediction that are those of the reference's grid.

    Raises:
        ElfzooError: its grid is not that one, nor finer by one whole number along every axis.
    """
    factors = {m / n for m, n in zip(prediction.grid.shape, shape, strict=True)}
    if len(factors) > 1 or not min(factors).is_integer() or min(factors) < 1:
        raise ElfzooError(
            f"the prediction is on {prediction.grid.shape}, the reference on {shape}; expected that grid, or one with "
            "a whole multiple of its points along every axis"
        )
    step = int(min(factors))
    return prediction if step == 1 else prediction.replace(values=prediction.values[::step, ::step, ::step])


PARTS: Mapping[str, Callable[[Pair], Any]] = {
    "voxels": voxels,
    "profile": profile,
    "spectrum": spectrum,
    "topology": topology,
    "templates": templates,
}
