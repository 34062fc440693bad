"""What a command works on: a field, a structure, or frames of a trajectory."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from elfzoo.errors import ElfzooError, StructureError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from elfzoo.field import Field
    from elfzoo.grid import Grid

__all__ = ["Frame", "FrameIndex", "has_field_format", "read_frames", "read_one_field"]

LAST = "-1"  # frame
INDEX = re.compile(r"-?\d+|(-?\d+)?:(-?\d+)?(:(-?[1-9]\d*)?)?")


def _checked_index(index: str) -> str:
    """Refuse a frame selection that ASE would not understand."""
    if not INDEX.fullmatch(index):
        raise typer.BadParameter(
            f"{index!r} selects no frames; expected a number (-1 is the last) or start:stop:step, such as ::100"
        )
    return index


FrameIndex = Annotated[
    str,
    typer.Option(metavar="FRAMES", callback=_checked_index, help="Frames of a trajectory as in ASE: -1, 7, :, ::100."),
]


@dataclass(frozen=True)
class Frame:
    """A structure, its number in the trajectory (from 0; None where it is the only one), and its field's grid.

    ``place`` is the number also where it was the only one asked for; None for the last, and in files of one structure.
    """

    structure: Structure
    number: int | None = None
    grid: Grid | None = None
    place: int | None = None


def read_one_field(path: Path, spin: str | None, species: list[str] | None = None) -> Field:
    """The field of a file.

    Args:
        path: ELFCAR, .cube, .xsf, .npz or .h5.
        spin: channel of a spin-polarised ELFCAR, up or down.
        species: elements by species index, for files that do not name them.

    Raises:
        BadParameter: no such channel.
        FieldFileError: the file cannot be read.
    """
    from elfzoo.io import read_field

    if spin not in (None, "up", "down"):
        raise typer.BadParameter(f"{spin!r} is no spin channel; expected up or down", param_hint="--spin")
    return read_field(path, spin=spin, species=species)  # type: ignore[arg-type]


def read_frames(path: Path, index: str, species: list[str] | None, check: bool = True) -> list[Frame]:
    """The structures of a file: a field file's own, or the selected frames of what pymatgen or ASE reads.

    Args:
        path: a structure, trajectory or field file.
        index: ASE's frame selection: ``"-1"``, ``"7"``, ``"::100"``.
        species: elements by species index, for files that do not name them.
        check: refuse frames that cannot be predicted; where False, the caller does it.

    Raises:
        StructureError: no frame is selected, or the file cannot be read; FieldFileError for field files.
    """
    if _is_field(path):
        return [_from_field(path, species)]
    if index == LAST and has_field_format(path):  # an XSF, or a .vasp: either may be
        with suppress(ElfzooError):
            return [_from_field(path, species)]
    numbers, structures = _select(path, index, species, check)
    if not structures:
        raise StructureError(f"{path} has no frames {index!r}")
    if len(structures) == 1:
        return [Frame(structures[0], place=numbers[0])]
    return [Frame(structure, number, place=number) for number, structure in zip(numbers, structures, strict=True)]


def has_field_format(path: Path) -> bool:
    """Whether a file is of a format of fields, by its name; some of these may hold a structure alone."""
    return _format_of(path) is not None


def _is_field(path: Path) -> bool:
    """By its name. XSF and ``.vasp`` files may be either: many of them have no field inside."""
    known = _format_of(path)
    return known in ("cube", "npz", "hdf5") or (known == "elfcar" and "elfcar" in path.name.lower())


def _format_of(path: Path) -> str | None:
    from elfzoo.io.files import format_of

    try:
        return format_of(path)
    except ElfzooError:
        return None


def _from_field(path: Path, species: list[str] | None) -> Frame:
    from elfzoo.io import read_fields
    from elfzoo.structure import check_structure

    field = next(iter(read_fields(path, species=species, check=False).values()))
    return Frame(check_structure(field.structure, name=str(path)), grid=field.grid)


def _select(path: Path, index: str, species: list[str] | None, check: bool) -> tuple[list[int | None], list[Structure]]:
    """Numbers in the trajectory, but of the last alone; and structures. Counting from the end takes reading to it."""
    from elfzoo.structure import read_structures

    read = partial(read_structures, species=species, check=check)

    if ":" not in index:
        return [None if int(index) == -1 else int(index)], list(read(path, index))
    start, stop, step = (int(part) if part else None for part in (index + "::").split(":")[:3])
    if min(start or 0, stop or 0, step or 1) < 0:
        every = list(read(path, ":"))
        chosen = list(range(len(every)))[start:stop:step]
        return [*chosen], [every[number] for number in chosen]
    structures = list(read(path, index))
    first, by = start or 0, step or 1
    return [first + by * i for i in range(len(structures))], structures
