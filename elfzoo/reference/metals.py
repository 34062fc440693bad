"""Metals without hydrogen: elements and binaries over a sweep of volumes, and relaxed cells of lower symmetry."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Literal

from pymatgen.core import Composition, Structure

from elfzoo.config import config_class, read_yaml
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.reference.candidate import Candidate
from elfzoo.reference.prototypes import Crystal, scaled

__all__ = ["MetalTable", "Prototype", "Relaxed", "Sweep", "candidates", "split_of_metal", "table"]

Split = Literal["train", "val", "test"]
BULK_MODULUS_SLOPE = 4.0  # dB/dP, about the same in all metals


@config_class
class Prototype:
    """A structure type: its space group, and its sites with X and Y for the elements."""

    space_group: str
    sites: tuple[str, ...]


@config_class
class Sweep:
    """A crystal at experimental volume V0, to be labelled at fractions of it.

    Args:
        formula: of the crystal; an element's symbol is its occupant too.
        prototype: key of the table's prototypes.
        a: Å.
        source: of the lattice constants, key of the table's sources.
        c: Å; a by default.
        occupants: the elements on X and Y.
    """

    formula: str
    prototype: str
    a: float
    source: str
    c: float | None = None
    occupants: tuple[str, ...] | None = None


@config_class
class Relaxed:
    """A crystal that is relaxed at several pressures.

    Args:
        crystal: its measured cell.
        pressures: GPa.
        bulk_modulus: GPa, for a good start only.
        measured_at: pressure of the measured cell, GPa.
    """

    crystal: Crystal
    pressures: tuple[float, ...]
    bulk_modulus: float
    measured_at: float = 0.0


@config_class
class MetalTable:
    """``tables/metals.yaml``: the crystals, and on which side of the split each chemical system is."""

    sources: dict[str, str]
    prototypes: dict[str, Prototype]
    volume_ratios: tuple[float, ...]
    sweeps: tuple[Sweep, ...]
    relaxed: tuple[Relaxed, ...]
    splits: dict[Split, tuple[str, ...]]

    def crystal(self, sweep: Sweep) -> Crystal:
        """The crystal at V0.

        Raises:
            UnknownNameError: a prototype that is not in the table.
            ElfzooError: more places than occupants.
        """
        if sweep.prototype not in self.prototypes:
            raise UnknownNameError("prototype", sweep.prototype, self.prototypes)
        prototype = self.prototypes[sweep.prototype]
        occupants = dict(zip("XY", sweep.occupants or (sweep.formula,), strict=False))
        places = {site.split()[0] for site in prototype.sites}
        if places != set(occupants):
            raise ElfzooError(f"{sweep.formula}: {sweep.prototype} has the places {sorted(places)}; got {occupants}")
        sites = tuple(occupants[site[0]] + site[1:] for site in prototype.sites)
        source = self.sources.get(sweep.source, sweep.source)
        return Crystal(
            sweep.formula, sweep.prototype, prototype.space_group, a=sweep.a, c=sweep.c, sites=sites, source=source
        )


@cache
def table() -> MetalTable:
    """The table, read once."""
    with resources.as_file(resources.files("elfzoo.reference") / "tables" / "metals.yaml") as path:
        return read_yaml(MetalTable, Path(path))


def candidates(chemical_systems: Collection[str] | None = None) -> list[Candidate]:
    """The structures of the data set.

    Args:
        chemical_systems: of these only (``"Al"``, ``"Li-Mg"``); by default all of them.

    Raises:
        UnknownNameError: a chemical system that is not in the table.
    """
    for system in chemical_systems or ():
        split_of_metal(system)
    found = [*_swept(), *_relaxed()]
    return found if chemical_systems is None else [one for one in found if one.group in chemical_systems]


def split_of_metal(chemical_system: str) -> Split:
    """On which side of the split a chemical system (``"Al-Ni"``, elements in alphabetical order) is.

    Raises:
        UnknownNameError: it is not in the table.
    """
    for split, systems in table().splits.items():
        if chemical_system in systems:
            return split
    raise UnknownNameError(
        "metal", chemical_system, [known for systems in table().splits.values() for known in systems]
    )


def start_volume_ratio(relaxed: Relaxed, pressure: float) -> float:
    """Volume at a pressure in units of the measured one, by Murnaghan's equation of state."""
    high, low = (1 + BULK_MODULUS_SLOPE * p / relaxed.bulk_modulus for p in (pressure, relaxed.measured_at))
    return float((high / low) ** (-1 / BULK_MODULUS_SLOPE))


def _swept() -> Iterator[Candidate]:
    for sweep in table().sweeps:
        crystal = table().crystal(sweep)
        for ratio in table().volume_ratios:
            yield Candidate(
                name=f"{crystal.formula}_{crystal.prototype}_V{ratio:.1f}",
                group=Composition(crystal.formula).chemical_system,
                origin=f"{crystal.prototype} at V/V0 = {ratio:.1f}; V0 from {crystal.source}",
                make=partial(_at_volume, crystal, ratio),
                facts=_facts(crystal) | {"volume_ratio": ratio},
            )


def _relaxed() -> Iterator[Candidate]:
    for relaxed in table().relaxed:
        crystal = relaxed.crystal
        for pressure in relaxed.pressures:
            yield Candidate(
                name=f"{crystal.formula}_{crystal.label}_P{pressure:g}",
                group=Composition(crystal.formula).chemical_system,
                origin=f"{crystal.prototype} ({crystal.space_group}) at {pressure:g} GPa after {_source(crystal)}",
                make=partial(_at_volume, crystal, start_volume_ratio(relaxed, pressure)),
                relax=True,
                pressure=pressure,
                facts=_facts(crystal) | {"pressure_target": pressure},
            )


def _at_volume(crystal: Crystal, volume_ratio: float, parents: Mapping[str, Structure]) -> Structure:
    return scaled(crystal.structure(), volume_ratio)


def _facts(crystal: Crystal) -> dict[str, str]:
    return {"prototype": crystal.prototype, "space_group": crystal.space_group, "source": _source(crystal)}


def _source(crystal: Crystal) -> str:
    return table().sources.get(crystal.source, crystal.source)
