"""Hydrogen's share of the density of states at the Fermi level, from the files that DFT codes leave behind.

The share is that of the projections: states projected on orbitals of hydrogen over those projected on orbitals of any
atom. The density between the spheres of VASP, and what Quantum ESPRESSO's atomic orbitals do not span, belong to no
atom and count on neither side, so that the share of pure hydrogen is 1. Both are smeared by a Gaussian at the Fermi
level, because a density of states from few k-points is jagged.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from pymatgen.core import Element
from pymatgen.electronic_structure.core import Spin

from elfzoo.errors import ElfzooError, FieldFileError
from elfzoo.io.files import read_bytes

__all__ = ["hydrogen_dos_share"]

REACH = 3.0  # smearing widths around the Fermi level in which a gap is looked for
INSULATOR = 1e-3  # states per eV and atom; metallic hydrogen has 0.1, and a gap of six widths less than this
PDOS_FILE = re.compile(r"(?P<prefix>.*)\.pdos_atm#(?P<atom>\d+)\((?P<label>\w+)\)_wfc#\d+\(.+\)(\.gz)?")
# what pymatgen's parser meets in files that are no vasprun.xml or end early
UNREADABLE = (SyntaxError, ValueError, AttributeError, LookupError, TypeError, OSError, EOFError, zlib.error)
VASP_FILES = ("vasprun.xml", "vasprun.xml.gz")


def hydrogen_dos_share(path: str | Path, fermi_energy: float | None = None, smearing: float = 0.1) -> float:
    """H_DOS: the hydrogen share of the projected density of states at the Fermi level, both spins together.

    Args:
        path: VASP's ``vasprun.xml`` (plain or ``.gz``; LORBIT = 10, 11 or 12), or one of the
            ``PREFIX.pdos_atm#1(H)_wfc#1(s)`` files of Quantum ESPRESSO's ``projwfc.x``, which stands for all of its
            prefix, or the folder that holds either.
        fermi_energy: eV, on the scale of the file; VASP's file states its own, Quantum ESPRESSO's do not.
        smearing: standard deviation of the Gaussian at the Fermi level, eV. A gap is recognised when it is wider than
            about six of it.

    Raises:
        FieldFileError: a file that is missing, damaged, or without projections.
        ElfzooError: no hydrogen; no Fermi energy, or one outside of the file's energies; energies too far apart for the
            smearing; or hardly a state at the Fermi level, where the share is undefined because this is an insulator.
    """
    if not (np.isfinite(smearing) and smearing > 0):
        raise ElfzooError(f"the smearing must be a positive number of eV; got {smearing}")
    dos = _read(Path(path))
    if "H" not in dos.by_element:
        raise ElfzooError(f"{path} has no hydrogen: its projections are on {', '.join(sorted(dos.by_element))}")
    fermi = dos.fermi_energy if fermi_energy is None else fermi_energy
    if fermi is None:
        raise ElfzooError(
            f"{path} does not state the Fermi energy; give fermi_energy in eV, which pw.x prints at the end of its run"
        )
    total = sum(dos.by_element.values(), np.zeros(len(dos.energies)))
    every = _smeared(dos.energies, total, fermi, smearing)
    if every.min() < INSULATOR * dos.atoms:
        raise ElfzooError(
            f"{path} is of an insulator or nearly so, and the share is undefined: the density of states falls to "
            f"{max(every.min(), 0.0):.2g} per eV within {REACH * smearing:.2g} eV of the Fermi level ({fermi:.3f} eV)"
        )
    hydrogen = _smeared(dos.energies, dos.by_element["H"], fermi, smearing)
    middle = len(every) // 2
    return float(np.clip(hydrogen[middle] / every[middle], 0, 1))


@dataclass(frozen=True, eq=False)
class _ProjectedDos:
    """Energies (eV), states per eV projected on each element, number of atoms, and the Fermi energy where known."""

    energies: Float[np.ndarray, " energies"]
    by_element: dict[str, Float[np.ndarray, " energies"]]
    atoms: int
    fermi_energy: float | None


def _smeared(energies: np.ndarray, density: np.ndarray, fermi: float, width: float) -> np.ndarray:
    """(13,): averages of a density with Gaussian weights around energies at and on both sides of the Fermi level."""
    lowest, highest = fermi - REACH * width, fermi + REACH * width
    if not (energies.min() <= lowest and highest <= energies.max()):
        raise ElfzooError(
            f"the density of states reaches from {energies.min():.2f} to {energies.max():.2f} eV; expected it from "
            f"{lowest:.2f} to {highest:.2f} eV, around the Fermi level"
        )
    step = float(np.diff(energies).max())
    if step > 2 * width:
        raise ElfzooError(
            f"the energies are {step:.3f} eV apart, too far for a smearing of {width} eV; take {step / 2:.3f} or more"
        )
    at = np.linspace(lowest, highest, 13)
    weights = np.exp(-0.5 * ((energies - at[:, None]) / width) ** 2)
    return weights @ density / weights.sum(axis=1)


def _read(path: Path) -> _ProjectedDos:
    if path.is_dir():
        return _read(_in_folder(path))
    if not path.is_file():
        raise FieldFileError(f"no such file or folder: {path}")
    return _quantum_espresso(path) if PDOS_FILE.fullmatch(path.name) else _vasp(path)


def _in_folder(folder: Path) -> Path:
    """The folder's vasprun.xml, or one of its projwfc.x files; these must be of one prefix."""
    for name in VASP_FILES:
        if (folder / name).is_file():
            return folder / name
    matches = {path: PDOS_FILE.fullmatch(path.name) for path in sorted(folder.iterdir())}
    found = {path: match["prefix"] for path, match in matches.items() if match}
    if not found:
        raise FieldFileError(f"{folder} holds no vasprun.xml and no PREFIX.pdos_atm#... files of projwfc.x")
    if len(set(found.values())) > 1:
        raise ElfzooError(
            f"{folder} holds projwfc.x files of several runs ({', '.join(sorted(set(found.values())))}); "
            "give one file of the run that is meant"
        )
    return next(iter(found))


def _vasp(path: Path) -> _ProjectedDos:
    from pymatgen.io.vasp import Vasprun

    try:
        run = Vasprun(path, parse_potcar_file=False, parse_eigen=False)
        projections = run.pdos if run.tdos else []
    except UNREADABLE as error:
        raise FieldFileError(f"{path} is no complete vasprun.xml with a density of states: {error}") from error
    if not projections:
        raise FieldFileError(f"{path} has no projected density of states; run VASP with LORBIT = 11")
    # of a non-collinear run the second set is the magnetisation along z, not a spin channel
    spins = (Spin.up,) if run.parameters.get("LNONCOLLINEAR") else (Spin.up, Spin.down)
    by_element: dict[str, np.ndarray] = {}
    for atom, orbitals in zip(run.final_structure, projections, strict=True):
        densities = [density for by_spin in orbitals.values() for spin, density in by_spin.items() if spin in spins]
        _add(by_element, atom.specie.Z, np.sum(densities, axis=0))
    return _ProjectedDos(np.array(run.tdos.energies), by_element, len(run.final_structure), run.efermi)


def _quantum_espresso(path: Path) -> _ProjectedDos:
    prefix = _match(path)["prefix"]
    files = [other for other in sorted(path.parent.iterdir()) if PDOS_FILE.fullmatch(other.name)]
    files = [other for other in files if _match(other)["prefix"] == prefix]
    energies, by_element = np.zeros(0), dict[str, np.ndarray]()
    for file in files:
        here, density = _ldos(file)
        if len(energies) and not np.array_equal(here, energies):
            raise FieldFileError(f"{file} and {files[0]} have different energies; expected files of one projwfc.x run")
        energies = here
        _add(by_element, _atomic_number(file), density)
    return _ProjectedDos(energies, by_element, len({_match(file)["atom"] for file in files}), None)


def _ldos(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Energies and the sum over an atomic shell, both spins: columns E, ldos or E, ldosup, ldosdw; orbitals follow."""
    header, _, body = read_bytes(file).decode("ascii", "replace").partition("\n")
    if "ik" in header.split():
        raise FieldFileError(f"{file} is resolved by k-point; run projwfc.x without kresolveddos")
    columns = 1 + ("ldosup" in header)
    body = re.sub(r"(\d)([-+]\d{3})\b", r"\1E\2", body)  # Fortran leaves out the E of exponents of three digits
    try:
        table = np.array([line.split()[: 1 + columns] for line in body.splitlines() if line.strip()], dtype=float)
    except ValueError as error:
        raise FieldFileError(f"{file} is no table of numbers as projwfc.x writes: {error}") from error
    if "ldos" not in header or table.ndim != 2 or len(table) < 2 or not np.isfinite(table).all():
        raise FieldFileError(f"{file} is no table of E and ldos as projwfc.x writes; its first line is {header[:60]!r}")
    return table[:, 0], table[:, 1:].sum(axis=1)


def _atomic_number(file: Path) -> int:
    """Of a species label such as H, H1 or La_sv."""
    label = _match(file)["label"]
    symbol = re.match(r"[A-Z][a-z]?(?![a-z])", label)
    if symbol is None or not Element.is_valid_symbol(symbol.group()):
        raise FieldFileError(f"{file.name} is of a species {label!r}, which begins with no element's symbol")
    return int(Element(symbol.group()).Z)


def _match(file: Path) -> re.Match[str]:
    match = PDOS_FILE.fullmatch(file.name)
    assert match is not None
    return match


def _add(by_element: dict[str, np.ndarray], number: int, density: np.ndarray) -> None:
    symbol = Element.from_Z(number).symbol
    by_element[symbol] = by_element.get(symbol, 0.0) + density
