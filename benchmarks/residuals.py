"""On which waves do predictions err, what do those waves change, and is the residual long-wavelength?

    python benchmarks/residuals.py [MODEL ...] [--task fluid-h] [--k-max K ...] [--out benchmarks/results/residuals]

What Wang et al. (2026, Figs. 2 and S3) show of one plane at each pressure, for every structure of a task. A MODEL is a
release or ``FILE.py:factory``, as in ``elfzoo benchmark``; by default all releases that ship, and the mean ELF.

- Fourier power of the residual by wavelength and by |G|, its preferred direction beside that of isotropic noise on the
  same grid, and its autocorrelation; in ELF and, for three clips, in logit(ELF).
- The correction of logits by all waves up to k_max, fitted to the reference (eqs. 6 to 9), against k_max in rad/Å, and
  in the paper's periods per edge of 11 Å; the same fit to 0.5 everywhere, which is no model at all; for three clips.
- All of this of the volume, and of three planes through the origin as in the paper: two questions, never mixed.
- Critical points and networking value of the prediction before and after the correction, after one of the same power on
  every wave with random phases, and of the reference with nothing but these waves of the residual added.

Means are over structures, by the task's groups and over all; powers and matched points are summed, then divided. Rows
of structures wait in ``--work``: the same command goes on where it stopped. ``residual_figures.py`` draws the pictures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from itertools import product, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from scipy import fft, special

import elfzoo
from elfzoo import analysis
from elfzoo.analysis.residual import logits
from elfzoo.analysis.spectra import WAVELENGTHS
from elfzoo.benchmark import Benchmark, environment, record_path, write_json
from elfzoo.benchmark.measure import Pair, fine_shape, json_values, pair
from elfzoo.field import Field
from elfzoo.interpolate import CLIP
from elfzoo.progress import progress_bar

HERE = Path(__file__).parent
FLOOR = "benchmarks/floors.py:mean"
EDGE = 11.0  # Å, of the cell whose edge the paper counts periods along (Fig. 2A)
PERIODS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 27, 30, 36)  # the paper's k_max
LIMITS = {f"{length:g}": length for length in WAVELENGTHS.values() if length}  # Å: all waves longer than each
PAPER = "paper"  # the k_max at which its errors at 76 GPa fall no more
NAMED = {limit: 2 * math.pi / length for limit, length in LIMITS.items()} | {PAPER: 2 * math.pi * 20 / EDGE}  # rad/Å
CLIPS = {f"{clip:g}": clip for clip in (1e-2, CLIP, 1e-4)}
USUAL = f"{CLIP:g}"
PLANES: tuple[Any, ...] = ("x", "y", "z")  # across each lattice vector, through the origin
STEP = 0.1  # Å, of the autocorrelation
DRAWS, SEED = 16, 0  # of noise
SUMS = ("power", "reference_power", "waves")  # of a band; shares are taken of them
DIRECTIONS = ("residual", "chance", "chance_highest")  # anisotropy of
SIZES = tuple(product(("logit_size", "elf_size"), ("l1", "l2")))  # of a correction
PARTS = ("volume", "plane", "topology")  # of a row
WORDS = {limit: f"{limit} Å" for limit in LIMITS} | {PAPER: "the paper's k_max of 20"}
VERDICTS = {True: "yes", False: "no", None: "undefined"}
POINTS = ("reference", "prediction", "matched")

Fits = Sequence[analysis.BandCorrection] | Sequence[analysis.PlaneCorrection]
Row = Mapping[str, Any]


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
    rng, found = np.random.default_rng(SEED), {"before": against(reference, prediction)}
    for limit in LIMITS:
        corrected = analysis.corrected_field(reference, prediction, NAMED[limit])
        found[f"{limit} corrected"] = against(reference, corrected)
        found[f"{limit} random"] = against(reference, with_random_phases(prediction, corrected, rng))
        found[f"{limit} alone"] = against(reference, analysis.corrected_field(prediction, reference, NAMED[limit]))
    return found


def with_random_phases(prediction: Field, corrected: Field, rng: np.random.Generator) -> Field:
    """The prediction after a correction with the power of the right one on every wave, but phases of white noise."""
    local = logits(prediction.values.astype(np.float64), CLIP)
    amplitude = np.abs(fft.rfftn(special.logit(corrected.values) - local))
    noise = fft.rfftn(rng.normal(size=local.shape))
    correction = fft.irfftn(amplitude * noise / np.abs(noise), s=local.shape)
    return prediction.replace(values=special.expit(local + correction))


def against(reference: Field, other: Field) -> dict[str, Any]:
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


def grouped(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """All rows, and those of each group."""
    names = sorted({row["group"] for row in rows} - {None}, key=lambda name: (isinstance(name, str), name))
    return {"all": list(rows)} | {str(name): [row for row in rows if row["group"] == name] for name in names}


def answer(found: Row, k_maxes: Sequence[float]) -> dict[str, Any]:
    """The figures that say whether the residual is long-wavelength and whether that matters; of one row, or a mean."""
    value, corrections = found["volume"]["spectra"]["value"], found["volume"]["correction"]
    longer = above(value["bands"])
    return {
        "above": longer,
        "logit_above": above(found["volume"]["spectra"][f"logit, clip {USUAL}"]["bands"]),
        "plane_above": above(found["plane"]["bands"]),
        **{key: value[key] for key in ("half_wavelength", "reference_half_wavelength", "correlation_length")},
        "mostly_above_3": None if longer["3"]["power"] is None else longer["3"]["power"] > 0.5,
        "anisotropy": {key: found["volume"]["anisotropy"][key] for key in DIRECTIONS},
        "before": corrections["model"][USUAL]["before"],
        "after": {name: at(corrections, list(k_maxes).index(k)) for name, k in NAMED.items()},
        "topology": {name: quotients(counts) for name, counts in (found["topology"] or {}).items()},
    }


def above(bands: Mapping[str, Row]) -> dict[str, dict[str, float | None]]:
    """Of all waves longer than each limit, the constant one left out: their share of the residual's power, of the
    reference's, and, which is that of white noise, of all waves; and the former power over the latter.
    """
    totals, sums, found = {key: sum(band[key] for band in bands.values()) for key in SUMS}, dict.fromkeys(SUMS, 0.0), {}
    for limit, band in zip(LIMITS, bands.values(), strict=False):
        sums = {key: sums[key] + band[key] for key in SUMS}
        found[limit] = {key: sums[key] / totals[key] if totals[key] else None for key in SUMS}
        found[limit]["relative_power"] = sums["power"] / sums["reference_power"] if sums["reference_power"] else None
    return found


def at(corrections: Row, place: int) -> dict[str, float]:
    """What the fit with one k_max leaves of the error of the model, and of no model, with how many coefficients."""
    model, none = corrections["model"][USUAL], corrections["none"][USUAL]
    found = {"mae": model["mae"][place], "rmse": model["rmse"][place], "mae_of_none": none["mae"][place]}
    return found | {"coefficients_per_point": model["coefficients_per_point"][place]}


def quotients(found: Row) -> dict[str, float | None]:
    """Change of φ; recall, precision and mean displacement (Å) of critical points."""
    reference, prediction, matched = (found[name] for name in POINTS)
    return {
        **{key: found[key] for key in ("delta_phi", "abs_delta_phi")},
        "recall": matched / reference if reference else None,
        "precision": matched / prediction if prediction else None,
        "displacement": found["moved"] / matched if matched else None,
    }


def paragraph(found: Row) -> str:
    """The answer in words."""
    shares = [
        f"{_text(share['power'])} above {limit} Å (reference {_text(share['reference_power'])}, white noise "
        f"{_text(share['waves'])}, on planes {_text(found['plane_above'][limit]['power'])}; "
        f"{_text(share['relative_power'])} of the reference's power there)"
        for limit, share in found["above"].items()
    ]
    fits = [
        f"{WORDS[name]}, {fit['mae']:.4f} with "
        f"{fit['coefficients_per_point']:.1e} coefficients per voxel (no model at all {fit['mae_of_none']:.4f})"
        for name, fit in found["after"].items()
    ]
    states = [
        f"{name.replace(' ', ' Å ')} {_text(row['abs_delta_phi'])}, {_text(row['recall'])}, {_text(row['precision'])}"
        for name, row in found["topology"].items()
    ]
    halves = [_text(found[f"{name}half_wavelength"]) for name in ("", "reference_")]
    return (
        f"Power of the residual by wavelength: {', '.join(shares)}. Half of it is above {halves[0]} Å (reference "
        f"{halves[1]} Å); correlation length {_text(found['correlation_length'])} Å. Mostly above 3 Å, hence "
        f"long-wavelength: {VERDICTS[found['mostly_above_3']]}. MAE {found['before']['mae']:.4f}, and fitted to the "
        f"answer by all waves down to {'; '.join(fits)}. |Δφ|, recall and precision of critical points: "
        f"{'; '.join(states) or 'not searched'}."
    )


def _text(number: float | None) -> str:
    return "undefined" if number is None else f"{number:.3g}"


def settings(k_maxes: Sequence[float]) -> dict[str, Any]:
    """What decides a row besides entrant and data."""
    periods = [k * EDGE / (2 * math.pi) for k in k_maxes]
    planes = [f"{axis} = 0" for axis in PLANES]
    found = {"k_max": list(k_maxes), "periods_per_11_angstrom": periods, "named_k_max": NAMED, "planes": planes}
    return json_values(found | {"correlation_step": STEP, "noise_draws": DRAWS, "seed": SEED})


def row_path(benchmark: Benchmark, file: str, k_maxes: Sequence[float]) -> Path:
    """Rows of another entrant, structure, setting or version have other names, and are never mixed in."""
    task, data = benchmark.definition, hashlib.sha256((benchmark.data.raw_dir / file).read_bytes()).hexdigest()
    asked = [list(task.parts), task.refine, task.group_by, settings(k_maxes), elfzoo.__version__]
    identity = [dict(benchmark.entrant.facts), data, *asked]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return benchmark.place / f"{Path(file).stem}-{key[:12]}.json"


def measured_row(benchmark: Benchmark, index: int, k_maxes: Sequence[float]) -> dict[str, Any]:
    """Predict and measure one structure."""
    began, cpu = time.perf_counter(), time.process_time()
    task, (structure, reference) = benchmark.definition, benchmark.data[index]
    grid = elfzoo.Grid(fine_shape(reference, task), structure.lattice.matrix)
    guess = benchmark.entrant.predict(Path(reference.meta["file"]).stem, structure, grid)
    guess = guess.replace(values=np.clip(guess.values, 0, 1), structure=structure)
    group = reference.meta.get(task.group_by) if task.group_by else None
    head = {"file": reference.meta["file"], "atoms": len(structure), "group": group, "grid": list(reference.grid.shape)}
    found = measure(pair(reference, guess, task), k_maxes, "topology" in task.parts)
    spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    return json_values({**head, **found, **spent})


def run(benchmark: Benchmark, out: Path, k_maxes: Sequence[float], progress: bool | None = None) -> Path:
    """Measure what is not measured yet, write the record into the folder ``out`` and return its path.

    ``k_maxes`` in rad/Å hold those of ``NAMED``. Whatever fails, what was measured before stays.
    """
    paths = [row_path(benchmark, file, k_maxes) for file in benchmark.data.raw_file_names]
    with progress_bar(f"residuals of {benchmark.entrant.name} on {benchmark.name}", len(paths), progress) as advance:
        for index, path in enumerate(paths):
            if not path.is_file():
                write_json(path, measured_row(benchmark, index, k_maxes))
            advance(1)
    rows = [json.loads(path.read_text()) for path in paths]
    path = record_path(out, benchmark.name, benchmark.entrant.name, benchmark.split)
    write_json(path, record(benchmark, rows, k_maxes))
    return path


def record(benchmark: Benchmark, rows: Sequence[Row], k_maxes: Sequence[float]) -> dict[str, Any]:
    """Everything that the figures need to be checked and repeated; curves are means over groups."""
    facts, groups = dict(benchmark.entrant.facts), grouped(rows)
    means = {name: mean_of([{key: row[key] for key in PARTS} for row in part]) for name, part in groups.items()}
    line = ("file", "atoms", "group", "grid", "seconds")
    found = {
        "model": benchmark.entrant.name,
        "spec": benchmark.spec,
        "task": benchmark.name,
        "split": benchmark.split,
        "data_sha256": benchmark.data.data_hash,
        "weights_sha256": facts.pop("weights_sha256", None),
        "entrant": facts,
        **environment(),
        "settings": settings(k_maxes),
        "cost": {key: sum(row[key] for row in rows) for key in ("seconds", "cpu_seconds")},
        "answers": [{"group": name, "structures": len(groups[name])} | answer(m, k_maxes) for name, m in means.items()],
        "groups": [{"group": name, **mean} for name, mean in means.items()],
        "structures": [{key: row[key] for key in line} | answer(row, k_maxes) for row in rows],
    }
    return json_values(found)


def wanted_k(values: Sequence[float] | None) -> list[float]:
    """Those asked for, or the paper's, and the named ones, ascending."""
    asked = [2 * math.pi * periods / EDGE for periods in PERIODS] if values is None else list(values)
    return sorted({*asked, *NAMED.values()})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"all releases that ship and {FLOOR} by default")
    parser.add_argument("--task", default="fluid-h", help="name of a task, or a YAML file")
    parser.add_argument("--k-max", nargs="+", type=float, metavar="K", help="rad/Å; 1 to 36 periods of 11 Å by default")
    parser.add_argument("--data", help="folder of the datasets; $ELFZOO_DATA or the checkout's by default")
    parser.add_argument("--work", type=Path, default=Path("runs/residuals"), help="where rows are kept")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "residuals", help="where records go")
    args = parser.parse_args(arguments)
    for spec in args.models or [*elfzoo.list_pretrained(), FLOOR]:
        path = run(Benchmark(spec, args.task, args.work, root=args.data), args.out, wanted_k(args.k_max))
        for found in json.loads(path.read_text())["answers"]:
            print(f"{path.stem} on {args.task}, {found['group']}: {paragraph(found)}\n")


if __name__ == "__main__":
    main()
