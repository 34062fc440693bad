"""Hydrides under pressure: relaxed crystals, and what is made of them by compression, strain and displacement."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pymatgen.core import Structure

from elfzoo.config import config_class, read_yaml
from elfzoo.errors import UnknownNameError
from elfzoo.reference.candidate import Candidate
from elfzoo.reference.prototypes import (
    Crystal,
    build,
    rattled,
    same_composition,
    scaled,
    seed_of,
    strained,
)
from elfzoo.symmetry import standardise

__all__ = ["Hydride", "HydrideTable", "candidates", "split_of_hydride", "table"]

Split = Literal["train", "val", "test"]


@config_class
class Hydride:
    """One composition and the structures that are made of it.

    Args:
        pressure: at which it is relaxed, GPa.
        crystal: where the relaxation starts.
        volume_ratios: volumes in units of the relaxed one, equally shaped; each is another pressure.
        strains: see :func:`elfzoo.reference.prototypes.strained`.
        rattles: root mean square displacements, Å; see :func:`elfzoo.reference.prototypes.rattled`.
    """

    pressure: float
    crystal: Crystal
    volume_ratios: tuple[float, ...] = (0.95, 1.06)
    strains: tuple[float, ...] = (0.04,)
    rattles: tuple[float, ...] = (0.05, 0.10)


@config_class
class HydrideTable:
    """``tables/hydrides.yaml``: the compositions, and on which side of the split each one is."""

    hydrides: tuple[Hydride, ...]
    splits: dict[Split, tuple[str, ...]]


@cache
def table() -> HydrideTable:
    """The table, read once."""
    with resources.as_file(resources.files("elfzoo.reference") / "tables" / "hydrides.yaml") as path:
        return read_yaml(HydrideTable, Path(path))


def candidates(formulas: Collection[str] | None = None) -> list[Candidate]:
    """The structures of the data set, each parent before its children.

    Args:
        formulas: of these compositions only, written as in the table; by default all of them.

    Raises:
        UnknownNameError: a formula that is not in the table.
    """
    known = {hydride.crystal.formula: hydride for hydride in table().hydrides}
    for formula in formulas or ():
        if formula not in known:
            raise UnknownNameError("hydride", formula, known)
    wanted = known if formulas is None else formulas
    return [candidate for formula, hydride in known.items() if formula in wanted for candidate in _family(hydride)]


def split_of_hydride(formula: str) -> Split:
    """On which side of the split a composition is, however its formula is written.

    Raises:
        UnknownNameError: no hydride of the table has this composition.
    """
    for split, formulas in table().splits.items():
        if any(same_composition(formula, known) for known in formulas):
            return split
    raise UnknownNameError("hydride", formula, [known for formulas in table().splits.values() for known in formulas])


def _family(hydride: Hydride) -> Iterator[Candidate]:
    """The relaxed crystal and its children."""
    crystal = hydride.crystal
    stem = f"{crystal.formula}_{crystal.label}"
    yield Candidate(
        name=f"{stem}_eq",
        group=crystal.formula,
        origin=f"{crystal.prototype} ({crystal.space_group}) at {hydride.pressure:g} GPa after {crystal.source}",
        make=partial(build, crystal),
        relax=True,
        pressure=hydride.pressure,
        facts=_facts(hydride),
    )
    for ratio in hydride.volume_ratios:
        yield _child(hydride, f"v{ratio:.2f}", partial(scaled, volume_ratio=ratio), volume_ratio=ratio)
    for strain in hydride.strains:
        yield _child(hydride, f"strain{strain:.2f}", partial(strained, strain=strain), strain=strain)
    for amplitude in hydride.rattles:
        seed = seed_of(f"{stem}_rattle{amplitude:.2f}")
        change = partial(rattled, amplitude=amplitude, seed=seed)
        yield _child(hydride, f"rattle{amplitude:.2f}", change, rattle_A=amplitude, seed=seed)


def _child(hydride: Hydride, suffix: str, change: Callable[[Structure], Structure], **facts: Any) -> Candidate:
    stem = f"{hydride.crystal.formula}_{hydride.crystal.label}"
    what = ", ".join(f"{key} {value:g}" if key != "seed" else f"seed {value}" for key, value in facts.items())
    return Candidate(
        name=f"{stem}_{suffix}",
        group=hydride.crystal.formula,
        origin=f"{stem}_eq changed: {what}",
        make=partial(_changed, f"{stem}_eq", change),
        needs=(f"{stem}_eq",),
        facts=_facts(hydride) | facts,
    )


def _changed(parent: str, change: Callable[[Structure], Structure], parents: Mapping[str, Structure]) -> Structure:
    return change(standardise(parents[parent]))


def _facts(hydride: Hydride) -> dict[str, Any]:
    """Entries of the record; prototype, space group and pressure are those of the relaxed crystal."""
    crystal = hydride.crystal
    return {
        "prototype": crystal.prototype,
        "space_group": crystal.space_group,
        "pressure_target": hydride.pressure,
        "source": crystal.source,
    }
