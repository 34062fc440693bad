"""What the inputs of a calculation say: kept when they are written, and compared before a label states its recipe."""

from __future__ import annotations

import ast
import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from elfzoo.errors import ElfzooError

__all__ = ["INPUTS", "cards_of", "namelists_of", "require_as_written", "said"]

INPUTS: Mapping[str, tuple[str, ...]] = MappingProxyType(  # by program; what a label states, and its structure, is here
    {"espresso": ("scf.in", "pp.in"), "vasp": ("INCAR", "KPOINTS", "POSCAR"), "gpaw": ("label.py",)}
)
# What may be another: it changes no converged result, or is read from the file that ran and stated as it is there.
# NPAR and NCORE are not among it, for the ELF of VASP depends on them.
FREE: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "scf.in": frozenset(
            {
                *("ATOMIC_SPECIES", "prefix", "outdir", "pseudo_dir", "wfcdir", "title", "verbosity", "disk_io"),
                *("restart_mode", "max_seconds", "iprint", "tstress", "tprnfor", "startingpot", "startingwfc"),
                *("electron_maxstep", "mixing_beta", "mixing_mode", "mixing_ndim", "diagonalization"),
                *("diago_david_ndim", "diago_cg_maxiter", "diago_full_acc"),
            }
        ),
        "pp.in": frozenset({"prefix", "outdir", "filplot", "filepp(1)"}),
        "INCAR": frozenset(
            {
                *("SYSTEM", "ISTART", "ALGO", "NELM", "NELMIN", "NELMDL", "AMIX", "BMIX", "LWAVE", "LCHARG", "NWRITE"),
                *("KPAR", "NSIM", "LPLANE", "LSCALAPACK"),
            }
        ),
        "label.py": frozenset({"SETTINGS"}),  # the script states them itself
    }
)
CARDS = re.compile(
    r"ATOMIC_(SPECIES|POSITIONS|VELOCITIES|FORCES)|(ADDITIONAL_)?K_POINTS|CELL_PARAMETERS|CONSTRAINTS|OCCUPATIONS|"
    r"SOLVENTS|HUBBARD"
)
LONGEST = 60  # characters that are kept as they are


def said(file: str, text: str) -> dict[str, str]:
    """Entry -> value of an input in ``INPUTS``, whatever its layout; of a long value its SHA-256.

    Raises:
        ElfzooError: the text is no such input.
    """
    try:
        entries = ENTRIES[file](text)
    except (ValueError, LookupError, SyntaxError) as error:
        raise ElfzooError(f"{file} cannot be read: {error}") from error
    return {key: value if len(value) <= LONGEST else _digest(value) for key, value in entries.items()}


def require_as_written(folder: Path, written: Mapping[str, Mapping[str, str]]) -> None:
    """See that the inputs in a folder still say what they did when they were written, but for ``FREE``.

    Args:
        folder: of one calculation.
        written: file -> what :func:`said` of it then.

    Raises:
        ElfzooError: they do not; names what differs.
        OSError: one of them is gone.
    """
    found = []
    for file, before in written.items():
        now = said(file, (folder / file).read_text(errors="replace"))
        if changes := list(_changes(before, now, FREE.get(file, frozenset()))):
            found.append(f"{file} ({', '.join(changes)})")
    if found:
        raise ElfzooError(
            f"its inputs were changed after they were written: {', '.join(found)}; the recipe of this folder is not "
            "its own, so read the field with elfzoo.read_field and state its recipe yourself (Field.replace)"
        )


def namelists_of(text: str) -> dict[str, str]:
    """Keys, in small letters, and values of all namelists of an input of Quantum ESPRESSO."""
    from ase.io.espresso import read_fortran_namelist

    sections, _ = read_fortran_namelist(io.StringIO(text))
    return {str(key).lower(): str(value) for section in sections.values() for key, value in section.items()}


def cards_of(text: str) -> dict[str, list[str]]:
    """What follows the namelists of an input of pw.x: of each card its option and its lines, without extra blanks."""
    from ase.io.espresso import read_fortran_namelist

    cards: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in filter(str.strip, read_fortran_namelist(io.StringIO(text))[1]):
        name, *option = line.split()
        if CARDS.fullmatch(name.upper()):
            lines = cards[name.upper()] = [" ".join(option).strip("(){} ").lower()]
        else:
            lines.append(" ".join(line.split()))
    return cards


def _espresso_entries(text: str) -> dict[str, str]:
    return namelists_of(text) | {name: "; ".join(lines) for name, lines in cards_of(text).items()}


def _incar_entries(text: str) -> dict[str, str]:
    from pymatgen.io.vasp import Incar

    return {key: str(value) for key, value in Incar.from_str(text).items()}


def _lines(text: str) -> dict[str, str]:
    """All but the title in the first line."""
    return {"content": "; ".join(" ".join(line.split()) for line in text.splitlines()[1:]).rstrip("; ")}


def _script_entries(text: str) -> dict[str, str]:
    """The constants of a script."""
    found = [node for node in ast.parse(text).body if isinstance(node, ast.Assign)]
    return {ast.unparse(node.targets[0]): ast.unparse(node.value) for node in found}


ENTRIES: Mapping[str, Callable[[str], dict[str, str]]] = MappingProxyType(
    {
        **{"scf.in": _espresso_entries, "pp.in": _espresso_entries},
        **{"INCAR": _incar_entries, "KPOINTS": _lines, "POSCAR": _lines, "label.py": _script_entries},
    }
)


def _changes(before: Mapping[str, str], now: Mapping[str, str], free: frozenset[str]) -> Iterator[str]:
    for key in sorted({*before, *now} - free):
        if before.get(key) == now.get(key):
            continue
        values = [mapping.get(key, "not set") for mapping in (now, before)]
        is_long = any(value.startswith("sha256 ") for value in values)
        yield f"{key} is another" if is_long else f"{key} is {values[0]}, was {values[1]}"


def _digest(value: str) -> str:
    return f"sha256 {hashlib.sha256(value.encode()).hexdigest()}"
