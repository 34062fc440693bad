"""Input of GPAW: a script that computes the ELF exactly as elfzoo's own labels, and writes it with its recipe."""

from __future__ import annotations

from pymatgen.core import Structure

from elfzoo.config import to_dict
from elfzoo.selection.calculation import Calculation, fit_for_labels

__all__ = ["RUN", "gpaw_files"]

RUN = "python label.py > label.out"
SCRIPT = '''"""ELF of {formula} by GPAW, with the settings of the recipe {recipe}: python label.py, on one core.

Writes elf.npz. Needs elfzoo, GPAW and its setups: pip install elfzoo gpaw gpaw-data
The gradient of the density is spectral, not gpaw.elf's finite differences, which depend on the grid.
"""

from pathlib import Path

import numpy as np

from elfzoo import Field, Recipe
from elfzoo.reference.engines import Settings
from elfzoo.reference.engines.gpaw import GpawEngine
from elfzoo.structure import structure_from

LATTICE = {lattice}  # rows, angstrom

NUMBERS = {numbers}

FRAC_COORDS = {frac_coords}

SETTINGS = {settings}


def structure():
    return structure_from(np.array(LATTICE), NUMBERS, np.array(FRAC_COORDS))


def main():
    label = GpawEngine().label(structure(), Settings(**SETTINGS), Path("scratch"))
    meta = dict(label.facts) | {{key: SETTINGS[key] for key in ("functional", "pseudopotential")}}
    meta |= {{"energy_eV": label.energy, "pressure_stress_GPa": label.stress_pressure, "scf_converged": True}}
    Field(label.values, label.structure, recipe=Recipe.from_meta(meta), meta=meta).write("elf.npz")


if __name__ == "__main__":
    main()
'''


def gpaw_files(structure: Structure, calculation: Calculation) -> tuple[dict[str, bytes], str]:
    """Name -> content: ``label.py``; and a note, if any."""
    structure, note = fit_for_labels(structure, calculation.settings)
    text = SCRIPT.format(
        formula=structure.composition.formula,
        recipe=calculation.recipe,
        lattice=_rows(structure.lattice.matrix.tolist()),
        numbers=list(structure.atomic_numbers),
        frac_coords=_rows(structure.frac_coords.tolist()),
        settings=_settings(to_dict(calculation.settings)),
    )
    return {"label.py": text.encode()}, note


def _rows(rows: list[list[float]]) -> str:
    return "[\n" + "".join(f"    {row},\n" for row in rows) + "]"


def _settings(values: dict[str, object]) -> str:
    return "{\n" + "".join(f"    {key!r}: {value!r},\n" for key, value in values.items()) + "}"
