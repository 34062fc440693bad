"""What a card says of the structures that a model was trained on."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.card import Domain
from elfzoo.config import parse, to_dict
from elfzoo.datasets import FluidHydrogen
from elfzoo.field import Field
from elfzoo.training.config import DataConfig
from elfzoo.training.domain import domain_of, nearest_distances, training_domain


def test_nearest_distances_against_pymatgen(skewed_hydride):
    found = nearest_distances(skewed_hydride)
    expected = [min(n.nn_distance for n in near) for near in skewed_hydride.get_all_neighbors(4.0)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_atom_alone_has_its_images():
    assert nearest_distances(Structure(Lattice.cubic(9.0), ["Cs"], [[0.2, 0.3, 0.4]])) == pytest.approx([9.0])


def test_a_domain_by_hand():
    cells = [Structure(Lattice.cubic(a), ["H", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]]) for a in (2.0, 3.0)]
    fields = [
        Field(np.zeros((4, 4, 4)), cell, meta={"pressure_GPa": p}) for cell, p in zip(cells, (150, 20), strict=True)
    ]
    domain = domain_of(fields)
    assert domain.structures == 2 and domain.volume_per_atom == (4.0, 13.5) and domain.pressure == (20.0, 150.0)
    assert domain.nearest_distance == pytest.approx((3**0.5, 1.5 * 3**0.5), abs=1e-4)
    assert str(domain) == "2 structures, 4.00 to 13.50 Å³ per atom, nearest neighbours at 1.73 to 2.60 Å, 20 to 150 GPa"
    assert domain_of([Field(np.zeros((4, 4, 4)), cells[0])]).pressure is None
    assert parse(Domain, to_dict(domain)) == domain


def test_kinds_of_matter_have_limits_of_their_own():
    cells = [
        Structure(Lattice.cubic(a), names, [[0, 0, 0], [0.5, 0.5, 0.5]])
        for a, names in ((2.0, ["H"] * 2), (4.0, ["Li", "H"]), (5.0, ["Li"] * 2))
    ]
    domain = domain_of([Field(np.zeros((4, 4, 4)), cell) for cell in cells])
    assert domain.volume_per_atom == (4.0, 62.5) and sorted(domain.groups) == ["hydrides", "hydrogen", "others"]
    assert domain.limits("volume_per_atom", "hydrogen") == (4.0, 4.0)
    assert domain.limits("nearest_distance", "others") == pytest.approx((2.5 * 3**0.5,) * 2, abs=1e-4)
    assert domain_of([Field(np.zeros((4, 4, 4)), cells[0])]).groups == {}
    assert parse(Domain, to_dict(domain)) == domain


def test_the_domain_of_a_configuration_is_that_of_its_structures():
    part = DataConfig(dataset="fluid-h", split="train", structures=2)
    data = FluidHydrogen(split="train").subset([0, 17])
    assert training_domain([part]) == domain_of(sample.field for sample in data)
