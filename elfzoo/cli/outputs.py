"""Where results go: names that tell what can be written, a number for each frame, and JSON."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from elfzoo.cli.frames import has_field_format
from elfzoo.errors import ElfzooError

__all__ = ["PICTURES", "TABLES", "check_output", "numbered", "spare_inputs", "spare_references", "write_json"]

HEAD = 65536  # bytes, of a text file whose first lines tell what made it
TABLES, PICTURES = (".csv", ".csv.gz", ".npz"), (".png", ".pdf", ".svg")


def numbered(path: Path, number: int | None) -> Path:
    """``elf_0007.cube`` from ``elf.cube``, ``ELFCAR.0007`` from ``ELFCAR``; the path itself without a number."""
    if number is None:
        return path
    packed = path.suffix if path.suffix.lower() == ".gz" else ""
    stem, suffix = os.path.splitext(path.name.removesuffix(packed))
    name = f"{stem}_{number:04d}{suffix}" if suffix else f"{stem}.{number:04d}"
    return path.with_name(name + packed)


def write_json(document: Any, path: Path) -> None:
    """Write JSON values to a file, which appears whole or not at all, or to standard output where it is named ``-``.

    Raises:
        FieldFileError: the file cannot be written.
    """
    from elfzoo.io.files import write_bytes

    text = json.dumps(document, indent=1) + "\n"
    if str(path) == "-":
        typer.echo(text, nl=False)
    else:
        write_bytes(path, [text.encode()])


def spare_inputs(outputs: Iterable[Path | None], inputs: Iterable[Path]) -> None:
    """Refuse results that would take the place of a file that is read, before the work begins.

    Raises:
        ElfzooError: an output is one of the inputs, or it is there and by its name a field.
    """
    given = list(inputs)
    for path in outputs:
        if path is None or not path.exists() or str(path) == "-":
            continue
        if any(file.exists() and path.samefile(file) for file in given):
            raise ElfzooError(f"{path} is read, and would be overwritten; choose another output")
        if "elfcar" in path.name.lower() or has_field_format(path):
            raise ElfzooError(f"{path} is there already, and by its name a field; choose another output")


def spare_references(paths: Iterable[Path]) -> None:
    """Refuse to write a prediction over a field file that does not say that a model made it: it may be DFT's.

    Raises:
        ElfzooError: such a file is there.
    """
    for path in paths:
        if path.is_file() and path.stat().st_size and has_field_format(path) and not _is_predicted(path):
            raise ElfzooError(
                f"{path} is there already, and does not say that a model predicted it; choose another output, or "
                "remove it first"
            )


def _is_predicted(path: Path) -> bool:
    """As the head of a text file says, or the metadata of an npz or HDF5 file."""
    from elfzoo.io import read_fields
    from elfzoo.io.files import GZIP_MAGIC, format_of

    if format_of(path) in ("npz", "hdf5"):
        try:
            return all(field.is_prediction for field in read_fields(path, check=False).values())
        except ElfzooError:  # of a prediction that was stopped, or damaged
            return True
    with path.open("rb") as handle:
        packed = handle.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    try:
        with gzip.open(path) if packed else path.open("rb") as handle:
            return b"predicted_by" in handle.read(HEAD)
    except (OSError, EOFError):  # damaged, but perhaps not wholly
        return False


def check_output(output: Path, structure: Path, plane: bool, line: bool) -> None:
    """Refuse a file that could not be written at the end, before the work begins.

    Args:
        output: where the prediction is to go.
        structure: the file that it is made from, which is never overwritten.
        plane: whether it is a plane, and so a table or a picture.
        line: whether it is a line, and so a table.

    Raises:
        ElfzooError: no such folder, no permission, or a name that tells no format for this kind of output.
    """
    from elfzoo.io.files import format_of

    folder, name = output.parent, output.name.lower()
    if not folder.is_dir():
        raise ElfzooError(f"cannot write {output}: there is no folder {folder}")
    if output.is_dir() or not os.access(folder, os.W_OK):
        raise ElfzooError(f"cannot write {output}: {'it is a folder' if output.is_dir() else 'no permission'}")
    if output.exists() and structure.exists() and output.samefile(structure):
        raise ElfzooError(f"{output} is the structure file itself; choose another output")
    if not (plane or line):
        format_of(output)
        return
    known = TABLES + (PICTURES if plane else ())
    if not name.endswith(known):
        raise ElfzooError(
            f"cannot write {output}: values on a line or plane go to a file that ends in {', '.join(known)}"
        )
