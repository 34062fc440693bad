"""Pictures of residuals from their records: ``benchmarks/figures/residuals-TASK-MODEL-WHAT.png``.

    python benchmarks/residual_figures.py [MODEL ...] [--task fluid-h] [--results benchmarks/results/residuals]

``plane`` is Fig. 2 of Wang et al. (2026), panel by panel, the paper's numbers as stars; ``maps`` their Fig. S3, and
below it the same fit to no model at all; ``volume`` what planes cannot tell. Curves are those of the record. Maps are
of the plane z = 0 in the largest cell of the first and the last group, predicted anew by the entrant of the record.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from reference_figures import COLOURS, DASHES, FIGURES, FREE_MOLECULE, save
from residuals import EDGE, HERE, LIMITS, NAMED, PAPER, USUAL
from scipy import special

from elfzoo.analysis import PlaneResidual, plane_correction, plane_residual
from elfzoo.analysis.metrics import ELF_BINS
from elfzoo.benchmark import Benchmark, record_path
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.plot import ELF_MAP, RESIDUAL_MAP, STYLE

# Wang et al. (2026), text to Figs. 2E and F, by pressure: the k_max from which on errors stay, MAE of the plane before
# and after, size of the correction relative to ELF and to its logit, in a norm that is not stated
PAPER_K = {"76.0": 20, "115.1": 24, "138.5": 27}
PAPER_MAE, PAPER_MAE_AFTER = {"76.0": 0.0184, "115.1": 0.0192, "138.5": 0.0197}, {"76.0": 0.0047}
PAPER_ELF_SIZE, PAPER_LOGIT_SIZE = {"76.0": 0.081, "115.1": 0.091, "138.5": 0.094}, {"76.0": 0.076}
RESIDUAL, DECADES, RATIO = 0.2, 3, (0.1, 25)  # colours of Fig. 2B, C (ours), H and I
MAPS = (5, 10, 15, 20)  # periods per 11 Å
SHARPEST = 16.0  # rad/Å, to which spectra are shown; references end at 18
STATES = {"corrected": COLOURS[0], "random": "0.7", "alone": COLOURS[2]}
STATE_WORDS = {"corrected": "corrected", "random": "random phases", "alone": "these waves alone"}
MEASURES = {"abs_delta_phi": "g  |Δφ|", "recall": "h  critical points found", "precision": "i  critical points real"}
K_MAX = "k$_{max}$ (rad/Å); above: per 11 Å"
TEXT: dict[str, Any] = {"fontsize": 7, "va": "top"}

Row = Mapping[str, Any]
Curves = Iterable[tuple[Any, Any]]


@dataclass(frozen=True, eq=False)
class Shown:
    """The plane z = 0 of one structure, with its group and size as title."""

    title: str
    reference: Field
    prediction: Field

    @property
    def residual(self) -> PlaneResidual:
        return plane_residual(self.reference, self.prediction)

    def of_no_model(self) -> Shown:
        return Shown(
            "no model", self.reference, self.prediction.replace(values=np.full(self.reference.grid.shape, 0.5))
        )


def shown_planes(record: Row, benchmark: Benchmark) -> list[Shown]:
    """Of the first and the last group, the first of the largest cells.

    Raises:
        ElfzooError: the record is of other data or weights than there are now.
    """
    facts = benchmark.entrant.facts
    if (record["data_sha256"], record["weights_sha256"]) != (benchmark.data.data_hash, facts.get("weights_sha256")):
        raise ElfzooError(f"the record of {record['model']} is of other data or weights than there are; make it anew")
    names = list(groups_of(record))
    return [_shown(record["structures"], benchmark, name) for name in dict.fromkeys((names[0], names[-1]))]


def _shown(structures: Sequence[Row], benchmark: Benchmark, group: str) -> Shown:
    rows = [row for row in structures if group in ("all", str(row["group"]))]
    chosen = Path(max(rows, key=lambda row: row["atoms"])["file"])
    structure, reference = benchmark.data[benchmark.data.raw_file_names.index(chosen.name)]
    guess = benchmark.entrant.predict(chosen.stem, structure, reference.grid)
    guess = guess.replace(values=np.clip(guess.values, 0, 1), structure=structure)
    title = f"{label(group, benchmark)}, {len(structure)} atoms, {structure.lattice.a:.1f} Å"
    return Shown(title, reference, guess)


def groups_of(record: Row) -> dict[str, Row]:
    """The groups of a record, or all structures where it has none."""
    found = {row["group"]: row for row in record["groups"]}
    return {name: row for name, row in found.items() if name != "all"} or found


def label(group: str, benchmark: Benchmark) -> str:
    """With its unit, which the name of the entry ends in."""
    return group if group == "all" else f"{group} {(benchmark.definition.group_by or '').split('_')[-1]}"


def fits(row: Row, domain: str, name: str = "model") -> Row:
    """Of the model or of none, with the usual clip."""
    return row[domain]["correction"][name][USUAL]


def plane_figure(record: Row, benchmark: Benchmark, shown: Sequence[Shown]) -> Figure:
    """Panels A to I of the paper's Fig. 2, of planes alone."""
    groups, k = groups_of(record), record["settings"]["k_max"]
    names = [label(name, benchmark) for name in groups]
    figure = Figure(figsize=(8.0, 7.6), layout="constrained")
    panels = figure.subplots(3, 3)
    slices(panels[0], shown[0])
    ring_panel(panels[1, 0], groups, names, record["answers"][0])
    error_panel(panels[1, 1], groups, k, "plane", "E  MAE that the fit leaves (★ paper)")
    size_panel(panels[1, 2], groups, k)
    profile_panel(panels[2, 0], groups)
    for axes, letter, plane in zip(panels[2, 1:], "HI", shown, strict=False):
        ratio_map(axes, plane, letter)
    for axes in panels[2, 1 + len(shown) :]:
        axes.set_axis_off()
    for axes in (*panels[1], panels[2, 0]):
        axes.spines[["top", "right"]].set_visible(False)
    return with_legend(figure, panels[1, 0], f"{record['model']} on {record['task']}: planes, as in the paper's Fig. 2")


def slices(row: Sequence[Axes], shown: Shown) -> None:
    """ELF, the residual, and its Fourier amplitude."""
    residual = shown.residual
    cells(row[0], shown.reference.values[:, :, 0], residual.edges, ELF_MAP, Normalize(0, 1), bar=True)
    row[0].set_title(f"A  ELF, {shown.title}")
    cells(row[1], residual.residual, residual.edges, RESIDUAL_MAP, Normalize(-RESIDUAL, RESIDUAL), bar=True)
    row[1].set_title(f"B  residual, MAE {np.abs(residual.residual).mean():.4f}")
    amplitude_map(row[2], residual)


def cells(axes: Axes, values: np.ndarray, edges: np.ndarray, colours: str, norm: Any, bar: bool = False) -> QuadMesh:
    """Values on a plane, each point in the middle of its cell, in true proportions."""
    u, v = ((np.arange(n + 1) - 0.5) / n for n in values.shape)
    corners = u[:, None, None] * edges[0] + v[:, None] * edges[1]
    mesh = axes.pcolormesh(*np.moveaxis(corners, 2, 0), values, cmap=colours, norm=norm, rasterized=True)
    axes.set(aspect="equal", xlabel="Å", ylabel="Å")
    if bar:
        axes.figure.colorbar(mesh, ax=axes, shrink=0.8)
    return mesh


def amplitude_map(axes: Axes, residual: PlaneResidual) -> None:
    u, v = residual.waves
    k = u[:, None, None] * residual.reciprocal[0] + v[:, None] * residual.reciprocal[1]
    top = residual.amplitude.max()
    norm = LogNorm(top / 10**DECADES, top, clip=True)
    style = {"cmap": "magma", "norm": norm, "shading": "nearest", "rasterized": True}
    mesh = axes.pcolormesh(*np.moveaxis(k, 2, 0), residual.amplitude, **style)
    axes.figure.colorbar(mesh, ax=axes, shrink=0.8)
    ends = (-SHARPEST, SHARPEST)
    axes.set(title="C  Fourier amplitude of B", aspect="equal", xlim=ends, ylim=ends, xlabel="rad/Å", ylabel="rad/Å")


def lines(axes: Axes, curves: Curves, names: Sequence[str] = (), **style: Any) -> None:
    """A line for each group, in its colour; what is not defined is left out."""
    for number, (x, y) in enumerate(curves):
        text = names[number] if names else None
        axes.plot(x, np.array(y, float), **{"color": colour(number), "linewidth": 1.2, "label": text, **style})


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def shown_part(found: Row, name: str) -> tuple[Any, Any]:
    """A curve against k as far as it is shown."""
    end = int(np.searchsorted(found["k"], SHARPEST))
    return found["k"][:end], found[name][:end]


def ring_panel(axes: Axes, groups: Mapping[str, Row], names: Sequence[str], answer: Row) -> None:
    """Mean amplitude on rings; in words, how much longer-waved planes look than the cells that they are cut from."""
    lines(axes, [shown_part(row["plane"], "amplitude") for row in groups.values()], names)
    shares = [answer[name]["3"]["power"] for name in ("plane_above", "above")]
    planes, volume = ("-" if share is None else f"{100 * share:.2g} %" for share in shares)
    text = f"power above 3 Å:\nplanes {planes}\nvolume {volume}"
    axes.text(0.97, 0.97, text, transform=axes.transAxes, ha="right", **TEXT)
    axes.set(title="D  mean amplitude on rings", xlabel="|k| (rad/Å)", yscale="log", xlim=(0, SHARPEST))


def error_panel(axes: Axes, groups: Mapping[str, Row], k: Sequence[float], domain: str, title: str) -> None:
    """MAE that fits leave, against k_max: lines of the model, dashes of no model."""
    lines(axes, [(k, fits(row, domain)["mae"]) for row in groups.values()])
    lines(axes, [(k, fits(row, domain, "none")["mae"]) for row in groups.values()], linestyle="--")
    for number, group in enumerate(groups if domain == "plane" else ()):
        star(axes, group, PAPER_MAE, number, place=0.0)
        star(axes, group, PAPER_MAE_AFTER, number)
    axes.set(title=title, yscale="log", xlabel=K_MAX, xlim=(0, k[-1]))
    axes.text(0.97, 0.97, "— model\n- - no model at all", transform=axes.transAxes, ha="right", **TEXT)
    periods_above(axes)


def size_panel(axes: Axes, groups: Mapping[str, Row], k: Sequence[float]) -> None:
    """Size of the correction relative to ELF, and of the first group relative to the logit."""
    found = [fits(row, "plane") for row in groups.values()]
    lines(axes, [(k, row["elf_size_l2"]) for row in found])
    lines(axes, [(k, row["logit_size_l2"]) for row in found[:1]], linestyle=":")
    for number, group in enumerate(groups):
        star(axes, group, PAPER_ELF_SIZE, number)
        star(axes, group, PAPER_LOGIT_SIZE, number, "s")
    axes.set(title="F  size of the correction (★ ■ paper)", xlabel=K_MAX, xlim=(0, k[-1]), ylim=(0, None))
    axes.text(0.97, 0.25, "— ★ in ELF\n··· ■ in logit\nL2 norms", transform=axes.transAxes, ha="right", **TEXT)
    periods_above(axes)


def star(
    axes: Axes, group: str, values: Mapping[str, float], number: int, marker: str = "*", place: float | None = None
) -> None:
    """A number of the paper where it has one for this group, at the paper's k_max or another place."""
    if group in values:
        x = 2 * math.pi * PAPER_K[group] / EDGE if place is None else place
        style = {"markersize": 8, "markeredgecolor": "black", "markeredgewidth": 0.5, "zorder": 3, "clip_on": False}
        axes.plot(x, values[group], marker, color=colour(number), **style)


def periods_above(axes: Axes) -> None:
    """A second axis that counts periods per 11 Å, as the paper does."""
    ratio = EDGE / (2 * math.pi)
    axes.secondary_xaxis("top", functions=(lambda k: k * ratio, lambda periods: periods / ratio))


def profile_panel(axes: Axes, groups: Mapping[str, Row]) -> None:
    """Where on ELF the correction is: relative to the logit, whose zero is at 0.5, and by itself."""
    middle = (np.arange(ELF_BINS) + 0.5) / ELF_BINS
    for name, dash in (("ratio", "-"), ("logit", "--")):
        lines(axes, [(middle, fits(row, "plane")["by_elf"][name]) for row in groups.values()], linestyle=dash)
    axes.set(title="G  correction by ELF, k$_{max}$ = 20", xlabel="ELF of the reference", yscale="log", xlim=(0, 1))
    axes.set_ylim(top=8 * axes.get_ylim()[1])  # room for the text
    axes.text(0.03, 0.97, "— median |u$_r$/u$_{tot}$|\n- - mean |u$_r$|", transform=axes.transAxes, **TEXT)


def ratio_map(axes: Axes, shown: Shown, letter: str) -> None:
    """|u_r/u_tot|: u_tot is zero where ELF is 0.5, whatever the correction."""
    fit = plane_correction(shown.reference, shown.prediction, NAMED[PAPER])
    with np.errstate(divide="ignore"):
        ratio = np.abs(fit.correction / special.logit(fit.corrected))
    cells(axes, ratio, shown.residual.edges, "inferno", LogNorm(*RATIO, clip=True), bar=True)
    axes.set_title(f"{letter}  |u$_r$/u$_{{tot}}$|, {shown.title.split(',')[0]}")


def maps_figure(record: Row, benchmark: Benchmark, shown: Sequence[Shown]) -> Figure:
    """The paper's Fig. S3, what fits leave of the residual; below it of no model at all."""
    figure = Figure(figsize=(8.6, 3.9), layout="constrained")
    panels, norm = figure.subplots(2, 1 + len(MAPS), sharex=True, sharey=True), Normalize(-RESIDUAL, RESIDUAL)
    for row, plane, start in zip(panels, (shown[0], shown[0].of_no_model()), ("model", "no model"), strict=True):
        residual = plane.residual
        left = {start: residual.residual}
        for periods in MAPS:
            corrected = plane_correction(plane.reference, plane.prediction, 2 * math.pi * periods / EDGE).corrected
            left[f"k$_{{max}}$ {periods} per 11 Å"] = corrected - plane.reference.values[:, :, 0]
        for axes, (text, values) in zip(row, left.items(), strict=True):
            mesh = cells(axes, values, residual.edges, RESIDUAL_MAP, norm)
            axes.set_title(f"{text}\nMAE {np.abs(values).mean():.4f}")
            axes.label_outer()
    figure.colorbar(mesh, ax=panels, shrink=0.7, label="fitted − reference ELF")
    figure.suptitle(f"{record['model']}, plane z = 0, {shown[0].title}, as the paper's Fig. S3", fontsize=9)
    return figure


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


def with_legend(figure: Figure, axes: Axes, title: str) -> Figure:
    """One legend of the groups for all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside lower center", ncols=len(labels))
    figure.suptitle(title, fontsize=9)
    return figure


PICTURES = {"plane": plane_figure, "maps": maps_figure, "volume": volume_figure}


def draw(record: Row, benchmark: Benchmark, folder: Path) -> list[Path]:
    """All pictures of one record."""
    shown, paths = shown_planes(record, benchmark), []
    folder.mkdir(parents=True, exist_ok=True)
    with rc_context(rc=STYLE):
        for what, picture in PICTURES.items():
            paths.append(folder / f"residuals-{record['task']}-{record['model']}-{what}.png")
            save(picture(record, benchmark, shown), paths[-1])
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="names in records; all that have one by default")
    parser.add_argument("--task", default="fluid-h", help="name of a task, or a YAML file")
    parser.add_argument("--data", help="folder of the datasets; $ELFZOO_DATA or the checkout's by default")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "residuals")
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args(arguments)
    folder = record_path(args.results, Path(args.task).stem, "any").parent
    for path in [folder / f"{name}.json" for name in args.models] or sorted(folder.glob("*.json")):
        record = json.loads(path.read_text())
        for picture in draw(record, Benchmark(record["spec"], args.task, folder, root=args.data), args.out):
            print(picture)


if __name__ == "__main__":
    main()
