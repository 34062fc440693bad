"""Structure types filled with elements drawn at random, at random volumes: what a dozen compositions cannot teach.

A model that has seen hydrides of twelve compositions takes each of their metals for the one environment that it saw.
Here an element meets many neighbours, and a structure type many elements. Nothing is relaxed; volumes span what
pressures from zero to some hundred GPa make of atoms. No composition of the validation and test hydrides and no
chemical system of the validation and test metals is among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
from pymatgen.core import Composition, Structure

from elfzoo.config import config_class, read_yaml
from elfzoo.errors import ConfigError, UnknownNameError
from elfzoo.reference import hydrides, metals
from elfzoo.reference.candidate import Candidate, StructureSource
from elfzoo.reference.prototypes import Crystal, same_composition, scaled
from elfzoo.symmetry import standardise

__all__ = ["Decoration", "DecorationTable", "PrototypeSource", "is_held_out", "table"]

START = 5.0  # Å, before the volume is known
MOLAR = 1.66053907  # Å³ per atom of 1 cm³/mol
# at the highest and at the lowest pressure: volume of an atom over that of its element, with and without hydrogen
# beside it, and Å³ per H. Between them in hydrides lie YH10 at 300 GPa and KMgH3 at none
HYDRIDE_SHARE, METAL_SHARE, HYDROGEN = (0.3, 0.75), (0.6, 1.05), (1.5, 4.5)
CLOSEST = 0.8  # times the sum of covalent radii; in YH6 0.9, in fcc Al 1.2
CLOSEST_H = 0.8  # Å
REACH = 4.0  # Å, in which neighbours are looked for
DRAWS = 1000  # per candidate


@config_class
class Decoration:
    """A structure type and what may occupy its places.

    Args:
        formula: with X and Y for the elements that are drawn.
        space_group: as :class:`elfzoo.reference.prototypes.Crystal` takes it.
        sites: one string per occupied site, with X and Y as well.
        occupants: list of the table from which each of them is drawn.
        weight: how often the type is drawn, relative to the others.
        c_over_a: of the conventional cell.
    """

    formula: str
    space_group: str
    sites: tuple[str, ...]
    occupants: dict[str, str]
    weight: float
    c_over_a: float = 1.0


@config_class
class DecorationTable:
    """``tables/prototypes.yaml``: elements that are not drawn, lists of elements and structure types by name."""

    held_out: tuple[str, ...]
    elements: dict[str, tuple[str, ...]]
    prototypes: dict[str, Decoration]

    def __post_init__(self) -> None:
        for name, prototype in self.prototypes.items():
            if places := {site[0] for site in prototype.sites} - {"H"} ^ set(prototype.occupants):
                raise ConfigError(f"prototype {name}: {sorted(places)} stand in its sites or its occupants alone")
            for wanted in prototype.occupants.values():
                if wanted not in self.elements:
                    raise UnknownNameError("list of elements", wanted, self.elements)


@cache
def table() -> DecorationTable:
    """The table, read once."""
    with resources.as_file(resources.files("elfzoo.reference") / "tables" / "prototypes.yaml") as path:
        return read_yaml(DecorationTable, Path(path))


def is_held_out(formula: str) -> bool:
    """Whether a composition is that of a validation or test hydride, its elements are those of such a metal, or one of
    them is to stay unknown.
    """
    composition = Composition(formula)
    if any(element.symbol in table().held_out for element in composition):
        return True
    for split in ("val", "test"):
        if any(same_composition(formula, other) for other in hydrides.table().splits[split]):
            return True
        if composition.chemical_system in metals.table().splits[split]:
            return True
    return False


@config_class
class PrototypeSource(StructureSource):
    """Structures drawn from ``tables/prototypes.yaml``. The first of many are those of few.

    Args:
        count: number of structures.
        seed: of the draws.
    """

    only_choose: ClassVar[tuple[str, ...]] = ("count",)
    kind: Literal["prototypes"]
    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"expected a count above zero; got {self.count}")

    def candidates(self, out: Path) -> list[Candidate]:
        """In the order of their numbers; a name is ``{formula}_{prototype}_{number}``, no pair of the two twice."""
        found: list[Candidate] = []
        seen: set[str] = set()
        for number in range(self.count):
            found.append(next(one for one in self._draws(number) if one.name[:-4] not in seen))
            seen.add(found[-1].name[:-4])
        return found

    def _draws(self, number: int) -> Iterator[Candidate]:
        rng = np.random.default_rng([self.seed, number])
        for _ in range(DRAWS):
            prototype, crystal = _drawn(rng)
            structure, pressed = _pressed(crystal, rng)
            if is_held_out(crystal.formula) or not _keeps_distance(structure):
                continue
            yield Candidate(
                name=f"{crystal.formula}_{prototype}_{number:03d}",
                group=crystal.formula,
                origin=(
                    f"{prototype} ({crystal.space_group}) filled with elements at random, volume drawn too, not "
                    f"relaxed; seed {self.seed}, number {number}"
                ),
                make=partial(_given, structure),
                facts={"prototype": prototype, "space_group": crystal.space_group, "pressed": round(pressed, 4)},
            )
        raise ConfigError(f"no structure found for number {number} in {DRAWS} draws; the table has too few elements")


def _drawn(rng: np.random.Generator) -> tuple[str, Crystal]:
    """A structure type, and different elements for its places."""
    known = table()
    weights = np.array([one.weight for one in known.prototypes.values()])
    name = list(known.prototypes)[rng.choice(len(weights), p=weights / weights.sum())]
    chosen, occupants = known.prototypes[name], {"H": "H"}
    for place, elements in chosen.occupants.items():
        left = [element for element in known.elements[elements] if element not in occupants.values()]
        occupants[place] = left[rng.integers(len(left))]
    return name, Crystal(
        formula=re.sub("[XY]", lambda place: occupants[place[0]], chosen.formula),
        prototype=name,
        space_group=chosen.space_group,
        a=START,
        c=START * chosen.c_over_a,
        sites=tuple(occupants[site[0]] + site[1:] for site in chosen.sites),
        source="drawn",
    )


def _pressed(crystal: Crystal, rng: np.random.Generator) -> tuple[Structure, float]:
    """The structure at a random volume, and where that lies between the highest pressure, 0, and the lowest, 1."""
    structure, loose = crystal.structure(), float(rng.random())
    has_hydrogen = "H" in structure.symbol_set
    share = np.interp(loose, (0, 1), HYDRIDE_SHARE if has_hydrogen else METAL_SHARE)
    volumes = [
        np.interp(loose, (0, 1), HYDROGEN) if site.specie.symbol == "H" else share * MOLAR * site.specie.molar_volume
        for site in structure
    ]
    return scaled(structure, sum(volumes) / structure.volume), loose


def _keeps_distance(structure: Structure) -> bool:
    """Whether no two atoms are closer than chemistry allows under these pressures."""
    first, second, _, lengths = structure.get_neighbor_list(REACH)
    symbols = np.array([site.specie.symbol for site in structure])
    radii = np.array([CovalentRadius.radius[symbol] for symbol in symbols])
    hydrogens = (symbols[first] == "H") & (symbols[second] == "H")
    least = np.where(hydrogens, CLOSEST_H, CLOSEST * (radii[first] + radii[second]))
    return bool((lengths >= least).all())


def _given(structure: Structure, _: Mapping[str, Structure]) -> Structure:
    return standardise(structure)
