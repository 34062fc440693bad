"""From a label to a field with its record: every key that a stored reference field carries, in one place."""

from __future__ import annotations

from typing import Any

from elfzoo.field import Field, Recipe
from elfzoo.quantity import quantity_of
from elfzoo.reference.candidate import Candidate
from elfzoo.reference.engines import Label, Relaxation
from elfzoo.reference.engines.base import k_spacing
from elfzoo.reference.molecular import BOLTZMANN
from elfzoo.reference.recipe import ReferenceRecipe

__all__ = ["kinetic_pressure", "reference_field"]

EV_PER_A3 = 160.21766208  # GPa


def kinetic_pressure(temperature: float, volume_per_atom: float) -> float:
    """n k T, GPa, which the stress of a DFT code leaves out. Temperature in K, volume in Å³."""
    return BOLTZMANN * temperature / volume_per_atom * EV_PER_A3


def reference_field(
    label: Label, candidate: Candidate, recipe: ReferenceRecipe, relaxation: Relaxation | None
) -> Field:
    """The field of a label with its record in ``meta``.

    Args:
        label: what the engine gave.
        candidate: what was asked for; its fact ``temperature_K``, if any, is that of the ions.
        recipe: what it was made by.
        relaxation: what came before the label, if anything.
    """
    settings, structure = recipe.label, label.structure
    temperature = candidate.facts.get("temperature_K")
    volume = structure.volume / len(structure)
    kinetic = kinetic_pressure(temperature, volume) if temperature else 0.0
    space_group, number = structure.get_space_group_info(symprec=1e-3)
    meta: dict[str, Any] = {
        "dataset": recipe.dataset,
        "group": candidate.group,
        "origin": candidate.origin,
        **candidate.facts,
        **label.facts,
        "functional": settings.functional,
        "pseudopotential": settings.pseudopotential,
        "cutoff_eV": settings.cutoff,
        "k_spacing": round(k_spacing(settings, structure), 6),
        "k_shift": settings.k_shift,
        "smearing": settings.smearing,
        "smearing_width_eV": settings.smearing_width,
        "temperature_K": temperature,
        "pressure_GPa": round(label.stress_pressure + kinetic, 4),
        "pressure_stress_GPa": round(label.stress_pressure, 4),
        "pressure_kinetic_GPa": round(kinetic, 4),
        "energy_eV": label.energy,
        "largest_force_eV_A": round(label.largest_force, 6),
        "scf_converged": True,
        "scf_tolerance_eV_atom": settings.convergence,
        "spin": "none",
        "space_group": f"{space_group} ({number})",
        "volume_per_atom_A3": round(volume, 6),
        "relaxation": _relaxation(relaxation),
        "recipe_hash": recipe.hash,
    }
    field = Field(label.values, structure, label.quantity, Recipe.from_meta(meta), meta=meta)
    if quantity_of(label.quantity).counts_electrons:
        meta["electrons"] = round(field.integral, 6)
    return field


def _relaxation(relaxation: Relaxation | None) -> dict[str, Any] | None:
    if relaxation is None:
        return None
    return {"converged": relaxation.converged, "steps": relaxation.steps, **relaxation.facts}
