"""Lowest states of many orbitals: a few orbitals of each atom stand for all that it has.

Of the orbitals of an atom as they are in the crystal, P are the lowest, Q the others, made orthogonal to all P. At an
energy ε among those of the filled states Q follows P by T = -(H - ε S)_QQ⁻¹ H_QP (Löwdin, J. Math. Phys. 3, 969
(1962)), so that the small basis P + Q T has the states near ε almost exactly. What it lacks, away from ε, is added by
block Davidson steps (Davidson, J. Comput. Phys. 17, 87 (1975)); the same folding tells them where to look. No matrix of
all orbitals is diagonalised, and none but that of Q factorised. In single precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

__all__ = ["folded_states"]

Matrix = Float[np.ndarray, "n n"] | Complex[np.ndarray, "n n"]
States = Float[Tensor, "n bands"] | Complex[Tensor, "n bands"]

ABOVE = 0.2  # hartree, ε above the mean energy of the lowest orbitals: among the filled states
CONVERGED = 1e-3  # norm of what a step still adds to a filled state, rms
MOST_STEPS = 6
NEAREST = 0.05  # hartree; what lies closer to a state counts as this far from it
ROUNDING = 1e-9  # squared norm below which a correction is nothing but rounding


def folded_states(s: Matrix, h: Matrix, n_atoms: int, bands: int, filled: int) -> States | None:
    """Lowest eigenvectors of H c = e S c.

    Args:
        s, h: Hermitian; the orbitals of an atom are side by side.
        n_atoms: that have them.
        bands: states.
        filled: of these, how many have to be converged.

    Returns:
        None where it does not converge, or there are too few orbitals for it.
    """
    own = -(-bands // n_atoms)  # orbitals of an atom in P
    if own >= len(s) // n_atoms:
        return None
    try:
        return _converged(_fold(s, h, n_atoms, own), bands, filled)
    except torch.linalg.LinAlgError:  # such as of orbitals that depend on each other
        return None


@dataclass(frozen=True, eq=False)
class _Folded:
    """Matrices and vectors of one problem, P before Q.

    Args:
        s, h: (n, n) of the orbitals as they came.
        turn: (atoms, m, m) columns are an atom's orbitals in the crystal, the lowest first.
        n_own: of them are in P.
        overlap: (p, q) Z; P Z is taken from Q.
        factor: (q, q) Cholesky factor of (H - ε S)_QQ.
        answer: (q, p) T.
        energies: (p,) of the small basis.
        vectors: (p, p) its states.
    """

    s: Tensor
    h: Tensor
    turn: Tensor
    n_own: int
    overlap: Tensor
    factor: Tensor
    answer: Tensor
    energies: Tensor
    vectors: Tensor

    def start(self, bands: int) -> tuple[Tensor, Tensor]:
        """Energies and states of the small basis."""
        p = self.vectors[:, :bands]
        return self.energies[:bands], _as_they_came(self.turn, self.overlap, p, self.answer @ p, self.n_own)

    def correction(self, residual: Tensor, energies: Tensor) -> Tensor:
        """-(H - ε S)⁻¹ of residuals, the small basis at each state's own energy, without its part of these states."""
        p, q = _by_atom(residual, self.turn, self.n_own)
        q -= self.overlap.mH @ p
        others, above = self.vectors[:, len(energies) :], self.energies[len(energies) :]
        distance = (above[:, None] - energies[None]).clamp(min=NEAREST).to(self.s.real.dtype)
        p = -others @ (others.mH @ (p + self.answer.mH @ q) / distance)
        q = self.answer @ p - torch.cholesky_solve(q, self.factor)
        return _as_they_came(self.turn, self.overlap, p, q, self.n_own)


def _fold(s_all: Matrix, h_all: Matrix, n_atoms: int, n_own: int) -> _Folded:
    s, h = (_single(torch.from_numpy(x)) for x in (s_all, h_all))
    energies, turn = _of_atoms(s, h, n_atoms)
    level = float(energies[:, 0].mean()) + ABOVE
    s_pp, s_qp, _ = _blocks(s, turn, n_own)
    m_pp, m_qp, m_qq = _blocks(h - level * s, turn, n_own)
    overlap = torch.cholesky_solve(s_qp.mH.contiguous(), torch.linalg.cholesky(s_pp))
    taken = (m_qp - 0.5 * overlap.mH @ m_pp) @ overlap
    m_qq -= taken
    m_qq -= taken.mH
    factor = torch.linalg.cholesky(m_qq)
    del taken, m_qq  # as large as everything
    m_qp -= overlap.mH @ m_pp
    answer = -torch.cholesky_solve(m_qp, factor)
    one = torch.eye(len(s_pp), dtype=s.dtype)
    basis = _as_they_came(turn, overlap, one, answer, n_own)
    e, vectors = _generalised(m_pp + m_qp.mH @ answer, basis.mH @ (s @ basis))
    return _Folded(s, h, turn, n_own, overlap, factor, answer, e + level, vectors.to(s.dtype))


def _converged(folded: _Folded, bands: int, filled: int) -> Tensor | None:
    """Davidson steps, until what they add to the filled states is small."""
    e, x = folded.start(bands)
    hx, sx = folded.h @ x, folded.s @ x
    for _ in range(MOST_STEPS):
        added = folded.correction(hx - sx * e.to(x.real.dtype), e)
        h_added, s_added = folded.h @ added, folded.s @ added
        known = x.mH @ s_added
        added, h_added, s_added = added - x @ known, h_added - hx @ known, s_added - sx @ known
        metric = _double(added.mH @ s_added)
        norm, axes = torch.linalg.eigh(0.5 * (metric + metric.mH))
        axes = (axes[:, norm > ROUNDING] / norm[norm > ROUNDING].sqrt()).to(x.dtype)
        span, h_span, s_span = (
            torch.cat([old, new @ axes], 1) for old, new in ((x, added), (hx, h_added), (sx, s_added))
        )
        e, turn = _generalised(span.mH @ h_span, span.mH @ s_span)
        e, turn = e[:bands], turn[:, :bands].to(x.dtype)
        x, hx, sx = span @ turn, h_span @ turn, s_span @ turn
        if float(metric.diagonal().real[:filled].mean()) < CONVERGED**2:
            return x
    return None


def _of_atoms(s: Tensor, h: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
    """Energies (atoms, m), ascending, and orbitals (atoms, m, m) of each atom in the crystal."""
    m, atoms = len(s) // n_atoms, torch.arange(n_atoms)
    e, turn = _generalised(*(x.view(n_atoms, m, n_atoms, m)[atoms, :, atoms] for x in (h, s)))
    return e, turn.to(s.dtype)


def _blocks(x: Tensor, turn: Tensor, n_own: int) -> tuple[Tensor, Tensor, Tensor]:
    """PP, QP and QQ of a matrix."""
    n_atoms, m, _ = turn.shape
    rows = torch.matmul(turn.mH, x.view(n_atoms, m, -1)).view(-1, n_atoms, m).transpose(0, 1)
    parts = torch.matmul(rows, turn).view(n_atoms, n_atoms, m, m)  # atoms of column and row, orbitals of row and column
    p, q = slice(None, n_own), slice(n_own, None)
    n_p, n_q = n_atoms * n_own, n_atoms * (m - n_own)
    pp, qp, qq = (parts[:, :, a, b].permute(1, 2, 0, 3) for a, b in ((p, p), (q, p), (q, q)))
    return pp.reshape(n_p, n_p), qp.reshape(n_q, n_p), qq.reshape(n_q, n_q)


def _by_atom(x: Tensor, turn: Tensor, n_own: int) -> tuple[Tensor, Tensor]:
    """Products of P and of Q, each as they are in the crystal, with columns."""
    n_atoms, m, _ = turn.shape
    both = torch.matmul(turn.mH, x.view(n_atoms, m, -1))
    return both[:, :n_own].reshape(n_atoms * n_own, -1), both[:, n_own:].reshape(n_atoms * (m - n_own), -1)


def _as_they_came(turn: Tensor, overlap: Tensor, p: Tensor, q: Tensor, n_own: int) -> Tensor:
    """Columns over P and Q, the latter orthogonal to P, in the orbitals as they came."""
    n_atoms, m, _ = turn.shape
    p = p - overlap @ q
    both = torch.cat([p.view(n_atoms, n_own, -1), q.view(n_atoms, m - n_own, -1)], 1)
    return torch.matmul(turn, both).view(n_atoms * m, -1)


def _generalised(h: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """All of H c = e S c, in double precision."""
    h, s = _double(h), _double(s)
    lower = torch.linalg.cholesky(0.5 * (s + s.mH))
    half = torch.linalg.solve_triangular(lower, 0.5 * (h + h.mH), upper=False)
    standard = torch.linalg.solve_triangular(lower, half.mH, upper=False)
    e, c = torch.linalg.eigh(0.5 * (standard + standard.mH))
    return e, torch.linalg.solve_triangular(lower.mH, c, upper=True)


def _single(x: Tensor) -> Tensor:
    return x.to(torch.complex64 if x.is_complex() else torch.float32)


def _double(x: Tensor) -> Tensor:
    return x.to(torch.complex128 if x.is_complex() else torch.float64)
