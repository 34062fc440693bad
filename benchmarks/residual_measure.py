"""What is measured of the residual of one prediction, as JSON values: where it is on waves, and what fits undo of it.

``volume`` is of the whole cell, ``plane`` the mean of three planes through the origin, ``topology`` what waves move.
``residuals.py`` says what for, runs this over the structures of a task and writes the record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product, zip_longest
from typing import Any

import numpy as np
from paper_numbers import PLANE_K
from scipy import fft, special

from elfzoo import analysis
from elfzoo.analysis.residual import logits
from elfzoo.analysis.spectra import WAVELENGTHS
from elfzoo.benchmark.measure import Pair, json_values
from elfzoo.field import Field
from elfzoo.interpolate import CLIP

EDGE = 11.0  # Å, of the cell whose edge the paper counts periods along (Fig. 2A)
LIMITS = {f"{length:g}": length for length in WAVELENGTHS.values() if length}  # Å: all waves longer than each
PAPER = "paper"  # the k_max at which its errors at 76 GPa fall no more
NAMED = {limit: 2 * math.pi / length for limit, length in LIMITS.items()}  # rad/Å
NAMED |= {PAPER: 2 * math.pi * PLANE_K["76.0"] / EDGE}
CLIPS = {f"{clip:g}": clip for clip in (1e-2, CLIP, 1e-4)}
USUAL = f"{CLIP:g}"
PLANES: tuple[Any, ...] = ("x", "y", "z")  # across each lattice vector, through the origin
STEP = 0.1  # Å, of the autocorrelation
DRAWS, SEED = 16, 0  # of noise
SUMS = ("power", "reference_power", "waves")  # of a band; shares are taken of them
DIRECTIONS = ("residual", "chance", "chance_highest")  # anisotropy of
SIZES = tuple(product(("logit_size", "elf_size"), ("l1", "l2")))  # of a correction
POINTS = ("reference", "prediction", "matched")

Fits = Sequence[analysis.BandCorrection] | Sequence[analysis.PlaneCorrection]


def measure(both: Pair, k_maxes: Sequence[float], searched: bool) -> dict[str, Any]:
    """Everything that is said of one structure, as JSON values; lists are curves. Of topology if wanted."""
    reference = both.reference
    guesses = {"model": both.prediction, "none": both.prediction.replace(values=np.full(reference.grid.shape, 0.5))}
    planes = [plane(reference, guesses, axis, k_maxes) for axis in PLANES]
    found = {"volume": volume(reference, guesses, k_maxes), "plane": mean_of(json_values(planes))}
    searched = searched and analysis.can_search(*both.fine)
    return json_values({**found, "topology": topology(*both.fine) if searched else None})


def volume(reference: Field, guesses: Mapping[str, Field], k_maxes: Sequence[float]) -> dict[str, Any]:
    """Of the whole cell: spectra, preferred directions, and corrections of the model and of no model by clip."""
    spaces = {"value": ("value", CLIP), **{f"logit, clip {name}": ("logit", clip) for name, clip in CLIPS.items()}}
    return {
        "spectra": {name: spectrum(reference, guesses["model"], *space) for name, space in spaces.items()},
        "anisotropy": anisotropy(reference, guesses["model"]),
        "correction": {
            name: {
                text: curve(analysis.correction_curve(reference, guess, k_maxes, clip)) for text, clip in CLIPS.items()
            }
            for name, guess in guesses.items()
        },
    }


def plane(reference: Field, guesses: Mapping[str, Field], axis: Any, k_maxes: Sequence[float]) -> dict[str, Any]:
    """The plane through the origin across one axis: its rings (Fig. 2D), and its corrections (Figs. 2E to G)."""
    found = analysis.plane_residual(reference, guesses["model"], axis)
    rings, whole = found.rings, found.rings.isotropic
    return {
        "bands": band_powers(found.bands, rings),
        **{name: getattr(rings, name)[whole].tolist() for name in ("k", "amplitude")},
        "correction": {
            name: {USUAL: curve([analysis.plane_correction(reference, guess, k, axis) for k in k_maxes])}
            for name, guess in guesses.items()
        },
    }


def spectrum(reference: Field, prediction: Field, space: Any, clip: float) -> dict[str, Any]:
    """Power by band and by |G| in whole shells, its median wavelength, and how far the residual is correlated."""
    found, single = (f(reference, prediction, space, clip) for f in (analysis.residual_spectrum, analysis.wave_power))
    correlation = analysis.autocorrelation(reference, prediction, space, clip, shell_width=STEP)
    distances = np.arange(0, correlation.distances[-1] + 1e-9, STEP)
    shells, whole, waves = found.shells, found.shells.isotropic, single.waves
    return {
        **{name: getattr(found, name) for name in ("bias", "power")},
        "bands": band_powers(found.bands, shells),
        "half_wavelength": half_wavelength(waves.k, single.power),
        "reference_half_wavelength": half_wavelength(waves.k, single.reference_power),
        **{name: getattr(correlation, name) for name in ("correlation_length", "integral_scale")},
        **{name: getattr(shells, name)[whole].tolist() for name in ("k", "density", "reference_density")},
        "distances": distances.tolist(),
        "correlation": np.interp(distances, correlation.distances, correlation.values).tolist(),
    }


def band_powers(bands: Mapping[str, analysis.Band], averages: analysis.Shells) -> dict[str, dict[str, float]]:
    """Of each band its power and that of the reference, which add up over structures, and its number of waves."""
    totals = averages.power.sum(), averages.reference_power.sum()
    parts = {
        name: (totals * np.nan_to_num([band.share, band.reference_share])).tolist() for name, band in bands.items()
    }
    return {name: dict(zip(SUMS, [*part, bands[name].waves], strict=True)) for name, part in parts.items()}


def half_wavelength(k: np.ndarray, power: np.ndarray) -> float | None:
    """Å: waves at least as long have half of the power, that of the constant wave aside; None without power."""
    order = np.argsort(k, kind="stable")[1:]
    cumulative = np.cumsum(power[order])
    if not cumulative.size or not cumulative[-1] > 0:
        return None
    return float(2 * np.pi / k[order][np.searchsorted(cumulative, cumulative[-1] / 2)])


def anisotropy(reference: Field, prediction: Field) -> dict[str, Any]:
    """The residual's, weighted by its power over whole shells, and that of white noise under the same weights."""
    rng, shape = np.random.default_rng(SEED), reference.grid.shape
    noise = [reference.replace(values=reference.values + rng.normal(size=shape)) for _ in range(DRAWS)]
    shells = analysis.residual_spectrum(reference, prediction).shells
    by_chance = np.array([analysis.residual_spectrum(reference, field).shells.anisotropy for field in noise])
    whole, weighed = shells.isotropic, shells.isotropic & (shells.power > 0)
    weights = shells.power[weighed] / shells.power[weighed].sum()
    found = {"k": shells.k[whole], "by_k": shells.anisotropy[whole], "chance_by_k": by_chance[:, whole].mean(axis=0)}
    chance, residual = by_chance[:, weighed] @ weights, shells.anisotropy[weighed] @ weights
    numbers = (residual, chance.mean(), chance.max()) if weighed.any() else (None, None, None)
    return {name: values.tolist() for name, values in found.items()} | dict(zip(DIRECTIONS, numbers, strict=True))


def curve(fits: Fits) -> dict[str, Any]:
    """Errors of ELF before; errors after, coefficients and size of the correction against k_max; where on ELF it is.

    The profile by ELF (Fig. 2G) is that of the paper's k_max.
    """
    first, chosen = fits[0], next(fit for fit in fits if fit.k_max == NAMED[PAPER]).by_elf
    return {
        "before": {"mae": first.before.mae, "rmse": first.before.rmse},
        "clipped": {"reference": first.reference_clipped, "prediction": first.prediction_clipped},
        "mae": [fit.after.mae for fit in fits],
        "rmse": [fit.after.rmse for fit in fits],
        "coefficients_per_point": [fit.coefficients / fit.after.points for fit in fits],
        "logit_captured": [fit.logit_captured for fit in fits],
        "elf_captured": [fit.elf_captured for fit in fits],
        **{f"{size}_{norm}": [getattr(getattr(fit, size), norm) for fit in fits] for size, norm in SIZES},
        "by_elf": {name: getattr(chosen, name).tolist() for name in ("points", "logit", "elf", "ratio")},
    }


def topology(reference: Field, prediction: Field) -> dict[str, Any]:
    """What the waves above each limit move: critical points and networking value, against those of the reference.

    ``corrected`` is the prediction without these waves of its residual, ``random`` with them scrambled, and ``alone``
    the reference with them added.
    """
    known = analysis.FieldTopology(reference)  # looked for once
    rng, found = np.random.default_rng(SEED), {"before": against(known, prediction)}
    for limit in LIMITS:
        corrected = analysis.corrected_field(reference, prediction, NAMED[limit])
        found[f"{limit} corrected"] = against(known, corrected)
        found[f"{limit} random"] = against(known, with_random_phases(prediction, corrected, rng))
        found[f"{limit} alone"] = against(known, analysis.corrected_field(prediction, reference, NAMED[limit]))
    return found


def with_random_phases(prediction: Field, corrected: Field, rng: np.random.Generator) -> Field:
    """The prediction after a correction with the power of the right one on every wave, but phases of white noise."""
    local = logits(prediction.values.astype(np.float64), CLIP)
    amplitude = np.abs(fft.rfftn(special.logit(corrected.values) - local))
    noise = fft.rfftn(rng.normal(size=local.shape))
    correction = fft.irfftn(amplitude * noise / np.abs(noise), s=local.shape)
    return prediction.replace(values=special.expit(local + correction))


def against(reference: analysis.FieldTopology, other: Field) -> dict[str, Any]:
    """Change of φ, and critical points of both fields and in pairs; ``moved`` is the sum over pairs in Å."""
    found = analysis.compare_topology(reference, other)
    pairs, change = found.points["all"], found.prediction["phi_3d"] - found.reference["phi_3d"]
    moved = pairs.mean_displacement * pairs.matched if pairs.matched else 0.0
    counts = {name: getattr(pairs, name) for name in POINTS}
    return {"delta_phi": change, "abs_delta_phi": abs(change), **counts, "moved": moved}


def mean_of(parts: Sequence[Any]) -> Any:
    """Key by key and place by place, over the parts where a number is defined; None where it is in none."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    if isinstance(known[0], Mapping):
        return {key: mean_of([part.get(key) for part in known]) for key in known[0]}
    if isinstance(known[0], list):
        return [mean_of(column) for column in zip_longest(*known)]
    return float(np.mean(known))
