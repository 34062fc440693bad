"""Entrants: whatever predicts a field, under one name. Releases, folders, a stranger's Python file, prediction files.

A Python file enters as ``FILE.py:factory``. The factory takes nothing, or one argument: the task's training data, a
sequence of (structure, field). It returns

- an object with ``predict(structure, grid)``, such as an :class:`elfzoo.models.Model`, or
- a function ``(structure, grid) -> values``,

which hands back a :class:`~elfzoo.field.Field` on the grid or an array (nx, ny, nz) of ELF. The entrant is called after
the object's ``name``, else after file and factory.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field, read_field
from elfzoo.grid import Grid
from elfzoo.hub import load_pretrained
from elfzoo.models.base import Model
from elfzoo.structure import require_same_structure

__all__ = ["Entrant", "load_entrant", "prediction_files"]

Predict = Callable[[str, Structure, Grid], Field]
SUFFIXES = (".npz", ".cube", ".cube.gz", ".ELFCAR", ".ELFCAR.gz", ".xsf", ".xsf.gz", ".h5")


@dataclass(frozen=True)
class Entrant:
    """Whatever predicts a field.

    Args:
        name: in records and tables.
        predict: of a file's name without suffix, its structure and a grid.
        facts: what is known of it, JSON values: ``weights_sha256``, ``elements``, ``trained_on``, ``parameters``, …
        model: what predicts, where it is one of elfzoo's.
    """

    name: str
    predict: Predict
    facts: Mapping[str, Any] = field(default_factory=dict)
    model: Model | None = None


def load_entrant(spec: str, training: Iterable[Any] = ()) -> Entrant:
    """The entrant that a text names: a shipped release, the folder of one, or ``FILE.py:factory``.

    Args:
        spec: the text.
        training: the task's training data, for factories that ask for them.

    Raises:
        UnknownNameError: no such release.
        ElfzooError: a Python file without that factory, or a factory that returns nothing that predicts.
    """
    match = re.fullmatch(r"(.+\.py):(\w+)", spec)
    if match is None:
        return _release(load_pretrained(spec))
    path = Path(match[1])
    made = _made(path, match[2], training)
    if isinstance(made, Model) and made.card is not None:
        return _release(made)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = str(getattr(made, "name", f"{path.stem}.{match[2]}"))
    model = made if isinstance(made, Model) else None
    return Entrant(_checked_name(name), _wrapped(made, spec), {"source": spec, "source_sha256": digest}, model)


def prediction_files(folder: str | Path, name: str) -> Entrant:
    """An entrant known by its files alone: ``folder/NAME.npz`` (or .cube, .ELFCAR, .xsf, .h5) for each ``NAME.npz``.

    The files hold ELF on the reference's grid, or on one with a whole multiple of its points along each axis: twice as
    many let topology be searched without interpolation.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ElfzooError(f"no folder of predictions {root}")

    def predict(file: str, structure: Structure, grid: Grid) -> Field:
        found = [path for suffix in SUFFIXES if (path := root / f"{file}{suffix}").is_file()]
        if len(found) != 1:
            what = "no prediction" if not found else f"{len(found)} predictions"
            raise FieldFileError(f"{what} of {file} in {root}; expected one of {file}{{{', '.join(SUFFIXES)}}}")
        guess = read_field(found[0])
        require_same_structure(structure, guess.structure)
        return guess

    return Entrant(_checked_name(name), predict, {"source": "prediction files"})


def _release(model: Model) -> Entrant:
    card = model.card
    if card is None:
        raise ElfzooError("a release has a card; this model has none")
    config = card.training.get("config", {})
    data = sorted({f"{part['dataset']}/{part['split']}" for part in config.get("train", [])})
    facts = {
        "architecture": card.architecture,
        "sees": model.sees,
        "weights_sha256": card.weights_sha256,
        "elements": list(card.elements),
        "trained_on": data,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seed": config.get("seed"),
        "training_seconds": card.training.get("seconds"),
        "training_hardware": card.training.get("hardware"),
    }
    return Entrant(_checked_name(card.name), _wrapped(model, card.name), facts, model)


def _made(path: Path, factory: str, training: Iterable[Any]) -> Any:
    """What the factory of a Python file returns."""
    if not path.is_file():
        raise ElfzooError(f"no such file: {path}")
    spec = importlib.util.spec_from_file_location(f"elfzoo_entrant_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # of every .py file
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    make = getattr(module, factory, None)
    if not callable(make):
        functions = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise ElfzooError(f"{path} has no function {factory}; it has {', '.join(functions) or 'none'}")
    return make(training) if inspect.signature(make).parameters else make()


def _wrapped(made: Any, spec: str) -> Predict:
    """One signature for objects that predict, and for functions."""
    call = made.predict if callable(getattr(made, "predict", None)) else made
    if not callable(call):
        raise ElfzooError(f"{spec} returns {type(made).__name__}; expected an object with predict, or a function")
    silent = {"progress": False} if isinstance(made, Model) else {}

    def predict(file: str, structure: Structure, grid: Grid) -> Field:
        found = call(structure, grid, **silent)
        shape = np.shape(found.values if isinstance(found, Field) else found)
        if shape != grid.shape:
            raise ElfzooError(f"{spec} gives values of shape {shape}; expected {grid.shape}, those of the grid")
        return found if isinstance(found, Field) else Field(np.asarray(found, dtype=float), structure)

    return predict


def _checked_name(name: str) -> str:
    """Names are file names too."""
    if not re.fullmatch(r"[\w.+-]+", name):
        raise ElfzooError(f"an entrant's name has letters, digits and . + - _ alone; got {name!r}")
    return name
