"""``elfzoo networking`` and ``elfzoo critical-points``: what fields say, of DFT or predicted on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elfzoo.cli.frames import FrameIndex, has_field_format, read_frames, read_one_field
from elfzoo.cli.outputs import numbered, spare_inputs, write_json
from elfzoo.cli.shell import Species, Spin, say, split_species, with_options
from elfzoo.errors import ElfzooError

if TYPE_CHECKING:
    from elfzoo.analysis import Networking
    from elfzoo.analysis.trajectory import FrameTopology
    from elfzoo.cli.frames import Frame
    from elfzoo.field import Field
    from elfzoo.models.base import Model

__all__ = ["critical_points", "networking"]

JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write everything as JSON; - for standard output alone.")
]
HEADER = f"{'phi':>8}{'±':>9}{'phi_1d':>8}{'phi_2d':>8}{'phi_h':>8}{'phi*':>8}{'H2':>6}{'Tc, K':>9}  file"
MODEL = "±model"


@dataclass(frozen=True)
class _Source:
    """One field to come: where from, its number in a trajectory, how to get it, and φ's error of the model."""

    file: str
    frame: int | None
    field: Callable[[], Field]
    sigma: Callable[[], float] | None = None
    number: int | None = None  # for the names of pictures: None where one frame was asked for

    @property
    def key(self) -> dict[str, Any]:
        return {"file": self.file, "frame": self.frame}

    @property
    def name(self) -> str:
        """To be shown: bytes that are no UTF-8 have a mark in their place."""
        shown = self.file.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return shown if self.frame is None else f"{shown} frame {self.frame}"


@dataclass(frozen=True)
class _Wanted:
    """What is asked of every field; ``labels``: of the pictures of several files."""

    spacing: float
    isovalue: float
    h_dos: float | None
    formula: str
    picture: Path | None
    labels: Mapping[str, str]


def networking(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help="Fields: ELFCAR, .cube, .xsf, .npz, .h5; with -m structures, trajectories."
        ),
    ],
    model: Annotated[
        str | None, typer.Option("-m", "--model", metavar="NAME|FOLDER", help="Predict the fields of structures first.")
    ] = None,
    index: FrameIndex = "-1",
    members: Annotated[
        int,
        typer.Option(
            metavar="N", show_default="none", help="With -m: fields drawn for the model's error of φ, 16 say."
        ),
    ] = 0,
    spacing: Annotated[float, typer.Option(metavar="Å", help="Of the grid that cross-checks φ.")] = 0.08,
    isovalue: Annotated[float, typer.Option(metavar="ELF", help="At or above it two hydrogens are linked.")] = 0.85,
    h_dos: Annotated[
        str | None,
        typer.Option(metavar="SHARE|FILE", help="Hydrogen share of the DOS at the Fermi level, or a file to read it."),
    ] = None,
    fermi_energy: Annotated[
        float | None, typer.Option(metavar="EV", help="Where the file of --h-dos does not state it (projwfc.x).")
    ] = None,
    formula: Annotated[str, typer.Option(metavar="NAME", help="Fit of Tc; a wrong name lists them.")] = "belli2021",
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a table, each row as soon as it is known.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the table of --csv.")] = False,
    json_file: JsonFile = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the isosurface at φ, coloured by component: .png, .pdf, .svg, .html."),
    ] = None,
    spin: Spin = None,
    species: Species = None,
) -> None:
    """Networking value, molecularity and Tc of fields.

    \b
    Examples:
      elfzoo networking ELFCAR
      elfzoo networking */ELFCAR --csv phi.csv                    many; what fails is said, the rest goes on
      elfzoo networking ELFCAR --h-dos 0.43 --picture net.png
      elfzoo networking XDATCAR --index ::10 -m grid_mlp.smooth-h-v4 --csv phi.csv
      elfzoo networking POSCAR -m grid_mlp.smooth-h-v4 --members 16       phi with the model's error, ±model

    \b
    phi      highest isovalue at which one region of ELF runs through the crystal in three directions
    ±        its error from the grid; phi_1d, phi_2d: in one and in two directions
    phi_h    phi where no region may enter a core (of all elements but H and He)
    phi*     highest isovalue at which one region holds two hydrogens; near 1: molecules
    H2       share of the hydrogens that are linked in twos at --isovalue
    ±model   with --members: phi's error by the model, one standard deviation, where it comes with an uncertainty
    Tc       published fit; ≤ where --h-dos is not given and taken as 1. Says nothing about stability.
    """
    from elfzoo.analysis.trajectory import ROW
    from elfzoo.io.tables import RowTable
    from elfzoo.isosurface import require_suffix

    if members and model is None:
        raise typer.BadParameter("--members needs -m: fields of DFT have no model's error")
    spare_inputs((csv_file, json_file, picture), files)
    if resume and json_file is not None:
        raise typer.BadParameter("--json holds what is computed now, which with --resume is not all; leave one out")
    if picture is not None:
        require_suffix(picture)
    share, quiet = None if h_dos is None else _h_dos(h_dos, fermi_energy), str(json_file) == "-"
    of_model = {"model": model} if model else {}
    settings = {"h_dos": share, "tc_fit": formula, "phi_spacing": spacing, "spin": spin}
    settings |= {"members": members} if members else {}
    columns = ("file", *ROW, *settings, *of_model, *(("phi_sigma",) if members else ()))
    header = HEADER.replace("  file", f"{MODEL:>8}  file") if members else HEADER

    wanted = _Wanted(spacing, isovalue, share, formula, picture, _labels([str(file) for file in files]))
    rows: list[dict[str, Any]] = []
    failed = False
    table = None
    if csv_file is not None:
        table = RowTable(
            csv_file, columns, ("file", "frame", *of_model), resume, settings | {"molecular_isovalue": isovalue}
        )
    for source in _sources(files, model, index, spin, split_species(species), members, spacing):
        if table is not None and table.has(source.key | of_model):
            continue
        found = _searched(source, wanted)
        if found is None:
            failed = True
            continue
        frame, field = found
        failed |= not _drawn(field, frame.networking, wanted, source)
        try:
            sigma = None if source.sigma is None else source.sigma()
        except Exception as error:  # the others go on
            _say(source, error)
            failed = True
            continue
        if not quiet:
            typer.echo((header + "\n") * (not rows) + _line(frame, source.name, sigma))
        rows.append(frame.row() | source.key | settings | of_model | ({} if sigma is None else {"phi_sigma": sigma}))
        if table is not None:
            table.add(rows[-1])
    if json_file is not None:
        write_json(rows, json_file)
    if failed:
        raise typer.Exit(1)


def critical_points(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A field: ELFCAR, .cube, .xsf, .npz, .h5, also .gz.")],
    persistence: Annotated[
        float, typer.Option(metavar="ELF", help="Pairs of points closer in value than this are noise; 0 keeps all.")
    ] = 0.001,
    space: Annotated[str, typer.Option(metavar="value|logit", help="What the spline goes through.")] = "value",
    cores: Annotated[
        bool,
        typer.Option("--cores", help="Also search cores, which all elements have but H and He."),
    ] = False,
    core_scale: Annotated[float, typer.Option(metavar="FACTOR", help="On the core radii.")] = 1.0,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write one line per point.")] = None,
    json_file: JsonFile = None,
    spin: Spin = None,
    species: Species = None,
) -> None:
    """Critical points of a field, and what the saddles join.

    \b
    Examples:
      elfzoo critical-points ELFCAR --csv points.csv
      elfzoo critical-points elf.cube --persistence 0.005 --json -

    \b
    (3,-3) maxima   (3,-1) saddles between two of them   (3,+1) ring saddles   (3,+3) minima
    The Morse sum, (3,-3) - (3,-1) + (3,+1) - (3,+3), is 0 in a crystal where no point is missing.
    """
    from elfzoo import analysis

    spare_inputs((csv_file, json_file), [file])
    field = read_one_field(file, spin, split_species(species))
    points = analysis.critical_points(field, space, persistence, exclude_cores=not cores, core_scale=core_scale)
    if csv_file is not None:
        points.to_csv(csv_file)
    if json_file is not None:
        write_json(points.to_dict(), json_file)
    if str(json_file) == "-":
        return
    for signature, name in analysis.SIGNATURES.items():
        values = points.values[points.select(signature)]
        span = f"   {field.quantity.upper()} {values.min():.4f} to {values.max():.4f}" if len(values) else ""
        typer.echo(f"{name:<8}{len(values):>7}{span}")
    reason = "" if points.morse_reason is None else f"   ({points.morse_reason})"
    typer.echo(f"Morse sum {points.morse_sum:>5}{reason}")
    left = ", ".join(f"{count} {what}" for what, count in points.dropped.items() if count)
    if left:
        typer.echo(f"left out: {left}")


def _sources(
    files: list[Path],
    model: str | None,
    index: str,
    spin: str | None,
    species: list[str] | None,
    members: int,
    spacing: float,
) -> Iterator[_Source]:
    """The fields in the order of the files; nothing but the frames of one trajectory is held at a time."""
    if model is None:
        for file in files:
            yield _Source(str(file), None, partial(_read, file, spin, species))
        return
    from elfzoo import load_pretrained

    predictor = load_pretrained(model)
    for file in files:
        try:
            frames = read_frames(file, index, species, check=False)
        except ElfzooError as error:
            yield _Source(str(file), None, _raises(error))
            continue
        for frame in frames:
            predict = partial(predictor.predict, frame.structure, grid=frame.grid, progress=False)
            sigma = partial(_sigma, predictor, frame, members, spacing) if members else None
            yield _Source(str(file), frame.place, predict, sigma, frame.number)


def _read(file: Path, spin: str | None, species: list[str] | None) -> Field:
    """The field of a file; of one that holds a structure alone, which model would predict it."""
    from elfzoo import recommend

    try:
        return read_one_field(file, spin, species)
    except ElfzooError:
        if has_field_format(file):
            raise
        frames: list[Frame] = []
        with suppress(ElfzooError):
            frames = read_frames(file, "-1", species)
        if not frames:
            raise
        name = recommend(frames[0].structure.symbol_set)
        raise ElfzooError(f"{file} holds a structure and no field; -m {name} would predict one") from None


def _sigma(model: Model, frame: Frame, members: int, spacing: float) -> float:
    """Of φ, by the model's uncertainty."""
    from elfzoo.uncertainty import networking_with_error

    options = {"phi_spacing": spacing, "members": members, "progress": False}
    return networking_with_error(model, frame.structure, frame.grid, **options).sigma  # type: ignore[arg-type]


def _searched(source: _Source, wanted: _Wanted) -> tuple[FrameTopology, Field] | None:
    """What a field says, and the field; None where it cannot be had, which is said and is no end of the others."""
    from elfzoo.analysis.trajectory import track

    try:
        field = source.field()
        field.require_quantity("elf", f"{source.name}: for networking values, the field")
        frame = next(track([field], wanted.spacing, wanted.isovalue, wanted.h_dos, wanted.formula))
    except typer.BadParameter:
        raise
    except Exception as error:  # too little memory, say: the others go on
        _say(source, error)
        return None
    return frame, field


def _say(source: _Source, error: Exception) -> None:
    text = with_options(
        str(error) if isinstance(error, ElfzooError) else f"{type(error).__name__}: {error}".rstrip(": ")
    )
    say("error", text if source.file in text else f"{source.name}: {text}")


def _raises(error: ElfzooError) -> Callable[[], Field]:
    def field() -> Field:
        raise error

    return field


def _h_dos(text: str, fermi_energy: float | None) -> float:
    """A number, or what a DFT code's file says."""
    try:
        return float(text)
    except ValueError:
        from elfzoo.analysis import hydrogen_dos_share

        return hydrogen_dos_share(text, fermi_energy)


def _labels(files: Sequence[str]) -> dict[str, str]:
    """What tells the pictures of several files apart: their stems, else their names, else their paths."""
    if len(files) < 2:
        return {}
    for label in (lambda path: path.stem, lambda path: path.name, lambda path: "_".join(path.parts).strip("/_")):
        found = {file: label(Path(file)) for file in files}
        if len(set(found.values())) == len(set(files)):
            return found
    raise ElfzooError(f"pictures of {', '.join(files)} would have one name; draw them one by one")


def _drawn(field: Field, found: Networking, wanted: _Wanted, source: _Source) -> bool:
    """Whether the picture, if one is wanted, could be drawn; the numbers stay where not."""
    from elfzoo.isosurface import plot_isosurface

    if wanted.picture is None:
        return True
    path = numbered(wanted.picture, source.number)
    if source.file in wanted.labels:
        path = path.with_name(f"{path.stem}_{wanted.labels[source.file]}{path.suffix}")
    try:
        plot_isosurface(field, path, found=found)
    except ElfzooError as error:
        _say(source, error)
        return False
    return True


def _line(frame: FrameTopology, name: str, sigma: float | None) -> str:
    found = frame.networking
    columns = "".join(_number(x, 8) for x in (found.phi_1d, found.phi_2d, found.phi_h, found.phi_star))
    tc = "-" if frame.tc is None else ("≤ " * frame.tc.is_upper_bound + f"{frame.tc.tc:.0f}")
    share = "-" if frame.molecular_fraction is None else f"{frame.molecular_fraction:.2f}"
    mark = "" if found.exact else "   (from the grid: the saddles do not tell)"
    model = "" if sigma is None else f"{sigma:>8.4f}"
    return f"{found.phi:>8.4f}{found.phi_error:>9.1e}{columns}{share:>6}{tc:>9}{model}  {name}{mark}"


def _number(value: float | None, width: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.4f}"
