"""What shows that molecular dynamics is equilibrated, keeps its energy, and gives snapshots that are independent.

Times are in fs, lengths in Å. Averages run over atoms and time origins; lags reach half of the trajectory, where every
one of them still has as many origins as there are lags.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.integrate import trapezoid
from scipy.spatial import cKDTree

from elfzoo.errors import ElfzooError
from elfzoo.reference.dynamics import Trajectory, cube_edge, pair_distribution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Diagnostics",
    "autocorrelation",
    "decay_time",
    "diagnose",
    "diffusion",
    "draw",
    "energy_drift",
    "integral_time",
    "mean_square_displacement",
    "molecular_fraction",
    "neighbour_numbers",
    "overlap",
    "picture",
    "same_partner",
]

BOND = 0.85  # angstrom; two atoms that are each other's nearest and closer than this are a molecule
MOVED = 0.3  # angstrom; an atom that is further from where it was has left its place
SHELL, SHELL_WIDTH = 1.5, 0.15  # angstrom; where a neighbour counts one half, and over what it fades
LONGEST = 100  # frames that g(r) and the molecular fraction are averaged over


@dataclass(frozen=True)
class Diagnostics:
    """What one trajectory shows.

    Attributes:
        frames: how many were looked at, those of the equilibration left out.
        atoms: in the cell.
        temperature: mean, K.
        temperature_std: over the frames, K; sqrt(2 / 3 N) T in the canonical ensemble.
        potential_energy: mean, eV per atom.
        energy_drift: of the conserved energy, eV per atom and ps.
        diffusion: Å²/ps, from the slope of the mean-square displacement.
        molecular_fraction: of the atoms, bound in pairs shorter than 0.85 Å.
        peak: where g(r) is largest below 1 Å, in Å, and g there.
        overlap_decay: fs, until Q(t) is 1/e; None if it is not reached within the lags.
        overlap_integral: fs, integral of Q(t) over the lags.
        structure_decay: fs, until the autocorrelation of the neighbour numbers is 1/e; None if not reached.
        structure_integral: fs, its integral up to its first zero.
        partner_decay: fs, until 1/e of the atoms still have the nearest neighbour that they had; None if not reached.
            This is the slow one: a molecule turns and swings long before it breaks.
        partner_integral: fs, integral of the curve over the lags.
        lag: fs, of the four curves that follow.
        displacement: mean-square displacement, Å².
        overlap: Q(t), the fraction of atoms within 0.3 Å of where they were.
        structure: autocorrelation of the neighbour numbers.
        partner: the fraction of atoms whose nearest neighbour is the one it was.
        radius: Å.
        pair_distribution: g(r) at these radii.
    """

    frames: int
    atoms: int
    temperature: float
    temperature_std: float
    potential_energy: float
    energy_drift: float
    diffusion: float
    molecular_fraction: float
    peak: tuple[float, float]
    overlap_decay: float | None
    overlap_integral: float
    structure_decay: float | None
    structure_integral: float
    partner_decay: float | None
    partner_integral: float
    lag: tuple[float, ...]
    displacement: tuple[float, ...]
    overlap: tuple[float, ...]
    structure: tuple[float, ...]
    partner: tuple[float, ...]
    radius: tuple[float, ...]
    pair_distribution: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}


def diagnose(trajectory: Trajectory, equilibration: float = 0.0) -> Diagnostics:
    """Everything above, from the frames later than ``equilibration`` (fs).

    Raises:
        ElfzooError: fewer than four frames are left, or the cell is no cube.
    """
    kept = _after(trajectory, equilibration)
    few = kept.positions[:: -(-len(kept.time) // LONGEST)]
    lag = (kept.time[1] - kept.time[0]) * np.arange(len(kept.time) // 2 + 1)
    moved, stayed = mean_square_displacement(kept.positions), overlap(kept.positions)
    structure = autocorrelation(neighbour_numbers(kept.positions, kept.lattice))
    partner = same_partner(kept.positions, kept.lattice)
    radius, g = pair_distribution(few, kept.lattice, bins=round(cube_edge(kept.lattice) / 2 / 0.03))
    bond = int(np.argmax(np.where(radius < 1, g, -1)))
    return Diagnostics(
        frames=len(kept.time),
        atoms=kept.positions.shape[1],
        temperature=float(kept.temperature.mean()),
        temperature_std=float(kept.temperature.std()),
        potential_energy=float(kept.potential_energy.mean()),
        energy_drift=energy_drift(kept.time, kept.conserved),
        diffusion=diffusion(lag, moved),
        molecular_fraction=molecular_fraction(few, kept.lattice),
        peak=(float(radius[bond]), float(g[bond])),
        overlap_decay=decay_time(lag, stayed),
        overlap_integral=float(trapezoid(stayed, lag)),
        structure_decay=decay_time(lag, structure),
        structure_integral=integral_time(lag, structure),
        partner_decay=decay_time(lag, partner),
        partner_integral=float(trapezoid(partner, lag)),
        lag=_tuple(lag),
        displacement=_tuple(moved),
        overlap=_tuple(stayed),
        structure=_tuple(structure),
        partner=_tuple(partner),
        radius=_tuple(radius),
        pair_distribution=_tuple(g),
    )


def energy_drift(time: Float[np.ndarray, " frames"], conserved: Float[np.ndarray, " frames"]) -> float:
    """Slope of the straight line through the conserved energy (eV per atom), eV per atom and ps."""
    return float(np.polyfit(time - time.mean(), conserved - conserved.mean(), 1)[0] * 1000)


def mean_square_displacement(positions: Float[np.ndarray, "frames atoms 3"]) -> Float[np.ndarray, " lags"]:
    """Å² over lags of 0 to half of the frames; positions not wrapped. The drift of the whole cell is taken out."""
    own = positions - positions.mean(axis=1, keepdims=True)
    return _over_lags(own, lambda apart: (apart**2).sum(axis=-1).mean())


def overlap(positions: Float[np.ndarray, "frames atoms 3"], radius: float = MOVED) -> Float[np.ndarray, " lags"]:
    """Q(t): the fraction of atoms that are within ``radius`` of where they were a time t before."""
    own = positions - positions.mean(axis=1, keepdims=True)
    return _over_lags(own, lambda apart: ((apart**2).sum(axis=-1) < radius**2).mean())


def diffusion(lag: Float[np.ndarray, " lags"], displacement: Float[np.ndarray, " lags"]) -> float:
    """Å²/ps: a sixth of the slope of the mean-square displacement over the second half of the lags."""
    late = slice(len(lag) // 2, None)
    return float(np.polyfit(lag[late], displacement[late], 1)[0] * 1000 / 6)


def molecular_fraction(
    positions: Float[np.ndarray, "frames atoms 3"], lattice: Float[np.ndarray, "3 3"], bond: float = BOND
) -> float:
    """Fraction of the atoms whose nearest neighbour is closer than ``bond`` and has them as its own nearest."""
    distance, partner = _nearest(positions, lattice)
    mutual = np.take_along_axis(partner, partner, axis=1) == np.arange(positions.shape[1])
    return float((mutual & (distance < bond)).mean())


def same_partner(
    positions: Float[np.ndarray, "frames atoms 3"], lattice: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, " lags"]:
    """The fraction of atoms whose nearest neighbour is the one that it was a time t before."""
    return _over_lags(_nearest(positions, lattice)[1], lambda change: (change == 0).mean())


def neighbour_numbers(
    positions: Float[np.ndarray, "frames atoms 3"], lattice: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "frames atoms"]:
    """Neighbours of each atom, those at 1.5 Å counted half: a picture of its surroundings that ELF also depends on."""
    reach, atoms = SHELL + 5 * SHELL_WIDTH, positions.shape[1]
    if 2 * reach > cube_edge(lattice):
        raise ElfzooError(f"neighbours up to {reach} Å need a cube twice as wide; got {cube_edge(lattice):.2f} Å")
    numbers = np.zeros(positions.shape[:2])
    for row, frame in zip(numbers, positions, strict=True):
        tree = _tree(frame, lattice)
        pairs = tree.sparse_distance_matrix(tree, reach, output_type="ndarray")
        pairs = pairs[pairs["i"] != pairs["j"]]
        weight = 1 / (1 + np.exp((pairs["v"] - SHELL) / SHELL_WIDTH))
        row[:] = np.bincount(pairs["i"], weight, atoms)
    return numbers


def autocorrelation(values: Float[np.ndarray, "frames atoms"]) -> Float[np.ndarray, " lags"]:
    """⟨δa(0) δa(t)⟩ / ⟨δa²⟩ over lags of 0 to half of the frames; δa from the mean of all atoms and frames.

    Raises:
        ElfzooError: the values are all the same.
    """
    off = values - values.mean()
    if not (off**2).mean() > 1e-20:
        raise ElfzooError("values that are all the same have no autocorrelation")
    products = [(off[: len(off) - n] * off[n:]).mean() for n in range(len(off) // 2 + 1)]
    return np.array(products) / products[0]


def decay_time(lag: Float[np.ndarray, " lags"], curve: Float[np.ndarray, " lags"]) -> float | None:
    """Where a curve that starts at 1 is 1/e for the first time, between lags by a straight line; None if nowhere."""
    below = np.flatnonzero(curve <= np.exp(-1))
    if len(below) == 0:
        return None
    n = int(below[0])
    part = (curve[n - 1] - np.exp(-1)) / (curve[n - 1] - curve[n])
    return float(lag[n - 1] + part * (lag[n] - lag[n - 1]))


def integral_time(lag: Float[np.ndarray, " lags"], curve: Float[np.ndarray, " lags"]) -> float:
    """Integral of a curve up to the last lag before its first zero; beyond that there is only noise."""
    negative = np.flatnonzero(curve <= 0)
    end = int(negative[0]) if len(negative) else len(curve)
    return float(trapezoid(curve[:end], lag[:end]))


def picture(states: Mapping[str, Mapping[str, Trajectory]], equilibration: float = 0.0) -> Figure:
    """A figure with one column per state and one line per trajectory: temperature, energy, g(r) and Q(t).

    The dashed line beside Q(t) is the fraction of atoms that still have the nearest neighbour that they had.

    Args:
        states: title of the column (its pressure) -> name of the trajectory -> trajectory.
        equilibration: fs, left out of g(r) and Q(t), and marked in the others.

    Raises:
        ElfzooError: nothing to draw, or trajectories that :func:`diagnose` refuses.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from elfzoo.plot import STYLE

    if not states:
        raise ElfzooError("a figure of trajectories needs at least one state")
    with rc_context(rc=STYLE):
        figure = Figure(figsize=(0.6 + 2.2 * len(states), 7.2), layout="constrained")
        axes = figure.subplots(4, len(states), sharey="row", squeeze=False)
        for column, (title, trajectories) in zip(axes.T, states.items(), strict=True):
            column[0].set_title(title)
            for name, trajectory in trajectories.items():
                _draw_one(column, name, trajectory, equilibration)
            _finish(column, equilibration)
        energy = "potential energy \N{MINUS SIGN} mean,\nmeV/atom"
        labels = ("temperature, K", energy, "g(r)", "Q(t); same neighbour (dashed)")
        for row, label in zip(axes, labels, strict=True):
            row[0].set_ylabel(label)
    return figure


def draw(states: Mapping[str, Mapping[str, Trajectory]], path: str | Path, equilibration: float = 0.0) -> Path:
    """:func:`picture` in a file that ends in ``.png``, ``.pdf`` or ``.svg`` and appears whole or not at all.

    Raises:
        ElfzooError: as :func:`picture`, or another suffix.
    """
    from elfzoo.plot import figure_path, save_figure

    path = figure_path(path)
    return save_figure(picture(states, equilibration), path)


def _draw_one(column: np.ndarray, name: str, trajectory: Trajectory, equilibration: float) -> None:
    found = diagnose(trajectory, equilibration)
    time = trajectory.time / 1000
    column[0].plot(time, trajectory.temperature, linewidth=0.5, label=name)
    column[1].plot(time, 1000 * (trajectory.potential_energy - found.potential_energy), linewidth=0.5)
    column[2].plot(found.radius, found.pair_distribution, linewidth=0.8)
    (line,) = column[3].plot(found.lag, found.overlap, linewidth=0.8)
    column[3].plot(found.lag, found.partner, linewidth=0.8, linestyle="--", color=line.get_color())


def _finish(column: np.ndarray, equilibration: float) -> None:
    for panel in column[:2]:
        panel.axvline(equilibration / 1000, color="black", linewidth=0.5, linestyle=":")
        panel.set_xlabel("time, ps")
    column[0].legend(fontsize=6, frameon=False, ncols=2)
    column[2].axvspan(0.73, 0.75, color="0.85", zorder=0)  # bond of the molecule
    column[2].set(xlabel="r, Å", xlim=(0.4, None))
    column[3].axhline(np.exp(-1), color="black", linewidth=0.5, linestyle=":")
    column[3].set(xlabel="t, fs", ylim=(0, 1))


def _after(trajectory: Trajectory, equilibration: float) -> Trajectory:
    keep = trajectory.time > equilibration
    if keep.sum() < 4:
        raise ElfzooError(f"diagnostics need four frames after {equilibration} fs; got {int(keep.sum())}")
    rest = {name: values[keep] for name, values in vars(trajectory).items() if name != "lattice"}
    return Trajectory(trajectory.lattice, **rest)


def _over_lags(values: np.ndarray, average: Callable[[np.ndarray], Any]) -> np.ndarray:
    count = len(values)
    return np.array([float(average(values[n:] - values[: count - n])) for n in range(count // 2 + 1)])


def _nearest(positions: np.ndarray, lattice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(frames, atoms) distance, Å, and index of the nearest neighbour."""
    found = [_tree(frame, lattice).query(_wrapped(frame, lattice), k=2) for frame in positions]
    return np.array([distance[:, 1] for distance, _ in found]), np.array([index[:, 1] for _, index in found])


def _wrapped(frame: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    edge = cube_edge(lattice)
    inside = frame % edge
    return np.where(inside < edge, inside, 0.0)  # -1e-17 % edge is edge


def _tree(frame: np.ndarray, lattice: np.ndarray) -> cKDTree:
    return cKDTree(_wrapped(frame, lattice), boxsize=cube_edge(lattice))


def _tuple(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
