"""What the folder of chosen structures says of itself: how to run the inputs, and how to bring the results back."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from elfzoo.selection.calculation import PROGRAMS, Calculation
from elfzoo.selection.choose import Selection

__all__ = ["readme"]

WIDTH = 100
PROGRAM_NOTES = {
    "espresso": (
        "pw.x and pp.x must be of one version: 6.7 or older, or newer than 7.5. Versions 6.8 to 7.5 write a wrong ELF "
        "of calculations without spin, which `collect` mends (elfzoo.check.fix_qe_elf). Potentials must be "
        "norm-conserving: with PAW and ultrasoft ones pp.x leaves the augmentation out. 100 Ry do for hydrogen; test "
        "them for other elements. With MPI: mpirun -n 4 pw.x -in scf.in, and pp.x on as many processes."
    ),
    "vasp": (
        "POTCAR is yours: join the PBE potentials that POTCAR.spec lists, in that order. ENCUT must not lie below the "
        "ENMAX of any of them. VASP's manual wants NPAR = 1 with LELF; do not set NCORE beside it. ELFCAR comes on the "
        "grid NGX, NGY, NGZ. These inputs were read back by pymatgen, but never run by VASP."
    ),
    "gpaw": (
        "label.py takes one core and hours for large cells; run several folders at a time. It needs elfzoo, gpaw and "
        "gpaw-data, and writes the ELF as elfzoo's own labels are computed, with a spectral gradient."
    ),
}
CHANGES = {
    "espresso": (
        "In scf.in you may name other potentials, which the label then states, and change folders, mixing and "
        "diagonalisation. A folder with any other change of its inputs is left, for its recipe would be untrue."
    ),
    "vasp": (
        "In INCAR you may change ALGO, NELM, mixing and KPAR. A folder with any other change of its inputs is left, "
        "and one whose POTCAR is not PBE's, for its recipe would be untrue."
    ),
    "gpaw": "A folder whose label.py has another structure is left.",
}
RESULTS = {"espresso": "elf.cube", "vasp": "ELFCAR", "gpaw": "elf.npz"}


def readme(
    selection: Selection, calculation: Calculation, run: str, notes: Sequence[str] = (), missing: Sequence[str] = ()
) -> str:
    """The text of README.txt.

    Args:
        selection: what was chosen.
        calculation: how it is to be computed.
        run: the shell command that computes in one folder.
        notes: lines about single folders.
        missing: pseudopotential files that the user has to put into the folders.
    """
    program = PROGRAMS[calculation.program]
    parts = [
        f"{len(selection.chosen)} structures to compute by {program}, chosen by elfzoo select for {selection.model}",
        _chosen(selection),
        "1. RUN\n\n" + _paragraph(PROGRAM_NOTES[calculation.program]) + _missing(missing) + _loop(run),
        "2. BRING IT BACK\n\n" + _back(selection, calculation),
        "3. THE RECIPE\n\n" + _recipe(selection, calculation),
    ]
    if notes:
        parts.append("4. OF SINGLE FOLDERS\n\n" + "\n".join(notes))
    return "\n\n".join(parts) + "\n"


def _chosen(selection: Selection) -> str:
    return _paragraph(
        "selected.csv lists them in the order in which they were chosen: each is worth most once those before it are "
        "labelled, so if you cannot afford all, compute the first ones. std_before and std_after are the mean standard "
        "deviation of ELF over the cell before and after all of the choice is labelled, as the model itself estimates "
        "it. candidates.csv has what was not chosen, and why."
    )


def _missing(missing: Sequence[str]) -> str:
    if not missing:
        return ""
    return "\n\n" + _paragraph("NOT HERE, put them into the folders that need them: " + ", ".join(missing))


def _loop(run: str) -> str:
    return f'\n\n    for folder in [0-9]*/; do (cd "$folder" && {run}); done'


def _back(selection: Selection, calculation: Calculation) -> str:
    replay = "" if calculation.same else " --replay 0"  # section 3 tells why
    lines = (
        "    python -c \"from elfzoo.selection import collect; print(collect('.'))\"",
        "    elfzoo check labels/*.npz",
        f"    elfzoo finetune -m {selection.source or selection.model} --data labels{replay}",
    )
    text = (
        f"collect reads {RESULTS[calculation.program]} of each folder whose calculation has ended and converged, and "
        f"writes labels/NAME.npz with its recipe; run it again when more has ended. {CHANGES[calculation.program]}"
    )
    return "\n".join(lines) + "\n\n" + _paragraph(text)


def _recipe(selection: Selection, calculation: Calculation) -> str:
    settings = calculation.settings
    mesh = f"k-points at most {settings.k_spacing:g} rad/A apart" if settings.k_spacing else f"k-mesh {settings.k_mesh}"
    text = (
        f"From the recipe {calculation.recipe}: {settings.functional}, no spin, cutoff {settings.cutoff:.1f} eV, "
        f"{settings.smearing} smearing of {settings.smearing_width:g} eV (it may stand for hot electrons: 0.129 eV is "
        f"1500 K), {mesh}{', shifted' if settings.k_shift else ''}, the field every {settings.grid_spacing:g} A."
    )
    made = "\n".join(f"    {way}" for way in calculation.labels) or "    (the release does not say)"
    parts = [_paragraph(text), f"The labels of {selection.model} were made by\n\n{made}"]
    if not calculation.same:
        parts.append(_warning(selection, calculation))
    return "\n\n".join(parts)


def _warning(selection: Selection, calculation: Calculation) -> str:
    return _paragraph(
        f"WARNING: {PROGRAMS[calculation.program]} with these potentials is another recipe. ELF differs between "
        "recipes by as much as good models err, and near nuclei by more, so recipes must not be mixed silently. With "
        "few fields, `elfzoo finetune --method calibrate --replay 0` learns the difference as slope and offset of the "
        "last layer; with more, another method with --replay 0 gives a model of the new recipe."
    )


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_on_hyphens=False, break_long_words=False)
