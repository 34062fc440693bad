"""Fluid snapshots with a hole in them: what a model of dense hydrogen has to know of empty space.

Crystals with wide voids have points 1.5 to 2.5 Å away from every atom; no snapshot of a dense fluid has any. The atoms
around a random point are taken out, whole molecules at a time, and the rest stays where it was: the walls of the hole
are the fluid's own molecules, and the label is DFT's of exactly these atoms.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from pymatgen.core import Structure

from elfzoo.config import config_class
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.reference.candidate import Candidate, StructureSource
from elfzoo.reference.existing import source_facts, stored_structures

__all__ = ["CavitySource", "hollowed"]


@config_class
class CavitySource(StructureSource):
    """Stored snapshots of a fluid, each with one hole.

    Args:
        dataset: the snapshots' data set; found where :class:`elfzoo.datasets.FieldDataset` looks.
        trajectories: the parts of its files' names that are used, such as ``_A_``. Those that a model is tested on are
            no part of a training set, with a hole or without.
        radii: Å, of the holes, in turn.
        seed: of their places.
    """

    kind: Literal["cavity"]
    dataset: str
    trajectories: tuple[str, ...]
    radii: tuple[float, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.radii or min(self.radii) <= 0:
            raise ConfigError(f"holes need radii above zero; got {list(self.radii)}")

    def candidates(self, out: Path) -> list[Candidate]:
        """One for each snapshot, in the order of their names.

        Raises:
            ElfzooError: the data set is not there, or has none of the trajectories.
        """
        found = [item for item in self._snapshots() if any(part in item[0].stem for part in self.trajectories)]
        if not found:
            raise ElfzooError(f"{self.dataset} has no snapshot of {', '.join(self.trajectories)}")
        return [self._candidate(number, *item) for number, item in enumerate(found)]

    def _snapshots(self) -> Iterator[tuple[Path, Structure, dict[str, Any]]]:
        yield from stored_structures(self.dataset)

    def _candidate(self, number: int, path: Path, structure: Structure, meta: Mapping[str, Any]) -> Candidate:
        radius = self.radii[number % len(self.radii)]
        # of the snapshot's name: the place stays when others are added
        centre = np.random.default_rng([self.seed, zlib.crc32(path.stem.encode())]).random(3)
        place = ", ".join(f"{x:.4f}" for x in centre)
        return Candidate(
            name=path.stem.replace("fluid", "cavity", 1),
            group=str(meta.get("group", path.stem)),
            origin=f"the snapshot {self.dataset}/{path.name} without the molecules within {radius} Å of ({place})",
            make=partial(_make, structure, centre, radius),
            facts=source_facts(self.dataset, path, meta)
            | {"cavity_radius_A": radius, "cavity_centre": centre.tolist()},
        )


def hollowed(structure: Structure, centre: Float[np.ndarray, 3], radius: float) -> Bool[np.ndarray, " atoms"]:
    """Which atoms stay when those within ``radius`` of a point go, whole molecules at a time.

    Two atoms are a molecule when each is the other's nearest neighbour; a molecule goes when either of its atoms is
    inside. The number that goes is even, so that the number of electrons stays even: where it would be odd, the nearest
    of the atoms that belong to no molecule, or else the nearest molecule's nearer atom, goes too.

    Args:
        structure: any cell.
        centre: fractional coordinates.
        radius: Å.

    Raises:
        ElfzooError: no atom would go, or none would stay.
    """
    inside = structure.lattice.get_all_distances(centre[None], structure.frac_coords)[0]
    between = structure.distance_matrix + np.diag(np.full(len(structure), np.inf))
    nearest = between.argmin(axis=1)
    partner = np.where(nearest[nearest] == np.arange(len(structure)), nearest, np.arange(len(structure)))
    gone = np.minimum(inside, inside[partner]) <= radius
    if gone.sum() % 2:
        single = np.flatnonzero(~gone & (partner == np.arange(len(structure))))
        left = single if len(single) else np.flatnonzero(~gone)
        gone[left[inside[left].argmin()]] = True
    if not gone.any() or gone.all():
        raise ElfzooError(f"a hole of {radius} Å takes {int(gone.sum())} of {len(structure)} atoms; expected some")
    return ~gone


def _make(structure: Structure, centre: np.ndarray, radius: float, _: Mapping[str, Structure]) -> Structure:
    keep = hollowed(structure, centre, radius)
    return Structure.from_sites([site for site, stays in zip(structure, keep, strict=True) if stays])
