"""The structures to screen, each by its hash, before any is computed: what is there twice, and how many there are.

Reading costs milliseconds and a field a second, so the files are read twice rather than all structures held. What was
found in a file is kept and not read again while its size and time of change stay.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elfzoo._version import __version__
from elfzoo.errors import ElfzooWarning, StructureError
from elfzoo.progress import progress_bar
from elfzoo.screening.identity import structure_hash
from elfzoo.screening.inputs import Read, read_frames
from elfzoo.screening.journal import Journal, read_journals

__all__ = ["Entry", "catalogue", "read_again"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One structure, which is one row of the result.

    Args:
        file: as it was named.
        frame: in the trajectory, from 0; None where one structure of the file was taken.
        hash: of :func:`~elfzoo.screening.structure_hash`; None where it could not be read.
        formula: such as ``"La1 H10"``.
        atoms: how many.
        volume: of the cell, Å³.
        message: why it could not be read.
    """

    file: str
    frame: int | None
    hash: str | None = None
    formula: str | None = None
    atoms: int | None = None
    volume: float | None = None
    message: str | None = None


def catalogue(
    files: Sequence[Path], index: str, folder: Path, progress: bool | None = None, retry_failed: bool = False
) -> list[Entry]:
    """Every structure of the files, in their order.

    Args:
        files: to read.
        index: frames of trajectories, as ASE counts them.
        folder: where what was found is kept, of this run and of others at the same time.
        progress: show a bar; by default in a terminal.
        retry_failed: read again what could not be read before.
    """
    known = {tuple(line["key"]): line["entries"] for line in read_journals(folder)}
    journal, entries = Journal(folder), list[Entry]()
    with progress_bar("reading structures", len(files), progress) as advance:
        for file in files:
            key = _key(file, index)
            if key in known and not (retry_failed and any(values["message"] for values in known[key])):
                entries += [Entry(**{**values, "file": str(file)}) for values in known[key]]
            else:
                found = [_entry(file, read) for read in read_frames(file, index)]
                entries += found
                if key is not None:
                    journal.add({"key": key, "entries": [asdict(entry) for entry in found]}, durable=False)
            advance(1)
    return entries


def read_again(files: Sequence[Path], index: str, entries: Sequence[Entry], wanted: set[str]) -> Iterator[Any]:
    """Hash and structure of each entry whose hash is wanted, once; one file is open at a time.

    What a file that has changed since it was catalogued held is left for the next run, with a warning.
    """
    left, of_file = set(wanted), dict[str, list[Entry]]()
    for entry in entries:
        of_file.setdefault(entry.file, []).append(entry)
    for file in files:
        if not any(entry.hash in left for entry in of_file[str(file)]):
            continue
        for entry, (_, structure) in zip(of_file[str(file)], read_frames(file, index), strict=False):
            if entry.hash not in left:
                continue
            if isinstance(structure, StructureError) or structure_hash(structure) != entry.hash:
                break  # a trajectory that still grows, say
            left.discard(entry.hash)
            yield entry.hash, structure
    if left:
        warnings.warn(
            f"{len(left)} structures have gone from their files since these were read, as from a trajectory that still "
            "grows, and have no result; run the same command again",
            ElfzooWarning,
            stacklevel=2,
        )


def _key(file: Path, index: str) -> tuple[Any, ...] | None:
    """What must stay for a file not to be read again; None where there is no such file."""
    try:
        found = file.stat()
    except OSError:
        return None
    return str(file.absolute()), index, found.st_size, found.st_mtime_ns, __version__


def _entry(file: Path, read: Read) -> Entry:
    frame, structure = read
    if isinstance(structure, StructureError):
        return Entry(str(file), frame, message=str(structure))
    formula, atoms = structure.composition.formula, len(structure)
    return Entry(str(file), frame, structure_hash(structure), formula, atoms, structure.volume)
