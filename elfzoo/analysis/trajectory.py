"""What the fields of a trajectory say, frame by frame: networking values and molecules against time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from elfzoo.analysis.hydrogen_network import hydrogen_network
from elfzoo.analysis.networking import Networking, networking
from elfzoo.analysis.tc import TcEstimate, hydrogen_fraction
from elfzoo.field import Field

__all__ = ["ROW", "FrameTopology", "track"]

ROW = (  # columns of a table of frames
    *("frame", "formula", "phi", "phi_h", "phi_1d", "phi_2d", "phi_3d", "phi_1d_all", "phi_2d_all", "phi_3d_all"),
    *("phi_h_1d", "phi_h_2d", "phi_h_3d", "phi_star", "phi_error", "exact", "at_saddle", "molecular_fraction"),
    *("molecular_isovalue", "h_fraction", "tc_K", "tc_is_upper_bound", "grid"),
)


@dataclass(frozen=True, eq=False)
class FrameTopology:
    """One frame of :func:`track`.

    Attributes:
        number: of the frame, from 0.
        networking: its networking values and φ*.
        molecular_fraction: share of the hydrogens linked in twos and to no other at ``isovalue``; None without any.
        isovalue: of the links.
        tc: critical temperature by the fit asked for; None without hydrogen.
    """

    number: int
    networking: Networking
    molecular_fraction: float | None
    isovalue: float
    tc: TcEstimate | None

    def row(self) -> dict[str, Any]:
        """One flat row of a table, its columns :data:`ROW`: JSON values, None where a number does not exist."""
        values = self.networking.to_dict()
        shape = values.pop("shape")
        return {
            "frame": self.number,
            "formula": self.networking.structure.composition.formula,
            **values,
            "molecular_fraction": self.molecular_fraction,
            "molecular_isovalue": self.isovalue,
            "h_fraction": hydrogen_fraction(self.networking.structure),
            "tc_K": None if self.tc is None else self.tc.tc,
            "tc_is_upper_bound": None if self.tc is None else self.tc.is_upper_bound,
            "grid": "x".join(map(str, shape)),
        }


def track(
    fields: Iterable[Field],
    spacing: float | None = 0.08,
    isovalue: float = 0.85,
    h_dos: float | None = None,
    formula: str = "belli2021",
) -> Iterator[FrameTopology]:
    """Follow a trajectory: each field is taken, searched and forgotten before the next one.

    Args:
        fields: any number of fields, of any structures.
        spacing: Å, of the cross-check; see :func:`elfzoo.analysis.networking`.
        isovalue: at or above which ELF links two hydrogens of a molecule, along the line between their nuclei.
        h_dos: hydrogen share of the density of states at the Fermi level, for the critical temperature.
        formula: name of the fit; see :func:`elfzoo.analysis.estimate_tc`.

    Raises:
        ElfzooError: what :func:`elfzoo.analysis.networking` and :func:`elfzoo.analysis.estimate_tc` refuse.
    """
    for number, field in enumerate(fields):
        found = networking(field, spacing)
        if 1 not in field.structure.atomic_numbers:
            yield FrameTopology(number, found, None, isovalue, None)
            continue
        fraction = hydrogen_network(field, isovalue).molecular_fraction
        yield FrameTopology(number, found, fraction, isovalue, found.tc(h_dos, formula))
