"""What a record of residuals (``benchmarks/residuals.py``) says to Fig. 2 of Wang et al. (2026)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import paper_numbers as paper
from paper_fluid import MIDDLE, NEAR
from paper_numbers import Finding, error, statement
from reference_figures import FREE_MOLECULE

__all__ = ["waves"]

LONG = "3"  # Å, as the record names it
NO_MODEL = 2.0  # times the error
PLATEAU = 0.9  # what more waves leave of an error that has reached its plateau, at least

Row = Mapping[str, Any]


def waves(record: Row) -> list[Finding]:
    """Fig. 2: whole cells first, which planes cannot stand for, then planes as in the paper."""
    groups = {group["group"]: plane_fits(group) for group in record["groups"] if group["group"] in paper.PLANE_MAE}
    return [*cells(record["answers"][0]), *planes(groups, record["settings"]["periods_per_11_angstrom"])]


def plane_fits(group: Row) -> dict[str, Row]:
    """Of the model and of none, with the usual clip."""
    return {name: next(iter(by_clip.values())) for name, by_clip in group["plane"]["correction"].items()}


def cells(answer: Row) -> list[Finding]:
    """Figs. 2B to D, of all structures."""
    share, length, found = answer["above"][LONG]["power"], answer["correlation_length"], answer["anisotropy"]
    residual, chance = found["residual"], found["chance_highest"]
    return [
        statement(
            f"B to D: long waves dominate (more than half of the power of whole cells above {LONG} Å)",
            "dominated by them",
            "" if share is None else f"{100 * share:.1f} %",
            None if share is None else share > 0.5,
        ),
        statement(
            f"B: errors are correlated farther than a bond (correlation length above {FREE_MOLECULE} Å)",
            "a few Å",
            "" if length is None else f"{length:.2f} Å",
            None if length is None else length > FREE_MOLECULE,
        ),
        statement(
            "C: no direction is preferred (anisotropy at most the highest of isotropic noise)",
            "nearly isotropic",
            "" if residual is None else f"{residual:.3f}, noise {chance:.3f}",
            None if residual is None else residual <= chance,
        ),
    ]


def planes(groups: Mapping[str, Mapping[str, Row]], periods: Sequence[float]) -> list[Finding]:
    """Figs. 2E to G; ``periods`` are the k_max of the curves, per 11 Å as in the paper."""
    place = list(periods).index(paper.PLANE_K["76.0"])
    before = {name: fits["model"]["before"]["mae"] for name, fits in groups.items()}
    after = {name: fits["model"]["mae"][place] for name, fits in groups.items()}
    none = {name: fits["none"]["mae"][place] for name, fits in groups.items()}
    size = {name: fits["model"]["elf_size_l2"][place] for name, fits in groups.items()}
    found = [error(f"E: MAE of planes, {p} GPa", theirs, before.get(p)) for p, theirs in paper.PLANE_MAE.items()]
    found.append(rising("E: it rises with pressure (at each step)", list(paper.PLANE_MAE.values()), before))
    for pressure, theirs in paper.PLANE_MAE_AFTER.items():
        what = f"E: and after the fit with k_max = {paper.PLANE_K[pressure]}, {pressure} GPa"
        found.append(of_the_fit(what, theirs, after.get(pressure)))
    for pressure, theirs in paper.PLANE_RMSE.items():
        curve = groups[pressure]["model"] if pressure in groups else None
        found.append(error(f"E: RMSE of planes, {pressure} GPa", theirs, curve and curve["before"]["rmse"]))
        what = f"E: and after the fit with k_max = {paper.PLANE_K[pressure]}, {pressure} GPa (RMSE)"
        found.append(of_the_fit(what, paper.PLANE_RMSE_AFTER[pressure], curve and curve["rmse"][place]))
    found += [plateau({name: fits["model"]["mae"] for name, fits in groups.items()}, periods), fitted(after, none)]
    logit = {name: fits["model"]["logit_size_l2"][place] for name, fits in groups.items()}
    for where, sizes, ours in (("logit", paper.PLANE_LOGIT_SIZE, logit), ("ELF", paper.PLANE_SIZE, size)):
        what = f"F: size of the correction in {where} (L2 norms; the paper names none)"
        found += [alike(f"{what}, {p} GPa", theirs, ours.get(p)) for p, theirs in sizes.items()]
    found.append(rising("F: it rises with pressure (at each step)", list(paper.PLANE_SIZE.values()), size))
    profiles = [fits["model"]["by_elf"] for fits in groups.values()]
    share = "G: the correction's share of the logit is largest at intermediate ELF (as it must: the logit is 0 at 0.5)"
    itself = "G: so is the correction itself"
    return [
        *found,
        concentrated(share, "around 0.5", [profile["ratio"] for profile in profiles]),
        concentrated(itself, "not said", [profile["logit"] for profile in profiles]),
    ]


def of_the_fit(what: str, theirs: float, ours: float | None) -> Finding:
    """What a fit to the answer leaves: no model is better or worse by it."""
    what = f"{what}, which knows the answer"
    if ours is None:
        return statement(what, f"{theirs:.4f}", "", None)
    return Finding(what, f"{theirs:.4f}", f"{ours:.4f}", paper.NO_VERDICT)


def plateau(curves: Mapping[str, Sequence[float]], periods: Sequence[float]) -> Finding:
    """Whether more waves than the paper's k_max leave the error as it is."""
    places = {name: list(periods).index(k) for name, k in paper.PLANE_K.items()}
    what = f"E: more waves change nothing (with k_max = {periods[-1]:g} the MAE is at least {PLATEAU:g} times that)"
    said = "a plateau from " + ", ".join(f"{k}" for k in paper.PLANE_K.values())
    known = sorted(curves, key=float)
    if not known:
        return statement(what, said, "", None)
    left = [curves[name][-1] / curves[name][places[name]] for name in known]
    return statement(what, said, ", ".join(f"{share:.2f}" for share in left) + " times", min(left) >= PLATEAU)


def alike(what: str, theirs: float, ours: float | None) -> Finding:
    """A number that is neither good nor bad."""
    what, said = f"{what} (neither more than {paper.WITHIN:g} times the other)", f"{theirs:g}"
    if ours is None:
        return statement(what, said, "", None)
    return statement(what, said, f"{ours:.4f}", theirs / paper.WITHIN <= ours <= theirs * paper.WITHIN)


def rising(what: str, theirs: Sequence[float], ours: Mapping[str, float]) -> Finding:
    """Whether a number rises from pressure to pressure."""
    said, values = ", ".join(f"{value:g}" for value in theirs), [ours[name] for name in sorted(ours, key=float)]
    if len(values) < 2:
        return statement(what, said, "", None)
    rises = all(low < high for low, high in pairwise(values))
    return statement(what, said, ", ".join(f"{v:.4f}" for v in values), rises)


def fitted(after: Mapping[str, float], none: Mapping[str, float]) -> Finding:
    """Whether what the fit leaves tells of the model: it is fitted to the answer, with as many waves for any model."""
    what = f"E: the fit shows what the model lacks (the same fit to no model leaves {NO_MODEL:g} times as much)"
    if not after:
        return statement(what, "taken as shown", "", None)
    ratio = float(np.mean(list(none.values())) / np.mean(list(after.values())))
    return statement(what, "taken as shown", f"{ratio:.1f} times", ratio >= NO_MODEL)


def concentrated(what: str, said: str, profiles: Sequence[Sequence[float | None]]) -> Finding:
    """Where on ELF something of the correction is largest."""
    what = f"{what}; largest bin within {NEAR:g} of {MIDDLE:g}"
    if not profiles:
        return statement(what, said, "", None)
    mean = np.ma.masked_invalid(np.array(profiles, float)).mean(axis=0)
    largest = (int(np.argmax(mean)) + 0.5) / len(mean)
    return statement(what, said, f"at {largest:.3f}", abs(largest - MIDDLE) <= NEAR)
