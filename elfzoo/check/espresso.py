"""The wrong ELF of Quantum ESPRESSO 6.8 to 7.5: how to find it, and how to mend it.

Those versions write, without spin polarisation, ELF = 1 / (1 + χ²) with a χ that lacks the factor 2^(2/3) of a closed
shell (issue 819 of the code's tracker). Since χ can be had back from ELF, so can the right field.
"""

from __future__ import annotations

import re
from dataclasses import asdict

from elfzoo.check.finding import Finding
from elfzoo.errors import ElfzooError
from elfzoo.field import Field

__all__ = ["check_espresso", "fix_qe_elf"]

FIRST_WRONG, LAST_WRONG = (6, 8), (7, 5)
VERSION = re.compile(r"(?:Quantum\s*ESPRESSO|PWSCF|pw\.x)[\s,v.]*(\d+)\.(\d+)", re.IGNORECASE)
MENDED = ", ELF mended by chi times 2^(2/3)"  # put behind the engine in Field.meta, which every file format keeps
REMEDY = "mend it with elfzoo.check.fix_qe_elf (chi times 2^(2/3)), or use version 6.7 or one after 7.5"


def check_espresso(field: Field) -> list[Finding]:
    """Finding ``qe-elf``: an error for a wrong version, information where the file does not tell the version."""
    if field.spin is not None or field.meta.get("spin_polarised") or _is_mended(field):
        return []
    version = _version(field)
    if version is not None:
        if not FIRST_WRONG <= version <= LAST_WRONG:
            return []
        message = f"Quantum ESPRESSO {version[0]}.{version[1]} writes a wrong ELF without spin polarisation"
        return [Finding("error", "qe-elf", message, f"If the run had no spin, {REMEDY}")]
    if "pwscf" not in str(field.meta.get("comment", "")).lower():
        return []
    message = "the file comes from Quantum ESPRESSO but not its version; 6.8 - 7.5 write a wrong ELF without spin"
    return [Finding("info", "qe-elf", message, f"If it was one of these, {REMEDY}")]


def fix_qe_elf(field: Field) -> Field:
    """The right ELF from the wrong one of Quantum ESPRESSO 6.8 - 7.5 without spin polarisation.

    With χ = 2^(2/3) χ_w and ELF_w = 1 / (1 + χ_w²), ELF = ELF_w / (ELF_w + 2^(4/3) (1 - ELF_w)). The result says in
    ``meta["engine"]`` that it was mended.

    Raises:
        ElfzooError: when the field is one spin channel or says ``spin_polarised`` in ``meta`` (those are right), was
            mended before, or leaves [0, 1].
    """
    if field.spin is not None:
        raise ElfzooError(f"Quantum ESPRESSO's spin-polarised ELF needs no mending; got the spin-{field.spin} channel")
    if field.meta.get("spin_polarised"):
        raise ElfzooError("Quantum ESPRESSO's spin-polarised ELF needs no mending; the field's metadata say it is one")
    if _is_mended(field):
        raise ElfzooError("this ELF was mended before; doing it twice would make it wrong again")
    wrong = field.values
    if not (wrong.min() >= 0 and wrong.max() <= 1):
        raise ElfzooError(f"an ELF lies between 0 and 1; got values from {wrong.min():.4g} to {wrong.max():.4g}")
    made = {"engine": "Quantum ESPRESSO", **field.meta, **(asdict(field.recipe) if field.recipe else {})}
    made["engine"] = f"{made['engine']}{MENDED}"
    return field.replace(values=wrong / (wrong + 2 ** (4 / 3) * (1 - wrong)), meta=made)


def _is_mended(field: Field) -> bool:
    return str(field.meta.get("engine", "")).endswith(MENDED)


def _version(field: Field) -> tuple[int, int] | None:
    """The version of Quantum ESPRESSO that the recipe, the metadata or the file's comment tell, or None."""
    engine = field.recipe.engine if field.recipe is not None else ""
    for text in (engine, field.meta.get("engine", ""), field.meta.get("comment", "")):
        if found := VERSION.search(str(text)):
            return int(found[1]), int(found[2])
    return None
