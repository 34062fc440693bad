"""What a label would teach: information gain, by the matrix that the last layer's posterior is made of.

With the rows G of a structure (inputs of the last layer at its points, times the slope of the value) the covariance of
the weights α² A⁻¹ becomes α² (A + GᵀG)⁻¹ once the structure is labelled, whatever the label says: so all can be chosen
before any is computed. Greedy choices by information gain have at least 1 - 1/e of the best set's (Krause, Singh &
Guestrin, J. Mach. Learn. Res. 9, 235 (2008)).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_solve, solve_triangular

__all__ = ["GAINS", "Step", "deviations", "greedy", "information_gain", "variance_gain"]

Square = Float[np.ndarray, "width width"]


class Step(NamedTuple):
    """One choice: which, and what it was worth when it was made (nats, or a variance in units of α²)."""

    candidate: int
    gain: float


def information_gain(information: Square, learned: Square, pool: Square) -> float:
    """½ ln det(A + GᵀG) - ½ ln det A, in nats: entropy of the weights that the label takes away.

    Args:
        information: A.
        learned: GᵀG, what the label would add to it.
        pool: not used.
    """
    before, after = np.linalg.cholesky(information), np.linalg.cholesky(information + learned)
    return float(np.log(np.diag(after)).sum() - np.log(np.diag(before)).sum())


def variance_gain(information: Square, learned: Square, pool: Square) -> float:
    """By how much the mean variance of the value over the points of all candidates falls, in units of α².

    Args:
        information: A.
        learned: GᵀG, what the label would add to it.
        pool: mean of g gᵀ over points of all candidates.
    """
    return _trace(information, pool) - _trace(information + learned, pool)


GAINS: Mapping[str, Callable[[Square, Square, Square], float]] = MappingProxyType(
    {"information": information_gain, "variance": variance_gain}
)


def greedy(
    information: Square, learned: Sequence[Square], count: int, pool: Square, gain: str = "information"
) -> tuple[list[Step], Square]:
    """The most valuable structure, then the most valuable one once that is labelled, and so on.

    Of equal ones the first is taken.

    Args:
        information: A, of what is labelled already.
        learned: what each candidate would add to it.
        count: how many to choose, at most.
        pool: mean of g gᵀ over points of all candidates.
        gain: of :data:`GAINS`.

    Returns:
        The choices in their order, and A with all of them labelled.
    """
    steps, left, value = list[Step](), list(range(len(learned))), GAINS[gain]
    while left and len(steps) < count:
        gains = [value(information, learned[i], pool) for i in left]
        best = int(np.argmax(gains))
        steps.append(Step(left.pop(best), gains[best]))
        information = information + learned[steps[-1].candidate]
    return steps, information


def deviations(rows: Float[np.ndarray, "points width"], information: Square) -> Float[np.ndarray, " points"]:
    """√(gᵀ A⁻¹ g) of each row: the standard deviation of the value, over α."""
    lower = np.linalg.cholesky(information)
    return np.linalg.norm(solve_triangular(lower, rows.T, lower=True, check_finite=False), axis=0)


def _trace(information: Square, pool: Square) -> float:
    """tr(A⁻¹ P)."""
    return float(np.trace(cho_solve((np.linalg.cholesky(information), True), pool, check_finite=False)))
