"""Has the field the symmetry of its structure, and does the grid suit that symmetry."""

from __future__ import annotations

import numpy as np
from pymatgen.core.operations import SymmOp

from elfzoo.check.finding import Finding, Level, by_points
from elfzoo.errors import StructureError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.interpolate import PeriodicSpline
from elfzoo.symmetry import space_group_operations

__all__ = ["SYMPREC", "check_symmetry"]

SYMPREC = 1e-3  # angstrom; ELF changes by about 0.002 over such a distance
SAMPLE = 8192  # grid points looked at: there are up to 192 operations per primitive cell
LARGEST_DEVIATION, WRONG_DEVIATION = 0.02, 0.1
ELSEWHERE = "Put the origin of the cell on a symmetry element"


def check_symmetry(field: Field, symprec: float = SYMPREC) -> list[Finding]:
    """Findings ``symmetry`` (field against space group) and ``grid-symmetry`` (grid against space group).

    Operations that map the grid onto itself are tested by permuting up to 8192 grid points, drawn once and for all;
    the others by spline interpolation, whose error is estimated by comparing orders 3 and 5, and allowed for.

    Args:
        field: finite values.
        symprec: tolerance, Å, with which spglib finds the space group.
    """
    try:
        rotations, translations = space_group_operations(field.structure, symprec)
    except StructureError as error:
        return [Finding("info", "symmetry", str(error), "The symmetry of the field was not checked")]
    on_grid = np.array([field.grid.is_mapped_by(r, t) for r, t in zip(rotations, translations, strict=True)])
    symbol, number = field.structure.get_space_group_info(symprec=symprec)
    group = f"{symbol}, number {number}, symprec {symprec:g} Å"
    deviations, interpolation = _deviations(field, rotations, translations, on_grid)
    worst = int(np.argmax(deviations - interpolation))
    operation = describe_operation(rotations[worst], translations[worst])
    return _field_finding(deviations[worst], interpolation[worst], operation, group) + _grid_finding(
        field.grid, rotations, translations, on_grid, group
    )


def describe_operation(rotation: np.ndarray, translation: np.ndarray) -> str:
    """An operation as International Tables write it, ``-x+y, y, z+1/2``, translations rounded for the eye."""
    nice = np.round(translation * 24) / 24
    shift = np.where(np.abs(nice - translation) < 1e-3, nice, np.round(translation, 3)) % 1.0
    return SymmOp.from_rotation_and_translation(rotation, shift).as_xyz_str()


def _field_finding(deviation: float, interpolation: float, operation: str, group: str) -> list[Finding]:
    if deviation - interpolation <= LARGEST_DEVIATION:
        return []
    message = (
        f"under the operation ({operation}) of the structure's space group ({group}) the field changes by up to "
        f"{deviation:.3f}"
    )
    remedy = (
        "Check origin, axis order and atoms, k-points that break the symmetry, and magnetic order, which may lower it"
    )
    level: Level = "error" if deviation - interpolation > WRONG_DEVIATION else "warning"
    return [Finding(level, "symmetry", message, remedy)]


def _grid_finding(
    grid: Grid, rotations: np.ndarray, translations: np.ndarray, on_grid: np.ndarray, group: str
) -> list[Finding]:
    if on_grid.all():
        return []
    example = int(np.flatnonzero(~on_grid)[0])
    message = (
        f"{int((~on_grid).sum())} of {len(on_grid)} operations of the structure's space group ({group}) do not map "
        f"the grid {by_points(grid.shape)} onto itself, "
        f"such as ({describe_operation(rotations[example], translations[example])})"
    )
    better = _suitable_grid(grid, rotations, translations)
    remedy = f"A grid of {by_points(better.shape)} points would suit it" if better else ELSEWHERE
    return [Finding("warning", "grid-symmetry", message, f"{remedy}; until then symmetrise by interpolation only")]


def _suitable_grid(grid: Grid, rotations: np.ndarray, translations: np.ndarray) -> Grid | None:
    """The next finer grid that all operations map onto itself; None where an origin off their elements forbids it."""
    steps = np.array(grid.spacing)
    for lengths in (steps, np.full(3, steps.min())):  # each axis as fine as before, or else all axes alike
        finer = Grid(Grid.from_spacing(grid.lattice / lengths[:, None], 1.0, translations).shape, grid.lattice)
        if all(finer.is_mapped_by(r, t) for r, t in zip(rotations, translations, strict=True)):
            return finer
    return None


def _deviations(
    field: Field, rotations: np.ndarray, translations: np.ndarray, on_grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(ops,) largest |f(Rx + t) - f(x)| over the sampled points, and the error of interpolation in it."""
    size, shape = field.grid.size, np.array(field.grid.shape)
    sample = np.arange(size) if size <= SAMPLE else np.random.default_rng(0).choice(size, SAMPLE, replace=False)
    points, values = field.grid.frac_coords(sample), field.values.ravel()[sample]
    deviations, interpolation = np.zeros(len(rotations)), np.zeros(len(rotations))
    for n in np.flatnonzero(on_grid):
        images = np.round((points @ rotations[n].T + translations[n]) * shape).astype(int) % shape
        deviations[n] = np.abs(field.values[tuple(images.T)] - values).max()
    if not on_grid.all():
        cubic, quintic = PeriodicSpline.through(field.values, 3), PeriodicSpline.through(field.values, 5)
    for n in np.flatnonzero(~on_grid):
        images = points @ rotations[n].T + translations[n]
        found = quintic(images)
        deviations[n], interpolation[n] = np.abs(found - values).max(), np.abs(found - cubic(images)).max()
    return deviations, interpolation
