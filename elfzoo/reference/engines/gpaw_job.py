"""One GPAW calculation as a process of its own: ``python -m elfzoo.reference.engines.gpaw_job JOB.json RESULT.npz``.

:class:`elfzoo.reference.engines.gpaw.GpawEngine` writes the job and reads the result; its units are eV and Å, but for
the densities of an ELF, which stay in GPAW's atomic units. The result is written whole or not at all.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.units import GPa

from elfzoo.io.files import write_bytes
from elfzoo.symmetry import SYMPREC

__all__ = ["diagonalise", "label", "main", "relax"]


def label(job: Mapping[str, Any]) -> dict[str, Any]:
    """Self-consistent density and kinetic-energy density on GPAW's grid, energy, forces and stress.

    Where the job is for a density, also the one with compensation charges, e/Å³, on a grid twice as fine.
    """
    atoms = _atoms(job)
    energy = atoms.get_potential_energy(force_consistent=True)
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    dft = atoms.calc.dft
    # both from the same orbitals, else their difference is no longer positive; the SCF leaves the mixed density
    dft.density.update(dft.ibzwfs, ked=True)
    result = {}
    if job.get("quantity") == "density":
        result["electrons"] = dft.densities().pseudo_densities(grid_refinement=2).data.sum(axis=0)
    return result | {
        "density": dft.density.nt_sR.data.sum(axis=0),
        "kinetic": dft.density.taut_sR.data.sum(axis=0),
        "energy": energy,
        "forces": forces,
        "stress": stress,
        "scf_steps": dft.scf_loop.niter,
        "k_points": len(dft.ibzwfs.ibz),
        "valence": np.array([float(setup.Nv) for setup in dft.setups]),
    }


def diagonalise(job: Mapping[str, Any]) -> dict[str, Any]:
    """Density and kinetic-energy density of the occupied states in the potential of superposed atoms, not iterated.

    The eigensolver takes ``job["steps"]`` steps at that one potential, from a start in atomic orbitals.
    """
    atoms = _atoms(job)
    atoms.calc.create_new_calculation(atoms)
    dft = atoms.calc.dft
    dft.scf_loop.update_density_and_potential = False
    for _ in dft.scf_loop.iterate(dft.ibzwfs, dft.density, dft.potential, dft.energies, dft.pot_calc):
        if dft.scf_loop.niter >= job["steps"]:
            break
    dft.density.update(dft.ibzwfs, ked=True)
    return {"density": dft.density.nt_sR.data.sum(axis=0), "kinetic": dft.density.taut_sR.data.sum(axis=0)}


def relax(job: Mapping[str, Any]) -> dict[str, Any]:
    """Atoms and cell at constant pressure and symmetry, until residuals are met or steps or seconds are spent."""
    began, atoms = time.perf_counter(), _atoms(job)
    atoms.set_constraint(FixSymmetry(atoms, symprec=SYMPREC))
    optimiser = BFGS(FrechetCellFilter(atoms, scalar_pressure=job["pressure"] * GPa), logfile="-")
    converged = False
    for _ in optimiser.irun(fmax=0.0, steps=job["max_steps"]):
        force, pressure = _residuals(atoms, job["pressure"])
        converged = force <= job["force_tolerance"] and pressure <= job["pressure_tolerance"]
        if converged or time.perf_counter() - began > job["max_seconds"]:
            break
    return {
        "lattice": atoms.cell.array,
        "frac_coords": atoms.get_scaled_positions(),
        "energy": atoms.get_potential_energy(force_consistent=True),
        "pressure": -atoms.get_stress(voigt=False).trace() / 3 / GPa,
        "largest_force": force,
        "pressure_residual": pressure,
        "steps": optimiser.nsteps,
        "converged": converged,
    }


def main(job_path: str, result_path: str) -> None:
    """Read a job, run it, write its result. A failure ends the process with one sentence or a traceback."""
    import gpaw  # type: ignore  # optional
    import gpaw_data  # type: ignore

    gpaw.setup_paths[:] = [gpaw_data.datapath()]  # the files that the label's facts name, whatever the environment says
    job = json.loads(Path(job_path).read_text())
    try:
        result = {"label": label, "relax": relax, "diagonalise": diagonalise}[job["task"]](job)
    except gpaw.KohnShamConvergenceError:
        sys.exit(f"the SCF did not converge within {job['max_scf_steps']} steps")
    buffer = io.BytesIO()
    np.savez(buffer, **result)
    write_bytes(Path(result_path), [buffer.getvalue()])


def _atoms(job: Mapping[str, Any]) -> Atoms:
    from gpaw.new.ase_interface import GPAW  # type: ignore  # optional

    atoms = Atoms(numbers=job["numbers"], scaled_positions=job["frac_coords"], cell=job["lattice"], pbc=True)
    atoms.calc = GPAW(
        mode={"name": "pw", "ecut": job["cutoff"]},
        xc=job["functional"],
        kpts=np.array(job["k_points"]),
        occupations={"name": "fermi-dirac", "width": job["smearing_width"]},
        convergence=job.get("convergence", {}),
        gpts=job["grid"],
        symmetry=_symmetry(job),
        maxiter=job["max_scf_steps"],
        txt=f"{job['task']}.txt",
    )
    return atoms


def _symmetry(job: Mapping[str, Any]) -> dict[str, Any]:
    """GPAW multiplies row vectors, x' = x U + t, and would otherwise look for the operations with its own tolerance."""
    rotations = np.ascontiguousarray(np.array(job["rotations"], dtype=int).transpose(0, 2, 1))
    return {"rotations": rotations, "translations": np.array(job["translations"]), "tolerance": 1e-3}


def _residuals(atoms: Atoms, pressure: float) -> tuple[float, float]:
    """Largest force on an atom, eV/Å, and largest deviation of the stress from the pressure, GPa."""
    stress = atoms.get_stress(voigt=False) / GPa + pressure * np.eye(3)
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max()), float(np.abs(stress).max())


if __name__ == "__main__":
    main(*sys.argv[1:])
