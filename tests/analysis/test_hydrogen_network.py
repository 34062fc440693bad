"""Hydrogen networks against closed forms, brute force, NetworkX and the symmetries of a crystal."""

import itertools
import json
from pathlib import Path

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from scipy.optimize import minimize_scalar

from elfzoo.analysis.hydrogen_network import (
    hydrogen_network,
    hydrogen_pairs,
    jaccard,
    jaccard_curve,
)
from elfzoo.errors import ElfzooError, StructureError
from elfzoo.field import Field
from elfzoo.grid import Grid
from elfzoo.io import read_field
from elfzoo.periodic import periodic_images

CRYSTALS = Path(__file__).parents[2] / "benchmarks" / "data" / "crystal-h"
TRICLINIC = Lattice.from_parameters(2.1, 2.4, 1.9, 78, 97, 109)
DECAY = 5.0  # 1/Å²


def gaussians(points: np.ndarray, centres: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Sum over all images of exp(-DECAY r²) at Cartesian points."""
    frac = points @ np.linalg.inv(lattice)
    images = periodic_images(centres, lattice, 2.5).positions
    inside = (frac - np.floor(frac)) @ lattice
    return np.exp(-DECAY * ((inside[:, None] - images) ** 2).sum(axis=-1)).sum(axis=1)


def gaussian_field(structure: Structure, spacing: float = 0.1, centres: np.ndarray | None = None) -> Field:
    grid = Grid.from_spacing(structure.lattice.matrix, spacing)
    centres = structure.cart_coords if centres is None else centres
    values = [
        gaussians(grid.positions(block), centres, grid.lattice) for block in np.array_split(np.arange(grid.size), 40)
    ]
    return Field(np.concatenate(values).reshape(grid.shape), structure)


def molecules() -> Structure:
    """Two H2 of 0.74 Å in a triclinic cell, one of them across its faces."""
    lattice = Lattice.from_parameters(3.0, 3.3, 2.8, 80, 97, 105)
    bond = lattice.get_fractional_coords([0.74, 0, 0])
    other = lattice.get_fractional_coords([0, 0.74 / 2**0.5, 0.74 / 2**0.5])
    centre = np.array([0.5, 0.45, 0.5])
    return Structure(lattice, ["H"] * 4, [-bond / 2, bond / 2, centre, centre + other], to_unit_cell=True)


def keys(pairs):
    columns = np.column_stack([pairs.first, pairs.second, pairs.image])
    return {tuple(row) for row in columns.tolist()}


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_pairs_equal_those_of_a_brute_force_search(seed):
    rng = np.random.default_rng(seed)
    lattice = np.eye(3) * 1.6 + rng.uniform(-0.5, 0.5, (3, 3))
    structure = Structure(lattice, ["H", "Li", "H"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.3, 0.5, -1.2]])
    if structure.distance_matrix[0, 2] < 0.3 or structure.volume < 2:
        return
    found = hydrogen_pairs(Field(np.ones((4, 4, 4)), structure), 2.3)
    expected, frac = {}, structure.frac_coords
    for i, j in ((0, 0), (0, 2), (2, 2)):
        for image in itertools.product(range(-6, 7), repeat=3):
            distance = np.linalg.norm((frac[j] + image - frac[i]) @ lattice)
            if 0 < distance <= 2.3 and (i < j or image > (0, 0, 0)):
                expected[i, j, *image] = distance
    assert keys(found) == set(expected)
    assert found.distance == pytest.approx(
        [expected[i, j, *m] for i, j, m in zip(found.first, found.second, found.image.tolist(), strict=True)]
    )


def test_strengths_equal_minima_of_the_analytic_field(rng):
    structure = Structure(TRICLINIC, ["H"] * 3, [[0, 0, 0], [0.35, 0.1, 0.2], [0.6, 0.55, 0.7]])
    pairs = hydrogen_pairs(gaussian_field(structure), 1.9)
    assert len(pairs.first) > 12
    lattice, cart = TRICLINIC.matrix, structure.cart_coords
    for i, j, image, strength in zip(pairs.first, pairs.second, pairs.image, pairs.strength, strict=True):
        start, vector = cart[i], cart[j] + image @ lattice - cart[i]
        t = np.linspace(0, 1, 1001)
        values = gaussians(start + t[:, None] * vector, cart, lattice)
        best = t[values.argmin()]

        def along(s, start=start, vector=vector):
            return float(gaussians((start + s * vector)[None], cart, lattice)[0])

        exact = minimize_scalar(along, bounds=(max(best - 0.002, 0), min(best + 0.002, 1)), method="bounded").fun
        assert strength == pytest.approx(min(exact, values.min()), abs=1e-4)


def test_a_pair_is_as_strong_as_the_symmetric_midpoint():
    structure = molecules()
    found = hydrogen_pairs(gaussian_field(structure), 0.8)
    assert len(found.first) == 2
    assert found.distance == pytest.approx(0.74)
    middle = structure.cart_coords[found.first] + (
        structure.frac_coords[found.second] + found.image - structure.frac_coords[found.first]
    ) @ (structure.lattice.matrix / 2)
    exact = gaussians(middle, structure.cart_coords, structure.lattice.matrix)
    assert (found.strength <= exact + 1e-5).all()
    assert found.strength == pytest.approx(exact, abs=2e-4)  # the other molecule pulls the minimum off the middle


def test_molecules_are_finite_pairs():
    network = hydrogen_network(gaussian_field(molecules()), 0.8)
    assert [(c.atoms, c.links, c.dimensionality) for c in network.components] == [((0, 1), 1, 0), ((2, 3), 1, 0)]
    assert network.molecular_fraction == 1
    assert network.dimensionality == 0


def test_a_maximum_at_the_bond_centre_still_links_its_atoms():
    structure = molecules()
    frac = structure.frac_coords
    bonds = hydrogen_pairs(gaussian_field(structure), 0.8)
    centres = (
        frac[bonds.first] + (frac[bonds.second] + bonds.image - frac[bonds.first]) / 2
    ) @ structure.lattice.matrix
    field = gaussian_field(structure, centres=centres)
    found = hydrogen_pairs(field, 0.8)
    nuclei = gaussians(structure.cart_coords, centres, structure.lattice.matrix)
    assert found.strength == pytest.approx(np.minimum(nuclei[found.first], nuclei[found.second]), abs=1e-4)
    assert found.network(float(found.strength.min()) - 1e-9).molecular_fraction == 1
    assert found.network(float(found.strength.max()) + 1e-9).molecular_fraction == 0


@pytest.mark.parametrize(
    "edges, dimensionality, links",
    [((1.0, 2.5, 2.6), 1, 1), ((1.0, 1.0, 2.6), 2, 2), ((1.0, 1.0, 1.0), 3, 3), ((2.5, 2.5, 2.6), 0, 0)],
)
def test_an_atom_and_its_own_images(edges, dimensionality, links):
    structure = Structure(Lattice.orthorhombic(*edges), ["H"], [[0.2, 0.3, 0.4]])
    network = hydrogen_network(gaussian_field(structure), 0.5, 1.3)
    (component,) = network.components
    assert (component.atoms, component.dimensionality, component.links) == ((0,), dimensionality, links)
    assert network.molecular_fraction == 0


def rods(n: int = 32) -> np.ndarray:
    """Smooth rods of height near 1 along the three axes through the origin and through the middle of the cell."""
    u, v, w = np.meshgrid(*[2 * np.pi * np.arange(n) / n] * 3, indexing="ij")

    def rod(p, q, shift):
        return np.exp(2.5 * (np.cos(p - shift) + np.cos(q - shift) - 2))

    return np.maximum.reduce([rod(p, q, s) for p, q in ((u, v), (v, w), (w, u)) for s in (0, np.pi)])


def test_interpenetrating_nets_are_two_components():
    structure = Structure(Lattice.cubic(1.6), ["H", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    network = hydrogen_network(Field(rods(), structure), 0.9)
    assert [(c.atoms, c.links, c.dimensionality) for c in network.components] == [((0,), 3, 3), ((1,), 3, 3)]
    linked = hydrogen_network(Field(rods(), structure), 0.005)
    assert [(c.atoms, c.dimensionality) for c in linked.components] == [((0, 1), 3)]


def test_metal_atoms_take_no_part():
    structure = Structure(Lattice.cubic(2.0), ["Li", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    network = hydrogen_network(gaussian_field(structure), 0.9)
    assert [c.atoms for c in network.components] == [(1,)]
    assert list(network.to_networkx().nodes) == [1]


def real_crystal(k: int) -> Field:
    return read_field(sorted(CRYSTALS.glob("*.npz"))[k])


@pytest.mark.parametrize("k", [3, 8, 20, 30])
def test_networkx_agrees_on_real_crystals(k):
    pairs = hydrogen_pairs(real_crystal(k))
    for isovalue in np.quantile(pairs.strength, [0.2, 0.5, 0.8]):
        network = pairs.network(float(isovalue))
        graph = network.to_networkx()
        assert graph.number_of_edges() == (pairs.strength >= isovalue).sum() == sum(c.links for c in network.components)
        assert {c.atoms for c in network.components} == {tuple(sorted(c)) for c in networkx.connected_components(graph)}
        assert all(data["strength"] >= isovalue for _, _, data in graph.edges(data=True))
        assert json.loads(json.dumps(network.to_dict()))["dimensionality"] == network.dimensionality


@pytest.mark.parametrize("k", [3, 20])
def test_rolls_supercells_and_orders_of_atoms(k, rng):
    field = real_crystal(k)
    pairs = hydrogen_pairs(field)
    isovalue = float(np.mean(np.quantile(pairs.strength, [0.5, 0.6])))
    while np.abs(pairs.strength - isovalue).min() < 1e-4:
        isovalue += 1e-3
    network, n = pairs.network(isovalue), len(field.structure)
    order, shift = rng.permutation(n), rng.integers(20, size=3)
    frac = field.structure.frac_coords[order] + rng.integers(-2, 3, size=(n, 3))
    shuffled = field.replace(structure=Structure(field.structure.lattice, ["H"] * n, frac))
    assert jaccard(network, hydrogen_network(shuffled, isovalue)) == 1
    moved = Structure(field.structure.lattice, ["H"] * n, field.structure.frac_coords + shift / field.values.shape)
    rolled = hydrogen_network(Field(np.roll(field.values, shift, (0, 1, 2)), moved), isovalue)
    assert keys(rolled.links) == keys(network.links)
    doubled = Structure(
        field.structure.lattice.matrix * [[1], [2], [1]],
        ["H"] * 2 * n,
        np.concatenate([np.add(field.structure.frac_coords, [0, s, 0]) for s in (0, 1)]) / [1, 2, 1],
    )
    supercell = hydrogen_network(Field(np.tile(field.values, (1, 2, 1)), doubled), isovalue)
    assert len(supercell.links.first) == 2 * len(network.links.first)
    assert supercell.dimensionality == network.dimensionality
    assert supercell.molecular_fraction == network.molecular_fraction
    assert np.sort(supercell.links.strength) == pytest.approx(np.sort(np.repeat(network.links.strength, 2)), abs=1e-6)


def test_another_basis_of_the_lattice():
    structure = Structure(TRICLINIC, ["H"] * 2, [[0.1, 0.2, 0.3], [0.5, 0.75, 0.6]])
    basis = np.array([[1, 1, 0], [0, 1, 0], [1, -1, 1]])
    other = Structure(basis @ TRICLINIC.matrix, ["H"] * 2, structure.frac_coords @ np.linalg.inv(basis))
    a, b = (hydrogen_pairs(gaussian_field(s, 0.08), 2.2) for s in (structure, other))
    assert np.sort(b.strength) == pytest.approx(np.sort(a.strength), abs=1e-4)
    for isovalue in np.linspace(0.02, 0.6, 8):
        components = [
            [(c.atoms, c.links, c.dimensionality) for c in p.network(float(isovalue)).components] for p in (a, b)
        ]
        assert components[0] == components[1]


def test_jaccard_counts_links_that_are_shared():
    field = gaussian_field(molecules())
    weaker = field.replace(values=field.values * 0.9)
    a, b = hydrogen_pairs(field), hydrogen_pairs(weaker)
    strongest = float(a.strength.max())
    assert jaccard(a.network(0.5), a.network(0.5)) == 1
    assert jaccard(a.network(2.0), b.network(2.0)) == 1  # neither has a link
    assert jaccard(a.network(0.95 * strongest), b.network(0.95 * strongest)) == 0
    isovalues = np.linspace(0.01, 1, 12)
    expected = [
        (b.strength >= t).sum() / max((a.strength >= t).sum(), 1) if (a.strength >= t).any() else 1 for t in isovalues
    ]
    assert jaccard_curve(a, b, isovalues) == pytest.approx(expected)


def test_a_link_to_another_image_is_another_link():
    """Two atoms half a cell apart, linked to the right in one field and to the left in the other."""
    structure = Structure(Lattice.orthorhombic(2.0, 2.5, 2.5), ["H", "H"], [[0, 0, 0], [0.5, 0, 0]])
    right = hydrogen_network(gaussian_field(structure, centres=np.array([[0.5, 0, 0]])), 0.2)
    left = hydrogen_network(gaussian_field(structure, centres=np.array([[1.5, 0, 0]])), 0.2)
    assert (keys(right.links), keys(left.links)) == ({(0, 1, 0, 0, 0)}, {(0, 1, -1, 0, 0)})
    assert jaccard(right, left) == 0


def test_refusals():
    field = gaussian_field(molecules(), 0.2)
    pairs = hydrogen_pairs(field)
    metal = Field(np.ones((4, 4, 4)), Structure(Lattice.cubic(3), ["Al"], [[0, 0, 0]]))
    with pytest.raises(ElfzooError, match="no hydrogen"):
        hydrogen_network(metal, 0.5)
    with pytest.raises(ElfzooError, match="positive number of Å"):
        hydrogen_pairs(field, 0.0)
    with pytest.raises(ElfzooError, match="finite number"):
        pairs.network(float("nan"))
    with pytest.raises(ElfzooError, match="same max_distance"):
        jaccard(pairs.network(0.5), hydrogen_network(field, 0.5, 1.0))
    other = field.structure.copy()
    other.translate_sites([0], [0.05, 0, 0])
    with pytest.raises(StructureError, match="atoms differ"):
        jaccard(pairs.network(0.5), hydrogen_network(field.replace(structure=other), 0.5))
