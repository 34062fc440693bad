"""Inputs of Quantum ESPRESSO: pw.x, then pp.x for the ELF as a cube file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pymatgen.core import Structure

from elfzoo.errors import ElfzooError
from elfzoo.reference.engines.base import EngineError, label_grid
from elfzoo.reference.engines.espresso import (
    SETS,
    copy_pseudopotentials,
    density_spacing,
    pp_input,
    pseudopotential_file,
    pw_input,
)
from elfzoo.selection.calculation import Calculation, fit_for_labels

__all__ = ["RUN", "espresso_files", "potentials"]

RUN = "pw.x -in scf.in > scf.out && pp.x -in pp.in > pp.out"


def espresso_files(structure: Structure, calculation: Calculation) -> tuple[dict[str, bytes], str]:
    """Name -> content: ``scf.in``, ``pp.in``, and the pseudopotentials that are at hand; and a note, if any.

    The grid is one that the space group maps onto itself, fine enough for the density: that of elfzoo's own labels.
    """
    settings = calculation.settings
    structure, note = fit_for_labels(structure, settings)
    try:
        grid = label_grid(structure, settings, density_spacing(settings.cutoff))
    except ElfzooError:
        grid = None  # pw.x's own; it then leaves out what symmetry does not map it onto itself
    texts = {"scf.in": pw_input(structure, settings, grid), "pp.in": pp_input("elf")}
    files = {name: text.encode() for name, text in texts.items()}
    return files | potentials(structure, settings.pseudopotential), note


def potentials(structure: Structure, name: str) -> dict[str, bytes]:
    """Files of a set of elfzoo that could be found; the others have to be put there by the user."""
    found = {}
    for symbol in sorted({site.specie.symbol for site in structure}) if name in SETS else ():
        one = Structure(structure.lattice, [symbol], [[0, 0, 0]])
        with tempfile.TemporaryDirectory() as folder:
            try:
                copy_pseudopotentials(one, name, Path(folder))
            except EngineError:
                continue
            file = pseudopotential_file(name, symbol)
            found[file] = (Path(folder) / file).read_bytes()
    return found
