"""Holes in a fluid: whole molecules go, walls stay, and the place is decided by name and seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.datasets import CavityHydrogen
from elfzoo.errors import ElfzooError
from elfzoo.field import Field
from elfzoo.io.symmetric import write_reference
from elfzoo.reference.cavities import CavitySource, hollowed
from elfzoo.reference.recipe import find_recipe

ORIGIN = np.zeros(3)


def molecules(rng: np.random.Generator, number: int = 30, edge: float = 7.0) -> Structure:
    """H2 with bonds of 0.75 Å on a lattice of places, turned at random."""
    places = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:number] * edge / 4
    bonds = rng.normal(size=(number, 3))
    bonds *= 0.375 / np.linalg.norm(bonds, axis=1, keepdims=True)
    coords = np.stack([places + bonds, places - bonds], axis=1).reshape(-1, 3)
    return Structure(Lattice.cubic(edge), ["H"] * 2 * number, coords, coords_are_cartesian=True)


@pytest.mark.parametrize("radius", [0.5, 1.2, 2.0, 2.8])
def test_the_hole_is_empty_and_molecules_stay_whole(rng, radius):
    structure, centre = molecules(rng), rng.random(3)
    stays = hollowed(structure, centre, radius) if radius > 1 else np.ones(len(structure), bool)
    distances = structure.lattice.get_all_distances(centre[None], structure.frac_coords)[0]
    assert radius < 1 or distances[stays].min() > radius
    assert (stays[::2] == stays[1::2]).all()  # atoms 2i and 2i + 1 are a molecule
    bonded = np.minimum(distances[::2], distances[1::2]).repeat(2)
    assert radius < 1 or (stays == (bonded > radius)).all()  # and nothing else goes


def test_images_are_counted():
    structure = Structure(Lattice.cubic(6.0), ["H"] * 4, [[0.99, 0, 0], [0.11, 0, 0], [0.5, 0.5, 0.5], [0.6, 0.5, 0.5]])
    assert hollowed(structure, np.array([0.02, 0.98, 0.01]), 1.0).tolist() == [False, False, True, True]


def test_an_even_number_of_electrons_goes():
    lattice = Lattice.cubic(8.0)
    pairs = [[0.0, 0, 0], [0.09, 0, 0], [0.5, 0.5, 0.5], [0.59, 0.5, 0.5], [0.2, 0.0, 0.1], [0.25, 0.5, 0.0]]
    structure = Structure(lattice, ["H"] * 6, pairs)  # two molecules and two atoms of none
    stays = hollowed(structure, np.array([0.2, 0.0, 0.1]), 0.5)
    assert stays.tolist() == [True, True, True, True, False, False]  # the single inside, and the other single


@pytest.mark.parametrize(("radius", "message"), [(0.1, "takes 0 of"), (20.0, "takes 60 of 60")])
def test_holes_of_nothing_or_of_everything_are_refused(rng, radius, message):
    with pytest.raises(ElfzooError, match=message):
        hollowed(molecules(rng), np.array([0.125, 0.125, 0.125]), radius)


@pytest.fixture
def fluid(tmp_path, monkeypatch, rng):
    """A data folder with a snapshot of each of four trajectories."""
    monkeypatch.setenv("ELFZOO_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data" / "fluid-h"
    folder.mkdir(parents=True)
    for letter in "ABCD":
        name = f"fluid_76.0GPa_{letter}_f02000"
        meta = {"group": f"fluid_76.0GPa_{letter}", "target_pressure_GPa": 76.0, "recipe_hash": "12"}
        write_reference(Field(np.full((4, 4, 4), 0.5), molecules(rng, 64), meta=meta), folder / f"{name}.npz")
    return folder


def test_candidates_are_of_the_trajectories_that_train_and_validate(fluid, tmp_path):
    found = find_recipe("cavity-h").source.candidates(tmp_path)
    assert [c.name for c in found] == [f"cavity_76.0GPa_{letter}_f02000" for letter in "ABC"]
    assert [CavityHydrogen.split_of(f"{c.name}.npz") for c in found] == ["train", "train", "val"]
    assert [c.facts["cavity_radius_A"] for c in found] == [1.6, 2.0, 2.4]
    assert found[0].group == "fluid_76.0GPa_A" and found[0].facts["target_pressure_GPa"] == 76.0
    for candidate in found:
        made, again = candidate.make({}), candidate.make({})
        assert np.array_equal(made.frac_coords, again.frac_coords) and 60 < len(made) < 128 and len(made) % 2 == 0
        centre = np.array(candidate.facts["cavity_centre"])
        distances = made.lattice.get_all_distances(centre[None], made.frac_coords)
        assert distances.min() > candidate.facts["cavity_radius_A"]


def test_a_hole_stays_where_it_is_when_there_are_fewer_snapshots(fluid, tmp_path):
    source = find_recipe("cavity-h").source
    before = {c.name: c.facts["cavity_centre"] for c in source.candidates(tmp_path)}
    (fluid / "fluid_76.0GPa_A_f02000.npz").unlink()
    after = {c.name: c.facts["cavity_centre"] for c in source.candidates(tmp_path)}
    assert after == {name: centre for name, centre in before.items() if "_A_" not in name}


def test_wrong_settings_and_names_are_said(fluid, tmp_path):
    with pytest.raises(ValueError, match="radii above zero"):
        CavitySource("cavity", "fluid-h", ("_A_",), ())
    with pytest.raises(ElfzooError, match="has no snapshot of _E_"):
        CavitySource("cavity", "fluid-h", ("_E_",), (2.0,)).candidates(tmp_path)
    for name in ("cavity_76.0GPa_D_f02000.npz", "fluid_76.0GPa_A_f02000.npz"):
        with pytest.raises(ElfzooError, match="is no cavity"):
            CavityHydrogen.split_of(name)


def test_the_labels_are_those_of_the_fluid():
    """One calculation: models may learn from both."""
    assert find_recipe("cavity-h").label == find_recipe("fluid-h").label
    assert find_recipe("cavity-h").hash == find_recipe("fluid-h").hash
