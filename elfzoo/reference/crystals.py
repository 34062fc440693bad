"""Random crystals of hydrogen: cubic and hexagonal space groups, and archetypes that random search rarely meets."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pymatgen.core import Structure

from elfzoo.config import config_class
from elfzoo.errors import ElfzooError
from elfzoo.reference.candidate import Candidate, StructureSource

__all__ = ["CrystalSource", "random_crystal"]

SYSTEMS = {"cubic": range(195, 231), "hexagonal": range(168, 195)}
INSTALL = "PyXtal is not installed; install it with: pip install pyxtal"
ATTEMPTS = 400


@config_class
class CrystalSource(StructureSource):
    """Which random crystals: drawn with PyXtal from space groups of a crystal system, sizes in turn.

    Args:
        cubic: number of cubic candidates.
        hexagonal: number of hexagonal candidates.
        sizes: atoms per primitive cell, taken in turn, so that every size is met alike.
        archetypes: further candidates in given space groups: ``{space group number: [atoms per primitive cell]}``.
        volume_per_atom: of the start, Å³.
        shortest_distance: between atoms of the start, Å.
        seed: of all random numbers.
    """

    only_choose: ClassVar[tuple[str, ...]] = ("cubic", "hexagonal")
    kind: Literal["crystals"]
    cubic: int
    hexagonal: int
    sizes: tuple[int, ...]
    archetypes: dict[int, tuple[int, ...]]
    volume_per_atom: float = 2.3
    shortest_distance: float = 0.45
    seed: int = 2026

    def prepare(self, out: Path, workers: int = 1, show_progress: bool | None = None) -> None:
        """Nothing is made, but a missing PyXtal is one error here rather than one for each candidate."""
        _pyxtal()

    def candidates(self, out: Path) -> list[Candidate]:
        """Archetypes first, then cubic and hexagonal in turn; a name is ``{system}_{number}``."""
        plans: dict[str, list[tuple[tuple[int, ...], int]]] = {system: [] for system in SYSTEMS}
        for group, sizes in self.archetypes.items():
            plans[_system(group)] += [((group,), size) for size in sizes]
        for system, count in (("cubic", self.cubic), ("hexagonal", self.hexagonal)):
            groups = tuple(SYSTEMS[system])
            plans[system] += [(groups, self.sizes[i % len(self.sizes)]) for i in range(count)]
        made = [[self._candidate(system, i, *plan) for i, plan in enumerate(plans[system])] for system in SYSTEMS]
        return [candidate for row in zip_longest(*made) for candidate in row if candidate is not None]

    def _candidate(self, system: str, number: int, groups: tuple[int, ...], size: int) -> Candidate:
        name = f"{system}_{number:03d}"
        return Candidate(
            name=name,
            group=name,
            origin=f"PyXtal random crystal, {system}, seed {self.seed}, number {number}",
            make=functools.partial(self._make, name, groups, size),
            relax=True,
            facts={"crystal_system": system},
        )

    def _make(self, name: str, groups: tuple[int, ...], size: int, _: Mapping[str, Structure]) -> Structure:
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{self.seed}/{name}".encode()).digest()[:8], "big"))
        for _attempt in range(ATTEMPTS):
            structure = random_crystal(int(rng.choice(groups)), size, rng, self.volume_per_atom)
            if structure is not None and _shortest_distance(structure) > self.shortest_distance:
                return structure
        raise ElfzooError(f"no crystal of {size} atoms in the space groups {groups} after {ATTEMPTS} attempts")


def random_crystal(group: int, size: int, rng: np.random.Generator, volume_per_atom: float) -> Structure | None:
    """A random crystal of ``size`` H in its primitive standard cell, or None where PyXtal finds none.

    Raises:
        ElfzooError: PyXtal is not installed.
    """
    pyxtal = _pyxtal()
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    crystal = pyxtal()
    try:
        crystal.from_random(3, group, ["H"], [size * _centring(group)], random_state=int(rng.integers(2**31)))
    except Exception:  # PyXtal raises bare exceptions where the Wyckoff positions do not add up
        return None
    if not crystal.valid:
        return None
    found = SpacegroupAnalyzer(crystal.to_pymatgen(), symprec=1e-3)
    structure = found.get_primitive_standard_structure()
    if len(structure) != size or _system(found.get_space_group_number()) != _system(group):
        return None
    structure.scale_lattice(volume_per_atom * len(structure))
    return structure


def _system(group: int) -> str:
    for system, groups in SYSTEMS.items():
        if group in groups:
            return system
    raise ElfzooError(f"space group {group} is neither cubic (195 - 230) nor hexagonal (168 - 194)")


@functools.cache
def _centring(group: int) -> int:
    """Primitive cells per conventional cell."""
    from pymatgen.symmetry.groups import SpaceGroup

    return {"P": 1, "I": 2, "F": 4}[SpaceGroup.from_int_number(group).symbol[0]]


def _shortest_distance(structure: Structure) -> float:
    return float(structure.get_neighbor_list(1.5)[3].min(initial=9.0))


def _pyxtal() -> Any:
    try:
        from pyxtal import pyxtal
    except ImportError:
        raise ElfzooError(INSTALL) from None
    return pyxtal
