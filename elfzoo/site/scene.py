"""What the viewer draws: the cell with its atoms, and fields small enough for a page.

A field is drawn on a grid of about :data:`FINEST` Å, coarser in large cells, so that it has at most :data:`POINTS`
points: those of the tricubic spline through its stored values (at stored points, the stored values). Values are rounded
to :data:`LEVELS` steps of their range. The viewer finds its surfaces between these points; numbers on the pages never
come from them but where they say so.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from jaxtyping import Float
from pymatgen.core import Structure
from scipy.spatial.transform import Rotation

from elfzoo.field import Field
from elfzoo.interpolate import resample
from elfzoo.quantity import quantity_of
from elfzoo.render import view_of
from elfzoo.site.rendering import script_value

__all__ = ["POINTS", "Canvas", "Shown", "field_script"]

Shape = tuple[int, int, int]

POINTS, FINEST = 200_000, 0.08  # Å
LEVELS = 4095
SHARE = 0.2  # of the volume, that lies above the isovalue at the start where nothing better is known
ATOM, ON_FACE = 0.2, 1e-3  # radius of an atom over the root of its covalent radius, Å; fraction of a cell edge
BRIGHTEST = 0.72  # of an atom's colour, so that hydrogen's white is seen on white


@dataclass(frozen=True)
class Shown:
    """A field that the viewer can show: its key, what it is called, and the script that has it (empty: the page)."""

    key: str
    label: str
    script: str = ""


@dataclass(frozen=True, eq=False)
class Canvas:
    """The grid and the range of values that the fields of one structure are drawn on.

    Args:
        field: the one that the others are compared with.
        shape: points along each axis.
        span: lowest and highest value drawn.
    """

    field: Field
    shape: Shape
    span: tuple[float, float]

    @classmethod
    def of(cls, *fields: Field) -> Canvas:
        """For these fields of one structure, the first of them the reference."""
        low, high = quantity_of(fields[0].quantity).span(*(field.values for field in fields))
        return cls(fields[0], _drawn_shape(fields[0]), (low, high if high > low else low + 1.0))

    def scene(
        self,
        shown: Sequence[Shown],
        phi: float | None = None,
        level: float | None = None,
        isovalue: float | None = None,
    ) -> dict[str, Any]:
        """What the viewer needs beside the fields.

        Args:
            shown: the reference, then predictions.
            phi: the networking value of the reference.
            level: of the residual's surfaces at the start; where it is more, or None, half of the largest residual.
            isovalue: at the start; None for φ, or where that is not known for what :data:`SHARE` of the volume exceeds.
        """
        quantity, start = quantity_of(self.field.quantity), phi if isovalue is None else isovalue
        if start is None:
            start = float(np.quantile(self.field.values, 1 - SHARE))
        return {
            **_cell(self.field.structure),
            "quantity": quantity.label,
            "low": self.span[0],
            "high": self.span[1],
            "isovalue": start,
            "phi": phi,
            "level": level,
            "drawn": " × ".join(map(str, self.shape)),
            "shown": [vars(one) for one in shown],
        }

    def packed(self, field: Field) -> dict[str, Any]:
        """A field for ``surface.js``: value = low + level (high - low) / :data:`LEVELS`.

        Levels are differences along the last axis, as uint16 with wrap-around, low bytes before high bytes, deflated.
        """
        low, high = self.span
        values = np.clip(resample(field, self.shape, "spline").values, low, high)
        levels = np.rint((values - low) / (high - low) * LEVELS).astype(np.uint16)
        steps = np.diff(levels, axis=2, prepend=np.uint16(0)).ravel()
        planes = np.concatenate([steps & 0xFF, steps >> 8]).astype(np.uint8)
        data = base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()
        return {"shape": list(self.shape), "low": low, "high": high, "levels": LEVELS, "data": data}


def field_script(key: str, packed: Mapping[str, Any]) -> str:
    """A script that hands a field to the viewer: pages that are opened from a disk can load nothing else."""
    return f"elfzoo.add({script_value(key)}, {script_value(packed)});\n"


def _drawn_shape(field: Field) -> Shape:
    """Points along each axis of the grid that a field is drawn on; as stored where that is fine enough and small."""
    lengths = field.structure.lattice.abc
    spacing = max(FINEST, (math.prod(lengths) / POINTS) ** (1 / 3))
    nx, ny, nz = (max(2, math.floor(length / spacing)) for length in lengths)
    fits = max(field.grid.spacing) <= 1.5 * FINEST and field.grid.size <= POINTS
    return field.grid.shape if fits else (nx, ny, nz)


def _cell(structure: Structure) -> dict[str, Any]:
    """Lattice (rows, Å), atoms of the closed cell, and the view that the pictures of :mod:`elfzoo.isosurface` have."""
    lattice = structure.lattice.matrix
    return {
        "lattice": lattice.round(5).tolist(),
        "atoms": _atoms(structure),
        "view": _view(lattice),
        "formula": structure.composition.formula,
    }


def _atoms(structure: Structure) -> list[dict[str, Any]]:
    """Atoms of the closed cell: those on its faces appear on all of them."""
    frac = structure.frac_coords % 1.0
    frac[frac > 1 - ON_FACE] -= 1
    images = frac[:, None] + list(product((0, 1), repeat=3))
    atom, image = np.nonzero((images < 1 + ON_FACE).all(axis=2))
    places = (images[atom, image] @ structure.lattice.matrix).round(4).tolist()
    return [
        {
            "element": structure[int(i)].specie.symbol,
            "position": place,
            "radius": round(float(ATOM * np.sqrt(covalent_radii[structure[int(i)].specie.Z])), 3),
            "colour": _colour(structure[int(i)].specie.Z),
        }
        for i, place in zip(atom, places, strict=True)
    ]


def _colour(z: int) -> str:
    """Jmol's, darkened where it is too bright."""
    colour = np.asarray(jmol_colors[z])
    colour = colour * min(1.0, BRIGHTEST / max(float(colour.mean()), 1e-9))
    return "#" + "".join(f"{round(255 * float(c)):02x}" for c in colour)


def _view(lattice: Float[np.ndarray, "3 3"]) -> list[float]:
    """Quaternion (x, y, z, w) that turns the crystal so that c is upright."""
    right, down, toward = view_of(lattice)
    turn = Rotation.from_matrix(np.stack([right, -down, toward]))
    return [round(float(q), 6) for q in turn.as_quat()]
