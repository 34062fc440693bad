"""Compare a predicted field with its reference: every number says whether it is over all voxels or ELF-stratified."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from elfzoo.analysis.comparable import require_comparable, require_same_grid
from elfzoo.analysis.density import DensityErrors, density_errors
from elfzoo.analysis.metrics import ELF_BINS, Metrics, field_metrics, histogram_distance, stratified_weights
from elfzoo.analysis.topology import TopologyComparison, compare_topology
from elfzoo.field import Field, Recipe
from elfzoo.interpolate import fourier_resample
from elfzoo.io.json_values import json_values
from elfzoo.quantity import quantity_of

__all__ = ["Comparison", "Histograms", "WorstVoxel", "compare"]

HISTOGRAM_BINS = 50

_ROWS = {
    "MAE": "mae",
    "RMSE": "rmse",
    "R² (identity)": "r2",
    "R² (correlated)": "r2_correlated",
    "max |error|": "max_error",
    "bias": "bias",
}


@dataclass(frozen=True)
class WorstVoxel:
    """Where the prediction errs most: fractional coordinates, both values, and the error with its sign."""

    frac_coords: tuple[float, float, float]
    reference: float
    prediction: float
    error: float


@dataclass(frozen=True)
class Histograms:
    """Numbers of voxels per bin of value, over all voxels: on [0, 1] for ELF, with values outside in the end bins, and
    from the smallest value of both fields to the largest for other quantities."""

    edges: tuple[float, ...]
    reference: tuple[int, ...]
    prediction: tuple[int, ...]


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` finds.

    Attributes:
        formula: composition of the structure.
        shape: the grid, points along each lattice vector.
        all_voxels: the primary figures, every voxel weighing the same.
        elf_stratified: the secondary figures, each non-empty ELF bin of the reference weighing the same; None for other
            quantities.
        worst: the voxel with the largest |error|.
        histogram_distance: 1-Wasserstein distance of the two value distributions, over all voxels.
        histograms: the distributions.
        reference_recipe: what made the reference, where known.
        prediction_recipe: what the prediction was made or learned from, where known.
        resampled: whether the prediction was Fourier-interpolated to the reference's grid first.
        topology: critical points, networking values and hydrogen links of both, where asked for.
        quantity: of both fields.
        density: further figures, of electron densities alone.
    """

    formula: str
    shape: tuple[int, int, int]
    all_voxels: Metrics
    elf_stratified: Metrics | None
    worst: WorstVoxel
    histogram_distance: float
    histograms: Histograms
    reference_recipe: Recipe | None
    prediction_recipe: Recipe | None
    resampled: bool
    topology: TopologyComparison | None = None
    quantity: str = "elf"
    density: DensityErrors | None = None

    def to_dict(self) -> dict[str, Any]:
        """Nested JSON values under the attributes' names; an undefined number (nan) is None."""
        return json_values(asdict(self))

    def table(self) -> list[str]:
        """The comparison as lines of text."""
        x, y, z = self.worst.frac_coords
        columns = {"all voxels": (14, self.all_voxels)}
        if self.elf_stratified is not None:
            columns["ELF-stratified"] = (18, self.elf_stratified)
        return [
            f"{self.formula}, {' x '.join(map(str, self.shape))} points" + ", resampled" * self.resampled,
            *([] if self.elf_stratified is not None else [quantity_of(self.quantity).label]),
            f"reference:  {_describe(self.reference_recipe)}",
            f"prediction: {_describe(self.prediction_recipe)}",
            " " * 16 + "".join(f"{name:>{width}}" for name, (width, _) in columns.items()),
            *(
                f"{label:<16}" + "".join(f"{getattr(m, key):>{width}.5f}" for width, m in columns.values())
                for label, key in _ROWS.items()
            ),
            f"largest error (all voxels): {self.worst.error:+.4f} at fractional ({x:.4f}, {y:.4f}, {z:.4f}), "
            f"reference {self.worst.reference:.4f}, prediction {self.worst.prediction:.4f}",
            f"1-Wasserstein distance of the values (all voxels): {self.histogram_distance:.5f}",
            *([] if self.density is None else self.density.table()),
            *([] if self.topology is None else self.topology.table()),
        ]


def compare(
    reference: Field,
    prediction: Field,
    mixed_recipes: bool = False,
    resample: bool = False,
    topology: bool = False,
) -> Comparison:
    """Compare a predicted field with its reference, voxel by voxel.

    Args:
        reference: the field that counts as right, an ELF or another quantity.
        prediction: a field of the same quantity and structure (atoms in any order).
        mixed_recipes: compare fields of different engines, functionals or pseudopotentials all the same.
        resample: interpolate the prediction by Fourier series to the reference's grid if the grids differ. The
            interpolated values are compared as they come, also where they overshoot [0, 1].
        topology: also compare what the fields say (:func:`elfzoo.analysis.compare_topology`), each on its own grid;
            seconds rather than milliseconds; of ELF alone.

    Raises:
        StructureError: the lattices or the atoms differ by more than 0.001 Å.
        RecipeError: both recipes are known and differ, and ``mixed_recipes`` is False.
        QuantityError: the fields hold different quantities, or no ELF where ``topology`` is asked for.
        ElfzooError: the fields are of different spin channels; the grids differ and ``resample`` is False.
    """
    require_comparable(reference, prediction, mixed_recipes)
    if topology:
        reference.require_quantity("elf", "for critical points and networking values, the reference")
    resampled = reference.values.shape != prediction.values.shape
    truth, guess = reference.values, _on_grid(reference, prediction, resample)
    quantity = quantity_of(reference.quantity)
    return Comparison(
        formula=reference.structure.composition.formula,
        shape=reference.grid.shape,
        all_voxels=field_metrics(truth, guess),
        elf_stratified=_stratified(truth, guess) if quantity.bounds else None,
        worst=_worst(reference, guess),
        histogram_distance=histogram_distance(truth, guess),
        histograms=_histograms(truth, guess, quantity.span(truth, guess)),
        reference_recipe=reference.recipe,
        prediction_recipe=prediction.recipe,
        resampled=resampled,
        topology=compare_topology(reference, prediction, mixed_recipes=mixed_recipes) if topology else None,
        quantity=reference.quantity,
        density=density_errors(reference, guess) if quantity.counts_electrons else None,
    )


def _on_grid(reference: Field, prediction: Field, resample: bool) -> np.ndarray:
    if not resample:
        require_same_grid(reference, prediction, "ask for Fourier interpolation (resample=True)")
    shape = reference.grid.shape
    return prediction.values if prediction.grid.shape == shape else fourier_resample(prediction.values, shape)


def _worst(reference: Field, guess: np.ndarray) -> WorstVoxel:
    error = guess.astype(np.float64) - reference.values
    flat = int(np.abs(error).argmax())
    x, y, z = (float(c) for c in reference.grid.frac_coords(np.array([flat]))[0])
    return WorstVoxel((x, y, z), float(reference.values.flat[flat]), float(guess.flat[flat]), float(error.flat[flat]))


def _stratified(truth: np.ndarray, guess: np.ndarray) -> Metrics:
    return field_metrics(truth, guess, stratified_weights(truth, ELF_BINS))


def _histograms(truth: np.ndarray, guess: np.ndarray, span: tuple[float, float]) -> Histograms:
    edges = np.linspace(span[0], max(span[1], np.nextafter(span[0], np.inf)), HISTOGRAM_BINS + 1)
    counts = [np.histogram(np.clip(values, *span), edges)[0].tolist() for values in (truth, guess)]
    return Histograms(tuple(edges.tolist()), tuple(counts[0]), tuple(counts[1]))


def _describe(recipe: Recipe | None) -> str:
    return "recipe unknown" if recipe is None else f"{recipe.engine}, {recipe.functional}, {recipe.pseudopotential}"
