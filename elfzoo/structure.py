"""Structures at the public edge: pymatgen, ASE, PyTorch Geometric and files, converted once and checked once."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import DummySpecies, Structure

from elfzoo.errors import StructureError

__all__ = ["as_structure", "check_structure", "read_structures"]

MIN_DISTANCE = 0.2  # angstrom; nothing bonds below 0.5, and a field there means nothing
MIN_VOLUME = 0.3  # cubic angstrom per atom; hydrogen at 10 TPa has about 0.6


def as_structure(source: Any) -> Structure:
    """Return a checked pymatgen ``Structure`` made from what chemists have at hand.

    Args:
        source: a pymatgen ``Structure``, ASE ``Atoms``, a PyG ``Data`` with ``pos`` (atoms, 3) in Å, ``z`` and
            ``cell`` (3, 3) with lattice vectors as rows in Å, an object with a ``structure``, or a path to a file
            that pymatgen or ASE reads (of a trajectory, the last frame).

    Raises:
        StructureError: when it cannot be read or cannot be a periodic structure.
    """
    if isinstance(source, Structure):
        return check_structure(source)
    if isinstance(source, str | Path):
        return next(read_structures(source, index="-1"))
    if isinstance(getattr(source, "structure", None), Structure):
        return check_structure(source.structure)
    if hasattr(source, "get_chemical_symbols"):
        return check_structure(_from_ase(source))
    if all(getattr(source, key, None) is not None for key in ("pos", "z", "cell")):
        return check_structure(_from_pyg(source))
    raise StructureError(
        f"cannot make a structure from {type(source).__name__}; expected a pymatgen Structure, ASE Atoms, "
        "PyG Data with pos, z and cell, or a file path"
    )


def read_structures(path: str | Path, index: str = ":") -> Iterator[Structure]:
    """Yield the structures of a file: one for a POSCAR or CIF, the frames of a trajectory.

    Args:
        path: anything that pymatgen or ASE reads, ``.gz`` included.
        index: ASE's frame selection: ``"-1"``, ``"0"``, ``"::10"``.
    """
    path = Path(path)
    if not path.is_file():
        raise StructureError(f"no such structure file: {path}")
    for structure in _read_any(path, index):
        yield check_structure(structure, name=str(path))


def check_structure(structure: Structure, name: str = "structure") -> Structure:
    """Return ``structure`` if a field can be predicted for it.

    Raises:
        StructureError: no atoms, NaN or infinite numbers, (almost) no volume, partial occupancy, species that are
            no elements, or atoms closer than 0.2 Å, periodic images included.
    """
    if len(structure) == 0:
        raise StructureError(f"{name} has no atoms")
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        raise StructureError(f"{name} has NaN or infinite lattice vectors or coordinates")
    if structure.volume < MIN_VOLUME * len(structure):
        raise StructureError(
            f"{name} has a cell of {structure.volume:.3g} Å³ for {len(structure)} atoms; "
            f"expected at least {MIN_VOLUME} Å³ per atom"
        )
    if not structure.is_ordered:
        raise StructureError(f"{name} has partially occupied sites; expected one element on each site")
    dummies = sorted({str(s.specie) for s in structure if isinstance(s.specie, DummySpecies)})
    if dummies:
        raise StructureError(f"{name} has species that are no elements: {', '.join(dummies)}")
    _refuse_overlaps(structure, name)
    return structure


def _refuse_overlaps(structure: Structure, name: str) -> None:
    centres, neighbours, _, distances = structure.get_neighbor_list(MIN_DISTANCE, exclude_self=True)
    if len(distances) == 0:
        return
    worst = int(np.argmin(distances))
    raise StructureError(
        f"{name}: atoms {centres[worst]} and {neighbours[worst]} ({structure[int(centres[worst])].specie}, "
        f"{structure[int(neighbours[worst])].specie}) are {distances[worst]:.3f} Å apart; "
        f"expected at least {MIN_DISTANCE} Å"
    )


def _read_any(path: Path, index: str) -> list[Structure]:
    """pymatgen for what it knows by name, ASE for the rest (trajectories, extended XYZ, engines' outputs)."""
    from ase.io import read
    from pymatgen.io.vasp import Poscar

    errors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if index in (":", "-1", "0"):
            try:
                if path.name.upper().startswith(("POSCAR", "CONTCAR")):
                    return [Poscar.from_file(path, check_for_potcar=False).structure]
                return [Structure.from_file(path)]
            except Exception as error:  # each reader has its own exceptions; ASE is asked next
                errors.append(error)
        try:
            frames = read(path, index=index)
        except Exception as error:
            errors.append(error)
            reason = "; ".join(f"{type(e).__name__}: {e}" for e in errors)
            raise StructureError(f"neither pymatgen nor ASE can read {path} ({reason})") from error
    return [_from_ase(atoms) for atoms in (frames if isinstance(frames, list) else [frames])]


def _from_ase(atoms: Any) -> Structure:
    if not all(atoms.pbc) and abs(np.linalg.det(np.asarray(atoms.cell))) < 1e-6:
        raise StructureError(f"{atoms.get_chemical_formula()} has no periodic cell; put it into a box first")
    return _build(np.array(atoms.cell), atoms.numbers, atoms.positions)


def _from_pyg(data: Any) -> Structure:
    arrays = (data.cell.reshape(3, 3), data.z, data.pos)
    return _build(*(a.detach().cpu().double().numpy() for a in arrays))


def _build(lattice: Any, numbers: Any, positions: Any) -> Structure:
    """Structure from rows in Å, checked before pymatgen divides by the volume."""
    if not (np.isfinite(lattice).all() and np.isfinite(positions).all()):
        raise StructureError("structure has NaN or infinite lattice vectors or coordinates")
    if abs(np.linalg.det(lattice)) < 1e-9:
        raise StructureError(f"structure has a cell without volume: {np.asarray(lattice).tolist()}")
    unknown = sorted({int(z) for z in numbers if not 1 <= int(z) <= 118})
    if unknown:
        raise StructureError(f"atomic numbers {unknown} are no elements; expected 1 to 118")
    return Structure(lattice, [int(z) for z in numbers], positions, coords_are_cartesian=True)
