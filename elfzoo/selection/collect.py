"""What was computed from the inputs, as labels: read, checked to be complete, written with its recipe."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pymatgen.core import Element

from elfzoo.check import fix_qe_elf
from elfzoo.check.espresso import check_espresso
from elfzoo.errors import ElfzooError
from elfzoo.field import Field, Recipe
from elfzoo.io import read_field
from elfzoo.reference.engines import Settings, label_grid
from elfzoo.reference.engines.espresso import pseudopotential_file
from elfzoo.reference.smooth import on_grid
from elfzoo.selection.inputs import FACTS, INDEX
from elfzoo.selection.pool import SELECTED
from elfzoo.selection.written import cards_of, namelists_of, require_as_written
from elfzoo.structure import as_structure, require_same_structure, structure_from

__all__ = ["Collected", "collect"]

LABELS = "labels"
Reader = Callable[[Path, Mapping[str, Any]], Field]


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
    versions 6.8 to 7.5, which is wrong without spin, is mended before (:func:`elfzoo.check.fix_qe_elf`). A calculation
    whose inputs were changed is left, but for what decides no result (:mod:`elfzoo.selection.written`) and for other
    pseudopotentials, which the label states. The structure is that of the input, which has more digits than the output.
    Run it again when more calculations have ended: labels that are there stay as they are.

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
            field = _read_as_written(read, folder / name, facts)
        except (OSError, ValueError, LookupError, ElfzooError) as error:  # among them what a cut file leads to
            left[name] = str(error) if isinstance(error, OSError | ElfzooError) else f"a file is damaged: {error}"
            continue
        labels.append(field.write(label))
    return Collected(tuple(labels), left)


def _read_as_written(read: Reader, folder: Path, facts: Mapping[str, Any]) -> Field:
    """The field of a calculation whose inputs are those that were written, where the folder knows them."""
    kept = facts.get("folders", {}).get(folder.name, {})
    require_as_written(folder, kept.get("inputs", {}))
    field = read(folder, facts)
    # a structure may be computed in another cell than it was chosen in; by this it is known all the same
    return field.replace(meta={**field.meta, SELECTED: kept[SELECTED]}) if kept else field


def _espresso(folder: Path, facts: Mapping[str, Any]) -> Field:
    output = _output(folder / "scf.out", "convergence has been achieved", "JOB DONE")
    _output(folder / "pp.out", "JOB DONE")
    version = re.search(r"Program PWSCF v\.([\d.]+)", output)
    text = (folder / "scf.in").read_text()
    files = {row.split()[0]: row.split()[2] for row in cards_of(text).get("ATOMIC_SPECIES", [""])[1:]}
    field = _at_input(read_field(folder / "elf.cube", species=_species(folder, list(files))), folder / "scf.in")
    settings = Settings(**facts["settings"])
    potentials = _potentials(files, settings.pseudopotential)
    field = _named(field, f"Quantum ESPRESSO {version[1] if version else ''}".strip(), settings, potentials)
    if _has_spin(text, output):  # such an ELF is right in every version
        field = field.replace(meta={**field.meta, "spin_polarised": True})
    elif any(finding.code == "qe-elf" and finding.level == "error" for finding in check_espresso(field)):
        field = fix_qe_elf(field.replace(values=field.values.clip(0.0, 1.0)))
    if facts["same_recipe"] and potentials == settings.pseudopotential and settings.low_pass is not None:
        values = on_grid(field.values.clip(0.0, 1.0), label_grid(field.structure, settings), settings.low_pass)
        field = field.replace(values=values)
    return field


def _at_input(field: Field, path: Path) -> Field:
    """The field on the structure of the input, of which programs print six digits of the voxels or fewer.

    Raises:
        ElfzooError: what was computed is another structure.
    """
    computed, given = (
        structure_from(one.lattice.matrix, one.atomic_numbers, one.frac_coords)  # without isotopes
        for one in (field.structure, as_structure(path))
    )
    try:
        require_same_structure(given, computed)
    except ElfzooError as error:
        raise ElfzooError(f"{path.name} has another structure than what was computed: {error}") from error
    return field.replace(structure=given)


def _has_spin(text: str, output: str) -> bool:
    """Whether an input of pw.x asks for spin, or its output tells of any."""
    asked = namelists_of(text)
    return "total magnetization" in output or asked.get("nspin", "1") != "1" or asked.get("noncolin") == "True"


def _potentials(files: Mapping[str, str], name: str) -> str:
    """The set or pattern that was asked for where these files are its; else a pattern of theirs, or their names."""
    if all(file == pseudopotential_file(name, symbol) for symbol, file in files.items()):
        return name
    patterns = {
        "{element}" + file.removeprefix(symbol) if file.startswith(symbol) else file for symbol, file in files.items()
    }
    return patterns.pop() if len(patterns) == 1 else ", ".join(files.values())


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
    _require_pbe(folder, output)
    field = _at_input(read_field(folder / "ELFCAR"), folder / "POSCAR")
    return _named(field, f"VASP {version[1] if version else ''}".strip(), Settings(**facts["settings"]), "PBE PAW")


def _require_pbe(folder: Path, output: str) -> None:
    """See that the potentials are PBE's, by POTCAR or else OUTCAR; that of an element may be any variant.

    Raises:
        ElfzooError: they are of another functional, or of other elements than POSCAR has.
    """
    potcar = folder / "POTCAR"
    titles = re.findall(r"TITEL *= *(\S.*)", potcar.read_text(errors="replace") if potcar.is_file() else output)
    symbols = [symbol for symbol, _ in groupby(site.specie.symbol for site in as_structure(folder / "POSCAR"))]
    found = [re.match(r"PAW_PBE ([A-Z][a-z]?)", title) for title in titles]
    # by atomic number, for isotopes have the potential of their element
    if titles and [match and Element(match[1]).Z for match in found] != [Element(symbol).Z for symbol in symbols]:
        raise ElfzooError(
            f"POTCAR has {', '.join(titles)}; expected one PAW_PBE potential each of {', '.join(symbols)}"
        )


def _gpaw(folder: Path, facts: Mapping[str, Any]) -> Field:
    return read_field(folder / "elf.npz")  # label.py writes it whole or not at all, with its recipe


READERS: Mapping[str, Reader] = MappingProxyType({"espresso": _espresso, "vasp": _vasp, "gpaw": _gpaw})


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
