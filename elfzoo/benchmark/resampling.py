"""Bootstrap over what is independent: whole compounds or trajectories are drawn, with all of their structures.

Volumes of one metal, distortions of one hydride and snapshots of one trajectory resemble each other; drawn one by one
they would make intervals too narrow, by a factor of two for hydrides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Int
from pymatgen.core import Composition

__all__ = ["cluster_of", "clusters_of", "counts_of", "interval_of_mean", "interval_of_ratio"]

DRAWS = 10_000
LEVEL = (0.025, 0.975)
FRAME = re.compile(r"_f\d+$")  # the time of a snapshot, at the end of its name

Counts = Int[np.ndarray, "draws structures"]


def cluster_of(file: str, formula: str | None) -> str:
    """What is drawn as a whole: the chemical system, of hydrogen alone the trajectory, and every crystal by itself.

    Args:
        file: of the structure; its name tells the trajectory.
        formula: of the structure; where it is not known, the structure stands for itself.
    """
    system = "H" if formula is None else str(Composition(formula).chemical_system)
    name = file.rsplit("/", 1)[-1].removesuffix(".npz")
    return FRAME.sub("", name) if system == "H" else system


def counts_of(clusters: Sequence[str]) -> Counts:
    """How often each structure is drawn when whole clusters are, as many as there are; always the same draws."""
    return _counts(tuple(clusters))


@lru_cache(maxsize=64)
def _counts(clusters: tuple[str, ...]) -> Counts:
    names, which = np.unique(np.asarray(clusters), return_inverse=True)
    picks = np.random.default_rng(0).integers(0, len(names), (DRAWS, len(names)))
    times = np.stack([(picks == name).sum(axis=1) for name in range(len(names))], axis=1)
    return times[:, which]


def interval_of_mean(values: Sequence[float] | np.ndarray, clusters: Sequence[str]) -> list[float]:
    """95 % interval of a mean over structures, each of which weighs the same."""
    return interval_of_ratio(values, np.ones(len(values)), clusters)


def interval_of_ratio(above: Any, below: Any, clusters: Sequence[str]) -> list[float]:
    """95 % interval of a sum over structures over another sum; draws in which the latter vanishes are left out.

    Two NaN where there is nothing to draw from: one cluster alone says nothing of others.
    """
    if len(set(clusters)) < 2:
        return [np.nan, np.nan]
    counts = counts_of(clusters)
    over, under = counts @ np.asarray(above, float), counts @ np.asarray(below, float)
    known = under != 0
    if not known.any():
        return [np.nan, np.nan]
    return [float(x) for x in np.quantile(over[known] / under[known], LEVEL)]


def clusters_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of the rows of structures; rows without a name stand for themselves."""
    return [cluster_of(str(row.get("file", number)), row.get("formula")) for number, row in enumerate(rows)]
