"""The critical points of a field as a table: counts, Morse sum, what was left out, JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from elfzoo.errors import ElfzooError
from elfzoo.io.files import write_bytes

__all__ = ["SIGNATURES", "CriticalPoints"]

SIGNATURES: Mapping[int, str] = MappingProxyType({-3: "(3,-3)", -1: "(3,-1)", 1: "(3,+1)", 3: "(3,+3)"})
COLUMNS = [
    *("signature", "value", "a", "b", "c", "x", "y", "z", "gradient_norm", "curvature_1", "curvature_2", "curvature_3"),
    *("on_plateau", "end_1", "shift_1", "end_2", "shift_2"),
]


@dataclass(frozen=True, eq=False)
class CriticalPoints:
    """Critical points, sorted by signature and descending value.

    Attributes:
        lattice: (3, 3) rows, Å.
        frac_coords: fractional coordinates in [0, 1).
        values: of the field.
        gradient_norms: per Å; 0 to rounding, but for plateaus.
        eigenvalues: of the Hessian, ascending, per Å².
        signatures: -3, -1, 1, 3 (see ``SIGNATURES``): rising minus falling directions.
        ends: for each (3,-1) the two maxima that its ascending gradient lines reach, for each (3,+1) the two minima
            that its descending ones reach, as indices of points; -1: the line is lost, -2: it enters an excluded core,
            -3: it ends on a plateau that is no extremum. -1 for maxima and minima themselves.
        end_shifts: lattice translation from the end's place in ``frac_coords`` to where the line really ends.
        on_plateau: the point stands for a plateau: a region where the data are flat and higher, or lower, than around.
        dropped: how many of what were left out (core cells, core points, plateau cells, undecided cells, lost lines)
            or cancelled (pairs of maximum and saddle, minimum and saddle, saddle and saddle).
    """

    lattice: Float[np.ndarray, "3 3"]
    frac_coords: Float[np.ndarray, "points 3"]
    values: Float[np.ndarray, " points"]
    gradient_norms: Float[np.ndarray, " points"]
    eigenvalues: Float[np.ndarray, "points 3"]
    signatures: Int[np.ndarray, " points"]
    ends: Int[np.ndarray, "points 2"]
    end_shifts: Int[np.ndarray, "points 2 3"]
    on_plateau: Bool[np.ndarray, " points"]
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return f"CriticalPoints({counts}; Morse sum {self.morse_sum})"

    @property
    def positions(self) -> Float[np.ndarray, "points 3"]:
        """Cartesian positions in the unit cell, Å."""
        return self.frac_coords @ self.lattice

    @property
    def counts(self) -> dict[str, int]:
        """Number of points by signature, (3,-3) first."""
        return {name: int((self.signatures == number).sum()) for number, name in SIGNATURES.items()}

    @property
    def morse_sum(self) -> int:
        """Maxima - (3,-1) + (3,+1) - minima: 0 on a torus when nothing is left out."""
        maxima, joins, rings, minima = self.counts.values()
        return maxima - joins + rings - minima

    @property
    def morse_reason(self) -> str | None:
        """What was left out where the Morse sum is not zero, or where nothing is kept of degenerate points, which
        cannot be told from what is kept; else None.
        """
        if self.morse_sum == 0 and not (len(self) == 0 and self.dropped.get("undecided cells")):
            return None
        causes = {
            "core cells": "cells inside of cores",
            "core points": "points inside of cores",
            "plateau cells": "flat cells",
            "undecided cells": "cells with a degenerate critical point",
        }
        found = [f"{self.dropped[key]} {text}" for key, text in causes.items() if self.dropped.get(key)]
        return f"left out: {', '.join(found)}" if found else "a nearly degenerate critical point was misjudged"

    def select(self, signature: int) -> Int[np.ndarray, " selected"]:
        """Indices of the points with a signature, -3, -1, 1 or 3."""
        if signature not in SIGNATURES:
            raise ElfzooError(f"signatures are -3, -1, 1 and 3; got {signature}")
        return np.flatnonzero(self.signatures == signature)

    def to_dict(self) -> dict[str, Any]:
        """JSON values: counts, Morse sum, what was dropped, and the points."""
        return {
            "counts": self.counts,
            "morse_sum": self.morse_sum,
            "morse_reason": self.morse_reason,
            "dropped": dict(self.dropped),
            "points": [self._point(i) for i in range(len(self))],
        }

    def to_csv(self, path: str | Path) -> Path:
        """Write one line per point, the columns of the table in :meth:`to_dict` spread out; ``.gz`` is packed."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for i in range(len(self)):
            ends = [x for side in (0, 1) for x in (self.ends[i, side], " ".join(map(str, self.end_shifts[i, side])))]
            numbers = [self.values[i], *self.frac_coords[i], *self.positions[i], self.gradient_norms[i]]
            row = [f"{x:.8g}" for x in (*numbers, *self.eigenvalues[i])]
            writer.writerow([SIGNATURES[int(self.signatures[i])], *row, int(self.on_plateau[i]), *ends])
        write_bytes(Path(path), [text.getvalue().encode()])
        return Path(path)

    def _point(self, i: int) -> dict[str, Any]:
        point = {
            "signature": SIGNATURES[int(self.signatures[i])],
            "value": float(self.values[i]),
            "frac_coords": self.frac_coords[i].tolist(),
            "gradient_norm": float(self.gradient_norms[i]),
            "eigenvalues": self.eigenvalues[i].tolist(),
            "on_plateau": bool(self.on_plateau[i]),
        }
        if abs(self.signatures[i]) == 1:
            point |= {"ends": self.ends[i].tolist(), "end_shifts": self.end_shifts[i].tolist()}
        return point
