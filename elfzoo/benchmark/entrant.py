"""Entrants: whatever predicts a field, under one name. Releases, folders, a stranger's Python file, prediction files.

A Python file enters as ``FILE.py:factory``. A factory whose first argument must be given, or that has one called
``training``, gets the task's training data there, a sequence of (structure, field). It returns

- an object with ``predict(structure, grid)``, such as an :class:`elfzoo.models.Model`, or
- a function ``(structure, grid) -> values``,

which hands back a :class:`~elfzoo.field.Field` on the grid or an array (nx, ny, nz) of ELF. The entrant is called after
the object's ``name``, else after file and factory. A stopped run goes on only with the same thing: known by the
object's text ``fingerprint`` if it has one, by its weights if it is one of elfzoo's models, else by what ``pickle``
makes of it. What has none of these is measured anew each time.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import pickle
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from elfzoo.config import checked_name
from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.field import Field, read_field
from elfzoo.grid import Grid
from elfzoo.hub import list_pretrained, load_pretrained
from elfzoo.hub.release import weights_sha256
from elfzoo.io import read_fields
from elfzoo.models.base import Model
from elfzoo.structure import require_same_structure

__all__ = ["FLOOR", "Entrant", "load_entrant", "prediction_files"]

Predict = Callable[[str, Structure, Grid], Field]
ENTRANT = "an entrant's name"
FLOOR = "floor."  # what the names of floors begin with
TRAINING, POSITIONAL = "training", (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
LOWEST, HIGHEST = -0.5, 1.5  # of what may be an ELF that overshoots, and is clipped
SUFFIXES = (".npz", ".cube", ".cube.gz", ".ELFCAR", ".ELFCAR.gz", ".xsf", ".xsf.gz", ".h5")


@dataclass(frozen=True)
class Entrant:
    """Whatever predicts a field.

    Args:
        name: in records and tables.
        predict: of a file's name without suffix, its structure and a grid.
        facts: what is known of it, JSON values: ``weights_sha256``, ``elements``, ``trained_on``, ``parameters``, …
        model: what predicts, where it is one of elfzoo's.
        is_release: whether it is a release, by name or folder.
        learns: whether its factory must be given training data.
        is_known: whether ``facts`` tell it from anything else that the same call may make another time.
    """

    name: str
    predict: Predict
    facts: Mapping[str, Any] = field(default_factory=dict)
    model: Model | None = None
    is_release: bool = False
    learns: bool = False
    is_known: bool = True


def load_entrant(spec: str, training: Sequence[Any] = (), shown: Sequence[Any] = ()) -> Entrant:
    """The entrant that a text names: a shipped release, the folder of one, or ``FILE.py:factory``.

    Args:
        spec: the text.
        training: the task's training data, for factories that ask for them.
        shown: what a factory that must be given data gets where the task has none before it shows some.

    Raises:
        UnknownNameError: no such release.
        ElfzooError: a Python file without that factory, one that fails, a factory that returns nothing that predicts,
            or something with the name of a shipped release, whose records it would replace.
    """
    match = re.fullmatch(r"(.+\.py):(\w+)", spec)
    if match is None and spec.endswith(".py"):
        raise ElfzooError(f"a Python file enters with the name of its factory, as {spec}:make; got {spec}")
    if match is None:
        return _release(load_pretrained(spec))
    path = Path(match[1])
    made, given, learns = _made(path, match[2], training, shown)
    facts = {"source": spec, "source_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    if given is not None:
        facts |= getattr(given, "facts", {})
    fingerprint = _fingerprint(made)
    if fingerprint is not None:
        facts["fingerprint"] = fingerprint
    if isinstance(made, Model):
        facts |= {"weights_sha256": weights_sha256(made), "sees": made.sees}
    name = checked_name(str(getattr(made, "name", f"{path.stem}.{match[2]}")), ENTRANT)
    if name in list_pretrained():
        raise ElfzooError(f"{spec} calls itself {name}, which is a release of elfzoo; give it a name of its own")
    model = made if isinstance(made, Model) else None
    known = fingerprint is not None or model is not None
    return Entrant(name, _wrapped(made, spec), facts, model, learns=learns, is_known=known)


def _fingerprint(made: Any) -> str | None:
    """A text that tells what a factory made from anything else it might make; None where there is none."""
    if (own := getattr(made, "fingerprint", None)) is not None:
        return str(own)
    if isinstance(made, Model) or inspect.isfunction(made):  # a function is pickled by its name alone
        return None
    try:
        return hashlib.sha256(pickle.dumps(made)).hexdigest()
    except Exception:  # whatever a stranger's object raises
        return None


def prediction_files(folder: str | Path, name: str) -> Entrant:
    """An entrant known by its files alone: ``folder/NAME.npz`` (or .cube, .ELFCAR, .xsf, .h5) for each ``NAME.npz``.

    The files hold ELF on the reference's grid, or on one with a whole multiple of its points along each axis: twice as
    many let topology be searched without interpolation.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ElfzooError(f"no folder of predictions {root}")
    if name.startswith(FLOOR) or name in list_pretrained():
        raise ElfzooError(f"{name} is a floor or a release of elfzoo; prediction files need a name of their own")

    def predict(file: str, structure: Structure, grid: Grid) -> Field:
        found = [path for suffix in SUFFIXES if (path := root / f"{file}{suffix}").is_file()]
        if len(found) != 1:
            what = "no prediction" if not found else f"{len(found)} predictions"
            raise FieldFileError(f"{what} of {file} in {root}; expected one of {file}{{{', '.join(SUFFIXES)}}}")
        guess = _total(found[0])
        require_same_structure(structure, guess.structure)
        return guess

    return Entrant(checked_name(name, ENTRANT), predict, {"source": "prediction files"})


def _total(path: Path) -> Field:
    """The one field that a file holds."""
    try:
        return read_field(path)
    except FieldFileError as error:
        if len(fields := read_fields(path)) == 1:
            raise
        raise FieldFileError(
            f"{path} holds the spin channels {' and '.join(fields)}, which differ; expected one ELF, of both together"
        ) from error


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
    return Entrant(checked_name(card.name, ENTRANT), _wrapped(model, card.name), facts, model, is_release=True)


def _made(path: Path, factory: str, training: Sequence[Any], shown: Sequence[Any]) -> tuple[Any, Any, bool]:
    """What the factory of a Python file returns, what it was given, and whether it must be given data."""
    if not path.is_file():
        raise ElfzooError(f"no such file: {path}")
    spec = importlib.util.spec_from_file_location(f"elfzoo_entrant_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # of every .py file
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    with _theirs(str(path)), _importing_beside(path):
        spec.loader.exec_module(module)
    make = getattr(module, factory, None)
    if not callable(make):
        functions = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise ElfzooError(f"{path} has no function {factory}; it has {', '.join(functions) or 'none'}")
    parameters = inspect.signature(make).parameters
    first = next(iter(parameters.values()), None)
    required = first is not None and first.kind in POSITIONAL and first.default is inspect.Parameter.empty
    with _theirs(f"{path}:{factory}"), _importing_beside(path):
        if required:
            given = training or shown
            return make(given), given, True
        if TRAINING in parameters:
            return make(**{TRAINING: training}), training, False
        return make(), None, False


@contextmanager
def _importing_beside(path: Path) -> Iterator[None]:
    """Meanwhile modules that lie beside a Python file can be imported, as when it is run."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


@contextmanager
def _theirs(where: str) -> Iterator[None]:
    """What goes wrong within is of a stranger's code, and said so."""
    try:
        yield
    except ElfzooError:
        raise
    except Exception as error:
        raise ElfzooError(f"{where}: {type(error).__name__}: {error}") from error


def _wrapped(made: Any, spec: str) -> Predict:
    """One signature for objects that predict, and for functions."""
    call = made.predict if callable(getattr(made, "predict", None)) else made
    if not callable(call):
        raise ElfzooError(f"{spec} returns {type(made).__name__}; expected an object with predict, or a function")
    silent = {"progress": False} if isinstance(made, Model) else {}

    def predict(file: str, structure: Structure, grid: Grid) -> Field:
        with _theirs(spec):
            found = call(structure, grid, **silent)
            values = np.asarray(found.values if isinstance(found, Field) else found, dtype=float)
        if values.shape != grid.shape:
            raise ElfzooError(f"{spec} gives values of shape {values.shape}; expected {grid.shape}, those of the grid")
        if values.min() < LOWEST or values.max() > HIGHEST:
            raise ElfzooError(
                f"{spec} gives values from {values.min():.3g} to {values.max():.3g}; ELF lies between 0 and 1"
            )
        return found if isinstance(found, Field) else Field(values, structure)

    return predict
