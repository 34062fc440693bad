"""What is to be screened: files, folders and lists of files, and the structures in them."""

from __future__ import annotations

import os
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import chain, count
from pathlib import Path

from pymatgen.core import Structure

from elfzoo.errors import StructureError
from elfzoo.structure import check_structure, read_structures

__all__ = ["LISTS", "STRUCTURES", "find_files", "read_frames"]

# In a folder; whatever the case, and also .gz. A file that is named itself is read whatever its name.
STRUCTURES = (
    *("poscar*", "contcar*", "xdatcar*", "*.vasp", "*.poscar", "*.cif", "*.xyz", "*.extxyz", "*.traj", "*.xsf"),
    *("*.cube", "*.cub", "*.res", "*.cell", "*.gen", "*.xtl"),
)
LISTS = ("*.txt", "*.lst", "*.list")

Read = tuple[int | None, Structure | StructureError]


def find_files(sources: Iterable[str | Path]) -> list[Path]:
    """Files to read, each once, in the order of the sources.

    Args:
        sources: structure files; folders, of which every file below counts whose name is one of ``STRUCTURES``, sorted;
            and lists (``LISTS``) of one path per line, relative to the list, ``#`` begins a comment.

    Raises:
        StructureError: a folder or a list without a structure file, or a source that is not there.
    """
    return list(dict.fromkeys(chain.from_iterable(_files_of(Path(source)) for source in sources)))


def _files_of(source: Path) -> list[Path]:
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if _matches(path, STRUCTURES) and path.is_file())
        if not found:
            raise StructureError(f"the folder {source} has no structure file; looked for {', '.join(STRUCTURES)}")
        return found
    if not source.is_file():
        raise StructureError(f"no such file or folder: {source}")
    if not _matches(source, LISTS):
        return [source]
    content = source.read_bytes().removeprefix(BOM_UTF8)
    if b"\0" in content:
        raise StructureError(f"the list {source} is no text in UTF-8; expected one path on each line")
    lines = (line.partition("#")[0].strip() for line in os.fsdecode(content).splitlines())
    listed = [source.parent / line for line in lines if line]
    if not listed:
        raise StructureError(f"the list {source} names no file; expected one path on each line")
    return listed


def _matches(path: Path, patterns: Iterable[str]) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return not name.startswith(".") and any(fnmatchcase(name, pattern) for pattern in patterns)


def read_frames(path: Path, index: str) -> Iterator[Read]:
    """Frame numbers (from 0) and structures of a file, one at a time; what is wrong with one in its place.

    The number is None where one structure is selected. A frame that no field can be predicted for is an error and the
    next one follows; where the file itself cannot be read on, the error is the last.

    Args:
        path: anything that pymatgen or ASE reads.
        index: ASE's frame selection: ``"-1"``, ``"7"``, ``"::10"``.
    """
    frames = _checked(path, index)
    first, second = next(frames, None), next(frames, None)
    if first is None:
        yield None, StructureError(f"{path} has no frame {index!r}")
    elif second is None:
        yield None, first[1]
    else:
        yield from chain([first, second], frames)


def _checked(path: Path, index: str) -> Iterator[tuple[int, Structure | StructureError]]:
    number = 0
    try:
        for number, structure in _numbered(path, index):
            try:
                yield number, check_structure(structure, name=str(path))
            except StructureError as error:
                yield number, error
            number += 1
    except Exception as error:  # each reader has its own exceptions
        text = str(error) if isinstance(error, StructureError) else f"{path}: {type(error).__name__}: {error}"
        yield number, StructureError(text)


def _numbered(path: Path, index: str) -> Iterator[tuple[int, Structure]]:
    """Counting from the end takes reading to the end."""
    if ":" not in index:
        yield from enumerate(read_structures(path, index, check=False))
        return
    start, stop, step = (int(part) if part else None for part in (index + "::").split(":")[:3])
    if min(start or 0, stop or 0, step or 1) < 0:
        yield from list(enumerate(read_structures(path, ":", check=False)))[start:stop:step]
        return
    yield from zip(count(start or 0, step or 1), read_structures(path, index, check=False), strict=False)
