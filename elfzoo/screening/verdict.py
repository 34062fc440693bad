"""Pass, fail or abstain: what a threshold on φ says of a structure, and when it says nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pymatgen.core import Composition

from elfzoo.errors import ConfigError

__all__ = ["Criterion", "unknown_elements"]


SIGMAS = 2  # of the model's error, where it is known: normally distributed errors are larger in one case of twenty


@dataclass(frozen=True)
class Criterion:
    """A threshold on φ.

    Args:
        threshold: ELF; None judges nothing.
        margin: ELF, added to φ's own error, which is that of the grid, and to twice the model's, where a record has it
            under ``uncertainty``: such as the model's error of φ on the leaderboard where it has not.
        elements: symbols that the model was trained on; empty where its card names none.
    """

    threshold: float | None = None
    margin: float = 0.0
    elements: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigError(f"the threshold is an ELF, from 0 to 1; got {self.threshold}")
        if not 0 <= self.margin <= 1:
            raise ConfigError(f"the margin is a difference of ELF, from 0 to 1; got {self.margin}")

    def judge(self, formula: str | None, record: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """``"pass"``, ``"fail"`` or ``"abstain"``, and why it abstains.

        φ passes at or above the threshold. No verdict without threshold or φ.
        """
        phi = record.get("phi")
        if self.threshold is None or phi is None or formula is None:
            return None, None
        unknown = unknown_elements(formula, self.elements)
        if unknown:
            return "abstain", f"the model was not trained on {', '.join(unknown)}"
        error = record["phi_error"] + self.margin + SIGMAS * (record.get("uncertainty") or 0.0)
        if phi - error < self.threshold <= phi + error:
            return "abstain", f"phi {phi:.4f} ± {error:.4f} lies on both sides of {self.threshold:g}"
        return ("pass" if phi >= self.threshold else "fail"), None


def unknown_elements(formula: str, elements: Collection[str]) -> list[str]:
    """Symbols in a formula that a model was not trained on, sorted; none where it does not say what it knows."""
    if not elements:
        return []
    return sorted({element.symbol for element in Composition(formula).elements} - set(elements))
