"""Interstitial sites of made-up fields, against a search from many starts on their closed form."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy import optimize, special

from elfzoo import Field
from elfzoo.analysis import critical_points
from elfzoo.benchmark.task import find_task, select
from elfzoo.benchmark.templates import SAME_SITE, compare_templates, find_template, site_distances
from elfzoo.core_radii import core_radius
from elfzoo.errors import ElfzooError
from elfzoo.grid import Grid

CUBE = Structure(Lattice.cubic(5.0), ["Al"], [[0, 0, 0]])
FACES = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
SKEW = Structure(Lattice.from_parameters(4.6, 5.1, 5.6, 82, 97, 104), ["Li", "Mg"], [[0.1, 0.2, 0.3], [0.6, 0.7, 0.7]])
WIDTH = 0.55  # Å
Bumps = list[tuple[list[float], float]]


def logit(structure: Structure, bumps: Bumps, frac: np.ndarray) -> np.ndarray:
    """-2 and periodic Gaussians of these heights at these places."""
    cells = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    found = np.full(len(frac), -2.0)
    for place, height in bumps:
        away = ((frac - place + 0.5) % 1 - 0.5)[:, None] + cells
        found += height * np.exp(-((away @ structure.lattice.matrix) ** 2).sum(axis=-1) / (2 * WIDTH**2)).sum(axis=1)
    return found


def field(structure: Structure, bumps: Bumps, points: int = 32) -> Field:
    grid = Grid((points, points, points), structure.lattice.matrix)
    return Field(special.expit(logit(structure, bumps, grid.frac_coords())).reshape(grid.shape), structure)


def brute_force(structure: Structure, bumps: Bumps) -> list[tuple[float, np.ndarray]]:
    """Maxima outside of cores, from many starts, the highest first."""
    radii = np.array([core_radius(z) for z in structure.atomic_numbers])
    found: list[tuple[float, np.ndarray]] = []
    for start in np.random.default_rng(0).random((40, 3)):
        top = optimize.minimize(lambda x: -logit(structure, bumps, x[None])[0], start, tol=1e-12).x % 1
        outside = (structure.lattice.get_all_distances(top, structure.frac_coords)[0] > radii).all()
        known = any(structure.lattice.get_all_distances(top, place)[0, 0] < 0.01 for _, place in found)
        value = special.expit(logit(structure, bumps, top[None])[0])
        if outside and not known and value > 0.13:  # flat places between bumps are no maxima
            found.append((value, top))
    return sorted(found, key=lambda pair: -pair[0])


def test_sites_of_a_cell_without_symmetry_are_its_maxima_outside_of_cores() -> None:
    bumps: Bumps = [([0.1, 0.2, 0.3], 6), ([0.35, 0.5, 0.55], 3), ([0.9, 0.85, 0.3], 2.2), ([0.55, 0.05, 0.8], 2.6)]
    found, expected = find_template(field(SKEW, bumps)), brute_force(SKEW, bumps)
    assert len(expected) == 3 == len(found.values)  # the highest of all is at a nucleus
    np.testing.assert_allclose(found.values, [value for value, _ in expected], atol=2e-4)
    for place, (_, other) in zip(found.frac_coords, expected, strict=True):
        assert SKEW.lattice.get_all_distances(place, other)[0, 0] < 0.01
    assert found.strength == found.values[0] and found.mean_strength == pytest.approx(found.values.mean())


def test_places_that_symmetry_makes_equal_are_one_site() -> None:
    bumps: Bumps = [([0.5, 0.5, 0.5], 2.5), *((face, 3.0) for face in FACES), ([0, 0, 0], 8)]
    found, expected = find_template(field(CUBE, bumps)), brute_force(CUBE, bumps)
    assert len(expected) == 4 and len(found.values) == 2
    np.testing.assert_allclose(found.values, [expected[0][0], expected[3][0]], atol=2e-4)


def test_a_maximum_that_hardly_stands_out_is_no_site() -> None:
    ridge: Bumps = [([0.5, 0.5, z], 1.5) for z in np.arange(0, 1, 0.1)]  # a column along z
    for height, sites in ((0.005, 1), (0.2, 2)):  # 0.0006 and 0.02 of ELF
        both = field(CUBE, [*ridge, ([0.5, 0.5, 0.5], 0.3), ([0.5, 0.5, 0.0], height)])
        assert len(critical_points(both, "logit", persistence=0).select(-3)) == 2
        assert len(find_template(both).values) == sites


def test_a_field_without_sites_has_no_strength() -> None:
    for bumps in ([], [([0.0, 0.0, 0.0], 8.0)]):
        found = find_template(field(CUBE, bumps, 24))
        assert found.values.shape == (0,) and found.strength == found.mean_strength == 0


def test_distances_allow_every_operation() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random((4, 3)), rng.random((5, 3))
    axes = np.eye(3)
    signs = np.stack(np.meshgrid(*[[-1, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    operations = [
        axes[list(p)] * s for p in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)) for s in signs
    ]
    away = np.array([[[a - o @ b for o in operations] for b in second] for a in first])  # the 48 of Pm-3m
    expected = 5.0 * np.linalg.norm(away - np.round(away), axis=-1).min(axis=-1)
    np.testing.assert_allclose(site_distances(CUBE, first, second), expected, atol=1e-9)


@pytest.mark.parametrize(("shift", "matched"), [(0.0, 1), (0.3, 1), (0.8, 0)])
def test_sites_are_matched_wherever_symmetry_takes_them(shift: float, matched: int) -> None:
    structure = Structure(Lattice.tetragonal(5.0, 6.0), ["Al"], [[0, 0, 0]])
    truth = field(structure, [([0.5, 0.5, z], 3.0) for z in (0.3, 0.7)])
    guess = field(structure, [([0.5, 0.5, 0.7 - shift / 6], 2.8)])  # one of two copies is enough
    found = compare_templates(truth, guess)
    assert (len(found["reference"]["sites"]), len(found["prediction"]["sites"])) == (1, 1)
    assert found["matched"] == matched and found["system"] == "Al"
    if matched:
        assert found["mean_displacement"] == pytest.approx(shift, abs=0.02) and found["mean_displacement"] < SAME_SITE
    else:
        assert found["mean_displacement"] is None


def test_a_perfect_prediction_shares_everything() -> None:
    truth = field(SKEW, [([0.35, 0.5, 0.55], 3), ([0.9, 0.85, 0.3], 2.2)])
    found = compare_templates(truth, truth)
    assert found["reference"] == found["prediction"] and found["matched"] == 2 and found["mean_displacement"] == 0
    nothing = compare_templates(truth, truth.replace(values=np.full(truth.grid.shape, 0.4)))
    assert nothing["matched"] == 0 and nothing["prediction"]["strength"] == 0


def test_a_structure_with_hydrogen_is_no_template() -> None:
    hydride = Structure(Lattice.cubic(4.0), ["Li", "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(ElfzooError, match="has hydrogen; expected the bare metal"):
        find_template(Field(np.full((8, 8, 8), 0.5), hydride))


@pytest.mark.parametrize(
    ("file", "sites"),
    [
        ("Al_fcc_V0.8", [[1 / 4, 1 / 4, 1 / 4]]),  # tetrahedral; gradient lines from its one minimum enter the core
        ("Ca_fcc_V0.9", [[1 / 2, 1 / 2, 1 / 2], [1 / 4, 1 / 4, 1 / 4]]),  # octahedral, then tetrahedral
        ("Cu_fcc_V1.0", [[1 / 4, 1 / 4, 1 / 4]]),
    ],
)
def test_voids_of_real_metals_are_found(file: str, sites: list[list[float]]) -> None:
    from elfzoo.benchmark.measure import measure, pair

    task = find_task("template-ranking")
    data = select(task)
    truth = data[data.raw_file_names.index(f"{file}.npz")].field
    found = measure(pair(truth, truth, task), task)["templates"]
    assert found["matched"] == len(sites) == len(found["reference"]["sites"])
    places = np.array([site["frac_coords"] for site in found["reference"]["sites"]])
    assert np.diag(site_distances(truth.structure, places, np.array(sites))).max() < 0.01
    assert 0.2 < found["reference"]["strength"] < 1
