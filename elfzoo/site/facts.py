"""What is known of an entrant, a measurement or a structure, as names and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elfzoo.field import Field
from elfzoo.site.tables import learned_from
from elfzoo.site.text import joined, number, whole, words

__all__ = ["Facts", "entrant_facts", "measurement_facts", "structure_facts"]

Record = Mapping[str, Any]
Facts = list[tuple[str, str]]


def entrant_facts(record: Record) -> Facts:
    """Architecture, training and hashes, as far as the record has them."""
    facts = record.get("entrant", {})
    seconds, parameters = facts.get("training_seconds"), facts.get("parameters")
    return _known(
        ("architecture", facts.get("architecture")),
        ("sees", facts.get("sees")),
        ("parameters", parameters and whole(parameters)),
        ("learned from", learned_from(record)),
        ("elements in training", ", ".join(facts.get("elements") or ())),
        ("training", seconds and f"{seconds:g} s on {facts.get('training_hardware') or 'unknown hardware'}"),
        ("seed", facts.get("seed")),
        ("source", facts.get("source")),
        ("SHA-256 of the source", facts.get("source_sha256")),
        ("SHA-256 of the weights", record.get("weights_sha256")),
    )


def measurement_facts(record: Record) -> Facts:
    """When, where and with what a record was made."""
    cost = record.get("cost", {})
    return _known(
        ("measured", record.get("date")),
        ("elfzoo", record.get("elfzoo")),
        ("torch", record.get("torch")),
        ("hardware", record.get("hardware")),
        ("predicting", _with_unit(cost.get("seconds"), "s")),
        ("measuring", _with_unit(cost.get("measuring_seconds"), "s")),
        ("processor time", _with_unit(cost.get("cpu_seconds"), "s")),
        ("largest memory", _with_unit(cost.get("peak_rss_gib"), "GiB")),
        ("elements never seen in training", ", ".join(record.get("unknown_elements") or ())),
        ("SHA-256 of the data", record["data_sha256"]),
    )


def structure_facts(row: Record, field: Field | None, group_by: str | None = None) -> Facts:
    """Composition and group, and the cell where the reference is there."""
    lattice = None if field is None else field.structure.lattice
    recipe = None if field is None else field.recipe
    return _known(
        ("formula", row.get("formula")),
        ("atoms in the cell", row.get("atoms")),
        (words(group_by or "group"), row.get("group")),
        ("edges", lattice and ", ".join(number(x, 3) for x in lattice.abc) + " Å"),
        ("angles", lattice and ", ".join(number(x, 2) + "°" for x in lattice.angles)),
        ("grid", " × ".join(map(str, row.get("grid", ())))),
        ("recipe", recipe and joined([recipe.engine, recipe.functional, recipe.pseudopotential])),
    )


def _known(*pairs: tuple[str, Any]) -> Facts:
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def _with_unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:.4g} {unit}"
