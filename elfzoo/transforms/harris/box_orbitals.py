"""Orbitals at the points of a box for the two sums over the grid, and sums by pair: compiled, or with numpy and torch.

The compiled kernel has the formulas of :func:`elfzoo.transforms.harris.orbitals.orbitals`, in single precision and
without arrays in between.
"""

from __future__ import annotations

import ctypes

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elfzoo import native
from elfzoo.native import level_of
from elfzoo.transforms.harris.blocks import Block
from elfzoo.transforms.harris.orbitals import BOHR, BasisConfig, orbitals, shell_norm

__all__ = ["MAX_SHELLS", "CBasis", "acted", "add_by_pair", "sloped"]

MAX_SHELLS = 16
LANES = 16  # points, of the widest vectors
FAR = 1e4  # bohr, where points are that fill the last vector


class CBasis(ctypes.Structure):
    """``Basis`` of the kernel."""

    _fields_ = [("n_shells", ctypes.c_int), ("l", ctypes.c_int * MAX_SHELLS)]
    _fields_ += [(name, ctypes.c_float * MAX_SHELLS) for name in ("zeta", "scale")]
    _fields_ += [(name, ctypes.c_float) for name in ("r_cut", "softening")]


def acted(
    block: Block, basis: BasisConfig, potential: Float[np.ndarray, " points"], level: str | None = None
) -> Float[Tensor, "2 functions columns"]:
    """φ and (V - ∇²/2) φ at the points of a box, hartree and bohr, in single precision.

    Args:
        block: points, and the images of atoms that reach them.
        basis: of each atom.
        potential: at the points.
        level: instruction set, of :mod:`elfzoo.transforms.fused`; the best one unless stated.

    Returns:
        Columns are the points, and zeros up to a multiple of 16 behind them where the kernel is there.
    """
    library = _library(basis)
    if library is not None:
        return _run(library, block, basis, potential, 2, level)
    phi, _, laplacian = orbitals(block.vectors(), basis)
    half = np.float32(0.5)
    return torch.from_numpy(np.stack([phi, potential.astype(np.float32) * phi - half * laplacian]))


def sloped(block: Block, basis: BasisConfig, level: str | None = None) -> Float[Tensor, "4 functions columns"]:
    """φ and its gradient (1/bohr) at the points of a box; arguments and columns as of :func:`acted`."""
    library = _library(basis)
    if library is not None:
        return _run(library, block, basis, None, 4, level)
    phi, slopes, _ = orbitals(block.vectors(), basis)
    return torch.from_numpy(np.concatenate([phi[None], slopes]))


def add_by_pair(
    total: Float[np.ndarray, "pairs m m"], which: Int[np.ndarray, "images images"], found: Float[Tensor, "n n"]
) -> None:
    """Add the symmetric part of a matrix between the orbitals of images to the pairs that they are, each pair once.

    Of images a < b half of F_ab + F_ba^T goes to the pair (a, b), nothing to (b, a); of a = b a quarter: so that the
    sums and the turned ones of the turned pairs together are everything.
    """
    images, m = len(which), total.shape[1]
    library = native.load(native.KERNEL)
    if library is None:
        parts = found.reshape(images, m, images, m).permute(0, 2, 1, 3).double()
        first, second = torch.triu_indices(images, images)
        weight = torch.where(first == second, 0.25, 0.5).double()[:, None, None]
        chosen = weight * (parts[first, second] + parts[second, first].mT)
        torch.from_numpy(total).index_add_(0, torch.from_numpy(which)[first, second], chosen)
        return
    found, which = found.float().contiguous(), np.ascontiguousarray(which, np.int64)
    if which.max(initial=-1) >= len(total) or total.dtype != np.float64 or not total.flags.c_contiguous:
        raise ValueError(
            f"expected pairs below {len(total)} and sums in double precision; got {which.max()}, {total.dtype}"
        )
    pointers = (total.ctypes.data, which.ctypes.data, found.data_ptr())
    library.elfzoo_add_by_pair(*map(ctypes.c_void_p, pointers), ctypes.c_long(images), ctypes.c_long(m))


def _library(basis: BasisConfig) -> ctypes.CDLL | None:
    return native.load(native.KERNEL) if len(basis.shells) <= MAX_SHELLS else None


def _run(
    library: ctypes.CDLL,
    block: Block,
    basis: BasisConfig,
    potential: np.ndarray | None,
    parts: int,
    level: str | None,
) -> Tensor:
    n_atoms, n_points = len(block.atom), len(block.points)
    columns = -(-n_points // LANES) * LANES
    origin = block.positions[0]  # differences in double precision keep what single precision would lose far away
    # stated, for the defaults of torch are the user's
    points = torch.full((3, columns), FAR, dtype=torch.float32, device="cpu")
    values = torch.zeros(columns, dtype=torch.float32, device="cpu")
    points[:, :n_points] = torch.from_numpy((block.positions - origin).T / BOHR)
    centres = torch.from_numpy(((block.centres - origin) / BOHR).astype(np.float32))
    if potential is not None:
        values[:n_points] = torch.from_numpy(potential)
    out = torch.empty(parts, n_atoms * basis.size, columns, dtype=torch.float32, device="cpu")
    library.elfzoo_orbitals(
        level_of(library, level),
        ctypes.byref(_c_basis(basis)),
        ctypes.c_void_p(points.data_ptr()),
        ctypes.c_long(columns),
        ctypes.c_void_p(centres.data_ptr()),
        ctypes.c_long(n_atoms),
        None if potential is None else ctypes.c_void_p(values.data_ptr()),
        ctypes.c_void_p(out.data_ptr()),
    )
    return out


def _c_basis(basis: BasisConfig) -> CBasis:
    found = CBasis(n_shells=len(basis.shells), r_cut=basis.r_cut / BOHR, softening=basis.softening)
    for i, shell in enumerate(basis.shells):
        found.l[i], found.zeta[i], found.scale[i] = shell.l, shell.zeta, shell_norm(shell)
    return found
