"""Is a folder of labels fit to be a data set: every file by itself, and all of them together."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, groupby
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from elfzoo.check.symmetry import describe_operation
from elfzoo.errors import ElfzooError, StructureError
from elfzoo.field import Field, Recipe
from elfzoo.io import read_field
from elfzoo.io.quantised import storable
from elfzoo.io.symmetric import TOLERANCE, orbit_means, orbits, write_reference
from elfzoo.progress import progress_bar
from elfzoo.quantity import quantity_of
from elfzoo.reference.recipe import ReferenceRecipe, find_recipe
from elfzoo.symmetry import space_group_operations, standardise

__all__ = ["REQUIRED_META", "Problem", "check_folder"]

REQUIRED_META = (
    *("engine", "functional", "pseudopotential", "pseudopotential_sha256", "cutoff_eV", "k_mesh", "k_spacing"),
    *("smearing", "smearing_width_eV", "pressure_GPa", "energy_eV", "largest_force_eV_A", "scf_converged"),
    *("wall_seconds", "recipe_hash", "group", "origin"),
)
ELECTRON_TOLERANCE = 1e-3  # relative
WIDEST_SPACING = 0.10 + 1e-6  # angstrom
PRIMITIVE_SYMPREC = 1e-2  # angstrom; copies of one crystal from two relaxations differ by less
NEAR = {"ltol": 0.2, "stol": 0.3, "angle_tol": 5.0}  # pymatgen's own: what materials databases call one crystal
SAME = {"ltol": 0.01, "stol": 0.02, "angle_tol": 0.5}  # a strained or rattled crystal is another one
NEAR_VOLUME, SAME_VOLUME = 0.05, 0.005  # relative, per atom
MANY_ATOMS = 64  # in a primitive cell: a frame of MD, and slow to match
SAME_DISTANCES = 0.01  # angstrom; frames of 64 atoms in one state differ by 0.03 or more


@dataclass(frozen=True, order=True)
class Problem:
    """Something that keeps a file out of a data set.

    Args:
        file: name of the file.
        rule: short name of the rule that it breaks, the same in every release.
        message: what was found and what was expected, with numbers.
    """

    file: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file} [{self.rule}] {self.message}"


@dataclass(frozen=True)
class _Label:
    """What the comparison of files needs to know of one, without its values."""

    file: str
    split: str | None
    group: str | None
    recipe: Recipe | None
    recipe_hash: str | None
    primitive: Structure

    @cached_property
    def shortest(self) -> np.ndarray:
        """(atoms,) the shortest of the distances between the atoms, Å, ascending."""
        distances = self.primitive.distance_matrix
        return np.sort(distances[np.triu_indices(len(distances), 1)])[: len(distances)]

    @property
    def volume(self) -> float:
        """Å³ per atom."""
        return float(self.primitive.volume / len(self.primitive))


def check_folder(
    folder: str | Path, split_of: Callable[[str], str] | None = None, show_progress: bool | None = None
) -> list[Problem]:
    """Every reason why the ``*.npz`` labels of a folder are no data set, sorted; none where all is well.

    Rules for each file: ``unreadable``; ``range`` (finite, within [0, 1]; a density not below -0.001 e/Å³);
    ``electrons`` (a density holds the valence electrons, within 0.001 of them); ``meta`` (:data:`REQUIRED_META`);
    ``scf`` (converged); ``spacing`` (at most 0.10 Å); ``grid-symmetry`` (the space group maps the grid onto itself);
    ``symmetry`` (so does it the field, within 0.002, of a density e/Å³, of the mean over each orbit); ``round-trip``
    (written and read again it is the same, bit for bit); ``split`` (the split is known); ``residual`` (a relaxed
    structure is within the limits of the folder's ``recipe.yaml``, if there is one).

    Rules for all of them: ``recipe`` and ``recipe-hash`` (one for all); ``group-across-splits``; ``duplicate`` (the
    same structure twice in a split); ``duplicate-across-splits`` (a similar structure, by pymatgen's structure matcher
    at the same density). Structures of 64 atoms or more are matched only where their shortest distances agree.

    Args:
        folder: where the labels are.
        split_of: gives the split that a file of this name belongs to; without it splits are not looked at.
        show_progress: show a bar; None shows it in a terminal.

    Raises:
        ElfzooError: no ``.npz`` files there. Bad files are reported, not raised.
    """
    paths = sorted(Path(folder).glob("*.npz"))
    if not paths:
        raise ElfzooError(f"no .npz files in {folder}; expected a folder of labels")
    problems: list[Problem] = []
    labels: list[_Label] = []
    made_by = Path(folder) / "recipe.yaml"
    recipe = find_recipe(made_by) if made_by.exists() else None
    with tempfile.TemporaryDirectory() as scratch, progress_bar("checking labels", len(paths), show_progress) as step:
        for path in paths:
            found, label = _check_file(path, split_of, recipe, Path(scratch) / "again.npz")
            problems += [Problem(path.name, rule, message) for rule, message in found]
            labels += [label] if label is not None else []
            step(1)
    problems += _mixed(labels, "recipe", lambda label: label.recipe)
    problems += _mixed(labels, "recipe-hash", lambda label: label.recipe_hash and f"recipe {label.recipe_hash}")
    problems += [*_divided_groups(labels), *_duplicates(labels)]
    return sorted(problems)


Found = tuple[str, str]  # rule and message


def _check_file(
    path: Path, split_of: Callable[[str], str] | None, recipe: ReferenceRecipe | None, scratch: Path
) -> tuple[list[Found], _Label | None]:
    try:
        field = read_field(path, check=False)
        primitive = _primitive(field.structure)
    except ElfzooError as error:
        return [("unreadable", str(error))], None
    found, split = [*_meta(field.meta), *_residual(field.meta, recipe), *_spacing(field)], None
    try:
        split = None if split_of is None else split_of(path.name)
    except ElfzooError as error:
        found.append(("split", str(error)))
    wrong = list(_range(field))
    found += wrong or [*_electrons(field), *_symmetry(field), *_round_trip(field, scratch)]
    group, recipe_hash = (_text(field.meta.get(key)) for key in ("group", "recipe_hash"))
    return found, _Label(path.name, split, group, field.recipe, recipe_hash, primitive)


def _text(entry: Any) -> str | None:
    return None if entry is None else str(entry)


def _primitive(structure: Structure) -> Structure:
    try:
        return standardise(structure, symprec=PRIMITIVE_SYMPREC)
    except StructureError:  # no symmetry, not even translations: it is as small as it gets
        return structure


def _range(field: Field) -> Iterator[Found]:
    values = field.values
    if not np.isfinite(values).all():
        yield "range", f"{int((~np.isfinite(values)).sum())} of {values.size} values are not finite"
        return
    try:
        storable(field)
    except ElfzooError as error:
        yield "range", str(error)


def _electrons(field: Field) -> Iterator[Found]:
    if not quantity_of(field.quantity).counts_electrons:
        return
    count, expected = field.integral, field.meta.get("valence_electrons")
    if expected is None or field.meta.get("valence") is None:
        yield "meta", "the record of a density lacks valence_electrons or valence"
    elif abs(count - expected) > ELECTRON_TOLERANCE * expected:
        message = f"the density holds {count:.5f} electrons; expected {expected:g} within {ELECTRON_TOLERANCE} of them"
        yield "electrons", message


def _meta(meta: Any) -> Iterator[Found]:
    missing = [key for key in REQUIRED_META if meta.get(key) is None]
    if missing:
        yield "meta", f"the record lacks {', '.join(missing)}"
    if meta.get("scf_converged") not in (True, None):
        yield "scf", f"scf_converged is {meta['scf_converged']!r}; expected true"


def _residual(meta: Any, recipe: ReferenceRecipe | None) -> Iterator[Found]:
    if recipe is None or recipe.residuals is None or recipe.relax is None or meta.get("relaxation") is None:
        return
    force, pressure = meta.get("largest_force_eV_A"), meta.get("pressure_stress_GPa", meta.get("pressure_GPa"))
    if force is None or pressure is None:
        return  # which is said by the rule meta
    if reason := recipe.residuals.broken_by(force, pressure - meta.get("pressure_target", recipe.relax.pressure)):
        yield "residual", reason


def _spacing(field: Field) -> Iterator[Found]:
    if max(field.grid.spacing) > WIDEST_SPACING:
        spacing = " x ".join(f"{d:.4f}" for d in field.grid.spacing)
        yield "spacing", f"the grid points are {spacing} Å apart; expected at most 0.10 Å"


def _symmetry(field: Field) -> Iterator[Found]:
    """The operations that map the grid onto itself are a group, and the field is tested under these."""
    try:
        rotations, translations = space_group_operations(field.structure)
        on_grid = np.array([field.grid.is_mapped_by(r, t) for r, t in zip(rotations, translations, strict=True)])
        deviation = _deviation(field, rotations[on_grid], translations[on_grid])
    except ElfzooError as error:  # no symmetry found, or operations that are no group
        yield "grid-symmetry", str(error)
        return
    if not on_grid.all():
        first = int(np.argmin(on_grid))
        operation = describe_operation(rotations[first], translations[first])
        count = f"{int((~on_grid).sum())} of {len(on_grid)} operations"
        yield "grid-symmetry", f"{count} do not map the grid {field.grid.shape} onto itself, such as ({operation})"
    if deviation > TOLERANCE:
        yield "symmetry", f"the field is off its space group by {deviation:.4g}; expected at most {TOLERANCE}"


def _deviation(field: Field, rotations: np.ndarray, translations: np.ndarray) -> float:
    """Of the values, and of those that the stored ones are means of."""
    _, inverse = orbits(field.grid.shape, rotations, translations)
    before = field.meta.get("symmetry_deviation")
    found = orbit_means(field.values, inverse)[1]
    return max(found, float(before)) if isinstance(before, int | float) else found


def _round_trip(field: Field, scratch: Path) -> Iterator[Found]:
    try:
        if not any(_survives(field, scratch, symmetric) for symmetric in (None, False)):
            yield "round-trip", "written again it reads differently; expected a file by elfzoo.io.symmetric"
    except ElfzooError as error:
        yield "round-trip", str(error).replace(str(scratch), "the copy")


def _survives(field: Field, scratch: Path, symmetric: bool | None) -> bool:
    write_reference(field, scratch, symmetric)
    again = read_field(scratch)
    ours, theirs = field.structure, again.structure
    return (
        np.array_equal(again.values, field.values)
        and np.array_equal(ours.lattice.matrix, theirs.lattice.matrix)
        and np.array_equal(ours.frac_coords, theirs.frac_coords)
        and ours.atomic_numbers == theirs.atomic_numbers
        and again.recipe == field.recipe
    )


def _mixed(labels: Sequence[_Label], rule: str, entry: Callable[[_Label], Any]) -> Iterator[Problem]:
    """What differs from the majority is named; files that do not say are named for that elsewhere."""
    entries = {label.file: entry(label) for label in labels if entry(label) is not None}
    usual = Counter(entries.values()).most_common(1)
    for file, found in entries.items():
        if found != usual[0][0]:
            yield Problem(file, rule, f"made by {found}, most others by {usual[0][0]}")


def _divided_groups(labels: Sequence[_Label]) -> Iterator[Problem]:
    first: dict[str, _Label] = {}
    for label in labels:
        if label.group is None or label.split is None:
            continue
        other = first.setdefault(label.group, label)
        if other.split != label.split:
            message = f"group {label.group!r} is in {label.split}, and with {other.file} in {other.split}"
            yield Problem(label.file, "group-across-splits", message)


def _duplicates(labels: Sequence[_Label]) -> Iterator[Problem]:
    def composition(label: _Label) -> str:
        return str(label.primitive.composition.formula)  # of the primitive cell: its number of atoms too

    near, same = (StructureMatcher(primitive_cell=False, scale=False, **tolerances) for tolerances in (NEAR, SAME))
    for _, members in groupby(sorted(labels, key=lambda label: (composition(label), label.file)), key=composition):
        for first, second in combinations(members, 2):
            if None not in (first.split, second.split) and first.split != second.split:
                if _alike(first, second, near, NEAR_VOLUME):
                    message = f"in {second.split}, and much the same structure as {first.file} in {first.split}"
                    yield Problem(second.file, "duplicate-across-splits", message)
            elif _alike(first, second, same, SAME_VOLUME):
                yield Problem(second.file, "duplicate", f"the same structure as {first.file}")


def _alike(first: _Label, second: _Label, matcher: StructureMatcher, volume_window: float) -> bool:
    if abs(first.volume / second.volume - 1) > volume_window:
        return False
    if len(first.primitive) >= MANY_ATOMS and np.abs(first.shortest - second.shortest).max() > SAME_DISTANCES:
        return False
    return bool(matcher.fit(first.primitive, second.primitive))
