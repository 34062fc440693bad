"""Random packings: distances are kept to every image, and the places are decided by name and seed alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from elfzoo.datasets import PackingHydrogen
from elfzoo.errors import ElfzooError
from elfzoo.reference.packings import PackingSource, packed
from elfzoo.reference.recipe import find_recipe

LOOSE = (2.6, 0.8, 0.0)


@pytest.mark.parametrize(("volume", "closest", "void"), find_recipe("packing-h").source.packings)
def test_no_two_atoms_or_images_are_closer_and_the_hole_is_empty(rng, volume, closest, void):
    structure = packed(32, volume, closest, void, rng)
    assert structure.volume == pytest.approx(32 * volume) and len(structure) == 32
    distances = structure.get_neighbor_list(2.0)[3]  # pymatgen's, of all images
    assert closest <= distances.min() < closest + 0.05  # no packing is so loose that its limit does not show
    if void:
        points = np.stack(np.meshgrid(*[np.arange(24) / 24] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        emptiness = structure.lattice.get_all_distances(points, structure.frac_coords).min(axis=1)
        spacing = structure.lattice.a / 24
        assert emptiness.max() > void - spacing  # the centre is that near to a point that was looked at


def test_an_atom_keeps_away_from_its_own_image_too(rng):
    with pytest.raises(ElfzooError, match=r"cell of 1\.59 Å is too small for distances of 1"):
        packed(2, 2.0, 1.0, 0.0, rng)


def test_what_does_not_fit_is_said(rng, monkeypatch):
    monkeypatch.setattr("elfzoo.reference.packings.STEPS", 50)
    with pytest.raises(ElfzooError, match=r"32 atoms in 2\.0 Å³ each do not keep 1\.6 Å from each other"):
        packed(32, 2.0, 1.6, 0.0, rng)


def test_candidates_are_made_again_alike_however_many_there_are(tmp_path):
    few, more = (PackingSource("packing", count, 16, (LOOSE, (3.0, 1.0, 1.0))).candidates(tmp_path) for count in (3, 5))
    assert [c.name for c in more] == [f"packing_{i:03d}" for i in range(5)]
    assert [c.facts["void_radius_A"] for c in more] == [0.0, 1.0, 0.0, 1.0, 0.0]
    for one, other in zip(few, more, strict=False):
        assert np.array_equal(one.make({}).frac_coords, other.make({}).frac_coords)
    first, third = (more[i].make({}) for i in (0, 2))
    assert first.lattice == third.lattice and not np.allclose(first.frac_coords, third.frac_coords)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((0, 16, (LOOSE,)), "a count above zero, an even number of atoms; got 0, 16"),
        ((4, 15, (LOOSE,)), "an even number of atoms; got 4, 15"),
        ((4, 16, ()), "expected packings"),
        ((4, 16, ((-2.0, 1.0, 0.0),)), r"no packing has -2\.0 Å³ per atom"),
    ],
)
def test_settings_that_make_no_packing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PackingSource("packing", *settings)


def test_every_kind_is_there_twice_and_the_labels_are_those_of_the_crystals(tmp_path):
    recipe = find_recipe("packing-h")
    candidates = recipe.source.candidates(tmp_path)
    kinds = Counter(candidate.facts["shortest_distance_A"] for candidate in candidates)
    expected = Counter(closest for _, closest, _ in recipe.source.packings)
    assert kinds == Counter({closest: 2 * count for closest, count in expected.items()})
    assert recipe.label == find_recipe("crystal-h").label
    assert {PackingHydrogen.split_of(f"{candidate.name}.npz") for candidate in candidates} == {"train"}
    with pytest.raises(ElfzooError, match="is no packing"):
        PackingHydrogen.split_of("cubic_001.npz")
    assert {f"{candidate.name}.npz" for candidate in candidates} == set(PackingHydrogen(split="train").raw_file_names)
