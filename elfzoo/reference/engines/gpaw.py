"""GPAW: plane waves and PAW, with the ELF of the soft density and soft kinetic-energy density, or with the density.

``gpaw.elf`` takes gradients by finite differences on the calculation's grid, which is off by 0.004 on a coarse one.
Here both densities, which are band-limited, go onto the wanted grid as trigonometric series and the gradient is
spectral, so the stored ELF does not depend on the grid of the calculation.

The density of a label is the soft one with its compensation charges, which hold what the soft one lacks (of the two
electrons of H2, 0.04). So it has the electrons of the setups' valence; inside of the augmentation spheres its shape is
GPAW's choice, and beside compact semicore shells it may fall below zero.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pymatgen.core import Structure
from scipy import fft

from elfzoo.grid import Grid
from elfzoo.interpolate import fourier_resample
from elfzoo.io.files import write_bytes
from elfzoo.io.symmetric import orbit_means
from elfzoo.quantity import quantity_of
from elfzoo.reference.engines.base import (
    EngineError,
    Label,
    Relaxation,
    RelaxSettings,
    Settings,
    k_mesh,
    k_spacing,
    label_grid,
    one_shifted_point,
)
from elfzoo.reference.engines.process import run_process
from elfzoo.reference.smooth import ON_GRID
from elfzoo.symmetry import grid_orbits, space_group_operations

__all__ = [
    "GpawEngine",
    "elf_from_densities",
    "gradient_squared",
    "one_diagonalisation",
    "pauli_elf",
    "symmetrised",
]

INSTALL = (
    "install it with: apt-get install gcc libxc-dev libopenblas-dev libfftw3-dev libopenmpi-dev openmpi-bin, "
    "then: pip install --prefer-binary gpaw gpaw-data"
)
DATA_SET = "gpaw-data"
BOHR, HARTREE, GPA = 0.529177210903, 27.211386245988, 1 / 160.21766208  # Å, eV, eV/Å³ (CODATA 2018)
FERMI = 3 / 10 * (3 * np.pi**2) ** (2 / 3)  # kinetic-energy density of the uniform gas is FERMI n^(5/3), atomic units
VACUUM = 1e-6  # electrons per bohr³; below it ELF is a ratio of rounding errors, and zero by convention (gpaw.elf too)
SYMMETRY_TOLERANCE = 1e-3  # of ELF, or e/Å³: half of what a change of cutoff may do
MAX_SCF_STEPS = 200
LAST_STEP = 300  # seconds for the ionic step that is running when a relaxation's time is up
NO_SYMMETRY = (np.eye(3, dtype=int)[None], np.zeros((1, 3)))  # but the identity
CELL_MARGIN = 0.9  # a relaxation keeps its grid while its cell may grow


class GpawEngine:
    """Labels and relaxations by GPAW. See :class:`elfzoo.reference.engines.base.Engine`."""

    def version(self) -> str:
        """``"GPAW 26.7.0"``; see :meth:`Engine.version`."""
        return f"GPAW {_installed()[0]}"

    def label(self, structure: Structure, settings: Settings, folder: Path) -> Label:
        """SCF in a process of its own, then the field on the grid of the label. See :meth:`Engine.label`."""
        if settings.smearing != "fermi-dirac":
            raise EngineError(f"GPAW labels take fermi-dirac smearing; got {settings.smearing!r}")
        began = time.perf_counter()
        grid, facts = label_grid(structure, settings), self._facts(structure, settings)
        job = _job("label", structure, settings) | {"convergence": _convergence(structure, settings)}
        job["quantity"] = settings.quantity
        result = _run(job, folder)
        raw = FIELDS[settings.quantity](result, grid)
        values, deviation = symmetrised(ON_GRID[settings.quantity](raw, grid, settings.low_pass), structure)
        facts |= {
            "k_points": int(result["k_points"]),
            "calculation_grid": job["grid"],
            "scf_steps": int(result["scf_steps"]),
            "symmetry_deviation": deviation,
            "wall_seconds": round(time.perf_counter() - began, 2),
        }
        if quantity_of(settings.quantity).counts_electrons:
            facts |= _valence(structure, result["valence"])
        pressure = -float(np.trace(result["stress"])) / 3 / GPA
        return Label(values, structure, result["forces"], pressure, float(result["energy"]), facts, settings.quantity)

    def relax(self, structure: Structure, settings: RelaxSettings, folder: Path) -> Relaxation:
        """Relax atoms and cell at constant pressure within the space group; ``density_cutoff`` has no meaning here.

        After ``max_seconds`` the ionic step at hand is the last one.

        Raises:
            EngineError: a calculation failed, or that last step took more than five minutes.
        """
        began, facts = time.perf_counter(), self._facts(structure, settings)
        names = ("pressure", "max_steps", "force_tolerance", "pressure_tolerance", "max_seconds")
        job = _job("relax", structure, settings, CELL_MARGIN) | {name: getattr(settings, name) for name in names}
        job["convergence"] = {"forces": settings.force_tolerance / 10}
        result = _run(job, folder, max_seconds=settings.max_seconds + LAST_STEP)
        relaxed = Structure(result["lattice"], structure.species, result["frac_coords"])
        facts |= {name: float(result[name]) for name in ("energy", "pressure", "largest_force", "pressure_residual")}
        facts |= {"calculation_grid": job["grid"], "wall_seconds": round(time.perf_counter() - began, 2)}
        return Relaxation(relaxed, bool(result["converged"]), int(result["steps"]), facts)

    def _facts(self, structure: Structure, settings: Settings | RelaxSettings) -> dict[str, Any]:
        return {
            "engine": f"{self.version()} plane waves, soft densities, spectral gradients",
            "gpaw_data": _installed()[1],
            "pseudopotential_sha256": setup_files(structure, settings.pseudopotential),
            "k_mesh": list(k_mesh(settings, structure)),
            "k_spacing": round(k_spacing(settings, structure), 6),
        }


def one_diagonalisation(
    structure: Structure, settings: Settings, steps: int, folder: Path, symmetry: bool = True
) -> tuple[Float[np.ndarray, "a b c"], Float[np.ndarray, "a b c"]]:
    """Density and kinetic-energy density of the occupied states in the potential of superposed atoms.

    Args:
        structure: the cell that is computed, with the k-points of a label of it.
        settings: of the label that this stands for.
        steps: of the eigensolver at the one potential.
        folder: to work in.
        symmetry: use the space group, whose origin must then lie on its elements.

    Returns:
        Electrons per bohr³ and hartree per bohr³ on GPAW's grid, which holds all their waves.

    Raises:
        EngineError: GPAW is missing, has no setup for an element, or fails.
    """
    setup_files(structure, settings.pseudopotential)
    job = _job("diagonalise", structure, settings, symmetry=symmetry) | {"steps": steps}
    result = _run(job, folder)
    return result["density"], result["kinetic"]


def setup_files(structure: Structure, pseudopotential: str) -> dict[str, str]:
    """File name -> SHA-256 of the setup of each element.

    Raises:
        EngineError: the set is not gpaw-data, its version is not the installed one, or it lacks an element.
    """
    _, version, folder = _installed()
    name, _, wanted = pseudopotential.partition(" ")
    if name != DATA_SET or wanted not in ("", version):
        raise EngineError(
            f"GPAW takes the setups of {DATA_SET!r}, of which version {version} is installed; got {pseudopotential!r}"
        )
    hashes = {}
    for element in sorted({site.specie.symbol for site in structure}):
        path = folder / f"{element}.PBE.gz"
        if not path.is_file():
            raise EngineError(f"{DATA_SET} {version} has no PBE setup for {element}; choose another engine")
        hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashes


def _elf(result: dict[str, np.ndarray], grid: Grid) -> np.ndarray:
    return elf_from_densities(result["density"], result["kinetic"], grid.lattice / BOHR, grid.shape)


FIELDS = {"elf": _elf, "density": lambda result, grid: result["electrons"]}  # what a calculation gives, by quantity


def _valence(structure: Structure, counts: Float[np.ndarray, " atoms"]) -> dict[str, Any]:
    by_element = {site.specie.symbol: float(n) for site, n in zip(structure, counts, strict=True)}
    return {"valence": dict(sorted(by_element.items())), "valence_electrons": float(counts.sum())}


def elf_from_densities(
    density: Float[np.ndarray, "a b c"],
    kinetic: Float[np.ndarray, "a b c"],
    lattice: Float[np.ndarray, "3 3"],
    shape: Sequence[int],
) -> Float[np.ndarray, "nx ny nz"]:
    """ELF on a grid of ``shape`` from band-limited densities on any grid.

    Args:
        density: electrons per bohr³, both spins.
        kinetic: positive kinetic-energy density ½ Σ|∇ψ|², hartree per bohr³.
        lattice: rows, bohr.
        shape: numbers of points of the result; finer or coarser, axis by axis.
    """
    strides = [-(-have // want) for have, want in zip(density.shape, shape, strict=True)]
    dense = (shape[0] * strides[0], shape[1] * strides[1], shape[2] * strides[2])
    density, kinetic = fourier_resample(density, dense), fourier_resample(kinetic, dense)
    elf = pauli_elf(density, kinetic, gradient_squared(density, lattice))
    return elf[:: strides[0], :: strides[1], :: strides[2]].copy()


def gradient_squared(
    values: Float[np.ndarray, "nx ny nz"], lattice: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "nx ny nz"]:
    """|∇f|² of a periodic field by its Fourier series; ``lattice`` in rows gives the unit of length."""
    spectrum, reciprocal = fft.rfftn(values), 2 * np.pi * np.linalg.inv(lattice)  # columns of reciprocal
    waves = [fft.fftfreq(n, 1 / n) for n in values.shape]
    for wave, n in zip(waves, values.shape, strict=True):
        if n % 2 == 0:
            wave[n // 2] = 0.0  # a cosine, whose gradient vanishes at the grid points
    kx, ky, kz = waves[0][:, None, None], waves[1][:, None], waves[2][: spectrum.shape[2]]
    result = np.zeros_like(values)
    for gx, gy, gz in reciprocal:
        result += fft.irfftn(1j * (gx * kx + gy * ky + gz * kz) * spectrum, values.shape) ** 2
    return result


def pauli_elf(
    density: Float[np.ndarray, "*grid"],
    kinetic: Float[np.ndarray, "*grid"],
    gradient_squared: Float[np.ndarray, "*grid"],
) -> Float[np.ndarray, "*grid"]:
    """ELF = 1 / (1 + χ²) without spin, within [0, 1]; 0 in vacuum (Becke and Edgecombe 1990; Savin et al. 1992).

    χ is the kinetic-energy density beyond that of bosons of the same density, τ − |∇n|²/(8n), over that of the uniform
    gas. All in atomic units.
    """
    positive = np.maximum(density, VACUUM)
    excess = np.maximum(kinetic - gradient_squared / (8 * positive), 0.0)
    return np.where(density > VACUUM, 1 / (1 + (excess / (FERMI * positive ** (5 / 3))) ** 2), 0.0)


def symmetrised(
    values: Float[np.ndarray, "nx ny nz"], structure: Structure
) -> tuple[Float[np.ndarray, "nx ny nz"], float]:
    """The mean over points that the space group maps onto each other, and the largest deviation from it before.

    Raises:
        EngineError: a deviation above 0.001: not rounding, but a calculation that broke the symmetry.
    """
    _, orbit = grid_orbits(structure, Grid(values.shape, structure.lattice.matrix))
    means, deviation = orbit_means(values, orbit)
    if deviation > SYMMETRY_TOLERANCE:
        raise EngineError(
            f"the field of GPAW breaks the space group by {deviation:.4f}; expected at most {SYMMETRY_TOLERANCE}: "
            "use a k-mesh with the symmetry of the lattice, or a tighter convergence"
        )
    return means[orbit].reshape(values.shape), deviation


def calculation_grid(
    structure: Structure, cutoff: float, margin: float = 1.0, operations: tuple[np.ndarray, np.ndarray] | None = None
) -> list[int]:
    """Points along each axis that hold the density of orbitals up to ``cutoff`` eV without aliasing.

    Products of orbitals reach 2 G_max, hence a spacing of π / (2 G_max) along the edges, times ``margin``.
    """
    spacing = margin * np.pi / (2 * np.sqrt(2 * cutoff / HARTREE)) * BOHR
    operations = space_group_operations(structure) if operations is None else operations
    return list(Grid.for_symmetry(structure.lattice.matrix, spacing, *operations).shape)


def _job(
    task: str, structure: Structure, settings: Settings | RelaxSettings, margin: float = 1.0, symmetry: bool = True
) -> dict[str, Any]:
    """What :mod:`elfzoo.reference.engines.gpaw_job` needs, in JSON values."""
    used = symmetry and not one_shifted_point(settings, structure)
    rotations, translations = _operations(structure) if used else NO_SYMMETRY
    return {
        "task": task,
        "numbers": list(structure.atomic_numbers),
        "lattice": structure.lattice.matrix.tolist(),
        "frac_coords": structure.frac_coords.tolist(),
        "functional": getattr(settings, "functional", "PBE"),
        "cutoff": settings.cutoff,
        "smearing_width": settings.smearing_width,
        "k_points": _k_points(k_mesh(settings, structure), getattr(settings, "k_shift", False)).tolist(),
        "grid": calculation_grid(structure, settings.cutoff, margin, None if symmetry else NO_SYMMETRY),
        "rotations": rotations.tolist(),
        "translations": translations.tolist(),
        "max_scf_steps": MAX_SCF_STEPS,
    }


def _operations(structure: Structure) -> tuple[np.ndarray, np.ndarray]:
    """The space group for GPAW, which knows each rotation once: of a centred cell, what leaves the origin in place."""
    rotations, translations = space_group_operations(structure)
    translations = np.round(24 * translations) / 24 % 1.0  # exact, as GPAW wants them; a grid exists only for these
    if len(np.unique(rotations, axis=0)) < len(rotations):
        fixed = ~translations.any(axis=1)
        rotations, translations = rotations[fixed], translations[fixed]
    return rotations, translations


def _k_points(mesh: tuple[int, int, int], shift: bool) -> np.ndarray:
    """(points, 3) fractional, within [-0.5, 0.5]; of a mesh of one point, shifted, Baldereschi's."""
    step = 0.25 if mesh == (1, 1, 1) else 0.5
    points = (np.indices(mesh).reshape(3, -1).T + step * shift) / mesh
    return points - np.round(points)


def _convergence(structure: Structure, settings: Settings) -> dict[str, Any]:
    """GPAW's criteria; the energy is of second order in the density's error, the density of first."""
    energy = {"name": "energy", "tol": settings.convergence * len(structure), "relative": False}
    return {"energy": energy, "density": 1e-2 * settings.convergence**0.5, "eigenstates": settings.convergence}


def _run(job: dict[str, Any], folder: Path, max_seconds: float | None = None) -> dict[str, np.ndarray]:
    name = f"gpaw_{job['task']}"
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / f"{name}.json", [json.dumps(job).encode()])
    module = "elfzoo.reference.engines.gpaw_job"
    run_process([sys.executable, "-m", module, f"{name}.json", f"{name}.npz"], folder, name, max_seconds)
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        result = dict(file)
    (folder / f"{name}.npz").unlink()
    return result


def _installed() -> tuple[str, str, Path]:
    """Versions of GPAW and of its setups, and the setups' folder."""
    try:
        import gpaw
        import gpaw_data
    except ImportError as error:
        raise EngineError(f"GPAW is not installed ({error}); {INSTALL}") from error
    return gpaw.__version__, gpaw_data.__version__, Path(gpaw_data.datapath())
