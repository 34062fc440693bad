"""Tasks of speed: how long a model takes for a cell of dense fluid hydrogen."""

from __future__ import annotations

import hashlib
import json
from typing import ClassVar

import numpy as np
from pymatgen.core import Lattice, Structure

from elfzoo.config import config_class
from elfzoo.grid import Grid

__all__ = ["SpeedTask"]

SHIFT = 0.25  # of the lattice's spacing: the farthest that an atom is from its point, along each axis


@config_class
class SpeedTask:
    """A cell of hydrogen and a grid, of which every model predicts the whole field.

    Args:
        title: for tables.
        protocol: what is timed, in a sentence or two.
        atoms: of hydrogen, in a cube.
        edge: of the cube, Å.
        points: of the grid along each edge.
        whole_within: seconds; of a model that takes longer, only a part of the grid is timed.
        repeat: times that a job is timed, of which the best counts; no run begins after ``whole_within``.
        train: datasets whose training splits go to an entrant that asks for data.
    """

    title: str
    protocol: str
    atoms: int
    edge: float
    points: int
    whole_within: float = 60.0
    repeat: int = 3
    train: tuple[str, ...] = ()

    group_by: ClassVar[None] = None
    recipe: ClassVar[str] = ""
    measured: ClassVar[str] = "time, memory"
    on_request: ClassVar[bool] = True  # times of a busy machine are worthless, so nobody gets them unasked

    @property
    def data_sha256(self) -> dict[str, str]:
        """Of cell and grid, under the name of the one split: records are of this job and no other."""
        frac_coords = np.round(self.structure().frac_coords, 6).tolist()
        text = json.dumps([self.edge, self.points, frac_coords])
        return {"test": hashlib.sha256(text.encode()).hexdigest()}

    def structure(self, cells: int = 1) -> Structure:
        """Atoms near random points of a simple cubic lattice, repeated along x; always the same ones."""
        rng = np.random.default_rng(0)
        along = int(np.ceil(np.cbrt(self.atoms) - 1e-9))
        corners = np.stack(np.meshgrid(*[np.arange(along)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        kept = rng.permutation(len(corners))[: self.atoms]
        frac = (corners[kept] + 0.5 + SHIFT * rng.uniform(-1, 1, (self.atoms, 3))) / along
        structure = Structure(Lattice.cubic(self.edge), ["H"] * self.atoms, frac)
        structure.make_supercell([cells, 1, 1])
        return structure

    def grid(self, structure: Structure, share: float = 1.0) -> Grid:
        """The grid on a cell, or one with this share of its points along x."""
        along = max(1, round(self.points * share))
        return Grid((along, self.points, self.points), structure.lattice.matrix)
