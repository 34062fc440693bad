"""Which pairs of fields are compared, and what is said of the others."""

import numpy as np
import pytest
from pymatgen.core import Structure

from elfzoo.analysis import require_comparable
from elfzoo.analysis.comparable import comparable_values, require_same_grid
from elfzoo.errors import ElfzooError, QuantityError, RecipeError, StructureError
from elfzoo.field import Field, Recipe

QE, GPAW = Recipe("Quantum ESPRESSO 6.7", "PBE", "GTH-PBE-q1"), Recipe("GPAW 26.7.0", "PBE", "PAW")


@pytest.fixture
def reference(skewed_hydride, rng) -> Field:
    return Field(rng.random((4, 5, 6)).astype(np.float32), skewed_hydride, recipe=QE)


def test_what_differs_is_named(reference):
    structure = reference.structure
    changed = {
        "the prediction holds the quantity 'density'; expected 'elf'": (QuantityError, {"quantity": "density"}),
        "the spin channels differ: reference total, prediction up": (ElfzooError, {"spin": "up"}),
        "the lattice vectors differ": (StructureError, {"structure": structure.copy().apply_strain(0.01)}),
        "fields of different recipes": (RecipeError, {"recipe": GPAW}),
    }
    for message, (error, change) in changed.items():
        for check in (require_comparable, comparable_values):
            with pytest.raises(error, match=message):
                check(reference, reference.replace(**change))


def test_what_may_differ(reference, rng):
    atoms = [reference.structure[i] for i in (2, 0, 1)]
    turned = Structure(reference.structure.lattice, [a.specie for a in atoms], [a.frac_coords + 1 for a in atoms])
    for change in ({"structure": turned}, {"recipe": None}, {"meta": {"a": 1}}, {"values": rng.random((2, 3, 4))}):
        require_comparable(reference, reference.replace(**change))
    require_comparable(reference, reference.replace(recipe=GPAW), mixed_recipes=True)
    density = reference.replace(quantity="density", spin="down")
    require_comparable(density, density)


def test_grids(reference):
    coarser = reference.replace(values=reference.values[:2])
    message = r"the grids differ: reference \(4, 5, 6\), prediction \(2, 5, 6\); predict on the reference's grid, or "
    with pytest.raises(ElfzooError, match=message + r"bring .*elfzoo\.interpolate\.resample"):
        comparable_values(reference, coarser)
    with pytest.raises(ElfzooError, match=message + "else$"):
        require_same_grid(reference, coarser, "else")
    require_same_grid(reference, reference)


def test_values_are_finite_and_in_double_precision(reference):
    truth, guess = comparable_values(reference, reference.replace(values=reference.values / 2))
    assert truth.dtype == guess.dtype == np.float64
    np.testing.assert_array_equal(truth, reference.values)
    np.testing.assert_array_equal(guess, reference.values / 2)
    values = reference.values.copy()
    values[0, 1, :2] = np.nan, np.inf
    bad = reference.replace(values=values)
    for name, pair in (("reference", (bad, reference)), ("prediction", (reference, bad))):
        with pytest.raises(ElfzooError, match=f"the {name} has 2 non-finite values"):
            comparable_values(*pair)
    require_comparable(reference, bad)  # looks at no values
