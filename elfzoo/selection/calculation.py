"""How the chosen structures are to be computed: as the labels of a release were, as far as the program allows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pymatgen.core import Structure

from elfzoo.card import Card
from elfzoo.errors import ElfzooError, UnknownNameError
from elfzoo.reference.engines import Settings
from elfzoo.reference.engines.base import label_grid
from elfzoo.reference.recipe import ReferenceRecipe, find_recipe, recipe_names
from elfzoo.symmetry import standardise

__all__ = ["PROGRAMS", "Calculation", "calculation_for", "fit_for_labels"]

PROGRAMS = MappingProxyType({"espresso": "Quantum ESPRESSO", "vasp": "VASP", "gpaw": "GPAW"})
PAW_CUTOFF = 800.0  # eV; of the labels by GPAW, and above what any PBE set of VASP asks for
PAW_WINDOW = (12.0, 14.0)  # rad/Å; such orbitals end at 14.5
NORM_CONSERVING_CUTOFF = 1360.5693  # eV, 100 Ry; of the labels by Quantum ESPRESSO
NORM_CONSERVING_WINDOW = (14.0, 18.0)  # rad/Å; such orbitals end at 18.9
HYDROGEN_SET, ANY_SET = "GTH-PBE-q1", "GTH-PBE"
FAMILY = MappingProxyType({HYDROGEN_SET: ANY_SET, ANY_SET: ANY_SET, "gpaw-data": "gpaw-data"})  # hydrogen's is the same


@dataclass(frozen=True)
class Calculation:
    """How every chosen structure is computed.

    Attributes:
        program: that computes: ``"espresso"``, ``"vasp"`` or ``"gpaw"``.
        settings: cutoff, smearing, k-points, grid; ``settings.engine`` is not looked at.
        recipe: name of the recipe of elfzoo that they are from.
        labels: how the release's labels were made, in words, one line for each way.
        same: whether its labels of such matter, of hydrogen alone or with other elements, were made by this program,
            with this set of pseudopotentials; of all matter to be computed.
    """

    program: str
    settings: Settings
    recipe: str
    labels: tuple[str, ...] = ()
    same: bool = True


def calculation_for(
    card: Card | None,
    program: str,
    structures: Iterable[Structure] = (),
    *,
    recipe: str | None = None,
    cutoff: float | None = None,
    k_spacing: float | None = None,
    pseudopotential: str | None = None,
) -> Calculation:
    """The settings of a release's labels, for a program.

    They are those of the recipe (:mod:`elfzoo.reference.recipe`) by which labels of such matter are made, of hydrogen
    alone or with other elements; of several, that with the densest k-points: a fluid's would be too few for a small
    cell.

    Args:
        card: of the release; None for a model without one.
        program: ``"espresso"``, ``"vasp"`` or ``"gpaw"``.
        structures: to be computed; what elements there are decides about the set of pseudopotentials.
        recipe: another recipe, by name.
        cutoff: eV, instead of the recipe's.
        k_spacing: rad/Å, instead of the recipe's, and centred on Γ.
        pseudopotential: a set of elfzoo, or a pattern of file names such as ``"{element}.upf"``: Quantum ESPRESSO only.

    Raises:
        UnknownNameError: no such program or recipe.
        ElfzooError: pseudopotentials of a program that is told nothing of them here, or no pattern; a cutoff or spacing
            that is not positive.
    """
    if program not in PROGRAMS:
        raise UnknownNameError("program", program, PROGRAMS)
    if pseudopotential is not None and program != "espresso":
        raise ElfzooError(f"{PROGRAMS[program]} takes potentials of its own; got pseudopotential={pseudopotential!r}")
    for name, value, unit in (("cutoff", cutoff, "eV"), ("k_spacing", k_spacing, "rad/Å")):
        if value is not None and not 0 < value < math.inf:
            raise ElfzooError(f"{name} is a positive number of {unit}; got {value}")
    _require_pattern(pseudopotential)
    learned, structures = _learned_from(card), list(structures)
    of_such = [part for of_one in _by_matter(learned, structures) for part in of_one]
    chosen = find_recipe(recipe) if recipe else _densest(of_such, program)
    settings = _for_program(chosen.label, program, structures)
    changes: dict[str, Any] = {} if k_spacing is None else {"k_spacing": k_spacing, "k_mesh": None, "k_shift": False}
    changes |= {} if cutoff is None else {"cutoff": cutoff}
    changes |= {} if pseudopotential is None else {"pseudopotential": pseudopotential}
    settings = replace(settings, **changes)
    same = all(_same(card, part, program, settings) for part in _by_matter(learned, structures))
    return Calculation(program, settings, chosen.dataset, _ways(card, learned), same)


def fit_for_labels(structure: Structure, settings: Settings) -> tuple[Structure, str]:
    """The structure on a cell whose space group maps some grid onto itself, and what was done to it, if anything.

    Labels of Quantum ESPRESSO and GPAW are on such a grid. Where the origin lies off the symmetry elements, the
    standard primitive cell is taken, which has the same field.
    """
    try:
        label_grid(structure, settings)
    except ElfzooError:
        return standardise(structure), "in its standard primitive cell: the origin was off the symmetry elements"
    return structure, ""


def _learned_from(card: Card | None) -> list[ReferenceRecipe]:
    """Recipes of the data sets that a release learned from; of those by the engine of its card where it names none."""
    known = {name: find_recipe(name) for name in recipe_names()}
    of_elf = {name: part for name, part in known.items() if part.label.quantity == "elf"}
    if card is None:
        return []
    names = {part["dataset"] for part in card.training.get("config", {}).get("train", [])}
    found = [part for name, part in of_elf.items() if name in names]
    return found or [part for part in of_elf.values() if (card.engine or "").startswith(PROGRAMS[part.label.engine])]


def _by_matter(learned: Sequence[ReferenceRecipe], structures: Sequence[Structure]) -> list[Sequence[ReferenceRecipe]]:
    """For hydrogen alone and for other matter, where there are such structures: the recipes of such labels, or all."""
    of_hydrogen = [part for part in learned if part.label.pseudopotential == HYDROGEN_SET]
    others = [part for part in learned if part.label.pseudopotential != HYDROGEN_SET]
    alone = {structure.symbol_set == ("H",) for structure in structures}
    return [
        of_such or learned for is_alone, of_such in ((True, of_hydrogen), (False, others)) if is_alone in alone
    ] or [learned]


def _require_pattern(pseudopotential: str | None) -> None:
    try:
        str(pseudopotential).format(element="H")
    except (LookupError, ValueError, AttributeError):
        raise ElfzooError(
            f"potentials are a set of elfzoo or a pattern such as '{{element}}.upf'; got {pseudopotential!r}"
        ) from None


def _densest(learned: Sequence[ReferenceRecipe], program: str) -> ReferenceRecipe:
    """Of the recipes that make such labels, by this program where there is one, that with the densest k-points."""
    ways = {(part.label.engine, part.label.pseudopotential) for part in learned}
    every = [part for part in map(find_recipe, recipe_names()) if part.label.quantity == "elf"]
    alike = [part for part in every if (part.label.engine, part.label.pseudopotential) in ways] or every
    own = [part for part in alike if part.label.engine == program] or alike
    return min(own, key=lambda part: (part.label.k_spacing or 0.0, part.label.k_shift, part.dataset))


def _for_program(label: Settings, program: str, structures: Iterable[Structure]) -> Settings:
    """A recipe's settings where another program, or other elements, ask for another cutoff or set."""
    if program == "espresso":
        hydrogen = {"H"} == {site.specie.symbol for structure in structures for site in structure}
        name = label.pseudopotential if label.engine == "espresso" else ANY_SET
        name = HYDROGEN_SET if hydrogen and name == ANY_SET else name
        name = ANY_SET if not hydrogen and name == HYDROGEN_SET else name
        if label.engine != "espresso":
            label = replace(label, cutoff=NORM_CONSERVING_CUTOFF, low_pass=NORM_CONSERVING_WINDOW)
        return replace(label, engine="espresso", pseudopotential=name)
    if label.engine != "gpaw":
        label = replace(label, cutoff=PAW_CUTOFF, low_pass=PAW_WINDOW)
    return replace(label, engine="gpaw", pseudopotential="gpaw-data")


def _same(card: Card | None, learned: Sequence[ReferenceRecipe], program: str, settings: Settings) -> bool:
    """Whether the labels were made by this program with these potentials; of VASP a card tells its name alone."""
    if not learned:
        return card is not None and (card.engine or "").startswith(PROGRAMS[program])
    made_by = {(part.label.engine, FAMILY.get(part.label.pseudopotential)) for part in learned}
    return (program, FAMILY.get(settings.pseudopotential)) in made_by


def _ways(card: Card | None, learned: Sequence[ReferenceRecipe]) -> tuple[str, ...]:
    ways: dict[tuple[str, str, str], list[str]] = {}
    for part in learned:
        label = part.label
        ways.setdefault((PROGRAMS[label.engine], label.functional, label.pseudopotential), []).append(part.dataset)
    if not ways and card is not None and card.engine:
        return (f"{card.engine}, {card.functional}, {card.pseudopotential}",)
    return tuple(f"{', '.join(way)} ({', '.join(names)})" for way, names in ways.items())
