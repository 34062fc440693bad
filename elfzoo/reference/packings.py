"""Random packings of hydrogen atoms: neighbours at distances, and in numbers, that no equilibrated fluid shows.

A dense fluid near 1500 K has every atom's nearest neighbour between 0.65 and 1.2 Å, and never three atoms within 0.9 Å
of each other. Crystals have both: atoms with six neighbours at 1.3 Å, rings and cubes with sides of 0.8 Å. Here atoms
are thrown into a cubic cell and pushed apart until no two are closer than a chosen distance, and none is in a sphere
left empty. Nothing is relaxed and nothing is symmetric: no crystal is among them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from pymatgen.core import Lattice, Structure

from elfzoo.config import config_class
from elfzoo.errors import ConfigError, ElfzooError
from elfzoo.reference.candidate import Candidate, StructureSource

__all__ = ["PackingSource", "packed"]

STEPS = 5000
SLACK = 1e-3  # Å, that atoms are pushed apart beyond their distance, so that the last overlaps end, too
SHIFTS = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


@config_class
class PackingSource(StructureSource):
    """Random packings of H, the settings of each taken in turn.

    Args:
        count: number of packings.
        atoms: per cell; even, so that the number of electrons is.
        packings: ``[volume per atom in Å³, shortest distance in Å, radius of an empty sphere in Å]`` of each kind.
        seed: of the places.
    """

    only_choose: ClassVar[tuple[str, ...]] = ("count",)
    kind: Literal["packing"]
    count: int
    atoms: int
    packings: tuple[tuple[float, float, float], ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or self.atoms < 2 or self.atoms % 2:
            raise ConfigError(f"expected a count above zero, an even number of atoms; got {self.count}, {self.atoms}")
        for volume, closest, void in self.packings:
            if volume <= 0 or closest <= 0 or void < 0:
                raise ConfigError(f"no packing has {volume} Å³ per atom, {closest} Å between atoms, a void of {void} Å")
        if not self.packings:
            raise ConfigError("expected packings, each [volume per atom, shortest distance, radius of void]; got none")

    def candidates(self, out: Path) -> list[Candidate]:
        """In the order of their numbers; a name is ``packing_{number}``."""
        return [self._candidate(number) for number in range(self.count)]

    def _candidate(self, number: int) -> Candidate:
        name, (volume, closest, void) = f"packing_{number:03d}", self.packings[number % len(self.packings)]
        rng = partial(np.random.default_rng, [self.seed, zlib.crc32(name.encode())])
        return Candidate(
            name=name,
            group=name,
            origin=(
                f"{self.atoms} atoms at random in {volume} Å³ each, none within {closest} Å of another or {void} Å of "
                f"the centre of a hole; seed {self.seed}, number {number}"
            ),
            make=partial(_make, rng, self.atoms, volume, closest, void),
            facts={"volume_per_atom_A3": volume, "shortest_distance_A": closest, "void_radius_A": void},
        )


def packed(atoms: int, volume: float, closest: float, void: float, rng: np.random.Generator) -> Structure:
    """Atoms at random places in a cubic cell, pushed apart until all keep their distances.

    Args:
        atoms: number of H.
        volume: per atom, Å³.
        closest: distance that atoms and their periodic images keep, Å.
        void: distance that they keep from one point, Å.
        rng: of the places.

    Raises:
        ElfzooError: no such packing found; they are too large for the cell.
    """
    edge = (atoms * volume) ** (1 / 3)
    if max(closest, void) >= edge / 2:
        raise ElfzooError(f"a cell of {edge:.2f} Å is too small for distances of {closest} and {void} Å between images")
    coords, centre = rng.random((atoms, 3)) * edge, rng.random(3) * edge
    for _ in range(STEPS):
        (push, overlap), (out, inside) = (_apart(coords, *of, edge) for of in ((coords, closest), (centre[None], void)))
        if overlap <= 0 and inside <= 0:
            return Structure(Lattice.cubic(edge), ["H"] * atoms, coords / edge % 1)
        coords = coords + push / 2 + out
    raise ElfzooError(
        f"{atoms} atoms in {volume} Å³ each do not keep {closest} Å from each other and {void} Å from a point after "
        f"{STEPS} steps; expected a smaller distance or a larger volume"
    )


def _apart(
    coords: Float[np.ndarray, "n 3"], others: Float[np.ndarray, "m 3"], distance: float, edge: float
) -> tuple[Float[np.ndarray, "n 3"], float]:
    """What moves each point out of the reach of all others' images (its own place is none of them); largest overlap."""
    between = coords[:, None, None] - others[None, :, None] - SHIFTS * edge
    between -= edge * np.round((coords[:, None] - others[None]) / edge)[:, :, None]
    length = np.linalg.norm(between, axis=-1)
    length[length == 0] = np.inf
    share = np.clip(distance + SLACK - length, 0, None) / length
    return (between * share[..., None]).sum(axis=(1, 2)), float(distance - length.min())


def _make(rng: Any, atoms: int, volume: float, closest: float, void: float, _: Mapping[str, Structure]) -> Structure:
    return packed(atoms, volume, closest, void, rng())
