"""The structures to choose from: read, each once, and their rows of the information matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pymatgen.core import Structure

from elfzoo.datasets.files import find_field_files
from elfzoo.errors import ElfzooError, FieldFileError, StructureError
from elfzoo.io.files import format_of
from elfzoo.io.npz import read_record
from elfzoo.models.base import evaluating
from elfzoo.progress import progress_bar
from elfzoo.screening.identity import structure_hash
from elfzoo.screening.inputs import find_files, read_frames
from elfzoo.structure import check_structure
from elfzoo.uncertainty import LastLayer
from elfzoo.uncertainty.source import head_and_inputs

__all__ = ["SELECTED", "Named", "known_structures", "read_pool", "rows_of"]

SELECTED = "selected_hash"  # in the metadata of labels: of the structure as it was selected
BLOCK = 4096  # points evaluated together


@dataclass(frozen=True, eq=False)
class Named:
    """One structure that was read, or not.

    Attributes:
        file: as it was named; or the number of a structure that came from no file.
        frame: in the trajectory, from 0; None where one structure of the file was taken.
        structure: None where it could not be read.
        hash: of :func:`~elfzoo.screening.structure_hash`.
        message: why it could not be read, or what it is a copy of.
    """

    file: str
    frame: int | None
    structure: Structure | None = None
    hash: str = ""
    message: str = ""

    @property
    def name(self) -> str:
        """The file, and where there are several structures in it, which of them."""
        return self.file if self.frame is None else f"{self.file}:{self.frame}"


def read_pool(
    sources: Iterable[str | Path | Structure],
    index: str = "-1",
    progress: bool | None = None,
    known: Iterable[Structure] = (),
) -> tuple[list[Named], list[Named]]:
    """Structures to choose from, by hash so that their order does not matter, and what is left out, with the reason.

    Args:
        sources: files, folders and lists of files (:func:`~elfzoo.screening.find_files`), or structures.
        index: frames of trajectories, as ASE counts them.
        progress: show a bar; by default in a terminal.
        known: structures that are labelled already, of :func:`known_structures` or others.

    Raises:
        StructureError: a source that is not there, or nothing that can be read.
    """
    found = _read(list(sources), index, progress)
    kept: dict[str, Named] = {}
    left_out, labelled = [], {found for structure in known for found in _hashes(structure)}
    for item in found:
        if item.structure is None:
            left_out.append(item)
        elif item.hash in kept or item.hash in labelled:
            message = f"a copy of {kept[item.hash].name}" if item.hash in kept else "labelled already"
            left_out.append(Named(item.file, item.frame, item.structure, item.hash, message))
        else:
            kept[item.hash] = item
    if not kept:
        reason = next((item.message for item in left_out), "no structures were given")
        raise StructureError(f"nothing to choose from: {reason}")
    return [kept[key] for key in sorted(kept)], left_out


def known_structures(sources: Iterable[str | Path | Structure]) -> list[Structure]:
    """Structures that are labelled already: of field files, or of structure files (all frames).

    Those of labels by :func:`~elfzoo.selection.collect` keep the hash that they were selected under as
    ``properties["selected_hash"]``, for they may have been computed in another cell.

    Raises:
        ElfzooError: one of them cannot be read; a known structure that is missed would be chosen again.
    """
    found = []
    for source in sources:
        if isinstance(source, Structure):
            found.append(check_structure(source))
            continue
        for path in _files_in(Path(source)):
            found += _all_frames(path)
    return found


def rows_of(source: LastLayer, structure: Structure, points: int, seed: int) -> Float[np.ndarray, "points width"]:
    """Inputs of the last layer at random points of a cell, times the slope of the value there.

    The points depend on the structure and the seed alone, so not on what else is there, nor on its order.
    """
    rng = np.random.default_rng([seed, int(structure_hash(structure)[:15], 16)])
    positions = rng.random((points, 3)) @ structure.lattice.matrix
    parts = []
    with evaluating(source.model):
        read = source.model.reader(structure)  # type: ignore[operator]
        for start in range(0, points, BLOCK):
            block = read(positions[start : start + BLOCK])
            logits, inputs = head_and_inputs(source.model, block)  # type: ignore[arg-type]
            parts.append(inputs.astype(np.float64) * source.model.target.slopes(logits)[:, None])
    return np.concatenate(parts)


def _read(sources: Sequence[str | Path | Structure], index: str, progress: bool | None) -> list[Named]:
    given = [(i, s) for i, s in enumerate(sources) if isinstance(s, Structure)]
    found = [Named(f"structure {i}", None, check_structure(s), structure_hash(s)) for i, s in given]
    files = find_files(s for s in sources if not isinstance(s, Structure))
    with progress_bar("reading structures", len(files), progress) as advance:
        for file in files:
            found += [_named(str(file), frame, read) for frame, read in read_frames(file, index)]
            advance(1)
    return found


def _named(file: str, frame: int | None, read: Structure | StructureError) -> Named:
    if isinstance(read, StructureError):
        return Named(file, frame, message=str(read))
    return Named(file, frame, read, structure_hash(read))


def _hashes(structure: Structure) -> set[str]:
    """What a labelled structure is known by: its own hash, and that of the structure that was selected."""
    found = (structure_hash(structure), structure.properties.get(SELECTED))
    return {one for one in found if one}


def _files_in(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source] if _is_field(source) and source.is_file() else find_files([source])
    found, missing = set[Path](), list[ElfzooError]()
    for look in (find_field_files, lambda folder: find_files([folder])):
        try:
            found.update(look(source))
        except ElfzooError as error:
            missing.append(error)
    if not found:
        raise missing[0]
    return sorted(found)


def _is_field(path: Path) -> bool:
    try:
        return format_of(path) != "elfcar" or not path.name.lower().endswith((".vasp", ".vasp.gz"))
    except ElfzooError:
        return False


def _all_frames(path: Path) -> list[Structure]:
    if _is_field(path) and format_of(path) == "npz":
        structure, meta = read_record(path)
        structure = check_structure(structure, str(path))
        structure.properties[SELECTED] = meta.get(SELECTED)
        return [structure]
    found = []
    for _, read in read_frames(path, ":"):
        if isinstance(read, StructureError):
            raise FieldFileError(f"a labelled structure cannot be read: {read}")
        found.append(read)
    return found
