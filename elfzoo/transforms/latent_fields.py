"""The compiled kernel of latent functions: orbitals of atoms, their superposition, its ELF and network, fused.

The same as :func:`elfzoo.transforms.atomic_orbitals.orbital_values` times the coefficients of the atoms, then
:func:`elfzoo.nn.pauli.pauli_features`, then a network, in single precision and without arrays in between. The kernel
has the harmonics of :mod:`elfzoo.transforms.harris.orbitals`, shell by shell: coefficients are turned into those once.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt
from torch import Tensor

from elfzoo import native
from elfzoo.native import level_of
from elfzoo.nn.pauli import CHI, DENSITY, UNIFORM
from elfzoo.periodic import CellList
from elfzoo.transforms.atomic_orbitals import BOHR, OrbitalConfig, orbital_norm
from elfzoo.transforms.fused import PANEL, FusedNetwork, c_cell_list, finite
from elfzoo.transforms.harris.box_orbitals import MAX_SHELLS, CBasis
from elfzoo.transforms.probe_fields import MAX_KINDS

__all__ = ["LatentLayout", "available", "evaluate", "packed"]

# each of e3nn's harmonics of l = 2 over the square root of 5 / 4π, as a sum of the kernel's: xy, yz, zx,
# (x² - y²) / 2, (2z² - x² - y²) / 2√3
ROOT = math.sqrt(3)
SECOND = (
    (0.0, 0.0, ROOT, 0.0, 0.0),  # √3 xz
    (ROOT, 0.0, 0.0, 0.0, 0.0),  # √3 xy
    (0.0, 0.0, 0.0, -1.5, -ROOT / 2),  # y² - (x² + z²) / 2
    (0.0, ROOT, 0.0, 0.0, 0.0),  # √3 yz
    (0.0, 0.0, 0.0, -ROOT / 2, 1.5),  # √3 / 2 (z² - x²)
)


class _Latent(ctypes.Structure):
    _fields_ = [(k, ctypes.c_int) for k in ("n_functions", "n_scalars", "n_kinds")]
    _fields_ += [("mul", ctypes.c_int * MAX_KINDS), ("dim", ctypes.c_int * MAX_KINDS)]
    _fields_ += [(k, ctypes.c_float) for k in ("unit", "density", "uniform", "chi")]


@dataclass(frozen=True)
class LatentLayout:
    """What is superposed, and from what.

    Args:
        orbitals: of each atom.
        kinds: copies and components of each kind of latent functions, the even scalars first.
        scalars: number of even scalars.
    """

    orbitals: OrbitalConfig
    kinds: tuple[tuple[int, int], ...]
    scalars: int

    @property
    def shells(self) -> list[tuple[int, float]]:
        """Degree and exponent of each shell of an atom."""
        return [(degree, zeta) for degree, zetas in enumerate(self.orbitals.exponents) for zeta in zetas]

    @property
    def n_functions(self) -> int:
        return sum(mul * dim for mul, dim in self.kinds)

    @property
    def n_features(self) -> int:
        """Of :func:`elfzoo.nn.pauli.pauli_features`."""
        pairs = [mul * (mul + 1) // 2 for mul, _ in self.kinds]
        return 3 + 2 * self.scalars + 2 * sum(pairs) - pairs[0]


def available(layout: LatentLayout) -> bool:
    """Whether the kernel was built with the package and takes so many shells and kinds."""
    fits = len(layout.shells) <= MAX_SHELLS and len(layout.kinds) <= MAX_KINDS
    return fits and native.load(native.KERNEL) is not None


def packed(
    matrices: Float[Tensor, "atoms orbitals functions"], layout: LatentLayout
) -> Float[np.ndarray, "atoms panels orbitals panel"]:
    """Coefficients as the kernel reads them: of its own orbitals, in panels of six functions that zeros fill up.

    Args:
        matrices: of each atom, from its orbitals as ``orbital_values`` orders them to the latent functions.
        layout: of both.
    """
    matrices, parts, at = matrices.double(), [], 0
    for degree, zetas in enumerate(layout.orbitals.exponents):
        width = 2 * degree + 1
        block = matrices[:, at : at + width * len(zetas)].unflatten(1, (width, len(zetas)))
        parts.append(torch.einsum("azsf,zk->askf", block, _harmonics(degree)).flatten(1, 2))
        at += width * len(zetas)
    turned = torch.cat(parts, dim=1).float()
    n_atoms, size, n = turned.shape
    padded = turned.new_zeros(n_atoms, size, -(-n // PANEL) * PANEL)
    padded[:, :, :n] = turned
    return np.ascontiguousarray(padded.unflatten(2, (-1, PANEL)).transpose(1, 2).numpy())


def _harmonics(degree: int) -> Float[Tensor, "e3nn kernel"]:
    """Solid harmonics of ``orbital_values`` as sums of the kernel's."""
    known = torch.tensor(SECOND, dtype=torch.float64) if degree == 2 else torch.eye(2 * degree + 1, dtype=torch.float64)
    return math.sqrt((2 * degree + 1) / (4 * math.pi)) * known


def evaluate(
    layout: LatentLayout,
    cells: CellList,
    coefficients: Float[np.ndarray, "atoms panels orbitals panel"],
    network: tuple[FusedNetwork, float] | None,
    points: Float[np.ndarray, "points 3"],
    level: str | None = None,
) -> Float[np.ndarray, " points"] | Float[np.ndarray, "points features"]:
    """Logits at points (Å) inside the cell that the images surround; without a network the features.

    Releases the interpreter lock: call it from several threads on blocks of points.

    Args:
        layout: of the functions.
        cells: images of the atoms.
        coefficients: :func:`packed`, of each atom.
        network: with the standardisation of the features, and the factor of the functions' own logit.
        points: near each other, best in compact tiles of 64.
        level: instruction set, of :mod:`elfzoo.transforms.fused`; the best one by default.
    """
    library = native.load(native.KERNEL)
    if library is None:
        raise RuntimeError("the compiled kernel was not built with this installation")
    points = finite(points)
    out = np.empty((len(points), layout.n_features) if network is None else len(points), np.float32)
    no_weights = np.zeros((0, 1), np.float32)
    addresses = _addresses(cells, coefficients)
    failed = library.elfzoo_latent(
        level_of(library, level),
        ctypes.byref(_c_basis(layout)),
        ctypes.byref(_c_latent(layout)),
        ctypes.byref(c_cell_list(cells, no_weights)),
        ctypes.c_void_p(addresses.ctypes.data),
        None if network is None else ctypes.byref(network[0]._c),  # type: ignore[attr-defined]
        ctypes.c_float(1.0 if network is None else network[1]),
        ctypes.c_void_p(points.ctypes.data),
        ctypes.c_long(len(points)),
        ctypes.c_void_p(out.ctypes.data),
    )
    if failed:
        raise MemoryError(f"the kernel could not allocate its buffers for {layout}")
    return out


def _addresses(cells: CellList, coefficients: np.ndarray) -> UInt[np.ndarray, " images"]:
    """Where the coefficients of each image's atom are."""
    return coefficients.ctypes.data + cells.atom.astype(np.uint64) * np.uint64(coefficients[0].nbytes)


def _c_basis(layout: LatentLayout) -> CBasis:
    config = layout.orbitals
    found = CBasis(n_shells=len(layout.shells), r_cut=config.r_cut / BOHR, softening=config.softening)
    for i, (degree, zeta) in enumerate(layout.shells):
        found.l[i], found.zeta[i], found.scale[i] = degree, zeta, orbital_norm(degree, zeta)
    return found


def _c_latent(layout: LatentLayout) -> _Latent:
    numbers = (layout.n_functions, layout.scalars, len(layout.kinds))
    found = _Latent(*numbers, unit=BOHR, density=DENSITY, uniform=UNIFORM, chi=CHI)
    for i, (mul, dim) in enumerate(layout.kinds):
        found.mul[i], found.dim[i] = mul, dim
    return found
