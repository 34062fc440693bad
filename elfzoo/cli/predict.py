"""``elfzoo predict``: a structure in, its ELF (or density) out, on a grid, a plane or a line."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elfzoo.cli.frames import Frame, FrameIndex, read_frames
from elfzoo.cli.outputs import PICTURES, check_output, numbered, spare_references
from elfzoo.cli.shell import Species, split_species

if TYPE_CHECKING:
    from elfzoo.models.base import Model

__all__ = ["DEFAULT_MODEL", "DEFAULT_OF_ALL", "ModelChoice", "ModelName", "predict"]

DEFAULT_MODEL = "probe_graph.h-v2"  # of hydrogen
DEFAULT_OF_ALL = "probe_graph.multi-v5"  # where one model serves structures of any elements

ModelName = Annotated[
    str, typer.Option("-m", "--model", metavar="NAME|FOLDER", help="A trained model: see elfzoo models.")
]


ModelChoice = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        metavar="NAME|FOLDER",
        help="A trained model: see elfzoo models. [default: probe_graph.h-v2 for hydrogen, else probe_graph.multi-v5]",
    ),
]


@dataclass(frozen=True)
class _Request:
    """Where the field is wanted, and which; None where the user did not say."""

    spacing: float | None
    grid: tuple[int, int, int] | None
    plane: str | None
    line: str | None
    symmetry: bool
    quantity: str | None
    coarse: float | None
    stream: bool
    uncertainty: Path | None


def predict(
    structure: Annotated[
        Path,
        typer.Argument(
            metavar="STRUCTURE", help="What pymatgen or ASE reads: POSCAR, CIF, XDATCAR, ...; or a field file."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="ELFCAR, .cube, .xsf, .npz or .h5, also .gz; lines and planes: .csv or .npz; planes also .png.",
        ),
    ],
    model: ModelChoice = None,
    spacing: Annotated[
        float | None,
        typer.Option(metavar="Å", help="Largest distance of neighbouring points. [default: 0.1; on a plane 0.05]"),
    ] = None,
    grid: Annotated[
        tuple[int, int, int] | None, typer.Option(metavar="NX NY NZ", help="Numbers of points, in place of a spacing.")
    ] = None,
    plane: Annotated[
        str | None,
        typer.Option(metavar="PLANE", help="Only a plane: z=0.25, or Miller indices 1,1,0=0.5 (fractional)."),
    ] = None,
    line: Annotated[
        str | None, typer.Option(metavar="LINE", help="Only a line start:end:points, 0,0,0:0.5,0.5,0.5:200.")
    ] = None,
    symmetry: Annotated[
        bool, typer.Option("--symmetry", help="Compute one point of each orbit of the space group, copy the others.")
    ] = False,
    coarse: Annotated[
        float | None,
        typer.Option(metavar="Å", help="Run the network on a coarser grid only, 0.11 say, and interpolate logits."),
    ] = None,
    quantity: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a model of densities: density, or density_difference from free atoms."),
    ] = None,
    uncertainty: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the standard deviation of the field, where the model has one."),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Write .h5 block by block: for fields larger than the memory.")
    ] = False,
    index: FrameIndex = "-1",
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave frames out whose output is there already.")
    ] = False,
    species: Species = None,
) -> None:
    """Predict the ELF (or density) of a structure.

    \b
    Examples:
      elfzoo predict POSCAR -o ELFCAR
      elfzoo predict LaH10.cif -o elf.cube --spacing 0.08
      elfzoo predict POSCAR -o ELFCAR --spacing 0.05 --coarse 0.11     an eighth of the work
      elfzoo predict POSCAR -o elf.h5 --grid 2000 2000 2000 --stream
      elfzoo predict ELFCAR.dft -o ELFCAR.ml               on the grid of ELFCAR.dft
      elfzoo predict XDATCAR --index ::100 -o ELFCAR       ELFCAR.0000, ELFCAR.0100, ...
      elfzoo predict POSCAR --line 0,0,0:1/2,1/2,1/2:200 -o diagonal.csv
      elfzoo predict POSCAR --plane 1,1,0=0 -o slice.png
      elfzoo predict POSCAR -o elf.cube --uncertainty deviation.cube

    Without --grid or --spacing the grid is that of STRUCTURE if it is a field file, else 0.1 Å.
    A picture shows the field on such a grid, interpolated. Densities are in e/Å³, in every kind of file.
    """
    request = _Request(spacing, grid, plane, line, symmetry, quantity, coarse, stream, uncertainty)
    _check_request(request)
    check_output(output, structure, plane=plane is not None, line=line is not None)
    if uncertainty is not None:
        check_output(uncertainty, structure, plane=False, line=False)
        if uncertainty.resolve() == output.resolve():
            raise typer.BadParameter(f"-o and --uncertainty are one file, {output}; expected two")
    from elfzoo import load_pretrained, recommend

    frames = read_frames(structure, index, split_species(species))
    wanted = [(frame, numbered(output, frame.number)) for frame in frames]
    todo = [(frame, path) for frame, path in wanted if not (skip_existing and _is_there(frame, path, uncertainty))]
    if len(todo) < len(wanted):
        typer.echo(f"{len(wanted) - len(todo)} of {len(wanted)} outputs are there already")
    if not todo:
        return
    spare_references(path for _, path in todo)
    if uncertainty is not None:
        spare_references(numbered(uncertainty, frame.number) for frame, _ in todo)
    name = model or recommend({symbol for frame, _ in wanted for symbol in frame.structure.symbol_set})
    _predict_all(load_pretrained(name), todo, request, name)


def _is_there(frame: Frame, path: Path, uncertainty: Path | None) -> bool:
    """Whether all that is written of a frame is there already."""
    return path.exists() and (uncertainty is None or numbered(uncertainty, frame.number).exists())


def _predict_all(model: Model, todo: list[tuple[Frame, Path]], request: _Request, name: str) -> None:
    """One bar for a single frame's points, or one for the frames."""
    from elfzoo.progress import progress_bar

    began, several = time.perf_counter(), len(todo) > 1
    with progress_bar("predicting frames", len(todo), None if several else False) as advance:
        for frame, path in todo:
            done = _predict_one(model, frame, request, path, progress=False if several else None)
            advance(1)
    seconds = time.perf_counter() - began
    if several:
        typer.echo(f"{len(todo)} frames, {todo[0][1]} to {todo[-1][1]}, {seconds:.1f} s by {name}")
    else:
        typer.echo(f"{todo[0][1]}: {done}, {seconds:.1f} s by {name}")


def _predict_one(model: Model, frame: Frame, request: _Request, path: Path, progress: bool | None) -> str:
    """Predict and write; what was written, in words."""
    formula = frame.structure.composition.formula
    if request.stream:
        return f"{formula}, {_stream(model, frame, request, path, progress)} points"
    if request.uncertainty is not None:
        return f"{formula}, {_with_deviation(model, frame, request, path, progress)}"
    if request.plane is None and request.line is None:
        field = _field(model, frame, request, progress)
        field.write(path)
        points, spacing = " x ".join(map(str, field.grid.shape)), ", ".join(f"{h:.3f}" for h in field.grid.spacing)
        return f"{formula}, {points} points, {spacing} Å, {_range(field.quantity, field.values)}"
    where = _points(frame, request)
    if path.suffix.lower() in PICTURES:
        from elfzoo.plot import plot_slice

        plot_slice(_field(model, frame, request, progress), path, where)
        return f"{formula}, slice {request.plane}"
    from elfzoo.cli.points import write_points

    values = model.predict(frame.structure, points=where.frac_coords(), progress=progress, quantity=request.quantity)
    quantity = request.quantity or model.quantity
    write_points(path, values, where, frame.structure, _provenance(model), quantity)
    return f"{formula}, {len(values)} points, {_range(quantity, values)}"


def _with_deviation(model: Model, frame: Frame, request: _Request, path: Path, progress: bool | None) -> str:
    """Predict and write the field and its standard deviation; what they are, in words."""
    from elfzoo.uncertainty import predict

    assert request.uncertainty is not None
    options: dict[str, Any] = {} if request.spacing is None else {"spacing": request.spacing}
    field, deviation = predict(model, frame.structure, _grid(frame, request), progress=progress, **options)
    field.write(path)
    deviation.write(numbered(request.uncertainty, frame.number))
    ranges = (_range(part.quantity, part.values) for part in (field, deviation))
    return f"{' x '.join(map(str, field.grid.shape))} points, {', '.join(ranges)}"


def _range(quantity: str, values: Any) -> str:
    from elfzoo.quantity import quantity_of

    return quantity_of(quantity).text(float(values.min()), float(values.max()))


def _field(model: Model, frame: Frame, request: _Request, progress: bool | None) -> Any:
    options: dict[str, Any] = {} if request.spacing is None else {"spacing": request.spacing}
    options |= {"quantity": request.quantity, "coarse": request.coarse}
    grid = _grid(frame, request)
    return model.predict(frame.structure, grid=grid, symmetry=request.symmetry, progress=progress, **options)


def _grid(frame: Frame, request: _Request) -> Any:
    """The grid that is asked for; None where a spacing decides."""
    return request.grid if request.spacing is not None or request.grid is not None else frame.grid


def _stream(model: Model, frame: Frame, request: _Request, path: Path, progress: bool | None) -> str:
    """Predict into the file; the grid in words."""
    from elfzoo.grid import Grid
    from elfzoo.models.base import DEFAULT_SPACING
    from elfzoo.models.stream import predict_to

    lattice, grid = frame.structure.lattice.matrix, frame.grid
    if request.grid is not None:
        grid = Grid(request.grid, lattice)
    elif request.spacing is not None or grid is None:
        grid = Grid.from_spacing(lattice, request.spacing or DEFAULT_SPACING)
    predict_to(model, path, frame.structure, grid, progress=progress, quantity=request.quantity)
    return " x ".join(map(str, grid.shape))


def _points(frame: Frame, request: _Request) -> Any:
    from elfzoo.paths import parse_line, parse_plane

    if request.line is not None:
        return parse_line(request.line)
    options = {} if request.spacing is None else {"spacing": request.spacing}
    return parse_plane(str(request.plane), frame.structure, **options)


def _provenance(model: Model) -> dict[str, Any]:
    card = model.card
    return {} if card is None else {"predicted_by": card.name, "weights_sha256": card.weights_sha256}


def _check_request(request: _Request) -> None:
    """Refuse contradictions before anything slow happens."""
    for name in ("plane", "line", "symmetry", "coarse") if request.stream else ():
        if getattr(request, name) not in (None, False):
            raise typer.BadParameter(f"--stream and --{name} exclude each other: only whole grids are streamed")
    for name in ("plane", "line", "symmetry", "coarse", "quantity", "stream") if request.uncertainty else ():
        if getattr(request, name) not in (None, False):
            raise typer.BadParameter(
                f"--uncertainty and --{name} exclude each other: it is of whole fields, as learned"
            )
    chosen = [f"--{name}" for name in ("grid", "plane", "line") if getattr(request, name) is not None]
    if len(chosen) > 1:
        raise typer.BadParameter(f"{' and '.join(chosen)} exclude each other")
    if request.spacing is not None and chosen in (["--grid"], ["--line"]):
        raise typer.BadParameter(f"--spacing and {chosen[0]} exclude each other: the numbers of points are given")
    for name, given in (("symmetry", request.symmetry), ("coarse", request.coarse is not None)):
        if given and (request.plane is not None or request.line is not None):
            raise typer.BadParameter(f"--{name} is for whole grids, not for a plane or a line")
