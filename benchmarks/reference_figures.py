"""Pictures of the data sets for their cards: ``benchmarks/figures/SET-WHAT.png``, each below 150 kB.

    python benchmarks/reference_figures.py [SET ...] [--data DIR] [--out DIR]

Of every set: how ELF values and pressures are distributed. Of the fluid: pair distributions by pressure. Of hydrogen
crystals: networking value against volume, shortest H-H distances. Of hydrides and metals: a slice per composition.
All of it comes from the stored fields and their records.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from pymatgen.core import Structure
from pymatgen.util.string import latexify

import elfzoo
from elfzoo.analysis import networking
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.interpolate import PeriodicSpline
from elfzoo.io.files import write_bytes
from elfzoo.paths import Plane
from elfzoo.plot import ELF_MAP, STYLE, atoms_on, default_plane, plane_edges
from elfzoo.progress import progress_bar

DATA, FIGURES = Path(__file__).parent / "data", Path(__file__).parent / "figures"
DPI, LARGEST = 110, 150_000  # bytes
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito: for every eye
MARKERS, DASHES = "os^Dvp", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
FREE_MOLECULE = 0.741  # angstrom; r_e of H2 (Huber and Herzberg, 1979)
MOLECULAR = (0.60, 0.90)  # angstrom; where the peak of molecules in a fluid is looked for
BINS, SHELL, LONGEST = 50, 0.04, 4.0  # of ELF; of g(r), angstrom
PANELS, PIXELS = 16, 90  # slices in one picture, points along the longer edge of each

Fields = Sequence[elfzoo.Field]
Groups = Mapping[str, Fields]


def read_fields(folder: Path) -> list[elfzoo.Field]:
    """All fields of a data set, by file name.

    Raises:
        ElfzooError: there are none.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise ElfzooError(f"no .npz files in {folder}; expected those of a data set")
    fields = [elfzoo.read_field(path) for path in paths]
    return [f.replace(meta={**f.meta, "file": path.stem}) for f, path in zip(fields, paths, strict=True)]


def by_pressure(fields: Fields) -> dict[str, list[elfzoo.Field]]:
    """Snapshots by the pressure aimed at."""
    targets = sorted({float(field.meta["target_pressure_GPa"]) for field in fields})
    return {f"{t:g} GPa": [f for f in fields if float(f.meta["target_pressure_GPa"]) == t] for t in targets}


def by_system(fields: Fields) -> dict[str, list[elfzoo.Field]]:
    """Crystals by the first word of their names: cubic, hexagonal."""
    systems = [field.meta["file"].split("_")[0] for field in fields]
    return {s: [f for f, own in zip(fields, systems, strict=True) if own == s] for s in sorted(set(systems))}


def whole(fields: Fields) -> dict[str, list[elfzoo.Field]]:
    return {"all fields": list(fields)}


def elf_histogram(groups: Groups) -> Figure:
    """Share of voxels by ELF; every field weighs the same."""
    figure, axes = _figure()
    edges = np.linspace(0, 1, BINS + 1)
    for number, (name, fields) in enumerate(groups.items()):
        shares = np.mean([np.histogram(f.values, edges)[0] / f.values.size for f in fields], axis=0)
        axes.stairs(100 * shares, edges, label=_label(name, fields), **_line(number))
    axes.set(xlabel="ELF", ylabel=f"% of voxels per {1 / BINS:g}", xlim=(0, 1), ylim=(0, None))
    return _legend(figure, axes)


def pressure_histogram(groups: Groups) -> Figure:
    """Numbers of fields by DFT pressure; dashed lines where the fluid was aimed at."""
    figure, axes = _figure()
    values = {name: np.array([f.meta["pressure_GPa"] for f in fields]) for name, fields in groups.items()}
    every = np.concatenate(list(values.values()))
    edges = np.linspace(every.min() - 1, every.max() + 1, 31)
    axes.hist(
        list(values.values()),
        list(edges),
        stacked=True,
        color=COLOURS[: len(values)],
        label=[_label(name, fields) for name, fields in groups.items()],
        edgecolor="white",
        linewidth=0.4,
    )
    targets = {f.meta.get("target_pressure_GPa") for fields in groups.values() for f in fields} - {None}
    for target in sorted(targets):
        axes.axvline(target, color="black", linestyle="--", linewidth=0.8)
    axes.set(xlabel="DFT pressure (GPa)", ylabel="fields")
    return _count(figure, axes)


def pair_distributions(groups: Groups) -> Figure:
    """g(r) by pressure; the dotted line is the bond of a free molecule."""
    figure, axes = _figure()
    for number, (name, fields) in enumerate(groups.items()):
        radii, g = mean_pair_distribution([field.structure for field in fields])
        axes.plot(radii, g, label=f"{_label(name, fields)}: {describe_peak(radii, g)}", **_line(number))
    axes.axvline(FREE_MOLECULE, color="black", linestyle=":", linewidth=0.8, label=f"free H$_2$, {FREE_MOLECULE} Å")
    axes.axhline(1, color="0.6", linewidth=0.6)
    axes.set(xlabel="r (Å)", ylabel="g(r)", xlim=(0.4, None), ylim=(0, None))
    return _legend(figure, axes)


def describe_peak(radii: np.ndarray, g: np.ndarray) -> str:
    """The peak of the molecules, where there is one: a maximum that is higher than that of an even distribution."""
    inside = (radii > MOLECULAR[0]) & (radii < MOLECULAR[1])
    place = int(np.flatnonzero(inside)[g[inside].argmax()])
    if g[place] <= max(1.0, g[place - 1], g[place + 1]):
        return "no molecular peak"
    return f"molecular peak {g[place]:.2f} at {radii[place]:.2f} Å"


def mean_pair_distribution(structures: Sequence[Structure]) -> tuple[np.ndarray, np.ndarray]:
    """Radii, Å, up to half the shortest height of any cell, and g(r) averaged over the structures."""
    reach = min(LONGEST, *(0.5 / np.linalg.norm(s.lattice.inv_matrix, axis=0).max() for s in structures))
    edges = np.arange(0, reach + 1e-9, SHELL)
    g = np.mean([_pair_distribution(structure, edges) for structure in structures], axis=0)
    return (edges[1:] + edges[:-1]) / 2, g


def _pair_distribution(structure: Structure, edges: np.ndarray) -> np.ndarray:
    """Pairs in each shell over those of an ideal gas of as many atoms, of which each has one neighbour less."""
    distances = structure.get_neighbor_list(float(edges[-1]))[3]
    atoms, shells = len(structure), 4 / 3 * np.pi * np.diff(edges**3)
    return np.histogram(distances, edges)[0] / (atoms * (atoms - 1) * shells / structure.volume)


def networking_by_volume(groups: Groups) -> Figure:
    """Networking value of each crystal against its volume per atom."""
    figure, axes = _figure()
    with progress_bar("networking", sum(map(len, groups.values()))) as advance:
        for number, (name, fields) in enumerate(groups.items()):
            phi = []
            for field in fields:
                phi.append(networking(field).phi)
                advance(1)
            volumes = [field.structure.volume / len(field.structure) for field in fields]
            axes.scatter(volumes, phi, 14, label=_label(name, fields), **_marks(number))
    axes.set(xlabel="volume per atom (Å$^3$)", ylabel="networking value $\\phi$", ylim=(0, 1))
    return _legend(figure, axes)


def shortest_distances(groups: Groups) -> Figure:
    """Numbers of crystals by their shortest H-H distance; the dotted line is the bond of a free molecule."""
    figure, axes = _figure()
    values = [[shortest(field.structure) for field in fields] for fields in groups.values()]
    edges = list(np.arange(math.floor(min(map(min, values)) / 0.02) * 0.02, max(map(max, values)) + 0.02, 0.02))
    labels = [_label(name, fields) for name, fields in groups.items()]
    style = {"color": COLOURS[: len(values)], "edgecolor": "white", "linewidth": 0.4}
    axes.hist(values, edges, stacked=True, label=labels, **style)
    axes.axvline(FREE_MOLECULE, color="black", linestyle=":", linewidth=0.8, label=f"free H$_2$, {FREE_MOLECULE} Å")
    axes.set(xlabel="shortest H-H distance (Å)", ylabel="crystals")
    return _count(figure, axes)


def shortest(structure: Structure) -> float:
    """Shortest distance between atoms, periodic images of one atom included, Å."""
    reach = 1.0
    while not len(found := structure.get_neighbor_list(reach)[3]):
        reach *= 1.5
    return float(found.min())


def slices(groups: Groups) -> Figure:
    """A slice through the most atoms, for one field of each composition; circles are H, squares other elements."""
    fields = chosen([field for part in groups.values() for field in part])
    columns = min(4, len(fields))
    rows = -(-len(fields) // columns)
    figure = Figure(figsize=(1.45 * columns + 0.6, 1.5 * rows + 0.15), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.ravel()[len(fields) :]:
        axes.set_axis_off()
    for axes, field in zip(panels.ravel(), fields, strict=False):
        mesh = draw_slice(axes, field, default_plane(field.structure))
        pressure = f", {round(field.meta['pressure_GPa'])} GPa" if "pressure_GPa" in field.meta else ""
        axes.set_title(f"{latexify(field.structure.composition.reduced_formula)}{pressure}", fontsize=7)
    figure.colorbar(mesh, ax=panels, label="ELF", shrink=0.6, aspect=30)
    return figure


def chosen(fields: Fields) -> list[elfzoo.Field]:
    """The first field of each composition, spread evenly over the list where there are more than fit."""
    first: dict[str, elfzoo.Field] = {}
    for field in fields:
        first.setdefault(field.structure.composition.reduced_formula, field)
    found = list(first.values())
    return [found[i] for i in np.linspace(0, len(found) - 1, min(PANELS, len(found))).round().astype(int)]


def draw_slice(
    axes: Axes, field: elfzoo.Field, plane: Plane, colours: str = ELF_MAP, limits: tuple[float, float] = (0, 1)
) -> QuadMesh:
    """A slice in true proportions with the atoms near it, and a scale bar of 1 Å below."""
    edges, values = plane_edges(plane, field.structure), _values(field, plane)
    u, v = (np.linspace(0, 1, n) for n in values.shape)
    x, y = np.moveaxis(u[:, None, None] * edges[0] + v[:, None] * edges[1], 2, 0)
    mesh = axes.pcolormesh(x, y, values, cmap=colours, shading="gouraud", rasterized=True)
    mesh.set_clim(*limits)
    coords, symbols = atoms_on(plane, field.structure)
    for marker, kind in (("o", symbols == "H"), ("s", symbols != "H")):
        style = {"marker": marker, "c": "white", "edgecolors": "black", "linewidths": 0.7, "clip_on": False}
        axes.scatter(*coords[kind, :2].T, 12, zorder=3, **style)
    below = y.min() - 0.12 * np.ptp(y)
    axes.plot([x.min(), x.min() + 1], [below, below], color="black", linewidth=1.5, solid_capstyle="butt")
    axes.text(x.min() + 1.1, below, "1 Å", va="center", fontsize=6)
    axes.set(aspect="equal")
    axes.set_axis_off()
    return mesh


def _values(field: elfzoo.Field, plane: Plane) -> np.ndarray:
    """(nu, nv) on the plane, all four of its borders included."""
    lengths = np.linalg.norm(plane_edges(plane, field.structure), axis=1)
    u, v = (np.linspace(0, 1, max(2, round(PIXELS * length / lengths.max()))) for length in lengths)
    frac = np.array(plane.origin) + u[:, None, None] * np.array(plane.edge_u) + v[:, None] * np.array(plane.edge_v)
    return PeriodicSpline.through(field.values)(frac.reshape(-1, 3)).reshape(len(u), len(v))


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.0, 2.8), layout="constrained")
    return figure, figure.add_subplot()


def _legend(figure: Figure, axes: Axes) -> Figure:
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        frameon=False,
        fontsize=7,
        loc="outside upper center",
        ncols=2 if len(axes.get_legend_handles_labels()[0]) == 2 else 1,
    )
    return figure


def _count(figure: Figure, axes: Axes) -> Figure:
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return _legend(figure, axes)


def _label(name: str, fields: Fields) -> str:
    return f"{name} ({len(fields)})"


def _line(number: int) -> dict:
    return {"color": COLOURS[number], "linestyle": DASHES[number], "linewidth": 1.3}


def _marks(number: int) -> dict:
    return {"marker": MARKERS[number], "facecolors": "none", "edgecolors": COLOURS[number], "linewidths": 0.9}


COMMON: dict[str, Callable[[Groups], Figure]] = {"elf": elf_histogram, "pressure": pressure_histogram}
CRYSTALS = {"networking": networking_by_volume, "distances": shortest_distances}
SETS: dict[str, tuple[Callable[[Fields], Groups], dict[str, Callable[[Groups], Figure]]]] = {
    "fluid-h": (by_pressure, COMMON | {"pairs": pair_distributions}),
    "crystal-h": (by_system, COMMON | CRYSTALS),
    "hydrides": (whole, COMMON | {"slices": slices}),
    "metals": (whole, COMMON | {"slices": slices}),
}


def save(figure: Figure, path: Path) -> int:
    """Write a PNG of at most 256 colours, whole or not at all; returns its size in bytes.

    Raises:
        ElfzooError: it is larger than what a repository should carry.
    """
    drawn, packed = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            packed, "PNG", optimize=True
        )
    size = packed.tell()
    if size > LARGEST:
        raise ElfzooError(f"{path} would have {size:,} bytes; expected at most {LARGEST:,}")
    write_bytes(path, [packed.getvalue()])
    return size


def draw(name: str, data: Path = DATA, out: Path = FIGURES) -> list[Path]:
    """All pictures of one data set."""
    if name not in SETS:
        raise UnknownNameError("data set", name, SETS)
    grouping, pictures = SETS[name]
    groups = grouping(read_fields(data / name))
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    with rc_context(rc=STYLE):
        for what, picture in pictures.items():
            paths.append(out / f"{name}-{what}.png")
            size = save(picture(groups), paths[-1])
            print(f"{paths[-1].name}: {size / 1000:.0f} kB")
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}; all of them by default")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=FIGURES)
    args = parser.parse_args()
    for name in args.sets or SETS:
        draw(name, args.data, args.out)


if __name__ == "__main__":
    main()
