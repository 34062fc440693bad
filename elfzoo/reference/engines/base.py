"""What every DFT engine is asked for, and what it answers.

An engine turns a structure and :class:`Settings` into a :class:`Label`. Nothing here imports an engine: they are
optional, and a missing one is a sentence with the command that installs it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Float
from pymatgen.core import Structure

from elfzoo.config import config_class, to_dict
from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.symmetry import space_group_operations

__all__ = [
    "Engine",
    "EngineError",
    "Label",
    "RelaxSettings",
    "Relaxation",
    "Settings",
    "decisive",
    "find_file",
    "k_mesh",
    "k_spacing",
    "label_grid",
    "one_shifted_point",
]


class EngineError(ElfzooError):
    """A DFT engine that is missing, or a calculation that failed: its reason goes into the record."""


@config_class
class Settings:
    """How one label is computed. Everything that changes its values is here, and nothing else.

    Args:
        engine: ``"espresso"`` or ``"gpaw"``.
        pseudopotential: the set's name, such as ``"GTH-PBE-q1"``.
        cutoff: plane-wave cutoff of the orbitals, eV.
        k_spacing: largest distance of neighbouring k-points, rad/Å (2π included).
        k_mesh: the mesh itself, instead of a spacing.
        k_shift: shift the mesh by half a step along each axis (Monkhorst-Pack) rather than centring it on Γ; of a
            mesh of one point, Baldereschi's (1/4, 1/4, 1/4) is taken.
        smearing: occupation of the states.
        smearing_width: eV; of Fermi-Dirac smearing, k T of the electrons.
        convergence: self-consistency, eV per atom.
        grid_spacing: largest distance of neighbouring points of the stored grid, Å.
        low_pass: |G|, rad/Å, between which logit(ELF), or the density itself, is faded out
            (:mod:`elfzoo.reference.smooth`); None keeps all.
        functional: exchange and correlation.
        quantity: what is stored, ELF or the pseudo valence density in e/Å³.
    """

    engine: Literal["espresso", "gpaw"]
    pseudopotential: str
    cutoff: float
    smearing: Literal["fermi-dirac", "methfessel-paxton", "marzari-vanderbilt"]
    smearing_width: float
    k_spacing: float | None = None
    k_mesh: tuple[int, int, int] | None = None
    k_shift: bool = False
    convergence: float = 1e-8
    grid_spacing: float = 0.10
    low_pass: tuple[float, float] | None = None
    functional: Literal["PBE"] = "PBE"
    quantity: Literal["elf", "density"] = "elf"

    def __post_init__(self) -> None:
        if (self.k_spacing is None) == (self.k_mesh is None):
            raise ElfzooError("settings need either k_spacing or k_mesh, and not both")


@config_class
class RelaxSettings:
    """How a structure is relaxed before it is labelled, at constant pressure and symmetry.

    Args:
        pressure: GPa.
        pseudopotential: the set's name; that of the label may not do (pw.x 6.7 fails in vc-relax with GTH).
        cutoff: eV.
        density_cutoff: eV.
        k_spacing: rad/Å (2π included).
        smearing_width: eV, Fermi-Dirac.
        max_steps: ionic steps; what is left after them is stated in the label.
        force_tolerance: eV/Å.
        pressure_tolerance: GPa.
        max_seconds: of wall time.
    """

    pressure: float
    pseudopotential: str
    cutoff: float
    density_cutoff: float
    k_spacing: float
    smearing_width: float
    max_steps: int = 30
    force_tolerance: float = 0.05
    pressure_tolerance: float = 3.0
    max_seconds: int = 600


@dataclass(frozen=True)
class Label:
    """What one calculation gives.

    Attributes:
        values: (nx, ny, nz) on the grid that was asked for: ELF within [0, 1], or the density in e/Å³.
        structure: the structure as it was computed.
        forces: (atoms, 3), eV/Å.
        stress_pressure: pressure from the DFT stress, GPa; the ions' motion is not in it.
        energy: eV per cell; of smeared occupations, the free energy.
        facts: what else belongs into the record: engine and its version, pseudopotentials and their SHA-256, k-mesh,
            grid of the calculation, number of SCF steps, wall time in seconds. JSON values. With a density also
            ``valence``, electrons per atom by element, and ``valence_electrons`` of the cell.
        quantity: what the values are.
    """

    values: Float[np.ndarray, "nx ny nz"]
    structure: Structure
    forces: Float[np.ndarray, "atoms 3"]
    stress_pressure: float
    energy: float
    facts: Mapping[str, Any]
    quantity: str = "elf"

    @property
    def largest_force(self) -> float:
        """Largest norm of a force on an atom, eV/Å."""
        return float(np.linalg.norm(self.forces, axis=1).max())


@dataclass(frozen=True)
class Relaxation:
    """A relaxed structure, whether its tolerances were met, and the steps it took."""

    structure: Structure
    converged: bool
    steps: int
    facts: Mapping[str, Any]


class Engine(Protocol):
    """One DFT program. Its methods block; the program runs as a process of its own, on one core."""

    def version(self) -> str:
        """Name and version, such as ``"Quantum ESPRESSO 6.7"``.

        Raises:
            EngineError: it is not installed; the message says how to install it.
        """

    def label(self, structure: Structure, settings: Settings, folder: Path) -> Label:
        """Compute ELF or density, forces, pressure and energy; ``folder`` is for scratch files and outputs.

        Raises:
            EngineError: the calculation did not converge or failed; with the reason.
        """

    def relax(self, structure: Structure, settings: RelaxSettings, folder: Path) -> Relaxation:
        """Relax cell and atoms at constant pressure and space group.

        Raises:
            EngineError: not one step was made.
        """


def decisive(settings: Settings) -> dict[str, Any]:
    """The values that settings are told apart by, in hashes: those that came later only where they change a label."""
    return {key: value for key, value in to_dict(settings).items() if (key, value) != ("quantity", "elf")}


def find_file(name: str, what: str, variable: str, folders: Sequence[str], install: str) -> Path:
    """A file of an engine's data: in the folder that an environment variable names, else in the usual ones.

    Raises:
        EngineError: it is in none of them; the message says where it was looked for and how to install it.
    """
    places = [Path(p) for p in (os.environ.get(variable), *folders) if p]
    for place in places:
        if (place / name).is_file():
            return place / name
    looked = ", ".join(map(str, places))
    raise EngineError(f"no {what}: looked in {looked}; {install}, or set {variable} to its folder")


def k_mesh(settings: Settings | RelaxSettings, structure: Structure) -> tuple[int, int, int]:
    """Numbers of k-points along the reciprocal lattice vectors: |b_i| / n_i is at most the spacing."""
    mesh = getattr(settings, "k_mesh", None)
    if mesh is not None:
        return mesh
    assert settings.k_spacing is not None
    lengths = structure.lattice.reciprocal_lattice.abc  # rad/Å, 2π included
    a, b, c = (max(1, int(np.ceil(length / settings.k_spacing - 1e-6))) for length in lengths)
    return a, b, c


def one_shifted_point(settings: Settings | RelaxSettings, structure: Structure) -> bool:
    """Whether the mesh is Baldereschi's (1/4, 1/4, 1/4) alone.

    It stands for its star under the lattice's symmetry, which a program must not make of it: it has to compute without
    symmetry then.
    """
    return getattr(settings, "k_shift", False) and k_mesh(settings, structure) == (1, 1, 1)


def label_grid(structure: Structure, settings: Settings, spacing: float | None = None) -> Grid:
    """The grid of a label: no coarser than ``grid_spacing``, and mapped onto itself by the whole space group.

    Args:
        structure: in the setting that is stored.
        settings: of the label.
        spacing: Å, instead of that of the settings: for the engine's own grid.

    Raises:
        ElfzooError: no grid suits the space group, because the origin is off its symmetry elements.
    """
    spacing = spacing or settings.grid_spacing
    return Grid.for_symmetry(structure.lattice.matrix, spacing, *space_group_operations(structure))


def k_spacing(settings: Settings | RelaxSettings, structure: Structure) -> float:
    """The largest |b_i| / n_i of the mesh that is really used, rad/Å (2π included)."""
    lengths = structure.lattice.reciprocal_lattice.abc
    return float(max(length / n for length, n in zip(lengths, k_mesh(settings, structure), strict=True)))
