"""Random crystals: the same from the same seed, of the sizes and systems asked for, on exact grids."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid
from elfzoo.reference import crystals
from elfzoo.reference.crystals import CrystalSource, random_crystal
from elfzoo.reference.recipe import find_recipe
from elfzoo.symmetry import space_group_operations

needs_pyxtal = pytest.mark.skipif(
    importlib.util.find_spec("pyxtal") is None, reason="PyXtal is not installed: pip install pyxtal"
)
SOURCE = CrystalSource(
    kind="crystals", cubic=4, hexagonal=3, sizes=(4, 8, 6), archetypes={199: (8,), 191: (9,), 179: (6,)}
)
SYSTEMS = {"cubic": range(195, 231), "hexagonal": range(168, 195)}


def candidates(source=SOURCE):
    return {candidate.name: candidate for candidate in source.candidates(Path("nowhere"))}


def made(source=SOURCE, names=None):
    known = candidates(source)
    return {name: known[name].make({}) for name in names or known}


@pytest.fixture(scope="module")
def structures():
    return made()


def test_names_and_order():
    """Archetypes come first in each system, in the order of the recipe, and both systems take turns."""
    assert list(candidates()) == [
        *("cubic_000", "hexagonal_000", "cubic_001", "hexagonal_001", "cubic_002", "hexagonal_002"),
        *("cubic_003", "hexagonal_003", "cubic_004", "hexagonal_004"),
    ]


def test_every_candidate_is_relaxed_labelled_and_a_group_of_its_own():
    for name, candidate in candidates().items():
        assert candidate.group == name and candidate.relax and candidate.label and not candidate.needs
        assert candidate.facts == {"crystal_system": name.split("_")[0]} and "seed 2026" in candidate.origin


@needs_pyxtal
def test_sizes(structures):
    sizes = {name: len(structure) for name, structure in structures.items()}
    assert [sizes[f"cubic_{i:03d}"] for i in range(5)] == [8, 4, 8, 6, 4]
    assert [sizes[f"hexagonal_{i:03d}"] for i in range(5)] == [9, 6, 4, 8, 6]


@needs_pyxtal
def test_systems_densities_and_distances(structures):
    for name, structure in structures.items():
        _, number = structure.get_space_group_info(symprec=1e-3)
        assert number in SYSTEMS[name.split("_")[0]], name
        assert structure.volume / len(structure) == pytest.approx(2.3)
        assert structure.get_neighbor_list(1.5)[3].min() > 0.45
        assert {site.specie.symbol for site in structure} == {"H"}


@needs_pyxtal
def test_archetypes_have_their_space_group_or_a_higher_one():
    for group in (199, 191, 179):
        rng = np.random.default_rng(5)
        found = [random_crystal(group, 18, rng, 2.3) for _ in range(12)]
        numbers = [crystal.get_space_group_info(symprec=1e-3)[1] for crystal in found if crystal is not None]
        assert group in numbers and min(numbers) >= group


@needs_pyxtal
def test_grids_are_exact(structures):
    for structure in structures.values():
        rotations, translations = space_group_operations(structure)
        grid = Grid.for_symmetry(structure.lattice.matrix, 0.1, rotations, translations)
        assert all(grid.is_mapped_by(r, t) for r, t in zip(rotations, translations, strict=True))


@needs_pyxtal
def test_more_candidates_leave_those_before_as_they_are(structures):
    """Nor does it matter which of them are made, in which order, and what else draws random numbers."""
    np.random.seed(1)
    more = made(replace(SOURCE, cubic=9, hexagonal=5), ["hexagonal_004", "cubic_004", "cubic_001", "cubic_000"])
    for name, structure in more.items():
        np.testing.assert_array_equal(structure.lattice.matrix, structures[name].lattice.matrix)
        np.testing.assert_array_equal(structure.frac_coords, structures[name].frac_coords)
    assert list(candidates(replace(SOURCE, cubic=9)))[:10] == list(candidates())


@needs_pyxtal
def test_seeds_and_numbers_make_different_crystals(structures):
    first = structures["hexagonal_003"]
    other_seed = made(replace(SOURCE, seed=1), ["hexagonal_003"])["hexagonal_003"]
    other_number = made(replace(SOURCE, hexagonal=6), ["hexagonal_006"])["hexagonal_006"]
    for structure in (other_seed, other_number):
        assert len(structure) == len(first) == 8 and not np.allclose(structure.lattice.abc, first.lattice.abc)


@needs_pyxtal
def test_what_cannot_be_made_is_said(monkeypatch):
    monkeypatch.setattr(crystals, "ATTEMPTS", 2)
    crowded = replace(SOURCE, shortest_distance=2.0)
    with pytest.raises(ElfzooError, match=r"no crystal of 4 atoms in the space groups .* after 2 attempts"):
        made(crowded, ["cubic_001"])


@needs_pyxtal
def test_wyckoff_positions_that_do_not_add_up():
    """Seven atoms fit no cell of Ia-3d, whose smallest orbit has eight in the primitive one."""
    assert random_crystal(230, 7, np.random.default_rng(0), 2.3) is None


def test_other_crystal_systems_are_refused():
    with pytest.raises(ElfzooError, match="space group 62 is neither cubic"):
        candidates(replace(SOURCE, archetypes={62: (4,)}))


def test_without_pyxtal_nothing_starts(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyxtal", None)
    with pytest.raises(ElfzooError, match="PyXtal is not installed; install it with: pip install pyxtal"):
        SOURCE.prepare(tmp_path)


def test_the_shipped_recipe_is_large_and_varied():
    """At least 60 of each system, 4 to 72 atoms, a third of them with 24 atoms or more, all three archetypes."""
    source = find_recipe("crystal-h").source
    names = list(candidates(source))
    assert min(sum(name.startswith(system) for name in names) for system in SYSTEMS) >= 60
    sizes = [source.sizes[i % len(source.sizes)] for count in (source.cubic, source.hexagonal) for i in range(count)]
    sizes += [size for group in source.archetypes.values() for size in group]
    assert len(sizes) == len(names) and min(sizes) == 4 and max(sizes) == 72
    assert sum(size >= 24 for size in sizes) >= len(sizes) / 3
    assert set(source.archetypes) == {199, 179, 191}
