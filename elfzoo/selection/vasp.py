"""Inputs of VASP by pymatgen's writers; POTCAR is the user's, of the potentials named in POTCAR.spec."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.vasp import Incar, Kpoints, Poscar
from pymatgen.io.vasp.sets import MPRelaxSet

from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.reference.engines import Settings, k_mesh
from elfzoo.reference.engines.base import label_grid, one_shifted_point
from elfzoo.reference.engines.espresso import BOHR, RYDBERG
from elfzoo.selection.calculation import Calculation

__all__ = ["RUN", "vasp_files"]

RUN = "vasp_std > vasp.out"
SMEARING = {"fermi-dirac": -1, "methfessel-paxton": 1, "marzari-vanderbilt": 0}  # no cold smearing: Gaussian instead


def vasp_files(structure: Structure, calculation: Calculation) -> tuple[dict[str, bytes], str]:
    """Name -> content: ``POSCAR``, ``INCAR``, ``KPOINTS`` and ``POTCAR.spec``; and a note, if any."""
    settings = calculation.settings
    structure = structure.get_sorted_structure(key=lambda site: site.specie.Z)  # POTCAR has each element once
    poscar = Poscar(structure, comment=structure.composition.formula)
    texts = {
        "POSCAR": poscar.get_str(significant_figures=12),
        "INCAR": str(Incar(_incar(structure, settings))) + "\n",
        "KPOINTS": str(_kpoints(structure, settings)),
        "POTCAR.spec": "\n".join(_potential(symbol) for symbol in poscar.site_symbols) + "\n",
    }
    return {name: text.encode() for name, text in texts.items()}, ""


def _incar(structure: Structure, settings: Settings) -> dict[str, object]:
    """One static calculation without spin, whose ELF comes on the grid NGX, NGY, NGZ."""
    shape = _grid(structure, settings).shape
    return {
        "SYSTEM": structure.composition.formula,
        **{"ISTART": 0, "ISPIN": 1, "NSW": 0, "IBRION": -1},
        **({"ISYM": -1} if one_shifted_point(settings, structure) else {}),
        **{"PREC": "Accurate", "ENCUT": round(settings.cutoff, 4), "GGA": "PE", "LREAL": False, "LASPH": True},
        **{"ISMEAR": SMEARING[settings.smearing], "SIGMA": round(settings.smearing_width, 6)},
        **{"EDIFF": float(f"{settings.convergence * len(structure):.3g}"), "NELM": 200, "ALGO": "Normal"},
        **{"LELF": True, "NPAR": 1},  # VASP's manual: NPAR = 1 has to be set with LELF
        **{"LWAVE": False, "LCHARG": False, "LAECHG": False},
        **dict(zip(("NGX", "NGY", "NGZ"), shape, strict=True)),
        **{name: 2 * n for name, n in zip(("NGXF", "NGYF", "NGZF"), shape, strict=True)},
    }


def _grid(structure: Structure, settings: Settings) -> Grid:
    """Fine enough for the products of orbitals (PREC = Accurate), and no coarser than that of the labels."""
    g_max = np.sqrt(settings.cutoff / RYDBERG) / BOHR  # rad/Å
    spacing = min(settings.grid_spacing, float(np.pi / (2 * g_max)))
    try:
        return label_grid(structure, settings, spacing)
    except ElfzooError:  # the origin is off the symmetry elements: VASP needs no grid that suits them
        return Grid.from_spacing(structure.lattice.matrix, spacing)


def _kpoints(structure: Structure, settings: Settings) -> Kpoints:
    mesh = k_mesh(settings, structure)
    shift = 0.0 if not settings.k_shift else 0.25 if one_shifted_point(settings, structure) else 0.5
    comment = f"at most {settings.k_spacing} rad/A" if settings.k_spacing else "as the labels"
    return Kpoints.gamma_automatic(mesh, (shift,) * 3, comment=comment)  # type: ignore[arg-type]


def _potential(symbol: str) -> str:
    """The PBE potential of the Materials Project's sets, or the standard one."""
    return str(MPRelaxSet.CONFIG["POTCAR"].get(symbol, symbol))
