"""The crystals that a screening is timed with: always the same, and none that a model would refuse."""

from __future__ import annotations

import pytest

pytest.importorskip("pyarrow")

from benchmarks.screening import MOST_ATOMS, SHORTEST, VOLUME, crystals
from elfzoo.screening import structure_hash


def test_crystals_are_the_same_for_a_seed_and_differ_among_themselves() -> None:
    few, more = list(crystals(3, seed=1)), list(crystals(6, seed=1))
    hashes = [structure_hash(structure) for structure in more]
    assert [structure_hash(structure) for structure in few] == hashes[:3] and len(set(hashes)) == 6
    assert not set(hashes) & {structure_hash(structure) for structure in crystals(3, seed=2)}


def test_crystals_are_dense_hydrogen_without_overlaps() -> None:
    for structure in crystals(6, seed=1):
        assert set(structure.atomic_numbers) == {1} and len(structure) <= MOST_ATOMS
        assert structure.volume / len(structure) == pytest.approx(VOLUME)
        nearest = min(site.nn_distance for around in structure.get_all_neighbors(3.0) for site in around)
        assert nearest >= SHORTEST - 1e-9
