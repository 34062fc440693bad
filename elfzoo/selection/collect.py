"""What was computed from the inputs, as labels: read, checked to be complete, written with its recipe."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from elfzoo.check import fix_qe_elf
from elfzoo.check.espresso import check_espresso
from elfzoo.errors import ElfzooError
from elfzoo.field import Field, Recipe
from elfzoo.io import read_field
from elfzoo.reference.engines import Settings, label_grid
from elfzoo.reference.smooth import on_grid
from elfzoo.selection.inputs import FACTS, INDEX

__all__ = ["Collected", "collect"]

LABELS = "labels"


@dataclass(frozen=True)
class Collected:
    """What :func:`collect` found.

    Attributes:
        labels: files that are there now.
        left: folder -> what is missing in it.
    """

    labels: tuple[Path, ...]
    left: Mapping[str, str]

    def __str__(self) -> str:
        missing = "".join(f"\n  {name}: {reason}" for name, reason in self.left.items())
        return f"{len(self.labels)} labels, {len(self.left)} calculations left{missing}"


def collect(folder: str | Path) -> Collected:
    """Write ``labels/NAME.npz`` for each calculation of a folder of ``elfzoo select`` that has ended and converged.

    An ELF of Quantum ESPRESSO goes through the filter of elfzoo's own labels where they were made by it; that of the
    versions 6.8 to 7.5, which is wrong, is mended before (:func:`elfzoo.check.fix_qe_elf`). Run it again when more
    calculations have ended: labels that are there stay as they are.

    Args:
        folder: that :func:`~elfzoo.selection.write_inputs` wrote.

    Raises:
        ElfzooError: no such folder, or one that is damaged.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / FACTS).read_text())
        with open(folder / INDEX, newline="", encoding="utf-8") as handle:
            names = [row["folder"] for row in csv.DictReader(handle)]
        read = READERS[facts["program"]]
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ElfzooError(f"{folder} is no folder of elfzoo select: {error}") from error
    (folder / LABELS).mkdir(exist_ok=True)
    labels, left = [], dict[str, str]()
    for name in names:
        if (label := folder / LABELS / f"{name}.npz").is_file():
            labels.append(label)
            continue
        try:
            field = read(folder / name, facts)
        except (OSError, ValueError, LookupError, ElfzooError) as error:  # among them what a cut file leads to
            left[name] = str(error) if isinstance(error, OSError | ElfzooError) else f"a file is damaged: {error}"
            continue
        labels.append(field.write(label))
    return Collected(tuple(labels), left)


def _espresso(folder: Path, facts: Mapping[str, Any]) -> Field:
    output = _output(folder / "scf.out", "convergence has been achieved", "JOB DONE")
    _output(folder / "pp.out", "JOB DONE")
    version = re.search(r"Program PWSCF v\.([\d.]+)", output)
    species = re.findall(r"^ ([A-Z][a-z]?) [\d.]+ \S+$", (folder / "scf.in").read_text(), re.M)
    field = read_field(folder / "elf.cube", species=_species(folder, species))
    settings = Settings(**facts["settings"])
    field = _named(field, f"Quantum ESPRESSO {version[1] if version else ''}".strip(), settings)
    if any(finding.code == "qe-elf" and finding.level == "error" for finding in check_espresso(field)):
        field = fix_qe_elf(field.replace(values=field.values.clip(0.0, 1.0)))
    if facts["same_recipe"] and settings.low_pass is not None:
        values = on_grid(field.values.clip(0.0, 1.0), label_grid(field.structure, settings), settings.low_pass)
        field = field.replace(values=values)
    return field


def _species(folder: Path, symbols: list[str]) -> list[str] | None:
    """Symbols, where the atom lines of a cube have indices in place of atomic numbers: of one element always."""
    with open(folder / "elf.cube", encoding="ascii") as handle:
        lines = [handle.readline() for _ in range(6)]
        count = int(lines[2].split()[0])
        kinds = {int(handle.readline().split()[0]) for _ in range(count)}
    return symbols if kinds == set(range(1, len(symbols) + 1)) else None


def _vasp(folder: Path, facts: Mapping[str, Any]) -> Field:
    output = _output(folder / "OUTCAR", "aborting loop because EDIFF is reached", "General timing")
    version = re.match(r"\s*vasp\.(\d+(?:\.\d+)*)", output)
    field = read_field(folder / "ELFCAR")
    return _named(field, f"VASP {version[1] if version else ''}".strip(), Settings(**facts["settings"]), "PBE PAW")


def _gpaw(folder: Path, facts: Mapping[str, Any]) -> Field:
    return read_field(folder / "elf.npz")  # label.py writes it whole or not at all, with its recipe


READERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Field]] = MappingProxyType(
    {"espresso": _espresso, "vasp": _vasp, "gpaw": _gpaw}
)


def _output(path: Path, *marks: str) -> str:
    """The text of an output file that says all of ``marks``."""
    text = path.read_text(errors="replace")
    for mark in marks:
        if mark not in text:
            raise ElfzooError(f"{path.name} does not say {mark!r}")
    return text


def _named(field: Field, engine: str, settings: Settings, potentials: str | None = None) -> Field:
    """The field with its recipe."""
    meta = dict(field.meta) | {"engine": engine, "functional": settings.functional}
    meta |= {"pseudopotential": potentials or settings.pseudopotential, "cutoff_eV": settings.cutoff}
    meta |= {"smearing_width_eV": settings.smearing_width, "scf_converged": True}
    return field.replace(recipe=Recipe.from_meta(meta), meta=meta)
