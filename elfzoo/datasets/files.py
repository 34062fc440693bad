"""Field files of one's own as a dataset: whatever grids, sizes and formats they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from elfzoo.datasets.base import FieldDataset, Sample, hash_file, verify_file
from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field, Recipe
from elfzoo.io import FORMATS, read_field

__all__ = ["FieldFiles", "find_field_files"]

# as FORMATS, but a folder with fields may well hold a POSCAR.vasp
PATTERNS = tuple(pattern for patterns in FORMATS.values() for pattern in patterns if pattern != "*.vasp")


class FieldFiles(FieldDataset):
    """A sequence of (Structure, Field) pairs, one for each file.

    Args:
        files: paths, in the order of the items; ELFCAR, cube, XSF, npz or HDF5, each also .gz.
        spin: the channel of ELFCARs whose channels differ.
        transform: as for :class:`~elfzoo.datasets.FieldDataset`.

    Attributes:
        raw_dir: the file system's root; the names of the files are whole paths.

    Raises:
        FieldFileError: a file cannot be read, or is given twice.
        ElfzooError: no files.
    """

    name = "files"

    def __init__(
        self,
        files: Sequence[str | Path],
        spin: Literal["up", "down"] | None = None,
        transform: Callable[[Field], Field] | None = None,
    ):
        paths = [Path(file).expanduser().resolve() for file in files]
        if not paths:
            raise ElfzooError("expected at least one field file; got none")
        if len(set(paths)) < len(paths):
            raise FieldFileError("a field file is given twice: " + str(next(p for p in paths if paths.count(p) > 1)))
        self.split, self.spin, self.transform = "all", spin, transform
        self._raw_dir = Path("/")
        self._sha256 = {str(path): hash_file(path) for path in paths}

    @property
    def recipe(self) -> Recipe:
        """The one recipe that all files state.

        Raises:
            ElfzooError: they state none, or different ones.
        """
        stated = {sample.field.recipe for sample in self}
        if len(stated) != 1 or None in stated:
            raise ElfzooError("the files do not state one recipe: " + "; ".join(sorted(str(r) for r in stated)))
        return stated.pop()  # type: ignore[return-value]

    def get(self, idx: int) -> Sample:
        """The sample of a file, which must not have changed since."""
        file = self.raw_file_names[idx]
        verify_file(Path(file), self._sha256[file])
        field = read_field(file, spin=self.spin)
        field = field.replace(meta={**field.meta, "file": file})
        return Sample(field.structure, field)


def find_field_files(folder: str | Path) -> list[Path]:
    """The field files in a folder and below it, sorted, each once; a file that is none by its name is left out.

    Raises:
        ElfzooError: no such folder, or none in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ElfzooError(f"no folder {folder}; expected one with field files (ELFCAR, cube, XSF, npz, HDF5)")
    every = sorted(path for path in folder.rglob("*") if _is_field_file(path))
    files = list({path.resolve(): path for path in reversed(every)}.values())[::-1]  # a link to one is no second
    if not files:
        raise ElfzooError(f"{folder} holds no field files; expected names such as {', '.join(PATTERNS)}, each also .gz")
    return files


def _is_field_file(path: Path) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return not name.startswith(".") and any(fnmatchcase(name, p) for p in PATTERNS) and path.is_file()
