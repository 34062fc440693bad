"""All checks on one field or one file, worst findings first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from elfzoo.check.atoms import check_atoms
from elfzoo.check.density import check_density
from elfzoo.check.espresso import check_espresso
from elfzoo.check.finding import LEVELS, Finding
from elfzoo.check.sampling import check_sampling
from elfzoo.check.spin import channels_differ, check_channels, check_spin_label
from elfzoo.check.symmetry import SYMPREC, check_symmetry
from elfzoo.check.title import check_title
from elfzoo.check.values import check_values
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.io import read_fields
from elfzoo.io.files import format_of

__all__ = ["check_field", "check_file"]


def check_field(field: Field, symprec: float = SYMPREC) -> list[Finding]:
    """Check the values of a field, its symmetry, its sampling and its atoms; an empty list means nothing to say.

    Where the values themselves are wrong (not finite, out of range, constant, scaled by the volume), only that is
    reported, because everything else would follow from it.

    Args:
        field: an ELF; of electron densities the values and the number of electrons are checked, and of other quantities
            nothing, which is one finding.
        symprec: tolerance, Å, with which spglib finds the space group of the structure.
    """
    return _worst_first(_check_one(field, symprec, False) + check_spin_label(field))


def check_file(
    path: str | Path, format: str | None = None, species: Sequence[str] | None = None, symprec: float = SYMPREC
) -> list[Finding]:
    """Check a field file of any format that :func:`elfzoo.io.read_fields` reads; see :func:`check_field`.

    A file that cannot be read is one finding (``unreadable``) that names file, place and cause. Findings about one
    of two spin channels begin with its name.

    Args:
        path, format, species: as for :func:`elfzoo.io.read_fields`.
        symprec: as for :func:`check_field`.
    """
    try:
        fields = read_fields(path, format=format, species=species, check=False)
    except ElfzooError as error:
        return [Finding("error", "unreadable", str(error).rstrip("."), "Export or copy the file again")]
    return _worst_first(_check_channels(fields, symprec, format_of(Path(path), format) in ("elfcar", "xsf")))


def _check_channels(fields: Mapping[str, Field], symprec: float, x_fastest: bool) -> list[Finding]:
    if len(fields) == 1:
        (field,) = fields.values()
        return _check_one(field, symprec, x_fastest) + check_spin_label(field)
    if not channels_differ(fields):  # a closed shell computed with spin: either channel is the ELF
        return _check_one(next(iter(fields.values())).replace(spin=None), symprec, x_fastest)
    named = [(name, finding) for name, field in fields.items() for finding in _check_one(field, symprec, x_fastest)]
    return check_channels(fields) + [replace(f, message=f"spin {name}: {f.message}") for name, f in named]


def _check_one(field: Field, symprec: float, x_fastest: bool) -> list[Finding]:
    if field.quantity in CHECKS:
        return CHECKS[field.quantity](field, symprec, x_fastest)
    message = f"the field holds {field.quantity!r}, and only ELF and densities are checked"
    return [Finding("info", "quantity", message, "Read it as ELF if that is what it is")]


def _check_elf(field: Field, symprec: float, x_fastest: bool) -> list[Finding]:
    wrong = check_values(field) + check_title(field)
    if any(finding.level == "error" for finding in wrong):
        return wrong
    wrong += check_espresso(field) + check_sampling(field)
    return wrong + check_symmetry(field, symprec) + check_atoms(field, x_fastest)


CHECKS = {"elf": _check_elf, "density": lambda field, *_: check_density(field)}  # by quantity


def _worst_first(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
