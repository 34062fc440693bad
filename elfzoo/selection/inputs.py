"""A folder of input files for the chosen structures, which appears whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pymatgen.core import Structure

from elfzoo._version import __version__
from elfzoo.config import to_dict
from elfzoo.errors import ElfzooError
from elfzoo.reference.engines.espresso import pseudopotential_file
from elfzoo.screening.identity import structure_hash
from elfzoo.selection import espresso, gpaw, vasp
from elfzoo.selection.calculation import Calculation
from elfzoo.selection.choose import Chosen, Selection
from elfzoo.selection.pool import SELECTED, Named
from elfzoo.selection.readme import readme
from elfzoo.selection.written import INPUTS, said

__all__ = ["CANDIDATES", "FACTS", "INDEX", "folder_name", "write_inputs"]

INDEX, CANDIDATES, FACTS = "selected.csv", "candidates.csv", "select.json"
Files = tuple[dict[str, bytes], str]
WRITERS: Mapping[str, tuple[Callable[[Structure, Calculation], Files], str]] = MappingProxyType(
    {
        "espresso": (espresso.espresso_files, espresso.RUN),
        "vasp": (vasp.vasp_files, vasp.RUN),
        "gpaw": (gpaw.gpaw_files, gpaw.RUN),
    }
)
VALUES = ("gain", "std_before", "std_after")


def write_inputs(selection: Selection, calculation: Calculation, out: str | Path, force: bool = False) -> Path:
    """Write a folder with one folder of inputs for each chosen structure, an index and a README.

    Everything is written beside it first and then renamed, so that a folder which is there is complete.

    Args:
        selection: what was chosen.
        calculation: how to compute it (:func:`~elfzoo.selection.calculation_for`).
        out: the folder.
        force: take the place of an earlier one, which is then moved to ``OUT.old``: results may lie in it.

    Raises:
        ElfzooError: the folder is there, or an old one is in the way, or it cannot be written.
    """
    out = Path(out)
    require_place(out, force)
    temporary = out.absolute().with_name(f".{out.absolute().name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with _as_elfzoo_errors(out):
            _write_all(selection, calculation, temporary)
            if out.exists():
                out.rename(_old(out))
            temporary.rename(out.absolute())
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def folder_name(item: Chosen, width: int = 2) -> str:
    """``03_Ca1H6_POSCAR_17``: order, formula, file (and frame), of letters that no shell minds."""
    stem = re.sub(r"\.gz$|\.\w{1,8}$", "", Path(item.file).name) or "structure"
    parts = [f"{item.order:0{width}d}", item.structure.composition.formula.replace(" ", ""), stem]
    if item.frame is not None:
        parts.append(f"{item.frame:04d}")
    return re.sub(r"[^\w.+-]+", "-", "_".join(parts))


def require_place(out: Path, force: bool) -> None:
    """See that a folder of inputs can be made: before the work, and once more after it.

    Raises:
        ElfzooError: it is there, or an old one is in the way, or there is no folder for it.
    """
    if not out.absolute().parent.is_dir():
        raise ElfzooError(f"cannot write {out}: there is no folder {out.absolute().parent}")
    if not out.exists():
        return
    if not force:
        raise ElfzooError(
            f"{out} is there already; choose another output, or force=True (--force) to move it to {_old(out)}"
        )
    if not (out / INDEX).is_file():
        raise ElfzooError(f"{out} is no folder of elfzoo select (it has no {INDEX}); choose another output")
    if _old(out).exists():
        raise ElfzooError(f"{_old(out)} is there already, so that {out} cannot be moved to it; move it away first")


def _old(out: Path) -> Path:
    return out.absolute().with_name(out.absolute().name + ".old")


@contextlib.contextmanager
def _as_elfzoo_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ElfzooError(f"cannot write {out}: {error.strerror or error}; nothing was changed") from error


def _write_all(selection: Selection, calculation: Calculation, folder: Path) -> None:
    writer, run = WRITERS[calculation.program]
    width, notes, missing = max(2, len(str(len(selection.chosen)))), list[str](), set[str]()
    rows, folders = [], dict[str, Any]()
    for item in selection.chosen:
        files, note = writer(item.structure, calculation)
        name = folder_name(item, width)
        (folder / name).mkdir(parents=True)
        for file, content in files.items():
            (folder / name / file).write_bytes(content)
        notes += [f"{name} is {note}."] if note else []
        missing |= _potentials(item.structure, calculation) - set(files)
        rows.append({"folder": name, **_row(item)})
        inputs = {file: said(file, files[file].decode()) for file in INPUTS[calculation.program]}
        folders[name] = {SELECTED: structure_hash(item.structure), "inputs": inputs}
    others = [_row(item) for item in selection.others] + [_left_out(item) for item in selection.left_out]
    (folder / INDEX).write_text(_table(rows), encoding="utf-8")
    (folder / CANDIDATES).write_text(_table(others), encoding="utf-8")
    facts = {**_facts(selection, calculation), "folders": folders}
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    text = readme(selection, calculation, run, notes, sorted(missing))
    (folder / "README.txt").write_text(text, encoding="utf-8")
    _flush(folder)


def _potentials(structure: Structure, calculation: Calculation) -> set[str]:
    if calculation.program != "espresso":
        return set()
    name = calculation.settings.pseudopotential
    return {pseudopotential_file(name, site.specie.symbol) for site in structure}


COLUMNS = ("order", "folder", "file", "frame", "formula", "atoms", "volume", *VALUES, "outside", "message")


def _row(item: Chosen) -> dict[str, Any]:
    structure = item.structure
    return {
        **{"order": item.order, "file": item.file, "frame": item.frame},
        **{"formula": structure.composition.formula, "atoms": len(structure), "volume": f"{structure.volume:.4f}"},
        "gain": "" if item.gain is None else f"{item.gain:.6g}",
        **{"std_before": f"{item.before:.6f}", "std_after": f"{item.after:.6f}"},
        "outside": "; ".join(item.outside),
    }


def _left_out(item: Named) -> dict[str, Any]:
    return {"file": item.file, "frame": item.frame, "message": " ".join(item.message.split())}


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _facts(selection: Selection, calculation: Calculation) -> dict[str, Any]:
    """What the choice and the inputs can be made again from, given the structures; and what collect needs."""
    settings = to_dict(calculation.settings)
    return {
        **{"model": selection.model, **selection.facts, "known": selection.known},
        **{"program": calculation.program, "recipe": calculation.recipe, "same_recipe": calculation.same},
        **{"settings": settings, "elfzoo": __version__},
    }


def _flush(folder: Path) -> None:
    """To the disk before the rename, or a power cut could leave empty files in a folder that looks whole."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as handle:
                os.fsync(handle.fileno())
