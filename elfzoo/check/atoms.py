"""Do the atoms sit where the field has them: wrong origins, wrong axis orders, wrong coordinates.

Only hydrogen tells. It has no core, so the ELF at a proton is close to 1 (never below 0.96 in the reference fields of
fluid hydrogen, its crystals and hydrides), though the maximum itself may lie elsewhere, as at the bond centre of H2.
Other atoms have cores that pseudopotentials show or hide, and maxima between them; the symmetry check speaks there.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
from scipy import fft, ndimage

from elfzoo.check.finding import Finding, Level
from elfzoo.field import Field
from elfzoo.interpolate import PeriodicSpline

__all__ = ["check_atoms"]

GAIN, LARGE_GAIN = 0.05, 0.3  # of the mean ELF at the protons, to be believed and to be called an error
FEWEST = 3  # protons; with fewer, another origin may fit by chance
LOW_AT_PROTON = 0.8
FAR = 0.35  # angstrom; in the reference fields a maximum is always within 0.13


def check_atoms(field: Field, x_fastest: bool = False) -> list[Finding]:
    """Finding ``axis-order``, ``origin`` or ``atoms``: protons that lie where the ELF is low.

    Axis order and origin are blamed only where another order of the axes, or a rigid shift of the atoms, raises the
    mean ELF at three protons or more by over 0.05; a single proton where the ELF is below 0.8 and the nearest
    maximum over 0.35 Å away. A spin channel is not judged: it may hold no electron of an atom.

    Args:
        field: an ELF.
        x_fastest: whether the file it comes from has its values in this order, as ELFCAR and XSF have; else z is.
    """
    protons = field.structure.frac_coords[np.array(field.structure.atomic_numbers) == 1]
    if len(protons) == 0 or field.spin is not None:
        return []
    at_protons = PeriodicSpline.through(field.values)(protons)
    if len(protons) >= FEWEST and (finding := _misplaced(field, protons, float(at_protons.mean()), x_fastest)):
        return [finding]
    return _single_protons(field, protons, at_protons)


def _misplaced(field: Field, protons: np.ndarray, mean: float, x_fastest: bool) -> Finding | None:
    order, by_order = _best_axis_order(field.values, protons, x_fastest)
    shift, by_shift = _best_shift(field.values, protons)
    gain = max(by_order, by_shift) - mean
    if gain <= GAIN:
        return None
    level: Level = "error" if gain > LARGE_GAIN else "warning"
    message = f"the mean ELF at the {len(protons)} hydrogen nuclei is {mean:.3f}"
    if by_order >= by_shift - 0.02:  # a shift fits by chance more easily than one of five orders
        axes = ", ".join("abc"[axis] for axis in order)
        message += f", but {by_order:.3f} if the values were written in the axis order ({axes}), slowest first"
        return Finding(level, "axis-order", message, "Read the values in that order, or check the lattice vectors")
    moved = ", ".join(f"{s:.3f}" for s in shift)
    message += f", but {by_shift:.3f} with all atoms moved by ({moved}) of the cell"
    return Finding(level, "origin", message, "Check the origin of the grid against that of the atoms")


def _best_axis_order(values: np.ndarray, protons: np.ndarray, x_fastest: bool) -> tuple[tuple[int, ...], float]:
    """The order of axes in the file's flat data, other than the present one, with the highest mean at the protons."""
    scores, flat = {}, values.ravel(order="F" if x_fastest else "C")
    present = (2, 1, 0) if x_fastest else (0, 1, 2)
    for order in permutations(range(3)):
        if order == present:
            continue
        read = flat.reshape([values.shape[axis] for axis in order]).transpose(np.argsort(order))
        scores[order] = float(PeriodicSpline.through(read)(protons).mean())
    best = max(scores, key=lambda order: scores[order])
    return best, scores[best]


def _best_shift(values: np.ndarray, protons: np.ndarray) -> tuple[np.ndarray, float]:
    """The shift of all protons, fractional, with the highest mean ELF at them: a cross-correlation on the grid."""
    shape = np.array(values.shape)
    occupation = np.zeros(values.shape)
    np.add.at(occupation, tuple((np.round(protons * shape).astype(int) % shape).T), 1 / len(protons))
    scores = fft.irfftn(fft.rfftn(values) * np.conj(fft.rfftn(occupation)), s=values.shape)
    best = np.array(np.unravel_index(int(scores.argmax()), values.shape))
    return (best / shape + 0.5) % 1.0 - 0.5, float(scores.max())


def _single_protons(field: Field, protons: np.ndarray, at_protons: np.ndarray) -> list[Finding]:
    low = np.flatnonzero(at_protons < LOW_AT_PROTON)
    if len(low) == 0:
        return []
    is_maximum = (field.values == ndimage.maximum_filter(field.values, size=3, mode="wrap")) & (
        field.values > LOW_AT_PROTON
    )
    maxima = np.argwhere(is_maximum) / np.array(field.values.shape)
    distances = field.structure.lattice.get_all_distances(protons[low], maxima).min(axis=1, initial=np.inf)
    off = distances > FAR
    if not off.any():
        return []
    first = int(np.flatnonzero(off)[0])
    place = ", ".join(f"{x:.4f}" for x in protons[low[first]])
    message = (
        f"{int(off.sum())} of {len(protons)} hydrogen nuclei lie where the ELF is low and over {FAR} Å from any "
        f"maximum; the one at fractional ({place}) has {at_protons[low[first]]:.3f}"
    )
    return [Finding("warning", "atoms", message, "Check that structure and field belong to the same calculation")]
