"""Fields larger than memory: predicted block by block, straight into an HDF5 file.

A function and not an option of :meth:`~elfzoo.models.base.Model.predict`, because what it gives is a file and no Field.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from pymatgen.core import Structure

from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.io import hdf5
from elfzoo.io.files import format_of
from elfzoo.models.base import DEFAULT_SPACING, Model, PointModel, evaluating
from elfzoo.progress import progress_bar
from elfzoo.structure import as_structure
from elfzoo.threads import map_in_threads

__all__ = ["check_stream", "predict_to"]


def predict_to(
    model: Model,
    path: str | Path,
    structure: Any,
    grid: Grid | Sequence[int] | None = None,
    *,
    spacing: float = DEFAULT_SPACING,
    progress: bool | None = None,
    quantity: str | None = None,
) -> Path:
    """Predict a field of any size on a grid into an HDF5 file, in memory that does not grow with the grid.

    The values are those of :meth:`~elfzoo.models.base.Model.predict`, bit for bit; of a difference from superposed
    densities, to the error of a spline through these, which needs memory for them on a grid of 0.05 Å. The file is
    that of :meth:`elfzoo.Field.write` but for its chunks. ``h5py`` reads parts of it::

        with h5py.File("elf.h5") as file:
            first = file["values"][:8]

    Args:
        model: of points. A model of whole fields holds the whole cell in memory whatever is done with its field.
        path: ends in ``.h5`` or ``.hdf5``. The file appears when it is complete; until then a hidden one beside it
            grows, and is removed where something goes wrong.
        structure, grid, spacing, progress, quantity: as of ``predict``.

    Returns:
        The path.

    Raises:
        ElfzooError: another file format, a model of whole fields, a grid of another cell, or too little space on disk.
        QuantityError: the model does not give that quantity.
        FieldFileError: the file cannot be written.
    """
    path, structure = Path(path), as_structure(structure)
    check_stream(model, path)
    sad = model.target.baseline(structure, quantity)
    model._warn_outside_domain(structure)
    chosen, lock = Grid.wanted(structure, grid, spacing), threading.Lock()
    with evaluating(model), _file(model, path, structure, chosen, quantity) as put:
        evaluate = model.evaluator(structure)

        def block(indices: np.ndarray) -> int:
            found = model.target.values(evaluate(chosen.positions(indices))).astype(np.float32)
            if sad is not None:
                found = (found + sad.at(chosen.frac_coords(indices))).astype(np.float32)
            box, piece = _as_box(found, indices, chosen)
            with lock:
                put(box, piece)
            return len(indices)

        with torch.no_grad(), progress_bar("predicting", chosen.size, progress) as advance:
            for done in map_in_threads(block, chosen.blocks(model.block_size), model.workers):
                advance(done)
    return path


def check_stream(model: Model, path: Path) -> None:
    """Refuse what cannot be streamed.

    Raises:
        ElfzooError: a model of whole fields, or a file that is not HDF5.
    """
    if not isinstance(model, PointModel):
        raise ElfzooError(
            f"{type(model).__name__} works on the whole cell at once, so that its field fits into memory if it can be "
            "predicted at all; expected a model of points, or predict without streaming"
        )
    if format_of(path) != "hdf5" or path.suffix.lower() == ".gz":
        raise ElfzooError(f"a field is streamed to HDF5 alone; expected a name that ends in .h5, got {path}")


def _file(
    model: Model, path: Path, structure: Structure, grid: Grid, quantity: str | None
) -> AbstractContextManager[hdf5.Put]:
    """The values of a new file, in chunks like the first block, so that each is compressed and written once."""
    needed = 4 * grid.size
    if path.parent.is_dir() and (free := shutil.disk_usage(path.parent).free) < needed:
        raise FieldFileError(f"{path} may take {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free there")
    recipe = None if model.card is None else model.card.recipe
    nothing = np.broadcast_to(np.float32(0), grid.shape)  # takes no memory
    about = Field(nothing, structure, quantity or model.quantity, recipe, meta=model._provenance())
    first = next(grid.blocks(model.block_size))
    _, piece = _as_box(np.zeros(len(first), np.float32), first, grid)
    return hdf5.stream(about, path, (piece.shape[0], piece.shape[1], piece.shape[2]))


def _as_box(
    values: Float[np.ndarray, " points"], indices: Int[np.ndarray, " points"], grid: Grid
) -> tuple[tuple[slice, ...], Float[np.ndarray, "a b c"]]:
    """Where in the grid a block lies, and its values in the order of the grid."""
    places = np.unravel_index(indices, grid.shape)
    box = tuple(slice(int(place.min()), int(place.max()) + 1) for place in places)
    piece = np.empty([part.stop - part.start for part in box], np.float32)
    piece[tuple(place - part.start for place, part in zip(places, box, strict=True))] = values
    return box, piece
