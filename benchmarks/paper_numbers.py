"""Numbers of Wang et al. (2026), "Geometry-Based Neural-Network Prediction of Electron Localization Function Topology
in Dense Hydrogen", each with its place there, and the rules by which ours agree with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "AGREES",
    "BETTER",
    "DIFFERS",
    "NO_VERDICT",
    "UNKNOWN",
    "WORSE",
    "Example",
    "Finding",
    "error",
    "r2",
    "statement",
]

AGREES, BETTER, WORSE, DIFFERS, UNKNOWN = "agrees", "better", "worse", "does not agree", "not measured"
NO_VERDICT = "no verdict"  # measured, but neither right nor wrong, nor a merit
WITHIN = 1.25  # times larger or smaller: the same
ROUNDING = 1e-9  # of differences such as 1 − R²
RULES = (
    f"An error agrees with the paper's if neither is more than {WITHIN:g} times the other; else ours is better or "
    "worse. So does an R², by what it leaves unexplained, 1 − R². A sentence agrees if what stands in brackets behind "
    "it holds."
)

Errors = Mapping[str, float]

MEAN = 0.426  # text to Fig. 1D: of reference and prediction alike
FLUID: Errors = {"mae": 0.0190, "rmse": 0.0271, "r2": 0.992}  # text to Fig. 1D, and Table S1
OTHER_FLUIDS: Mapping[str, Errors] = {"patch_cnn": {"r2": 0.966}}  # by architecture; S1, at its best cutoff
BEST_PATCH = 1.0  # Å, S1: of cutoffs from 0.25 to 2.5 Å
BASELINE: Mapping[str, float] = {  # S2: where one thing at a time is changed
    "width": 128,
    "depth": 2,
    "huber_beta": 0.03,
    "r_cut": 3.0,
    "n_radial": 10,
    "l_max": 2,
}
SEEDS: Errors = {"mae": 6.83e-5, "rmse": 9.06e-5, "r2": 5.39e-5}  # Table S1: over 50 models, on the fluid
SNAPSHOTS: Mapping[str, tuple[Errors, ...]] = {  # Table S2: two independent ones at each pressure
    "76.0": ({"mae": 0.0194, "rmse": 0.0265, "r2": 0.991}, {"mae": 0.0197, "rmse": 0.0268, "r2": 0.991}),
    "115.1": ({"mae": 0.0216, "rmse": 0.0305, "r2": 0.991}, {"mae": 0.0211, "rmse": 0.0298, "r2": 0.991}),
    "138.5": ({"mae": 0.0185, "rmse": 0.0279, "r2": 0.993}, {"mae": 0.0185, "rmse": 0.0279, "r2": 0.993}),
}
MEAN_R2: Errors = {"cubic": 0.96, "hexagonal": 0.94}  # text to Figs. 3A and B: identity R² of ELF, mean over crystals
PHI_R2: Errors = {"cubic": 0.92, "hexagonal": 0.86}  # text to Fig. 3C: of the networking value
CRYSTAL_ELF: Mapping[str, Errors] = {  # Table S1: means over crystals
    "cubic": {"mae": 0.0385, "rmse": 0.0520, "r2": 0.956},
    "hexagonal": {"mae": 0.0470, "rmse": 0.0635, "r2": 0.947},
}
CRYSTAL_SPREADS: Mapping[str, Errors] = {  # Table S1: standard deviations over crystals and models
    "cubic": {"mae": 0.0159, "rmse": 0.0196, "r2": 0.0421},
    "hexagonal": {"mae": 0.0148, "rmse": 0.0200, "r2": 0.0407},
}
# Table S1, the networking value. Its RMSE there is over the 50 models of each crystal, which is not what ours is.
CRYSTAL_PHI: Mapping[str, Errors] = {
    "cubic": {"phi_mae": 0.0331, "phi_r2": 0.940},
    "hexagonal": {"phi_mae": 0.0459, "phi_r2": 0.866},
}
CRYSTAL_PHI_SPREADS: Errors = {"cubic": 0.0243, "hexagonal": 0.0305}  # Table S1, of |Δφ|
# Text to Figs. 2E and F, by pressure: the k_max (periods along the cell's edge) from which on errors stay, MAE of the
# plane before and after the fit, size of the correction relative to ELF and to its logit, in a norm that is not stated
PLANE_K: Mapping[str, int] = {"76.0": 20, "115.1": 24, "138.5": 27}
PLANE_MAE: Errors = {"76.0": 0.0184, "115.1": 0.0192, "138.5": 0.0197}
PLANE_MAE_AFTER: Errors = {"76.0": 0.0047}
PLANE_RMSE: Errors = {"76.0": 0.0283}
PLANE_RMSE_AFTER: Errors = {"76.0": 0.0063}
PLANE_SIZE: Errors = {"76.0": 0.081, "115.1": 0.091, "138.5": 0.094}
PLANE_LOGIT_SIZE: Errors = {"76.0": 0.076}


@dataclass(frozen=True)
class Example:
    """A crystal that is shown: its R² of ELF about the identity and of a line, networking values in DFT and predicted.

    Args:
        name: of the structure.
        system: crystal system.
        why: it is shown.
    """

    name: str
    system: str
    why: str
    r2: float
    r2_correlated: float
    phi: float
    predicted_phi: float


EXAMPLES = (  # Figs. 3D to F, and Table 1
    Example("I2₁3", "cubic", "isolated molecules", 0.99, 0.99, 0.23, 0.23),
    Example("P6₅22", "hexagonal", "framework, systematic offset", 0.78, 0.94, 0.59, 0.64),
    Example("P6/mmm", "hexagonal", "chains, most severe failure", 0.62, 0.63, 0.13, 0.08),
)


@dataclass(frozen=True)
class Finding:
    """A line of the comparison.

    Args:
        what: is compared; of a sentence with its rule in brackets.
        paper: what the paper finds.
        measured: what we do.
        verdict: one of the words above.
    """

    what: str
    paper: str
    measured: str
    verdict: str


def error(what: str, paper: float, ours: float | None, said: str = "", detail: str = "") -> Finding:
    """An error beside the paper's.

    Args:
        what: is measured.
        paper, ours: the errors; None is not measured.
        said: what the paper says, where it is more than the number.
        detail: what else ours says, behind the number.
    """
    if ours is None:
        return Finding(what, said or f"{paper:.4f}", "", UNKNOWN)
    return Finding(what, said or f"{paper:.4f}", f"{ours:.4f}{detail}", _verdict(paper, ours))


def r2(what: str, paper: float, ours: float | None, said: str = "", detail: str = "") -> Finding:
    """An R² beside the paper's; as in :func:`error`."""
    if ours is None:
        return Finding(what, said or f"{paper:g}", "", UNKNOWN)
    return Finding(what, said or f"{paper:g}", f"{ours:.4f}{detail}", _verdict(1 - paper, 1 - ours))


def statement(what: str, paper: str, measured: str, holds: bool | None) -> Finding:
    """What the paper says in words; None where our numbers do not decide."""
    if holds is None:
        return Finding(what, paper, measured, UNKNOWN)
    return Finding(what, paper, measured, AGREES if holds else DIFFERS)


SYMBOLS = (("mae", error, "MAE"), ("rmse", error, "RMSE"), ("r2", r2, "R²"))  # key, comparison and symbol of errors


def _verdict(paper: float, ours: float) -> str:
    if max(ours, paper) <= WITHIN * min(ours, paper) * (1 + ROUNDING):
        return AGREES
    return BETTER if ours < paper else WORSE
