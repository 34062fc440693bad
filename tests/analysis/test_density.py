"""Errors of densities: NMAPE and electrons by hand, and what a comparison of densities says."""

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from elfzoo.analysis import can_search, compare, compare_topology, density_errors
from elfzoo.errors import ElfzooError, QuantityError
from elfzoo.field import Field

STRUCTURE = Structure(Lattice.orthorhombic(2.0, 2.5, 3.0), ["H", "H"], [[0, 0, 0], [0.5, 0.5, 0.4]])


@pytest.fixture
def density(rng):
    values = 0.05 + rng.random((6, 7, 8))
    return Field(values * 2 / (values.mean() * STRUCTURE.volume), STRUCTURE, "density")


def test_nmape_and_electrons_by_hand(density):
    guess = density.values.copy()
    guess[0, 0, 0] += 0.3
    guess[1, 2, 3] -= 0.1
    found = density_errors(density, guess)
    voxel = STRUCTURE.volume / density.values.size
    assert found.nmape == pytest.approx(100 * 0.4 * voxel / 2)
    assert found.reference_electrons == density.integral == pytest.approx(2)
    assert found.electron_error == pytest.approx(0.2 * voxel)
    assert found.table()[0] == f"NMAPE {found.nmape:.3f} %" and "reference 2.0000" in found.table()[1]


def test_nmape_of_a_scaled_density_is_the_percentage_of_the_scale(density):
    assert density_errors(density, 1.07 * density.values).nmape == pytest.approx(7)
    assert density_errors(density, (0.93 * density.values).astype(np.float32)).nmape == pytest.approx(7, rel=1e-5)


def test_a_comparison_of_densities(density):
    other = density.replace(values=density.values * 1.1)
    found = compare(density, other)
    assert (found.quantity, found.elf_stratified) == ("density", None)
    assert found.density == density_errors(density, other.values)
    assert found.all_voxels.mae == pytest.approx(0.1 * density.values.mean())
    assert sum(found.histograms.reference) == sum(found.histograms.prediction) == density.values.size
    edges = found.histograms.edges
    assert edges[0] == pytest.approx(density.values.min()) and edges[-1] == pytest.approx(other.values.max())
    lines = found.table()
    assert "electron density, e/Å³" in lines and "NMAPE 10.000 %" in lines
    assert not any("ELF" in line for line in lines)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["density"]["nmape"] == found.density.nmape


def test_differences_are_compared_without_counting_electrons(density):
    difference = density.replace(values=density.values - density.values.mean(), quantity="density_difference")
    found = compare(difference, difference)
    assert found.density is None and found.all_voxels.mae == 0


def test_quantities_are_not_mixed(density):
    elf = density.replace(values=density.values / 9, quantity="elf")
    with pytest.raises(QuantityError, match="the prediction holds the quantity 'density'; expected 'elf'"):
        compare(elf, density)
    with pytest.raises(QuantityError, match="the prediction holds the quantity 'elf'; expected 'density'"):
        compare(density, elf)
    with pytest.raises(QuantityError, match="the prediction holds the quantity 'density'; expected 'elf'"):
        compare_topology(elf, density)
    with pytest.raises(QuantityError, match="networking values, the reference holds the quantity 'density'"):
        compare(density, density, topology=True)
    with pytest.raises(QuantityError, match="the reference holds the quantity 'elf'; expected 'density'"):
        density_errors(elf, elf.values)
    assert not can_search(density)


def test_a_density_without_electrons(density):
    with pytest.raises(ElfzooError, match="zero everywhere"):
        density_errors(density.replace(values=np.zeros((3, 3, 3))), np.ones((3, 3, 3)))
