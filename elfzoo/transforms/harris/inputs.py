"""What a diagonalisation says about a point: smooth fields on a grid, interpolated to wherever they are wanted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pymatgen.core import Structure

from elfzoo.config import to_dict
from elfzoo.interpolate import PeriodicSpline, low_pass
from elfzoo.io.files import write_bytes
from elfzoo.probe import ProbeData
from elfzoo.transforms.harris.field import UNIFORM, Densities, HarrisConfig, harris_densities

__all__ = ["CACHE_VARIABLE", "N_INPUTS", "HarrisInputs", "add_inputs", "harris_inputs", "keeping", "stored_inputs"]

N_INPUTS = 3
LOWEST_CHI, HIGHEST_CHI = 1e-2, 1e2  # logit(ELF) within ±9.2, as labels are clipped
CACHE_VARIABLE = "ELFZOO_HARRIS_CACHE"
VERSION = 1  # of what is computed; a cache of another one is not read


@dataclass(frozen=True, eq=False)
class HarrisInputs:
    """Smooth fields of one structure.

    Args:
        values: (3, nx, ny, nz): logit(ELF), ln n (n in 1/bohr³), ln(1 + τ_W / τ_TF), each without waves shorter than
            the labels have.
        lattice: (3, 3) rows, Å.
        origin: (3,), Å, where the first point of the grid is.
    """

    values: Float[np.ndarray, "inputs nx ny nz"]
    lattice: Float[np.ndarray, "3 3"]
    origin: Float[np.ndarray, " 3"] | None = None

    def at(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points inputs"]:
        """By quintic splines, at points in Å."""
        from_origin = points if self.origin is None else points - self.origin
        frac_coords = from_origin @ np.linalg.inv(self.lattice)
        return np.stack([spline(frac_coords) for spline in self._splines], axis=1)

    @cached_property
    def _splines(self) -> list[PeriodicSpline]:
        return [PeriodicSpline.through(part, 5) for part in self.values.astype(float)]


def harris_inputs(structure: Structure, config: HarrisConfig, window: tuple[float, float]) -> HarrisInputs:
    """The fields of a structure.

    Args:
        structure: of hydrogen.
        config: of the diagonalisation.
        window: of |G|, rad/Å, as the labels' low-pass.

    Raises:
        ElfzooError: another element.
    """
    densities = harris_densities(_compact(structure), config)
    lattice = densities.grid.lattice
    return HarrisInputs(np.stack([low_pass(part, lattice, window) for part in fields_of(densities)]), lattice)


def stored_inputs(structure: Structure, config: HarrisConfig, window: tuple[float, float]) -> HarrisInputs:
    """:func:`harris_inputs`, kept in the folder that ``ELFZOO_HARRIS_CACHE`` names, if it names one.

    For training alone, which needs the same structures again and again: whoever predicts, and may time it, computes.
    """
    structure = _compact(structure)
    return kept(structure, [VERSION, to_dict(config), list(window)], lambda: harris_inputs(structure, config, window))


def _compact(structure: Structure) -> Structure:
    """The same crystal in a cell of short edges: k-points and grid of a skewed one would be many times as many."""
    reduced = structure.lattice.get_lll_reduced_lattice()
    if np.allclose(np.sort(reduced.abc), np.sort(structure.lattice.abc), rtol=1e-6):
        return structure
    return Structure(reduced, structure.species, structure.cart_coords, coords_are_cartesian=True, to_unit_cell=True)


def kept(structure: Structure, facts: list[Any], compute: Callable[[], HarrisInputs]) -> HarrisInputs:
    """What ``compute`` gives of the very cell ``structure``, from the folder of ``ELFZOO_HARRIS_CACHE`` or into it.

    Args:
        structure: the cell that the fields fill.
        facts: JSON values that decide the fields besides the structure.
        compute: what is kept.
    """
    folder = os.environ.get(CACHE_VARIABLE)
    if not folder:
        return compute()
    path = Path(folder) / f"{_key(structure, facts)}.npy"
    if path.is_file():
        return HarrisInputs(np.load(path, allow_pickle=False), structure.lattice.matrix)
    values = compute().values.astype(np.float32)
    buffer = BytesIO()
    np.save(buffer, values)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, [buffer.getvalue()])
    return HarrisInputs(values, structure.lattice.matrix)


@contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """Meanwhile diagonalisations are kept in the folder, unless ``ELFZOO_HARRIS_CACHE`` names another one."""
    if os.environ.get(CACHE_VARIABLE):
        yield
        return
    os.environ[CACHE_VARIABLE] = str(folder)
    try:
        yield
    finally:
        del os.environ[CACHE_VARIABLE]


def add_inputs(data: ProbeData, solve: Callable[[Structure], HarrisInputs]) -> ProbeData:
    """Solve the structure that probe data were made of; add what it says at their points, as ``probe_inputs``."""
    positions, lattice, points = (part.double().numpy() for part in (data.pos, data.cell[0], data.probe_pos))
    structure = Structure(lattice, data.z.tolist(), positions, coords_are_cartesian=True)
    data.probe_inputs = torch.as_tensor(solve(structure).at(points), dtype=data.pos.dtype)
    return data


def fields_of(densities: Densities) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The fields of :class:`HarrisInputs`, with all waves."""
    n = densities.n
    weizsaecker = densities.gradient / (8 * n) / (UNIFORM * n ** (5 / 3))
    logit = -2 * np.log(np.clip(densities.chi(), LOWEST_CHI, HIGHEST_CHI))
    return logit, np.log(n), np.log1p(weizsaecker)


def _key(structure: Structure, facts: list[Any]) -> str:
    numbers = np.concatenate([structure.lattice.matrix, structure.frac_coords]).round(9) + 0.0
    text = json.dumps(facts, sort_keys=True).encode()
    return hashlib.sha256(text + numbers.astype("<f8").tobytes() + bytes(structure.atomic_numbers)).hexdigest()[:32]
