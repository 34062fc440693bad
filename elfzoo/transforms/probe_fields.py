"""The compiled kernel of models whose points read the fields of atoms: fields, invariants and network, fused.

A field of an atom is f_c(x) = Σ_lm Y_lm(x) Σ_n D[lm, n, c] R_n(|x|), see :mod:`elfzoo.models.probe_graph`. The sum over
n depends on the distance alone: here it is tabulated once per atom, as a cubic spline in ``n_steps`` steps, of which
four coefficients matter at a point. That is less than half of the operations of the product with D. The spline errs by
1e-6 of a radial function at most, which moves ELF by less than 1e-6: rounding in single precision does as much. Of
free-atom densities, which are sharper, the arsinh errs by 1e-4 at most, that of the gradient within 0.1 Å of a nucleus
by 3e-3.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int, UInt
from torch import Tensor

from elfzoo import native
from elfzoo.native import level_of
from elfzoo.periodic import CellList
from elfzoo.transforms.fused import FusedNetwork, c_cell_list, finite
from elfzoo.transforms.power_spectrum import PowerSpectrumConfig, radial_functions
from elfzoo.transforms.radial_density import BLOCKS, SCALE, block_table, faded_density

__all__ = [
    "AtomTables",
    "FieldLayout",
    "available",
    "evaluate",
    "free_atom_columns",
    "n_steps",
    "radial_table",
    "tables",
]

STEPS_PER_SIGMA, FEWEST_STEPS = 12, 96
MAX_KINDS, MULTIPLE = 16, 16
MEMORY = 2**31  # bytes of tables that are kept
NEAR_ZERO = 1e-3  # Å: where a quotient by the distance is taken at the nucleus
Y_0, Y_1 = math.sqrt(1 / (4 * math.pi)), math.sqrt(3 / (4 * math.pi))  # of l = 0, and of l = 1 over x, y or z


class _Fields(ctypes.Structure):
    _fields_ = [(k, ctypes.c_int) for k in ("n_steps", "l_max", "width")]
    _fields_ += [(k, ctypes.c_float) for k in ("r_cut", "softening")]
    _fields_ += [("n_kinds", ctypes.c_int), ("mul", ctypes.c_int * MAX_KINDS), ("dim", ctypes.c_int * MAX_KINDS)]
    _fields_ += [("free_atoms", ctypes.c_int), ("density_scale", ctypes.c_float)]


@dataclass(frozen=True)
class FieldLayout:
    """What a point receives, and from how far.

    Args:
        expansion: the functions of an edge; smooth ones.
        kinds: copies and components of each kind of fields, the scalars first.
        free_atoms: whether free-atom densities come behind the fields, as in
            :func:`~elfzoo.transforms.radial_density.sad_features`.
    """

    expansion: PowerSpectrumConfig
    kinds: tuple[tuple[int, int], ...]
    free_atoms: bool = False

    @property
    def n_columns(self) -> int:
        """Numbers that are summed over atoms."""
        return sum(mul * dim for mul, dim in self.kinds) + (len(BLOCKS) + 3) * self.free_atoms

    @property
    def width(self) -> int:
        """Columns of a table, with those that fill up its rows."""
        return -(-self.n_columns // MULTIPLE) * MULTIPLE

    @property
    def n_features(self) -> int:
        """Numbers that a point is described by: scalars, products of pairs, free-atom densities."""
        pairs = sum(mul if i == 0 else mul * (mul + 1) // 2 for i, (mul, _) in enumerate(self.kinds))
        return pairs + (len(BLOCKS) + 2) * self.free_atoms

    @property
    def harmonics(self) -> int:
        return (self.expansion.l_max + 1) ** 2


def available(layout: FieldLayout) -> bool:
    """Whether the kernel was built with the package and takes such fields."""
    fits = layout.expansion.smooth and layout.expansion.channels == 1 and len(layout.kinds) <= MAX_KINDS
    return fits and (layout.expansion.l_max > 0 or not layout.free_atoms) and native.load(native.KERNEL) is not None


def n_steps(expansion: PowerSpectrumConfig) -> int:
    """Steps of the tables on [0, r_cut]."""
    return max(FEWEST_STEPS, math.ceil(STEPS_PER_SIGMA * expansion.r_cut / expansion.sigma))


def radial_table(values: Float[np.ndarray, "nodes n"]) -> Float[np.ndarray, "coefficients n"]:
    """Coefficients of the cubic B-splines through values at equally spaced nodes, with slope 0 at both ends."""
    n = len(values)
    system = np.zeros((n + 2, n + 2))
    nodes = np.arange(n)
    for offset, weight in ((0, 1 / 6), (1, 4 / 6), (2, 1 / 6)):
        system[nodes + 1, nodes + offset] = weight
    for row, first in ((0, 0), (n + 1, n - 1)):
        system[row, [first, first + 2]] = -1.0, 1.0
    return np.linalg.solve(system, np.concatenate([values[:1] * 0, values, values[:1] * 0]))


@lru_cache(maxsize=32)
def _radial(expansion: PowerSpectrumConfig) -> Float[Tensor, "coefficients n"]:
    r = np.linspace(0, expansion.r_cut, n_steps(expansion) + 1)
    vectors = torch.from_numpy(np.stack([r, 0 * r, 0 * r], axis=1))
    return torch.from_numpy(radial_table(radial_functions(vectors, expansion).numpy())).float()


def tables(
    matrices: Float[Tensor, "atoms functions fields"],
    layout: FieldLayout,
    free: Float[Tensor, "atoms coefficients lm more"] | None,
) -> Float[Tensor, "atoms coefficients lm width"]:
    """The fields of some atoms as the kernel reads them.

    Args:
        matrices: D of each atom, functions (lm, n) in C order as :func:`elfzoo.nn.messages.edge_basis` gives them.
        layout: of the fields.
        free: :func:`free_atom_columns` of each atom, where the layout has them.
    """
    expansion = layout.expansion
    radial = _radial(expansion)
    split = matrices.float().unflatten(1, (layout.harmonics, expansion.n_radial)) * math.sqrt(4 * math.pi)
    found = torch.zeros(len(matrices), len(radial), layout.harmonics, layout.width, dtype=torch.float32)
    n_fields = matrices.shape[2]
    for component in range(layout.harmonics):  # one at a time: the product is as large as the table
        found[:, :, component, :n_fields] = radial @ split[:, component]
    if free is not None:
        found[..., n_fields : layout.n_columns] = free
    return found


@lru_cache(maxsize=512)
def free_atom_columns(z: int, stretch: float, layout: FieldLayout) -> Float[Tensor, "coefficients lm more"]:
    """The part of a table that gives a free atom's density, in the column of its block, and the gradient of it.

    Args:
        z: atomic number.
        stretch: of the atom's reach over ``r_cut``, and of its functions.
        layout: of the fields.
    """
    expansion = layout.expansion
    scaled = torch.linspace(0, expansion.r_cut, n_steps(expansion) + 1, dtype=torch.float64)
    scaled[0] = NEAR_ZERO
    numbers = torch.full(scaled.shape, z)
    density, slope = (part.double() for part in faded_density(scaled * stretch, numbers, expansion.r_cut * stretch))
    unit = torch.sqrt(scaled**2 + expansion.softening**2) / scaled  # harmonics are of a softened unit vector
    radial = torch.from_numpy(radial_table(torch.stack([density / Y_0, slope * unit / Y_1], dim=1).numpy()))
    found = torch.zeros(len(radial), layout.harmonics, len(BLOCKS) + 3)
    found[:, 0, : len(BLOCKS)] = radial[:, :1] * block_table()[z].double()
    for component in range(3):
        found[:, 1 + component, len(BLOCKS) + component] = radial[:, 1]
    return found


class AtomTables:
    """Tables of the atoms that points are near to, made when they are first needed; for any number of threads.

    Args:
        cells: images of the atoms.
        make: tables of some atoms, (atoms, ...), single precision.
        reach: Å; of the atoms' fields, the largest.
        memory: bytes; when there would be more, only what is needed at the moment is kept. What one block of points
            needs is held in any case.
    """

    def __init__(
        self, cells: CellList, make: Callable[[Int[np.ndarray, " some"]], Tensor], reach: float, memory: int = MEMORY
    ):
        self.cells, self.reach, self.memory = cells, reach, memory
        self._make, self._lock = make, threading.Lock()
        self._found: dict[int, Tensor] = {}

    def near(self, points: Float[np.ndarray, "points 3"]) -> tuple[UInt[np.ndarray, " images"], list[Tensor]]:
        """For each image the address of its table, 0 for those out of reach; and the tables, to be held meanwhile."""
        low, high = points.min(axis=0) - self.reach - 1e-3, points.max(axis=0) + self.reach + 1e-3
        images = np.flatnonzero(((self.cells.positions >= low) & (self.cells.positions <= high)).all(axis=1))
        atoms, which = np.unique(self.cells.atom[images], return_inverse=True)
        with self._lock:
            held = self._tables(atoms.tolist())
        addresses = np.zeros(len(self.cells.positions), np.uint64)
        addresses[images] = np.array([table.data_ptr() for table in held], np.uint64)[which]
        return addresses, held

    def _tables(self, atoms: list[int]) -> list[Tensor]:
        missing = [atom for atom in atoms if atom not in self._found]
        if missing:
            made = self._make(np.array(missing))
            if (len(self._found) + len(made)) * made[0].nbytes > self.memory:
                # copies, because a table made with others holds the memory of them all
                self._found = {atom: self._found[atom].clone() for atom in atoms if atom in self._found}
            self._found.update(zip(missing, made, strict=True))
        return [self._found[atom] for atom in atoms]


def evaluate(
    layout: FieldLayout,
    atoms: AtomTables,
    inverse_stretch: Float[np.ndarray, "images 1"],
    network: FusedNetwork | None,
    points: Float[np.ndarray, "points 3"],
    level: str | None = None,
) -> Float[np.ndarray, " points"] | Float[np.ndarray, "points features"]:
    """Logits at points (Å) inside the cell that the images surround; without a network what it would see.

    Releases the interpreter lock: call it from several threads on blocks of points.

    Args:
        layout: of the fields.
        atoms: images and tables.
        inverse_stretch: of each image, single precision.
        network: with the standardisation of the features.
        points: near each other, best in compact tiles of 64.
        level: instruction set; the best one by default.
    """
    library = native.load(native.KERNEL)
    if library is None:
        raise RuntimeError("the compiled kernel was not built with this installation")
    points = finite(points)
    out = np.empty((len(points), layout.n_features) if network is None else len(points), np.float32)
    if not len(points):
        return out
    addresses, held = atoms.near(points)
    failed = library.elfzoo_fields(
        level_of(library, level),
        ctypes.byref(_c_layout(layout)),
        ctypes.byref(c_cell_list(atoms.cells, inverse_stretch)),
        ctypes.c_void_p(addresses.ctypes.data),
        ctypes.c_float(atoms.reach),
        None if network is None else ctypes.byref(network._c),  # type: ignore[attr-defined]
        ctypes.c_void_p(points.ctypes.data),
        ctypes.c_long(len(points)),
        ctypes.c_void_p(out.ctypes.data),
    )
    del held
    if failed:
        raise MemoryError(f"the kernel could not allocate its buffers for {layout}")
    return out


def _c_layout(layout: FieldLayout) -> ctypes.Structure:
    expansion, kinds = layout.expansion, layout.kinds
    numbers = (n_steps(expansion), expansion.l_max, layout.width, expansion.r_cut, expansion.softening, len(kinds))
    found = _Fields(*numbers, free_atoms=layout.free_atoms, density_scale=SCALE)
    for i, (mul, dim) in enumerate(kinds):
        found.mul[i], found.dim[i] = mul, dim
    return found
