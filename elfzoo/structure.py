"""Structures at the public edge: pymatgen, ASE, PyTorch Geometric and files, converted once and checked once."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import DummySpecies, Element, Species, Structure

from elfzoo.errors import ElfzooError, StructureError
from elfzoo.periodic import probe_edges
from elfzoo.poscar import poscar_structure

__all__ = [
    "as_structure",
    "check_structure",
    "read_structures",
    "require_same_structure",
    "structure_from",
]

TOLERANCE = 1e-3  # angstrom; an ELF moved so far changes by less than two DFT codes differ, and files round less
MIN_DISTANCE = 0.2  # angstrom; nothing bonds below 0.5, and a field there means nothing
MAX_EDGE = 1e4  # angstrom; beyond any cell that is computed, a damaged number
SITE_TOLERANCE = 2e-3  # of a cell's edge; a symmetry makes copies of 0.333 that are so far apart
MIN_VOLUME = 0.3  # cubic angstrom per atom; hydrogen at 10 TPa has about 0.6


def as_structure(source: Any) -> Structure:
    """Return a checked pymatgen ``Structure`` made from what chemists have at hand.

    Args:
        source: a pymatgen ``Structure``, ASE ``Atoms``, a PyG ``Data`` with ``pos`` (atoms, 3) in Å, ``z`` and
            ``cell`` (3, 3) with lattice vectors as rows in Å, an object with a ``structure``, or a path to a file
            that elfzoo, pymatgen or ASE reads (a field file's own structure; of a trajectory, the last frame).

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


def read_structures(
    path: str | Path, index: str = ":", check: bool = True, species: Sequence[str] | None = None
) -> Iterator[Structure]:
    """Yield the structures of a file: one for a POSCAR or CIF, the frames of a trajectory.

    Args:
        path: a field file, or anything that pymatgen or ASE reads, compressed ones included.
        index: ASE's frame selection: ``"-1"``, ``"0"``, ``"::10"``.
        check: refuse what cannot be predicted; where False, the caller does it, so that one bad frame ends no others.
        species: elements in the order of the counts, for a POSCAR that does not name them.

    Raises:
        StructureError: no such file, or it cannot be read, or is incomplete: no elements are named, or a CIF lists none
            of the hydrogens that its formula has. Of a later frame of a trajectory, when it is that frame's turn.
    """
    path = Path(path)
    if not path.is_file():
        raise StructureError(f"no such structure file: {path}")
    for structure in _with_path(path, _read_any(path, index, species)):
        yield check_structure(structure, name=str(path)) if check else structure


def _with_path(path: Path, frames: Iterator[Structure]) -> Iterator[Structure]:
    """The same, but what is wrong with a frame after the first is told in one sentence."""
    for number in count(1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                frame = next(frames, None)
        except StructureError as error:
            told = "" if str(path) in str(error) else f"{path}: "
            raise StructureError(f"{told}{error}") from error
        except Exception as error:  # each reader has its own exceptions
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            raise StructureError(f"{path}: after {number - 1} frames the next cannot be read ({reason})") from error
        if frame is None:
            return
        yield frame


def check_structure(structure: Structure, name: str = "structure") -> Structure:
    """Return ``structure`` if a field can be predicted for it; without charges of atoms, which decide nothing.

    Raises:
        StructureError: no atoms, NaN or infinite numbers, a vast cell, (almost) no volume, partial occupancy, species
            that are no elements, or atoms closer than 0.2 Å, periodic images included.
    """
    if len(structure) == 0:
        raise StructureError(f"{name} has no atoms")
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        raise StructureError(f"{name} has NaN or infinite lattice vectors or coordinates")
    longest = np.abs(structure.lattice.matrix).max()
    if longest > MAX_EDGE:
        raise StructureError(f"{name} has a lattice vector of {longest:.3g} Å; expected at most {MAX_EDGE:.0f} Å")
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
    if any(isinstance(site.specie, Species) for site in structure):
        structure = structure.copy()  # the caller's keeps them
        structure.remove_oxidation_states()
    return structure


def _refuse_overlaps(structure: Structure, name: str) -> None:
    lattice, positions = structure.lattice.matrix, structure.cart_coords
    first, second, shift = probe_edges(positions, positions, lattice, MIN_DISTANCE)
    other = (first != second) | (np.abs(shift).max(axis=1, initial=0.0) > 1e-6)
    if not other.any():
        return
    first, second, shift = first[other], second[other], shift[other]
    distances = np.linalg.norm(positions[first] + shift - positions[second], axis=1)
    i, j = int(first[np.argmin(distances)]), int(second[np.argmin(distances)])
    raise StructureError(
        f"{name}: atoms {min(i, j)} and {max(i, j)} ({structure[i].specie}, {structure[j].specie}) are "
        f"{distances.min():.3f} Å apart; expected at least {MIN_DISTANCE} Å"
    )


def _read_any(path: Path, index: str, species: Sequence[str] | None) -> Iterator[Structure]:
    """pymatgen for POSCAR and CIF, ASE for what may hold many frames, pymatgen again for the rest."""
    kind = _kind_of(path)
    readers: tuple[Callable[[Path, str], Iterator[Structure]], ...] = (_from_ase_file, _from_pymatgen_file)
    if kind == "vasp":
        readers = (partial(_from_poscar, species=species),)
    elif kind in ("cube", "elfcar"):
        readers = (partial(_from_field_file, species=species),)
    elif kind in ("npz", "hdf5"):
        readers = (_from_field_file,)
    elif kind == "xsf":  # with a field inside, or without
        readers = (_from_field_file, *readers)
    elif kind == "cif":
        readers = (_from_cif,)
    if species is not None and not isinstance(readers[0], partial):
        raise StructureError(f"{path} names its elements; leave out species={list(species)}")
    reasons = []
    for reader in readers:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                frames = reader(path, index)
                first = next(frames, None)
        except Exception as error:  # each reader has its own exceptions
            if isinstance(error, StructureError) and len(readers) == 1:
                raise StructureError(f"{path}: {error}") from error
            reasons.append(f"{type(error).__name__}: {error}".rstrip(": "))
            continue
        if first is None:
            raise StructureError(f"{path} has no frame {index!r}")
        return chain([first], frames)
    who = "neither pymatgen nor ASE can" if len(readers) > 1 else "pymatgen cannot"
    raise StructureError(f"{who} read {path} ({'; '.join(reasons)})")


def _kind_of(path: Path) -> str:
    """Whether one of our readers is for a file, by its name or as ASE finds; ASE's guess would skip their checks."""
    from ase.io.formats import filetype

    from elfzoo.io.files import format_of

    name = re.sub(r"\.(gz|bz2|xz)$", "", path.name.lower())
    if name.startswith(("poscar", "contcar")) or name.endswith((".vasp", ".poscar")):
        return "vasp"
    if name.endswith(".cif"):
        return "cif"
    with contextlib.suppress(ElfzooError):
        if (known := format_of(path)) in ("cube", "npz", "hdf5", "xsf") or "elfcar" in name:
            return known
    try:
        return filetype(str(path))
    except Exception:  # ASE's own, or of whatever looks into the file: the readers will say what is wrong with it
        return ""


def _from_field_file(path: Path, index: str, species: Sequence[str] | None = None) -> Iterator[Structure]:
    """The structure that a field belongs to, with the origin of its grid at the cell's."""
    from elfzoo.io import read_fields

    return _select([next(iter(read_fields(path, species=species, check=False).values())).structure], index)


def _from_ase_file(path: Path, index: str) -> Iterator[Structure]:
    """One frame at a time: trajectories may be larger than memory."""
    from ase.io import iread

    return map(_from_ase, iread(path, index=index, do_not_split_by_at_sign=True))


def _from_poscar(path: Path, index: str, species: Sequence[str] | None = None) -> Iterator[Structure]:
    from monty.io import zopen

    with zopen(path, "rt", encoding="utf-8", errors="replace") as handle:
        return _select([poscar_structure(handle.read(), species)], index)


def _from_cif(path: Path, index: str) -> Iterator[Structure]:
    """Refuses what pymatgen only warns of: atoms that the formula has and the list of sites has not."""
    from pymatgen.io.cif import CifParser

    parser = CifParser(path, site_tolerance=SITE_TOLERANCE)
    try:
        structures = parser.parse_structures(primitive=False)
    except ValueError as error:
        raise StructureError(" ".join([str(error), *parser.warnings])) from error
    blocks = {name: block for name, block in parser.as_dict().items() if "_atom_site_fract_x" in block}
    if len(structures) < len(blocks):
        why = " ".join(dict.fromkeys(parser.warnings))
        raise StructureError(f"of its {len(blocks)} blocks with atoms {len(structures)} can be read: {why}")
    implicit = any("implicit hydrogens" in text for text in parser.warnings)
    lost = {
        name for block, one in zip(blocks.values(), structures, strict=False) for name in _missing_elements(block, one)
    }
    if implicit or lost:
        what = f"{', '.join(sorted(lost))}" if lost else "hydrogens that are attached to its sites"
        raise StructureError(f"its formula has {what}, of which it lists no positions; add them")
    return _select(structures, index)


def _missing_elements(block: Mapping[str, Any], structure: Structure) -> set[str]:
    """Elements of the formula in a block of a CIF that the structure has not; an isotope is there as its element."""
    formula = block.get("_chemical_formula_sum") or block.get("_chemical_formula_structural") or ""
    names = {"H" if name in ("D", "T") else name for name in re.findall(r"[A-Z][a-z]?", str(formula))}
    known = {name for name in names if Element.is_valid_symbol(name)}
    return known - {element.symbol if element.symbol not in ("D", "T") else "H" for element in structure.elements}


def _from_pymatgen_file(path: Path, index: str) -> Iterator[Structure]:
    return _select([Structure.from_file(path)], index)


def _select(structures: list[Structure], index: str) -> Iterator[Structure]:
    from ase.io.formats import string2index

    chosen = string2index(index)
    if isinstance(chosen, int):
        chosen = slice(chosen, chosen + 1 or None)
    return iter(structures[chosen])


def _from_ase(atoms: Any) -> Structure:
    if not all(atoms.pbc) and abs(np.linalg.det(np.asarray(atoms.cell))) < 1e-6:
        raise StructureError(f"{atoms.get_chemical_formula()} has no periodic cell; put it into a box first")
    return structure_from(np.array(atoms.cell), atoms.numbers, atoms.positions, cartesian=True)


def _from_pyg(data: Any) -> Structure:
    if data.cell.numel() != 9:
        raise StructureError(
            f"PyG data with a cell of shape {tuple(data.cell.shape)}; expected one structure, with a cell of (3, 3): "
            "of a batch, one of batch.to_data_list()"
        )
    cell, numbers, positions = (a.detach().cpu().numpy() for a in (data.cell.reshape(3, 3), data.z, data.pos))
    return structure_from(cell, numbers, positions, cartesian=True)


def structure_from(
    lattice: np.ndarray, numbers: np.ndarray | Sequence[int], coords: np.ndarray, cartesian: bool = False
) -> Structure:
    """Structure from arrays, checked before pymatgen divides by the volume.

    Args:
        lattice: (3, 3) lattice vectors as rows, Å.
        numbers: (atoms,) atomic numbers.
        coords: (atoms, 3) fractional coordinates, or positions in Å where ``cartesian``.
        cartesian: what ``coords`` are.

    Raises:
        StructureError: shapes that do not fit, NaN, a cell without volume, or numbers that are no elements.
    """
    numbers = np.asarray(numbers)
    _refuse_arrays(lattice, numbers, coords)
    lattice, coords = lattice.astype(np.float64), coords.astype(np.float64)
    if not (np.isfinite(lattice).all() and np.isfinite(coords).all()):
        raise StructureError("the lattice vectors or coordinates hold NaN or infinite numbers")
    if np.abs(lattice).max() > MAX_EDGE:
        raise StructureError(f"a lattice vector of {np.abs(lattice).max():.3g} Å; expected at most {MAX_EDGE:.0f} Å")
    if abs(np.linalg.det(lattice)) < 1e-9:
        raise StructureError(f"the cell has no volume: {lattice.tolist()}")
    unknown = sorted({int(z) for z in numbers if not 1 <= z <= 118})
    if unknown:
        raise StructureError(f"atomic numbers {unknown} are no elements; expected 1 to 118")
    return Structure(lattice, [int(z) for z in numbers], coords, coords_are_cartesian=cartesian)


def _refuse_arrays(lattice: np.ndarray, numbers: np.ndarray, coords: np.ndarray) -> None:
    kinds = lattice.dtype.kind + numbers.dtype.kind + coords.dtype.kind
    if not re.fullmatch("[fiu][iu][fiu]", kinds):
        raise StructureError(
            f"lattice, atomic numbers and coordinates of types {lattice.dtype}, {numbers.dtype}, {coords.dtype}; "
            "expected floats, integers and floats"
        )
    if numbers.ndim != 1 or lattice.shape != (3, 3) or coords.shape != (*numbers.shape, 3):
        raise StructureError(
            f"lattice {lattice.shape}, coordinates {coords.shape} and atomic numbers {numbers.shape}; expected (3, 3), "
            "(atoms, 3) and (atoms,)"
        )


def require_same_structure(reference: Structure, prediction: Structure) -> None:
    """Raise :class:`StructureError` unless lattice vectors and atoms, in any order, agree within 0.001 Å."""
    gap = float(np.abs(reference.lattice.matrix - prediction.lattice.matrix).max())
    if gap > TOLERANCE:
        raise StructureError(
            f"the lattice vectors differ by up to {gap:.4f} Å: reference {_rounded(reference)}, prediction "
            f"{_rounded(prediction)}; fields are compared only in the same cell and orientation"
        )
    if reference.composition != prediction.composition:
        raise StructureError(
            f"the atoms differ: reference {reference.composition.formula}, prediction {prediction.composition.formula}"
        )
    distances = reference.lattice.get_all_distances(reference.frac_coords, prediction.frac_coords)
    numbers = [np.array([specie.Z for specie in s.species]) for s in (reference, prediction)]
    distances[numbers[0][:, None] != numbers[1][None, :]] = np.inf
    nearest = distances.min(axis=1)  # atoms are at least 0.2 Å apart, so no two can have the same partner
    worst = int(nearest.argmax())
    if nearest[worst] > TOLERANCE:
        atom = reference[worst]
        raise StructureError(
            f"the atoms differ: {atom.specie} at fractional {np.round(atom.frac_coords, 4).tolist()} of the reference "
            f"is {nearest[worst]:.4f} Å away from the nearest {atom.specie} of the prediction"
        )


def _rounded(structure: Structure) -> list[list[float]]:
    return np.round(structure.lattice.matrix, 4).tolist()
