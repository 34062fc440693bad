"""Between matrices by pair of atoms and matrices at k-points: Σ_R A(R) exp(i k R) and back.

Small cells have many k-points and many translations between few atoms: there all k are done at once, as products of
dense matrices. Large cells have few k-points, and pairs that are far fewer than atoms squared times translations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Complex, Float

from elfzoo.transforms.harris.blocks import Pairs

__all__ = ["add_back", "at_k"]

DENSE = 10_000_000  # numbers in a dense array of all translations that may be held
CHUNK = 2_000_000  # numbers of matrices at several k-points held together

Matrix = Float[np.ndarray, "n n"] | Complex[np.ndarray, "n n"]


def at_k(parts: Sequence[Float[np.ndarray, "pairs m m"]], pairs: Pairs, points: np.ndarray) -> Iterator[list[Matrix]]:
    """For each k-point the Bloch sums of some matrices; real where all phases are.

    Args:
        parts: by pair.
        pairs: of atoms.
        points: (k, 3) fractional.
    """
    size = pairs.n_atoms * parts[0].shape[1]
    translations, which = _translations(pairs)
    if len(translations) * size**2 > DENSE:
        for k in points:
            yield [_fold(part, pairs, 2 * np.pi * (pairs.translation @ k), is_real(k)) for part in parts]
        return
    dense = [_spread(part, pairs, which, len(translations)) for part in parts]
    for chunk in np.array_split(points, max(1, len(points) * size**2 // CHUNK)):
        angle = 2 * np.pi * (chunk @ translations.T)
        cosine, sine = np.cos(angle), np.sin(angle)
        sums = [(cosine @ d + 1j * (sine @ d)).reshape(-1, size, size) for d in dense]
        for i, k in enumerate(chunk):
            yield [s[i].real if is_real(k) else s[i] for s in sums]


def add_back(
    total: Float[np.ndarray, "pairs m m"],
    matrices: Sequence[Matrix],
    weights: Sequence[float] | np.ndarray,
    pairs: Pairs,
    points: np.ndarray,
) -> None:
    """Add Re Σ_k w_k A(k)_ij exp(i k R) to ``total``, by pair."""
    m = total.shape[1]
    size = pairs.n_atoms * m
    translations, which = _translations(pairs)
    if len(translations) * size**2 > DENSE:
        for matrix, weight, k in zip(matrices, weights, points, strict=True):
            _gather(total, weight * matrix, pairs, 2 * np.pi * (pairs.translation @ k))
        return
    angle = 2 * np.pi * (translations @ np.asarray(points).T)
    flat = np.stack([weight * matrix for weight, matrix in zip(weights, matrices, strict=True)]).reshape(
        len(points), -1
    )
    dense = np.cos(angle) @ flat.real - np.sin(angle) @ flat.imag
    blocks = dense.reshape(-1, pairs.n_atoms, m, pairs.n_atoms, m)
    total += blocks[which, pairs.i, :, pairs.j, :]


def is_real(k: Float[np.ndarray, " 3"]) -> bool:
    """Whether k is half a reciprocal lattice vector, so that all phases are signs."""
    return bool(np.abs(2 * k - np.round(2 * k)).max() < 1e-9)


def _translations(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    found, which = np.unique(pairs.translation, axis=0, return_inverse=True)
    return found, which.ravel()


def _spread(parts: np.ndarray, pairs: Pairs, which: np.ndarray, n_translations: int) -> np.ndarray:
    """(translations, n n)."""
    n, m = pairs.n_atoms, parts.shape[1]
    dense = np.zeros((n_translations, n, m, n, m))
    dense[which, pairs.i, :, pairs.j, :] = parts
    return dense.reshape(n_translations, -1)


def _fold(parts: np.ndarray, pairs: Pairs, angle: np.ndarray, real: bool) -> np.ndarray:
    n, m = pairs.n_atoms, parts.shape[1]
    where = torch.from_numpy(pairs.i * n + pairs.j)

    def folded(phase: np.ndarray) -> np.ndarray:
        found = torch.zeros(n * n, m, m, dtype=torch.float64)
        found.index_add_(0, where, torch.from_numpy(parts * phase[:, None, None]))
        return found.reshape(n, n, m, m).permute(0, 2, 1, 3).reshape(n * m, n * m).numpy()

    return folded(np.cos(angle)) if real else folded(np.cos(angle)) + 1j * folded(np.sin(angle))


def _gather(total: np.ndarray, matrix: np.ndarray, pairs: Pairs, angle: np.ndarray) -> None:
    n, m = pairs.n_atoms, total.shape[1]
    parts = matrix.reshape(n, m, n, m)[pairs.i, :, pairs.j, :]
    total += parts.real * np.cos(angle)[:, None, None]
    if np.iscomplexobj(parts):
        total -= parts.imag * np.sin(angle)[:, None, None]
