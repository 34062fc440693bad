"""Superconducting critical temperatures of hydrides from the topology of ELF, by published fits.

Each fit takes the networking value φ, the hydrogen fraction H_f and the hydrogen share H_DOS of the density of states
at the Fermi level; the newer ones also the molecularity index φ*. They rank metals: they know nothing of the stability
of a structure, nor whether it conducts at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from pymatgen.core import Structure

from elfzoo.errors import ElfzooError, UnknownNameError

__all__ = ["FORMULAS", "TcEstimate", "TcFormula", "estimate_tc", "hydrogen_fraction"]

OVERSHOOT = 0.01  # a spline through values from 0 to 1 leaves that range by less

UPPER_BOUND = "upper bound: the hydrogen share of the density of states is not given and was taken as 1, its largest"
PRESUMES_METAL = (
    "presumes a metal: pure hydrogen has H_f = H_DOS = 1 only where there are states at the Fermi level, which neither "
    "φ nor the structure shows; molecular hydrogen may be an insulator"
)
NEGATIVE = "not superconducting: the fit gives a negative temperature"


@dataclass(frozen=True)
class TcFormula:
    """A published fit.

    Attributes:
        text: the formula, temperature in K.
        reference: where it is published.
        error: its error on the hydrides it was fitted to as its authors state it, K, or None where they do not.
        kelvin: the fit as a function of (φ, φ*, H_f, H_DOS); rises with H_DOS.
        needs_phi_star: whether φ* enters.
    """

    text: str
    reference: str
    error: float | None
    kelvin: Callable[[float, float, float, float], float]
    needs_phi_star: bool = False


_TCESTIME = "Novoa et al., Chem. Sci. 16, 57 (2025), TcESTIME"

FORMULAS: Mapping[str, TcFormula] = MappingProxyType(
    {
        "belli2021": TcFormula(
            "750 φ H_f ∛H_DOS − 85",
            "Belli, Novoa, Contreras-García, Errea, Nat. Commun. 12, 5381 (2021)",
            60.0,
            lambda phi, star, h, dos: 750 * phi * h * math.cbrt(dos) - 85,
        ),
        "novoa2025": TcFormula(
            "456.34 φ H_f ∛H_DOS − 9.46",
            f"{_TCESTIME}, least squares",
            None,
            lambda phi, star, h, dos: 456.34 * phi * h * math.cbrt(dos) - 9.46,
        ),
        "dimauro2024_sr2": TcFormula(
            "442.3 (1 − (φ* − φ)) H_f³ √H_DOS",
            f"di Mauro et al., arXiv:2403.07584 (2024), SR2 of {_TCESTIME}",
            None,
            lambda phi, star, h, dos: 442.3 * (1 - (star - phi)) * h**3 * math.sqrt(dos),
            needs_phi_star=True,
        ),
        "dimauro2024_sr4": TcFormula(
            "574.7 φ √(H_f³ H_DOS)",
            f"di Mauro et al., arXiv:2403.07584 (2024), SR4 of {_TCESTIME}",
            None,
            lambda phi, star, h, dos: 574.7 * phi * math.sqrt(h**3 * dos),
        ),
        "belli2025": TcFormula(
            "422.2 (27/4) (φ*² − φ*³) H_f³ ∛(φ H_DOS) + 5.5",
            "Belli, Torres, Contreras-García, Zurek, Ann. Phys. (Berlin) 537, e00280 (2025), eq. 2",
            41.0,
            lambda phi, star, h, dos: 422.2 * 6.75 * (star**2 - star**3) * h**3 * math.cbrt(phi * dos) + 5.5,
            needs_phi_star=True,
        ),
    }
)


@dataclass(frozen=True)
class TcEstimate:
    """What :func:`estimate_tc` finds.

    Attributes:
        tc: critical temperature, K; 0 where the fit is negative.
        raw: what the fit gives, K, negative or not.
        phi, phi_star, h_fraction, h_dos: what went in; ``phi_star`` is None where the fit has none.
        is_upper_bound: whether ``h_dos`` was not known and taken as 1, so that ``tc`` is the most the fit allows.
        formula: name in :data:`FORMULAS`.
        reference: where the fit is published.
        error: error of the fit on its own training set, K, or None where not stated.
        notes: what a reader of ``tc`` must know.
    """

    tc: float
    raw: float
    phi: float
    phi_star: float | None
    h_fraction: float
    h_dos: float
    is_upper_bound: bool
    formula: str
    reference: str
    error: float | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values under the attributes' names."""
        return {**asdict(self), "notes": list(self.notes)}


def hydrogen_fraction(structure: Structure) -> float:
    """H_f: number of hydrogen atoms (deuterium and tritium included) over number of atoms."""
    numbers = structure.atomic_numbers
    return sum(number == 1 for number in numbers) / len(numbers)


def estimate_tc(
    phi: float,
    hydrogen: Structure | float,
    h_dos: float | None = None,
    phi_star: float | None = None,
    formula: str = "belli2021",
) -> TcEstimate:
    """Critical temperature of a hydride from the networking value of its ELF.

    Args:
        phi: networking value, 0 to 1.
        hydrogen: the structure, or its hydrogen fraction H_f.
        h_dos: hydrogen share of the density of states at the Fermi level, 0 to 1, as
            :func:`elfzoo.analysis.dos.hydrogen_dos_share` reads it from DFT. Without it the estimate is an upper
            bound, with H_DOS = 1; of pure hydrogen, where the share of a metal is 1, it presumes a metal.
        phi_star: molecularity index, 0 to 1, for the fits that take it.
        formula: name in :data:`FORMULAS`.

    Raises:
        ElfzooError: a number out of its range, no hydrogen, or a missing ``phi_star``.
        UnknownNameError: no such formula.
    """
    if formula not in FORMULAS:
        raise UnknownNameError("Tc formula", formula, FORMULAS)
    fit = FORMULAS[formula]
    h_fraction = _h_fraction(hydrogen)
    phi, star = _elf_value("networking value", phi), _phi_star(formula, phi_star)
    share = 1.0 if h_dos is None else _fraction("hydrogen share of the density of states", h_dos)
    raw = fit.kelvin(phi, 0.0 if star is None else star, h_fraction, share)
    unknown = h_dos is None and h_fraction < 1
    told = {PRESUMES_METAL: h_dos is None and h_fraction == 1, UPPER_BOUND: unknown, NEGATIVE: raw < 0}
    notes = tuple(note for note, holds in told.items() if holds)
    return TcEstimate(
        max(raw, 0.0), raw, phi, star, h_fraction, share, unknown, formula, fit.reference, fit.error, notes
    )


def _h_fraction(hydrogen: Structure | float) -> float:
    h = hydrogen_fraction(hydrogen) if isinstance(hydrogen, Structure) else _fraction("hydrogen fraction", hydrogen)
    if h == 0:
        raise ElfzooError("a structure without hydrogen has no Tc estimate: the fits are of hydrides")
    return h


def _phi_star(formula: str, phi_star: float | None) -> float | None:
    if not FORMULAS[formula].needs_phi_star:
        return None
    if phi_star is None:
        raise ElfzooError(f"the formula {formula} needs the molecularity index; give phi_star=molecularity(field)")
    return _elf_value("molecularity index", phi_star)


def _elf_value(name: str, value: float) -> float:
    if not -OVERSHOOT <= value <= 1 + OVERSHOOT:
        raise ElfzooError(f"the {name} is an ELF value from 0 to 1; got {value}")
    return min(max(float(value), 0.0), 1.0)


def _fraction(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ElfzooError(f"the {name} is a number from 0 to 1; got {value}")
    return float(value)
