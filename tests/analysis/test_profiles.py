"""Profiles of errors against brute force, and how they are averaged over structures."""

import json
from itertools import product

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from elfzoo.analysis import ErrorProfile, error_profile, field_metrics, nearest_distances, pooled
from elfzoo.core_radii import core_radius
from elfzoo.errors import ElfzooError, QuantityError, RecipeError, StructureError
from elfzoo.field import Field, Recipe
from elfzoo.grid import Grid

SHAPE = (7, 8, 9)


def pair(structure, rng, shape=SHAPE):
    truth, guess = rng.random((2, *shape))
    return Field(truth, structure), Field(guess, structure)


def hydrogen(a=2.0):
    return Structure(Lattice.cubic(a), ["H"], [[0, 0, 0]])


def brute_force(structure, points):
    """Distance to the nearest of a generous block of images."""
    shifts = np.array(list(product(range(-5, 6), repeat=3))) @ structure.lattice.matrix
    images = (structure.cart_coords[:, None] + shifts).reshape(-1, 3)
    return np.array([np.linalg.norm(images - point, axis=1).min() for point in points])


def test_percentiles_are_of_the_absolute_error(rng):
    reference, prediction = pair(hydrogen(), rng)
    errors = sorted(abs(prediction.values - reference.values).ravel())
    found = error_profile(reference, prediction).percentiles
    for q, value in zip((50, 90, 99, 99.9), found, strict=True):
        place = (len(errors) - 1) * q / 100  # between the two nearest in order
        below, share = int(place), place % 1
        assert value == pytest.approx((1 - share) * errors[below] + share * errors[min(below + 1, len(errors) - 1)])


def test_bins_equal_brute_force(rng, skewed_hydride):
    """All images count: the cell is smaller than the widest bin's distance in some directions."""
    reference, prediction = pair(skewed_hydride, rng)
    found = error_profile(reference, prediction)
    distances = brute_force(skewed_hydride, reference.grid.positions())
    errors = (prediction.values - reference.values).ravel()
    for bins, keys, step in (
        (found.by_elf, reference.values.ravel(), 0.05),
        (found.by_distance, distances, 0.1),
    ):
        assert sum(bins.count) == errors.size
        for number, low in enumerate(bins.lower):
            mine = errors[(keys >= low) & (keys < low + step)]
            assert low == pytest.approx(number * step)
            assert (bins.count[number], bins.structures[number]) == (len(mine), int(len(mine) > 0))
            expected = (abs(mine).mean(), mine.mean()) if len(mine) else (None, None)
            assert (bins.mae[number], bins.bias[number]) == pytest.approx(expected)
    assert len(found.by_elf.lower) == 20 and len(found.by_distance.lower) == 41


def test_the_last_bins_hold_everything_beyond():
    structure = hydrogen(9.0)
    grid = Grid((9, 9, 9), structure.lattice.matrix)
    distance = nearest_distances(structure, grid)
    reference = Field(np.full(grid.shape, 0.5), structure)
    reference.values[0, 0, 0], reference.values[0, 0, 1] = 1.0, 1.2  # a reader may leave values just outside [0, 1]
    error = np.where(distance >= 4, 0.25, -0.5)
    found = error_profile(reference, reference.replace(values=reference.values + error))
    assert distance.max() > 6.9
    assert found.by_distance.lower[-1] == 4.0 and found.by_distance.count[-1] == np.sum(distance > 4 - 1e-9)
    assert (found.by_distance.mae[-1], found.by_distance.bias[-1]) == (0.25, 0.25)
    assert (found.by_distance.mae[0], found.by_distance.bias[0]) == (0.5, -0.5)
    assert found.by_distance.count[10] == 6  # six points at exactly 1 Å, whatever rounding says
    assert found.by_elf.count[-1] == 2


def test_distances_in_small_skewed_and_wide_cells(skewed_hydride):
    far_apart = Structure(
        Lattice.from_parameters(7, 1.4, 2, 65, 120, 115), ["H", "Li"], [[0.95, 0, 0], [0.9, 2.5, -1.1]]
    )
    flat = Structure([[1.0, 0, 0], [7.3, 0.6, 0], [0.4, 3.2, 0.9]], ["H"], [[0.5, 0.5, 0.5]])  # far from reduced
    for structure in (skewed_hydride, far_apart, flat):
        grid = Grid((5, 4, 6), structure.lattice.matrix)
        reduced = structure.get_reduced_structure("LLL")  # where a few images are enough for brute force
        expected = brute_force(
            reduced, grid.positions() @ np.linalg.inv(reduced.lattice.matrix) % 1 @ reduced.lattice.matrix
        )
        np.testing.assert_allclose(nearest_distances(structure, grid).ravel(), expected, atol=1e-9)
    of_lithium = nearest_distances(far_apart, Grid((5, 4, 6), far_apart.lattice.matrix), z=3)
    alone = Structure(far_apart.lattice, ["H"], [far_apart.frac_coords[1]])
    np.testing.assert_allclose(of_lithium, nearest_distances(alone, Grid((5, 4, 6), alone.lattice.matrix)))


def test_without_cores_outside_is_everywhere(rng):
    reference, prediction = pair(hydrogen(), rng)
    found, whole = (
        error_profile(reference, prediction).outside_cores,
        field_metrics(reference.values, prediction.values),
    )
    assert (found.points, found.mae, found.rmse, found.r2) == pytest.approx(
        (whole.points, whole.mae, whole.rmse, whole.r2)
    )


def test_outside_cores_is_outside_the_radii_of_the_table(rng, skewed_hydride):
    reference, prediction = pair(skewed_hydride, rng)
    metal = Structure(skewed_hydride.lattice, ["Ca"], [skewed_hydride.frac_coords[1]])
    outside = brute_force(metal, reference.grid.positions()) > core_radius(20)
    whole = field_metrics(reference.values.ravel()[outside], prediction.values.ravel()[outside])
    found = error_profile(reference, prediction).outside_cores
    assert 0 < found.points < reference.grid.size
    assert (found.points, found.mae, found.rmse, found.r2) == pytest.approx(
        (whole.points, whole.mae, whole.rmse, whole.r2)
    )


def test_no_point_outside_cores_and_no_variance_there(rng):
    calcium = Structure(Lattice.cubic(3.0), ["Ca"], [[0, 0, 0]])
    reference, prediction = pair(calcium, rng, (1, 1, 1))
    assert error_profile(reference, prediction).outside_cores is None
    reference, prediction = pair(hydrogen(), rng)
    constant = reference.replace(values=np.full(SHAPE, 0.5))
    assert error_profile(constant, prediction).outside_cores.r2 is None


@pytest.mark.parametrize("name", ["supercell", "rotation", "order"])
def test_a_profile_is_of_the_crystal_not_of_its_description(name, rng, skewed_hydride):
    fields, times = pair(skewed_hydride, rng), 1
    found = error_profile(*fields)
    if name == "supercell":
        times = 2
        others = [Field(np.tile(f.values, (1, 2, 1)), skewed_hydride * (1, 2, 1)) for f in fields]
    elif name == "rotation":
        turned = skewed_hydride.lattice.matrix @ Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix().T
        structure = Structure(turned, skewed_hydride.species, skewed_hydride.frac_coords)
        others = [Field(f.values, structure) for f in fields]
    else:
        others = [fields[0], fields[1].replace(structure=Structure.from_sites(skewed_hydride[::-1]))]
    other = error_profile(*others)
    for bins, expected in ((other.by_elf, found.by_elf), (other.by_distance, found.by_distance)):
        assert bins.count == tuple(times * n for n in expected.count)
        assert bins.mae == pytest.approx(expected.mae) and bins.bias == pytest.approx(expected.bias)
    assert other.outside_cores.mae == pytest.approx(found.outside_cores.mae)


def test_pooling_weighs_structures_not_voxels(rng):
    """A bin counts the structures that have points in it, whatever their number."""
    small, large = hydrogen(1.0), hydrogen(3.0)
    first, second = error_profile(*pair(small, rng)), error_profile(*pair(large, rng, (12, 12, 12)))
    found = pooled([first, second])
    assert found.structures == 2
    assert found.percentiles == pytest.approx(
        [(a + b) / 2 for a, b in zip(first.percentiles, second.percentiles, strict=True)]
    )
    for mine, one, two in zip(found.by_distance.mae, first.by_distance.mae, second.by_distance.mae, strict=True):
        known = [value for value in (one, two) if value is not None]
        assert mine == (pytest.approx(sum(known) / len(known)) if known else None)
    assert found.by_distance.count == tuple(
        a + b for a, b in zip(first.by_distance.count, second.by_distance.count, strict=True)
    )
    assert found.by_distance.structures[2] == 2 and found.by_distance.structures[20] == 1
    assert found.outside_cores.points == 7 * 8 * 9 + 12**3
    assert found.outside_cores.rmse == pytest.approx((first.outside_cores.rmse + second.outside_cores.rmse) / 2)


def test_pooling_in_steps_is_pooling_at_once(rng):
    parts = [error_profile(*pair(hydrogen(a), rng)) for a in (1.0, 2.0, 3.0)]
    calcium = error_profile(*pair(Structure(Lattice.cubic(2.0), ["Ca"], [[0, 0, 0]]), rng, (1, 1, 1)))
    at_once, in_steps = pooled([*parts, calcium]), pooled([pooled(parts[:2]), pooled([parts[2], calcium])])
    assert pooled(parts[:1]) == parts[0]
    assert at_once.by_distance.structures == in_steps.by_distance.structures
    assert at_once.by_distance.mae == pytest.approx(in_steps.by_distance.mae)
    assert at_once.by_elf.bias == pytest.approx(in_steps.by_elf.bias)
    assert at_once.percentiles == pytest.approx(in_steps.percentiles)
    assert (at_once.outside_cores.structures, in_steps.outside_cores.structures) == (3, 3)
    assert at_once.outside_cores.r2 == pytest.approx(in_steps.outside_cores.r2)
    assert pooled([calcium]).outside_cores is None


def test_as_json(rng, skewed_hydride):
    for profile in (error_profile(*pair(skewed_hydride, rng)), pooled([error_profile(*pair(hydrogen(), rng))] * 2)):
        values = profile.to_dict()
        assert json.loads(json.dumps(values, allow_nan=False)) == values
        assert ErrorProfile.from_dict(values) == profile
        assert list(values["percentiles"]) == ["50", "90", "99", "99.9"]
        assert set(values["by_elf"]) == set(values["by_distance"]) == {"lower", "count", "structures", "mae", "bias"}
        assert set(values["outside_cores"]) == {"points", "structures", "mae", "rmse", "r2"}


def test_what_cannot_be_compared(rng):
    reference, prediction = pair(hydrogen(), rng)
    with pytest.raises(QuantityError, match="the prediction holds the quantity 'density'; expected 'elf'"):
        error_profile(reference, prediction.replace(quantity="density"))
    with pytest.raises(ElfzooError, match="the grids differ"):
        error_profile(reference, prediction.replace(values=prediction.values[:-1]))
    with pytest.raises(ElfzooError, match="spin channels differ: reference total, prediction up"):
        error_profile(reference, prediction.replace(spin="up"))
    with pytest.raises(StructureError):
        error_profile(reference, prediction.replace(structure=hydrogen(2.1)))
    recipes = [Recipe(engine, "PBE", "PAW") for engine in ("GPAW", "VASP")]
    mixed = [field.replace(recipe=recipe) for field, recipe in zip((reference, prediction), recipes, strict=True)]
    with pytest.raises(RecipeError):
        error_profile(*mixed)
    assert error_profile(*mixed, mixed_recipes=True) == error_profile(reference, prediction)
    prediction.values[0, 0, :2] = np.nan
    with pytest.raises(ElfzooError, match="2 errors are not finite"):
        error_profile(reference, prediction)


def test_what_cannot_be_pooled_or_measured():
    with pytest.raises(ElfzooError, match="no profiles to pool"):
        pooled([])
    with pytest.raises(ElfzooError, match="H1 has no atom of Li"):
        nearest_distances(hydrogen(), Grid((2, 2, 2), hydrogen().lattice.matrix), z=3)
    with pytest.raises(ElfzooError, match="is not the structure's"):
        nearest_distances(hydrogen(), Grid((2, 2, 2), np.eye(3)))
