"""What the records of an entrant on crystals say to Fig. 3, Table 1 and Table S1 of Wang et al. (2026)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paper_numbers as paper
from paper_fluid import MIDDLE
from paper_numbers import Example, Finding, error, r2, statement

from elfzoo.analysis.tc import FORMULAS, estimate_tc

__all__ = ["CUBIC", "HEXAGONAL", "SYSTEMS", "Chosen", "chosen", "crystals", "statistics", "temperature", "temperatures"]

CUBIC, HEXAGONAL = "crystal-h-cubic", "crystal-h-hexagonal"
SYSTEMS = {CUBIC: "cubic", HEXAGONAL: "hexagonal"}
FORMULA = "belli2021"  # that of Table 1
CLOSE = 0.1  # to the middle
MOLECULAR = 0.3  # networking value; that of I2₁3, all molecules, is 0.23

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Chosen:
    """A crystal that stands for a panel of Figs. 3D to F: its task, its row in the record, and why it is chosen."""

    task: str
    row: Row
    why: str

    @property
    def example(self) -> Example:
        """As the paper annotates its own."""
        voxels, (phi, predicted) = self.row["voxels"], networking_values(self.row)
        name = Path(self.row["file"]).stem
        return Example(name, SYSTEMS[self.task], self.why, voxels["r2"], voxels["r2_correlated"], phi, predicted)


def networking_values(row: Row) -> tuple[float, float] | None:
    """φ of the reference and predicted, where both are known."""
    reference, delta = (row["topology"][key]["phi_3d"] for key in ("reference", "delta"))
    return None if reference is None or delta is None else (reference, reference + delta)


def known(record: Row) -> list[Row]:
    """The crystals of which all is known that Fig. 3 shows."""
    return [
        row
        for row in record["structures"]
        if networking_values(row) and None not in (row["voxels"]["r2"], row["voxels"]["r2_correlated"])
    ]


def crystals(system: str, record: Row) -> list[Finding]:
    """Figs. 3A to C, of one crystal system."""
    rows, metrics = known(record), record["metrics"]
    identity, correlated = (np.array([row["voxels"][key] for row in rows]) for key in ("r2", "r2_correlated"))
    phi = np.array([networking_values(row)[0] for row in rows])
    panel = "A" if system == "cubic" else "B"
    detail = f", spread of φ {metrics['phi_spread']:.3f}" if "phi_spread" in metrics else ""
    return [
        r2(f"{panel}: mean R² of ELF, {system}", paper.MEAN_R2[system], metrics.get("r2")),
        larger_in(
            f"{panel}: R² about the identity falls behind the correlated one near φ = {MIDDLE:g}, {system} (median gap "
            f"within {CLOSE:g} of it larger than elsewhere)",
            "it does",
            correlated - identity,
            np.abs(phi - MIDDLE) <= CLOSE,
        ),
        larger_in(
            f"{panel}: molecular crystals are predicted best, {system} (median 1 − R² from φ = {MOLECULAR:g} on larger "
            "than below)",
            "minimal errors",
            1 - identity,
            phi >= MOLECULAR,
        ),
        r2(f"C: R² of φ, {system}", paper.PHI_R2[system], metrics.get("phi_r2"), detail=detail),
    ]


def larger_in(what: str, said: str, values: np.ndarray, part: np.ndarray) -> Finding:
    """Whether the median of the values, which no single crystal moves, is larger in a part than outside of it."""
    if part.all() or not part.any():
        return statement(what, said, "", None)
    inside, outside = float(np.median(values[part])), float(np.median(values[~part]))
    return statement(what, said, f"{inside:.4f} there, {outside:.4f} elsewhere", inside > outside)


def worst(cubic: Row, hexagonal: Row) -> list[Finding]:
    """Where Fig. 3 has its most severe failure."""
    what, said = "F: the most severe failure is hexagonal (it has the lowest R²)", "hexagonal, 0.62"
    lowest = [min((row["voxels"]["r2"] for row in known(record)), default=None) for record in (cubic, hexagonal)]
    if None in lowest:
        return [statement(what, said, "", None)]
    return [statement(what, said, "cubic {:.3f}, hexagonal {:.3f}".format(*lowest), lowest[1] < lowest[0])]


def chosen(records: Mapping[str, Row]) -> list[Chosen]:
    """The crystals of panels D to F, by what the paper shows its own for: of both systems, as far as there are.

    F has the lowest R²; E, of the others, the largest gap between R² about the identity and correlated; D, of what is
    left, the lowest networking value in DFT.
    """
    rows = [(task, row) for task in SYSTEMS if task in records for row in known(records[task])]
    orders = {
        "lowest R²": lambda row: row["voxels"]["r2"],
        "largest systematic offset": lambda row: row["voxels"]["r2"] - row["voxels"]["r2_correlated"],
        "lowest networking value": lambda row: networking_values(row)[0],
    }
    found: list[Chosen] = []
    for why, order in orders.items():
        left = [(task, row) for task, row in rows if all(row is not other.row for other in found)]
        if left:
            task, row = min(left, key=lambda item: order(item[1]))
            found.append(Chosen(task, row, why))
    return found[::-1]


def statistics(system: str, record: Row) -> list[Finding]:
    """Table S1: means over crystals, with standard deviations over crystals."""
    metrics, found = record["metrics"], []
    for key, compared, symbol in paper.SYMBOLS:
        values = [v for row in record["structures"] if (v := row["voxels"][key]) is not None]
        theirs, spread = paper.CRYSTAL_ELF[system][key], paper.CRYSTAL_SPREADS[system][key]
        said = f"{theirs:.4f} ± {spread:.4f}"
        found.append(compared(f"{system}: {symbol} of ELF", theirs, metrics.get(key), said, _deviation(values)))
    theirs, spread = paper.CRYSTAL_PHI[system], paper.CRYSTAL_PHI_SPREADS[system]
    moved = [abs(pair[1] - pair[0]) for row in record["structures"] if (pair := networking_values(row))]
    said = f"{theirs['phi_mae']:.4f} ± {spread:.4f}"
    what = f"{system}: MAE of φ"
    found.append(error(what, theirs["phi_mae"], metrics.get("phi_mae"), said, _deviation(moved)))
    return [*found, r2(f"{system}: R² of φ", theirs["phi_r2"], metrics.get("phi_r2"))]


def temperature(phi: float) -> float:
    """Tc of pure hydrogen as in Table 1, K; below 0 not superconducting."""
    return estimate_tc(phi, 1.0, formula=FORMULA).raw


def temperatures(cubic: Row, hexagonal: Row) -> list[Finding]:
    """Table 1, of all crystals: how far Tc of the prediction is from that of DFT."""
    limit = FORMULAS[FORMULA].error
    what = f"Tc predicted and of DFT agree closely (mean |ΔTc| below the {limit:g} K that the fit itself is off)"
    said = ", ".join(f"{_apart(e.phi, e.predicted_phi):.1f}" for e in paper.EXAMPLES) + " K, three crystals"
    pairs = [networking_values(row) for record in (cubic, hexagonal) for row in record["structures"]]
    apart = [_apart(*pair) for pair in pairs if pair is not None]
    if not apart:
        return [statement(what, said, "", None)]
    return [statement(what, said, f"{np.mean(apart):.1f} K, {len(apart)} crystals", bool(np.mean(apart) < limit))]


def _apart(phi: float, predicted_phi: float) -> float:
    """Of two Tc, where below 0 is taken as 0."""
    return abs(max(temperature(phi), 0.0) - max(temperature(predicted_phi), 0.0))


def _deviation(values: Sequence[float]) -> str:
    return f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
