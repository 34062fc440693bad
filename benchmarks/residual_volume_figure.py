"""The picture of whole cells: what planes cannot tell of a residual."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reference_figures import COLOURS, DASHES, FREE_MOLECULE
from residual_measure import LIMITS, NAMED, USUAL
from residual_panels import (
    K_MAX,
    SHARPEST,
    Row,
    Shown,
    error_panel,
    groups_of,
    label,
    lines,
    periods_above,
    shown_part,
    with_legend,
)

from elfzoo.benchmark import Benchmark

STATES = {"corrected": COLOURS[0], "random": "0.7", "alone": COLOURS[2]}
STATE_WORDS = {"corrected": "corrected", "random": "random phases", "alone": "these waves alone"}
MEASURES = {"abs_delta_phi": "g  |Δφ|", "recall": "h  critical points found", "precision": "i  critical points real"}


def volume_figure(record: Row, benchmark: Benchmark, shown: Sequence[Shown]) -> Figure:
    """Spectra, correlation, directions and fits of whole cells, and what the waves do to topology."""
    groups, k = groups_of(record), record["settings"]["k_max"]
    names = [label(name, benchmark) for name in groups]
    everything = record["groups"][0]["volume"]
    figure = Figure(figsize=(8.0, 7.4), layout="constrained")
    panels = figure.subplots(3, 3)
    band_bars(panels[0, 0], everything["spectra"])
    density_panel(panels[0, 1], groups, names)
    correlation_panel(panels[0, 2], groups)
    direction_panel(panels[1, 0], everything["anisotropy"])
    error_panel(panels[1, 1], groups, k, "volume", "e  MAE that the fit leaves")
    clip_panel(panels[1, 2], everything["correction"]["model"], k)
    for axes, key in zip(panels[2], MEASURES, strict=True):
        topology_bars(axes, record["answers"][0]["topology"], key)
    for axes in panels.ravel():
        axes.spines[["top", "right"]].set_visible(False)
    return with_legend(figure, panels[0, 1], f"{record['model']} on {record['task']}: whole cells")


def band_bars(axes: Axes, spectra: Row) -> None:
    """Shares of the power by wavelength."""
    value, logit = spectra["value"]["bands"], spectra[f"logit, clip {USUAL}"]["bands"]
    bars = {"residual": (value, "power"), "in logit": (logit, "power")}
    bars |= {"reference": (value, "reference_power"), "white noise": (value, "waves")}
    for number, (text, (bands, key)) in enumerate(bars.items()):
        values = np.array([band[key] for band in bands.values()])
        places = np.arange(len(values)) + 0.2 * (number - 1.5)
        style = {"label": text, "color": (*COLOURS[:2], "0.3", "0.8")[number]}
        axes.bar(places, 100 * values / (values.sum() or 1), 0.2, **style)
    axes.set_xticks(range(len(value)), list(value))
    axes.legend(frameon=False, fontsize=7)
    axes.set(title="a  % of the power, all structures", xlabel="wavelength (Å)")


def density_panel(axes: Axes, groups: Mapping[str, Row], names: Sequence[str]) -> None:
    """Power per volume of reciprocal space: of the residual, and in dashes of the reference."""
    spectra = [row["volume"]["spectra"]["value"] for row in groups.values()]
    lines(axes, [shown_part(found, "density") for found in spectra], names)
    lines(axes, [shown_part(found, "reference_density") for found in spectra], linestyle="--")
    for limit in LIMITS:
        axes.axvline(NAMED[limit], color="0.6", linewidth=0.6, linestyle=":")
        axes.text(NAMED[limit], 0.02, f"{limit} Å", fontsize=6, rotation=90, transform=axes.get_xaxis_transform())
    axes.set(title="b  power density (- - reference)", xlabel="|G| (rad/Å)", ylabel="ELF² Å³", yscale="log")
    axes.set_xlim(0, SHARPEST)


def correlation_panel(axes: Axes, groups: Mapping[str, Row]) -> None:
    """Autocorrelation against distance; where it falls to 1/e, and how long a bond is."""
    spectra = [row["volume"]["spectra"]["value"] for row in groups.values()]
    lines(axes, [(found["distances"], found["correlation"]) for found in spectra])
    axes.axhline(1 / math.e, color="0.6", linewidth=0.6)
    axes.axvline(FREE_MOLECULE, color="0.6", linewidth=0.6, linestyle=":")
    axes.set(title="c  autocorrelation (— 1/e, ··· bond of H$_2$)", xlabel="distance (Å)", xlim=(0, None))


def direction_panel(axes: Axes, found: Row) -> None:
    """How much of the power has one direction, by |G|, beside isotropic noise."""
    for name, text, shade in (("by_k", "residual", COLOURS[0]), ("chance_by_k", "isotropic noise", "0.6")):
        axes.plot(found["k"], np.array(found[name], float), color=shade, linewidth=1.2, label=text)
    axes.legend(frameon=False, fontsize=7)
    axes.set(title="d  anisotropy, all structures", xlabel="|G| (rad/Å)", xlim=(0, SHARPEST), ylim=(0, None))


def clip_panel(axes: Axes, by_clip: Row, k: Sequence[float]) -> None:
    """The share of the squared residual that fits take away, in logit and in ELF, by clip."""
    for dash, (clip, found) in zip(DASHES, by_clip.items(), strict=False):
        texts = [f"{space}, clip {clip}" for space in ("logit", "ELF")]
        lines(axes, [(k, found[f"{space}_captured"]) for space in ("logit", "elf")], texts, linestyle=dash)
    axes.legend(frameon=False, fontsize=6.5)
    axes.set(title="f  share of the squared residual fitted", xlabel=K_MAX, xlim=(0, k[-1]), ylim=(0, 1))
    periods_above(axes)


def topology_bars(axes: Axes, topology: Row, key: str) -> None:
    """One figure of topology before and after each change, by the waves that are changed."""
    if not topology:
        axes.set_axis_off()
        return
    for number, (state, shade) in enumerate(STATES.items()):
        values = np.array([topology[f"{limit} {state}"][key] for limit in LIMITS], float)
        axes.bar(np.arange(len(values)) + 0.25 * (number - 1), values, 0.25, color=shade, label=STATE_WORDS[state])
    if topology["before"][key] is not None:
        axes.axhline(topology["before"][key], color="black", linewidth=0.9, linestyle="--", label="as predicted")
    axes.set_xticks(range(len(LIMITS)), [f"> {limit} Å" for limit in LIMITS])
    axes.set(title=MEASURES[key], xlabel="waves changed")
    if key == "abs_delta_phi":
        axes.set_ylim(top=1.5 * axes.get_ylim()[1])  # room for the legend
        axes.legend(frameon=False, fontsize=6.5, loc="upper left", ncols=2)
