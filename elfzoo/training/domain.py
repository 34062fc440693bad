"""What the structures of a training run are like."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pymatgen.core import Structure

from elfzoo.card import Domain
from elfzoo.field import Field
from elfzoo.posterior import group_of
from elfzoo.training.config import DataConfig
from elfzoo.training.points import choose
from elfzoo.transforms.atom_graph import atom_edges

__all__ = ["domain_of", "nearest_distances", "training_domain"]

FIRST_REACH = 1.5  # Å; doubled until every atom has a neighbour


def training_domain(parts: Iterable[DataConfig], root: str | None = None) -> Domain:
    """Of the structures that a configuration trains on.

    Raises:
        ElfzooError: an empty split, or data that are not there.
    """
    return domain_of(sample.field for part in parts for sample in choose(part, root)[1])


def domain_of(fields: Iterable[Field]) -> Domain:
    """Of the structures of some labelled fields, at least one."""
    kinds, volumes, distances, pressures = [], [], [], []
    for field in fields:
        kinds.append(group_of(field.structure.symbol_set))
        volumes.append(field.structure.volume / len(field.structure))
        distances.append(nearest_distances(field.structure))
        if (pressure := field.meta.get("pressure_GPa")) is not None:
            pressures.append(float(pressure))

    def ranges(kind: str | None) -> dict[Any, tuple[float, float]]:
        own = [i for i, found in enumerate(kinds) if kind in (None, found)]
        nearest = np.concatenate([distances[i] for i in own])
        return {"volume_per_atom": _range(volumes[i] for i in own), "nearest_distance": _range(nearest)}

    several = sorted(set(kinds)) if len(set(kinds)) > 1 else []
    return Domain(
        structures=len(volumes),
        **ranges(None),
        pressure=_range(pressures) if pressures else None,
        groups={kind: ranges(kind) for kind in several},
    )


def nearest_distances(structure: Structure) -> np.ndarray:
    """Distance of each atom from its nearest neighbour or image, Å."""
    positions, lattice = structure.cart_coords, structure.lattice.matrix
    reach, nearest = FIRST_REACH, np.full(len(structure), np.inf)
    while not np.isfinite(nearest).all():
        (sender, receiver), shift = atom_edges(positions, lattice, reach)
        np.minimum.at(nearest, receiver, np.linalg.norm(positions[sender] + shift - positions[receiver], axis=1))
        reach *= 2
    return nearest


def _range(values: Iterable[float] | np.ndarray) -> tuple[float, float]:
    found = np.asarray(list(values))
    return round(float(found.min()), 4), round(float(found.max()), 4)
