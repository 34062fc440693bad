"""What fields say, beside what their reference says: tables of networking values and critical points.

The values are those of :meth:`elfzoo.analysis.topology.TopologyComparison.to_dict`, of which records keep a part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elfzoo.analysis.topology import PHIS
from elfzoo.site.text import number, whole

__all__ = ["Lines", "networking_lines", "point_lines", "single_lines"]

Found = Mapping[str, Any]
Lines = list[tuple[str, ...]]  # the first is the head

TITLES = {
    "phi_1d": "φ in one direction",
    "phi_2d": "in two",
    "phi_3d": "in three: the networking value",
    "phi_h_3d": "without metal cores",
    "phi_star": "φ*, molecularity",
}


def networking_lines(found: Mapping[str, Found]) -> Lines:
    """Networking values of the reference, and those of each prediction, with the difference in parentheses."""
    reference = next(iter(found.values()))["reference"]
    known = [phi for phi in PHIS if reference.get(phi) is not None]
    lines: Lines = [("field", *(TITLES[phi] for phi in known))]
    lines.append(("reference", *(number(reference[phi]) for phi in known)))
    for name, one in found.items():
        lines.append((name, *(_predicted(reference[phi], one["delta"].get(phi)) for phi in known)))
    return lines


def point_lines(found: Found) -> Lines:
    """Critical points of one prediction: how many there are, and how many of them match."""
    lines: Lines = [("critical points", "reference", "prediction", "matched", "found", "real", "moved, Å")]
    for kind, row in found["points"].items():
        counts = (whole(row[name]) for name in ("reference", "prediction", "matched"))
        shares = (number(row[name], 3) for name in ("recall", "precision", "mean_displacement"))
        lines.append((kind, *counts, *shares))
    return lines


def single_lines(values: Found) -> Lines:
    """Networking values of one field."""
    known = [phi for phi in PHIS if values.get(phi) is not None]
    return [tuple(TITLES[phi] for phi in known), tuple(number(values[phi]) for phi in known)]


def _predicted(reference: float, delta: float | None) -> str:
    if delta is None:
        return number(None)
    return f"{number(reference + delta)} ({'+' if delta >= 0 else ''}{number(delta)})"
