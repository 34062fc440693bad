"""Quantum ESPRESSO: pw.x for energy, forces, stress and relaxation, pp.x for the ELF or the density.

The ELF of a label comes from norm-conserving pseudopotentials only: with PAW and ultrasoft sets, pp.x leaves the
augmentation out. Versions 6.8 to 7.5 write a wrong ELF without spin (χ lacks a factor of 2^(2/3)) and are refused.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import subprocess
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Element, Structure

from elfzoo.grid import Grid
from elfzoo.io import read_field
from elfzoo.quantity import quantity_of
from elfzoo.reference.engines.base import (
    EngineError,
    Label,
    Relaxation,
    RelaxSettings,
    Settings,
    find_file,
    k_mesh,
    label_grid,
    one_shifted_point,
)
from elfzoo.reference.engines.gth import gth_file
from elfzoo.reference.engines.process import run_process
from elfzoo.reference.smooth import ON_GRID

__all__ = ["EspressoEngine", "pp_input", "pseudopotential_file", "pw_input"]

INSTALL = "install it with: apt-get install quantum-espresso quantum-espresso-data"
RYDBERG, BOHR = 13.605693122994, 0.529177210903  # eV, Å (CODATA 2018)
WRONG_ELF = ((6, 8), (7, 5))
UNCONVERGED = 2  # exit code of pw.x after its last SCF step
SMEARING = {"fermi-dirac": "fd", "methfessel-paxton": "mp", "marzari-vanderbilt": "mv"}
# name of a set -> file of an element; our own files first, then those of the distribution
SETS = {
    "GTH-PBE-q1": "{element}-GTH-PBE-q1.gth",
    "GTH-PBE": "{element}-GTH-PBE.gth",
    "pslibrary PBE kjpaw": "{element}.pbe-kjpaw.UPF",
}
PLOTS = {"elf": (8, 1.0), "density": (0, BOHR**-3)}  # quantity -> pp.x's plot_num, and its unit in ours
LABEL_SETS = {"GTH-PBE-q1", "GTH-PBE"}
CONVERTED = {"GTH-PBE": gth_file}  # sets whose files are made from a table
ONE_POINT = " nosym=.true."  # or pw.x makes four of one: its star under the lattice's symmetry, the atoms' or not
PSEUDO_FOLDERS = ("/usr/share/espresso/pseudo",)  # where Debian's quantum-espresso-data puts them


class EspressoEngine:
    """Labels and relaxations by pw.x and pp.x. See :class:`elfzoo.reference.engines.base.Engine`."""

    def version(self) -> str:
        """``"Quantum ESPRESSO 6.7"``; see :meth:`Engine.version`."""
        return f"Quantum ESPRESSO {_version()}"

    def label(self, structure: Structure, settings: Settings, folder: Path) -> Label:
        """SCF on a grid that suits the space group, then the field on the label's grid. See :meth:`Engine.label`."""
        if settings.pseudopotential not in LABEL_SETS:
            raise EngineError(
                f"a label by pp.x needs a norm-conserving set ({', '.join(sorted(LABEL_SETS))}); "
                f"got {settings.pseudopotential!r}"
            )
        version, began = self.version(), time.perf_counter()
        grid = label_grid(structure, settings, density_spacing(settings.cutoff))
        pseudo = copy_pseudopotentials(structure, settings.pseudopotential, folder)
        output = self._scf(structure, settings, folder, grid, pseudo)
        values = self._plot(folder, grid, settings.quantity)
        values = ON_GRID[settings.quantity](values, label_grid(structure, settings), settings.low_pass)
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        facts = {
            "engine": f"{version} pw.x, pp.x (plot_num {PLOTS[settings.quantity][0]})",
            "pseudopotential_sha256": pseudo,
            "k_mesh": list(k_mesh(settings, structure)),
            "k_points": int(_last(r"number of k points= *(\d+)", output)),
            "calculation_grid": list(grid.shape),
            "scf_steps": int(_last(r"convergence has been achieved in +(\d+)", output)),
            "wall_seconds": round(time.perf_counter() - began, 2),
        }
        if quantity_of(settings.quantity).counts_electrons:
            facts |= read_valence(output)
        forces, (pressure, energy) = read_forces(output, len(structure)), read_pressure_energy(output)
        return Label(values, structure, forces, pressure, energy, facts, settings.quantity)

    def forces(self, structure: Structure, settings: Settings, folder: Path) -> tuple[np.ndarray, float, float]:
        """Forces (atoms, 3) in eV/Å, pressure in GPa and energy in eV, without a field."""
        self.version()
        pseudo = copy_pseudopotentials(structure, settings.pseudopotential, folder)
        output = self._scf(structure, settings, folder, None, pseudo)
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        return (read_forces(output, len(structure)), *read_pressure_energy(output))

    def relax(self, structure: Structure, settings: RelaxSettings, folder: Path) -> Relaxation:
        """vc-relax at constant pressure; the space group is kept. See :meth:`Engine.relax`."""
        version, began = self.version(), time.perf_counter()
        pseudo = copy_pseudopotentials(structure, settings.pseudopotential, folder)
        (folder / "relax.in").write_text(relax_input(structure, settings))
        # pw.x stops by itself first, and where it ends early the last step counts: a residual, not a failure
        command, limit = ["pw.x", "-in", "relax.in"], settings.max_seconds + 300
        output = run_process(command, folder, "relax", limit, codes=range(256))
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        relaxed, steps = read_trajectory_end(output, structure)
        facts = {
            "engine": f"{version} pw.x vc-relax",
            "pseudopotential_sha256": pseudo,
            "k_mesh": list(k_mesh(settings, structure)),
            "wall_seconds": round(time.perf_counter() - began, 2),
        }
        return Relaxation(relaxed, "bfgs converged" in output, steps, facts)

    def _scf(
        self, structure: Structure, settings: Settings, folder: Path, grid: Grid | None, pseudo: dict[str, str]
    ) -> str:
        (folder / "scf.in").write_text(pw_input(structure, settings, grid))
        output = run_process(["pw.x", "-in", "scf.in"], folder, "scf", codes=(0, UNCONVERGED))
        if "convergence has been achieved" not in output:
            steps = len(re.findall(r"iteration # *\d+", output))
            raise EngineError(f"the SCF did not converge in {steps} steps")
        return output

    def _plot(self, folder: Path, grid: Grid, quantity: str) -> np.ndarray:
        """What pp.x writes, in our unit."""
        unit = PLOTS[quantity][1]
        (folder / f"{quantity}.in").write_text(pp_input(quantity))
        run_process(["pp.x", "-in", f"{quantity}.in"], folder, quantity)
        bounds = quantity_of(quantity).bounds
        values = read_field(folder / f"{quantity}.cube", check=bounds is not None).values
        if values.shape != grid.shape:
            raise EngineError(f"pp.x wrote a grid of {values.shape}; {grid.shape} was asked for")
        for suffix in ("cube", "dat"):
            (folder / f"{quantity}.{suffix}").unlink()
        return values * unit if bounds is None else np.clip(values, *bounds)


def density_spacing(cutoff: float) -> float:
    """Spacing, Å, of the grid that holds the density of orbitals up to ``cutoff`` eV: π / (2 G_max)."""
    return float(np.pi / (2 * np.sqrt(cutoff / RYDBERG))) * BOHR


def pw_input(structure: Structure, settings: Settings, grid: Grid | None) -> str:
    """Input of pw.x for one SCF with forces and stress; ``grid`` is its FFT grid, None leaves it to pw.x."""
    mesh = " ".join(f"nr{i + 1}={n}," for i, n in enumerate(grid.shape)) if grid else ""
    atoms = len(structure)
    return "\n".join(
        [
            "&control",
            " calculation='scf', prefix='x', pseudo_dir='.', outdir='scratch',",
            " tstress=.true., tprnfor=.true., disk_io='low'",
            "/",
            "&system",
            f" ibrav=0, nat={atoms}, ntyp={len(_symbols(structure))}, ecutwfc={settings.cutoff / RYDBERG:.6f},",
            f" input_dft='{settings.functional}', occupations='smearing', smearing='{SMEARING[settings.smearing]}',",
            f" degauss={settings.smearing_width / RYDBERG:.8f}, {mesh}",
            *([ONE_POINT] if one_shifted_point(settings, structure) else []),
            "/",
            "&electrons",
            f" conv_thr={settings.convergence * atoms / RYDBERG:.3e}, mixing_beta=0.5, electron_maxstep=200",
            "/",
            *_cards(structure, settings.pseudopotential),
            _k_points(settings, structure),
            "",
        ]
    )


def pp_input(quantity: str) -> str:
    """Input of pp.x after :func:`pw_input`: a quantity of ``PLOTS`` as ``QUANTITY.cube``, on pw.x's FFT grid."""
    return (
        f"&inputpp\n prefix='x', outdir='scratch', plot_num={PLOTS[quantity][0]}, filplot='{quantity}.dat'\n/\n"
        f"&plot\n iflag=3, output_format=6, fileout='{quantity}.cube'\n/\n"
    )


def relax_input(structure: Structure, settings: RelaxSettings) -> str:
    """Input of pw.x for vc-relax at constant pressure."""
    force = settings.force_tolerance / (RYDBERG / BOHR)
    return "\n".join(
        [
            "&control",
            " calculation='vc-relax', prefix='x', pseudo_dir='.', outdir='scratch', disk_io='none',",
            f" nstep={settings.max_steps}, max_seconds={settings.max_seconds},",
            f" forc_conv_thr={force:.3e}, etot_conv_thr=1e-3",
            "/",
            "&system",
            f" ibrav=0, nat={len(structure)}, ntyp={len(_symbols(structure))},",
            f" ecutwfc={settings.cutoff / RYDBERG:.6f}, ecutrho={settings.density_cutoff / RYDBERG:.6f},",
            " input_dft='PBE', occupations='smearing', smearing='fd',",
            f" degauss={settings.smearing_width / RYDBERG:.8f}",
            "/",
            "&electrons",
            " conv_thr=1e-6, mixing_beta=0.6, electron_maxstep=60",
            "/",
            "&ions\n/",
            "&cell",
            f" press={10 * settings.pressure}, press_conv_thr={10 * settings.pressure_tolerance}, cell_factor=2.0",
            "/",
            *_cards(structure, settings.pseudopotential),
            _k_points(settings, structure),
            "",
        ]
    )


def copy_pseudopotentials(structure: Structure, name: str, folder: Path) -> dict[str, str]:
    """Put the files of a set into ``folder``; returns their SHA-256 by element.

    Raises:
        EngineError: no such set, or no file of it for an element.
    """
    if name not in SETS:
        raise EngineError(f"no pseudopotential set is called {name!r}; known: {', '.join(SETS)}")
    hashes = {}
    for element in _symbols(structure):
        file = SETS[name].format(element=element)
        content = CONVERTED[name](element) if name in CONVERTED else _pseudopotential(file)
        (folder / file).write_bytes(content)
        hashes[element] = hashlib.sha256(content).hexdigest()
    return hashes


def read_forces(output: str, atoms: int) -> np.ndarray:
    """(atoms, 3) eV/Å, of the last set of forces that pw.x printed (the total ones come first in a set).

    Raises:
        EngineError: they are not all there.
    """
    last = output.rpartition("Forces acting on atoms")[2].partition("The non-local")[0]
    rows = re.findall(r"atom +\d+ type +\d+ +force = +([-\d.]+) +([-\d.]+) +([-\d.]+)\n", last)
    if len(rows) != atoms:
        raise EngineError(f"pw.x printed the forces on {len(rows)} of {atoms} atoms")
    return np.array(rows, dtype=float) * RYDBERG / BOHR


def read_pressure_energy(output: str) -> tuple[float, float]:
    """Pressure, GPa, and energy, eV, as pw.x printed them last."""
    return float(_last(r"P= *([-\d.]+)", output)) / 10, float(_last(r"^!.*= *([-\d.]+) Ry", output)) * RYDBERG


def read_valence(output: str) -> dict[str, Any]:
    """``valence``, electrons per atom by element, and ``valence_electrons`` of the cell, as pw.x printed them."""
    rows = re.findall(r"^ +([A-Z][a-z]?) +([\d.]+) +[\d.]+ +[A-Z][a-z]?\( *[\d.]+\)", output, re.M)
    if not rows:
        raise EngineError("the output of pw.x lacks the table of atomic species")
    electrons = float(_last(r"number of electrons *= *([\d.]+)", output))
    return {"valence": {symbol: float(count) for symbol, count in rows}, "valence_electrons": electrons}


def read_trajectory_end(output: str, start: Structure) -> tuple[Structure, int]:
    """The structure that a relaxation ended with, and the number of steps.

    A structure is printed before its own SCF. Where pw.x did not end by itself, the last one whose SCF converged
    counts: the one printed after it may be a step that the program died of.

    Raises:
        EngineError: there is none.
    """
    row = r"((?: *[-\d.]+){3})\n"
    number = len(start)
    pattern = rf"CELL_PARAMETERS \(angstrom\)\n{row * 3}\s*ATOMIC_POSITIONS \(crystal\)\n((?:\w+.*\n){{{number}}})"
    found = re.findall(pattern, output)
    if "JOB DONE" not in output:
        found = found[: max(0, output.count("convergence has been achieved") - 1)]
    if not found:
        raise EngineError("the relaxation made no step")
    *lattice, atoms = found[-1]
    coords = [line.split()[1:4] for line in atoms.splitlines()]
    species = [line.split()[0] for line in atoms.splitlines()]
    cell = np.array([line.split() for line in lattice], dtype=float)
    return Structure(cell, species, np.array(coords, dtype=float)), len(found)


def pseudopotential_file(name: str, element: str) -> str:
    """File of an element: of a set in ``SETS``, or of a pattern of one's own such as ``"{element}.upf"``."""
    return SETS.get(name, name).format(element=element)


def _cards(structure: Structure, pseudopotential: str) -> list[str]:
    names = _symbols(structure)
    return [
        "ATOMIC_SPECIES",
        *(f" {x} {float(Element(x).atomic_mass):.4f} {pseudopotential_file(pseudopotential, x)}" for x in names),
        "CELL_PARAMETERS angstrom",
        *(" ".join(f"{x:.12f}" for x in row) for row in structure.lattice.matrix),
        "ATOMIC_POSITIONS crystal",
        *(f" {site.specie.symbol} " + " ".join(f"{x:.12f}" for x in site.frac_coords) for site in structure),
    ]


def _k_points(settings: Settings | RelaxSettings, structure: Structure) -> str:
    if one_shifted_point(settings, structure):
        return "K_POINTS crystal\n1\n 0.25 0.25 0.25 1.0"
    shift = " 1 1 1" if getattr(settings, "k_shift", False) else " 0 0 0"
    return "K_POINTS automatic\n " + " ".join(map(str, k_mesh(settings, structure))) + shift


def _symbols(structure: Structure) -> list[str]:
    return sorted({site.specie.symbol for site in structure}, key=lambda symbol: Element(symbol).Z)


def _pseudopotential(file: str) -> bytes:
    own = resources.files("elfzoo.reference").joinpath("pseudo", file)
    if own.is_file():
        return own.read_bytes()
    what, install = f"pseudopotential file {file}", "install quantum-espresso-data"
    return find_file(file, what, "ESPRESSO_PSEUDO", PSEUDO_FOLDERS, install).read_bytes()


@functools.cache
def _version() -> str:
    for program in ("pw.x", "pp.x"):
        if shutil.which(program) is None:
            raise EngineError(f"Quantum ESPRESSO's {program} is not on the PATH; {INSTALL}")
    with tempfile.TemporaryDirectory() as folder:  # pw.x leaves its complaint about an empty input behind
        banner = subprocess.run(["pw.x"], cwd=folder, input="", capture_output=True, text=True, timeout=60).stdout
    match = re.search(r"Program PWSCF v\.(\d+)\.(\d+)", banner)
    if match is None:
        raise EngineError(f"pw.x does not tell its version; expected a Quantum ESPRESSO banner, got {banner[:80]!r}")
    if WRONG_ELF[0] <= (int(match[1]), int(match[2])) <= WRONG_ELF[1]:
        raise EngineError(
            f"Quantum ESPRESSO {match[1]}.{match[2]} writes a wrong ELF without spin (6.8 to 7.5 do); use 6.7"
        )
    return f"{match[1]}.{match[2]}"


def _last(pattern: str, output: str) -> Any:
    found = re.findall(pattern, output, re.M)
    if not found:
        raise EngineError(f"the output of pw.x lacks what matches {pattern!r}")
    return found[-1]
