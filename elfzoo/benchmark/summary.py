"""From the measurements of structures to the metrics of a task. Every structure weighs the same unless a name says so.

Metrics are flat: ``mae``, ``phi_mae``, … Intervals, ``…_low`` and ``…_high``, are 95 % bootstrap intervals over
compounds, trajectories or crystals (:mod:`elfzoo.benchmark.resampling`; 10 000 resamples, seed 0). A metric that
nothing defines (an R² of constants, φ* without hydrogen) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from elfzoo.analysis.profiles import ErrorProfile, pooled
from elfzoo.benchmark.few_shot_metrics import few_shot_metrics
from elfzoo.benchmark.matching import matching_metrics
from elfzoo.benchmark.measure import PHIS, json_values
from elfzoo.benchmark.ranking import template_metrics
from elfzoo.benchmark.resampling import clusters_of, interval_of_mean, interval_of_ratio
from elfzoo.benchmark.roofline import roofline_metrics

__all__ = ["curves", "grouped", "summary", "without_curves"]

Row = Mapping[str, Any]
KINDS = {"all": "cp", "(3,-3)": "cp_attractor", "(3,-1)": "cp_bond", "(3,+1)": "cp_ring", "(3,+3)": "cp_cage"}
AVERAGED = (
    *("mae", "rmse", "r2", "r2_correlated", "bias", "mae_stratified", "rmse_stratified", "r2_stratified"),
    "histogram_distance",
)
WITH_INTERVAL = ("mae", "rmse", "r2", "r2_correlated")
NAMES = {"phi_3d": "phi"}  # the networking value is that of three directions
CURVES = {"profile": ("by_elf", "by_distance", "joint"), "spectrum": ("k", "density", "reference_density")}


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """Metrics of a task from those of its structures."""
    found: dict[str, float] = {}
    for part, summarise in SUMMARIES.items():
        own = [row for row in rows if part in row]
        found |= summarise([row[part] for row in own], clusters_of(own)) if own else {}
    return {name: value for name, value in json_values(found).items() if value is not None}


def grouped(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Metrics of each group of structures, such as those of one pressure."""
    names = sorted({row["group"] for row in rows} - {None}, key=_order)
    return {str(name): summary([row for row in rows if row["group"] == name]) for name in names}


def curves(rows: Sequence[Row]) -> dict[str, Any]:
    """Errors by ELF and by distance, densities of power by |G|: means over the structures that have points there.

    The joint histogram of reference and prediction is summed; rows of earlier versions lack it.
    """
    found: dict[str, Any] = {}
    if "profile" in rows[0]:
        profiles = [row["profile"] for row in rows]
        mean = pooled([ErrorProfile.from_dict(part) for part in profiles]).to_dict()
        found |= {name: mean[name] for name in CURVES["profile"] if name in mean}
        if all("joint" in part for part in profiles):
            found["joint"] = np.sum([part["joint"] for part in profiles], axis=0).tolist()
    if "spectrum" in rows[0]:
        found["spectrum"] = _mean_spectrum([row["spectrum"] for row in rows])
    return json_values(found)


def without_curves(row: Row) -> dict[str, Any]:
    """The measurements of a structure that fit into a line."""
    found = dict(row)
    for part, names in CURVES.items():
        if part in row:
            found[part] = {key: value for key, value in row[part].items() if key not in names}
    return found


def _mean_spectrum(parts: Sequence[Row]) -> dict[str, list[float]]:
    """Shells are of one width, so that they differ in number alone: small spacings reach farther."""
    longest = max((p["k"] for p in parts), key=len)
    table = {name: np.full((len(parts), len(longest)), np.nan) for name in CURVES["spectrum"][1:]}
    for name, values in table.items():
        for line, part in zip(values, parts, strict=True):
            line[: len(part[name])] = np.array(part[name], float)
    known = (~np.isnan(table["density"])).any(axis=0)
    means = {name: np.nanmean(values[:, known], axis=0).tolist() for name, values in table.items()}
    return {"k": np.array(longest)[known].tolist(), **means}


def _order(name: str | float) -> tuple[bool, float, str]:
    """Numbers by value, before texts."""
    number = isinstance(name, int | float)
    return not number, float(name) if number else 0.0, str(name)


def voxels(parts: Sequence[Row], clusters: Sequence[str]) -> dict[str, float]:
    """Means over structures, the extremes, and (``_pooled``) one figure over all voxels of all structures."""
    found = {name: _mean(parts, name) for name in AVERAGED}
    found["r2_lowest"] = min((p["r2"] for p in parts if p["r2"] is not None), default=np.nan)
    found["mae_highest"] = max(p["mae"] for p in parts)
    found["max_error"] = max(p["max_error"] for p in parts)
    found["elf_spread"] = float(np.mean(np.sqrt([p["reference_variance"] for p in parts])))  # what R² compares with
    for name in WITH_INTERVAL:
        found |= _interval(name, parts, clusters)
    return found | _pooled(parts)


def _pooled(parts: Sequence[Row]) -> dict[str, float]:
    """As if all structures were one field: large cells weigh more."""
    columns = ("points", "mae", "rmse", "reference_mean", "reference_variance")
    points, mae, rmse, mean, variance = (np.array([p[name] for p in parts], float) for name in columns)
    share = points / points.sum()
    squared, spread = share @ rmse**2, share @ (variance + (mean - share @ mean) ** 2)
    r2 = 1 - squared / spread if spread > 0 else np.nan
    return {"mae_pooled": share @ mae, "rmse_pooled": np.sqrt(squared), "r2_pooled": r2}


def profile(parts: Sequence[Row], clusters: Sequence[str]) -> dict[str, float]:
    """Percentiles of |error|, and errors outside metal cores of the structures that have points there."""
    known = [(p["outside_cores"], c) for p, c in zip(parts, clusters, strict=True) if p["outside_cores"] is not None]
    outside = [part for part, _ in known]
    found = {f"error_p{q}": float(np.mean([p["percentiles"][q] for p in parts])) for q in parts[0]["percentiles"]}
    found |= {f"{name}_outside_cores": _mean(outside, name) for name in ("mae", "rmse", "r2")}
    return found | _interval("mae", outside, [cluster for _, cluster in known], "mae_outside_cores")


def spectrum(parts: Sequence[Row], _: Sequence[str]) -> dict[str, float]:
    """Shares of the residual's power by wavelength in Å (all structures' power together), and correlation length."""
    total = sum(p["power"] for p in parts)
    found = {"correlation_length": _mean(parts, "correlation_length")}
    for name in parts[0]["bands"]:
        power = sum(p["power"] * (p["bands"][name]["share"] or 0) for p in parts)
        found[f"residual_{name}"] = power / total if total else np.nan
    return found


def topology(parts: Sequence[Row], clusters: Sequence[str]) -> dict[str, float]:
    """Errors of networking values and links averaged over structures; critical points pooled over them."""
    found: dict[str, float] = {}
    for phi in PHIS:
        found |= _networking(NAMES.get(phi, phi), parts, phi, clusters)
    for kind, name in KINDS.items():
        points = [p["points"][kind] for p in parts]
        reference, predicted = (sum(p[side] for p in points) for side in ("reference", "prediction"))
        found |= matching_metrics(name, points, reference, predicted)
    found |= _matching_intervals([p["points"]["all"] for p in parts], clusters)
    found["network_jaccard"] = _mean(parts, "jaccard_at_phi")
    found["network_jaccard_mean"] = _mean(parts, "jaccard_mean")
    return found | _interval("jaccard_at_phi", parts, clusters, "network_jaccard")


def _matching_intervals(points: Sequence[Row], clusters: Sequence[str]) -> dict[str, float]:
    """Of figures that are pooled over structures: structures are drawn, then pooled."""
    reference, predicted, matched = ([p[name] for p in points] for name in ("reference", "prediction", "matched"))
    moved = [p["mean_displacement"] * p["matched"] if p["matched"] else 0.0 for p in points]
    pooled_from = {"recall": (matched, reference), "precision": (matched, predicted), "displacement": (moved, matched)}
    found: dict[str, float] = {}
    for name, (above, below) in pooled_from.items():
        if any(below):
            found |= _ends(f"cp_{name}", interval_of_ratio(above, below, clusters))
    return found


def _networking(name: str, parts: Sequence[Row], phi: str, clusters: Sequence[str]) -> dict[str, float]:
    """MAE, bias and R² of one networking value, beside its spread in the reference: the error of saying the mean."""
    known = [(p, cluster) for p, cluster in zip(parts, clusters, strict=True) if p["delta"][phi] is not None]
    if not known:
        return {}
    error, truth = (np.array([p[key][phi] for p, _ in known]) for key in ("delta", "reference"))
    spread = truth.std()
    return {
        f"{name}_mae": np.abs(error).mean(),
        f"{name}_bias": error.mean(),
        f"{name}_spread": spread,
        f"{name}_r2": 1 - (error**2).mean() / spread**2 if truth.min() < truth.max() else np.nan,
        **_ends(f"{name}_mae", interval_of_mean(np.abs(error), [cluster for _, cluster in known])),
    }


def speed(parts: Sequence[Row], _: Sequence[str] = ()) -> dict[str, float]:
    """Of the one job that a task of speed has (:mod:`elfzoo.benchmark.speed`)."""
    (job,) = parts
    rate, name = job["points"] / job["seconds"], f"{job['atoms']}h_{job['points_along_edge']}"
    found = {
        "voxels_per_second": rate,
        f"seconds_{name}": job["seconds"],
        f"cpu_seconds_{name}": job["cpu_seconds"],
        "ratio_to_dense_baseline": rate / job["dense_points_per_second"],
        "dense_baseline_voxels_per_second": job["dense_points_per_second"],
        **({"peak_rss_gib": job["peak_rss_gib"]} if "peak_rss_gib" in job else {}),
        "doubled_cell_ratio": job["seconds_two_cells"] / job["seconds_half_grid"],
        "share_timed": job["points_timed"] / job["points"],
    }
    if "seconds_spline" in job:
        found[f"seconds_{name}_spline"] = job["seconds_spline"]
        found |= {key: job[key] for key in ("spline_mae", "spline_largest")}
    return found | (roofline_metrics(job["roofline"], job["seconds"]) if "roofline" in job else {})


def _mean(parts: Sequence[Row], name: str) -> float:
    """Over the structures where it is defined."""
    known = [p[name] for p in parts if p[name] is not None]
    return float(np.mean(known)) if known else np.nan


def _interval(name: str, parts: Sequence[Row], clusters: Sequence[str], title: str = "") -> dict[str, float]:
    """Of a mean over the structures where it is defined."""
    known = [(p[name], cluster) for p, cluster in zip(parts, clusters, strict=True) if p[name] is not None]
    if not known:
        return {}
    return _ends(title or name, interval_of_mean([value for value, _ in known], [cluster for _, cluster in known]))


def _ends(name: str, ends: Sequence[float]) -> dict[str, float]:
    return {f"{name}_low": ends[0], f"{name}_high": ends[1]}


def _templates(parts: Sequence[Row], _: Sequence[str]) -> dict[str, float]:
    return template_metrics(parts)


def _few_shot(parts: Sequence[Row], _: Sequence[str]) -> dict[str, float]:
    return few_shot_metrics(parts)


SUMMARIES: Mapping[str, Callable[[Sequence[Row], Sequence[str]], dict[str, float]]] = {
    "voxels": voxels,
    "profile": profile,
    "spectrum": spectrum,
    "topology": topology,
    "templates": _templates,
    "few_shot": _few_shot,
    "speed": speed,
}
