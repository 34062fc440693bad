"""One diagonalisation of any elements: plane waves and PAW, by GPAW, at the potential of superposed atoms.

What :mod:`elfzoo.transforms.harris.field` does for hydrogen in orbitals of its own, with the setups and the k-points of
the labels. The eigensolver starts from atomic orbitals and takes two steps at the one potential. On three validation
hydrides a cutoff of 500 eV with two steps errs as one of 800 eV with four, in a third of the time; 400 eV is worse by
0.001. Atomic orbitals alone are worse: minimal ones by 0.03, double-zeta polarised ones by up to 0.004, and GPAW takes
three times as long for these as for the plane waves.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import spglib
from jaxtyping import Float
from pymatgen.core import Structure

from elfzoo.config import config_class, to_dict
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.grid import Grid
from elfzoo.interpolate import fourier_resample, low_pass
from elfzoo.symmetry import SYMPREC, primitive_cell, space_group_operations
from elfzoo.transforms.harris.field import UNIFORM, Densities
from elfzoo.transforms.harris.inputs import HIGHEST_CHI, HarrisInputs, fields_of, kept
from elfzoo.transforms.harris.orbitals import BOHR

__all__ = ["PlaneWaveConfig", "plane_wave_inputs", "stored_plane_wave_inputs"]

SAFE_CUTOFF = 800.0  # eV, that of the labels
LARGEST = 128  # atoms of a primitive cell, many minutes; the work grows with the cube
VACUUM = 1e-6  # 1/bohr³, below which labels by GPAW have an ELF of 0
FINER = 2  # times as many points along each axis as the density's waves need, for splines
VERSION = "plane waves 1"  # of what is computed; a cache of another one is not read


@config_class
class PlaneWaveConfig:
    """Everything that decides the untrained field.

    Args:
        pseudopotential: the setups, ``gpaw-data``; with a version, that one alone.
        cutoff: of the plane waves, eV; where GPAW fails with less than the labels' 800, that is tried.
        k_spacing: largest distance of neighbouring k-points, rad/Å.
        width: of the Fermi-Dirac smearing, eV.
        steps: of the eigensolver.
    """

    pseudopotential: str = "gpaw-data"
    cutoff: float = 500.0
    k_spacing: float = 0.3
    width: float = 0.1
    steps: int = 2

    def __post_init__(self) -> None:
        if min(self.cutoff, self.k_spacing, self.width, self.steps) <= 0:
            raise ConfigError(f"cutoff, distance of k-points, smearing and steps are positive; got {self}")


def plane_wave_inputs(
    structure: Structure, config: PlaneWaveConfig, window: tuple[float, float] | None
) -> HarrisInputs:
    """The fields of a structure's primitive cell: a supercell costs no more.

    Args:
        structure: of elements that the setups have.
        config: of the diagonalisation.
        window: of |G|, rad/Å, as the labels' low-pass; None keeps all waves.

    Raises:
        EngineError: GPAW is missing, has no setup for an element, or fails.
        ElfzooError: too many atoms.
    """
    cell, origin = on_symmetry_elements(primitive_cell(structure))
    return replace(_inputs(cell, config, window), origin=origin)


def stored_plane_wave_inputs(
    structure: Structure, config: PlaneWaveConfig, window: tuple[float, float] | None
) -> HarrisInputs:
    """:func:`plane_wave_inputs`, kept in the folder that ``ELFZOO_HARRIS_CACHE`` names, if it names one."""
    cell, origin = on_symmetry_elements(primitive_cell(structure))
    facts = [VERSION, to_dict(config), window and list(window)]
    return replace(kept(cell, facts, lambda: _inputs(cell, config, window)), origin=origin)


def on_symmetry_elements(cell: Structure) -> tuple[Structure, Float[np.ndarray, " 3"]]:
    """The cell with its origin moved to where some grid is mapped onto itself by the space group, and by how much, Å.

    With the symmetry fewer k-points do. A cell that has such a grid already is left alone.
    """
    if _suits_a_grid(cell):
        return cell, np.zeros(3)
    found = spglib.get_symmetry_dataset((cell.lattice.matrix, cell.frac_coords, cell.atomic_numbers), symprec=SYMPREC)
    if found is None:
        return cell, np.zeros(3)
    shift = -np.linalg.solve(found.transformation_matrix, found.origin_shift)  # of the standard origin: x' = P x + p
    moved = Structure(cell.lattice, cell.species, cell.frac_coords - shift, to_unit_cell=True)
    return moved, shift @ cell.lattice.matrix


def _suits_a_grid(cell: Structure) -> bool:
    try:
        Grid.for_symmetry(cell.lattice.matrix, 1.0, *space_group_operations(cell))
    except ElfzooError:
        return False
    return True


def _inputs(cell: Structure, config: PlaneWaveConfig, window: tuple[float, float] | None) -> HarrisInputs:
    lattice, fields = cell.lattice.matrix, fields_of(_densities(cell, config))
    return HarrisInputs(
        np.stack([part if window is None else low_pass(part, lattice, window) for part in fields]), lattice
    )


def _densities(cell: Structure, config: PlaneWaveConfig) -> Densities:
    """On a grid finer than GPAW's own."""
    if len(cell) > LARGEST:
        raise ElfzooError(
            f"a plane-wave diagonalisation grows with the cube of the atoms; expected at most {LARGEST} in the "
            f"primitive cell, got {len(cell)} ({cell.composition.reduced_formula}); for hydrogen alone there is harris"
        )
    # an engine is wanted here, which only models of this kind import, and only when they are used
    from elfzoo.reference.engines.base import EngineError
    from elfzoo.reference.engines.gpaw import gradient_squared

    try:
        density, kinetic = _solved(cell, config)
    except EngineError:
        # on a coarse grid atomic orbitals of a dense cell may become linearly dependent (CaPb3 at 500 eV)
        if config.cutoff >= SAFE_CUTOFF:
            raise
        density, kinetic = _solved(cell, replace(config, cutoff=SAFE_CUTOFF))
    a, b, c = (FINER * n for n in density.shape)
    density, kinetic = fourier_resample(density, (a, b, c)), fourier_resample(kinetic, (a, b, c))
    gradient = gradient_squared(density, cell.lattice.matrix / BOHR)
    return _without_vacuum(Densities(Grid((a, b, c), cell.lattice.matrix), density, kinetic, gradient))


def _without_vacuum(found: Densities) -> Densities:
    """Where there is next to no density its ELF is 0, as in the labels: by a kinetic energy that says so."""
    n = np.maximum(found.n, VACUUM)
    nothing = found.gradient / (8 * n) + HIGHEST_CHI * UNIFORM * n ** (5 / 3)
    return replace(found, n=n, tau=np.where(found.n <= VACUUM, nothing, found.tau))


def _solved(cell: Structure, config: PlaneWaveConfig) -> tuple[Float[np.ndarray, "a b c"], Float[np.ndarray, "a b c"]]:
    """Density and kinetic-energy density on GPAW's grid, atomic units."""
    from elfzoo.reference.engines.base import Settings
    from elfzoo.reference.engines.gpaw import one_diagonalisation

    settings = Settings(
        engine="gpaw",
        pseudopotential=config.pseudopotential,
        cutoff=config.cutoff,
        smearing="fermi-dirac",
        smearing_width=config.width,
        k_spacing=config.k_spacing,
    )
    with tempfile.TemporaryDirectory(prefix="elfzoo-") as folder:
        return one_diagonalisation(cell, settings, config.steps, Path(folder), symmetry=_suits_a_grid(cell))
