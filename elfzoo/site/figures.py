"""Charts of records, each with the numbers that it draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from elfzoo.site.charts import Dot, Line, bars, dots, lines
from elfzoo.site.frame import Axis, Figure
from elfzoo.site.parity import parity_figures
from elfzoo.site.tables import is_floor
from elfzoo.site.text import DASH, slug

__all__ = ["figures", "speed_figure"]

Record = Mapping[str, Any]
SMALLEST = 1e-9  # of the largest power
ROOM = 2.0  # a floor farther above the worst model than this would press the models together
BANDS = {">6": "above 6 Å", "3-6": "3 to 6 Å", "1.5-3": "1.5 to 3 Å", "<1.5": "below 1.5 Å"}


def speed_figure(records: Sequence[Record]) -> Figure | None:
    """Accuracy against speed of the entrants of a task; None where no record has both."""
    known = [r for r in records if _speed(r) and r["metrics"].get("mae")]
    if not known:
        return None
    points = [
        Dot(r["model"], _speed(r), r["metrics"]["mae"], f"models/{slug(r['model'])}.html", _kind(r)) for r in known
    ]
    highest = ROOM * max((p.y for p in points if p.kind != "floor"), default=math.inf)
    svg = dots(
        "MAE against voxels per second",
        "The table below the chart has the numbers.",
        Axis("voxels per second", log=True),
        Axis("MAE of ELF", log=True),
        [p for p in points if p.y <= highest],
    )
    above = ", ".join(f"{p.name} ({p.y:.3g})" for p in points if p.y > highest)
    caption = (
        "Accuracy against speed: low and to the right is better. Speeds are those of the task of speed. Open rings "
        f"are floors.{f' Above the chart: {above}.' if above else ''}"
    )
    rows = tuple((p.name, f"{p.x:g}", f"{p.y:g}") for p in points)
    return Figure("speed", svg, caption, ("model", "voxels per second", "MAE"), rows)


def figures(record: Record) -> list[Figure]:
    """Everything about one record that can be drawn."""
    curves, found = record.get("curves", {}), parity_figures(record)
    if "by_elf" in curves:
        found.append(_binned("by-elf", curves["by_elf"], "ELF of the reference", "Errors by ELF of the reference", ""))
    if "by_distance" in curves:
        bins = curves["by_distance"]
        end = "" if bins["mae"][-1] is None else " The last point is all that lies beyond."
        found.append(_binned("by-distance", bins, "distance to the nearest nucleus, Å", "Errors by distance", end))
    if "spectrum" in curves:
        found.append(_spectrum(curves["spectrum"]))
    if any(f"residual_{name}" in record["metrics"] for name in BANDS):
        found.append(_bands(record["metrics"]))
    return found


def _binned(name: str, bins: Mapping[str, Sequence[Any]], label: str, title: str, end: str) -> Figure:
    """MAE and bias, drawn at the middles of the bins."""
    lower = bins["lower"]
    half = (lower[1] - lower[0]) / 2
    middle = [x + half for x in lower]
    svg = lines(
        title,
        "Mean absolute error and bias; the table below has the numbers.",
        Axis(label, zero=True),
        Axis("error of ELF", zero=True),
        [Line("mean |error|", middle, bins["mae"]), Line("bias", middle, bins["bias"], "dashed")],
    )
    rows = tuple(
        (f"{low:g}", *(_text(v) for v in (mae, bias)), f"{count:,}")
        for low, mae, bias, count in zip(lower, bins["mae"], bins["bias"], bins["count"], strict=True)
    )
    caption = f"{title}, means over the structures that have points in the bin. Bias is prediction - reference.{end}"
    return Figure(name, svg, caption, (f"{label}, from", "mean |error|", "bias", "points"), rows)


def _spectrum(spectrum: Mapping[str, Sequence[float]]) -> Figure:
    k, residual, reference = (spectrum[name] for name in ("k", "density", "reference_density"))
    svg = lines(
        "Power of the residual against |G|",
        "Beside that of the reference; the table below has the numbers.",
        Axis("|G|, rad/Å", log=True),
        Axis("power, ELF² Å³", log=True),
        [Line("residual", k, _visible(residual)), Line("reference", k, _visible(reference), "quiet")],
    )
    caption = (
        "Fourier power of residual and reference per volume of reciprocal space, in shells of 0.5 rad/Å, means over "
        "structures. Where the curves meet, the prediction is no better than none. Less than 10⁻⁹ of the largest power "
        "is not drawn."
    )
    rows = tuple((f"{x:g}", f"{a:.3g}", f"{b:.3g}") for x, a, b in zip(k, residual, reference, strict=True))
    return Figure("spectrum", svg, caption, ("|G|, rad/Å", "residual", "reference"), rows)


def _bands(metrics: Mapping[str, float]) -> Figure:
    shares = [(label, metrics[f"residual_{n}"]) for n, label in BANDS.items() if f"residual_{n}" in metrics]
    written = [(label, share, f"{100 * share:.1f} %") for label, share in shares]
    svg = bars("Power of the residual by wavelength", ", ".join(f"{a} {c}" for a, _, c in written), written)
    rows = tuple((label, text) for label, _, text in written)
    caption = "Share of the residual's power by wavelength."
    return Figure("bands", svg, caption, ("wavelength", "share of the power"), rows)


def _visible(power: Sequence[float]) -> list[float | None]:
    """Without what symmetry forbids and rounding leaves."""
    return [value if value > SMALLEST * max(power) else None for value in power]


def _text(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}"


def _speed(record: Record) -> float:
    return record.get("speed") or 0.0


def _kind(record: Record) -> str:
    return "floor" if is_floor(record) else "main"
